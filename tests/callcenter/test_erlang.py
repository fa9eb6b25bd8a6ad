"""Erlang's formulas against published tables, against the chains they solve, and against each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callcenter.erlang import (
    ErlangA,
    Floats,
    erlang_a_agents,
    erlang_b,
    erlang_c,
    erlang_c_agents,
    erlang_c_service_level,
)


def palm(servers: int, load: float, aht_s: float, patience_s: float) -> tuple[float, float]:
    """Solve the birth and death chain of M/M/s+M state by state: the share that waits and the share given up."""
    calls = np.arange(1, 2 * servers + 20_000)
    leaves = np.minimum(calls, servers) / aht_s + np.maximum(calls - servers, 0) / patience_s
    logs = np.concatenate([[0.0], np.cumsum(np.log(load / aht_s / leaves))])
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    waiting = np.maximum(np.arange(weights.size) - servers, 0) @ weights
    return float(weights[servers:].sum()), float(waiting / patience_s / (load / aht_s))


# The table of Erlang's loss formula, e.g. R. Parkinson, Traffic Engineering Techniques in Telecommunications.
@pytest.mark.parametrize(
    ("lines", "load", "lost"),
    [
        (1, 0.0101, 0.01),
        (5, 1.361, 0.01),
        (10, 4.461, 0.01),
        (20, 12.03, 0.01),
        (50, 37.90, 0.01),
        (100, 84.06, 0.01),
        (10, 3.092, 0.001),
        (50, 32.51, 0.001),
        (100, 95.24, 0.05),
    ],
)
def test_lost_calls_agree_with_the_published_table(lines: int, load: float, lost: float) -> None:
    assert float(erlang_b(lines, load)) == pytest.approx(lost, rel=2e-3)


def test_lost_calls_obey_the_recursion_up_to_5000_lines() -> None:
    blocked = 1.0
    for line in range(1, 5001):
        blocked = 4900.0 * blocked / (line + 4900.0 * blocked)
    assert float(erlang_b(5000, 4900.0)) == pytest.approx(blocked, rel=1e-10)
    assert float(erlang_b(5000, 100.0)) == 0.0


def test_waiting_calls_agree_with_published_examples() -> None:
    # 200 calls an hour of 180 s at 14 agents: 17.4 % wait, 88.8 % answered in 20 s (L. Bromberg's worked example).
    assert float(erlang_c(14, 10.0)) == pytest.approx(0.1741, abs=5e-5)
    assert float(erlang_c_service_level(14, 10.0, 180.0, 20.0)) == pytest.approx(0.888, abs=5e-4)
    assert int(erlang_c_agents(10.0, 180.0, 0.8, 20.0)) == 14
    assert float(erlang_c(2, 1.0)) == pytest.approx(1 / 3)


# N. Gans, G. Koole and A. Mandelbaum, Telephone call centers, M&SOM 5(2), 2003, table 1: 50 agents, 48 calls a minute
# of 1 minute, patience of 2 minutes, with the waits of M/M/s beside those of M/M/s+M.
def test_abandonment_agrees_with_the_published_comparison() -> None:
    patient, impatient = ErlangA(50, 48.0, 60.0), ErlangA(50, 48.0, 60.0, 120.0)
    assert float(patient.mean_wait_s()) == pytest.approx(20.8, abs=0.05)
    assert float(patient.waits_longer(58.1)) == pytest.approx(0.10, abs=5e-4)
    assert float(impatient.abandons()) == pytest.approx(0.031, abs=5e-4)
    assert float(impatient.mean_wait_s()) == pytest.approx(3.7, abs=0.05)
    assert float(impatient.waits_longer(12.5)) == pytest.approx(0.10, abs=1e-3)


@pytest.mark.parametrize(
    ("staff", "occupancy", "aht_s", "level"),
    [(20, 0.75, 180.0, 0.908), (50, 0.80, 180.0, 0.971), (50, 0.88, 240.0, 0.828), (200, 0.90, 240.0, 0.982)],
)
def test_service_levels_of_the_exact_cases_without_blending(
    staff: int, occupancy: float, aht_s: float, level: float
) -> None:
    assert float(erlang_c_service_level(staff, staff * occupancy, aht_s, 20.0)) == pytest.approx(
        level, abs=5e-4
    )


@pytest.mark.parametrize("patience_s", [1.0, 60.0, 500.0, 1e6])
@pytest.mark.parametrize(
    ("servers", "load"), [(1, 0.5), (1, 3.0), (20, 15.0), (50, 50.5), (257, 250.0), (5000, 4990.0)]
)
def test_abandonment_solves_the_chain(servers: int, load: float, patience_s: float) -> None:
    waits, abandons = palm(servers, load, 240.0, patience_s)
    formula = ErlangA(servers, load, 240.0, patience_s)
    assert float(formula.waits()) == pytest.approx(waits, rel=1e-8, abs=1e-12)
    assert float(formula.abandons()) == pytest.approx(abandons, rel=1e-8, abs=1e-12)


@given(st.integers(1, 5000), st.floats(0.0, 0.999), st.floats(0.0, 300.0))
def test_endless_patience_is_erlang_c(servers: int, occupancy: float, seconds: float) -> None:
    load = servers * occupancy
    formula = ErlangA(servers, load, 240.0, math.inf)
    level = float(erlang_c_service_level(servers, load, 240.0, seconds))
    assert float(formula.waits()) == pytest.approx(float(erlang_c(servers, load)), abs=1e-9)
    assert float(formula.service_level(seconds)) == pytest.approx(level, abs=1e-9)
    assert float(formula.abandons()) == pytest.approx(0.0, abs=1e-9)


@given(st.integers(1, 1000), st.floats(0.0, 1.5), st.floats(5.0, 5000.0), st.floats(0.0, 300.0))
def test_calls_offered_are_answered_in_time_or_late_or_given_up(
    servers: int, occupancy: float, patience_s: float, seconds: float
) -> None:
    formula = ErlangA(servers, servers * occupancy, 240.0, patience_s)
    level, given_up = float(formula.service_level(seconds)), float(formula.abandons())
    longer = float(formula.waits_longer(seconds))
    assert -1e-9 <= level <= 1.0 + 1e-9
    assert -1e-9 <= given_up <= float(formula.waits()) + 1e-9
    assert level + longer <= 1.0 + 1e-9
    assert level + longer + given_up >= 1.0 - 1e-9
    assert float(formula.service_level(1e9)) == pytest.approx(1.0 - given_up, abs=1e-9)


def test_under_overload_endless_patience_waits_for_ever() -> None:
    formula = ErlangA([5, 5], [5.0, 8.0], 240.0)
    assert list(formula.waits()) == [1.0, 1.0]
    assert list(formula.waits_longer(1e6)) == [1.0, 1.0]
    assert list(formula.service_level(20.0)) == [0.0, 0.0]
    assert list(formula.mean_wait_s()) == [math.inf, math.inf]
    assert list(erlang_c([5, 5], [5.0, 8.0])) == [1.0, 1.0]


def test_arrays_are_answered_as_their_elements() -> None:
    servers, loads = np.array([10, 10, 10, 30, 1]), np.array([0.0, 4.0, 12.0, 28.0, 0.3])
    assert erlang_c(servers, loads) == pytest.approx(
        [float(erlang_c(int(s), float(a))) for s, a in zip(servers, loads, strict=True)]
    )
    several: Floats = ErlangA(servers, loads, 240.0, 300.0).service_level(20.0)
    assert several == pytest.approx(
        [
            float(ErlangA(int(s), float(a), 240.0, 300.0).service_level(20.0))
            for s, a in zip(servers, loads, strict=True)
        ]
    )


@settings(max_examples=30)
@given(st.floats(0.0, 600.0), st.floats(0.5, 0.99), st.floats(1.0, 60.0))
def test_the_fewest_agents_reach_the_target_and_one_less_does_not(
    load: float, target: float, within_s: float
) -> None:
    patient = int(erlang_c_agents(load, 240.0, target, within_s))
    assert erlang_c_service_level(patient, load, 240.0, within_s) >= target
    assert patient == 1 or erlang_c_service_level(patient - 1, load, 240.0, within_s) < target
    impatient = int(erlang_a_agents(load, 240.0, 500.0, target, within_s))
    assert 1 <= impatient <= patient
    assert ErlangA(impatient, load, 240.0, 500.0).service_level(within_s) >= target
    assert impatient == 1 or ErlangA(impatient - 1, load, 240.0, 500.0).service_level(within_s) < target


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="servers >= 0"):
        erlang_b(-1, 1.0)
    with pytest.raises(ValueError, match="load >= 0"):
        erlang_b(1, -0.5)
    with pytest.raises(ValueError, match="servers >= 1"):
        ErlangA(0, 1.0, 240.0)
    with pytest.raises(ValueError, match="patience_s > 0"):
        ErlangA(1, 1.0, 240.0, 0.0)
    with pytest.raises(ValueError, match="target"):
        erlang_c_agents(1.0, 240.0, 1.0, 20.0)
    with pytest.raises(ValueError, match="load"):
        erlang_c_agents([1.0, -1.0], 240.0, 0.8, 20.0)
