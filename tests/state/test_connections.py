"""Every kind of store that a URL can name, on real servers: password, TLS, Sentinel, a cluster of several."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.domain.errors import StoreUnavailable
from router.domain.ports import Hint
from router.state.redis import RedisStore
from tests.support.certificates import self_signed
from tests.support.servers import ask, cluster, free_port, server
from tests.support.stage import Stage
from tests.support.wait import wait_until

pytestmark = [pytest.mark.store, pytest.mark.timeout(60)]


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[RedisStore]:
    store = await RedisStore.open(url, timeout_s=3.0)
    try:
        yield store
    finally:
        await store.close()


async def walk_a_task(store: RedisStore, site: str) -> None:
    """Submit, offer, accept and complete, with its hints."""
    heard: list[Hint] = []
    stop = store.listen("w1", heard.append)
    await store.listening()
    stage = Stage(store, site)
    await stage.agent()
    await stage.add()
    task = await stage.offer()
    await store.accept(site, "t1", "ann", task.fence, now_ms=stage.now)
    await store.complete(site, "t1", "ann", task.fence, b"", "", now_ms=stage.now)
    await wait_until(lambda: "offer" in [hint.kind for hint in heard], "the offer's hint should come")
    stop()


async def test_a_store_with_a_password(tmp_path: Path) -> None:
    async with server(tmp_path, "--requirepass", "secret") as port:
        async with opened(f"redis://:secret@127.0.0.1:{port}") as store:
            await walk_a_task(store, "a")
        with pytest.raises(StoreUnavailable):
            await RedisStore.open(f"redis://:wrong@127.0.0.1:{port}")


@contextlib.asynccontextmanager
async def behind_tls(folder: Path, port: int) -> AsyncIterator[str]:
    """A proxy that speaks TLS for a server that cannot; the URL."""
    certificate, key = self_signed(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    outside = free_port()
    proxy = await asyncio.start_server(serve, "127.0.0.1", outside, ssl=context)
    try:
        yield f"rediss://localhost:{outside}?ssl_ca_certs={certificate}"
    finally:
        proxy.close()


async def test_a_store_behind_tls(tmp_path: Path) -> None:
    async with server(tmp_path) as port, behind_tls(tmp_path, port) as url:
        async with opened(url) as store:
            await walk_a_task(store, "a")
        with pytest.raises(StoreUnavailable):
            await RedisStore.open(url.partition("?")[0])


async def goes_on(store: RedisStore, site: str, id: str) -> None:
    """New work is taken again, after refusals that say that the store is not there."""
    stage = Stage(store, site)

    async def taken() -> bool:
        try:
            await stage.add(id)
        except StoreUnavailable:
            return False
        return True

    await wait_until(taken, "the new primary should take work", 20)
    assert (await store.task(site, id)).id == id


async def test_sentinel_leads_to_the_new_primary(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        primary = await stack.enter_async_context(server(tmp_path))
        replica = await stack.enter_async_context(
            server(tmp_path, "--replicaof", "127.0.0.1 " + str(primary))
        )
        sentinel = await stack.enter_async_context(server(tmp_path, sentinel=True))
        await ask(sentinel, "SENTINEL", "MONITOR", "work", "127.0.0.1", primary, 1)

        async def follows() -> bool:
            return bool(await ask(sentinel, "SENTINEL", "REPLICAS", "work"))

        await wait_until(follows, "sentinel should find the replica", 20)
        async with opened(f"sentinel://127.0.0.1:{sentinel}/work") as store:
            await walk_a_task(store, "a")

            async def begun() -> bool:
                with contextlib.suppress(Exception):
                    await ask(sentinel, "SENTINEL", "FAILOVER", "work")
                    return True
                return False

            await wait_until(begun, "sentinel should begin a failover", 20)

            async def promoted() -> bool:
                return "role:master" in _text(await ask(replica, "INFO", "replication"))

            await wait_until(promoted, "the replica should be promoted", 20)
            await goes_on(store, "a", "after")


def _text(info: object) -> str:
    return (
        "\n".join(f"{name}:{value}" for name, value in info.items()) if isinstance(info, dict) else str(info)
    )


async def test_sites_spread_over_a_cluster_and_survive_the_change_of_a_primary(tmp_path: Path) -> None:
    async with (
        cluster(tmp_path, primaries=3, replicas=1) as ports,
        opened(f"cluster://127.0.0.1:{ports[0]}") as store,
    ):
        sites = [f"site{number}" for number in range(12)]
        for site in sites:
            await walk_a_task(store, site)
        sizes = [await ask(port, "DBSIZE") for port in ports[:3]]
        assert all(isinstance(size, int) and size > 10 for size in sizes), sizes
        await ask(ports[3], "CLUSTER", "FAILOVER")
        for site in sites:
            await goes_on(store, site, "after")
