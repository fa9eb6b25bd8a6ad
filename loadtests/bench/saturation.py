"""Finds the highest rate that is sustained: probes upwards until one fails, then halves the interval."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

P99_BOUND_S = 0.05
"""Highest p99 of submit → offer at a rate that counts as sustained."""
BACKLOG_SHARE = 0.01
"""Tasks not done shortly after the end, as a share of those submitted, above which the backlog grew."""

_LEAST = 0.1
"""Share of the first rate below which the search gives up."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What one rate (1/s) gave: latencies (s), share of the tasks not done soon after the end, schedule kept.

    A generator that is late is no reason by itself: latency counts from when a request was due.
    """

    rate: float
    p50_s: float
    p99_s: float
    undone: float
    kept: bool = True

    @property
    def sustained(self) -> bool:
        """Whether the rate can go on for ever."""
        return self.p99_s <= P99_BOUND_S and self.undone <= BACKLOG_SHARE

    @property
    def why_not(self) -> str:
        """What ended it."""
        if not self.kept:
            return "the generator did not keep its schedule"
        return "p99 over the bound" if self.undone <= BACKLOG_SHARE else "the backlog grew"


async def find(
    probe: Callable[[float], Awaitable[Probe]],
    start: float,
    *,
    growth: float = 1.5,
    within: float = 0.06,
    most: int = 16,
) -> list[Probe]:
    """Probes until the highest sustained rate is known to a share ``within``, or ``most`` were made.

    A rate that fails is tried once more before it counts: one hiccup of a shared machine is no limit.
    """
    probes: list[Probe] = []

    async def holds(rate: float) -> bool:
        for _ in range(2):
            probes.append(await probe(rate))
            if probes[-1].sustained:
                return True
        return False

    low, high, rate = 0.0, 0.0, start
    while len(probes) < most and rate > start * _LEAST:
        if await holds(rate):
            low = rate
        else:
            high = rate
        if high and high - low <= within * high:
            break
        rate = (low + high) / 2 if high else rate * growth
    return probes


def highest(probes: list[Probe]) -> float:
    """The highest sustained rate (1/s), 0 when none was."""
    return max((probe.rate for probe in probes if probe.sustained), default=0.0)


def limit(probes: list[Probe]) -> str:
    """Why the lowest rate above it failed."""
    best = highest(probes)
    failed = [probe for probe in probes if not probe.sustained and probe.rate > best]
    return min(failed, key=lambda probe: probe.rate).why_not if failed else "no rate that was tried failed"
