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
from quality.contenders import DEFAULT, STATIC_RECALL, WITHOUT_RECALL, Contender, contenders, tune
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
    tuned_on = of.days[0::2]
    every = max(1, -(-len(tuned_on) // MOST_TUNED_ON))
    chosen = dict(tune(runner, everyone, tuned_on[::every]))
    jobs = {c.id: [c.job(day, chosen[c.id]) for day in of.days] for c in everyone}
    packing = [Job(day, Kind.PACKING) for day in of.days]
    schedule = [Job(day, Kind.SCHEDULE) for day in of.days] if of.bounded else []
    runner.run([job for rows in jobs.values() for job in rows] + packing + schedule)
    return SetResult(
        of=of,
        contenders=everyone,
        chosen=chosen,
        rows={name: runner.run(wanted) for name, wanted in jobs.items()},
        packing=runner.run(packing),
        schedule=runner.run(schedule),
    )


BACKLOG = (
    Work("claims", Lognormal(300.0, 0.75), priority=80, goal_s=2 * 3600.0, per_hour=35.0),
    Work(
        "address-changes", Lognormal(180.0, 0.75), priority=20, goal_s=6 * 3600.0, waiting=250, per_hour=20.0
    ),
)
"""Work that can be done in the spare time of the day with 41 agents, but not by everybody in time."""


def play_backlog(
    runner: Runner, of: DaySet, chosen: dict[str, PolicyDocument | None]
) -> dict[str, list[Row]]:
    """The untuned days with a backlog that ends: tasks late, and how long the least urgent work waits."""
    days = [replace(day, plan=replace(day.plan, work=BACKLOG)) for day in of.days[1::2]][:10]
    tuned = next(c for c in contenders(of.agents) if c.id == "static")
    found = {}
    for contender in (tuned, WITHOUT_RECALL, STATIC_RECALL, DEFAULT):
        document = chosen.get(contender.id, contender.grid[0])
        found[contender.title] = runner.run([contender.job(day, document) for day in days])
    return found
