"""Taking tasks back: notice, obedience, force, and the way back to the same agent."""

from __future__ import annotations

from router.domain.errors import Superseded, WrongState
from router.domain.model import ClaimMode, NoTask, TaskState
from tests.support.builders import GROUP, HOUR, MINUTE, SECOND, T0
from tests.support.stage import Stage

NOTICE = 10 * SECOND


async def test_a_recall_gives_notice(stage: Stage) -> None:
    task = await stage.active()
    stage.later(SECOND)
    recalled = await stage.recalled(task, NOTICE)
    assert (recalled.state, recalled.agent, recalled.fence) == (TaskState.RECALLING, "ann", task.fence)
    assert (recalled.deadline_ms, recalled.recalls) == (stage.now + NOTICE, 1)
    agent = await stage.read_agent()
    assert agent.held == ("t1",)
    assert agent.recall_times_ms == (stage.now,)


async def test_a_checkpoint_within_the_notice_is_saved_but_does_not_lengthen_it(stage: Stage) -> None:
    task = await stage.active()
    recalled = await stage.recalled(task, NOTICE)
    stage.later(SECOND)
    saved = await stage.checkpoint(task, b"half")
    assert (saved.state, saved.deadline_ms) == (TaskState.RECALLING, recalled.deadline_ms)
    checkpoint = (await stage.task()).checkpoint
    assert checkpoint is not None
    assert checkpoint.data == b"half"


async def test_a_recall_is_not_dodged_by_an_extension(stage: Stage) -> None:
    task = await stage.active()
    await stage.recalled(task)
    await stage.refuses(
        WrongState, stage.store.extend(stage.site, "t1", "ann", task.fence, HOUR, now_ms=stage.now)
    )


async def test_a_second_recall_is_refused(stage: Stage) -> None:
    task = await stage.active()
    await stage.recalled(task)
    await stage.refuses(
        WrongState,
        stage.store.recall(stage.site, "t1", task.fence, NOTICE, "again", "router", now_ms=stage.now),
    )


async def test_an_obeyed_recall_waits_for_the_same_agent_first(stage: Stage) -> None:
    task = await stage.active(resume_window_ms=2 * MINUTE)
    await stage.recalled(task)
    released = await stage.release(task, b"half")
    assert (released.state, released.agent, released.resume_agent) == (TaskState.QUEUED, "", "ann")
    await stage.agent("bob")
    assert await stage.refusal("bob", ClaimMode.LEASE) is NoTask.NO_TASK
    await stage.add("older", origin_ms=T0 - 100 * HOUR)
    again = await stage.pull("ann")
    assert again.id == "t1"
    assert again.fence > task.fence
    assert again.checkpoint is not None
    assert again.checkpoint.data == b"half"


async def test_after_the_resume_window_it_is_first_for_everyone(stage: Stage) -> None:
    task = await stage.active(resume_window_ms=2 * MINUTE)
    await stage.recalled(task)
    await stage.release(task)
    await stage.agent("bob")
    await stage.add("older", origin_ms=T0 - 100 * HOUR)
    stage.later(2 * MINUTE - 1)
    assert await stage.due() == []
    stage.later(1)
    assert await stage.due() == ["t1"]
    moved = await stage.advance()
    assert moved is not None
    assert moved.state is TaskState.QUEUED
    assert (await stage.pull("bob")).id == "t1"


async def test_without_a_resume_window_it_is_first_for_everyone_at_once(stage: Stage) -> None:
    task = await stage.active(resume_window_ms=0)
    await stage.recalled(task)
    await stage.release(task)
    await stage.agent("bob")
    await stage.add("older", origin_ms=T0 - 100 * HOUR)
    assert (await stage.pull("bob")).id == "t1"


async def test_when_the_notice_is_over_the_task_is_forced_back(stage: Stage) -> None:
    task = await stage.active(resume_window_ms=2 * MINUTE)
    await stage.checkpoint(task, b"half")
    await stage.recalled(task, NOTICE)
    stage.later(NOTICE - 1)
    assert await stage.advance() is None
    stage.later(1)
    assert await stage.due() == ["t1"]
    forced = await stage.advance()
    assert forced is not None
    assert (forced.state, forced.agent, forced.resume_agent) == (TaskState.QUEUED, "", "ann")
    assert forced.attempts == 0
    assert (await stage.read_agent()).held == ()
    checkpoint = (await stage.task()).checkpoint
    assert checkpoint is not None
    assert checkpoint.data == b"half"


async def test_no_notice_means_force(stage: Stage) -> None:
    task = await stage.active()
    forced = await stage.recalled(task, 0)
    assert (forced.state, forced.agent) == (TaskState.QUEUED, "")
    assert (await stage.read_agent()).held == ()


