"""Shifts: the requirement is covered, breaks are in them, and groups of several skills share the calls."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from callcenter.erlang import erlang_c_service_level
from callcenter.staffing import Demand, Shift, plan_group_shifts, plan_shifts, staffed
from callcenter.volumes import DEMO_DAY, half_hours, load

OPENS, CLOSES = 7 * 3600.0, 7 * 3600.0 + 169 * 300.0


def forecast(keep: float) -> list[float]:
    return half_hours([calls * keep for calls in load().forecast(DEMO_DAY)])


def covers(shifts: list[Shift], needed: np.ndarray) -> bool:
    return all(staffed(shifts, OPENS + q * 900) >= needed[q // 2] for q in range(56))


def test_the_plan_covers_what_erlang_c_asks_for() -> None:
    shifts = plan_shifts(forecast(0.125), OPENS, CLOSES)
    needed = Demand(forecast(0.125)).requirement()
    assert covers(shifts, needed)
    paid_s = sum(s.end - s.start - sum(e - b for b, e in s.breaks) for s in shifts)
    assert paid_s <= 1.1 * float(needed.sum()) * 1800.0
    assert max(sum(s.start <= t < s.end for s in shifts) for t in range(25_200, 76_500, 900)) <= 44


def test_no_shift_can_be_left_out() -> None:
    shifts = plan_shifts(forecast(0.125), OPENS, CLOSES)
    needed = Demand(forecast(0.125)).requirement()
    assert not any(covers(shifts[:i] + shifts[i + 1 :], needed) for i in range(len(shifts)))


def test_every_shift_has_its_breaks_inside() -> None:
    for shift in plan_shifts(forecast(0.125), OPENS, CLOSES):
        assert len(shift.breaks) == (3 if shift.end - shift.start > 6 * 3600 else 1)
        for begin, end in shift.breaks:
            assert shift.start < begin < end < shift.end


def test_the_requirement_is_the_fewest_agents_of_each_half_hour() -> None:
    needed = Demand([60.0, 0.0, 240.0], 240.0, 0.8, 20.0).requirement()
    loads = np.array([8.0, 0.0, 32.0])
    assert list(needed) == [11, 1, 37]
    assert np.all(erlang_c_service_level(needed, loads, 240.0, 20.0) >= 0.8)
    assert np.all(erlang_c_service_level(needed[[0, 2]] - 1, loads[[0, 2]], 240.0, 20.0) < 0.8)


def test_impatient_callers_need_fewer_agents() -> None:
    patient, impatient = (
        plan_shifts(forecast(0.125), OPENS, CLOSES),
        plan_shifts(forecast(0.125), OPENS, CLOSES, patience_s=100.0),
    )
    assert len(impatient) < len(patient)
    assert len(plan_shifts(forecast(0.125), OPENS, CLOSES, patience_s=math.inf)) == len(patient)


def test_a_large_center_is_planned_at_once() -> None:
    began = time.perf_counter()
    shifts = plan_shifts(forecast(1.0), OPENS, CLOSES)
    assert time.perf_counter() - began < 1.0
    assert max(sum(s.start <= t < s.end for s in shifts) for t in range(25_200, 76_500, 900)) >= 240


def test_groups_share_the_calls_of_the_queues_that_they_serve() -> None:
    calls = forecast(0.1)
    demands = {"loans": Demand(calls, 240.0), "cards": Demand([c / 2 for c in calls], 300.0, 0.9, 15.0)}
    groups = {"lenders": ["loans"], "both": ["loans", "cards"]}
    shifts = plan_group_shifts(demands, groups, OPENS, CLOSES)
    lenders = [s for s in shifts if s.queues == ("loans",)]
    both = [s for s in shifts if s.queues == ("loans", "cards")]
    assert len(lenders) + len(both) == len(shifts) == len({s.agent for s in shifts})
    half = [c / 2 for c in calls]
    assert covers(lenders, Demand(half, 240.0).requirement())
    # As many calls of 240 s as of 300 s, the higher target and the shorter answer time.
    assert covers(both, Demand([2 * c for c in half], 270.0, 0.9, 15.0).requirement())


def test_what_cannot_be_planned_is_refused() -> None:
    demands = {"loans": Demand([10.0] * 28)}
    with pytest.raises(ValueError, match="no group serves the call queue 'loans'"):
        plan_group_shifts(demands, {"a": []}, OPENS, CLOSES)
    with pytest.raises(ValueError, match="group 'a' serves 'cards'"):
        plan_group_shifts(demands, {"a": ["loans", "cards"]}, OPENS, CLOSES)
    with pytest.raises(ValueError, match="shortest shift of 5 h"):
        plan_shifts([10.0] * 4, OPENS, OPENS + 7200.0)
    with pytest.raises(ValueError, match="no half hour"):
        plan_shifts([], OPENS, CLOSES)
