"""The exact stationary cases: against stated figures, Erlang's formulas and a general solver."""

import math

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog

from quality.exact import (
    CASES,
    Case,
    Lattice,
    best_policy,
    best_randomised,
    best_threshold,
    threshold,
)
from quality.stationary import by_law, law_reserve

HALF_A_POINT = 0.005
SMALL = Case(8, 0.6, 180.0, 240.0)


@pytest.mark.parametrize(("case", "stated"), list(zip(CASES, (0.908, 0.971, 0.828, 0.982), strict=True)))
def test_erlang_c_of_the_cases(case, stated):
    assert case.level_without_blending == pytest.approx(stated, abs=0.0005)


@pytest.mark.parametrize(
    ("case", "reserve", "stated"), [(CASES[0], 6, 0.495), (CASES[1], 6, 0.778), (CASES[2], 14, 0.203)]
)
def test_the_best_threshold_recovers_what_is_stated(case, reserve, stated):
    found = best_threshold(case)
    assert found.reserve == reserve
    assert found.outcome.recovered == pytest.approx(stated, abs=HALF_A_POINT)
    assert found.outcome.level >= case.target


@pytest.mark.parametrize(("case", "stated"), [(CASES[0], 0.522), (CASES[1], 0.825)])
def test_the_best_policy_recovers_what_is_stated(case, stated):
    assert best_policy(case).recovered == pytest.approx(stated, abs=HALF_A_POINT)


def test_a_general_solver_finds_the_same_best_policy():
    assert best_policy(SMALL).recovered == pytest.approx(by_linear_program(SMALL), abs=1e-4)


def by_linear_program(case):
    """The linear program as it stands, in occupation π and pushes r, solved by HiGHS."""
    lattice = Lattice(case)
    size, here = len(lattice), np.arange(len(lattice))
    source = here[(lattice.idle > 0) & (lattice.at(lattice.calls, lattice.tasks + 1) >= 0)]
    balance = sparse.lil_array((size + 1, size + source.size))
    for calls, tasks, rates in lattice.moves():
        for state, to, rate in zip(here, lattice.at(calls, tasks), rates, strict=True):
            if to >= 0 and rate > 0:
                balance[to, state] += rate
                balance[state, state] -= rate
    for n, state in enumerate(source):
        balance[lattice.at(lattice.calls[[state]], lattice.tasks[[state]] + 1)[0], size + n] += 1.0
        balance[state, size + n] -= 1.0
    balance[size, :size] = 1.0
    solved = linprog(
        np.concatenate([-lattice.tasks / case.spare, np.zeros(source.size)]),
        A_ub=np.concatenate([lattice.late, np.zeros(source.size)])[None, :],
        b_ub=[1.0 - case.target],
        A_eq=balance.tocsr(),
        b_eq=np.concatenate([np.zeros(size), [1.0]]),
        method="highs-ds",
    )
    assert solved.success
    return -solved.fun


def test_everybody_kept_back_is_erlang_c():
    found = threshold(SMALL, SMALL.agents)
    assert found.level == pytest.approx(SMALL.level_without_blending, abs=1e-6)
    assert found.recovered == pytest.approx(0.0, abs=1e-9)


def test_equal_call_and_task_times_make_tasks_calls_without_a_queue():
    """With μ1 = μ2 and no reserve nobody is ever idle, so the queue is M/M/1 at the rate of all agents."""
    case = Case(6, 0.5, 200.0, 200.0)
    pace, rate = case.agents / case.aht_s, case.rate_per_s
    late = math.exp(-(pace - rate) * case.within_s)
    assert threshold(case, 0).level == pytest.approx(1.0 - late, abs=1e-6)


def test_generosity_runs_from_one_threshold_to_the_next():
    assert threshold(SMALL, 3, 1.0).recovered == pytest.approx(threshold(SMALL, 2).recovered, abs=1e-9)
    shares = [threshold(SMALL, 3, chance).recovered for chance in (0.0, 0.3, 0.6, 1.0)]
    assert shares == sorted(shares)


def test_a_randomised_threshold_meets_the_target_without_slack_and_stays_below_the_best_policy():
    mixed, sure = best_randomised(SMALL), best_threshold(SMALL)
    assert mixed.outcome.level == pytest.approx(SMALL.target, abs=1e-4)
    assert sure.outcome.recovered < mixed.outcome.recovered <= best_policy(SMALL).recovered + 1e-6


def test_no_policy_where_even_the_staff_alone_misses_the_target():
    overloaded = Case(4, 0.9, 240.0, 300.0)
    with pytest.raises(ValueError, match="out of reach"):
        best_threshold(overloaded)
    with pytest.raises(ValueError, match="out of reach"):
        best_policy(overloaded)


@pytest.mark.parametrize(("reserve", "generosity"), [(0, 0.5), (9, 0.0), (3, 1.5)])
def test_no_such_threshold(reserve, generosity):
    with pytest.raises(ValueError, match="no threshold policy"):
        threshold(SMALL, reserve, generosity)


@pytest.mark.parametrize(
    "case",
    [
        CASES[0],
        CASES[1],
        Case(12, 0.7, 240.0, 300.0),
        Case(30, 0.8, 300.0, 900.0),
        Case(40, 0.85, 240.0, 480.0),
    ],
)
def test_the_law_keeps_back_what_the_target_takes_within_two_fifths_of_an_agent(case):
    exact = best_randomised(case)
    assert law_reserve(case) == pytest.approx(exact.reserve - exact.generosity, abs=0.4)


@pytest.mark.parametrize("case", CASES[:2])
def test_the_reserve_of_the_law_recovers_nearly_what_the_best_policy_does(case):
    found = by_law(case).outcome
    assert found.recovered >= 0.95 * best_policy(case).recovered
    assert found.level == pytest.approx(case.target, abs=0.01)


def test_the_law_has_no_reserve_for_a_target_out_of_reach():
    with pytest.raises(ValueError, match="out of reach"):
        by_law(Case(10, 0.98, 240.0, 300.0))
