"""Each urgency order, its place on the common scale, and the bound after which nobody newer goes first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.model import UrgencySpec
from router.policies.urgency import (
    CEILING,
    DUE_URGENCY,
    OVERDUE,
    POLICIES,
    Subject,
    Urgency,
    compile_urgency,
    problems,
    starvation_bound_ms,
)

HOUR = 3_600_000
DAY = 24 * HOUR
NOW = 1_790_000_000_000


def subject(
    priority: int = 50, start_ms: int = NOW, due_ms: int | None = None, goal_ms: int = DAY
) -> Subject:
    return Subject(priority, start_ms, start_ms + goal_ms if due_ms is None else due_ms, goal_ms)


def at(urgency: Urgency, now_ms: int) -> float:
    return urgency.curve.at(now_ms - urgency.origin_ms)


def spec(kind: str, **fields: object) -> UrgencySpec:
    points = ((0.0, 100.0), (0.5, 400.0), (1.0, 900.0)) if kind == "curve" else ()
    return UrgencySpec(kind=kind, points=points, **fields)  # type: ignore[arg-type]


class TestStrictPriority:
    def test_a_higher_priority_beats_any_age_within_the_bound(self) -> None:
        old_low = compile_urgency(spec("strict_priority"), subject(10, NOW - DAY + 1000))
        new_high = compile_urgency(spec("strict_priority"), subject(11, NOW))
        assert at(new_high, NOW) > at(old_low, NOW)

    def test_among_equals_the_older_goes_first(self) -> None:
        older = compile_urgency(spec("strict_priority"), subject(10, NOW - 2))
        newer = compile_urgency(spec("strict_priority"), subject(10, NOW))
        assert older.curve == newer.curve
        assert older.origin_ms < newer.origin_ms
        assert at(older, NOW) > at(newer, NOW)

    def test_past_the_bound_age_alone_counts(self) -> None:
        low = compile_urgency(spec("strict_priority"), subject(0, NOW - DAY - 5000))
        high = compile_urgency(spec("strict_priority"), subject(100, NOW - DAY - 3000))
        assert at(low, NOW) > at(high, NOW) > OVERDUE


class TestEarliestDue:
    def test_the_earlier_due_task_goes_first_whatever_its_age(self) -> None:
        soon = compile_urgency(spec("earliest_due"), subject(0, NOW, NOW + HOUR))
        late = compile_urgency(spec("earliest_due"), subject(100, NOW - DAY, NOW + 2 * HOUR))
        assert at(soon, NOW) > at(late, NOW)

    def test_it_is_worth_a_thousand_when_due(self) -> None:
        assert at(compile_urgency(spec("earliest_due"), subject(due_ms=NOW)), NOW) == DUE_URGENCY


class TestLinearAging:
    def test_initial_value_and_rate(self) -> None:
        urgency = compile_urgency(spec("linear_aging", initial=30.0, rate_per_minute=2.0), subject(10))
        assert at(urgency, NOW) == pytest.approx(130.0)
        assert at(urgency, NOW + 60_000) == pytest.approx(132.0)

    def test_tasks_of_different_priority_share_a_static_order(self) -> None:
        old = compile_urgency(spec("linear_aging", rate_per_minute=1.0), subject(0, NOW - 3 * HOUR))
        new = compile_urgency(spec("linear_aging", rate_per_minute=1.0), subject(10, NOW))
        assert old.curve == new.curve
        assert at(old, NOW) == pytest.approx(180.0)
        assert at(new, NOW) == pytest.approx(100.0)
        assert old.origin_ms < new.origin_ms


class TestCurve:
    @pytest.mark.parametrize(
        ("share", "expected"), [(0.0, 100.0), (0.25, 250.0), (0.5, 400.0), (0.75, 650.0)]
    )
    def test_it_follows_its_points_over_the_service_goal(self, share: float, expected: float) -> None:
        urgency = compile_urgency(spec("curve", max_wait_ms=3 * DAY), subject())
        assert at(urgency, NOW + round(share * DAY)) == pytest.approx(expected)

    def test_a_due_time_of_its_own_ends_the_goal(self) -> None:
        urgency = compile_urgency(spec("curve", max_wait_ms=3 * DAY), subject(due_ms=NOW + HOUR))
        assert at(urgency, NOW + HOUR) == pytest.approx(900.0)


subjects = st.builds(
    Subject,
    priority=st.integers(0, 100),
    start_ms=st.integers(NOW - 40 * DAY, NOW),
    due_ms=st.integers(NOW - 40 * DAY, NOW + 40 * DAY),
    service_goal_ms=st.integers(60_000, 30 * DAY),
)
specs = st.builds(
    spec,
    st.sampled_from(sorted(POLICIES)),
    max_wait_ms=st.integers(HOUR, 30 * DAY),
    initial=st.floats(0, 1000),
    rate_per_minute=st.floats(0.001, 1000),
)


@given(specs, subjects, st.lists(st.integers(0, 90 * DAY), min_size=2, max_size=5).map(sorted))
def test_urgency_never_falls(urgency: UrgencySpec, task: Subject, waits: list[int]) -> None:
    compiled = compile_urgency(urgency, task)
    values = [at(compiled, task.start_ms + wait) for wait in waits]
    assert values == sorted(values)


@given(specs, subjects, specs, subjects)
def test_past_its_bound_no_newer_task_of_any_order_goes_first(
    mine: UrgencySpec, task: Subject, other: UrgencySpec, rival: Subject
) -> None:
    """The rival's own bound lies later, so at this task's bound and ever after it comes behind."""
    if starvation_bound_ms(mine, task) > starvation_bound_ms(other, rival):
        mine, task, other, rival = other, rival, mine, task
    bound = starvation_bound_ms(mine, task)
    for later in (0, 1, HOUR, 10 * DAY):
        now = bound + later
        assert at(compile_urgency(mine, task), now) >= at(compile_urgency(other, rival), now)


@given(specs, subjects)
def test_only_the_overdue_lane_lies_above_the_ceiling(urgency: UrgencySpec, task: Subject) -> None:
    bound = starvation_bound_ms(urgency, task)
    assert at(compile_urgency(urgency, task), bound - 1) <= CEILING
    assert at(compile_urgency(urgency, task), bound) >= OVERDUE


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        (UrgencySpec(kind="random"), "kind"),
        (UrgencySpec(max_wait_ms=0), "max_wait"),
        (UrgencySpec(kind="linear_aging", rate_per_minute=0.0), "rate_per_minute"),
        (UrgencySpec(kind="linear_aging", initial=-1.0), "initial"),
        (UrgencySpec(kind="curve", points=((0.0, 1.0),)), "points"),
        (UrgencySpec(kind="curve", points=((0.0, 5.0), (1.0, 4.0))), "points"),
        (UrgencySpec(kind="curve", points=((1.0, 4.0), (0.5, 5.0))), "points"),
        (UrgencySpec(kind="curve", points=((0.0, 4.0), (0.5, 2500.0))), "points"),
    ],
)
def test_a_broken_spec_names_its_field(broken: UrgencySpec, field: str) -> None:
    assert [name for name, _ in problems(broken, DAY)] == [field]


def test_a_good_spec_has_no_problems() -> None:
    assert [problems(spec(kind), DAY) for kind in POLICIES] == [[], [], [], []]
