"""How a client reaches the router: address, credentials, deadlines, and what may be repeated."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from clients.backoff import Backoff
from clients.errors import ApiError, from_rpc_error
from clients.names import Names

DEFAULT_ADDRESS = "127.0.0.1:50051"

Request = TypeVar("Request")
Response = TypeVar("Response")
TokenSource = str | Callable[[], str]

# Sessions show that they live by their own heartbeats; the transport's pings only have to notice a dead peer
# before the operating system does. Calls are repeated here, where it is known which ones may be.
_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS to the router, PEM bytes; with certificate and key the client shows who it is (mutual TLS).

    Without `root_certificates` those of the system are trusted. `server_name` is the name to expect in the
    router's certificate where it differs from the address.
    """

    root_certificates: bytes | None = None
    certificate_chain: bytes | None = None
    private_key: bytes | None = None
    server_name: str = ""


class Connection:
    """One connection to the router, shared by any number of clients of one caller.

    `token` is a bearer token, or a function that returns a fresh one for each call. Without `tls` a token is only
    sent to this machine, unless `plaintext_token` says that the network in between is trusted (a sidecar proxy,
    a test bed). `timeout_s` bounds each unary call, repetitions included.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        site: str = "default",
        token: TokenSource | None = None,
        tls: Tls | None = None,
        timeout_s: float = 10.0,
        attempts: int = 5,
        backoff: Backoff | None = None,
        plaintext_token: bool = False,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """Keep the settings; nothing is opened before the first call. Raises ValueError for an exposed token."""
        if token is not None and tls is None and not plaintext_token and not is_local(address):
            raise ValueError(
                f"the token would cross the network to {address} unencrypted: use TLS, or say plaintext_token=True"
            )
        self.address = address
        self.names = Names(site)
        self.timeout_s = timeout_s
        self.backoff = backoff or Backoff()
        self._token = token
        self._tls = tls
        self._attempts = attempts
        self._options = [*_OPTIONS, *options]

    @cached_property
    def channel(self) -> grpc.aio.Channel:
        """Return the channel, made at first use because it belongs to the running event loop."""
        if self._tls is None:
            return grpc.aio.insecure_channel(self.address, options=self._options)
        return self._secure_channel(self._tls)

    async def __aenter__(self) -> Self:
        """Return the connection itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """End all calls and close the connection. A second time does nothing."""
        if "channel" in self.__dict__:
            await self.channel.close()

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what identifies the caller, for one call."""
        if self._token is None:
            return ()
        token = self._token if isinstance(self._token, str) else self._token()
        return (("authorization", f"Bearer {token}"),)

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        repeatable: bool,
        timeout_s: float | None = None,
    ) -> Response:
        """Make a unary call. Raises ApiError.

        A repeatable call (a read, or a change under a request id or fence) is made again while the router answers
        UNAVAILABLE, with full jitter, within the deadline.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + (self.timeout_s if timeout_s is None else timeout_s)
        for attempt in itertools.count():
            try:
                return await method(request, timeout=max(0.0, deadline - clock()), metadata=self.metadata())
            except grpc.aio.AioRpcError as error:
                failure = from_rpc_error(error)
                pause = self._pause(failure, attempt) if repeatable else None
                if pause is None or clock() + pause >= deadline:
                    raise failure from error
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    def _pause(self, failure: ApiError, attempt: int) -> float | None:
        if failure.code is not grpc.StatusCode.UNAVAILABLE or attempt + 1 >= self._attempts:
            return None
        return max(failure.retry_after_s or 0.0, self.backoff.delay(attempt))

    def _secure_channel(self, tls: Tls) -> grpc.aio.Channel:
        options = list(self._options)
        if tls.server_name:
            options.append(("grpc.ssl_target_name_override", tls.server_name))
        credentials = grpc.ssl_channel_credentials(
            tls.root_certificates, tls.private_key, tls.certificate_chain
        )
        return grpc.aio.secure_channel(self.address, credentials, options=options)


def is_local(address: str) -> bool:
    """Say whether an address is on this machine."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host = address.removeprefix("dns:///").removeprefix("dns:").rpartition(":")[0].strip("[]") or address
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
