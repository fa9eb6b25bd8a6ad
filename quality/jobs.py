"""Plays many days on all cores and keeps each result on disk, so that an interrupted run goes on where it was.

A result's name is the hash of what it depends on: the day's options, the policy document and the code that plays it.
A change of the code makes all results stale, and they are computed again. Nothing else is ever removed: delete the
folder to start afresh.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from quality.situations import Made
from router.policies.blending import PolicyDocument

Row = Mapping[str, Any]
"""A job's result: plain values by name."""

_ROOT = Path(__file__).parent.parent
_MODEL = ("callcenter", "router/simulation", "quality/situations.py", "quality/jobs.py")
_CODE = {
    "play": (*_MODEL, "router/dispatch", "router/domain", "router/policies", "router/state"),
    "exact": ("callcenter/erlang.py", "quality/exact.py"),
    "bound": (*_MODEL, "quality/bounds.py", "quality/engine.py"),
}


class Wanted(Protocol):
    """Something to be computed once and kept. It can be pickled."""

    def key(self) -> str:
        """A name for the result: equal for equal jobs under equal code."""
        ...

    def compute(self) -> Row:
        """The result. May take minutes."""
        ...


class Kind(StrEnum):
    """What a job computes about a day."""

    PLAY = "play"
    TRACE = "trace"
    PACKING = "packing"
    SCHEDULE = "schedule"


@dataclass(frozen=True, slots=True)
class Job:
    """One day, and a policy (its document as text, '' for no blending) or a bound."""

    situation: Made
    kind: Kind = Kind.PLAY
    policy: str = ""

    def key(self) -> str:
        """A name for the result: equal for equal jobs under equal code."""
        code = "play" if self.kind in (Kind.PLAY, Kind.TRACE) else "bound"
        volumes = _content(self.situation.volumes)
        return named(code, self.kind.value, repr(self.situation), volumes, self.policy)

    def compute(self) -> Row:
        """Play the day, or find the bound."""
        return _COMPUTE[self.kind](self)


def named(code: str, *parts: str) -> str:
    """A name for the result of a part of the code on something told in words."""
    return hashlib.sha256("\n".join((fingerprint(code), *parts)).encode()).hexdigest()[:32]


@cache
def fingerprint(part: str) -> str:
    """A hash of the code behind a kind of result."""
    digest = hashlib.sha256()
    for name in _CODE[part]:
        place = _ROOT / name
        files = [place] if place.is_file() else sorted(place.rglob("*.py"))
        for file in files:
            digest.update(str(file.relative_to(_ROOT)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _content(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] if path else ""


class Cache:
    """Results by their job's key, one small file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> Row | None:
        """The result, if it is known."""
        try:
            found: Row = json.loads(self._path(key).read_text())
        except FileNotFoundError:
            return None
        return found

    def put(self, key: str, row: Row) -> None:
        """Keep a result: written aside and moved, so that no half file is ever read."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(row))
        part.replace(path)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"


class Runner:
    """Runs jobs that are not known yet, in processes of their own; ``told`` hears of each job that is done."""

    def __init__(self, cache: Cache, workers: int, told: Callable[[int, int], None]) -> None:
        self._cache = cache
        self._workers = workers
        self._told = told

    def run(self, jobs: Sequence[Wanted]) -> list[Row]:
        """The results in the order of the jobs. An exception of a job ends the run and is raised."""
        keys = [job.key() for job in jobs]
        wanted = dict(zip(keys, jobs, strict=True))
        rows = {key: row for key in wanted if (row := self._cache.get(key)) is not None}
        self._told(len(rows), len(wanted))
        for key, row in self._computed({key: job for key, job in wanted.items() if key not in rows}):
            self._cache.put(key, row)
            rows[key] = row
            self._told(len(rows), len(wanted))
        return [rows[key] for key in keys]

    def _computed(self, jobs: Mapping[str, Wanted]) -> Iterator[tuple[str, Row]]:
        if self._workers <= 1 or len(jobs) <= 1:
            yield from ((key, compute(job)) for key, job in jobs.items())
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(self._workers, len(jobs)), mp_context=context) as pool:
            running: dict[Future[Row], str] = {pool.submit(compute, job): key for key, job in jobs.items()}
            try:
                while running:
                    for done in wait(running, return_when=FIRST_COMPLETED).done:
                        yield running.pop(done), done.result()
            finally:
                for future in running:
                    future.cancel()


class NotKnown(LookupError):
    """A result is not known from an earlier run."""


class KnownOnly(Runner):
    """Gives what is known from earlier runs and computes nothing. Raises NotKnown for anything else."""

    def __init__(self, cache: Cache) -> None:
        super().__init__(cache, 0, lambda done, of: None)

    def _computed(self, jobs: Mapping[str, Wanted]) -> Iterator[tuple[str, Row]]:
        if jobs:
            raise NotKnown(f"{len(jobs)} results are not known")
        return iter(())


def compute(job: Wanted) -> Row:
    """Do one job."""
    began = time.perf_counter()
    row = job.compute()
    return {**row, "took_s": round(time.perf_counter() - began, 2)}


def _played(job: Job, trace: bool = False) -> Row:
    from router.simulation.day import simulate

    document = PolicyDocument.parse(job.policy) if job.policy else None
    result = simulate(job.situation.make(), document, trace=trace)
    total = result.total
    row = {
        "level": total.service_level,
        "level_without": total.service_level_without,
        "target": total.target,
        "spare_s": total.without.idle_s,
        "paid_s": total.calls.paid_s,
        "bad_half_hours": total.calls.bad_half_hours,
        "bad_half_hours_without": total.without.bad_half_hours,
        "least_urgent_wait_s": result.least_urgent_wait_s,
        "late_open": result.late_open,
        "violations": list(result.violations),
        **asdict(total.work),
    }
    return {**row, "trace": [asdict(minute) for minute in result.trace]} if trace else row


def _traced(job: Job) -> Row:
    return _played(job, trace=True)


def _packed(job: Job) -> Row:
    from quality.bounds import fast_center, level_without, packing
    from quality.engine import idle_profile

    day = job.situation.make()
    center, rules = fast_center(day)
    packed = packing(idle_profile(center, rules), day.desktops.back_s, day.desktops.lost_s)
    return {"spare_s": packed.idle_s, "kept_s": packed.kept_s, "level_without": level_without(center, rules)}


def _scheduled(job: Job) -> Row:
    from quality.bounds import best_schedule, fast_center

    day = job.situation.make()
    found = best_schedule(*fast_center(day), day.groups[0].queues[0].target_share, day.closes_s)
    return {
        "spare_s": found.without.idle_s,
        "kept_s": found.played.kept_s,
        "level": found.played.level,
        "level_without": found.without.level,
        "reserve": list(found.reserve),
    }


_COMPUTE: Mapping[Kind, Callable[[Job], Row]] = {
    Kind.PLAY: _played,
    Kind.TRACE: _traced,
    Kind.PACKING: _packed,
    Kind.SCHEDULE: _scheduled,
}
