"""What happens to the default law when the world is not as it believes.

Each case stands beside the same days without blending. It is played on a few days from tight to slack, as on a slack
day alone anything goes well. A case is *flagged* when the level with blending is more than two points under the lower
of the target and the level without blending, over its days together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from callcenter.distributions import Lognormal
from quality import synthetic
from quality.contenders import document
from quality.jobs import Job, Kind, Row, Runner
from quality.measures import Summary, summary
from quality.situations import Situation, Storm
from router.simulation.days import DayPlan
from router.simulation.scenario import AcdLink, Work

TWO_POINTS = 0.02
SHARE_FOR_FIVE = 1 / 160
"""This share of the calls needs about five agents at the peak."""
THOUSAND_PEAK = 1180.0
"""Calls in five minutes that need about a thousand agents."""
_BUSIEST_H = (3.0, 5.0)
_ABSENT = tuple(n / 100 for n in range(16))

Pick = Callable[[Sequence[Situation]], Sequence[Situation]]
"""Chooses among days those on which a case is played."""


@dataclass(frozen=True, slots=True)
class Case:
    """Days that differ from the standard ones in one thing, under a policy."""

    title: str
    days: tuple[Situation, ...]
    policy: str


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What a case gave. ``worst_day``: the lowest level over what that day could reach, in points of share."""

    case: Case
    found: Summary
    floor: float
    tightest: float
    worst_day: float

    @property
    def flagged(self) -> bool:
        """Whether blending cost more than two points below what could be had."""
        return self.found.level < self.floor - TWO_POINTS


def spanning(runner: Runner, days: Sequence[Situation], count: int) -> tuple[Situation, ...]:
    """So many of the days, their levels without blending spread evenly from just above the target to the slackest.

    Only days that meet their target without blending are chosen, where there are any: on the others the law can lose
    nothing that was promised.
    """
    rows = runner.run([Job(day, Kind.PACKING) for day in days])
    known = [(row["level_without"], day) for row, day in zip(rows, days, strict=True)]
    left = [(level, day) for level, day in known if level >= day.plan.target] or known
    levels = [level for level, _ in left]
    chosen = []
    for wanted in np.linspace(min(levels), max(levels), min(count, len(left))):
        nearest = min(range(len(left)), key=lambda n: abs(left[n][0] - wanted))
        chosen.append(left.pop(nearest))
    return tuple(day for _, day in sorted(chosen, key=lambda known: known[0]))


def cases(standard: Sequence[Situation], folder: Path, pick: Pick) -> list[Case]:
    """Every case, on days picked among those given (large real / 8)."""
    plain = document().to_yaml()
    days = pick(standard)

    def of(title: str, change: Callable[[Situation], Situation], policy: str = plain) -> Case:
        return Case(title, tuple(change(day) for day in days), policy)

    def capped(title: str, recalls_an_hour: int) -> Case:
        policy = document(interruptions_per_agent_hour=recalls_an_hour)
        return of(title, lambda day: day, policy.to_yaml())

    def link(title: str, acd: AcdLink) -> Case:
        return of(title, _planned(link=acd))

    def work(title: str, *kinds: Work) -> Case:
        return of(title, _planned(work=kinds))

    return [
        of("as believed", lambda day: day),
        of("forecast 20 % too low", _planned(forecast_factor=0.8)),
        of("forecast 20 % too high", _planned(forecast_factor=1.2)),
        of("handling time believed 30 % too short", lambda day: replace(day, aht_belief=0.7)),
        of("handling time believed 30 % too long", lambda day: replace(day, aht_belief=1.3)),
        of("storm: three times the calls for 30 minutes", lambda day: replace(day, storm=Storm())),
        of("ACD silent for 10 minutes", lambda day: replace(day, silent_h=4.0, silent_s=600.0)),
        capped("half the interruptions allowed (3 an hour)", 3),
        capped("half the recall rate (1 an agent and hour allowed)", 1),
        link("ACD takes one command in 2 s", AcdLink(commands_per_s=0.5)),
        link("ACD reports 5 s late", AcdLink(lag_s=5.0)),
        link("2 % of the reports lost, snapshot each minute", AcdLink(loss=0.02, snapshot_s=60.0)),
        work("tasks of 30 minutes", Work(time=Lognormal(1800.0, 0.75), endless=True)),
        work(
            "half of the tasks not interruptible",
            Work("claims", endless=True),
            Work("deeds", interruptible=False, endless=True),
        ),
        work("no task interruptible", Work(interruptible=False, endless=True)),
        of("recall takes 15 s", _desktops(back_s=15.0)),
        of("recall takes 20 s", _desktops(back_s=20.0)),
        of("no work lost", _desktops(lost_s=0.0)),
        of("60 s of work lost", _desktops(lost_s=60.0)),
        of("120 s of work lost", _desktops(lost_s=120.0)),
        of("two queues, four of ten agents serve both", lambda day: replace(day, shared=True)),
        Case("a group of 5 agents", tuple(pick(_small(standard))), plain),
        Case(
            "a group of 1,000 agents, the two busiest hours",
            tuple(pick(_thousand(folder, standard[0].plan.seed))),
            plain,
        ),
    ]


def _small(standard: Sequence[Situation]) -> list[Situation]:
    change = _planned(keep=SHARE_FOR_FIVE)
    return [change(day) for day in standard]


def _thousand(folder: Path, seed: int) -> list[Situation]:
    """The busiest hours of a day that was staffed for about the calls that came, with ever more agents absent.

    In a group of this size chance evens out: what makes a day slack or tight is staff against calls alone.
    """
    world = synthetic.write(folder / "world-thousand.csv", 1000, THOUSAND_PEAK)
    plan = DayPlan(date=synthetic.playable()[-1], volumes=str(world), keep=1.0, seed=seed)
    begin_h, end_h = _BUSIEST_H
    return [Situation(plan=plan, absent=absent, from_h=begin_h, until_h=end_h) for absent in _ABSENT]


def jobs_of(case: Case) -> list[Job]:
    """Its days under its policy."""
    return [Job(day, policy=case.policy) for day in case.days]


def play_cases(runner: Runner, wanted: Sequence[Case]) -> list[CaseResult]:
    """Play every case."""
    runner.run([job for case in wanted for job in jobs_of(case)])
    return [_result(case, runner.run(jobs_of(case))) for case in wanted]


def _result(case: Case, rows: Sequence[Row]) -> CaseResult:
    found = summary(rows)
    target = rows[0]["target"]
    worst = min(row["level"] - min(target, row["level_without"]) for row in rows)
    tightest = min(row["level_without"] for row in rows)
    return CaseResult(case, found, min(target, found.level_without), tightest, worst)


def _planned(**changes: object) -> Callable[[Situation], Situation]:
    return lambda day: replace(day, plan=replace(day.plan, **changes))  # type: ignore[arg-type]


def _desktops(**changes: float) -> Callable[[Situation], Situation]:
    return lambda day: replace(
        day,
        plan=replace(day.plan, desktops=replace(day.plan.desktops, **changes)),  # type: ignore[arg-type]
    )
