"""Ends: cancel, expire, terminal states that never change, and forgetting."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from router.domain.errors import EtagMismatch, NotFound, RouterError, WrongState
from router.domain.model import Task, TaskState
from router.domain.ports import TaskUpdate
from tests.support.builders import HOUR, MINUTE, SECOND, T0, new_task
from tests.support.stage import Stage


async def bring_to(stage: Stage, state: TaskState) -> Task:
    """Task t1 in the given state; ann holds it where somebody holds it."""
    await stage.agent()
    scheduled = T0 + HOUR if state is TaskState.SCHEDULED else None
    expires = T0 + SECOND if state is TaskState.EXPIRED else None
    await stage.add(schedule_ms=scheduled, expire_ms=expires, max_attempts=1, lease_ms=MINUTE)
    match state:
        case TaskState.OFFERED:
            await stage.offer()
        case TaskState.ACTIVE:
            await stage.pull()
        case TaskState.RECALLING:
            await stage.recalled(await stage.pull())
        case TaskState.PARKED:
            await stage.park(await stage.pull())
        case TaskState.COMPLETED:
            await stage.complete(await stage.pull())
        case TaskState.CANCELED:
            await stage.cancel()
        case TaskState.EXPIRED:
            stage.later(SECOND)
            await stage.advance()
        case TaskState.DEAD_LETTER:
            await stage.pull()
            stage.later(MINUTE)
            await stage.advance()
    task = await stage.task()
    assert task.state is state
    return task


@pytest.mark.parametrize("state", sorted(set(TaskState) - {TaskState.COMPLETED, TaskState.EXPIRED}))
async def test_everything_that_has_not_ended_for_good_can_be_canceled(stage: Stage, state: TaskState) -> None:
    before = await bring_to(stage, state)
    canceled = await stage.cancel()
    assert canceled.state is TaskState.CANCELED
    assert canceled.end_ms > 0
    agent = await stage.read_agent()
    assert (agent.held, agent.parked) == ((), ())
    assert await stage.due() == []
    snapshot = await stage.dump()
    stage.later(SECOND)
    assert await stage.cancel() == canceled  # a repeated cancel answers the same
    assert await stage.dump() == snapshot
    assert before.id == canceled.id


@pytest.mark.parametrize("state", [TaskState.COMPLETED, TaskState.EXPIRED])
async def test_what_has_ended_is_not_canceled(stage: Stage, state: TaskState) -> None:
    await bring_to(stage, state)
    await stage.refuses(WrongState, stage.cancel())


@pytest.mark.parametrize("state", [TaskState.COMPLETED, TaskState.CANCELED, TaskState.EXPIRED])
async def test_terminal_tasks_never_change(stage: Stage, state: TaskState) -> None:
    task = await bring_to(stage, state)
    site, store, now, fence = stage.site, stage.store, stage.now, task.fence
    attempts: list[Awaitable[object]] = [
        store.accept(site, "t1", "ann", fence, now_ms=now),
        store.decline(site, "t1", "ann", fence, "", now_ms=now),
        store.rescind(site, "t1", fence, "", "router", now_ms=now),
        store.show(site, "t1", fence, now_ms=now),
        store.checkpoint(site, "t1", "ann", fence, b"", now_ms=now),
        store.extend(site, "t1", "ann", fence, 0, now_ms=now),
        store.release(site, "t1", "ann", fence, "", b"x", now_ms=now),
        store.park(site, "t1", "ann", fence, now + HOUR, now_ms=now),
        store.resume(site, "t1", "ann", fence, now_ms=now),
        store.recall(site, "t1", fence, 1000, "", "router", now_ms=now),
        store.force(site, "t1", fence, "", "router", now_ms=now),
        store.revive(site, "t1", "sue", now_ms=now),
        store.update(site, "t1", TaskUpdate(spec=new_task(priority=1).spec), "crm", now_ms=now),
    ]
    for attempt in attempts:
        await stage.refuses(RouterError, attempt)
    assert await stage.advance() is None
    assert (await stage.claim(task="t1")).task is None
    assert await stage.task() == task


async def test_a_cancel_that_read_an_older_revision_is_refused(stage: Stage) -> None:
    task = await stage.add()
    attempt = stage.store.cancel(stage.site, "t1", "", "crm", revision=task.revision + 1, now_ms=stage.now)
    await stage.refuses(EtagMismatch, attempt)
    change = await stage.store.cancel(stage.site, "t1", "", "crm", revision=task.revision, now_ms=stage.now)
    assert change.task.state is TaskState.CANCELED


@pytest.mark.parametrize("state", [TaskState.SCHEDULED, TaskState.QUEUED])
async def test_a_waiting_task_expires(stage: Stage, state: TaskState) -> None:
    scheduled = T0 + 2 * HOUR if state is TaskState.SCHEDULED else None
    task = await stage.add(expire_ms=T0 + HOUR, schedule_ms=scheduled)
    assert task.state is state
    stage.later(HOUR - 1)
    assert await stage.advance() is None
    stage.later(1)
    expired = await stage.advance()
    assert expired is not None
    assert (expired.state, expired.end_ms) == (TaskState.EXPIRED, stage.now)


async def test_a_held_task_does_not_expire_under_its_agent(stage: Stage) -> None:
    task = await stage.active(expire_ms=T0 + MINUTE, lease_ms=HOUR)
    stage.later(2 * MINUTE)
    assert await stage.advance() is None
    assert (await stage.complete(task)).state is TaskState.COMPLETED


async def test_what_comes_back_after_its_expiry_expires(stage: Stage) -> None:
    await stage.agent()
    await stage.add(expire_ms=T0 + MINUTE)
    task = await stage.pull()
    stage.later(2 * MINUTE)
    await stage.release(task)
    await stage.sweep()
    assert await stage.state() is TaskState.EXPIRED


async def test_ended_tasks_are_forgotten_after_their_time(stage: Stage) -> None:
    await stage.submit(new_task("t1", reference="case 7", request_id="r1"))
    await stage.submit(new_task("t2"))
    await stage.cancel("t1")
    ended = stage.now
    assert await stage.store.purge(stage.site, ended, 100, now_ms=stage.now) == 0
    stage.later(MINUTE)
    assert await stage.store.purge(stage.site, ended + 1, 100, now_ms=stage.now) == 1
    with pytest.raises(NotFound):
        await stage.task("t1")
    with pytest.raises(NotFound):
        await stage.store.task_by_reference(stage.site, "crm", "case 7")
    assert await stage.state("t2") is TaskState.QUEUED


async def test_a_purge_takes_at_most_what_was_asked(stage: Stage) -> None:
    for n in range(5):
        await stage.add(f"t{n}")
        await stage.cancel(f"t{n}")
    stage.later(MINUTE)
    purge = stage.store.purge
    counts = [await purge(stage.site, stage.now, 2, now_ms=stage.now) for _ in range(4)]
    assert counts == [2, 2, 1, 0]


async def test_repeated_requests_are_known_as_long_as_their_task(stage: Stage) -> None:
    await stage.submit(new_task("t1", request_id="r1", fingerprint="same"))
    await stage.cancel("t1")
    [again] = await stage.store.submit(
        stage.site, [new_task("t2", request_id="r1", fingerprint="same")], now_ms=stage.now
    )
    assert not isinstance(again, Exception)
    assert (again.created, again.task.id) == (False, "t1")
