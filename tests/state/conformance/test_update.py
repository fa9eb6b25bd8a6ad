"""Changing what was submitted, wherever the task is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.domain.errors import EtagMismatch, NotFound, Superseded
from router.domain.model import ClaimMode, NoTask, Task, TaskState
from router.domain.ports import TaskUpdate
from tests.support.builders import HOUR, MINUTE, T0, new_task, plan, queue_spec
from tests.support.stage import Stage

REFUNDS = queue_spec("claims", {"refunds": 1})


async def update(stage: Stage, id: str = "t1", **changes: object) -> Task:
    change = TaskUpdate(**changes)  # type: ignore[arg-type]
    return (await stage.store.update(stage.site, id, change, "crm", now_ms=stage.now)).task


async def test_a_new_spec_is_stored(stage: Stage) -> None:
    task = await stage.add(payload=b"old")
    spec = replace(task.spec, payload=b"new\xff", priority=90, labels={"a": "b"})
    updated = await update(stage, spec=spec)
    assert updated.spec == spec
    assert updated.priority == 90
    assert updated.revision > task.revision
    assert await stage.task() == updated


async def test_a_new_plan_moves_a_waiting_task(stage: Stage) -> None:
    await stage.agent("ann")
    await stage.agent("ref", skills={"refunds": 1})
    await stage.add()
    moved = await update(stage, plan=plan(T0, REFUNDS))
    assert (moved.state, moved.queue) == (TaskState.QUEUED, REFUNDS.id)
    assert await stage.refusal("ann") is NoTask.NO_TASK
    assert (await stage.offer("ref")).id == "t1"


async def test_an_earlier_origin_moves_a_task_ahead(stage: Stage) -> None:
    await stage.agent()
    await stage.add("t1", origin_ms=T0 - 2)
    await stage.add("t2", origin_ms=T0 - 1)
    await update(stage, "t2", plan=plan(T0 - HOUR, queue_spec()))
    assert (await stage.pull()).id == "t2"


async def test_an_update_that_read_an_older_revision_is_refused(stage: Stage) -> None:
    task = await stage.add()
    for revision in (task.revision - 1, task.revision + 1):
        change = TaskUpdate(spec=task.spec, revision=revision)
        await stage.refuses(
            EtagMismatch, stage.store.update(stage.site, "t1", change, "crm", now_ms=stage.now)
        )
    assert (await update(stage, spec=task.spec, revision=task.revision)).revision > task.revision


async def test_an_unknown_task_is_not_updated(stage: Stage) -> None:
    attempt = stage.store.update(stage.site, "t9", TaskUpdate(), "crm", now_ms=stage.now)
    await stage.refuses(NotFound, attempt)


@pytest.mark.parametrize("mode", list(ClaimMode))
async def test_a_held_task_takes_the_new_plan_when_it_returns(stage: Stage, mode: ClaimMode) -> None:
    await stage.agent()
    await stage.agent("ref", skills={"refunds": 1})
    await stage.add()
    held = await stage.claim("ann", mode)
    assert held.task is not None
    updated = await update(stage, plan=plan(T0, REFUNDS))
    assert (updated.state, updated.agent, updated.fence) == (held.task.state, "ann", held.task.fence)
    if mode is ClaimMode.OFFER:
        await stage.decline(held.task)
    else:
        await stage.release(held.task)
    assert (await stage.pull("ref")).id == "t1"


@pytest.mark.parametrize("mode", list(ClaimMode))
async def test_a_reassignment_takes_the_task_from_its_holder(stage: Stage, mode: ClaimMode) -> None:
    await stage.agent("ann")
    await stage.agent("bob")
    await stage.add()
    claim = await stage.claim("ann", mode)
    assert claim.task is not None
    target = queue_spec(agent="bob")
    taken = await update(stage, plan=plan(T0, target), take_back=True)
    assert (taken.state, taken.agent) == (TaskState.QUEUED, "")
    assert (await stage.read_agent("ann")).held == ()
    again = await stage.pull("bob")
    assert again.fence > claim.task.fence
    await stage.refuses(
        Superseded,
        stage.store.complete(stage.site, "t1", "ann", claim.task.fence, b"", "", now_ms=stage.now),
    )


async def test_a_reassignment_keeps_the_checkpoint(stage: Stage) -> None:
    task = await stage.active()
    await stage.checkpoint(task, b"half")
    await update(stage, take_back=True)
    checkpoint = (await stage.task()).checkpoint
    assert checkpoint is not None
    assert checkpoint.data == b"half"


async def test_a_parked_task_is_taken_back_too(stage: Stage) -> None:
    await stage.park(await stage.active())
    taken = await update(stage, take_back=True)
    assert (taken.state, taken.agent) == (TaskState.QUEUED, "")
    assert (await stage.read_agent()).parked == ()


async def test_a_schedule_can_be_moved(stage: Stage) -> None:
    task = await stage.add(schedule_ms=T0 + HOUR)
    await update(stage, spec=replace(task.spec, schedule_ms=T0 + MINUTE))
    stage.later(MINUTE)
    assert await stage.due() == ["t1"]
    await stage.advance()
    assert await stage.state() is TaskState.QUEUED


async def test_an_expiry_can_be_set_later(stage: Stage) -> None:
    task = await stage.add()
    await update(stage, spec=replace(task.spec, expire_ms=T0 + MINUTE))
    stage.later(MINUTE)
    await stage.sweep()
    assert await stage.state() is TaskState.EXPIRED


async def test_a_new_exclusion_counts_at_once(stage: Stage) -> None:
    await stage.agent()
    task = await stage.add()
    await update(stage, spec=replace(task.spec, excluded_agents=("ann",)))
    assert await stage.refusal("ann", task="t1") is NoTask.EXCLUDED


async def test_a_task_in_front_stays_in_front_under_its_new_plan(stage: Stage) -> None:
    await stage.agent("ann")
    await stage.agent("ref", skills={"refunds": 1})
    await stage.add("t1")
    await stage.decline(await stage.offer("ann"))
    await stage.submit(new_task("older", route=plan(T0 - 100 * HOUR, REFUNDS)))
    await update(stage, plan=plan(T0, REFUNDS))
    assert (await stage.pull("ref")).id == "t1"
