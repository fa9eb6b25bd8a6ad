"""The composition root: one application for production, tests and the demo."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc

from router.config import ConfigError, Settings
from router.dispatch.clock import SystemClock
from router.dispatch.router import DispatchSettings, Router
from router.domain.ports import Clock, Ids, Store
from router.rpc.server import Server
from router.state.factory import Place, opened, placed


class RandomIds:
    """Ids of random digits; task ids begin with the time, so that later ones sort after earlier ones."""

    def task_id(self) -> str:
        """Eleven hex digits of time, ten of chance."""
        return f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(5)}"

    def token(self) -> str:
        """Sixteen hex digits."""
        return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class App:
    """A router that runs: its store, its use cases, and the server on ``port``."""

    settings: Settings
    store: Store
    router: Router
    server: Server

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self.server.port

    @property
    def address(self) -> str:
        """Where clients on this machine reach it."""
        return f"{self.settings.listen.rpartition(':')[0]}:{self.port}"

    async def drain(self) -> None:
        """Say goodbye: balancers and streams are told, calls under way end, within the drain's time."""
        await self.server.drain()
        self.router.drain()
        await self.server.stop()


@asynccontextmanager
async def build(
    settings: Settings,
    store: Store | None = None,
    clock: Clock | None = None,
    ids: Ids | None = None,
    *,
    share_port: bool = False,
) -> AsyncIterator[App]:
    """Open the store (unless one is given), start router and server; everything ends with the context.

    Raises ConfigError, EmbeddedStoreError, UnfitStoreError or StoreUnavailable, each with what to do.
    """
    clock, ids = clock or SystemClock(), ids or RandomIds()
    async with AsyncExitStack() as stack:
        if store is None:
            place = await stack.enter_async_context(place_of(settings))
            store = await stack.enter_async_context(opened(place, clock))
        yield await _assemble(settings, store, clock, ids, stack, share_port)


async def _assemble(
    settings: Settings, store: Store, clock: Clock, ids: Ids, stack: AsyncExitStack, share_port: bool
) -> App:
    metrics = _metrics(settings, stack)
    kept = DispatchSettings(recording_ms=round(settings.recording_hours * 3_600_000))
    router = Router(store, clock, ids, ids.token(), kept)
    stack.push_async_callback(router.stop)
    await router.start()
    server = Server(router, settings, metrics, share_port)
    stack.push_async_callback(server.stop)
    await server.start()
    return App(settings, store, router, server)


def place_of(settings: Settings) -> contextlib.AbstractAsyncContextManager[Place]:
    """Where the store of these settings is; our own one runs as long as the context."""
    return placed(settings.redis_url, settings.data_dir, settings.durability)


def _metrics(settings: Settings, stack: AsyncExitStack) -> list[grpc.aio.ServerInterceptor]:
    if settings.metrics_port is None:
        return []
    # Half a second of imports that only those who ask for metrics need to wait for.
    from router.rpc.telemetry import CallMetrics, Telemetry

    try:
        telemetry = Telemetry(settings.metrics_port)
    except OSError as error:
        text = f"cannot listen on port {settings.metrics_port} ({error.strerror}); choose another"
        raise ConfigError([("metrics_port", text)]) from None
    stack.callback(telemetry.close)
    return [CallMetrics(telemetry.meter)]
