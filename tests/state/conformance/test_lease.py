"""The life of a lease: checkpoints, renewals, completion, giving up, running out."""

from __future__ import annotations

import pytest

from router.domain.errors import NotHolder, RouterError, Superseded, WrongState
from router.domain.model import NoTask, TaskState
from tests.support.builders import HOUR, MINUTE, SECOND, T0
from tests.support.stage import Stage


async def test_a_checkpoint_is_kept_and_renews_the_lease(stage: Stage) -> None:
    task = await stage.active(lease_ms=MINUTE)
    stage.later(30 * SECOND)
    await stage.checkpoint(task, b"\x00half\xff")
    saved = await stage.task()
    assert saved.checkpoint is not None
    assert (saved.checkpoint.data, saved.checkpoint.at_ms) == (b"\x00half\xff", stage.now)
    assert saved.deadline_ms == stage.now + MINUTE
    first = saved.checkpoint.sequence
    await stage.checkpoint(task, b"")
    again = (await stage.task()).checkpoint
    assert again is not None
    assert (again.data, again.sequence) == (b"", first + 1)


async def test_extend_renews_for_the_tasks_own_time_or_the_one_asked(stage: Stage) -> None:
    task = await stage.active(lease_ms=MINUTE)
    store, site = stage.store, stage.site
    stage.later(SECOND)
    change = await store.extend(site, "t1", "ann", task.fence, 0, now_ms=stage.now)
    assert change.task.deadline_ms == stage.now + MINUTE
    change = await store.extend(site, "t1", "ann", task.fence, 2 * HOUR, now_ms=stage.now)
    assert change.task.deadline_ms == stage.now + 2 * HOUR


async def test_completion_stores_the_result_and_frees_the_agent(stage: Stage) -> None:
    task = await stage.active()
    stage.later(MINUTE)
    done = await stage.complete(task, b"\xff\x00result", "approved")
    assert (done.state, done.end_ms) == (TaskState.COMPLETED, stage.now)
    stored = await stage.task()
    assert (stored.result, stored.outcome) == (b"\xff\x00result", "approved")
    assert (await stage.read_agent()).held == ()
    await stage.add("t2")
    await stage.pull("ann")


async def test_a_repeated_completion_answers_the_same_and_changes_nothing(stage: Stage) -> None:
    task = await stage.active()
    done = await stage.complete(task, b"first", "ok")
    stored = await stage.task()
    before = await stage.dump()
    stage.later(MINUTE)
    assert (await stage.complete(task, b"second", "other")).state is TaskState.COMPLETED
    assert await stage.dump() == before
    assert await stage.task() == stored
    assert done.id == stored.id


async def test_a_completion_with_another_fence_or_by_another_agent_is_refused(stage: Stage) -> None:
    await stage.agent("bob")
    task = await stage.active()
    store, site, now = stage.store, stage.site, stage.now
    for fence in (task.fence - 1, task.fence + 1, 0):
        await stage.refuses(Superseded, store.complete(site, "t1", "ann", fence, b"", "", now_ms=now))
    await stage.refuses(NotHolder, store.complete(site, "t1", "bob", task.fence, b"", "", now_ms=now))
    await stage.complete(task)
    await stage.refuses(RouterError, store.complete(site, "t1", "ann", task.fence + 1, b"", "", now_ms=now))
    await stage.refuses(RouterError, store.complete(site, "t1", "bob", task.fence, b"", "", now_ms=now))


async def test_every_word_of_an_old_holder_is_refused(stage: Stage) -> None:
    old = await stage.active(lease_ms=MINUTE)
    await stage.checkpoint(old, b"kept")
    stage.later(2 * MINUTE)
    await stage.advance()
    await stage.agent("bob")
    new = await stage.pull("bob")
    assert new.fence > old.fence
    store, site, now = stage.store, stage.site, stage.now
    for attempt in (
        store.checkpoint(site, "t1", "ann", old.fence, b"late", now_ms=now),
        store.extend(site, "t1", "ann", old.fence, 0, now_ms=now),
        store.complete(site, "t1", "ann", old.fence, b"late", "", now_ms=now),
        store.release(site, "t1", "ann", old.fence, "late", b"late", now_ms=now),
        store.park(site, "t1", "ann", old.fence, now + HOUR, now_ms=now),
        store.resume(site, "t1", "ann", old.fence, now_ms=now),
        store.recall(site, "t1", old.fence, 1000, "late", "router", now_ms=now),
        store.force(site, "t1", old.fence, "late", "router", now_ms=now),
    ):
        await stage.refuses(Superseded, attempt)
    checkpoint = (await stage.task()).checkpoint
    assert checkpoint is not None
    assert checkpoint.data == b"kept"


async def test_the_old_holder_has_no_word_while_the_task_waits(stage: Stage) -> None:
    old = await stage.active(lease_ms=MINUTE)
    stage.later(2 * MINUTE)
    await stage.advance()
    store, site, now = stage.store, stage.site, stage.now
    for attempt in (
        store.complete(site, "t1", "ann", old.fence, b"late", "", now_ms=now),
        store.checkpoint(site, "t1", "ann", old.fence, b"late", now_ms=now),
        store.accept(site, "t1", "ann", old.fence, now_ms=now),
    ):
        await stage.refuses(RouterError, attempt)
    assert await stage.state() is TaskState.QUEUED


