"""What a case runs on: a store, a router, the bare server, and the processes that make the load."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped, unused-ignore]

from clients import Connection, Supervisor
from loadtests.bench.children import Child, ChildFailedError
from loadtests.bench.valkey import Valkey, free_port, until, valkey

SITE = "bench"
# No desktop speaks without cause: what a heartbeat costs is told by nothing else here.
_HEARTBEAT_S = 300.0
_START_S = 30.0
# A client that found nobody there asks again soon.
_SOON = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
]


class Generator:
    """A process that makes load, asked in lines of JSON."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._lock = asyncio.Lock()

    async def ask(self, action: str, timeout_s: float = 120.0, **arguments: Any) -> Any:
        """Let it do something; its answer. Raises ChildFailedError with what went wrong there."""
        async with self._lock:
            line = json.dumps({"action": action, "arguments": arguments}) + "\n"
            try:
                answer = await asyncio.wait_for(asyncio.to_thread(self._exchange, line), timeout_s)
            except TimeoutError:
                raise ChildFailedError(f"{self.child.name}: {action} took over {timeout_s:g} s") from None
        if "error" in answer:
            raise ChildFailedError(f"{self.child.name}: {action}: {answer['error']}")
        return answer["result"]

    def _exchange(self, line: str) -> dict[str, Any]:
        process = self.child.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line.encode())
        process.stdin.flush()
        if not (answer := process.stdout.readline()):
            return {"error": f"it ended:\n{self.child.log_tail()}"}
        found: dict[str, Any] = json.loads(answer)
        return found


@dataclass(slots=True)
class Parts:
    """CPU time (s) of router, store and client at one moment."""

    router: float
    store: float
    client: float

    def since(self, before: Self, calls: int) -> dict[str, float]:
        """CPU (µs) per call of each since another moment."""
        pairs = (("router", self.router, before.router), ("store", self.store, before.store))
        spent = {name: 1e6 * (now - then) / max(1, calls) for name, now, then in pairs}
        return {**spent, "client": 1e6 * (self.client - before.client) / max(1, calls)}


@dataclass(slots=True)
class Stage:
    """Everything of one case; ends with its context."""

    folder: Path
    stack: AsyncExitStack
    stores: list[Valkey] = field(default_factory=list)
    generators: list[Generator] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def store(self) -> Valkey:
        """The store, started by the first who asks."""
        if not self.stores:
            self.stores.append(await self.stack.enter_async_context(valkey(self.folder)))
        return self.stores[0]

    async def another_store(self) -> Valkey:
        """One more store: two routers on one would do each other's work."""
        name = f"valkey{next(self.numbers)}"
        self.stores.append(await self.stack.enter_async_context(valkey(self.folder, name)))
        return self.stores[-1]

    async def router(self, *options: str, url: str = "") -> Router:
        """One more router, on the stage's store or another."""
        url = url or (await self.store()).url
        name = f"router{next(self.numbers)}"
        return await self.stack.enter_async_context(router(self.folder, name, url, *options))

    async def bare(self) -> Bare:
        """The bare server, on the same store."""
        child = Child(
            "bare",
            [sys.executable, "-m", "loadtests.bare", str((await self.store()).socket)],
            self.folder,
            talks=True,
        )
        self.stack.enter_context(child)
        assert child.process.stdout is not None
        port = (await asyncio.to_thread(child.process.stdout.readline)).decode().strip()
        if not port:
            raise ChildFailedError(f"the bare server did not start:\n{child.log_tail()}")
        return Bare(child, f"127.0.0.1:{port}")

    async def generator(self, name: str) -> Generator:
        """One more process that makes load."""
        command = [sys.executable, "-m", "loadtests.bench.load"]
        child = self.stack.enter_context(Child(name, command, self.folder, talks=True))
        self.generators.append(Generator(child))
        return self.generators[-1]

    def parts(self, server: Router | Bare) -> Parts:
        """CPU used until now, by part."""
        store = sum(one.child.cpu_s() for one in self.stores)
        return Parts(server.child.cpu_s(), store, sum(one.child.cpu_s() for one in self.generators))

    def supervisor(
        self, router: Router, site: str = SITE
    ) -> contextlib.AbstractAsyncContextManager[Supervisor]:
        """A supervisor of a site, as long as a context."""
        return supervisor(router.address, site)


@dataclass(frozen=True, slots=True)
class Router:
    """A router that runs."""

    child: Child
    address: str


@dataclass(frozen=True, slots=True)
class Bare:
    """A bare server that runs."""

    child: Child
    address: str


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """An empty stage in a folder, which is there."""
    async with AsyncExitStack() as stack:
        yield Stage(folder, stack)


@asynccontextmanager
async def router(folder: Path, name: str, url: str, *options: str) -> AsyncIterator[Router]:
    """A healthy router as long as the context; raises ChildFailedError. Without a URL it starts its own store."""
    address = f"127.0.0.1:{free_port()}"
    with Child(name, serve_command(folder / f"{name}-data", address, url, *options), folder) as child:
        await healthy(address, child)
        yield Router(child, address)


async def healthy(address: str, child: Child) -> None:
    """Return when a router serves; raises ChildFailedError."""
    async with grpc.aio.insecure_channel(address, _SOON) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        await until(lambda: _serves(health), f"{child.name} is not healthy", child, _START_S)


def serve_command(data: Path, address: str, url: str, *options: str) -> Sequence[str]:
    """The command line of a router."""
    return [
        *(sys.executable, "-m", "router.cli.main", "serve", "--dev", "--listen", address),
        *("--data-dir", str(data), "--heartbeat-s", str(_HEARTBEAT_S), "--log-level", "warning"),
        *(("--redis-url", url) if url else ()),
        *options,
    ]


async def _serves(health: health_pb2_grpc.HealthStub) -> bool:
    with contextlib.suppress(grpc.aio.AioRpcError):
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
    return False


@asynccontextmanager
async def supervisor(address: str, site: str) -> AsyncIterator[Supervisor]:
    """A supervisor of a site, as long as the context."""
    async with Connection(address, token=f"dev:{site}:supervisor:sue", site=site, timeout_s=60) as connection:
        yield Supervisor(connection)