async def test_a_task_that_cannot_be_interrupted_is_never_recalled(stage: Stage) -> None:
    task = await stage.active(interruptible=False)
    for notice in (NOTICE, 0):
        await stage.refuses(
            WrongState,
            stage.store.recall(stage.site, "t1", task.fence, notice, "calls", "router", now_ms=stage.now),
        )


async def test_recalling_an_offer_rescinds_it(stage: Stage) -> None:
    await stage.agent()
    await stage.add()
    task = await stage.offer()
    back = await stage.recalled(task)
    assert (back.state, back.agent) == (TaskState.QUEUED, "")
    assert (await stage.read_agent()).held == ()


async def test_work_that_is_done_within_the_notice_counts(stage: Stage) -> None:
    task = await stage.active()
    await stage.recalled(task)
    assert (await stage.complete(task)).state is TaskState.COMPLETED
    assert await stage.due() == []


async def test_a_recalled_task_can_be_parked(stage: Stage) -> None:
    task = await stage.active()
    await stage.recalled(task)
    assert (await stage.park(task)).state is TaskState.PARKED


async def test_an_old_fence_recalls_nothing(stage: Stage) -> None:
    task = await stage.active()
    for fence in (task.fence - 1, task.fence + 1):
        await stage.refuses(
            Superseded,
            stage.store.recall(stage.site, "t1", fence, NOTICE, "calls", "router", now_ms=stage.now),
        )


async def test_a_waiting_or_ended_task_is_not_recalled(stage: Stage) -> None:
    task = await stage.active()
    await stage.complete(task)
    await stage.refuses(
        WrongState, stage.store.recall(stage.site, "t1", task.fence, NOTICE, "c", "r", now_ms=stage.now)
    )
    await stage.refuses(
        WrongState, stage.store.force(stage.site, "t1", task.fence, "c", "r", now_ms=stage.now)
    )


async def test_recalls_of_the_last_hour_are_remembered_for_the_interruption_budget(stage: Stage) -> None:
    await stage.agent(capacity=2)
    for n in range(3):
        await stage.add(f"t{n}")
        task = await stage.pull(task=f"t{n}")
        await stage.recalled(task)
        await stage.complete(task)
        stage.later(25 * MINUTE)
    times = (await stage.read_agent()).recall_times_ms
    assert times[-2:] == (T0 + 25 * MINUTE, T0 + 50 * MINUTE)
    assert list(times) == sorted(times)


WHY = "a call had waited 8.2 s with 0 agents returning"


async def decided(stage: Stage, name: str) -> list[tuple[str, int]]:
    """(why, policy version) of each arrow of this name that the task took."""
    history = await stage.store.history(stage.site, "t1")
    return [(step.why, step.policy_version) for step in history if step.name == name]


async def test_a_recall_keeps_the_decision_behind_it(stage: Stage) -> None:
    task = await stage.active()
    await stage.store.recall(
        stage.site, "t1", task.fence, NOTICE, "calls", "router", stage.now, why=WHY, policy_version=3
    )
    assert await decided(stage, "recall") == [(WHY, 3)]
    await stage.release(task)
    assert await decided(stage, "release") == [("", 0)]


async def test_a_recall_without_notice_keeps_the_decision_too(stage: Stage) -> None:
    task = await stage.active()
    await stage.store.recall(
        stage.site, "t1", task.fence, 0, "calls", "router", stage.now, why=WHY, policy_version=0
    )
    assert await decided(stage, "force") == [(WHY, 0)]


async def test_a_withdrawn_offer_keeps_both_decisions(stage: Stage) -> None:
    await stage.agent("ann", group=GROUP)
    await stage.gate()
    stage.later(10 * SECOND)
    await stage.report({})
    await stage.add()
    task = await stage.offer(why="idle 7, on tasks 2")
    version = task.policy_version
    assert version > 0
    await stage.store.rescind(
        stage.site, "t1", task.fence, "calls", "router", stage.now, why=WHY, policy_version=version + 1
    )
    assert await decided(stage, "offer") == [("idle 7, on tasks 2", version)]
    assert await decided(stage, "rescind") == [(WHY, version + 1)]


async def test_events_do_not_carry_the_figures(stage: Stage) -> None:
    task = await stage.active()
    await stage.store.recall(
        stage.site, "t1", task.fence, NOTICE, "calls", "router", stage.now, why=WHY, policy_version=3
    )
    events = await stage.store.events(stage.site, "", 100)
    assert [(event.transition.name, event.transition.why) for event in events][-1] == ("recall", "")
