"""`workrouter serve` and `workrouter demo`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from router.cli.failing import fail


def serve(
    listen: Annotated[str | None, typer.Option(help="host:port; port 0 takes any. [127.0.0.1:50051]")] = None,
    redis_url: Annotated[
        str | None,
        typer.Option(
            envvar="WORKROUTER_REDIS_URL",
            help="redis://, rediss://, unix://, sentinel:// or cluster://. Left out: an own store in --data-dir.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where the own store keeps its data. [workrouter-data]")
    ] = None,
    durability: Annotated[
        str | None,
        typer.Option(
            help="What the store is to survive: dev keeps nothing, standard loses about the last second, durable"
            " nothing that was acknowledged, ha waits for a replica too (needs --redis-url). [standard]"
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that share the port. [1]")] = None,
    dev: Annotated[
        bool | None,
        typer.Option(
            "--dev/--no-dev",
            help="Accept tokens such as dev:default:agent:alice, on a loopback address only. [when there are no other"
            " credentials]",
        ),
    ] = None,
    jwt_key: Annotated[
        Path | None,
        typer.Option(help="PEM public key, JWKS, or secret of 32 bytes, by which tokens are verified."),
    ] = None,
    jwt_audience: Annotated[str | None, typer.Option(help="The audience that tokens must name.")] = None,
    jwt_issuer: Annotated[str | None, typer.Option(help="The issuer that tokens must name.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate of the router.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM key of the router.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="PEM authority by whose certificates clients are known (mTLS).")
    ] = None,
    reflection: Annotated[
        bool | None, typer.Option("--reflection/--no-reflection", help="Tell tools the API.")
    ] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Prometheus metrics on 127.0.0.1.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. [info]")] = None,
    heartbeat_s: Annotated[
        float | None,
        typer.Option(help="How often desktops speak; after three times that they count as gone."),
    ] = None,
    call_timeout_s: Annotated[
        float | None, typer.Option(help="Deadline of a call whose client set none.")
    ] = None,
    drain_s: Annotated[float | None, typer.Option(help="Time that calls have to end at a shutdown.")] = None,
    recording_hours: Annotated[
        float | None,
        typer.Option(
            help="How long to keep what policies are replayed and simulated on; 0: record nothing. [48]"
        ),
    ] = None,
) -> None:
    """Run a router.

    Without options it listens on 127.0.0.1:50051, keeps its data in ./workrouter-data in a store of its own, and
    takes development tokens. For other machines to reach it, it needs TLS and a key: --listen 0.0.0.0:50051
    --tls-cert ... --tls-key ... --jwt-key ... SIGTERM or Ctrl-C drains it; nothing held is lost.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    # gRPC's core writes lines of its own about what we tell in one: an address that is taken, a key that does not fit.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from router.app import StartFailedError, StoreLostError
    from router.app import serve as serve_router
    from router.config import ConfigError, Settings
    from router.domain.errors import RouterError, StoreUnavailable
    from router.state.embedded import EmbeddedStoreError
    from router.state.redis_guard import UnfitStoreError

    try:
        serve_router(Settings(**given))
    except ConfigError as error:
        fail("; ".join(f"--{option.replace('_', '-')}: {text}" for option, text in error.problems))
    except StoreUnavailable as error:
        fail(f"{_one_line(error).rstrip('.')}: start it, or name another with --redis-url")
    except (StartFailedError, StoreLostError, RouterError, EmbeddedStoreError, UnfitStoreError) as error:
        fail(_one_line(error))


def _one_line(error: Exception) -> str:
    return " | ".join(line.strip() for line in str(error).splitlines())


def demo(ctx: typer.Context) -> None:
    """Watch the router at work on a real day of calls: `workrouter demo --help` tells its options."""
    from demo.main import run
    from router.cli.prediction import predict

    raise typer.Exit(run(ctx.args, predict))


alone = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
"""`workrouter serve` without the other commands, which load much that a router does not need."""


@alone.callback()
def _only() -> None:
    """Keep `serve` a command of `workrouter`."""


alone.command()(serve)
