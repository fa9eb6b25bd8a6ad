"""The tables of a stretch: the chain for many reserves, chances in line, and what a price buys."""

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


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    staff = draw(st.integers(1, 400))
    aht_s, task_s = draw(st.floats(30.0, 900.0)), draw(st.floats(30.0, 1800.0))
    return Chain(staff * draw(st.floats(0.02, 1.1)) / aht_s, aht_s, task_s, staff)


@given(chains())
@settings(max_examples=60, deadline=None)
def test_many_reserves_at_once_answer_as_one_by_one(chain: Chain) -> None:
    found = Outlook(chain, HOLD)
    for reserve, idle, late in zip(found.reserves, found.idle, found.late, strict=True):
        alone = solve(chain, reserve)
        assert idle == pytest.approx(alone.mean_idle, abs=5e-3)
        assert late == pytest.approx(alone.waits_longer_than(20.0), abs=5e-3)


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
    late = Outlook(chain, rules).late_by_price
    assert np.all(np.diff(late) <= 1e-9)
    assert np.all((late >= 0.0) & (late <= 1.0))


def test_at_a_high_price_work_that_cannot_be_recalled_waits_for_more_idle_agents() -> None:
    busy = Outlook(Chain(0.14, 240.0, 300.0, 41), RECALL)
    assert busy.firm(2000.0).reserve > busy.firm(20.0).reserve
    assert busy.firm(2000.0).reserve >= busy.at(2000.0).reserve


def test_recall_needs_a_smaller_reserve_for_the_same_price() -> None:
    chain = Chain(0.14, 240.0, 300.0, 41)
    assert Outlook(chain, RECALL).at(200.0).reserve < Outlook(chain, HOLD).at(200.0).reserve


def test_the_lowest_price_that_is_enough_is_found_and_the_highest_where_none_is() -> None:
    busy = Outlook(Chain(0.14, 240.0, 300.0, 41), RECALL)
    price_s = busy.lowest_price_s(0.12)
    assert busy.at(price_s).late <= 0.12 < busy.at(price_s / 1.4).late
    assert busy.lowest_price_s(-1.0) == RECALL.highest_price_s


def test_a_stretch_with_more_calls_than_its_staff_can_do_is_late_at_any_price() -> None:
    crowded = Outlook(Chain(0.2, 240.0, 300.0, 40), RECALL)
    assert crowded.crowded
    assert set(crowded.late_by_price) == {1.0}


def test_without_calls_nobody_is_kept_back() -> None:
    assert Outlook(Chain(0.0, 240.0, 300.0, 20), RECALL).at(4000.0) == (0, 0.0)
