"""How many calls come now: the forecast scaled by what was seen of it, or a fading mean without one.

With a forecast the ratio ``r = (κ + O) / (κ + F)`` compares observed with forecast arrivals, both fading with
one half-life: a Gamma-Poisson update of the day's level, as used for call volumes by Weinberg, Brown &
Stroud (JASA 102, 2007); κ calls of belief in the forecast keep it calm early in the day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from router.policies.blending.model import ForecastInterval, Snapshot
from router.policies.blending.records import Record


@dataclass(frozen=True, slots=True)
class Nowcast(Record):
    """What is remembered between looks; every number fades with the half-life but the first two.

    ``observed`` and ``forecast`` count calls while a forecast was there, ``calls`` and ``seconds`` always.
    """

    at_ms: int
    arrivals: int
    observed: float
    forecast: float
    calls: float
    seconds: float

    def ratio(self, kappa_calls: float) -> float:
        """r: above 1 when more calls come than forecast."""
        believed = kappa_calls + self.forecast
        return (kappa_calls + self.observed) / believed if believed > 0.0 else 1.0

    def measured_rate(self) -> float:
        """Calls per second by the fading mean alone."""
        return self.calls / self.seconds if self.seconds > 0.0 else 0.0


def start(snapshot: Snapshot, aht_s: float) -> Nowcast:
    """The first look. By Little's law the calls present came in about the last handling time."""
    present = float(max(snapshot.on_call, 0) + snapshot.waiting)
    return Nowcast(snapshot.now_ms, snapshot.arrivals, 0.0, 0.0, present, aht_s)


def advance(past: Nowcast, snapshot: Snapshot, half_life_s: float) -> Nowcast:
    """Fade the past and add what came since. A clock that steps back changes nothing."""
    elapsed_ms = snapshot.now_ms - past.at_ms
    if elapsed_ms <= 0:
        return past
    fade = 0.5 ** (elapsed_ms / 1000.0 / half_life_s)
    came = _came_since(past.arrivals, snapshot.arrivals)
    covered = _covered_share(snapshot.forecast, past.at_ms, snapshot.now_ms)
    due = calls_between(snapshot.forecast, past.at_ms, snapshot.now_ms)
    return Nowcast(
        at_ms=snapshot.now_ms,
        arrivals=snapshot.arrivals,
        observed=past.observed * fade + came * covered,
        forecast=past.forecast * fade + due,
        calls=past.calls * fade + came,
        seconds=past.seconds * fade + elapsed_ms / 1000.0,
    )


def rate_now(nowcast: Nowcast, snapshot: Snapshot, kappa_calls: float) -> float:
    """λ in calls per second: r·f where a forecast says that calls come, else the fading mean."""
    forecast = forecast_rate(snapshot.forecast, snapshot.now_ms)
    if forecast > 0.0:
        return nowcast.ratio(kappa_calls) * forecast
    return nowcast.measured_rate()


def calls_to_go(nowcast: Nowcast, snapshot: Snapshot, kappa_calls: float) -> float:
    """M: calls still expected in the service-level window."""
    begin, end = snapshot.now_ms, snapshot.window_end_ms
    if end <= begin:
        return 0.0
    if any(interval.end_ms > begin for interval in snapshot.forecast):
        return nowcast.ratio(kappa_calls) * calls_between(snapshot.forecast, begin, end)
    return nowcast.measured_rate() * (end - begin) / 1000.0


class Stretch(NamedTuple):
    """A part of the window to come: calls forecast, calls per second, mean staff (the present one where unknown)."""

    calls: float
    rate_per_s: float
    staff: float


def stretches(snapshot: Snapshot, length_s: float) -> list[Stretch]:
    """The rest of the service-level window as the forecast has it, in stretches of about ``length_s``.

    Stretches without forecast calls are left out; an empty answer says that nothing is forecast.
    """
    begin, end = snapshot.now_ms, snapshot.window_end_ms
    if end <= begin:
        return []
    # Counted back from the end, so that the same stretches come again with the next look.
    edges = [begin, *reversed(range(end, begin, -max(1, round(length_s * 1000.0))))]
    calls, covered_ms, staffed = ([0.0] * (len(edges) - 1) for _ in range(3))
    at = 0
    for interval in _meeting(snapshot.forecast, begin, end):
        staff = snapshot.logged_in if interval.staff is None else interval.staff
        while at < len(calls) - 1 and edges[at + 1] <= interval.start_ms:
            at += 1
        for i in range(at, len(calls)):
            inside_ms = min(edges[i + 1], interval.end_ms) - max(edges[i], interval.start_ms)
            if inside_ms <= 0:
                break
            calls[i] += interval.calls_between(edges[i], edges[i + 1])
            covered_ms[i] += inside_ms
            staffed[i] += inside_ms * staff
    return [
        Stretch(calls[i], calls[i] * 1000.0 / covered_ms[i], staffed[i] / covered_ms[i])
        for i in range(len(calls))
        if calls[i] > 0.0
    ]


def calls_between(forecast: Sequence[ForecastInterval], begin_ms: int, end_ms: int) -> float:
    """Forecast calls in [begin_ms, end_ms)."""
    return sum([i.calls_between(begin_ms, end_ms) for i in _meeting(forecast, begin_ms, end_ms)], 0.0)


def forecast_rate(forecast: Sequence[ForecastInterval], at_ms: int) -> float:
    """Forecast calls per second at a moment; 0 where the forecast says nothing."""
    return calls_between(forecast, at_ms, at_ms + 1) * 1000.0


def _came_since(before: int, now: int) -> int:
    """New calls between two totals. A total that fell was counted anew, from when is not known: believe none."""
    return max(0, now - before)


def _covered_share(forecast: Sequence[ForecastInterval], begin_ms: int, end_ms: int) -> float:
    meeting = _meeting(forecast, begin_ms, end_ms)
    inside = sum([max(0, min(end_ms, i.end_ms) - max(begin_ms, i.start_ms)) for i in meeting])
    return min(1.0, inside / (end_ms - begin_ms))


def _meeting(forecast: Sequence[ForecastInterval], begin_ms: int, end_ms: int) -> list[ForecastInterval]:
    """The intervals that have a part of [begin_ms, end_ms): most questions are about a minute of the day."""
    return [interval for interval in forecast if interval.start_ms < end_ms and interval.end_ms > begin_ms]
