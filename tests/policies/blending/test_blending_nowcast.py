"""The nowcast: the ratio follows what was seen, fades, and does without a forecast."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.policies.blending.model import ForecastInterval, Snapshot
from router.policies.blending.nowcast import Nowcast, advance, calls_to_go, rate_now, start

HOUR_MS = 3_600_000


def look(
    at_ms: int, arrivals: int, forecast: tuple[ForecastInterval, ...] = (), on_call: int = 0
) -> Snapshot:
    return Snapshot(
        now_ms=at_ms,
        idle=0,
        on_call=on_call,
        logged_in=10,
        on_tasks=0,
        window_end_ms=8 * HOUR_MS,
        arrivals=arrivals,
        forecast=forecast,
    )


def day(calls: float) -> tuple[ForecastInterval, ...]:
    return tuple(ForecastInterval(h * HOUR_MS, (h + 1) * HOUR_MS, calls) for h in range(8))


def run(forecast: tuple[ForecastInterval, ...], per_hour: int, hours: float) -> tuple[Nowcast, Snapshot]:
    """Looks every 30 s at calls that come evenly."""
    nowcast = start(look(0, 0, forecast), 240.0)
    snapshot = look(0, 0, forecast)
    for step in range(1, int(hours * 120) + 1):
        snapshot = look(step * 30_000, per_hour * step // 120, forecast)
        nowcast = advance(nowcast, snapshot, 1800.0)
    return nowcast, snapshot


def test_the_ratio_is_one_before_anything_was_seen() -> None:
    assert start(look(0, 500, day(600.0)), 240.0).ratio(200.0) == 1.0


def test_the_ratio_by_hand() -> None:
    assert Nowcast(0, 0, 240.0, 200.0, 0.0, 0.0).ratio(200.0) == pytest.approx(1.1)


def test_a_day_as_forecast_keeps_the_ratio_at_one() -> None:
    nowcast, snapshot = run(day(600.0), 600, 4.0)
    assert nowcast.ratio(200.0) == pytest.approx(1.0, abs=0.01)
    assert rate_now(nowcast, snapshot, 200.0) == pytest.approx(600 / 3600, rel=0.01)
    assert calls_to_go(nowcast, snapshot, 200.0) == pytest.approx(4 * 600, rel=0.01)


def test_a_busier_day_raises_the_ratio_towards_the_truth_held_back_by_kappa() -> None:
    nowcast, _ = run(day(600.0), 900, 6.0)
    # Faded forecast calls tend to rate · half-life / ln 2.
    fading = 600 / 3600 * 1800 / 0.6931
    assert nowcast.ratio(200.0) == pytest.approx((200 + 1.5 * fading) / (200 + fading), rel=0.02)
    assert nowcast.ratio(0.0) == pytest.approx(1.5, rel=0.02)


def test_after_one_half_life_half_is_left() -> None:
    past = Nowcast(0, 100, 80.0, 60.0, 40.0, 20.0)
    after = advance(past, look(1_800_000, 100), 1800.0)
    assert (after.observed, after.forecast, after.calls) == pytest.approx((40.0, 30.0, 20.0))
    assert after.seconds == pytest.approx(10.0 + 1800.0)


def test_without_a_forecast_the_rate_is_learnt() -> None:
    nowcast, snapshot = run((), 720, 5.0)
    assert rate_now(nowcast, snapshot, 200.0) == pytest.approx(0.2, rel=0.02)
    assert calls_to_go(nowcast, snapshot, 200.0) == pytest.approx(0.2 * 3 * 3600, rel=0.02)


def test_without_a_forecast_the_first_look_believes_the_calls_in_work() -> None:
    snapshot = look(0, 0, on_call=24)
    assert rate_now(start(snapshot, 240.0), snapshot, 200.0) == pytest.approx(0.1)


def test_a_forecast_of_nothing_does_not_hide_calls_that_come() -> None:
    nowcast, snapshot = run(day(0.0), 720, 3.0)
    assert rate_now(nowcast, snapshot, 200.0) == pytest.approx(0.2, rel=0.05)


def test_calls_outside_the_forecast_do_not_count_against_it() -> None:
    late = (ForecastInterval(4 * HOUR_MS, 8 * HOUR_MS, 2400.0),)
    nowcast, _ = run(late, 900, 4.0)
    assert nowcast.ratio(200.0) == pytest.approx(1.0)


def test_a_gap_between_looks_counts_calls_and_forecast_alike() -> None:
    first = start(look(0, 0, day(600.0)), 240.0)
    after = advance(first, look(HOUR_MS, 600, day(600.0)), 1800.0)
    assert after.ratio(200.0) == pytest.approx(1.0)


def test_a_counter_that_starts_over_counts_from_there_and_a_clock_that_steps_back_changes_nothing() -> None:
    past = Nowcast(60_000, 500, 0.0, 0.0, 0.0, 0.0)
    assert advance(past, look(90_000, 7), 1800.0).calls == 0.0
    assert advance(advance(past, look(90_000, 7), 1e9), look(91_000, 9), 1e9).calls == pytest.approx(2.0)
    assert advance(past, look(30_000, 600), 1800.0) is past


@pytest.mark.parametrize("calls", [float("nan"), float("inf"), -10.0])
def test_a_forecast_that_is_no_number_of_calls_counts_as_none(calls: float) -> None:
    assert ForecastInterval(0, 1000, calls).calls_between(0, 1000) == 0.0


@given(st.integers(-2000, 2000), st.integers(0, 3000), st.integers(0, 3000))
def test_parts_of_an_interval_add_up(begin: int, one: int, two: int) -> None:
    interval = ForecastInterval(0, 1000, 50.0)
    middle, end = begin + one, begin + one + two
    whole = interval.calls_between(begin, end)
    assert whole == pytest.approx(interval.calls_between(begin, middle) + interval.calls_between(middle, end))
    assert 0.0 <= whole <= 50.0
