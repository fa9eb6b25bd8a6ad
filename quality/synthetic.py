"""Synthetic call volumes: centers that differ in shape of day, size and scatter, written as five-minute counts.

Each *world* is one center on one weekday: eight weeks of the same Monday, of which the last two have the six
earlier ones that a forecast needs. What differs between worlds: opening hours, one or two humps and how deep the dip
between them is, the calls at the peak. What differs between the days of a world: a factor of the day (lognormal, sd
7 %, as the real volumes have it), a drift over the day, and Poisson arrivals.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

import numpy as np

from callcenter.volumes import INTERVAL_S

WEEKS = 8
PLAYABLE = 2
_FIRST = date(2024, 1, 1)
_DAY_SD = 0.07
_DRIFT_SD = 0.05


@dataclass(frozen=True, slots=True)
class World:
    """A center's expected day. Hours after midnight; ``peak`` is calls per five minutes at the highest hump."""

    opens_h: int
    length_h: int
    humps_h: tuple[float, float]
    width_h: float
    second: float
    floor: float
    peak: float

    def expected(self) -> np.ndarray:
        """Calls expected in each five minutes of the day."""
        at = np.arange(self.length_h * 3600 // INTERVAL_S) * INTERVAL_S / 3600 + self.opens_h
        first, second = (np.exp(-0.5 * ((at - hump) / self.width_h) ** 2) for hump in self.humps_h)
        shape = self.floor + (1 - self.floor) * np.maximum(first, self.second * second)
        return np.asarray(self.peak * shape / shape.max())


def draw_world(seed: int, peak: float | None = None) -> World:
    """A center drawn at random, for 20 to 120 agents at its peak unless the peak is given."""
    rng = np.random.default_rng([seed, 0])
    opens = int(rng.integers(6, 10))
    length = int(rng.integers(9, 15))
    first = opens + length * float(rng.uniform(0.2, 0.35))
    second = opens + length * float(rng.uniform(0.6, 0.8))
    drawn = 25.0 * math.exp(float(rng.uniform(0.0, math.log(6.0))))
    return World(
        opens,
        length,
        (first, second),
        length * float(rng.uniform(0.10, 0.22)),
        float(rng.uniform(0.3, 1.0)),
        float(rng.uniform(0.15, 0.5)),
        drawn if peak is None else peak,
    )


def write(path: Path, seed: int, peak: float | None = None) -> Path:
    """Write a world's eight days as a ``datetime,calls`` file, unless it is there: the same seed, the same file."""
    world = draw_world(seed, peak)
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".part")
    with written.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("datetime", "calls"))
        for week in range(WEEKS):
            begin = datetime.combine(_FIRST + timedelta(weeks=week), time(world.opens_h))
            counts = _counts(world, np.random.default_rng([seed, 1, week]))
            rows.writerows(
                (begin + timedelta(seconds=INTERVAL_S * n), count) for n, count in enumerate(counts)
            )
    written.rename(path)
    return path


def _counts(world: World, rng: np.random.Generator) -> list[int]:
    expected = world.expected()
    factor = math.exp(_DAY_SD * float(rng.standard_normal()))
    drift = 1 + _DRIFT_SD * float(rng.standard_normal()) * np.linspace(-1, 1, expected.size)
    return [int(n) for n in rng.poisson(expected * factor * drift)]


def playable() -> list[date]:
    """The days of any world that have six earlier same weekdays."""
    return [_FIRST + timedelta(weeks=week) for week in range(WEEKS - PLAYABLE, WEEKS)]