async def test_late_work_counts_as_long_as_nobody_took_the_lease_away(stage: Stage) -> None:
    task = await stage.active(lease_ms=MINUTE)
    stage.later(10 * MINUTE)
    assert await stage.due() == ["t1"]
    assert (await stage.complete(task)).state is TaskState.COMPLETED
    assert await stage.due() == []
    assert await stage.advance() is None


async def test_a_late_checkpoint_saves_the_lease(stage: Stage) -> None:
    task = await stage.active(lease_ms=MINUTE)
    stage.later(10 * MINUTE)
    await stage.checkpoint(task, b"still here")
    assert await stage.advance() is None
    assert await stage.state() is TaskState.ACTIVE


async def test_a_lease_that_runs_out_is_a_failed_attempt(stage: Stage) -> None:
    task = await stage.active(lease_ms=MINUTE)
    await stage.checkpoint(task, b"half")
    stage.later(MINUTE)
    lost = await stage.advance()
    assert lost is not None
    assert (lost.state, lost.agent, lost.attempts) == (TaskState.QUEUED, "", 1)
    assert lost.queue == (await stage.task()).queue
    assert (await stage.read_agent()).held == ()
    again = await stage.pull("ann")
    assert again.checkpoint is not None
    assert again.checkpoint.data == b"half"


async def test_a_lease_that_runs_out_gives_no_privilege(stage: Stage) -> None:
    await stage.active("t1", lease_ms=MINUTE)
    await stage.add("older", origin_ms=T0 - HOUR)
    stage.later(MINUTE)
    await stage.advance()
    assert (await stage.pull("ann")).id == "older"


async def test_too_many_failed_attempts_end_in_the_dead_letters(stage: Stage) -> None:
    await stage.agent()
    await stage.add(lease_ms=MINUTE, max_attempts=2)
    for expected in (TaskState.QUEUED, TaskState.DEAD_LETTER):
        await stage.pull()
        stage.later(MINUTE)
        lost = await stage.advance()
        assert lost is not None
        assert lost.state is expected
    dead = await stage.task()
    assert (dead.attempts, dead.end_ms) == (2, stage.now)
    assert await stage.refusal() is NoTask.NO_TASK
    assert await stage.refusal("ann", task="t1") is NoTask.NOT_QUEUED
    assert (await stage.read_agent()).held == ()


async def test_a_dead_letter_is_revived_with_its_attempts_forgiven(stage: Stage) -> None:
    await stage.active(lease_ms=MINUTE, max_attempts=1)
    stage.later(MINUTE)
    await stage.advance()
    assert await stage.state() is TaskState.DEAD_LETTER
    change = await stage.store.revive(stage.site, "t1", "sue", now_ms=stage.now)
    assert (change.task.state, change.task.attempts, change.task.end_ms) == (TaskState.QUEUED, 0, 0)
    assert (await stage.pull()).id == "t1"


async def test_only_a_dead_letter_is_revived(stage: Stage) -> None:
    task = await stage.active()
    store, site = stage.store, stage.site
    await stage.refuses(WrongState, store.revive(site, "t1", "sue", now_ms=stage.now))
    await stage.complete(task)
    await stage.refuses(WrongState, store.revive(site, "t1", "sue", now_ms=stage.now))


async def test_giving_up_returns_the_task_to_the_front_for_others(stage: Stage) -> None:
    task = await stage.active(decline_exclusion_ms=MINUTE)
    await stage.add("older", origin_ms=T0 - HOUR)
    given_back = await stage.release(task, b"half done")
    assert (given_back.state, given_back.agent) == (TaskState.QUEUED, "")
    await stage.agent("bob")
    assert await stage.refusal("ann", task="t1") is NoTask.EXCLUDED
    taken = await stage.pull("bob")
    assert taken.id == "t1"
    assert taken.checkpoint is not None
    assert taken.checkpoint.data == b"half done"


async def test_a_release_without_data_keeps_the_last_checkpoint(stage: Stage) -> None:
    task = await stage.active()
    await stage.checkpoint(task, b"kept")
    await stage.release(task, None)
    checkpoint = (await stage.task()).checkpoint
    assert checkpoint is not None
    assert checkpoint.data == b"kept"


async def test_force_takes_a_lease_away_with_its_checkpoint(stage: Stage) -> None:
    task = await stage.active(interruptible=False)
    await stage.checkpoint(task, b"kept")
    change = await stage.store.force(stage.site, "t1", task.fence, "storm", "sue", now_ms=stage.now)
    assert (change.task.state, change.task.agent) == (TaskState.QUEUED, "")
    assert (await stage.read_agent()).held == ()
    checkpoint = (await stage.task()).checkpoint
    assert checkpoint is not None
    assert checkpoint.data == b"kept"


@pytest.mark.parametrize("size", [0, 1, 70_000])
async def test_checkpoints_of_any_size(stage: Stage, size: int) -> None:
    task = await stage.active()
    data = bytes(n * 7 % 256 for n in range(size))
    await stage.checkpoint(task, data)
    checkpoint = (await stage.task()).checkpoint
    assert checkpoint is not None
    assert checkpoint.data == data
