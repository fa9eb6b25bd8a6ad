"""Is this a store that may hold the router's work? Asked once, before the first write.

A store that evicts keys under memory pressure loses tasks without a word, an old one lacks what the scripts need, and
one that keeps less than it should breaks a promise. All are refused at the start, with the setting to change.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ResponseError

from router.domain.durability import Durability

OLDEST = {"redis": (7, 0), "valkey": (7, 2)}
REQUIRED_POLICY = "noeviction"


@dataclass(frozen=True, slots=True)
class Need:
    """A setting that a durability rests on, and the values that will do, the one to write first."""

    setting: str
    values: tuple[str, ...] = ()
    at_least: int = 0
    """For a setting that is a number."""

    def __str__(self) -> str:
        return f"{self.setting} {self.values[0] if self.values else self.at_least}"

    def met(self, value: str) -> bool:
        """Whether a value will do."""
        return value in self.values if self.values else int(value) >= self.at_least


_FILE = Need("appendonly", ("yes",))
# While its file is rewritten, a server with this set to yes writes nothing out, whatever appendfsync says.
_EVEN_THEN = Need("no-appendfsync-on-rewrite", ("no",))
_STANDARD = (_FILE, Need("appendfsync", ("everysec", "always")), _EVEN_THEN)
_DURABLE = (_FILE, Need("appendfsync", ("always",)), _EVEN_THEN)
# A max-lag of 0 switches min-replicas-to-write off.
_HA = (*_DURABLE, Need("min-replicas-to-write", at_least=1), Need("min-replicas-max-lag", at_least=1))
NEEDS: dict[Durability, tuple[Need, ...]] = {"dev": (), "standard": _STANDARD, "durable": _DURABLE, "ha": _HA}

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


@dataclass(frozen=True, slots=True)
class Found:
    """What the check has found: the store, and the settings of its durability that it does not tell."""

    store: StoreIdentity
    untold: tuple[str, ...] = ()


async def check_store(client: Redis | RedisCluster, durability: Durability = "dev") -> Found:
    """Refuse a store that is too old, may evict, or keeps less than asked; of a cluster, look at each primary.

    Raises ``UnfitStoreError``, and what the client raises for a store that does not answer.
    """
    found = [await _check_server(ask, durability) for ask in await _servers(client)]
    return next((server for server in found if server.untold), found[0])


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


def refuse_weaker(store: StoreIdentity, durability: Durability, told: dict[str, str]) -> tuple[str, ...]:
    """The settings that the store does not tell. Raises ``UnfitStoreError`` when those it tells are too weak."""
    needs = NEEDS[durability]
    if wrong := [need for need in needs if need.setting in told and not need.met(told[need.setting])]:
        is_now = ", ".join(f"{need.setting} {told[need.setting]}" for need in wrong)
        raise UnfitStoreError(
            f"{store} has {is_now}, which is too weak for --durability {durability}: "
            f"set {', '.join(map(str, wrong))}, or start the router with --durability {_strongest(told)}"
        )
    return tuple(need.setting for need in needs if need.setting not in told)


def _strongest(told: dict[str, str]) -> Durability:
    """The strongest durability that the settings allow."""
    met = [
        d for d in get_args(Durability) if all(n.setting in told and n.met(told[n.setting]) for n in NEEDS[d])
    ]
    strongest: Durability = met[-1]
    return strongest


async def _servers(client: Redis | RedisCluster) -> list[Ask]:
    if isinstance(client, Redis):
        return [client.execute_command]
    await client.initialize()
    return [partial(client.execute_command, target_nodes=node) for node in client.get_primaries()]


async def _check_server(ask: Ask, durability: Durability) -> Found:
    store = identify(await ask("INFO", "server"))
    refuse_old(store)
    refuse_eviction(store, await _eviction_policy(ask))
    return Found(store, refuse_weaker(store, durability, await told_by(ask) if NEEDS[durability] else {}))


async def told_by(ask: Ask) -> dict[str, str]:
    """What the server tells of its durability: by CONFIG, and as far as INFO goes where that is forbidden."""
    wanted = [need.setting for need in NEEDS["ha"]]
    try:
        settings = await ask("CONFIG GET", *wanted)
    except ResponseError:
        settings = {}
    told = {name: str(value) for name, value in settings.items()}
    return told if len(told) == len(wanted) else await _told_by_info(ask) | told


async def _told_by_info(ask: Ask) -> dict[str, str]:
    persistence, replication = await ask("INFO", "persistence"), await ask("INFO", "replication")
    told = (
        {"appendonly": "yes" if persistence["aof_enabled"] else "no"} if "aof_enabled" in persistence else {}
    )
    # How many replicas are good is told only where a number of them is required, within a lag.
    if replication and "min_slaves_good_slaves" not in replication:
        told["min-replicas-to-write"] = "0"
    elif replication:
        told |= {"min-replicas-to-write": "1", "min-replicas-max-lag": "1"}
    return told


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
