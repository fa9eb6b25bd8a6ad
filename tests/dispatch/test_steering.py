"""What supervisors do by hand: recall, drain, reassign, pause; and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from router.domain.errors import EtagMismatch, NotFound, OutOfRange, WrongState
from router.domain.model import AgentReport, AgentState, GateMode, NoTask, Task, TaskState
from router.domain.telephony import ReportBatch
from tests.dispatch.scene import GROUP, SITE, Scene, next_push, opened_scene

AVAILABLE = AgentState.AVAILABLE


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with opened_scene() as scene:
        feed = asyncio.create_task(scene.keep_reporting())
        yield scene
        feed.cancel()


async def seated(scene: Scene, *names: str) -> None:
    await scene.hire(*names)
    await scene.report(dict.fromkeys(names, AVAILABLE), snapshot=True)
    await scene.sit_down(*names)


async def working(scene: Scene, count: int, **fields: object) -> list[Task]:
    """So many tasks, each accepted by its agent."""
    for task in [await scene.submit(**fields) for _ in range(count)]:
        offer = await scene.until(task, TaskState.OFFERED)
        await scene.router.agents.accept(scene.agent(offer.agent), task.id, offer.fence)
        await asyncio.sleep(0.005)  # so that no two begin in one millisecond
    tasks = await scene.store.tasks(SITE, frozenset({TaskState.ACTIVE}), "", 100)
    return sorted(tasks.tasks, key=lambda task: task.accept_ms)


async def test_a_count_takes_the_newest_start_and_says_when_nobody_is_left(scene: Scene) -> None:
    await seated(scene, "ann", "bob", "cat")
    older, newer = await working(scene, 2)
    recall = scene.router.supervision.recall
    done = await recall(scene.boss, GROUP, 1, (), "meeting", 60_000)
    assert [(agent, task.id, task.state) for agent, task in done.tasks] == [
        (newer.agent, newer.id, TaskState.RECALLING)
    ]
    assert (await scene.store.task(SITE, newer.id)).deadline_ms - newer.accept_ms > 50_000
    done = await recall(scene.boss, GROUP, 3, (), "meeting")
    assert [agent for agent, _ in done.tasks] == [older.agent]
    assert [no.reason for no in done.refused] == ["NOBODY_LEFT"]


async def test_no_notice_takes_a_task_at_once(scene: Scene) -> None:
    await seated(scene, "ann", "bob")
    (task,) = await working(scene, 1)
    done = await scene.router.supervision.recall(scene.boss, GROUP, 0, [task.agent], "", 0)
    assert [(agent, taken.state) for agent, taken in done.tasks] == [(task.agent, TaskState.QUEUED)]


async def test_each_agent_who_cannot_be_recalled_is_told_with_a_word(scene: Scene) -> None:
    await seated(scene, "ann", "bob", "cat", "dan")
    await scene.hire("eve", group="red")
    (firm,) = await working(scene, 1, interruptible=False)
    tasks = await working(scene, 1)
    (soft,) = [task for task in tasks if task.id != firm.id]
    idle = next(name for name in ("ann", "bob", "cat", "dan") if name not in (firm.agent, soft.agent))
    recall = scene.router.supervision.recall
    await recall(scene.boss, GROUP, 0, [soft.agent], "", 60_000)
    done = await recall(scene.boss, GROUP, 0, [firm.agent, soft.agent, idle, "eve", "nobody"], "")
    assert not done.tasks
    assert {no.agent: no.reason for no in done.refused} == {
        firm.agent: "NOT_INTERRUPTIBLE",
        soft.agent: "ALREADY_RECALLED",
        idle: "NO_TASK",
        "eve": "NOT_IN_GROUP",
        "nobody": "NOT_IN_GROUP",
    }
    assert all(no.detail.endswith(".") for no in done.refused)


async def test_a_drain_withdraws_offers_and_keeps_its_reason(scene: Scene) -> None:
    await scene.hire("ann", group="")
    (session,) = await scene.sit_down("ann")
    task = await scene.until(await scene.submit(), TaskState.OFFERED)
    agent = await scene.router.supervision.drain_agent(scene.boss, "ann", True, "training")
    assert (agent.held, agent.drain_reason) == ((), "training (supervisor:sue)")
    assert (await next_push(session, "rescind")).reason == "training"
    why = await scene.router.supervision.explain_task(scene.boss, task.id)
    assert why.verdict == "DRAINING"
    assert "training (supervisor:sue)" in why.summary


async def test_a_drain_recalls_leases_only_when_told_so(scene: Scene) -> None:
    await seated(scene, "ann", "bob")
    (task,) = await working(scene, 1)
    drain = scene.router.supervision.drain_agent
    await drain(scene.boss, task.agent, True)
    assert await scene.state(task) is TaskState.ACTIVE
    await drain(scene.boss, task.agent, True, recall=True)
    assert await scene.state(task) is TaskState.RECALLING


async def test_a_reassignment_that_cannot_be_changes_nothing(scene: Scene) -> None:
    await scene.hire("ann", "zoe", group="")
    await scene.hire("pat", group="", skills={})
    task = await scene.submit(excluded_agents=("zoe",))
    reassign = scene.router.supervision.reassign
    for agent, word in (("zoe", NoTask.EXCLUDED), ("pat", NoTask.NOT_QUALIFIED)):
        with pytest.raises(WrongState) as caught:
            await reassign(scene.boss, task.id, agent)
        assert caught.value.reason == word
    with pytest.raises(EtagMismatch):
        await reassign(scene.boss, task.id, "ann", etag=task.revision + 1)
    assert await scene.store.task(SITE, task.id) == task
    moved = await reassign(scene.boss, task.id, "ann", reason="she knows him", etag=task.revision)
    assert moved.spec.preferred_agent == "ann"
    step = (await scene.store.history(SITE, task.id))[-1]
    assert (step.name, step.actor, step.reason) == ("update", "supervisor:sue", "she knows him")


async def test_a_group_or_queue_that_is_none_is_not_found(scene: Scene) -> None:
    supervision = scene.router.supervision
    with pytest.raises(NotFound, match="the groups are blue"):
        await supervision.set_gate(scene.boss, "bleu", GateMode.CLOSED, "drill", 0)
    with pytest.raises(NotFound, match="bleu"):
        await supervision.recall(scene.boss, "bleu", 1, (), "")
    with pytest.raises(NotFound, match="no task waits in queue"):
        await supervision.pause(scene.boss, "q:nowhere", True, "")


async def test_a_pause_tells_who_and_why(scene: Scene) -> None:
    await scene.router.supervision.pause(scene.boss, "wt:claims", True, "host down")
    assert await scene.router.supervision.paused(scene.boss) == {"wt:claims": "host down (supervisor:sue)"}


async def test_a_group_is_there_as_soon_as_it_has_a_policy(scene: Scene) -> None:
    await scene.router.supervision.put_policy(scene.boss, "new", "target_s: 30", None)
    figures = await scene.router.supervision.figures(scene.boss)
    assert {group.view.figures.group for group in figures.groups} == {GROUP, "new"}


async def test_changes_of_a_policy_are_repeated_with_their_request_ids(scene: Scene) -> None:
    supervision, boss = scene.router.supervision, scene.boss
    first = await supervision.put_policy(boss, GROUP, "target_s: 30", None, "", "r1")
    assert await supervision.put_policy(boss, GROUP, "target_s: 30", None, "", "r1") == first
    active = await supervision.activate_policy(boss, GROUP, first.latest, None, "r2")
    back = await supervision.rollback_policy(boss, GROUP, None, "r3")
    assert (active.active, back.active) == (2, 1)
    assert await supervision.rollback_policy(boss, GROUP, None, "r3") == back
    assert await supervision.activate_policy(boss, GROUP, first.latest, None, "r2") == back


# -- explain: one agent and one task ---------------------------------------------------------------------------
async def test_an_agent_is_explained_for_a_task(scene: Scene) -> None:
    await seated(scene, "ann", "bob", "cat")
    await scene.router.supervision.pause(scene.boss, "wt:claims", True, "host down")
    explain = scene.router.supervision.explain_agent
    task = await scene.submit(excluded_agents=("bob",))
    answer = await explain(scene.boss, "bob", task.id)
    assert (answer.verdict, answer.pull, answer.task) == ("PAUSED", NoTask.PAUSED, task.id)
    assert answer.decision
    assert (answer.decision.group, answer.decision.ahead) == (GROUP, 0)
    assert answer.decision.gate
    await scene.router.supervision.pause(scene.boss, "wt:claims", False, "")
    answer = await explain(scene.boss, "bob", task.id)
    assert (answer.verdict, answer.pull) == ("EXCLUDED", NoTask.EXCLUDED)
    assert "Agent bob does not get task" in answer.summary
    offered = await scene.until(task, TaskState.OFFERED)
    answer = await explain(scene.boss, "bob", task.id)
    assert (answer.verdict, answer.pull) == ("ASSIGNED", NoTask.NOT_QUEUED)
    assert offered.agent in answer.summary


async def test_what_a_pull_would_answer(scene: Scene) -> None:
    await scene.hire("ann", group="")
    explain = scene.router.supervision.explain_agent
    assert (await explain(scene.boss, "ann")).pull is NoTask.NO_TASK
    task = await scene.submit()
    # Nobody is connected, so nothing is pushed; asking would give the task all the same.
    answer = await explain(scene.boss, "ann", task.id)
    assert (answer.verdict, answer.pull) == ("NOT_CONNECTED", None)
    await scene.router.agents.get_next(scene.agent("ann"))
    answer = await explain(scene.boss, "ann")
    assert (answer.verdict, answer.pull) == ("ASSIGNED", NoTask.NO_CAPACITY)


async def test_an_agent_who_leaves_soon_is_passed_by(scene: Scene) -> None:
    await scene.hire("ann", "bob")
    await scene.sit_down("ann", "bob")
    soon = scene.router.clock.now_ms() + 5_000
    reports = [AgentReport(name, AVAILABLE, leave_ms=soon) for name in ("ann", "bob")]
    await scene.report(snapshot=True)
    batch = ReportBatch("acd", "1", 1_000, False, reports, ())
    await scene.router.telephony.report(scene.acd, batch)
    answer = await scene.router.supervision.explain_agent(scene.boss, "ann")
    assert (answer.verdict, answer.nearest and answer.nearest.name) == ("SHIFT_END", "stays")


# -- watching --------------------------------------------------------------------------------------------------
async def test_a_token_whose_events_are_gone_is_told(scene: Scene) -> None:
    await scene.submit()
    watch = scene.router.tasks.watch(scene.crm, frozenset(), "0-0")
    event = await anext(watch)
    later = scene.router.tasks.watch(scene.crm, frozenset(), event.id)
    await scene.submit()
    assert (await asyncio.wait_for(anext(later), 2)).transition.name == "submit"
    with pytest.raises(OutOfRange):
        await anext(scene.router.tasks.watch(scene.crm, frozenset(), "0-1"))


async def test_a_task_that_has_ended_is_not_reassigned_and_the_answer_says_why(scene: Scene) -> None:
    await scene.hire("ann")
    task = await scene.submit()
    await scene.store.cancel(SITE, task.id, "", "test")
    with pytest.raises(WrongState, match=r"has ended \(CANCELED\)"):
        await scene.router.supervision.reassign(scene.boss, task.id, "ann")


async def test_of_two_first_policies_the_second_is_told_to_read_again(scene: Scene) -> None:
    supervision, text = scene.router.supervision, "min_idle_s: 3"
    etag = (await supervision.get_policy(scene.boss, "new")).etag
    await supervision.put_policy(scene.boss, "new", text, etag)
    with pytest.raises(EtagMismatch, match="read it again"):
        await supervision.put_policy(scene.boss, "new", text, etag)
