"""A change is answered when a replica has it: on a real primary with a real replica that can be stopped."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from router.domain.errors import StoreUnavailable
from router.domain.model import Task
from router.domain.ports import Hint, Submitted
from router.state.redis import RedisStore, confirmed
from router.state.redis.keys import key, mark
from router.state.redis.wire import packed
from tests.support.builders import T0, new_task
from tests.support.servers import ask, cluster, pid_of, primary_and_replica, stopped
from tests.support.stage import Stage
from tests.support.wait import wait_until

pytestmark = [pytest.mark.store, pytest.mark.timeout(60)]

SITE = "a"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that is stopped never confirms: 100 ms tell as much as a second."""
    monkeypatch.setattr(confirmed, "_WAIT", packed(("WAIT", 1, 100)))


@pytest.fixture
async def ports(tmp_path: Path) -> AsyncIterator[tuple[int, int]]:
    async with primary_and_replica(tmp_path) as ports:
        yield ports


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[RedisStore]:
    store = await RedisStore.open(url, replicated=True)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(ports: tuple[int, int]) -> AsyncIterator[RedisStore]:
    async with opened(f"redis://127.0.0.1:{ports[0]}") as store:
        yield store


def submit(store: RedisStore, id: str = "t1") -> Awaitable[list[Submitted | Exception]]:
    """Submit a task; tasks whose ids begin with the same two letters have one request id."""
    return store.submit(SITE, [new_task(id, request_id=id[:2], fingerprint="f")], now_ms=T0)


async def taken(submitting: Awaitable[list[Submitted | Exception]]) -> tuple[Task, bool]:
    (answer,) = await submitting
    assert isinstance(answer, Submitted), answer
    return answer.task, answer.created


async def waits(port: int) -> int:
    """How many WAITs a server has been asked so far."""
    found = await ask(port, "INFO", "commandstats")
    assert isinstance(found, dict)
    return int(found.get("cmdstat_wait", {"calls": 0})["calls"])


async def test_what_is_acknowledged_is_on_the_replica(ports: tuple[int, int], store: RedisStore) -> None:
    for number in range(20):
        task, _ = await taken(submit(store, f"{number:02}"))
        assert await ask(ports[1], "HEXISTS", key(SITE, "tasks"), task.id)


async def test_changes_of_one_tick_share_one_wait(ports: tuple[int, int], store: RedisStore) -> None:
    await submit(store)
    before = await waits(ports[0])
    await asyncio.gather(*(submit(store, f"{number:02}") for number in range(30)))
    assert await waits(ports[0]) == before + 1
    assert await store.task(SITE, "29")
    assert await waits(ports[0]) == before + 1, "a look waits for nobody"


async def test_without_the_replica_the_outcome_is_unknown_and_a_repeat_finds_it(
    ports: tuple[int, int], store: RedisStore
) -> None:
    await submit(store, "t0")
    with stopped(await pid_of(ports[1])):
        with pytest.raises(StoreUnavailable, match=r"no replica has confirmed .* it may have been made"):
            await submit(store, "t1-first")
        assert (await store.task(SITE, "t1-first")).id == "t1-first", "looks go on"
    task, created = await taken(submit(store, "t1-again"))
    assert (task.id, created) == ("t1-first", False)
    assert await ask(ports[1], "HEXISTS", key(SITE, "tasks"), "t1-first")


async def test_a_repeat_on_another_connection_is_not_acknowledged_before_the_first(
    ports: tuple[int, int], store: RedisStore
) -> None:
    """The repeat itself writes nothing, so its own connection has nothing to wait for."""
    async with opened(f"redis://127.0.0.1:{ports[0]}") as other:
        await asyncio.gather(submit(store, "t0"), submit(other, "t9"))
        with stopped(await pid_of(ports[1])):
            for router in (store, other):
                with pytest.raises(StoreUnavailable):
                    await submit(router, "t1")


async def test_a_refusal_is_definite_whatever_the_replica_does(
    ports: tuple[int, int], store: RedisStore
) -> None:
    tasks, told = key(SITE, "tasks"), list[str]()
    store.connections.on_lost(lambda: told.append("lost"))
    with stopped(await pid_of(ports[1])), pytest.raises(ResponseError, match="unknown command"):
        await store.connections.send_packed(packed(("NONESUCH", tasks)), tasks, changes=True)
    assert not told, "no answer was withheld"


async def test_who_listens_is_told_to_look_again(ports: tuple[int, int], store: RedisStore) -> None:
    heard: list[str] = []

    def hear(hint: Hint) -> None:
        heard.append(hint.kind)

    stop = store.listen("w1", hear)
    await store.listening()
    await submit(store, "t0")
    heard.clear()  # a new connection says so, too
    with stopped(await pid_of(ports[1])), pytest.raises(StoreUnavailable):
        await submit(store, "t1")
    assert "resync" in heard
    stop()


async def test_a_store_closes_when_what_is_under_way_is_answered(ports: tuple[int, int]) -> None:
    async with opened(f"redis://127.0.0.1:{ports[0]}") as store:
        submitting = asyncio.ensure_future(submit(store))
        await asyncio.sleep(0)
    assert (await taken(submitting))[1]


async def test_what_was_acknowledged_survives_its_primary(ports: tuple[int, int], store: RedisStore) -> None:
    acknowledged: list[str] = []

    async def submit_until_it_is_gone(submitter: int) -> None:
        with contextlib.suppress(StoreUnavailable):
            for number in itertools.count():
                id = f"{submitter}-{number}"
                await store.submit(SITE, [new_task(id)], now_ms=T0)
                acknowledged.append(id)

    primary = await pid_of(ports[0])
    async with asyncio.TaskGroup() as submitting:
        for submitter in range(8):
            submitting.create_task(submit_until_it_is_gone(submitter))
        await wait_until(lambda: len(acknowledged) > 100, "work should be taken", 20)
        os.kill(primary, signal.SIGKILL)
    await ask(ports[1], "REPLICAOF", "NO", "ONE")
    kept = await ask(ports[1], "HKEYS", key(SITE, "tasks"))
    assert isinstance(kept, list)
    assert set(acknowledged) <= {id.decode() for id in kept}


@pytest.mark.cluster
async def test_each_primary_of_a_cluster_has_its_own_replica(tmp_path: Path) -> None:
    async with (
        cluster(tmp_path, primaries=2, replicas=2) as ports,
        opened(f"cluster://127.0.0.1:{ports[0]}") as store,
    ):
        stages = [Stage(store, f"site{number}") for number in range(8)]
        await asyncio.gather(*(stage.add() for stage in stages))
        assert all([await waits(port) for port in ports[:2]])
        with stopped(await pid_of(ports[2])):
            answers = await asyncio.gather(*(stage.add("t2") for stage in stages), return_exceptions=True)
        assert any(isinstance(answer, Task) for answer in answers)
        assert any(isinstance(answer, StoreUnavailable) for answer in answers)


def test_a_mark_lies_where_the_change_does() -> None:
    assert mark(key("a", "tasks")) == "wr1:{a}:mark"
    assert mark("wr1:sites") == "wr1:{wr1:sites}:mark"
