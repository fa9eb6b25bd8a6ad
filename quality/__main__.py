"""Run the quality benchmark and rewrite docs/quality: `python -m quality --help`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from quality import report
from quality.benchmark import PARTS, SETS, Benchmark, Options
from quality.jobs import Cache

_ROOT = Path(__file__).parent.parent
_DOCS = _ROOT / "docs" / "quality"
_TEMPLATE = _DOCS / "README.md"
_SHARED = _ROOT.parent / "shared" / "data" / "bank_calls_5min.csv"


def main(argv: Sequence[str] | None = None) -> int:
    """Play what was asked for, and rewrite its tables and pictures; the others stay as they are."""
    given = _options(argv)
    options = Options(given.parts, given.sets, given.days, given.case_days, given.volumes, given.cache)
    given.out.mkdir(parents=True, exist_ok=True)
    page = given.out / "README.md"
    template = page if page.exists() else _TEMPLATE
    benchmark = Benchmark(options, Cache(given.cache), given.workers)
    _print(benchmark.plan())
    if given.plan:
        return 0
    with _progress() as told:
        parts = benchmark.run(given.out, report.rows_in(template.read_text(), "targets"), told)
    report.write(page, parts, template)
    Console().print(f"written: {given.out}")
    return 0


def _print(plan: dict[str, int]) -> None:
    console = Console(highlight=False)
    for title, jobs in plan.items():
        console.print(f"{title}: {jobs} jobs")
    console.print(f"{sum(plan.values())} jobs together; what an earlier run knows is not played again")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m quality", description=main.__doc__)
    parser.add_argument("--days", type=_count, default=0, help="days of each set, in pairs; 0: all (default)")
    parser.add_argument(
        "--case-days", type=_some, default=4, help="days of each robustness case (default: 4)"
    )
    parser.add_argument(
        "--sets", type=_names_of(SETS), default=SETS, help=f"of {', '.join(SETS)} (default: all)"
    )
    parser.add_argument(
        "--parts", type=_names_of(PARTS), default=PARTS, help=f"of {', '.join(PARTS)} (default: all)"
    )
    parser.add_argument(
        "--plan", action="store_true", help="print how much there is to play, and play nothing"
    )
    parser.add_argument(
        "--volumes",
        default=_default_volumes(),
        type=_file,
        help="a datetime,calls file of five-minute counts",
    )
    parser.add_argument("--cache", type=Path, default=_ROOT / ".quality-cache", help="where results are kept")
    parser.add_argument("--out", type=Path, default=_DOCS, help="where README.md and the pictures are")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)"
    )
    return parser.parse_args(argv)


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days")
    return int(text)


def _some(text: str) -> int:
    if not (days := _count(text)):
        raise argparse.ArgumentTypeError("a case needs a day")
    return days


def _file(text: str) -> str:
    if text and not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return text


def _names_of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def names(text: str) -> tuple[str, ...]:
        asked = tuple(name.strip() for name in text.split(",") if name.strip())
        if unknown := [name for name in asked if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return asked or tuple(known)

    return names


def _default_volumes() -> str:
    """The real volumes if they are at hand; '' stands for the few days that are committed."""
    named = os.environ.get("WORKROUTER_CALLS", "")
    return named or (str(_SHARED) if _SHARED.exists() else "")


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
