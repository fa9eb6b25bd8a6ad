"""What a router process is told at its start, checked as a whole before anything is opened."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_args

from router.domain.durability import Durability

LOG_LEVELS = ("debug", "info", "warning", "error")
STORE_SCHEMES = ("redis", "rediss", "unix", "sentinel", "cluster", "memory")


class ConfigError(ValueError):
    """The settings cannot be used; ``problems`` are (option, what is wrong and how to mend it)."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"--{option.replace('_', '-')}: {text}" for option, text in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All options of `workrouter serve`. Building one checks it; raises ConfigError naming every option at fault.

    Times are in seconds and end in ``_s``.
    """

    listen: str = "127.0.0.1:50051"
    """``host:port``; ``[::1]:port`` for IPv6; port 0 takes any free one."""
    redis_url: str = ""
    """Empty: the router starts its own store in ``data_dir``. ``memory://`` keeps nothing beyond the process."""
    data_dir: Path = Path("workrouter-data")
    durability: Durability = "standard"
    """What the store is to survive; its own store is set so, one by URL is checked. See docs/guarantees.md."""
    workers: int = 1
    dev: bool | None = None
    """Accept tokens like ``dev:default:agent:alice``. None: on a loopback address without any other credentials."""
    jwt_key: Path | None = None
    """File with a PEM public key (RS256, ES256), a JWKS, or a secret of 32 bytes or more (HS256)."""
    jwt_audience: str = ""
    jwt_issuer: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    """Clients with a certificate of this authority are known by it (mTLS)."""
    reflection: bool = False
    metrics_port: int | None = None
    """Prometheus on 127.0.0.1; worker n of several takes the port plus n."""
    log_level: str = "info"
    heartbeat_s: float = 10.0
    """How often a desktop or ACD is to speak; after three times that in silence its stream ends."""
    call_timeout_s: float = 30.0
    """Deadline of a unary call whose client set none."""
    drain_s: float = 10.0
    """Time that streams and calls have to end at a shutdown."""
    recording_hours: float = 48.0
    """How long the recording for replays and simulations is kept; 0 records nothing."""

    def __post_init__(self) -> None:
        if problems := list(_problems(self)):
            raise ConfigError(problems)

    @property
    def host(self) -> str:
        """The address without its port, and without the brackets of IPv6."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to listen on; 0 for any."""
        return int(self.listen.rpartition(":")[2])

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the listener."""
        return is_loopback(self.host)

    @property
    def authenticates(self) -> bool:
        """Whether callers can prove who they are."""
        return self.jwt_key is not None or self.tls_client_ca is not None

    @property
    def dev_tokens(self) -> bool:
        """Whether development tokens are accepted: never beyond loopback."""
        wanted = not self.authenticates if self.dev is None else self.dev
        return wanted and self.loopback

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """Names of all options, in order."""
        return tuple(field.name for field in fields(cls))


def is_loopback(host: str) -> bool:
    """Whether a host name or address never leaves this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _problems(settings: Settings) -> Iterator[tuple[str, str]]:
    if problem := _address_problem(settings.listen):
        yield "listen", problem
        return
    yield from _exposure_problems(settings)
    yield from _file_problems(settings)
    yield from _value_problems(settings)


def _address_problem(listen: str) -> str:
    host, colon, port = listen.rpartition(":")
    if not colon or not host or (":" in host and not host.startswith("[")):
        return f"{listen!r} is no address; write host:port such as 127.0.0.1:50051, or [::1]:50051"
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        return f"{port!r} is no port; write a number from 0 to 65535"
    return ""


def _exposure_problems(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.loopback:
        if not settings.authenticates and not settings.dev_tokens:
            yield "jwt_key", "nobody could identify; give a key file, or --tls-client-ca, or allow --dev"
        return
    where = f"{settings.host} can be reached from other machines"
    if settings.tls_cert is None:
        yield "tls_cert", f"{where}, so TLS is needed; give --tls-cert and --tls-key, or listen on 127.0.0.1"
    if not settings.authenticates:
        yield "jwt_key", f"{where}, so callers must identify; give --jwt-key or --tls-client-ca"
    if settings.dev:
        yield "dev", f"{where}; development tokens work on a loopback address only"


def _file_problems(settings: Settings) -> Iterator[tuple[str, str]]:
    for option in ("jwt_key", "tls_cert", "tls_key", "tls_client_ca"):
        path: Path | None = getattr(settings, option)
        if path is not None and not (path.is_file() and os.access(path, os.R_OK)):
            yield option, f"cannot read the file {str(path)!r}"
    if (settings.tls_cert is None) != (settings.tls_key is None):
        yield "tls_key", "certificate and key belong together; give both --tls-cert and --tls-key"
    if settings.tls_client_ca is not None and settings.tls_cert is None:
        yield "tls_client_ca", "client certificates need TLS; give --tls-cert and --tls-key too"


def _value_problems(settings: Settings) -> Iterator[tuple[str, str]]:
    scheme = settings.redis_url.partition("://")[0]
    if settings.redis_url and scheme not in STORE_SCHEMES:
        yield (
            "redis_url",
            f"begins with {scheme!r}; write one of {', '.join(s + '://' for s in STORE_SCHEMES)}",
        )
    if scheme == "memory" and settings.workers > 1:
        yield "workers", "cannot share a store in memory; give --workers 1, or leave out --redis-url"
    if problem := _durability_problem(settings.durability, scheme):
        yield "durability", problem
    if settings.log_level not in LOG_LEVELS:
        yield "log_level", f"is {settings.log_level!r}; write one of {', '.join(LOG_LEVELS)}"
    for option, low, high in _BOUNDS:
        value = getattr(settings, option)
        if value is not None and not low <= value <= high:
            yield option, f"is {value:g}; write a number from {low:g} to {high:g}"


def _durability_problem(durability: str, scheme: str) -> str:
    """A scheme is empty for the own store."""
    if durability not in get_args(Durability):
        return f"is {durability!r}; write one of {', '.join(get_args(Durability))}"
    if durability == "ha" and not scheme:
        return "ha needs a store with a replica; give --redis-url, or write durable"
    if durability in ("durable", "ha") and scheme == "memory":
        return (
            f"a store in memory keeps nothing, so it cannot be {durability}; leave out --redis-url memory://"
        )
    return ""


_BOUNDS: tuple[tuple[str, float, float], ...] = (
    ("workers", 1, 256),
    ("metrics_port", 1, 65535),
    ("heartbeat_s", 0.1, 300),
    ("call_timeout_s", 1, 600),
    ("drain_s", 0, 600),
    ("recording_hours", 0, 744),
)
