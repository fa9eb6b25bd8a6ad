"""The routing loop on a live router: dips fill with work, calls take it back, silence closes the gate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from router.dispatch.controller import DEDICATED, Controller
from router.domain.errors import StoreUnavailable, Superseded
from router.domain.model import AgentState, NoTask, TaskState
from tests.dispatch.scene import GROUP, SITE, Scene, next_push, opened_scene
from tests.support.wait import wait_until

AVAILABLE, RINGING, ON_CALL = AgentState.AVAILABLE, AgentState.RINGING, AgentState.ON_CALL


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with opened_scene() as scene:
        feed = asyncio.create_task(scene.keep_reporting())
        yield scene
        feed.cancel()


async def staffed(scene: Scene, *names: str) -> dict[str, object]:
    await scene.hire(*names)
    await scene.report(dict.fromkeys(names, AVAILABLE), snapshot=True)
    return dict(zip(names, await scene.sit_down(*names), strict=True))


async def test_a_submitted_task_is_pushed_to_an_idle_agent_and_completed(scene: Scene) -> None:
    ann, bob = await _two(scene)
    task = await scene.submit()
    push = await _first_offer(ann, bob)
    agent = scene.agent(push.task.agent)
    leased = await scene.router.agents.accept(agent, task.id, push.task.fence)
    assert leased.state is TaskState.ACTIVE
    saved = await scene.router.agents.checkpoint(agent, task.id, push.task.fence, b"half")
    assert saved.checkpoint
    assert saved.checkpoint.data == b"half"
    done = await scene.router.agents.complete(agent, task.id, push.task.fence, b"ok", "done")
    assert (done.state, done.result) == (TaskState.COMPLETED, b"ok")
    assert not (await scene.store.audit(SITE)).violations


async def test_the_reserve_stays_idle(scene: Scene) -> None:
    await _two(scene)
    first, second = await scene.submit(), await scene.submit()

    async def one_is_offered() -> bool:
        return TaskState.OFFERED in {await scene.state(first), await scene.state(second)}

    await wait_until(one_is_offered, "one of two agents should be offered a task")
    await asyncio.sleep(0.3)
    assert sorted([await scene.state(first), await scene.state(second)]) == ["OFFERED", "QUEUED"]


async def test_a_call_rescinds_the_offer_and_the_task_is_first_in_line_again(scene: Scene) -> None:
    ann, bob = await _two(scene)
    task = await scene.submit()
    offered = await _first_offer(ann, bob)
    await scene.submit(priority=100)
    holder = offered.task.agent
    session = ann if holder == "ann" else bob
    result = await scene.report({holder: RINGING})
    assert [t.id for t in result.touched] == [task.id]
    assert (await next_push(session, "rescind")).task.id == task.id
    await scene.report({holder: AVAILABLE})
    again = await _first_offer(ann, bob)
    assert again.task.id == task.id
    assert again.task.fence > offered.task.fence


async def test_a_recall_by_hand_that_the_store_did_not_answer_is_in_doubt_for_that_task_alone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await staffed(scene, "ann", "bob", "cat")
    held = [
        await scene.until(task, TaskState.OFFERED) for task in [await scene.submit(), await scene.submit()]
    ]
    for task in held:
        await scene.router.agents.accept(scene.agent(task.agent), task.id, task.fence)
    answered = scene.store.recall

    async def sometimes(site: str, task: str, *more: object) -> object:
        if task == held[0].id:
            raise StoreUnavailable("the connection broke")
        return await answered(site, task, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(scene.store, "recall", sometimes)
    result = await scene.router.supervision.recall(scene.boss, GROUP, 2, [], "meeting")
    (doubt,) = result.refused
    assert (doubt.agent, doubt.reason) == (held[0].agent, "STORE_UNAVAILABLE")
    assert doubt.detail == (
        f"It is not known whether task {held[0].id} is recalled: the connection broke. Recall again, or look."
    )
    assert [agent for agent, _ in result.tasks] == [held[1].agent]


async def test_a_waiting_call_recalls_just_one_agent_and_the_work_goes_on_where_it_was(scene: Scene) -> None:
    await staffed(scene, "ann", "bob", "cat")
    tasks = [await scene.submit(), await scene.submit()]
    held = [await scene.until(t, TaskState.OFFERED) for t in tasks]
    for task in held:
        await scene.router.agents.accept(scene.agent(task.agent), task.id, task.fence)
        await scene.router.agents.checkpoint(scene.agent(task.agent), task.id, task.fence, b"p1")
    await scene.report(waiting_ages_ms=[9_000])

    async def one_recalled() -> bool:
        return [await scene.state(t) for t in tasks].count(TaskState.RECALLING) == 1

    await wait_until(one_recalled, "one of two tasks should be recalled")
    await asyncio.sleep(0.2)
    assert sorted([await scene.state(t) for t in tasks]) == ["ACTIVE", "RECALLING"]
    (recalled,) = [t for t in held if await scene.state(t) is TaskState.RECALLING]
    agent = scene.agent(recalled.agent)
    back = await scene.router.agents.release(agent, recalled.id, recalled.fence, "recalled", b"p2")
    assert back.state is TaskState.QUEUED
    await scene.report({recalled.agent: ON_CALL})
    await scene.report({recalled.agent: AVAILABLE})
    resumed = await scene.until(recalled, TaskState.OFFERED)
    assert resumed.agent == recalled.agent
    assert resumed.checkpoint
    assert resumed.checkpoint.data == b"p2"
    with pytest.raises(Superseded):
        await scene.router.agents.complete(agent, recalled.id, recalled.fence, b"", "late")


async def test_a_recall_that_is_not_obeyed_is_forced_after_the_notice(scene: Scene) -> None:
    await staffed(scene, "ann", "bob")
    task = await scene.submit()
    offered = await scene.until(task, TaskState.OFFERED)
    await scene.router.agents.accept(scene.agent(offered.agent), task.id, offered.fence)
    await scene.report(waiting_ages_ms=[15_000])
    await scene.until(task, TaskState.RECALLING)
    await scene.report(waiting_ages_ms=[])
    history_names = {"force"}

    async def forced() -> bool:
        return history_names <= {t.name for t in await scene.store.history(SITE, task.id)}

    await wait_until(forced, "the recall should be forced")


async def test_work_that_may_not_be_interrupted_is_never_recalled(scene: Scene) -> None:
    await staffed(scene, "ann", "bob")
    task = await scene.submit(interruptible=False)
    offered = await scene.until(task, TaskState.OFFERED)
    await scene.router.agents.accept(scene.agent(offered.agent), task.id, offered.fence)
    await scene.report(waiting_ages_ms=[15_000])
    await asyncio.sleep(0.4)
    assert await scene.state(task) is TaskState.ACTIVE


async def test_no_push_while_a_call_waits(scene: Scene) -> None:
    await scene.hire("ann", "bob")
    await scene.report(dict.fromkeys(("ann", "bob"), AVAILABLE), waiting_ages_ms=[100], snapshot=True)
    await scene.sit_down("ann", "bob")
    task = await scene.submit()
    await asyncio.sleep(0.4)
    assert await scene.state(task) is TaskState.QUEUED
    await scene.report(waiting_ages_ms=[])
    await scene.until(task, TaskState.OFFERED)


async def test_a_silent_feed_closes_the_gate() -> None:
    async with opened_scene() as scene:
        await staffed(scene, "ann", "bob", "cat")
        first = await scene.submit()
        await scene.until(first, TaskState.OFFERED)
        await asyncio.sleep(0.7)
        second = await scene.submit()
        await asyncio.sleep(0.5)
        assert await scene.state(second) is TaskState.QUEUED
        claim = await scene.router.agents.get_next(scene.agent("cat"))
        assert claim.task is None
        assert claim.reason in (NoTask.FEED_STALE, NoTask.GATE_CLOSED)
        await scene.report()
        await scene.until(second, TaskState.OFFERED)


async def test_a_dedicated_agent_needs_no_telephony(scene: Scene) -> None:
    await scene.hire("dora", group="")
    task = await scene.submit()
    (dora,) = await scene.sit_down("dora")
    push = await next_push(dora, "offer")
    assert push.task.id == task.id


async def test_a_pull_waits_for_work(scene: Scene) -> None:
    await scene.hire("dora", group="")
    pull = asyncio.create_task(scene.router.agents.get_next(scene.agent("dora"), 5_000))
    await asyncio.sleep(0.1)
    task = await scene.submit()
    claim = await pull
    assert claim.task
    assert claim.task.id == task.id
    assert claim.task.state is TaskState.ACTIVE


async def test_a_reconnecting_desktop_is_told_what_it_holds(scene: Scene) -> None:
    await staffed(scene, "ann", "bob")
    task = await scene.submit()
    offered = await scene.until(task, TaskState.OFFERED)
    (again,) = await scene.sit_down(offered.agent)
    assert [t.id for t in again.snapshot.tasks] == [task.id]
    assert again.snapshot.tasks[0].fence == offered.fence


async def test_a_gate_closed_by_hand_stops_pushes_and_opened_by_hand_ignores_the_reserve(
    scene: Scene,
) -> None:
    from router.domain.model import GateMode

    await staffed(scene, "ann", "bob")
    supervision = scene.router.supervision
    await supervision.set_gate(scene.boss, GROUP, GateMode.CLOSED, "training", 0)
    first = await scene.submit()
    await asyncio.sleep(0.3)
    assert await scene.state(first) is TaskState.QUEUED
    await supervision.set_gate(scene.boss, GROUP, GateMode.OPEN, "quiet day", 0)
    second = await scene.submit()
    await scene.until(first, TaskState.OFFERED)
    await scene.until(second, TaskState.OFFERED)
    await supervision.set_gate(scene.boss, GROUP, GateMode.AUTO, "", 0)
    third = await scene.submit()
    await asyncio.sleep(0.3)
    assert await scene.state(third) is TaskState.QUEUED


async def _two(scene: Scene):  # type: ignore[no-untyped-def]
    return (await staffed(scene, "ann", "bob")).values()


async def _first_offer(*sessions):  # type: ignore[no-untyped-def]
    """The offer that comes first to any of the sessions."""
    waits = [asyncio.create_task(next_push(session, "offer")) for session in sessions]
    done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in pending:
        wait.cancel()
    return done.pop().result()


async def test_a_groups_leader_does_not_ask_agents_of_no_group(scene: Scene) -> None:
    await staffed(scene, "ann")
    controllers = scene.router._controllers
    await wait_until(lambda: (SITE, GROUP) in controllers, "the group should have its controller")
    await scene.hire("dora", group="")
    await scene.sit_down("dora")
    await wait_until(
        lambda: "dora" in controllers[SITE, DEDICATED].matcher._bench._seats,
        "who matches agents without a group should know dora",
    )
    assert "dora" not in controllers[SITE, GROUP].matcher._bench._seats


def test_after_a_look_at_a_store_that_stood_still_the_next_is_not_long_in_coming() -> None:
    assert Controller._rest_after(0.002) < 0.01
    assert Controller._rest_after(3.0) <= 0.25
