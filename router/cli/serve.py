"""`workrouter serve` and `workrouter demo`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from router.cli.common import fail


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
    appendfsync: Annotated[
        str | None,
        typer.Option(
            help="Durability of the own store: always loses no acknowledged write, everysec at most the last"
            " second. [everysec]"
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
) -> None:
    """Run a router.

    Without options it listens on 127.0.0.1:50051, keeps its data in ./workrouter-data in a store of its own, and
    takes development tokens. For other machines to reach it, it needs TLS and a key: --listen 0.0.0.0:50051
    --tls-cert ... --tls-key ... --jwt-key ... SIGTERM or Ctrl-C drains it; nothing held is lost.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    from router.app import serve as serve_router
    from router.config import ConfigError, Settings

    try:
        settings = Settings(**given)
    except ConfigError as error:
        problems = "; ".join(f"--{option.replace('_', '-')}: {text}" for option, text in error.problems)
        fail(problems)
    serve_router(settings)


def demo(
    speed: Annotated[float | None, typer.Option(help="Simulated seconds in one real second.")] = None,
    day: Annotated[str, typer.Option(help="The day to play, such as 2003-05-05; one of demo/data.")] = "",
    since: Annotated[str, typer.Option(help="Begin at this time of the day, such as 10:30.")] = "",
    until: Annotated[str, typer.Option(help="End at this time of the day.")] = "",
    keep: Annotated[
        float | None, typer.Option(help="Share of the bank's calls that reach this center.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="What chance decides; the same seed plays the same day.")
    ] = None,
    tasks: Annotated[
        int | None, typer.Option(help="Tasks to submit; left out: as many as there is time for.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for picture, summary and log. [demo-out]")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Print lines instead of a live view.")] = False,
    address: Annotated[str, typer.Option(help="A running router; left out, the demo starts its own.")] = "",
    data_dir: Annotated[Path | None, typer.Option(help="Data directory of the demo's own router.")] = None,
) -> None:
    """Watch the router at work: a simulated contact center on a real day of calls.

    It ends by itself within a few minutes, with a summary and a picture; the exit code is 1 if a promise was broken.
    """
    given = {name: value for name, value in locals().items() if value not in (None, "")}
    from demo.main import run
    from demo.options import Options, time_of_day

    readers: dict[str, Callable[[str], Any]] = {
        "day": date.fromisoformat,
        "since": time_of_day,
        "until": time_of_day,
    }
    try:
        chosen = Options(**{name: readers.get(name, _as_is)(value) for name, value in given.items()})
    except ValueError as error:
        fail(str(error))
    raise typer.Exit(run(chosen))


def _as_is(value: Any) -> Any:
    return value
