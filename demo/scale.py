"""Simulated time against the wall clock: the speed, and the router's timers in the demo's time.

The router runs on the real clock. When the demo plays a day 240 times faster, a caller who is to be answered
within 20 simulated seconds has to be answered within 83 real milliseconds, so each timer of the policies is
given to the router divided by the speed, and each rate multiplied by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Scale:
    """How many simulated seconds pass in one real second."""

    speed: float

    def __post_init__(self) -> None:
        """Raise ValueError for a speed that is not positive."""
        if not self.speed > 0:
            raise ValueError(f"speed must be positive, not {self.speed}")

    def wall_s(self, sim_s: float) -> float:
        """Return the real seconds that so many simulated seconds take."""
        return sim_s / self.speed

    def wall_ms(self, sim_s: float) -> int:
        """Return the real milliseconds that so many simulated seconds take, 1 at least."""
        return max(1, round(1000 * sim_s / self.speed))

    def sim_s(self, wall_s: float) -> float:
        """Return the simulated seconds that pass in so many real seconds."""
        return wall_s * self.speed

    def per_wall_s(self, per_sim_s: float) -> float:
        """Return a rate per real second for one per simulated second."""
        return per_sim_s * self.speed


class SimClock:
    """Simulated time of day that runs with a monotonic clock."""

    def __init__(
        self, scale: Scale, starts_at: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Start at `starts_at` simulated seconds after midnight, now."""
        self.scale = scale
        self._starts_at = starts_at
        self._monotonic = monotonic
        self.restart()

    def restart(self) -> None:
        """Begin again at the first moment, now: setting up has taken its time."""
        self._origin = self._monotonic()
        self._origin_moment = datetime.now(UTC)

    def now(self) -> float:
        """Return the simulated time of day in seconds after midnight."""
        return self._starts_at + self.scale.sim_s(self._monotonic() - self._origin)

    def wall_until(self, sim_time: float) -> float:
        """Return the real seconds until a simulated time; 0 when it has passed."""
        return max(0.0, self.scale.wall_s(sim_time - self.now()))

    def moment(self, sim_time: float) -> datetime:
        """Return the real moment that a simulated time stands for, as the router is told it."""
        return self._origin_moment + timedelta(seconds=self.scale.wall_s(sim_time - self._starts_at))

    def sim_of(self, moment: datetime) -> float:
        """Return the simulated time of a real moment."""
        return self._starts_at + self.scale.sim_s((moment - self._origin_moment).total_seconds())


@dataclass(frozen=True, slots=True)
class Timers:
    """Durations that the demo gives to the router's policies, in seconds.

    The fields up to `update_every_s` are simulated durations of the control law and shrink with the speed;
    `offer_timeout_s` and `stale_after_s` guard real processes, so `on_the_wall` never lets them fall under
    `FLOOR_S`, however fast the day runs; and `recall_slack_s` never under the milliseconds by which real
    processes come late, as long as that is a small part of the target.
    """

    tau_s: float = 20.0
    aht_s: float = 240.0
    task_s: float = 300.0
    recall_reaction_s: float = 8.0
    recall_slack_s: float = 2.0
    work_lost_s: float = 20.0
    work_lost_floor_s: float = 10.0
    notice_s: float = 10.0
    minimum_dwell_s: float = 15.0
    minimum_idle_s: float = 5.0
    half_life_s: float = 1800.0
    lookahead_s: float = 120.0
    hysteresis_hold_s: float = 60.0
    longest_wait_s: float = 60.0
    lowest_price_s: float = 60.0
    highest_price_s: float = 4000.0
    stretch_s: float = 3600.0
    bias_half_life_s: float = 14_400.0
    resume_window_s: float = 300.0
    update_every_s: float = 150.0
    offer_timeout_s: float = 20.0
    stale_after_s: float = 10.0

    def on_the_wall(self, scale: Scale) -> Timers:
        """Return the same timers in real seconds at this speed."""
        scaled = {f.name: scale.wall_s(getattr(self, f.name)) for f in fields(self)}
        for name in _GUARDS:
            scaled[name] = max(FLOOR_S, scaled[name])
        jitter_s = min(JITTER_S, _MOST_OF_TARGET * scaled["tau_s"])
        scaled["recall_slack_s"] = max(jitter_s, scaled["recall_slack_s"])
        return Timers(**scaled)

    def as_played(self, scale: Scale) -> Timers:
        """Return what `on_the_wall` means on the day's own clock, where no guard needs a floor."""
        played = {f.name: scale.sim_s(getattr(self.on_the_wall(scale), f.name)) for f in fields(self)}
        return Timers(**played | {name: getattr(self, name) for name in _GUARDS})


FLOOR_S = 2.0
JITTER_S = 0.012
_MOST_OF_TARGET = 0.25
_GUARDS = ("offer_timeout_s", "stale_after_s")
