"""The figures of several days under one policy, each defined once.

- *recovered share*: work on tasks that outlived its attempt, over the agents' AVAILABLE seconds of the same days and
  random numbers without blending; of all days together.
- *service level* of a day: calls answered within the target over calls answered or given up; of several: their mean.
- *feasible day*: without blending its service level meets the target. *kept*: with the policy it still does, to half
  a point. *shortfall* of a feasible day: by how much its level with the policy misses the target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quality.jobs import Row

HALF_A_POINT = 0.005


@dataclass(frozen=True, slots=True)
class Summary:
    """Shares between 0 and 1; ``per_day`` figures are means; waits in seconds."""

    days: int
    feasible: int
    recovered: float
    level: float
    level_without: float
    days_kept: float
    mean_shortfall: float
    worst_shortfall: float
    recalls_per_day: float
    recalls_per_task: float
    recalls_per_paid_hour: float
    starts_per_day: float
    done_per_day: float
    late_per_day: float
    bad_half_hours: float
    bad_half_hours_without: float
    least_urgent_wait_s: float
    violations: int


def summary(rows: Sequence[Row]) -> Summary:
    """Sum days up. Raises ValueError without any."""
    if not rows:
        raise ValueError("no day to sum up")
    feasible = [row for row in rows if row["level_without"] >= row["target"]]
    missed = [max(0.0, row["target"] - row["level"]) for row in feasible]
    sums = _sums(rows)
    return Summary(
        days=len(rows),
        feasible=len(feasible),
        recovered=_ratio(sums("kept_s"), sums("spare_s")),
        level=float(np.mean([row["level"] for row in rows])),
        level_without=float(np.mean([row["level_without"] for row in rows])),
        days_kept=_ratio(sum(short <= HALF_A_POINT for short in missed), len(missed)),
        mean_shortfall=float(np.mean(missed)) if missed else 0.0,
        worst_shortfall=max(missed, default=0.0),
        recalls_per_day=sums("recalls") / len(rows),
        recalls_per_task=_ratio(sums("recalls"), sums("done")),
        recalls_per_paid_hour=_ratio(sums("recalls"), sums("paid_s") / 3600),
        starts_per_day=sums("starts") / len(rows),
        done_per_day=sums("done") / len(rows),
        late_per_day=(sums("late") + sums("late_open")) / len(rows),
        bad_half_hours=sums("bad_half_hours") / len(rows),
        bad_half_hours_without=sums("bad_half_hours_without") / len(rows),
        least_urgent_wait_s=sums("least_urgent_wait_s") / len(rows),
        violations=sum(len(row["violations"]) for row in rows),
    )


def recovered(rows: Sequence[Row]) -> float:
    """The recovered share of days of which only work and idle time are known: a bound."""
    return _ratio(sum(row["kept_s"] for row in rows), sum(row["spare_s"] for row in rows))


def _sums(rows: Sequence[Row]) -> Callable[[str], float]:
    def total(name: str) -> float:
        values: list[Any] = [row[name] for row in rows]
        return float(sum(values))

    return total


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
