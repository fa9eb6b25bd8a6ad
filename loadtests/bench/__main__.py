"""Measure the figures and rewrite docs/benchmarks: `python -m loadtests.bench --help`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from loadtests.bench.cases import CASES
from loadtests.bench.cases.common import Case, Plan
from loadtests.bench.page import write
from loadtests.bench.results import Results
from loadtests.bench.runner import Runner

_ROOT = Path(__file__).resolve().parent.parent.parent
_FULL_LIMIT_S = 2700.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for, and write results, tables and pictures."""
    options = _options(argv)
    results = Results(options.results)
    code = 0 if options.page_only else _measure(options, results)
    write(results, options.out, [case.name for case in CASES])
    sys.stdout.write(f"written: {options.out} and {options.results}\n")
    return code


def _measure(options: argparse.Namespace, results: Results) -> int:
    """The exit code: 1 when a case failed, 130 when somebody ended it; what was measured is kept."""
    cases = _chosen(options.only, options.quick)
    try:
        return 1 if asyncio.run(_run(cases, _plan(options), results)) else 0
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("ended early\n")
        return 130


async def _run(cases: Sequence[Case], plan: Plan, results: Results) -> list[str]:
    """Names of the cases that failed."""
    main_task = asyncio.current_task()
    assert main_task is not None
    # Everything that it started ends first.
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, main_task.cancel)
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        runner = Runner(Path(folder), plan, results)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FULL_LIMIT_S):
                return await runner.run(cases)
        sys.stdout.write(f"ended after {_FULL_LIMIT_S:g} s\n")
        return ["time"]


def _plan(options: argparse.Namespace) -> Plan:
    if options.quick:
        return Plan(rounds=options.rounds or 1, seconds=2.0, calls=400, quick=True)
    return Plan(rounds=options.rounds or 3)


def _chosen(only: str, quick: bool) -> list[Case]:
    by_name = {case.name: case for case in CASES}
    if not only:
        return [case for case in CASES if case.quick or not quick]
    if unknown := [name for name in only.split(",") if name not in by_name]:
        raise SystemExit(f"there is no case {', '.join(unknown)}; there are {', '.join(by_name)}")
    return [by_name[name] for name in only.split(",")]


def _rounds(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of rounds: write 1 or more")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="the main figures, in about three minutes")
    parser.add_argument("--only", default="", metavar="CASE,..", help=", ".join(case.name for case in CASES))
    parser.add_argument("--rounds", type=_rounds, help="rounds of each case (default: 3; quick: 1)")
    parser.add_argument(
        "--page-only", action="store_true", help="write the page again from the stored results"
    )
    parser.add_argument("--results", type=Path, default=_ROOT / "bench-out" / "results.json")
    parser.add_argument(
        "--out", type=Path, default=_ROOT / "docs" / "benchmarks", help="where README.md and the pictures go"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
