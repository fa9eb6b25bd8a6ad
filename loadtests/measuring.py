"""Latencies, CPU time of other processes, and how they are told."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

Call = Callable[[int, float], Awaitable[float | None]]
"""Makes call number i, which was due at a time (perf_counter); the latency in seconds, or None if told elsewhere."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one case: latencies in ms, and CPU per call in µs by process."""

    latencies_ms: Sequence[float]
    cpu_us: Mapping[str, float]

    def quantile(self, share: float) -> float:
        """The latency (ms) that so many calls did not exceed."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(slots=True)
class Case:
    """What is measured, in several rounds; ``reference`` is the case that it is compared with."""

    name: str
    reference: str
    run: Callable[[], Awaitable[Sequence[float]]]
    pids: Mapping[str, int]
    rounds: list[Round] = field(default_factory=list)

    async def measure(self) -> None:
        """One more round."""
        before = {name: cpu_s(pid) for name, pid in self.pids.items()}
        latencies = await self.run()
        spent = {name: cpu_s(pid) - before[name] for name, pid in self.pids.items()}
        per_call = {name: 1e6 * seconds / len(latencies) for name, seconds in spent.items()}
        self.rounds.append(Round([1000 * latency for latency in latencies], per_call))

    def quantiles(self, share: float) -> list[float]:
        """One quantile of each round, in ms."""
        return [one.quantile(share) for one in self.rounds]

    def cpu(self, name: str) -> float:
        """CPU per call of a process in µs, median of the rounds."""
        return statistics.median(one.cpu_us[name] for one in self.rounds)


def cpu_s(pid: int) -> float:
    """CPU time that a process has used, in seconds."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS_PER_S


async def one_after_the_other(count: int, call: Call) -> list[float]:
    """Calls back to back, each timed from its own start."""
    found = [await call(i, time.perf_counter()) for i in range(count)]
    return [latency for latency in found if latency is not None]


async def at_a_rate(per_s: float, count: int, call: Call) -> list[float]:
    """An open loop: calls begin when they are due, whether or not earlier ones have ended, and are timed from then."""
    began = time.perf_counter() + 0.05
    running = []
    for i in range(count):
        due = began + i / per_s
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        running.append(asyncio.create_task(_timed(call, i, due)))
    found = await asyncio.gather(*running)
    return [latency for latency in found if latency is not None]


async def _timed(call: Call, i: int, due: float) -> float | None:
    return await call(i, due)


def table(cases: Sequence[Case]) -> str:
    """All cases: medians of the rounds, their spread, and ratios taken within each round."""
    by_name = {case.name: case for case in cases}
    lines = [f"{'':44}{'p50 ms':>22}{'p99 ms':>24}{'p50 to ref.':>13}{'p99 to ref.':>13}"]
    for case in cases:
        reference = by_name[case.reference]
        p50, p99 = case.quantiles(0.5), case.quantiles(0.99)
        ratios = (_ratio(p50, reference.quantiles(0.5)), _ratio(p99, reference.quantiles(0.99)))
        lines.append(f"{case.name:44}{_spread(p50):>22}{_spread(p99):>24}{ratios[0]:>13}{ratios[1]:>13}")
    return "\n".join(lines)


def cpu_table(cases: Sequence[Case]) -> str:
    """CPU per call of each process."""
    lines = []
    for case in cases:
        spent = ", ".join(f"{name} {case.cpu(name):.0f}" for name in case.pids)
        lines.append(f"{case.name:44}{spent}")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def _ratio(values: Sequence[float], references: Sequence[float]) -> str:
    ratios = [value / reference for value, reference in zip(values, references, strict=True)]
    return f"{statistics.median(ratios):.2f}"
