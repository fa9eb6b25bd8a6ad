"""Opens the store that the options name: in memory, our own Valkey, or one by its URL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from redis.exceptions import RedisError

from router.domain.durability import Durability
from router.domain.ports import Clock, Store
from router.state.embedded import EmbeddedStore, EmbeddedStoreError
from router.state.redis import RedisStore
from router.state.redis.client import Connections, as_store_error
from router.state.redis_guard import check_store

MEMORY_URL = "memory://"
"""A store that ends with the process: for trying out and for tests."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the store is, and what it is to survive. ``lost`` is set when a store of our own has ended by itself."""

    url: str
    durability: Durability
    about: str
    lost: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def placed(url: str, data_dir: Path, durability: Durability) -> AsyncIterator[Place]:
    """The store's place; without a URL our own store runs there as long as the context.

    Raises ``EmbeddedStoreError`` when it cannot be started; of a store by its URL ``StoreUnavailable`` when it does
    not answer and ``UnfitStoreError`` when it might lose work.
    """
    if url == MEMORY_URL:
        yield Place(url, "dev", "in memory, nothing is kept")
        return
    if url:
        yield Place(url, durability, f"{_without_secrets(url)}, {await _check(url, durability)}")
        return
    if durability == "ha":
        raise EmbeddedStoreError("one server cannot be ha: name a store that has a replica with --redis-url")
    async with EmbeddedStore(data_dir, durability=durability) as server:
        place = Place(server.url, durability, f"own Valkey in {data_dir}, durability {durability}")
        watch = asyncio.create_task(_watch(server, place))
        try:
            yield place
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


@asynccontextmanager
async def opened(place: Place, clock: Clock) -> AsyncIterator[Store]:
    """The store at a place. Raises ``StoreUnavailable`` when it does not answer."""
    if place.url == MEMORY_URL:
        from router.state.memory.store import MemoryStore

        store: Store = MemoryStore(clock)
    else:
        store = await RedisStore.open(place.url, replicated=place.durability == "ha")
    try:
        yield store
    finally:
        await store.close()


async def _check(url: str, durability: Durability) -> str:
    """Refuse an unfit store before anything is written to it; its durability in words, with what is not certain."""
    connections = Connections(url)
    try:
        found = await check_store(connections.client, durability)
    except (RedisError, OSError) as error:
        raise as_store_error(error) from error
    finally:
        await connections.close()
    log.info("the store is %s", found.store)
    if not found.untold:
        return f"durability {durability}"
    untold = ", ".join(found.untold)
    log.warning(
        "durability %s is not certain: the store does not tell its %s; allow CONFIG GET", durability, untold
    )
    return f"durability {durability} not certain, the store does not tell its {untold}"


async def _watch(server: EmbeddedStore, place: Place) -> None:
    code = await server.wait()
    log.critical("our own store ended with code %s; its log is %s", code, server.log_path)
    place.lost.set()


def _without_secrets(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
