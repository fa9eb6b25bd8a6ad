"""Runs the cases one after the other, each on a stage of its own; one that fails does not end the others."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from loadtests.bench.cases.common import Case, Plan
from loadtests.bench.figures import Found
from loadtests.bench.page import row_line
from loadtests.bench.results import Result, Results, made
from loadtests.bench.stage import stage


class Runner:
    """Runs cases and keeps what they find."""

    def __init__(self, folder: Path, plan: Plan, results: Results) -> None:
        self._folder = folder
        self._plan = plan
        self._results = results
        self._found: dict[str, Found] = {}

    async def run(self, cases: Sequence[Case]) -> list[str]:
        """Run them; the names of those that failed."""
        return [case.name for case in cases if not await self._run(case)]

    async def _run(self, case: Case) -> bool:
        _say(f"\n{case.name}: {(case.run.__doc__ or '').strip().splitlines()[0]}")
        load, began, failure, found = os.getloadavg()[0], time.monotonic(), "", Found()
        folder = self._folder / case.name
        folder.mkdir()
        try:
            async with asyncio.timeout(case.limit_s), stage(folder) as on:
                found = await case.run(on, replace(self._plan, found=dict(self._found)))
        except TimeoutError as error:
            failure = f"{error}" or f"it took longer than {case.limit_s:g} s"
        except Exception as error:
            # Whatever it is, the other cases are still worth their time; the page and the exit code tell.
            failure = f"{type(error).__name__}: {error}"
        took_s = time.monotonic() - began
        how = made(self._plan.rounds, self._plan.quick, load, took_s)
        self._results.put(case.name, Result(how, found, failure))
        if not failure:
            self._found[case.name] = found
        _tell(found, failure, took_s)
        return not failure


def _tell(found: Found, failure: str, took_s: float) -> None:
    for row in found.rows:
        _say("  " + row_line(row))
    for name, parts in found.cpu.items():
        _say(f"  CPU {name}: " + ", ".join(f"{part} {us:.0f} µs" for part, us in parts.items()))
    for note in dict.fromkeys(found.notes):
        _say(f"  note: {note}")
    _say(f"  failed: {failure}" if failure else f"  took {took_s:.0f} s")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
