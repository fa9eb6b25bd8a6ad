"""The steps of a route plan: relaxation, fallback from a preferred agent or team, the sweeper."""

from __future__ import annotations

from router.domain.model import ClaimMode, NoTask, TaskState
from tests.support.builders import HOUR, MINUTE, T0, new_task, plan, queue_spec
from tests.support.stage import Stage

STRICT = queue_spec(skills={"claims": 4})
EASY = queue_spec(skills={"claims": 2})
LEASE = ClaimMode.LEASE


async def test_requirements_fall_when_their_time_comes(stage: Stage) -> None:
    await stage.agent()
    await stage.submit(new_task(route=plan(T0, STRICT, (T0 + MINUTE, EASY))))
    assert await stage.refusal("ann", LEASE) is NoTask.NO_TASK
    stage.later(MINUTE - 1)
    assert await stage.due() == []
    stage.later(1)
    assert await stage.due() == ["t1"]
    relaxed = await stage.advance()
    assert relaxed is not None
    assert (relaxed.state, relaxed.queue) == (TaskState.QUEUED, EASY.id)
    assert await stage.due() == []
    assert (await stage.pull()).id == "t1"


async def test_a_task_skips_steps_that_have_passed(stage: Stage) -> None:
    middle = queue_spec(skills={"claims": 3})
    await stage.submit(new_task(route=plan(T0, STRICT, (T0 + MINUTE, middle), (T0 + 2 * MINUTE, EASY))))
    stage.later(5 * MINUTE)
    await stage.advance()
    assert (await stage.task()).queue == EASY.id
    assert await stage.due() == []


async def test_a_preferred_agent_then_the_team_then_everyone(stage: Stage) -> None:
    await stage.agent("ann")
    await stage.agent("tim", teams=("north",))
    own, team = queue_spec(agent="zoe"), queue_spec(team="north")
    route = plan(T0, own, (T0 + MINUTE, team), (T0 + 2 * MINUTE, queue_spec()))
    await stage.submit(new_task(route=route))
    assert await stage.refusal("tim", LEASE) is NoTask.NO_TASK
    stage.later(MINUTE)
    await stage.sweep()
    assert await stage.refusal("ann", LEASE) is NoTask.NO_TASK
    assert (await stage.offer("tim")).id == "t1"
    await stage.decline(await stage.task())
    stage.later(MINUTE)
    await stage.sweep()
    assert (await stage.pull("ann")).id == "t1"


async def test_time_in_an_agents_hands_counts_for_the_plan(stage: Stage) -> None:
    await stage.agent("top", skills={"claims": 5})
    await stage.agent("ann")
    await stage.submit(new_task(route=plan(T0, STRICT, (T0 + MINUTE, EASY)), lease_ms=HOUR))
    task = await stage.pull("top")
    stage.later(2 * MINUTE)
    assert await stage.due() == []
    await stage.release(task)
    assert (await stage.pull("ann")).id == "t1"


async def test_a_task_in_front_widens_too(stage: Stage) -> None:
    await stage.agent("top", skills={"claims": 5})
    await stage.agent("ann")
    await stage.submit(new_task(route=plan(T0, STRICT, (T0 + MINUTE, EASY))))
    await stage.add("older", origin_ms=T0 - 50 * HOUR)
    await stage.decline(await stage.offer("top", task="t1"))
    stage.later(MINUTE)
    assert await stage.due() == ["t1"]
    await stage.sweep()
    assert (await stage.pull("ann")).id == "t1"


async def test_due_tasks_come_earliest_first_and_at_most_as_many_as_asked(stage: Stage) -> None:
    for n in (3, 1, 2):
        await stage.add(f"t{n}", schedule_ms=T0 + n * MINUTE)
    await stage.add("far", schedule_ms=T0 + HOUR)
    stage.later(10 * MINUTE)
    assert await stage.due() == ["t1", "t2", "t3"]
    assert await stage.due(2) == ["t1", "t2"]


async def test_a_sweep_that_comes_twice_does_nothing_the_second_time(stage: Stage) -> None:
    await stage.add(schedule_ms=T0 + MINUTE)
    stage.later(MINUTE)
    assert await stage.advance() is not None
    before = await stage.dump()
    assert await stage.advance() is None
    assert await stage.dump() == before


async def test_a_sweep_with_old_knowledge_takes_nothing_away(stage: Stage) -> None:
    """The sweeper saw an offer time out; before it acts, the task is in other hands."""
    await stage.agent("ann")
    await stage.agent("bob")
    await stage.add(offer_timeout_ms=MINUTE, lease_ms=HOUR)
    first = await stage.offer("ann")
    stage.later(MINUTE)
    assert await stage.due() == ["t1"]
    await stage.decline(first)
    second = await stage.pull("bob")
    assert await stage.advance() is None
    assert await stage.task() == second
