"""The gRPC server of one process: what it listens on, what it allows, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped, unused-ignore]

from router.config import ConfigError, Settings
from router.dispatch.router import Router
from router.domain.errors import RouterError
from router.rpc.agents import MAX_WAIT_MS, AgentService
from router.rpc.auth import Authenticator
from router.rpc.interceptors import Edge
from router.rpc.streams import Drain
from router.rpc.supervision import SupervisionService
from router.rpc.tasks import TaskService
from router.rpc.telephony import TelephonyService
from router.v1 import (
    agents_pb2,
    agents_pb2_grpc,
    supervision_pb2,
    supervision_pb2_grpc,
    tasks_pb2,
    tasks_pb2_grpc,
    telephony_pb2,
    telephony_pb2_grpc,
)

MAX_RECEIVE_BYTES = 16 * 1024 * 1024
MAX_SEND_BYTES = 64 * 1024 * 1024
"""A page of 1000 tasks with the largest payload just fits."""
MAX_METADATA_BYTES = 16 * 1024
MAX_PENDING = 20_000
"""Calls that may wait to be taken up. The default refuses a burst of reconnecting desktops at random."""
KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS = 10_000, 5_000
PROBE_S = 1.0
"""How often the health service asks the store."""
PROBE_TIMEOUT_S = 2.0

SERVICES = tuple(
    file.DESCRIPTOR.services_by_name[name].full_name
    for file, name in (
        (tasks_pb2, "TaskService"),
        (agents_pb2, "AgentService"),
        (telephony_pb2, "TelephonyService"),
        (supervision_pb2, "SupervisionService"),
    )
)
LONGER_S = {"/router.v1.AgentService/GetNextTask": MAX_WAIT_MS / 1000}

_Health = health_pb2.HealthCheckResponse
log = logging.getLogger(__name__)


def options(share_port: bool) -> list[tuple[str, int]]:
    """Settings of the transport. ``share_port``: several processes listen on one port (SO_REUSEPORT)."""
    return [
        ("grpc.so_reuseport", int(share_port)),
        # Not public, so a test of a burst guards them.
        ("grpc.server.max_pending_requests", MAX_PENDING),
        ("grpc.server.max_pending_requests_hard_limit", 2 * MAX_PENDING),
        ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
        ("grpc.max_send_message_length", MAX_SEND_BYTES),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        # A client that froze is found by a ping that is not answered; the keepalive timeout alone takes a minute.
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_TIMEOUT_MS),
    ]


def credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """TLS, with client certificates where an authority for them is given. Raises ConfigError."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    _check_tls_files(settings)
    pair = (settings.tls_key.read_bytes(), settings.tls_cert.read_bytes())
    authority = settings.tls_client_ca.read_bytes() if settings.tls_client_ca else None
    # Without tokens a certificate is the only identity; with them a client may bring either.
    required = authority is not None and settings.jwt_key is None
    return grpc.ssl_server_credentials([pair], authority, required)


def _check_tls_files(settings: Settings) -> None:
    """gRPC says of files that do not fit only that the address could not be had."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    option = "tls_cert"
    try:
        context.load_cert_chain(str(settings.tls_cert), str(settings.tls_key), password="")
        option = "tls_client_ca"
        if settings.tls_client_ca:
            context.load_verify_locations(str(settings.tls_client_ca))
    except (OSError, ValueError) as error:
        files = (
            "PEM certificate and key that belong together" if option == "tls_cert" else "a PEM certificate"
        )
        raise ConfigError([(option, f"cannot be used ({error}); give {files}")]) from None


class Server:
    """The listening side of one process. ``start``, then ``drain`` and ``stop``."""

    def __init__(
        self,
        router: Router,
        settings: Settings,
        outer: Sequence[grpc.aio.ServerInterceptor] = (),
        share_port: bool = False,
    ) -> None:
        """``outer``: interceptors around all others."""
        self._router = router
        self._settings = settings
        self._drain = Drain()
        self._health = health.aio.HealthServicer()
        self._probing: asyncio.Task[None] | None = None
        self.port = 0
        self._started = False
        edge = Edge(Authenticator(settings), self._drain, settings.call_timeout_s, LONGER_S)
        self._server = grpc.aio.server(interceptors=[*outer, edge], options=options(share_port))
        self._add_services()

    def _add_services(self) -> None:
        server, router, heartbeat_s = self._server, self._router, self._settings.heartbeat_s
        tasks_pb2_grpc.add_TaskServiceServicer_to_server(TaskService(router), server)
        agents_pb2_grpc.add_AgentServiceServicer_to_server(
            AgentService(router, self._drain, heartbeat_s), server
        )
        telephony_pb2_grpc.add_TelephonyServiceServicer_to_server(
            TelephonyService(router, self._drain), server
        )
        supervision_pb2_grpc.add_SupervisionServiceServicer_to_server(SupervisionService(router), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self._settings.reflection:
            from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped, unused-ignore]

            reflection.enable_server_reflection(
                [*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME], server
            )

    async def start(self) -> None:
        """Listen. Raises ConfigError when the address cannot be had."""
        await self._set_health(False)
        secure = credentials(self._settings)
        address = self._settings.listen
        try:
            if secure:
                self.port = self._server.add_secure_port(address, secure)
            else:
                self.port = self._server.add_insecure_port(address)
        except RuntimeError:
            text = f"cannot listen on {address}: it is taken, or no address of this machine; choose another"
            raise ConfigError([("listen", text)]) from None
        await self._server.start()
        self._started = True
        await self._probe()
        self._probing = asyncio.create_task(self._keep_probing())

    async def drain(self) -> None:
        """Tell balancers and streams that this process ends."""
        await self._health.enter_graceful_shutdown()
        self._drain.begin(self._router.clock.now_ms(), self._settings.drain_s)

    async def stop(self) -> None:
        """Take no more calls, give those under way the drain's time, and end."""
        if self._probing:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        if not self._started:  # grpc.aio waits for ever for the end of a server that never began
            return
        await self._server.stop(self._settings.drain_s + 1.0 if self._drain.begun else None)

    # -- health ----------------------------------------------------------------------------------------
    async def _keep_probing(self) -> None:
        while True:
            await asyncio.sleep(PROBE_S)
            await self._probe()

    async def _probe(self) -> None:
        serving = False
        with contextlib.suppress(RouterError, TimeoutError):
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await self._router.store.ping()
                serving = True
        await self._set_health(serving)

    async def _set_health(self, serving: bool) -> None:
        status = _Health.SERVING if serving else _Health.NOT_SERVING
        for service in _served():
            await self._health.set(service, status)


def _served() -> Sequence[str]:
    return ("", *SERVICES)
