"""What happens to the default law when the world is not as it believes: each case beside the same day without blending.

A case is *flagged* when the level with blending is more than two points under the lower of the target and the level
without blending, over its days together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from callcenter.distributions import Lognormal
from quality import synthetic
from quality.contenders import document
from quality.jobs import Job, Row, Runner
from quality.measures import Summary, summary
from quality.situations import Situation, Storm
from router.simulation.days import DayPlan
from router.simulation.scenario import AcdLink, Work

TWO_POINTS = 0.02
SMALLEST_SHARE = 1 / 64
THOUSAND_PEAK = 1180.0
"""Calls in five minutes that need about a thousand agents."""


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
    worst_day: float

    @property
    def flagged(self) -> bool:
        """Whether blending cost more than two points below what could be had."""
        return self.found.level < self.floor - TWO_POINTS


def cases(standard: Sequence[Situation], folder: Path) -> list[Case]:
    """Every case on the days given (large real / 8)."""
    plain = document().to_yaml()
    few = document(interruptions_per_agent_hour=3).to_yaml()
    world = synthetic.write(folder / "world-thousand.csv", 1000, THOUSAND_PEAK)
    thousand = DayPlan(date=synthetic.playable()[0], volumes=str(world), keep=1.0, seed=standard[0].plan.seed)

    def of(title: str, change: Callable[[Situation], Situation], policy: str = plain) -> Case:
        return Case(title, tuple(change(day) for day in standard), policy)

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
        of("half the interruptions allowed (3 an hour)", lambda day: day, few),
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
        of("a group of 5 agents", _planned(keep=SMALLEST_SHARE)),
        Case("a group of 1,000 agents, four hours", (Situation(plan=thousand, first_h=4.0),), plain),
    ]


def play_cases(runner: Runner, wanted: Sequence[Case]) -> list[CaseResult]:
    """Play every case."""
    jobs = [[Job(day, policy=case.policy) for day in case.days] for case in wanted]
    runner.run([job for days in jobs for job in days])
    return [_result(case, runner.run(days)) for case, days in zip(wanted, jobs, strict=True)]


def _result(case: Case, rows: Sequence[Row]) -> CaseResult:
    found = summary(rows)
    target = rows[0]["target"]
    worst = min(row["level"] - min(target, row["level_without"]) for row in rows)
    return CaseResult(case, found, min(target, found.level_without), worst)


def _planned(**changes: object) -> Callable[[Situation], Situation]:
    return lambda day: replace(day, plan=replace(day.plan, **changes))  # type: ignore[arg-type]


def _desktops(**changes: float) -> Callable[[Situation], Situation]:
    return lambda day: replace(
        day,
        plan=replace(day.plan, desktops=replace(day.plan.desktops, **changes)),  # type: ignore[arg-type]
    )
