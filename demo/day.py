"""The day that the demo plays, made from the committed volumes and one seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from callcenter.calls import Call, Handling, draw_calls
from callcenter.center import AgentChange, Center, QueueFigures
from callcenter.staffing import Shift, plan_shifts, staffed
from callcenter.volumes import DEMO_DAY, INTERVAL_S, Volumes, arrival_times, half_hours, load, thin
from demo.figures import Baseline, baseline


@dataclass(frozen=True, slots=True)
class DayOptions:
    """What can be chosen about the day."""

    day: date = DEMO_DAY
    keep: float = 0.125
    seed: int = 7
    handling: Handling = field(default_factory=Handling)
    target: float = 0.8
    tau_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Day:
    """Calls, forecast and shifts of one day; counts are per five minutes from `opens_at`."""

    options: DayOptions
    opens_at: float
    closes_at: float
    counts: list[int]
    forecast: list[float]
    calls: list[Call]
    shifts: list[Shift]

    def center(
        self,
        on_agent: Callable[[AgentChange], None] | None = None,
        on_queue: Callable[[QueueFigures], None] | None = None,
    ) -> Center:
        """Return a center at the start of this day; two of them see the same calls."""
        return Center(
            self.calls,
            self.shifts,
            ring_s=self.options.handling.ring_s,
            tau_s=self.options.tau_s,
            on_agent=on_agent,
            on_queue=on_queue,
        )

    @property
    def ends_at(self) -> float:
        """Return when the last shift ends."""
        return max(shift.end for shift in self.shifts)

    def scheduled(self) -> list[int]:
        """Return the agents planned to be at work in each five minutes."""
        return [staffed(self.shifts, self.opens_at + i * INTERVAL_S) for i in range(len(self.counts))]

    def baseline(self, since: float | None = None, until: float | None = None) -> tuple[Center, Baseline]:
        """Play the day without blending; the figures are of the whole day, or of a window in it."""
        center = self.center()
        center.run()
        since = self.opens_at if since is None else since
        until = self.ends_at if until is None else until
        return center, baseline(center, self.options.tau_s, since, until)


def make_day(options: DayOptions | None = None, volumes: Volumes | None = None) -> Day:
    """Make the day; the same options make the same day. Raises ValueError for a day without history."""
    chosen = options or DayOptions()
    source = volumes or load()
    forecast = [calls * chosen.keep for calls in source.forecast(chosen.day)]
    counts = thin(source.days[chosen.day], chosen.keep, _rng(chosen, "thin"))
    arrivals = arrival_times(counts, source.opens_at, _rng(chosen, "arrivals"))
    opens_at = float(source.opens_at)
    closes_at = opens_at + len(counts) * INTERVAL_S
    shifts = plan_shifts(
        half_hours(forecast),
        opens_at,
        closes_at,
        aht_s=chosen.handling.aht_s,
        target=chosen.target,
        tau_s=chosen.tau_s,
    )
    calls = draw_calls(arrivals, f"{chosen.seed}/calls", chosen.handling)
    return Day(chosen, opens_at, closes_at, counts, forecast, calls, shifts)


def _rng(options: DayOptions, use: str) -> random.Random:
    """Return a source of chance of its own for each use, so that one use does not shift another's draws."""
    return random.Random(f"{options.seed}/{use}")
