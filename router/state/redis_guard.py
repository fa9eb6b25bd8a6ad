"""Is this a store that may hold the router's work? Asked once, before the first write.

A store that evicts keys under memory pressure loses tasks without a word, and an old one lacks what the
scripts need. Both are refused at the start, with the setting to change.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ResponseError

OLDEST = {"redis": (7, 0), "valkey": (7, 2)}
REQUIRED_POLICY = "noeviction"

# Sends one command to one server and gives its parsed answer.
Ask = Callable[..., Awaitable[Any]]


class UnfitStoreError(RuntimeError):
    """The store would lose work or lacks a command. The message names the store and what to change."""


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """What a server says it is: ``redis`` or ``valkey``, and the version as it writes it."""

    product: str
    version: str

    def __str__(self) -> str:
        return f"{self.product.capitalize()} {self.version}"


async def check_store(client: Redis | RedisCluster) -> StoreIdentity:
    """Refuse a store that is too old or may evict; of a cluster, look at each primary.

    Returns what the store is, for the log. Raises ``UnfitStoreError``, and what the client raises for a store
    that does not answer.
    """
    found = [await _check_server(ask) for ask in await _servers(client)]
    return found[0]


def identify(info: dict[str, Any]) -> StoreIdentity:
    """Who a server is by its INFO: Valkey states Redis 7.2.4 in ``redis_version`` for old clients."""
    if "valkey_version" in info:
        return StoreIdentity("valkey", str(info["valkey_version"]))
    return StoreIdentity("redis", str(info.get("redis_version", "unknown")))


def refuse_old(store: StoreIdentity) -> None:
    """Raises ``UnfitStoreError`` below ``OLDEST``, and for a version that cannot be read."""
    numbers = tuple(int(word) for word in re.findall(r"\d+", store.version)[:2])
    if not numbers or numbers < OLDEST[store.product]:
        raise UnfitStoreError(f"the store is {store}: the router needs Redis 7.0 or Valkey 7.2, or newer")


def refuse_eviction(store: StoreIdentity, policy: str | None) -> None:
    """Raises ``UnfitStoreError`` unless the policy is known and keeps every key."""
    if policy is None:
        raise UnfitStoreError(
            f"{store} tells its maxmemory-policy neither by CONFIG GET nor by INFO memory: "
            f"allow the router's user one of the two"
        )
    if policy != REQUIRED_POLICY:
        raise UnfitStoreError(
            f"{store} has maxmemory-policy {policy} and would drop tasks when memory is short: "
            f"set maxmemory-policy {REQUIRED_POLICY}"
        )


async def _servers(client: Redis | RedisCluster) -> list[Ask]:
    if isinstance(client, Redis):
        return [client.execute_command]
    await client.initialize()
    return [partial(client.execute_command, target_nodes=node) for node in client.get_primaries()]


async def _check_server(ask: Ask) -> StoreIdentity:
    store = identify(await ask("INFO", "server"))
    refuse_old(store)
    refuse_eviction(store, await _eviction_policy(ask))
    return store


async def _eviction_policy(ask: Ask) -> str | None:
    """The policy by CONFIG; hosted stores often forbid that command but still tell it in INFO."""
    try:
        settings = await ask("CONFIG GET", "maxmemory-policy")
    except ResponseError:
        settings = {}
    if not settings:
        settings = {"maxmemory-policy": (await ask("INFO", "memory")).get("maxmemory_policy")}
    policy = settings.get("maxmemory-policy")
    return str(policy) if policy else None
