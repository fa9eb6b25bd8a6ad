"""What can be chosen about the demo."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

from callcenter.volumes import DEMO_DAY

DEFAULT_SPEED = 300.0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The demo's settings; the command line fills them in.

    `since` and `until` are simulated seconds after midnight (see `time_of_day`); None stands for the opening and
    the close of the call center. `tasks` None submits about as much work as the day has spare time for.
    """

    speed: float = DEFAULT_SPEED
    """Simulated seconds in one real second."""
    day: date = DEMO_DAY
    since: float | None = None
    until: float | None = None
    keep: float = 0.125
    """Share of the bank's calls that reach this center."""
    seed: int = 7
    tasks: int | None = None
    out: Path = Path("demo-out")
    """Where picture, summary and the router's log are written."""
    plain: bool = False
    """Print lines instead of a live view, even on a terminal."""
    address: str = ""
    """A running router, with development tokens. Empty: the demo starts one of its own and ends it."""
    data_dir: Path | None = None
    """Data directory of the router that the demo starts. None: a fresh one in `out`, removed at the end."""

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be played."""
        if not self.speed > 0:
            raise ValueError(f"speed must be positive, not {self.speed:g}")
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep must be above 0 and at most 1, not {self.keep:g}")
        if self.tasks is not None and self.tasks < 1:
            raise ValueError(f"tasks must be at least 1, not {self.tasks}")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("the window ends before it begins")


def time_of_day(text: str) -> float:
    """Return the seconds after midnight of a time such as `10:30`. Raises ValueError."""
    hours, colon, minutes = text.strip().partition(":")
    if not hours.isdecimal() or (colon and not minutes.isdecimal()):
        raise ValueError(f"{text!r} is no time of day; write it as 10:30")
    at = int(hours) * 3600 + int(minutes or 0) * 60
    if at > 24 * 3600 or int(minutes or 0) > 59:
        raise ValueError(f"{text!r} is no time of day; write it as 10:30")
    return float(at)


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line of `workrouter demo`; wrong ones end the program with exit code 2, `--help` with 0."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    try:
        return Options(**{name: value for name, value in given.items() if value is not None})
    except ValueError as error:
        parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "workrouter demo",
        description="A simulated contact center on a real day of calls, with a real router between calls and tasks. "
        "Ends by itself; the exit code is 0 when every promise was kept.",
    )
    add = parser.add_argument
    add("--speed", type=float, help=f"simulated seconds in a real one (default {DEFAULT_SPEED:g})")
    add("--day", type=_checked(date.fromisoformat), help=f"a day in the data (default {DEMO_DAY})")
    add(
        "--from",
        dest="since",
        type=_checked(time_of_day),
        metavar="HH:MM",
        help="play from here (default: opening)",
    )
    add(
        "--to",
        dest="until",
        type=_checked(time_of_day),
        metavar="HH:MM",
        help="play to here (default: close)",
    )
    add("--keep", type=float, help="share of the bank's calls that reach this center (default 0.125)")
    add("--seed", type=int, help="another seed makes another day of the same volumes (default 7)")
    add("--tasks", type=int, help="tasks to submit (default: a little more than there is time for)")
    add("--out", type=Path, help="where picture, summary and log go (default ./demo-out)")
    add("--plain", "--no-live", dest="plain", action="store_true", help="lines instead of a live view")
    add("--address", help="use a running router with development tokens instead of starting one")
    add("--data-dir", type=Path, help="keep the started router's data here (default: removed at the end)")
    return parser


def _checked(read: Callable[[str], _T]) -> Callable[[str], _T]:
    """Let argparse show what is wrong in the reader's own words."""

    def checked(text: str) -> _T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked
