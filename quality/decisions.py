"""What a decision costs: every decision of a simulated day is made again, beginning with nothing computed yet.

The day is played and recorded by the simulator around the real router; each recorded decision is then decided again,
in its order and from what it was made of, and the CPU time of that alone is taken.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quality import synthetic
from quality.contenders import DEFAULT, WITHOUT_RECALL, Contender
from quality.jobs import Row, Runner, Wanted, named
from quality.robustness import THOUSAND_PEAK
from quality.situations import Situation
from router.dispatch.recording import Context, unpack
from router.domain.ports import RecordedChunk
from router.policies.blending import Memory, PolicyDocument, Snapshot, build_policy
from router.policies.blending.outlook import outlook
from router.simulation.day import simulate
from router.simulation.days import DayPlan

SIZES = (50, 500, 1000)
"""Agents at the peak of the day, about."""

_ASKED = tuple((agents, contender) for agents in SIZES for contender in (DEFAULT, WITHOUT_RECALL))
_UNTIL_H = {1000: 3.0}
"""Of the largest day only so many hours are played: all stretches of the day are planned from the first decision on."""
_WORLD = 1000
_MS = 1000.0

Decision = tuple[PolicyDocument, Snapshot, Memory]


@dataclass(frozen=True, slots=True)
class Decisions:
    """A day under a policy whose decisions are timed."""

    situation: Situation
    policy: str

    def key(self) -> str:
        """A name for the result; times are those of the machine on which they were first taken."""
        return named("decide", repr(self.situation), self.policy)

    def compute(self) -> Row:
        """CPU seconds of the day, and CPU milliseconds of its decisions."""
        day, chunks = self.situation.make(), list[RecordedChunk]()
        began = time.process_time()
        simulate(day, self.policy, recording=chunks)
        day_s = time.process_time() - began
        spent_ms = timed(list(recorded(chunks)))
        return {
            "day_s": day_s,
            "calls": sum(len(queue.calls) for group in day.groups for queue in group.queues),
            "decisions": len(spent_ms),
            "median_ms": float(np.median(spent_ms)),
            "p95_ms": float(np.quantile(spent_ms, 0.95)),
            "max_ms": max(spent_ms),
            "sum_s": sum(spent_ms) / _MS,
        }


def recorded(chunks: Sequence[RecordedChunk]) -> Iterator[Decision]:
    """What each decision of a recording was made of, in order."""
    context = Context()
    for entry in (entry for chunk in chunks for entry in unpack(chunk.body)):
        context.read(entry)
        if entry.kind == "decision":
            group, version, _, _, seen, remembered, _ = entry.fields
            document, snapshot = context.document(group, version), context.snapshot(seen)
            if document is not None and snapshot is not None:
                yield document, snapshot, Memory.from_mapping(remembered)


def timed(decisions: Sequence[Decision]) -> list[float]:
    """CPU milliseconds of each decision, the tables of all stretches forgotten before the first."""
    outlook.cache_clear()
    gc.collect()
    spent_ms = []
    for document, snapshot, memory in decisions:
        policy = build_policy(document)
        began = time.process_time()
        policy.decide(snapshot, memory)
        spent_ms.append(_MS * (time.process_time() - began))
    return spent_ms


@dataclass(frozen=True, slots=True)
class Timed:
    """The decisions of one policy on a day with about so many agents."""

    agents: int
    contender: Contender
    row: Row


def time_decisions(runner: Runner, folder: Path, seed: int) -> list[Timed]:
    """Time the default law, with recall and without, on the same synthetic day at every size."""
    rows = runner.run(decision_jobs(folder, seed))
    return [Timed(agents, contender, row) for (agents, contender), row in zip(_ASKED, rows, strict=True)]


def decision_jobs(folder: Path, seed: int) -> list[Wanted]:
    """The days to be played for that."""
    days = {agents: _day(agents, folder, seed) for agents in SIZES}
    return [_wanted(days[agents], contender) for agents, contender in _ASKED]


def _wanted(day: Situation, contender: Contender) -> Decisions:
    job = contender.job(day, contender.grid[0])
    return Decisions(day, job.policy)


def _day(agents: int, folder: Path, seed: int) -> Situation:
    peak = THOUSAND_PEAK * agents / 1000
    world = synthetic.write(folder / f"world-{agents}-agents.csv", _WORLD, peak)
    plan = DayPlan(date=synthetic.playable()[0], volumes=str(world), keep=1.0, seed=seed)
    return Situation(plan=plan, until_h=_UNTIL_H.get(agents, 0.0))
