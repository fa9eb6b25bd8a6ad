"""Calls: each has its own chance, whoever else calls."""

from __future__ import annotations

import statistics

import pytest

from callcenter.calls import Handling, draw_calls, merge_calls
from callcenter.distributions import Deterministic, Exponential, Lognormal

ARRIVALS = [float(i) for i in range(2000)]


def test_the_same_seed_draws_the_same_calls_and_another_draws_others() -> None:
    assert draw_calls(ARRIVALS, "7/day", Handling()) == draw_calls(ARRIVALS, "7/day", Handling())
    assert draw_calls(ARRIVALS, "8/day", Handling()) != draw_calls(ARRIVALS, "7/day", Handling())
    other = draw_calls(ARRIVALS, "7/day", Handling(), "sales")
    assert other[0].talk_s != draw_calls(ARRIVALS, "7/day", Handling())[0].talk_s


def test_a_call_is_drawn_alike_with_fewer_calls_and_with_another_patience() -> None:
    all_calls = draw_calls(ARRIVALS, "7", Handling())
    assert draw_calls(ARRIVALS[:10], "7", Handling()) == all_calls[:10]
    impatient = draw_calls(ARRIVALS, "7", Handling(patience=Deterministic(60.0)))
    assert [c.talk_s for c in impatient] == [c.talk_s for c in all_calls]


def test_a_storm_changes_nothing_about_the_calls_that_it_joins() -> None:
    quiet = draw_calls(ARRIVALS, "7", Handling())
    storm = draw_calls([at + 0.5 for at in ARRIVALS[100:200]], "7/storm", Handling())
    together = merge_calls(quiet, storm)
    assert [c.number for c in together] == list(range(2100))
    assert [c.arrives_at for c in together] == sorted(c.arrives_at for c in together)
    times = {(c.arrives_at, c.talk_s, c.patience_s) for c in together}
    assert {(c.arrives_at, c.talk_s, c.patience_s) for c in quiet} <= times


def test_after_call_work_is_a_share_or_drawn_by_itself() -> None:
    shared = draw_calls(ARRIVALS, "7", Handling(Lognormal(100.0, 1.0), after_share=0.2))
    assert all(c.after_s == pytest.approx(0.2 * (c.talk_s + c.after_s)) for c in shared)
    apart = Handling(Exponential(100.0), after=Deterministic(30.0))
    assert apart.aht_s == 130.0
    calls = draw_calls(ARRIVALS, "7", apart)
    assert {c.after_s for c in calls} == {30.0}
    assert statistics.fmean(c.talk_s for c in calls) == pytest.approx(100.0, rel=0.1)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="after_share"):
        Handling(after_share=1.5)
    with pytest.raises(ValueError, match="ring_s"):
        Handling(ring_s=-1.0)
