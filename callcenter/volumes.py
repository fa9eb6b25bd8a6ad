"""Real call volumes: five-minute counts, thinning, forecasting, and turning counts into single arrivals.

A file of counts has the columns `datetime` (ISO, the begin of five minutes) and `calls`, and `queue` if it holds
several call queues. Call-by-call records are read by `callcenter.records`. Times are simulated seconds after midnight
of the day that is replayed (07:00 is 25 200).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from callcenter.calls import CALL_QUEUE
from callcenter.table import Row, rows

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

    def before(self, day: date) -> Volumes:
        """Return what was known before `day`: the earlier days."""
        return Volumes(self.opens_at, {d: counts for d, counts in self.days.items() if d < day})

    def previous_same_weekdays(self, day: date, count: int = 6) -> list[date]:
        """Return the last `count` days before `day` on its weekday, oldest first.

        Raises ValueError when the data hold fewer.
        """
        same = sorted(d for d in self.days if d < day and d.weekday() == day.weekday())
        if len(same) < count:
            raise ValueError(f"{day} has {len(same)} earlier same weekdays in the data, {count} are needed")
        return same[-count:]

    def forecast(self, day: date, count: int = 6, by: Forecaster | None = None) -> list[float]:
        """Return the calls per five minutes that were expected of `day`: the mean of the last `count` same weekdays.

        `by` forecasts in another way; it is shown the earlier days alone. Raises ValueError when they are too few.
        """
        if by is not None:
            return list(by(self.before(day), day))
        history = [self.days[d] for d in self.previous_same_weekdays(day, count)]
        return [sum(column) / count for column in zip(*history, strict=True)]


Forecaster = Callable[[Volumes, date], Sequence[float]]
"""Forecasts a day's calls per five minutes from the days before it."""


def load(path: Path = DATA_FILE) -> Volumes:
    """Read a file of five-minute counts of one call queue.

    Raises ValueError that names file, line and column of a row that cannot be read, or when the file holds several
    queues, days that differ in their opening time or length, or intervals out of step.
    """
    queues = load_queues(path)
    if len(queues) != 1:
        raise ValueError(f"{path}: holds {len(queues)} call queues; one is expected")
    return next(iter(queues.values()))


def load_queues(path: Path) -> dict[str, Volumes]:
    """Read a file of five-minute counts of one or several call queues. Raises ValueError as `load` does."""
    counts: dict[str, dict[date, list[int]]] = {}
    opening: dict[str, int] = {}
    for row in rows(path, ("datetime", "calls")):
        queue, at = row.text("queue", CALL_QUEUE), row.moment("datetime")
        day = counts.setdefault(queue, {}).setdefault(at.date(), [])
        second = at.hour * 3600 + at.minute * 60 + at.second
        if not day and opening.setdefault(queue, second) != second:
            raise row.error("datetime", "the day opens at another time than the days before")
        _check_step(row, second, opening[queue] + len(day) * INTERVAL_S)
        day.append(row.count("calls"))
    for queue, days in counts.items():
        if len({len(c) for c in days.values()}) != 1:
            raise ValueError(f"{path}: the days of call queue {queue} differ in length")
    return {q: Volumes(opening[q], {d: tuple(c) for d, c in days.items()}) for q, days in counts.items()}


def _check_step(row: Row, second: int, expected: int) -> None:
    if second != expected:
        clock = f"{expected // 3600:02d}:{expected // 60 % 60:02d}"
        raise row.error("datetime", f"five minutes are missing or out of order; the next is {clock}")


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
