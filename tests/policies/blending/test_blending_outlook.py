"""The tables of stretches: the chain for many reserves, chances in line, and what a price buys."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.policies.blending.chain import Chain, solve
from router.policies.blending.outlook import Outlook, Rules, fewer_than

RECALL = Rules(20.0, 4000.0, left_s=11.0, recall_cost_s=40.0, age_s=8.0)
HOLD = Rules(20.0, 4000.0)
BUSY = Chain(0.14, 240.0, 300.0, 41)


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    staff = draw(st.integers(1, 400))
    aht_s, task_s = draw(st.floats(30.0, 900.0)), draw(st.floats(30.0, 1800.0))
    return Chain(staff * draw(st.floats(0.02, 1.1)) / aht_s, aht_s, task_s, staff)


def of(chain: Chain, rules: Rules) -> Outlook:
    return Outlook((chain,), rules)


@given(chains())
@settings(max_examples=60, deadline=None)
def test_many_reserves_at_once_answer_as_one_by_one(chain: Chain) -> None:
    found = of(chain, HOLD)
    for reserve, idle, late in zip(found.reserves[0], found.idle[0], found.late[0], strict=True):
        alone = solve(chain, int(reserve))
        if chain.task_s <= chain.aht_s:
            assert idle == pytest.approx(alone.mean_idle, rel=0.15, abs=0.3)
            assert late == pytest.approx(alone.waits_longer_than(20.0), abs=0.03)
        else:
            # While calls wait fewer agents are on tasks, from which they come free more slowly: fewer calls are late.
            assert late <= alone.waits_longer_than(20.0) + 0.03


@given(st.lists(chains(), min_size=1, max_size=5), st.sampled_from([RECALL, HOLD]))
@settings(max_examples=40, deadline=None)
def test_stretches_together_answer_as_each_alone(several: list[Chain], rules: Rules) -> None:
    together = Outlook(several, rules)
    for n, chain in enumerate(several):
        alone = of(chain, rules)
        tried = alone.reserves.shape[1]
        assert np.array_equal(together.reserves[n, :tried], alone.reserves[0])
        assert together.late[n, :tried] == pytest.approx(alone.late[0], abs=1e-9)
        assert together.late_by_price[n] == pytest.approx(alone.late_by_price[0], abs=2e-3)


@given(chains())
@settings(max_examples=60, deadline=None)
def test_a_larger_reserve_leaves_more_agents_idle_and_fewer_calls_late(chain: Chain) -> None:
    found = of(chain, HOLD)
    assert np.all(np.diff(found.idle[0]) >= -1e-9)
    assert np.all(np.diff(found.late[0]) <= 1e-9)


@pytest.mark.parametrize("mean", [0.0, 0.3, 2.0, 17.5, 120.0])
def test_fewer_than_sums_the_poisson_distribution(mean: float) -> None:
    chances = fewer_than(np.array([mean]), 200)[0]
    total = 0.0
    for k in range(1, 200):
        total += math.exp((k - 1) * math.log(mean) - mean - math.lgamma(k)) if mean else float(k == 1)
        assert chances[k - 1] == pytest.approx(min(total, 1.0), abs=1e-9)


@given(chains(), st.sampled_from([RECALL, HOLD]))
@settings(max_examples=60, deadline=None)
def test_a_higher_price_buys_no_more_late_calls(chain: Chain, rules: Rules) -> None:
    late = of(chain, rules).late_by_price[0]
    assert np.all(np.diff(late) <= 1e-9)
    assert np.all((late >= 0.0) & (late <= 1.0))


def test_at_a_high_price_work_that_cannot_be_recalled_waits_for_more_idle_agents() -> None:
    busy = of(BUSY, RECALL)
    assert busy.firm(2000.0).reserve > busy.firm(20.0).reserve
    assert busy.firm(2000.0).reserve >= busy.at(2000.0).reserve


def test_recall_needs_a_smaller_reserve_for_the_same_price() -> None:
    assert of(BUSY, RECALL).at(200.0).reserve < of(BUSY, HOLD).at(200.0).reserve


def test_the_lowest_price_that_is_enough_is_found_and_the_highest_where_none_is() -> None:
    busy = of(BUSY, RECALL)
    price_s = busy.lowest_price_s(0.12)
    assert busy.at(price_s).late <= 0.12 < busy.at(price_s / 1.4).late
    assert busy.lowest_price_s(-1.0) == RECALL.highest_price_s


@pytest.mark.parametrize("late", [0.5, 0.2, 0.1])
def test_the_reserve_for_a_share_of_late_calls_lies_between_the_whole_ones_around_it(late: float) -> None:
    reserve = of(BUSY, HOLD).reserve_for(late)
    below, above = (
        solve(BUSY, round_(reserve)).waits_longer_than(20.0) for round_ in (math.floor, math.ceil)
    )
    assert below >= late - 0.005
    assert above <= late + 0.005


def test_a_share_of_late_calls_out_of_reach_has_no_reserve_and_one_that_all_keep_needs_none() -> None:
    busy = of(BUSY, HOLD)
    assert busy.reserve_for(0.0) == math.inf
    assert busy.reserve_for(1.0) == 0.0


def test_a_stretch_with_more_calls_than_its_staff_can_do_is_late_at_any_price() -> None:
    crowded = of(Chain(0.2, 240.0, 300.0, 40), RECALL)
    assert crowded.crowded
    assert set(crowded.late_by_price[0]) == {1.0}


def test_without_calls_nobody_is_kept_back() -> None:
    assert of(Chain(0.0, 240.0, 300.0, 20), RECALL).at(4000.0) == (0, 0.0)


@pytest.mark.parametrize("chain", [Chain(1e-8, 1.0, 1e6, 100_000), Chain(400.0, 240.0, 60.0, 100_000)])
def test_no_group_is_too_large_or_too_quiet_for_the_range_of_a_float(chain: Chain) -> None:
    found = of(chain, RECALL)
    assert np.all(np.isfinite(found.late_by_price))
    assert np.all(np.isfinite(found.idle))
