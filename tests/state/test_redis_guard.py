"""Which stores the router accepts, and the words in which it refuses the others."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from router.domain.durability import Durability
from router.state.embedded import EmbeddedStore
from router.state.factory import placed
from router.state.redis_guard import (
    UnfitStoreError,
    check_store,
    identify,
    refuse_eviction,
    refuse_old,
    refuse_weaker,
    told_by,
)
from tests.support.servers import ask, cluster

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
    assert str((await check_store(client, "standard")).store).startswith("Valkey 9.")


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


STANDARD = {"appendonly": "yes", "appendfsync": "everysec", "no-appendfsync-on-rewrite": "no"}
DURABLE = STANDARD | {"appendfsync": "always"}
ALONE = {"min-replicas-to-write": "0", "min-replicas-max-lag": "10"}
HA = DURABLE | ALONE | {"min-replicas-to-write": "2"}
WEAKER: list[tuple[Durability, dict[str, str], str]] = [
    (
        "standard",
        STANDARD | {"appendonly": "no"},
        "set appendonly yes, or start the router with --durability dev",
    ),
    ("standard", STANDARD | {"appendfsync": "no"}, "set appendfsync everysec, or start .* --durability dev"),
    (
        "standard",
        STANDARD | {"no-appendfsync-on-rewrite": "yes"},
        "set no-appendfsync-on-rewrite no, or start",
    ),
    ("durable", STANDARD, "has appendfsync everysec, .* set appendfsync always, or .* --durability standard"),
    (
        "ha",
        DURABLE | ALONE,
        "has min-replicas-to-write 0, .* set min-replicas-to-write 1, or .* --durability durable",
    ),
    ("ha", HA | {"min-replicas-max-lag": "0"}, "set min-replicas-max-lag 1, or .* --durability durable"),
    ("ha", STANDARD | ALONE, "set appendfsync always, min-replicas-to-write 1, or .* --durability standard"),
]
ENOUGH: list[tuple[Durability, dict[str, str]]] = [
    ("dev", {}),
    ("dev", HA),
    ("standard", STANDARD),
    ("standard", DURABLE),
    ("durable", HA),
    ("ha", HA),
]


@pytest.mark.parametrize(("durability", "told", "words"), WEAKER)
def test_settings_that_are_too_weak_are_refused(
    durability: Durability, told: dict[str, str], words: str
) -> None:
    with pytest.raises(UnfitStoreError, match=f"too weak for --durability {durability}") as caught:
        refuse_weaker(identify({"redis_version": "7.4.0"}), durability, told)
    assert re.search(words, str(caught.value)), caught.value


@pytest.mark.parametrize(("durability", "told"), ENOUGH)
def test_settings_that_are_strong_enough_are_accepted(durability: Durability, told: dict[str, str]) -> None:
    assert refuse_weaker(identify({"redis_version": "7.4.0"}), durability, told) == ()


@pytest.mark.store
async def test_a_store_that_keeps_less_than_asked_is_refused(client: Redis) -> None:
    with pytest.raises(UnfitStoreError, match=r"set appendfsync always, or .* --durability standard"):
        await check_store(client, "durable")
    await client.config_set("appendfsync", "always")
    await check_store(client, "durable")
    with pytest.raises(UnfitStoreError, match=r"set min-replicas-to-write 1, or .* --durability durable"):
        await check_store(client, "ha")
    await client.config_set("min-replicas-to-write", 1)
    await check_store(client, "ha")


async def test_what_config_leaves_out_is_read_from_info() -> None:
    """Some hosted stores tell a few settings only."""

    async def ask(*words: str) -> dict[str, Any]:
        answers = {"CONFIG GET": {"appendfsync": "always"}, "INFO": {"aof_enabled": 1, "role": "master"}}
        return answers[words[0]]

    assert await told_by(ask) == {
        "appendfsync": "always",
        "appendonly": "yes",
        "min-replicas-to-write": "0",
    }


@pytest.mark.store
async def test_without_config_what_cannot_be_told_is_said(client: Redis) -> None:
    await client.config_set("min-replicas-to-write", 1)
    await client.execute_command("ACL", "SETUSER", "default", "-config")
    found = await check_store(client, "ha")
    assert found.untold == ("appendfsync", "no-appendfsync-on-rewrite")


@pytest.mark.store
@pytest.mark.parametrize(
    ("name", "value", "durability", "words"),
    [
        ("appendonly", "no", "standard", "has appendonly no"),
        ("min-replicas-to-write", "0", "ha", "has min-replicas-to-write 0"),
    ],
)
async def test_without_config_what_info_tells_is_enough_to_refuse(
    client: Redis, name: str, value: str, durability: Durability, words: str
) -> None:
    await client.config_set(name, value)
    await client.execute_command("ACL", "SETUSER", "default", "-config")
    with pytest.raises(UnfitStoreError, match=words):
        await check_store(client, durability)


@pytest.mark.store
async def test_the_ready_line_says_what_is_not_certain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with EmbeddedStore(tmp_path) as store, Redis.from_url(store.url) as client:
        async with placed(store.url, tmp_path, "standard") as place:
            assert place.about.endswith("valkey.sock, durability standard")
        assert not caplog.records
        await client.execute_command("ACL", "SETUSER", "default", "-config")
        async with placed(store.url, tmp_path, "standard") as place:
            assert "durability standard not certain, the store does not tell its appendfsync" in place.about
    assert "durability standard is not certain" in caplog.text


@pytest.mark.cluster
async def test_each_primary_of_a_cluster_is_checked(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path, cluster=True) as store, RedisCluster.from_url(store.url) as cluster:
        await check_store(cluster)
        async with Redis.from_url(store.url) as node:
            await node.config_set("maxmemory-policy", "allkeys-random")
        with pytest.raises(UnfitStoreError, match="allkeys-random"):
            await check_store(cluster)


@pytest.mark.cluster
async def test_one_weak_primary_of_a_cluster_is_refused(tmp_path: Path) -> None:
    async with cluster(tmp_path, primaries=2) as ports:
        for port, appendonly in zip(ports, ("yes", "no"), strict=True):
            await ask(port, "CONFIG", "SET", "appendonly", appendonly)
        async with RedisCluster(host="127.0.0.1", port=ports[0]) as client:
            with pytest.raises(UnfitStoreError, match="has appendonly no"):
                await check_store(client, "standard")
            await ask(ports[1], "CONFIG", "SET", "appendonly", "yes")
            await check_store(client, "standard")
