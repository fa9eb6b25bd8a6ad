"""The forecast from history: means by weekday, the last day's departure, and what it gains on real volumes."""

from __future__ import annotations

import csv
import os
import statistics
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.policies.forecast import History, expected_calls

MONDAY = date(2024, 1, 1)
CALLS = Path(os.environ.get("WORKROUTER_CALLS", "../shared/data/bank_calls_5min.csv"))
Forecast = Callable[[History, date], tuple[float, ...]]


def weeks(count: int, *calls: float) -> dict[date, tuple[float, ...]]:
    """The same calls on every day from Monday to Friday."""
    days = [MONDAY + timedelta(days=7 * week + weekday) for week in range(count) for weekday in range(5)]
    return dict.fromkeys(days, calls)


def test_a_steady_history_is_continued() -> None:
    assert expected_calls(weeks(6, 10.0, 30.0), MONDAY + timedelta(weeks=6)) == pytest.approx((10.0, 30.0))


def test_each_weekday_has_its_own_shape() -> None:
    history = weeks(6, 10.0, 30.0)
    tuesdays = {day: (40.0, 0.0) for day in history if day.weekday() == 1}
    forecast = expected_calls({**history, **tuesdays}, MONDAY + timedelta(weeks=6, days=1))
    assert forecast == pytest.approx((40.0, 0.0))


def test_later_weeks_count_more() -> None:
    history = {MONDAY: (100.0,), MONDAY + timedelta(weeks=8): (200.0,)}
    forecast = expected_calls(history, MONDAY + timedelta(weeks=9), carried=0.0)
    assert forecast == pytest.approx(((100.0 * 0.5 + 200.0) / 1.5,))


def test_the_last_days_departure_is_carried_over_in_part_and_within_bounds() -> None:
    history, day = weeks(40, 100.0), MONDAY + timedelta(weeks=40)
    friday = day - timedelta(days=3)

    def after(calls: float, **given: float) -> float:
        return expected_calls({**history, friday: (calls,)}, day, **given)[0]

    # The day itself is a part of its weekday's mean, so a little less than its 10 % counts.
    assert 100.0 * 1.1**0.75 - 1.0 < after(110.0) < 100.0 * 1.1**0.75
    assert after(110.0, carried=0.0) == pytest.approx(100.0)
    assert after(0.0) == pytest.approx(100.0 * 0.75**0.75)
    assert after(1e6) == pytest.approx(100.0 * 1.25**0.75)
    assert expected_calls({**history, friday: (110.0,)}, day + timedelta(days=7))[0] == pytest.approx(100.0)


def test_what_is_not_known_yet_changes_nothing() -> None:
    history, day = weeks(6, 10.0, 30.0), MONDAY + timedelta(weeks=5)
    known = {past: calls for past, calls in history.items() if past < day}
    assert expected_calls({**known, day: (900.0, 1.0)}, day) == expected_calls(known, day)


def test_a_short_history_is_used_as_far_as_it_goes() -> None:
    assert expected_calls({}, MONDAY) == ()
    assert expected_calls({MONDAY: (5.0, 7.0)}, MONDAY) == ()
    assert expected_calls({MONDAY: (5.0, 7.0)}, MONDAY + timedelta(days=1)) == pytest.approx((5.0, 7.0))
    assert expected_calls({MONDAY: (0.0, 0.0)}, MONDAY + timedelta(days=7)) == (0.0, 0.0)


def test_a_history_that_cannot_be_used_is_refused() -> None:
    with pytest.raises(ValueError, match="same number of intervals"):
        expected_calls({MONDAY: (1.0,), MONDAY + timedelta(days=1): (1.0, 2.0)}, MONDAY + timedelta(days=2))
    with pytest.raises(ValueError, match="half_life_weeks"):
        expected_calls({MONDAY: (1.0,)}, MONDAY + timedelta(days=1), half_life_weeks=0.0)


@given(
    st.dictionaries(
        st.integers(0, 60).map(lambda n: MONDAY + timedelta(days=n)),
        st.tuples(st.floats(0.0, 1e5), st.floats(0.0, 1e5)),
        min_size=1,
    ),
    st.floats(0.5, 50.0),
)
def test_a_forecast_is_never_far_outside_what_was_seen(history: History, half_life: float) -> None:
    forecast = expected_calls(history, MONDAY + timedelta(days=61), half_life)
    for interval, calls in enumerate(forecast):
        seen = [day[interval] for day in history.values()]
        assert 0.75 * min(seen) - 1e-6 <= calls <= 1.25 * max(seen) + 1e-6


@pytest.mark.skipif(not CALLS.exists(), reason="the real volumes are not here; name them in WORKROUTER_CALLS")
def test_on_real_volumes_it_misses_less_than_the_mean_of_six_same_weekdays() -> None:
    history = half_hours(CALLS)
    plain, better = errors(history, mean_of_six), errors(history, expected_calls)
    assert plain == pytest.approx((0.071, 0.070), abs=0.001)
    assert better == pytest.approx((0.058, 0.051), abs=0.001)


def half_hours(path: Path) -> dict[date, tuple[float, ...]]:
    """Calls by half hour from 07:00 to 21:00."""
    days: dict[date, list[float]] = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            at = datetime.fromisoformat(row["datetime"])
            slot = (at.hour - 7) * 2 + at.minute // 30
            if slot < 28:
                days.setdefault(at.date(), [0.0] * 28)[slot] += float(row["calls"])
    return {day: tuple(calls) for day, calls in days.items()}


def mean_of_six(history: History, day: date) -> tuple[float, ...]:
    same = sorted(known for known in history if known < day and known.weekday() == day.weekday())[-6:]
    return tuple(statistics.fmean(calls) for calls in zip(*(history[known] for known in same), strict=True))


def errors(history: History, forecast: Forecast) -> tuple[float, float]:
    """Mean absolute error of half hours and standard deviation of the error of days, both as shares."""
    slots, totals = [], []
    for day in sorted(history)[30:]:
        seen, expected = history[day], forecast(history, day)
        slots += [abs(e - s) / s for e, s in zip(expected, seen, strict=True)]
        totals.append(sum(expected) / sum(seen) - 1.0)
    return statistics.fmean(slots), statistics.pstdev(totals)
