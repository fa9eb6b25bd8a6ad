"""Real call volumes: loading, thinning, forecasting, and turning counts into single arrivals.

Times are simulated seconds after midnight of the day that is replayed (07:00 is 25 200).
"""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

INTERVAL_S = 300
HALF_HOUR_S = 1800
DEMO_DAY = date(2003, 7, 24)
DATA_FILE = Path(__file__).with_name("data") / "bank_calls_7days.csv"


@dataclass(frozen=True, slots=True)
class Volumes:
    """Calls per five minutes of several days that all open at the same time."""

    opens_at: int
    """Seconds after midnight at which the first interval of each day starts."""
    days: Mapping[date, tuple[int, ...]]

    def previous_same_weekdays(self, day: date, count: int = 6) -> list[date]:
        """Return the last `count` days before `day` on its weekday, oldest first.

        Raises ValueError when the data hold fewer.
        """
        same = sorted(d for d in self.days if d < day and d.weekday() == day.weekday())
        if len(same) < count:
            raise ValueError(f"{day} has {len(same)} earlier same weekdays in the data, {count} are needed")
        return same[-count:]

    def forecast(self, day: date, count: int = 6) -> list[float]:
        """Return the mean of the last `count` same weekdays, in calls per five minutes."""
        history = [self.days[d] for d in self.previous_same_weekdays(day, count)]
        return [sum(column) / count for column in zip(*history, strict=True)]


def load(path: Path = DATA_FILE) -> Volumes:
    """Read a `datetime,calls` file of five-minute counts.

    Raises ValueError when the days differ in their number of intervals or in their opening time.
    """
    counts: dict[date, list[int]] = {}
    opening: set[int] = set()
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            at = datetime.fromisoformat(row["datetime"])
            if at.date() not in counts:
                opening.add(at.hour * 3600 + at.minute * 60)
            counts.setdefault(at.date(), []).append(int(row["calls"]))
    if len(opening) != 1 or len({len(c) for c in counts.values()}) != 1:
        raise ValueError(f"{path}: days differ in opening time or length")
    return Volumes(opening.pop(), {day: tuple(c) for day, c in counts.items()})


def thin(counts: Sequence[int], keep: float, rng: random.Random) -> list[int]:
    """Keep each call with probability `keep`: a smaller center with the same shape of day."""
    if not 0 < keep <= 1:
        raise ValueError(f"keep must be in (0, 1], not {keep}")
    return [sum(rng.random() < keep for _ in range(count)) for count in counts]


def half_hours(per_interval: Sequence[float]) -> list[float]:
    """Return the calls per half hour; a last half hour that is cut short is scaled up to a full one."""
    size = HALF_HOUR_S // INTERVAL_S
    blocks = [per_interval[i : i + size] for i in range(0, len(per_interval), size)]
    return [sum(block) * size / len(block) for block in blocks]


def arrival_times(counts: Sequence[int], opens_at: int, rng: random.Random) -> list[float]:
    """Spread each interval's calls evenly at random over its five minutes; ascending."""
    times = [
        opens_at + (index + rng.random()) * INTERVAL_S
        for index, count in enumerate(counts)
        for _ in range(count)
    ]
    return sorted(times)
