"""Run the quality benchmark and rewrite docs/quality: `python -m quality --help`."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from quality import plots, report
from quality.contenders import DEFAULT, REFERENCE
from quality.days import SEED, DaySet, SetResult, day_sets, play_backlog, play_set
from quality.decisions import time_decisions
from quality.jobs import Cache, Job, Kind, Runner, fingerprint
from quality.robustness import cases, play_cases
from quality.situations import Situation
from quality.stationary import solve_cases
from router.simulation.days import DayPlan

_ROOT = Path(__file__).parent.parent
_DOCS = _ROOT / "docs" / "quality"
_TEMPLATE = _DOCS / "README.md"
_PARTS = ("exact", "days", "untuned", "robustness", "decisions")
_SHARED = _ROOT.parent / "shared" / "data" / "bank_calls_5min.csv"


def main(argv: Sequence[str] | None = None) -> int:
    """Play what was asked for, and write the tables and pictures."""
    options = _options(argv)
    began = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    with _progress() as told:
        runner = _Told(options.cache, options.workers, told)
        parts = _Benchmark(options, runner).run()
    parts["made"] = _made(options, time.monotonic() - began)
    page = options.out / "README.md"
    report.write(page, parts, template=page if page.exists() else _TEMPLATE)
    Console().print(f"written: {options.out}")
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m quality", description=main.__doc__)
    parser.add_argument("--days", type=int, default=0, help="days of each set, in pairs; 0: all (default)")
    parser.add_argument("--sets", default="", help="only these sets of days, by name and comma")
    parser.add_argument("--parts", default=",".join(_PARTS), help=f"of {', '.join(_PARTS)} (default: all)")
    parser.add_argument(
        "--volumes", default=_default_volumes(), help="a datetime,calls file of five-minute counts"
    )
    parser.add_argument("--cache", type=Path, default=_ROOT / ".quality-cache", help="where results are kept")
    parser.add_argument("--out", type=Path, default=_DOCS, help="where README.md and the pictures are")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)"
    )
    return parser.parse_args(argv)


def _default_volumes() -> str:
    """The real volumes if they are at hand; '' stands for the few days that are committed."""
    named = os.environ.get("WORKROUTER_CALLS", "")
    return named or (str(_SHARED) if _SHARED.exists() else "")


class _Told(Runner):
    """A runner that names what it is at."""

    def __init__(self, cache: Path, workers: int, told: Callable[[str, int, int], None]) -> None:
        self.title = ""
        super().__init__(Cache(cache), workers, lambda done, of: told(self.title, done, of))

    def at(self, title: str) -> Runner:
        """This runner, for a part of the benchmark."""
        self.title = title
        return self


class _Benchmark:
    """The parts of one run; each gives tables by the name of their markers."""

    def __init__(self, options: argparse.Namespace, runner: _Told) -> None:
        self._options = options
        self._runner = runner
        self._sets = {of.id: of for of in day_sets(options.volumes, options.cache, options.days)}

    def run(self) -> dict[str, str]:
        """Every part asked for."""
        wanted = self._options.parts.split(",")
        exact = solve_cases(self._runner.at("exact cases")) if "exact" in wanted else []
        parts = {"exact": report.exact_table(exact)} if exact else {}
        untuned = self._untuned() if "untuned" in wanted else None
        if untuned is not None:
            parts["untuned"] = report.untuned_table(untuned)
        if "days" in wanted:
            results = self._days()
            parts |= {f"days-{result.of.id}": report.days_table(result) for result in results}
            plots.by_policy(results, self._options.out / "policies.png")
            standard = next((result for result in results if result.of.id == "eighth"), None)
            if standard is not None:
                parts |= self._standard(standard)
            if standard is not None and exact:
                parts["targets"] = report.targets_table(standard, exact, untuned)
        if "robustness" in wanted:
            parts["robustness"] = self._robustness(self._sets["eighth"])
        if "decisions" in wanted:
            timed = time_decisions(self._runner.at("cost of decisions"), self._options.cache, SEED)
            parts["decisions"] = report.decisions_table(timed)
        return parts

    def _days(self) -> list[SetResult]:
        names = [name for name in self._options.sets.split(",") if name] or list(self._sets)
        return [play_set(self._runner.at(self._sets[name].title), self._sets[name]) for name in names]

    def _standard(self, result: SetResult) -> dict[str, str]:
        """One day in detail and a backlog that ends."""
        runner = self._runner.at("one day in detail")
        day = Situation(plan=DayPlan(volumes=self._options.volumes, seed=SEED))
        job = DEFAULT.job(day, DEFAULT.grid[0])
        row = runner.run([Job(job.situation, Kind.TRACE, job.policy)])[0]
        title = f"{day.plan.date:%A %d %B %Y}, 41 agents: the default law minute by minute"
        plots.one_day(row, self._options.out / "day.png", title)
        backlog = play_backlog(self._runner.at("a backlog that ends"), result.of, result.chosen)
        return {"backlog": report.backlog_table(backlog)}

    def _untuned(self) -> report.Untuned:
        """Every untuned day of the standard set, whatever ``--days`` says, under the laws that matter most."""
        options = self._options
        every = next(of for of in day_sets(options.volumes, options.cache, 0) if of.id == "eighth")
        days, runner, laws = every.days[1::2], self._runner.at("all untuned days"), (DEFAULT, REFERENCE)
        jobs = [[law.job(day, law.grid[0]) for day in days] for law in laws]
        packing = [Job(day, Kind.PACKING) for day in days]
        runner.run([job for each in (*jobs, packing) for job in each])
        rows = {law.title: runner.run(each) for law, each in zip(laws, jobs, strict=True)}
        return report.Untuned(rows, runner.run(packing))

    def _robustness(self, of: DaySet) -> str:
        days = of.days[1::2]
        some = days[:: max(1, len(days) // 8)][:8]
        found = play_cases(self._runner.at("robustness"), cases(some, self._options.cache))
        return report.robustness_table(found)


def _made(options: argparse.Namespace, took_s: float) -> str:
    arguments = f' QUALITY_ARGS="--days {options.days}"' if options.days else ""
    source = "the seven committed days" if not options.volumes else "the 110 days of real volumes"
    return (
        f"Made by `make quality{arguments}` from {source}, seed {SEED}, "
        f"{options.workers} processes on {os.cpu_count()} cores ({platform.machine()}, Python "
        f"{platform.python_version()}), in {took_s / 60:.0f} min (what was known from an earlier run was not played "
        f"again); code {fingerprint('play')}."
    )


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on the terminal, and plain lines where there is none."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as bars:
        tasks: dict[str, object] = {}

        def told(title: str, done: int, of: int) -> None:
            if title not in tasks:
                tasks[title] = bars.add_task(title, total=of)
            bars.update(tasks[title], completed=done, total=of)  # type: ignore[arg-type]

        yield told


if __name__ == "__main__":
    raise SystemExit(main())
