"""The sets of days, every policy on each of them, and the bounds beside it.

Days at even places of a set serve to tune the policies that have a free constant; figures are reported on the days at
odd places, on which nothing was tuned, and on both. All policies see the same calls, agents and tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from callcenter.distributions import Lognormal
from quality import synthetic
from quality.contenders import (
    DEFAULT,
    REFERENCE,
    STATIC_RECALL,
    WITHOUT_RECALL,
    Choice,
    Contender,
    contenders,
    tune,
    tuning_jobs,
)
from quality.jobs import Job, Kind, Row, Runner
from quality.situations import Situation
from router.policies.blending import PolicyDocument
from router.simulation.days import DayPlan, playable_days
from router.simulation.scenario import Work

SEED = 7
WORLDS = 12
MOST_TUNED_ON = 8
"""Tuning tries each constant on so many days at most."""


@dataclass(frozen=True, slots=True)
class DaySet:
    """Days that belong together; ``agents``: about how many are there at the peak."""

    id: str
    title: str
    agents: int
    days: tuple[Situation, ...]
    bounded: bool = True


@dataclass(frozen=True, slots=True)
class SetResult:
    """Every policy on every day of a set, and the bounds of each day; rows in the order of the days."""

    of: DaySet
    contenders: tuple[Contender, ...]
    chosen: dict[str, PolicyDocument | None]
    rows: dict[str, list[Row]]
    packing: list[Row]
    schedule: list[Row]

    def half(self, rows: Sequence[Row], tuned: bool) -> Sequence[Row]:
        """Of rows in the order of the days: those of the days tuned on, or of the others."""
        return rows[0 if tuned else 1 :: 2]


def day_sets(volumes: str, folder: Path, days: int) -> list[DaySet]:
    """The sets, with ``days`` days of each, or fewer of the expensive ones; 0: all there are."""
    real = [DayPlan(date=day, volumes=volumes, seed=SEED) for day in playable_days(volumes)]
    if len(real) == 1:
        # The committed days: one has a history. Another draw of it stands in for a day not tuned on.
        real += [replace(real[0], seed=SEED + 1)]
    small = [replace(plan, keep=1 / 32) for plan in real]
    large = [replace(plan, keep=1.0) for plan in real]
    eighth = [Situation(plan=plan) for plan in real]
    tight = [Situation(plan=plan, absent=0.08) for plan in real]
    worlds = [synthetic.write(folder / f"world-{seed}.csv", seed) for seed in range(WORLDS)]
    made = [
        Situation(plan=DayPlan(date=day, volumes=str(path), keep=1.0, seed=SEED))
        for path in worlds
        for day in synthetic.playable()
    ]
    return [
        DaySet("eighth", "large real / 8 (41 agents at the peak)", 41, _some(eighth, days)),
        DaySet("tight", "the same with 8 % of the agents absent", 38, _some(tight, days // 2 or 40)),
        DaySet("small", "large real / 32 (11 agents)", 11, _some([Situation(plan=p) for p in small], days)),
        DaySet("synthetic", "synthetic (20 to 120 agents)", 50, _some(made, days)),
        DaySet(
            "large",
            "large real (257 agents)",
            257,
            _some([Situation(plan=p) for p in large], min(days // 2 * 2, 4) or 8),
            bounded=False,
        ),
    ]


def _some(days: Sequence[Situation], count: int) -> tuple[Situation, ...]:
    """So many of the days, in neighbouring pairs spread evenly, so that tuned and untuned days stay alike."""
    pairs = [days[n : n + 2] for n in range(0, len(days) - 1, 2)]
    wanted = max(1, count // 2) if count else len(pairs)
    step = len(pairs) / min(wanted, len(pairs))
    chosen = [pairs[int(n * step)] for n in range(min(wanted, len(pairs)))]
    return tuple(day for pair in chosen for day in pair)


def play_set(runner: Runner, of: DaySet) -> SetResult:
    """Tune on the days at even places, then play all days under all policies."""
    everyone = contenders(of.agents)
    chosen = dict(tune(runner, everyone, _tuned_on(of)))
    runner.run(_jobs(of, chosen))
    return SetResult(
        of=of,
        contenders=everyone,
        chosen=chosen,
        rows={c.id: runner.run([c.job(day, chosen[c.id]) for day in of.days]) for c in everyone},
        packing=runner.run(_bounds(of, Kind.PACKING)),
        schedule=runner.run(_bounds(of, Kind.SCHEDULE)) if of.bounded else [],
    )


def set_jobs(of: DaySet) -> list[Job]:
    """As many jobs as the set takes, whatever tuning will choose: as if it chose the first of each grid."""
    everyone = contenders(of.agents)
    first = {c.id: c.grid[0] for c in everyone}
    return [*tuning_jobs(everyone, _tuned_on(of)), *_jobs(of, first)]


def _tuned_on(of: DaySet) -> Sequence[Situation]:
    days = of.days[0::2]
    return days[:: max(1, -(-len(days) // MOST_TUNED_ON))]


def _jobs(of: DaySet, chosen: Choice) -> list[Job]:
    """Every policy on every day of the set, and its bounds."""
    played = [c.job(day, chosen[c.id]) for c in contenders(of.agents) for day in of.days]
    return [*played, *_bounds(of, Kind.PACKING), *(_bounds(of, Kind.SCHEDULE) if of.bounded else ())]


def _bounds(of: DaySet, kind: Kind) -> list[Job]:
    return [Job(day, kind) for day in of.days]


@dataclass(frozen=True, slots=True)
class Untuned:
    """Every day that nothing was tuned on: rows by policy, the default law first, and the packing."""

    rows: dict[str, list[Row]]
    packing: list[Row]


def untuned_jobs(of: DaySet) -> list[Job]:
    """The laws that matter most on every untuned day of a set, and the packing."""
    return [*(law.job(day, law.grid[0]) for law in _UNTUNED for day in of.days[1::2]), *_untuned_bounds(of)]


def play_untuned(runner: Runner, of: DaySet) -> Untuned:
    """The laws that matter most on every untuned day of a set."""
    runner.run(untuned_jobs(of))
    rows = {law.title: runner.run([law.job(day, law.grid[0]) for day in of.days[1::2]]) for law in _UNTUNED}
    return Untuned(rows, runner.run(_untuned_bounds(of)))


_UNTUNED = (DEFAULT, REFERENCE)


def _untuned_bounds(of: DaySet) -> list[Job]:
    return _bounds(of, Kind.PACKING)[1::2]


BACKLOG = (
    Work("claims", Lognormal(300.0, 0.75), priority=80, goal_s=2 * 3600.0, per_hour=35.0),
    Work(
        "address-changes", Lognormal(180.0, 0.75), priority=20, goal_s=6 * 3600.0, waiting=250, per_hour=20.0
    ),
)
"""Work that can be done in the spare time of the day with 41 agents, but not by everybody in time."""


def play_backlog(runner: Runner, of: DaySet, chosen: Choice) -> dict[str, list[Row]]:
    """The untuned days with a backlog that ends: tasks late, and how long the least urgent work waits."""
    jobs = backlog_jobs(of, chosen)
    runner.run([job for days in jobs.values() for job in days])
    return {title: runner.run(days) for title, days in jobs.items()}


def backlog_jobs(of: DaySet, chosen: Choice) -> dict[str, list[Job]]:
    """Untuned days with a backlog that ends by the title of the policy; what was not tuned is as first in its grid."""
    days = [replace(day, plan=replace(day.plan, work=BACKLOG)) for day in of.days[1::2]][:10]
    tuned = next(c for c in contenders(of.agents) if c.id == "static")
    return {
        contender.title: [contender.job(day, chosen.get(contender.id, contender.grid[0])) for day in days]
        for contender in (tuned, WITHOUT_RECALL, STATIC_RECALL, DEFAULT)
    }
