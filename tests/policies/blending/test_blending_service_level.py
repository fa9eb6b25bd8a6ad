"""The service level by each formula, and what is left to reach."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.policies.blending.service_level import Resolved, ServiceLevelFormula, required_to_go, resolved


def required(calls: int, in_target: int, waiting: int, to_go: float, z: float = 1.0) -> float:
    return required_to_go(Resolved(calls, in_target), waiting, to_go, 0.8, 0.02, z, 0.6, 0.98)


@pytest.mark.parametrize(
    ("formula", "level"),
    [
        (ServiceLevelFormula.ANSWERED, 80 / 90),
        (ServiceLevelFormula.OFFERED, 80 / 100),
        (ServiceLevelFormula.OFFERED_LESS_SHORT_ABANDONS, 80 / 96),
    ],
)
def test_each_formula_divides_by_its_own_calls(formula: ServiceLevelFormula, level: float) -> None:
    assert resolved(formula, 90, 80, 10, 4).service_level == pytest.approx(level)


def test_before_the_first_call_there_is_no_service_level() -> None:
    assert resolved(ServiceLevelFormula.OFFERED, 0, 0, 0, 0).service_level is None


def test_more_short_abandons_than_abandons_take_nothing_from_the_answered() -> None:
    assert resolved(ServiceLevelFormula.OFFERED_LESS_SHORT_ABANDONS, 10, 8, 1, 3) == Resolved(10, 8)


def test_the_required_level_by_hand() -> None:
    # (0.82 · (1000 + 10 + 1600) − 800) / 1600 + √(0.16 / 1600) = 0.837625 + 0.01
    assert required(1000, 800, 10, 1600.0) == pytest.approx(0.847625)
    assert required(1000, 800, 10, 1600.0, z=0.0) == pytest.approx(0.837625)


def test_bounds_hold_when_the_day_is_lost_or_won() -> None:
    assert required(1000, 0, 0, 10.0) == 0.98
    assert required(1000, 1000, 0, 10.0) == 0.60


@pytest.mark.parametrize("to_go", [0.0, -5.0])
def test_with_no_call_to_come_the_target_itself_is_required(to_go: float) -> None:
    assert required(100, 10, 3, to_go) == pytest.approx(0.82)


@given(
    st.integers(0, 10_000), st.floats(0.0, 1.0), st.integers(0, 200), st.floats(1e-6, 1e5), st.integers(1, 50)
)
def test_more_missed_or_waiting_calls_never_lower_the_requirement(
    calls: int, share: float, waiting: int, to_go: float, more: int
) -> None:
    hit = int(calls * share)
    now = required(calls, hit, waiting, to_go)
    assert 0.6 <= now <= 0.98
    assert required(calls + more, hit, waiting, to_go) >= now
    assert required(calls, hit, waiting + more, to_go) >= now
    assert required(calls + more, hit + more, waiting, to_go) <= now
