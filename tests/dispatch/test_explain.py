"""Explain: true answers, naming the nearest condition that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from router.dispatch.explain import Explanation
from router.domain.model import AgentState, GateMode, Task, TaskState
from tests.dispatch.scene import GROUP, Scene, opened_scene

AVAILABLE = AgentState.AVAILABLE


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with opened_scene() as scene:
        feed = asyncio.create_task(scene.keep_reporting())
        yield scene
        feed.cancel()


async def explained(scene: Scene, task: Task) -> Explanation:
    return await scene.router.supervision.explain_task(scene.boss, task.id)


async def hire_and_seat(scene: Scene, *names: str, **fields: object) -> None:
    await scene.hire(*names, **fields)
    await scene.report(dict.fromkeys(names, AVAILABLE), snapshot=True)
    await scene.sit_down(*names)


async def test_a_missing_skill(scene: Scene) -> None:
    await hire_and_seat(scene, "ann", "bob", skills={"claims": 1})
    answer = await explained(scene, await scene.submit())
    assert answer.verdict == "NO_SKILLED_AGENT"
    assert answer.nearest
    assert answer.nearest.name == "skill:claims"
    assert (answer.nearest.needed, answer.nearest.actual) == ("level 2", "level 1")
    assert "needs skill claims at level 2 and has level 1" in answer.summary


async def test_a_closed_gate(scene: Scene) -> None:
    await hire_and_seat(scene, "ann", "bob")
    await scene.router.supervision.set_gate(scene.boss, GROUP, GateMode.CLOSED, "training", 0)
    task = await scene.submit()
    await asyncio.sleep(1.2)
    answer = await explained(scene, task)
    assert (answer.verdict, answer.nearest and answer.nearest.name) == ("GATE_CLOSED", "gate_open")
    assert "training" in answer.summary


async def test_an_exclusion(scene: Scene) -> None:
    await hire_and_seat(scene, "ann")
    answer = await explained(scene, await scene.submit(excluded_agents=("ann",)))
    assert (answer.verdict, answer.nearest and answer.nearest.name) == ("EXCLUDED", "not_excluded")
    assert "excludes agent ann" in answer.summary


async def test_a_decline_excludes_for_a_while(scene: Scene) -> None:
    await hire_and_seat(scene, "ann", "bob")
    task = await scene.submit(excluded_agents=("bob",))
    offered = await scene.until(task, TaskState.OFFERED)
    await scene.router.agents.decline(scene.agent("ann"), task.id, offered.fence, "lunch")
    answer = await explained(scene, task)
    assert answer.verdict == "EXCLUDED"
    assert {agent for agent, _ in answer.agents} == {"ann", "bob"}


async def test_nobody_connected(scene: Scene) -> None:
    await scene.hire("ann", "bob")
    await scene.report({"ann": AVAILABLE, "bob": AVAILABLE}, snapshot=True)
    answer = await explained(scene, await scene.submit())
    assert (answer.verdict, answer.nearest and answer.nearest.name) == ("NOT_CONNECTED", "connected")


async def test_nobody_at_all(scene: Scene) -> None:
    answer = await explained(scene, await scene.submit())
    assert answer.verdict == "NO_SKILLED_AGENT"


async def test_everybody_in_calls(scene: Scene) -> None:
    await hire_and_seat(scene, "ann")
    await scene.report({"ann": AgentState.ON_CALL})
    answer = await explained(scene, await scene.submit())
    assert (answer.verdict, answer.nearest and answer.nearest.actual) == ("NOT_AVAILABLE", "ON_CALL")


async def test_the_reserve(scene: Scene) -> None:
    await hire_and_seat(scene, "ann")
    task = await scene.submit()
    await asyncio.sleep(1.2)
    answer = await explained(scene, task)
    assert answer.verdict in ("GATE_FULL", "GATE_CLOSED")


async def test_a_paused_work_type(scene: Scene) -> None:
    await hire_and_seat(scene, "ann", "bob")
    await scene.router.supervision.pause(scene.boss, "wt:claims", True, "system down")
    answer = await explained(scene, await scene.submit())
    assert answer.verdict == "PAUSED"
    assert "system down" in answer.summary


async def test_a_task_kept_for_its_preferred_agent(scene: Scene) -> None:
    await hire_and_seat(scene, "ann", "bob")
    answer = await explained(scene, await scene.submit(preferred_agent="zoe"))
    assert (answer.verdict, answer.nearest and answer.nearest.name) == (
        "WAITING_FOR_PREFERRED",
        "preferred_agent",
    )


async def test_why_this_agent_got_it(scene: Scene) -> None:
    await hire_and_seat(scene, "ann", "bob")
    task = await scene.submit()
    offered = await scene.until(task, TaskState.OFFERED)
    answer = await explained(scene, task)
    assert answer.verdict == "ASSIGNED"
    assert offered.agent in answer.summary
    assert answer.decision
    assert (answer.decision.group, answer.decision.policy_version) == (GROUP, 1)
    assert answer.decision.agent_choice == "longest_idle"
    (why,) = [condition.detail for condition in answer.conditions if condition.name == "why"]
    assert "static_reserve" in why
    of_agent = await scene.router.supervision.explain_agent(scene.boss, offered.agent)
    assert of_agent.verdict == "ASSIGNED"


async def test_why_an_agent_has_nothing(scene: Scene) -> None:
    await hire_and_seat(scene, "ann", "bob", "cat")
    await asyncio.sleep(1.2)
    answer = await scene.router.supervision.explain_agent(scene.boss, "ann")
    assert answer.verdict == "NO_TASK"
    await scene.router.supervision.drain_agent(scene.boss, "ann", True)
    answer = await scene.router.supervision.explain_agent(scene.boss, "ann")
    assert answer.verdict == "DRAINING"


async def test_ended_and_scheduled_tasks(scene: Scene) -> None:
    task = await scene.submit()
    await scene.router.tasks.cancel(scene.crm, task.id, "customer called", None)
    assert (await explained(scene, task)).verdict == "ENDED"
    later = await scene.submit(schedule_ms=scene.router.clock.now_ms() + 60_000)
    assert (await explained(scene, later)).verdict == "SCHEDULED"


async def test_a_waiting_call(scene: Scene) -> None:
    await hire_and_seat(scene, "ann", "bob", "cat")
    await scene.report(waiting_ages_ms=[1_000, 2_000])
    await asyncio.sleep(1.2)
    answer = await explained(scene, await scene.submit())
    assert answer.nearest
    assert (answer.nearest.name, answer.nearest.actual) == ("no_call_waits", "2")
    gate = next(condition for condition in answer.conditions if condition.name == "gate_open")
    assert (gate.holds, gate.actual) == (True, "open (AUTO)")


async def test_who_is_not_available_is_not_idle(scene: Scene) -> None:
    await scene.hire("ann")
    found = await scene.router.supervision.explain_agent(scene.boss, "ann")
    idle = next(condition for condition in found.conditions if condition.name == "idle_time")
    assert (idle.holds, idle.actual) == (False, "0.0 s")


async def test_a_recall_is_told_with_its_version_and_figures(scene: Scene) -> None:
    await hire_and_seat(scene, "ann", "bob")
    task = await scene.submit()
    offered = await scene.until(task, TaskState.OFFERED)
    await scene.router.agents.accept(scene.agent(offered.agent), task.id, offered.fence)
    await scene.report(waiting_ages_ms=[15_000])
    recalled = await scene.until(task, TaskState.RECALLING)
    told = await scene.router.supervision.explain_task(scene.boss, task.id)
    assert f"It was recalled from agent {recalled.agent} at " in told.summary
    assert "by policy version 1: a call had waited 15." in told.summary
    assert "s with 0 agents returning, calls are helped from 8.0 s on" in told.summary
    steps = [(c.name, c.detail) for c in told.conditions if c.name in ("pushed", "recalled")]
    assert [name for name, _ in steps] == ["pushed", "recalled"]
    assert f"pushed to agent {recalled.agent} at " in steps[0][1]
    assert "by policy version 1: static_reserve: open; allowance 1, reserve 1/1" in steps[0][1]
    await scene.router.agents.release(scene.agent(recalled.agent), task.id, recalled.fence, "recalled", b"")
    waiting = await scene.router.supervision.explain_task(scene.boss, task.id)
    assert "by policy version 1: a call had waited 15." in waiting.summary
    agent = await scene.router.supervision.explain_agent(scene.boss, recalled.agent)
    assert agent.subject == recalled.agent


async def test_an_offer_taken_back_says_for_which_call(scene: Scene) -> None:
    await hire_and_seat(scene, "ann", "bob")
    task = await scene.submit()
    await scene.until(task, TaskState.OFFERED)
    await scene.report(waiting_ages_ms=[15_000])
    await scene.until(task, TaskState.QUEUED)
    told = await scene.router.supervision.explain_task(scene.boss, task.id)
    assert "It was withdrawn from agent " in told.summary
    assert told.summary.endswith("; the offer had not been accepted yet.")
