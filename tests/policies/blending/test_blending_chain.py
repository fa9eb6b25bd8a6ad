"""The chain against published tables, an exact chain, and the properties the search relies on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from router.policies.blending.chain import (
    Chain,
    erlang_b,
    erlang_c,
    erlang_c_service_level,
    mean_idle,
    solve,
    waits_longer,
)


@st.composite
def chains(draw: st.DrawFn, largest: int = 120) -> Chain:
    staff = draw(st.integers(1, largest))
    aht = draw(st.floats(30.0, 900.0))
    occupancy = draw(st.floats(0.02, 0.99))
    return Chain(staff * occupancy / aht, aht, draw(st.floats(20.0, 3000.0)), staff)


@pytest.mark.parametrize(
    ("servers", "load"), [(1, 0.0101), (5, 1.36), (10, 4.46), (20, 12.03), (50, 37.90), (100, 84.06)]
)
def test_erlang_b_blocks_one_per_cent_at_the_loads_of_the_published_table(servers: int, load: float) -> None:
    assert float(erlang_b(servers, load)) == pytest.approx(0.01, abs=2e-4)


def test_erlang_c_agrees_with_the_textbook_example() -> None:
    # 200 calls an hour of 180 s at 14 agents: 17.4 % wait, 88.8 % answered in 20 s.
    assert float(erlang_c(14, 10.0)) == pytest.approx(0.1741, abs=5e-5)
    assert float(erlang_c_service_level(14, 10.0, 180.0, 20.0)) == pytest.approx(0.888, abs=5e-4)


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


def test_erlang_functions_take_several_loads_at_once() -> None:
    loads = np.array([0.0, 4.0, 9.5, 10.0, 12.0])
    assert erlang_c(10, loads) == pytest.approx([float(erlang_c(10, float(load))) for load in loads])
    assert list(erlang_c(10, loads)[[0, 3, 4]]) == [0.0, 1.0, 1.0]


def test_erlang_b_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="servers >= 0"):
        erlang_b(-1, 1.0)
    with pytest.raises(ValueError, match="load >= 0"):
        erlang_b(1, -0.5)


@given(chains())
def test_a_reserve_of_the_whole_staff_is_erlang_c(chain: Chain) -> None:
    expected = 1.0 - float(erlang_c_service_level(chain.staff, chain.load, chain.aht_s, 20.0))
    assert waits_longer(chain, chain.staff, 20.0) == pytest.approx(expected, abs=1e-4)
    assert mean_idle(chain, chain.staff) == pytest.approx(chain.staff - chain.load, abs=1e-3)


@settings(max_examples=150)
@given(chains(), st.floats(0.0, 60.0))
def test_more_reserve_means_fewer_waits_and_more_idle_agents(chain: Chain, seconds: float) -> None:
    solved = solve(chain, np.arange(chain.staff + 1, dtype=np.int64))
    late = solved.waits_longer_than(seconds)
    assert np.all(np.isfinite(late))
    assert np.all((late >= 0.0) & (late <= 1.0))
    assert np.all(np.diff(late) <= 1e-4)
    assert np.all(np.diff(solved.mean_idle) >= -1e-4)


@settings(max_examples=100)
@given(chains(), st.data())
def test_the_answer_is_a_fixed_point_whatever_is_solved_beside_it(chain: Chain, data: st.DataObject) -> None:
    reserve = data.draw(st.integers(0, chain.staff))
    alone = mean_idle(chain, reserve)
    together = solve(chain, np.arange(chain.staff + 1, dtype=np.int64)).mean_idle[reserve]
    assert alone == pytest.approx(float(together), abs=1e-3)
    assert alone == pytest.approx(_plain_mean(chain, reserve, alone), abs=1e-3)


def _plain_mean(chain: Chain, reserve: int, believed: float) -> float:
    """The weights of the law written down once more, without logarithms."""
    on_tasks = chain.staff - chain.load - believed
    freed = [
        max(chain.load + believed - k, 0.0) * chain.call_mu + on_tasks * chain.task_mu
        for k in range(reserve + 1)
    ]
    weights = [1.0 / (1.0 - chain.rate_per_s / freed[0])]
    product = 1.0
    for k in range(reserve):
        product *= freed[k] / chain.rate_per_s
        weights.append(product)
    return sum(k * w for k, w in enumerate(weights)) / sum(weights)


@given(st.integers(0, 50), st.floats(1.0, 3.0))
def test_under_overload_every_call_waits_and_nobody_is_idle(staff: int, factor: float) -> None:
    chain = Chain(max(staff, 1) * factor / 240.0, 240.0, 300.0, staff)
    assert waits_longer(chain, staff, 1e6) == 1.0
    assert mean_idle(chain, staff) == 0.0


def test_without_calls_nobody_waits_and_the_whole_reserve_is_idle() -> None:
    chain = Chain(0.0, 240.0, 300.0, 8)
    assert waits_longer(chain, 0, 0.0) == 0.0
    assert mean_idle(chain, 3) == 3.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_the_chain_refuses_what_is_no_rate(bad: float) -> None:
    with pytest.raises(ValueError, match=r"finite|needs"):
        Chain(bad, 240.0, 300.0, 10)
    with pytest.raises(ValueError, match=r"finite|needs"):
        Chain(0.1, bad, 300.0, 10)


@pytest.mark.parametrize(
    ("occupancy", "aht_s", "task_s", "reserve"),
    [(0.75, 180.0, 300.0, 2), (0.75, 180.0, 300.0, 5), (0.6, 240.0, 300.0, 3), (0.85, 240.0, 600.0, 4)],
)
def test_the_approximation_is_close_to_the_exact_chain(
    occupancy: float, aht_s: float, task_s: float, reserve: int
) -> None:
    staff = 12
    chain = Chain(staff * occupancy / aht_s, aht_s, task_s, staff)
    exact_idle, exact_waits = _exact(chain, reserve)
    assert mean_idle(chain, reserve) == pytest.approx(exact_idle, abs=0.25)
    assert waits_longer(chain, reserve, 0.0) == pytest.approx(exact_waits, abs=0.06)


def _exact(chain: Chain, reserve: int, most_calls: int = 70) -> tuple[float, float]:
    """Mean idle and P(wait) of the chain over (calls present, agents on tasks), not approximated."""
    staff = chain.staff
    states = [(n, j) for n in range(most_calls + 1) for j in range(staff + 1)]
    index = {state: i for i, state in enumerate(states)}
    flows: NDArray[np.float64] = np.zeros((len(states), len(states)))

    def pushed(n: int, j: int) -> int:
        """After an event, agents idle beyond the reserve are given tasks at once."""
        return index[n, j + max(0, staff - j - n - reserve)]

    for n, j in states:
        here = index[n, j]
        if n < most_calls:
            flows[here, index[n + 1, j]] += chain.rate_per_s
        if n > 0:
            flows[here, pushed(n - 1, j)] += min(n, staff - j) / chain.aht_s
        if j > 0:
            flows[here, pushed(n, j - 1)] += j / chain.task_s
    balance = flows.T - np.diag(flows.sum(axis=1))
    # States that pushing never leaves behind are transient; one equation is replaced by the total of 1.
    balance[-1, :] = 1.0
    total = np.zeros(len(states))
    total[-1] = 1.0
    share, *_ = np.linalg.lstsq(balance, total, rcond=None)
    idle = np.array([max(0, staff - j - n) for n, j in states])
    return float(share @ idle), float(share[idle == 0].sum())
