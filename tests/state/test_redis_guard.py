"""Which stores the router accepts, and the words in which it refuses the others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from router.state.embedded import EmbeddedStore
from router.state.redis_guard import UnfitStoreError, check_store, identify, refuse_eviction, refuse_old

CASES: list[tuple[dict[str, Any], bool]] = [
    ({"redis_version": "7.0.0"}, True),
    ({"redis_version": "8.2.1"}, True),
    ({"redis_version": "10.0.0"}, True),
    ({"redis_version": "6.2.14"}, False),
    ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "7.2.5"}, True),
    ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, True),
    ({"redis_version": "7.2.4", "valkey_version": "7.1.0"}, False),
    ({"redis_version": 7.0}, True),
    ({}, False),
]


@pytest.mark.parametrize(("info", "accepted"), CASES)
def test_versions(info: dict[str, Any], accepted: bool) -> None:
    if accepted:
        refuse_old(identify(info))
        return
    with pytest.raises(UnfitStoreError, match=r"needs Redis 7\.0 or Valkey 7\.2, or newer"):
        refuse_old(identify(info))


def test_a_policy_that_nobody_tells_is_refused() -> None:
    with pytest.raises(UnfitStoreError, match="neither by CONFIG GET nor by INFO memory"):
        refuse_eviction(identify({"redis_version": "7.4.0"}), None)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Redis]:
    async with EmbeddedStore(tmp_path) as store, Redis.from_url(store.url) as client:
        yield client


@pytest.mark.store
async def test_the_embedded_store_is_accepted(client: Redis) -> None:
    assert str(await check_store(client)).startswith("Valkey 9.")


@pytest.mark.store
@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_an_evicting_store_is_refused(client: Redis, policy: str) -> None:
    await client.config_set("maxmemory-policy", policy)
    with pytest.raises(
        UnfitStoreError, match=rf"has maxmemory-policy {policy} .*set maxmemory-policy noeviction"
    ):
        await check_store(client)


@pytest.mark.store
@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lfu"])
async def test_without_config_the_policy_is_read_from_info(client: Redis, policy: str) -> None:
    await client.config_set("maxmemory-policy", policy)
    await client.execute_command("ACL", "SETUSER", "default", "-config")
    if policy == "noeviction":
        await check_store(client)
        return
    with pytest.raises(UnfitStoreError, match=policy):
        await check_store(client)


@pytest.mark.cluster
async def test_each_primary_of_a_cluster_is_checked(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path, cluster=True) as store, RedisCluster.from_url(store.url) as cluster:
        await check_store(cluster)
        async with Redis.from_url(store.url) as node:
            await node.config_set("maxmemory-policy", "allkeys-random")
        with pytest.raises(UnfitStoreError, match="allkeys-random"):
            await check_store(cluster)
