"""The stores that the tests run on: in memory, a real single Valkey, a real cluster of one node."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from router.state.embedded import EmbeddedStore
from router.state.memory import MemoryStore
from router.state.redis import RedisStore
from tests.support.builders import T0
from tests.support.stage import DumpStore

MEMORY, SINGLE, CLUSTER = "memory", "single", "cluster"
STORES = (MEMORY, SINGLE, CLUSTER)

_site_numbers = itertools.count(1)


class FixedClock:
    """A clock that stands where it was put."""

    def __init__(self, now_ms: int = T0) -> None:
        self.time_ms = now_ms

    def now_ms(self) -> int:
        """The time given."""
        return self.time_ms

    def monotonic(self) -> float:
        """The same time in seconds."""
        return self.time_ms / 1000

    async def sleep(self, seconds: float) -> None:
        """Time passes at once."""
        self.time_ms += round(seconds * 1000)


@contextlib.contextmanager
def running_valkey(directory: Path, *, cluster: bool) -> Iterator[str]:
    """A Valkey of our own for a whole test session; its URL. Nothing it writes needs to survive."""
    loop = asyncio.new_event_loop()
    server = EmbeddedStore(directory, durability="dev", cluster=cluster)
    loop.run_until_complete(server.__aenter__())
    try:
        yield server.url
    finally:
        loop.run_until_complete(server.__aexit__(None, None, None))
        loop.close()


@contextlib.asynccontextmanager
async def opened(url: str | None) -> AsyncIterator[DumpStore]:
    """The store at ``url``, or a new one in memory; closed at the end."""
    store: DumpStore = MemoryStore(FixedClock()) if url is None else await RedisStore.open(url)
    try:
        yield store
    finally:
        await store.close()


def fresh_site() -> str:
    """A site that no other test of this process uses."""
    return f"site{os.getpid()}-{next(_site_numbers)}"
