"""Relaxation, preference and fallback as steps of the route plan."""

from router.domain.model import RelaxationStep, TaskSpec, WorkType
from router.policies.planning import compile_plan, requirement_after

NOW = 1_790_000_000_000
MINUTE = 60_000
CLAIMS = WorkType("claims", {"claims": 4, "german": 2})
RELAXED = WorkType(
    "claims",
    {"claims": 4, "german": 2},
    relaxation=(RelaxationStep(5 * MINUTE, 1), RelaxationStep(10 * MINUTE, 1, ("german",))),
)


def steps(work_type: WorkType, **spec: object) -> list[tuple[int, str, str, dict[str, int]]]:
    plan = compile_plan(work_type, TaskSpec("claims", **spec), NOW)  # type: ignore[arg-type]
    return [(s.at_ms - NOW, s.queue.agent, s.queue.team, dict(s.queue.requirement)) for s in plan.steps]


def test_a_plain_task_waits_in_one_queue() -> None:
    assert steps(CLAIMS) == [(0, "", "", {"claims": 4, "german": 2})]


def test_levels_fall_step_by_step_and_a_dropped_skill_goes() -> None:
    assert steps(RELAXED) == [
        (0, "", "", {"claims": 4, "german": 2}),
        (5 * MINUTE, "", "", {"claims": 3, "german": 1}),
        (10 * MINUTE, "", "", {"claims": 2}),
    ]


def test_a_level_that_falls_below_one_no_longer_counts() -> None:
    work_type = WorkType("x", {"a": 1}, relaxation=(RelaxationStep(1000, 1),))
    assert requirement_after(work_type, {"a": 1}, 1000) == ()


def test_preferred_agent_then_team_then_everybody() -> None:
    got = steps(CLAIMS, preferred_agent="ann", preferred_team="north", preference_wait_ms=MINUTE)
    assert [(at, agent, team) for at, agent, team, _ in got] == [
        (0, "ann", ""),
        (MINUTE, "", "north"),
        (2 * MINUTE, "", ""),
    ]


def test_the_fallback_meets_the_relaxation_of_its_moment() -> None:
    got = steps(RELAXED, preferred_agent="ann", preference_wait_ms=7 * MINUTE)
    assert [(at // MINUTE, agent, req["claims"]) for at, agent, _, req in got] == [
        (0, "ann", 4),
        (5, "ann", 3),
        (7, "", 3),
        (10, "", 2),
    ]


def test_the_tasks_own_requirement_replaces_the_work_types() -> None:
    assert steps(CLAIMS, required_skills={"french": 1}) == [(0, "", "", {"french": 1})]
    assert steps(CLAIMS, required_skills={}) == [(0, "", "", {})]


def test_waiting_starts_when_the_task_is_scheduled() -> None:
    plan = compile_plan(RELAXED, TaskSpec("claims", schedule_ms=NOW + 60 * MINUTE), NOW)
    assert [step.at_ms - NOW for step in plan.steps] == [60 * MINUTE, 65 * MINUTE, 70 * MINUTE]
    assert plan.origin_ms == NOW + 60 * MINUTE


def test_a_non_interruptible_task_has_a_queue_of_its_own() -> None:
    soft = compile_plan(CLAIMS, TaskSpec("claims"), NOW).steps[0].queue
    firm = compile_plan(CLAIMS, TaskSpec("claims", interruptible=False), NOW).steps[0].queue
    assert soft.id != firm.id
    assert (soft.anchor, firm.anchor) == ("s:claims@4", "s:claims@4")


def test_a_preference_stated_later_lasts_from_then_on() -> None:
    spec = TaskSpec("claims", preferred_agent="ann", preference_wait_ms=MINUTE)
    plan = compile_plan(CLAIMS, spec, NOW, preferred_ms=NOW + 60 * MINUTE)
    assert [(s.at_ms - NOW, s.queue.agent) for s in plan.steps] == [(0, "ann"), (61 * MINUTE, "")]
    assert plan.origin_ms == NOW
