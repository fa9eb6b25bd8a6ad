"""The chain against published tables, an exact chain, and the properties the search relies on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from callcenter.erlang import erlang_c_service_level
from router.policies.blending.chain import Chain, mean_idle, solve, waits_longer


@st.composite
def chains(draw: st.DrawFn, largest: int = 120) -> Chain:
    staff = draw(st.integers(1, largest))
    aht = draw(st.floats(30.0, 900.0))
    occupancy = draw(st.floats(0.02, 0.99))
    return Chain(staff * occupancy / aht, aht, draw(st.floats(20.0, 3000.0)), staff)


@given(chains())
def test_a_reserve_of_the_whole_staff_is_erlang_c(chain: Chain) -> None:
    expected = 1.0 - float(erlang_c_service_level(chain.staff, chain.load, chain.aht_s, 20.0))
    assert waits_longer(chain, chain.staff, 20.0) == pytest.approx(expected, abs=1e-4)
    assert mean_idle(chain, chain.staff) == pytest.approx(chain.staff - chain.load, abs=1e-3)


@settings(max_examples=150)
@given(chains(), st.floats(0.0, 60.0))
def test_more_reserve_means_fewer_waits_and_more_idle_agents(chain: Chain, seconds: float) -> None:
    solved = [solve(chain, reserve) for reserve in range(chain.staff + 1)]
    late = np.array([one.waits_longer_than(seconds) for one in solved])
    assert np.all(np.isfinite(late))
    assert np.all((late >= 0.0) & (late <= 1.0))
    assert np.all(np.diff(late) <= 1e-6)
    assert np.all(np.diff([one.mean_idle for one in solved]) >= -1e-6)


@settings(max_examples=200)
@given(chains(largest=1500), st.data())
def test_the_answer_is_a_fixed_point_wherever_the_search_begins(chain: Chain, data: st.DataObject) -> None:
    reserve = data.draw(st.integers(0, chain.staff))
    solved = solve(chain, reserve)
    begun_elsewhere = solve(chain, reserve, data.draw(st.floats(0.0, 2000.0)))
    assert begun_elsewhere == pytest.approx(solved, abs=1e-6)
    mean, waits = _by_logarithms(chain, reserve, solved.mean_idle)
    assert solved.mean_idle == pytest.approx(mean, abs=1e-5)
    assert solved.waits == pytest.approx(waits, abs=1e-5)


def _by_logarithms(chain: Chain, reserve: int, believed: float) -> tuple[float, float]:
    """Mean idle agents and P(W > 0) by the weights of the law written down once more, as logarithms."""
    on_tasks = chain.staff - chain.load - believed
    idle = np.arange(reserve + 1, dtype=np.float64)
    freed = np.maximum(chain.load + believed - idle, 0.0) * chain.call_mu + on_tasks * chain.task_mu
    freed = np.maximum(freed, chain.rate_per_s * 1e-9)
    first = np.log(freed[0] / (believed * chain.call_mu + on_tasks * chain.task_mu))
    logs = np.concatenate(([first], np.cumsum(np.log(freed[:-1] / chain.rate_per_s))))
    weights = np.exp(logs - logs.max())
    return float(weights @ idle / weights.sum()), float(weights[0] / weights.sum())


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
