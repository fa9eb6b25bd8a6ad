"""Many days under many policies, on all cores: each job is a process's work of seconds, results come in order."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from router.simulation.day import Baselines, Policy, simulate, without_blending
from router.simulation.days import DayPlan, make_day
from router.simulation.result import DayResult
from router.simulation.scenario import Day

_DAYS_KEPT = 4
"""Days that a worker process keeps for its next jobs: those of one day come one after the other."""


@dataclass(frozen=True, slots=True)
class Job:
    """One day under one policy (None: without blending). ``day``: how to make it, or the day itself."""

    day: DayPlan | Day
    policy: Policy | None
    name: str = ""
    trace: bool = False

    def __str__(self) -> str:
        """How an error or a progress bar names it."""
        return f"{self.name or 'unnamed job'} on {self.day.date}"


class JobError(RuntimeError):
    """One job failed; the message names it and says why."""


def run_jobs(
    jobs: Sequence[Job], cores: int | None = None, progress: bool = True, words: str = "days played"
) -> list[DayResult]:
    """The results in the order of the jobs. ``cores``: processes at most, all cores if None; 1: in this process.

    A bar on standard error shows how far it is, where that is a terminal and ``progress`` is wanted. Raises JobError,
    and then ends the other jobs.
    """
    workers = max(1, min(cores or os.cpu_count() or 1, len(jobs)))
    with _bar(len(jobs), words, progress) as advance:
        if workers == 1:
            return [_noted(job, advance) for job in jobs]
        return _in_processes(jobs, workers, advance)


def play(job: Job) -> DayResult:
    """One job's result."""
    day, baseline = _made(job.day) if isinstance(job.day, DayPlan) else (job.day, None)
    return simulate(day, job.policy, name=job.name, trace=job.trace, baseline=baseline)


def _made(plan: DayPlan) -> tuple[Day, Baselines]:
    for known, made in _days:
        if known == plan:
            return made
    day = make_day(plan)
    _days.append((plan, (day, without_blending(day))))
    return _days[-1][1]


_days: deque[tuple[DayPlan, tuple[Day, Baselines]]] = deque(maxlen=_DAYS_KEPT)


def _noted(job: Job, advance: Callable[[], None]) -> DayResult:
    try:
        result = play(job)
    except Exception as error:
        raise _failed(job, error) from error
    advance()
    return result


def _failed(job: Job, error: BaseException) -> JobError:
    return JobError(f"{job}: {type(error).__name__}: {error}")


def _in_processes(jobs: Sequence[Job], workers: int, advance: Callable[[], None]) -> list[DayResult]:
    """Spawned, not forked: a fork would copy the parent's threads half-way through whatever they do."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(play, job): job for job in jobs}
        try:
            _watch(futures, advance)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _watch(futures: dict[Future[DayResult], Job], advance: Callable[[], None]) -> None:
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            if error := future.exception():
                raise _failed(futures[future], error) from error
            advance()


@contextmanager
def _bar(total: int, words: str, wanted: bool) -> Iterator[Callable[[], None]]:
    if not wanted or not sys.stderr.isatty():
        yield lambda: None
        return
    columns = (
        TextColumn(words),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(words, total=total)
        yield lambda: bar.advance(task)
