"""Four tasks that wait, and four true answers why."""

from __future__ import annotations

from router.v1 import common_pb2, supervision_pb2
from tests.e2e.floor import AVAILABLE, GROUP, QUEUED, Floor

pb = supervision_pb2


async def answer_for(floor: Floor, task: common_pb2.Task) -> supervision_pb2.ExplainTaskResponse:
    answer = await floor.boss.explain_task(task.name)
    assert await floor.state(task) == QUEUED
    assert answer.explanation.summary.startswith(f"Task {task.name.rpartition('/')[2]} is with nobody: ")
    return answer


async def test_a_missing_skill(floor: Floor) -> None:
    await floor.work_type(level=5)
    await floor.hire("ann", level=4)
    await floor.desk("ann")
    answer = await answer_for(floor, await floor.submit())
    assert answer.explanation.verdict == pb.VERDICT_NO_SKILLED_AGENT
    assert answer.explanation.nearest.name == "skill:claims"
    assert (answer.explanation.nearest.needed, answer.explanation.nearest.actual) == ("level 5", "level 4")
    (candidate,) = answer.candidates
    assert candidate.agent == f"sites/{floor.site}/agents/ann"


async def test_a_closed_gate(floor: Floor) -> None:
    await floor.work_type()
    await floor.blend()
    await floor.hire("ann", "pat", group=GROUP)
    acd = await floor.acd()
    await acd.waiting()
    await acd.report(AVAILABLE, "ann", "pat")
    await floor.desk("ann")
    await floor.gate(open=True)
    await floor.boss.set_gate(GROUP, pb.GATE_MODE_CLOSED, "fire drill")
    await floor.gate(open=False)
    answer = await answer_for(floor, await floor.submit())
    assert answer.explanation.verdict == pb.VERDICT_GATE_CLOSED
    assert answer.explanation.nearest.name == "gate_open"
    assert "fire drill" in answer.explanation.summary


async def test_an_exclusion(floor: Floor) -> None:
    await floor.work_type()
    await floor.hire("ann")
    await floor.desk("ann")
    task = await floor.submit(excluded_agents=[f"sites/{floor.site}/agents/ann"])
    answer = await answer_for(floor, task)
    assert answer.explanation.verdict == pb.VERDICT_EXCLUDED
    assert answer.explanation.nearest.name == "not_excluded"
    assert "excludes agent ann" in answer.explanation.summary


async def test_nobody_connected(floor: Floor) -> None:
    await floor.work_type()
    await floor.hire("ann", "bob")
    answer = await answer_for(floor, await floor.submit())
    assert answer.explanation.verdict == pb.VERDICT_NOT_CONNECTED
    assert answer.explanation.nearest.name == "connected"
    assert len(answer.candidates) == 2
