"""The parts of the benchmark: what each plays, which tables it gives, and what they were made from.

Each part can be run by itself and rewrites its own tables only. What draws on several parts, the goals and the picture
of all policies, is made anew from what was run now and what an earlier run knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from callcenter.volumes import DEMO_DAY
from quality import plots, report
from quality.contenders import DEFAULT
from quality.days import (
    SEED,
    DaySet,
    SetResult,
    Untuned,
    backlog_jobs,
    day_sets,
    play_backlog,
    play_set,
    play_untuned,
    set_jobs,
    untuned_jobs,
)
from quality.jobs import Cache, Job, Kind, KnownOnly, NotKnown, Runner, Wanted, fingerprint
from quality.robustness import cases, jobs_of, play_cases, spanning
from quality.situations import Situation
from quality.stationary import case_jobs, solve_cases
from router.simulation.days import DayPlan

PARTS = ("exact", "days", "untuned", "robustness")
SETS = ("eighth", "tight", "small", "synthetic", "large")

STANDARD = "eighth"
"""The set on which the goals stand."""

Told = Callable[[str, int, int], None]
"""Hears how many jobs of a title are done, and of how many."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """What to play: ``days`` of each set (0: all), ``case_days`` of each robustness case."""

    parts: tuple[str, ...] = PARTS
    sets: tuple[str, ...] = SETS
    days: int = 0
    case_days: int = 4
    volumes: str = ""
    cache: Path = Path(".quality-cache")

    def made(self, part: str, days: str, *code: str) -> str:
        """What a table is made from, in words."""
        asked = f"--parts {part}"
        asked += f" --days {self.days}" if part == "days" and self.days else ""
        asked += f" --case-days {self.case_days}" if part == "robustness" else ""
        prints = " and ".join(f"{fingerprint(name)} ({name})" for name in code)
        return f"`python -m quality {asked}` ({days}, seed {SEED}, code {prints})"

    @property
    def source(self) -> str:
        """The call volumes, in words."""
        return "real volumes" if self.volumes else "the committed volumes"


class Benchmark:
    """One run."""

    def __init__(self, options: Options, cache: Cache, workers: int) -> None:
        self._options = options
        self._cache = cache
        self._workers = workers
        self._told: Told = lambda title, done, of: None
        self._sets = {of.id: of for of in day_sets(options.volumes, options.cache, options.days)}

    # -- how much --------------------------------------------------------------------------------------
    def plan(self) -> dict[str, int]:
        """How many jobs each part has, by title; those that are known already are among them."""
        return {title: len({job.key() for job in jobs}) for title, jobs in self._planned()}

    def _planned(self) -> list[tuple[str, Sequence[Wanted]]]:
        wanted: list[tuple[str, Sequence[Wanted]]] = []
        if "exact" in self._options.parts:
            wanted.append(("exact cases", case_jobs()))
        if "untuned" in self._options.parts:
            wanted.append(("all untuned days", untuned_jobs(self._every())))
        wanted += [(of.title, self._set_jobs(of)) for of in self._asked_sets()]
        if "robustness" in self._options.parts:
            some = cases(
                self._untuned_days(), self._options.cache, lambda days: days[: self._options.case_days]
            )
            wanted.append(("robustness", [job for case in some for job in jobs_of(case)]))
        return wanted

    def _set_jobs(self, of: DaySet) -> list[Job]:
        jobs = set_jobs(of)
        if of.id == STANDARD:
            jobs += [self._day_in_detail(), *(job for days in backlog_jobs(of, {}).values() for job in days)]
        return jobs

    def _asked_sets(self) -> list[DaySet]:
        asked = self._options.sets if "days" in self._options.parts else ()
        return [of for of in self._sets.values() if of.id in asked]

    # -- play ------------------------------------------------------------------------------------------
    def run(self, out: Path, targets: Mapping[str, str], told: Told) -> dict[str, str]:
        """Play every part asked for: tables by their markers. ``targets``: rows told before, by their titles."""
        self._told = told
        parts: dict[str, str] = {}
        if "exact" in self._options.parts:
            table = report.exact_table(solve_cases(self._at("exact cases")))
            parts["exact"] = report.signed(table, self._exact_made())
        if "untuned" in self._options.parts:
            table = report.untuned_table(play_untuned(self._at("all untuned days"), self._every()))
            parts["untuned"] = report.signed(table, self._untuned_made())
        for of in self._asked_sets():
            parts |= self._set(of, out)
        if "robustness" in self._options.parts:
            parts["robustness"] = self._robustness()
        if self._asked_sets():
            parts["policies"] = self._picture(out / "policies.png")
        if {"exact", "untuned", "days"} & set(self._options.parts):
            parts["targets"] = report.targets_table(self._reached(), targets)
        return parts

    def _at(self, title: str) -> Runner:
        return Runner(self._cache, self._workers, lambda done, of: self._told(title, done, of))

    def _set(self, of: DaySet, out: Path) -> dict[str, str]:
        result = play_set(self._at(of.title), of)
        made = self._set_made(of)
        parts = {f"days-{of.id}": report.signed(report.days_table(result), made)}
        if of.id == STANDARD:
            backlog = play_backlog(self._at("a backlog that ends"), of, result.chosen)
            parts["backlog"] = report.signed(report.backlog_table(backlog), made)
            (row,) = self._at("one day in detail").run([self._day_in_detail()])
            plots.one_day(
                row, out / "day.png", f"{DEMO_DAY:%A %d %B %Y}, 41 agents: the default law minute by minute"
            )
        return parts

    def _day_in_detail(self) -> Job:
        day = Situation(plan=DayPlan(date=DEMO_DAY, volumes=self._options.volumes, seed=SEED))
        job = DEFAULT.job(day, DEFAULT.grid[0])
        return Job(job.situation, Kind.TRACE, job.policy)

    def _every(self) -> DaySet:
        """Every day of the standard set, whatever ``days`` says."""
        sets = day_sets(self._options.volumes, self._options.cache, 0)
        return next(of for of in sets if of.id == STANDARD)

    def _untuned_days(self) -> Sequence[Situation]:
        return self._every().days[1::2]

    def _robustness(self) -> str:
        count, runner = self._options.case_days, self._at("days from tight to slack")
        wanted = cases(self._untuned_days(), self._options.cache, lambda days: spanning(runner, days, count))
        table = report.robustness_table(play_cases(self._at("robustness"), wanted))
        days = f"{count} a case of the untuned days, {self._options.source}"
        return report.signed(table, self._options.made("robustness", days, "play", "bound"))

    # -- what is known of several parts ----------------------------------------------------------------
    def _known(self, play: Callable[[Runner], T]) -> T | None:
        try:
            return play(KnownOnly(self._cache))
        except NotKnown:
            return None

    def _known_set(self, of: DaySet) -> SetResult | None:
        return self._known(lambda runner: play_set(runner, of))

    def _picture(self, path: Path) -> str:
        results = [found for of in self._sets.values() if (found := self._known_set(of)) is not None]
        plots.by_policy(results, path)
        days = ", ".join(f"{len(found.of.days[1::2])} of *{found.of.id}*" for found in results)
        made = self._options.made("days", f"untuned days, {days}", "play", "bound")
        return f"*Made by {made}.*"

    def _reached(self) -> dict[str, report.Reached]:
        """The figures that have goals, as far as they are known under this code."""
        reached: dict[str, report.Reached] = {}
        standard = self._known_set(self._sets[STANDARD])
        if standard is not None:
            made = self._set_made(standard.of)
            alone = Untuned({DEFAULT.title: standard.rows[DEFAULT.id][1::2]}, standard.packing[1::2])
            reached |= report.law_reached(alone, made) | report.schedule_reached(standard, made)
        untuned = self._known(lambda runner: play_untuned(runner, self._every()))
        if untuned is not None:
            reached |= report.law_reached(untuned, self._untuned_made())
        exact = self._known(solve_cases)
        if exact is not None:
            reached |= report.exact_reached(exact, self._exact_made())
        return reached

    # -- made from what --------------------------------------------------------------------------------
    def _exact_made(self) -> str:
        return self._options.made("exact", "no volumes", "exact", "play")

    def _untuned_made(self) -> str:
        days = f"days: {len(self._untuned_days())}, {self._options.source}"
        return self._options.made("untuned", days, "play", "bound")

    def _set_made(self, of: DaySet) -> str:
        source = "synthetic volumes" if of.id == "synthetic" else self._options.source
        return self._options.made("days", f"days: {len(of.days)}, {source}", "play", "bound")
