"""Parking: a task set aside by its agent, for its agent."""

from __future__ import annotations

import pytest

from router.domain.errors import NotHolder, RouterError, Superseded, WrongState
from router.domain.model import ClaimMode, NoTask, Task, TaskState
from tests.support.builders import GROUP, HOUR, MINUTE, T0
from tests.support.stage import Stage


async def test_a_parked_task_stays_with_its_agent_and_leaves_it_free(stage: Stage) -> None:
    task = await stage.active()
    parked = await stage.park(task, HOUR)
    assert (parked.state, parked.agent, parked.deadline_ms) == (TaskState.PARKED, "ann", T0 + HOUR)
    agent = await stage.read_agent()
    assert (agent.held, agent.parked) == ((), ("t1",))
    await stage.add("t2")
    assert (await stage.pull()).id == "t2"


async def test_resume_is_a_new_hand_over(stage: Stage) -> None:
    task = await stage.active(lease_ms=MINUTE)
    await stage.checkpoint(task, b"half")
    await stage.park(task)
    stage.later(MINUTE)
    change = await stage.store.resume(stage.site, "t1", "ann", task.fence, now_ms=stage.now)
    assert (change.task.state, change.task.agent) == (TaskState.ACTIVE, "ann")
    assert change.task.fence > task.fence
    assert change.task.deadline_ms == stage.now + MINUTE
    agent = await stage.read_agent()
    assert (agent.held, agent.parked) == (("t1",), ())
    await stage.refuses(
        Superseded, stage.store.complete(stage.site, "t1", "ann", task.fence, b"", "", now_ms=stage.now)
    )
    await stage.complete(change.task)


async def test_only_its_agent_resumes_it(stage: Stage) -> None:
    task = await stage.active()
    await stage.agent("bob")
    await stage.park(task)
    store, site, now = stage.store, stage.site, stage.now
    await stage.refuses(NotHolder, store.resume(site, "t1", "bob", task.fence, now_ms=now))
    await stage.refuses(Superseded, store.resume(site, "t1", "ann", task.fence + 1, now_ms=now))
    assert await stage.refusal("bob", ClaimMode.LEASE, task="t1") is NoTask.NOT_QUEUED


async def test_resume_needs_free_capacity(stage: Stage) -> None:
    task = await stage.active()
    await stage.park(task)
    await stage.add("t2")
    other = await stage.pull()
    error = await stage.refuses(
        RouterError, stage.store.resume(stage.site, "t1", "ann", task.fence, now_ms=stage.now)
    )
    assert error.reason == NoTask.NO_CAPACITY
    await stage.complete(other)
    await stage.store.resume(stage.site, "t1", "ann", task.fence, now_ms=stage.now)


async def test_resume_needs_an_open_gate(stage: Stage) -> None:
    await stage.agent(group=GROUP)
    await stage.gate()
    await stage.add()
    task = await stage.pull()
    await stage.park(task)
    await stage.gate(open=False)
    error = await stage.refuses(
        RouterError, stage.store.resume(stage.site, "t1", "ann", task.fence, now_ms=stage.now)
    )
    assert error.reason == NoTask.GATE_CLOSED


async def test_a_parked_task_is_not_work(stage: Stage) -> None:
    task = await stage.active()
    await stage.park(task)
    store, site, now = stage.store, stage.site, stage.now
    for attempt in (
        store.checkpoint(site, "t1", "ann", task.fence, b"", now_ms=now),
        store.complete(site, "t1", "ann", task.fence, b"", "", now_ms=now),
        store.release(site, "t1", "ann", task.fence, "", None, now_ms=now),
        store.recall(site, "t1", task.fence, 1000, "", "router", now_ms=now),
    ):
        await stage.refuses(WrongState, attempt)


async def test_a_repeated_park_and_a_repeated_resume_answer_the_same(stage: Stage) -> None:
    task = await stage.active()
    first = await stage.park(task)
    again = await stage.store.park(stage.site, "t1", "ann", task.fence, stage.now + HOUR, now_ms=stage.now)
    assert (again.task.state, again.task.revision) == (TaskState.PARKED, first.revision)
    resumed = await stage.store.resume(stage.site, "t1", "ann", task.fence, now_ms=stage.now)
    repeated = await stage.store.resume(stage.site, "t1", "ann", task.fence, now_ms=stage.now)
    assert repeated.task == resumed.task
    assert repeated.task.fence > task.fence


@pytest.mark.parametrize("act", ["decline", "release"])
async def test_a_repeated_hand_back_answers_the_same_until_the_next_hand_over(stage: Stage, act: str) -> None:
    store, site, now = stage.store, stage.site, stage.now
    await stage.agent()
    await stage.add("t1")
    task = await stage.offer() if act == "decline" else await stage.pull()

    async def hand_back(agent: str = "ann") -> Task:
        if act == "decline":
            return (await store.decline(site, "t1", agent, task.fence, "no", now_ms=now)).task
        return (await store.release(site, "t1", agent, task.fence, "no", None, now_ms=now)).task

    first = await hand_back()
    assert await hand_back() == first
    await stage.refuses(WrongState, hand_back("bob"))
    await stage.agent("bob")
    await stage.pull(agent="bob")
    error = await stage.refuses(Superseded, hand_back())
    assert error.metadata["holder"] == "bob"
    assert int(error.metadata["current_fence"]) > task.fence


async def test_a_park_that_ends_goes_first_to_the_same_agent_then_to_everyone(stage: Stage) -> None:
    task = await stage.active(resume_window_ms=MINUTE)
    await stage.agent("bob")
    await stage.park(task, HOUR)
    await stage.add("older", origin_ms=T0 - 100 * HOUR)
    stage.later(HOUR - 1)
    assert await stage.advance() is None
    stage.later(1)
    unparked = await stage.advance()
    assert unparked is not None
    assert unparked.state is TaskState.QUEUED
    assert (await stage.read_agent()).parked == ()
    assert await stage.refusal("bob", ClaimMode.LEASE, task="t1") is NoTask.NOT_QUALIFIED
    stage.later(MINUTE)
    await stage.sweep()
    assert (await stage.pull("bob")).id == "t1"


async def test_a_parked_task_can_be_canceled(stage: Stage) -> None:
    await stage.park(await stage.active())
    assert (await stage.cancel()).state is TaskState.CANCELED
    assert (await stage.read_agent()).parked == ()


async def test_a_parked_task_can_expire(stage: Stage) -> None:
    task = await stage.active(expire_ms=T0 + HOUR)
    await stage.park(task, 2 * HOUR)
    stage.later(HOUR)
    expired = await stage.advance()
    assert expired is not None
    assert expired.state is TaskState.EXPIRED
    assert (await stage.read_agent()).parked == ()
