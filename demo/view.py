"""The live view of the running demo, or a line now and then where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from demo.picture import clock

_ACTIVITIES = ("on call", "after call", "on tasks", "idle", "break")
_BAR_WIDTH = 30


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """What the view shows. Times of day and durations in simulated seconds.

    `gate_open` is None while no gate is known; `agents` counts agents by activity.
    """

    sim_time: float
    opens_at: float
    closes_at: float
    calls_waiting: int = 0
    oldest_wait_s: float = 0.0
    service_level: float = 1.0
    service_level_without: float | None = None
    target: float = 0.8
    gate_open: bool | None = None
    allowance: int = 0
    reserve: int = 0
    agents: dict[str, int] = field(default_factory=dict)
    backlog: int = 0
    recalls: int = 0
    tasks_done: int = 0

    @property
    def progress(self) -> float:
        """Return the share of the day that is over."""
        span = self.closes_at - self.opens_at
        return min(1.0, max(0.0, (self.sim_time - self.opens_at) / span)) if span > 0 else 1.0


def gate_word(is_open: bool | None) -> str:
    """Return the gate's state as a word."""
    return "unknown" if is_open is None else "open" if is_open else "closed"


def one_line(figures: LiveFigures) -> str:
    """Return the figures as one line of plain text."""
    agents = " ".join(f"{name} {figures.agents.get(name, 0)}" for name in _ACTIVITIES)
    return (
        f"{clock(figures.sim_time)} {figures.progress:4.0%} | waiting {figures.calls_waiting}"
        f" oldest {figures.oldest_wait_s:.0f} s SL {figures.service_level:.1%}"
        f" | gate {gate_word(figures.gate_open)} allowance {figures.allowance} reserve {figures.reserve}"
        f" | {agents} | backlog {figures.backlog} done {figures.tasks_done} recalls {figures.recalls}"
    )


def render(figures: LiveFigures) -> RenderableType:
    """Return the figures as a screen of three boxes and a bar."""
    boxes = Columns([_calls_box(figures), _agents_box(figures), _tasks_box(figures)])
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        Text(clock(figures.sim_time), style="bold"),
        ProgressBar(total=1.0, completed=figures.progress, width=60),
        Text(f"{figures.progress:.0%} of the day"),
    )
    return Group(boxes, bar)


def _box(title: str, rows: list[tuple[str, RenderableType]]) -> Panel:
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(name, value)
    return Panel(table, title=title, title_align="left", expand=False)


def _calls_box(figures: LiveFigures) -> Panel:
    kept = figures.service_level >= figures.target
    without = figures.service_level_without
    level = f"{figures.service_level:.1%} ({'over' if kept else 'UNDER'} {figures.target:.0%})"
    return _box(
        "calls",
        [
            ("waiting", str(figures.calls_waiting)),
            ("oldest wait", f"{figures.oldest_wait_s:.0f} s"),
            ("service level", Text(level, style="green" if kept else "bold red")),
            ("without tasks", "none yet" if without is None else f"{without:.1%}"),
            ("gate", gate_word(figures.gate_open)),
            ("allowance", str(figures.allowance)),
            ("reserve", str(figures.reserve)),
        ],
    )


def _agents_box(figures: LiveFigures) -> Panel:
    present = max(1, sum(figures.agents.values()))
    rows: list[tuple[str, RenderableType]] = []
    for name in _ACTIVITIES:
        count = figures.agents.get(name, 0)
        rows.append((name, f"{count:3d} {'█' * round(_BAR_WIDTH * count / present)}".ljust(_BAR_WIDTH + 4)))
    return _box("agents", rows)


def _tasks_box(figures: LiveFigures) -> Panel:
    return _box(
        "tasks",
        [
            ("backlog", str(figures.backlog)),
            ("done", str(figures.tasks_done)),
            ("recalls", str(figures.recalls)),
        ],
    )


class Screen:
    """Shows figures: redrawn in place on a terminal, else one line each `line_every_s` real seconds."""

    def __init__(
        self,
        console: Console | None = None,
        line_every_s: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
        plain: bool = False,
    ) -> None:
        """Use `console`, or the standard output; `plain` prints lines on a terminal too."""
        self._console = console or Console()
        self._every_s = line_every_s
        self._monotonic = monotonic
        self._next_line_at = monotonic()
        live = self._console.is_terminal and not plain
        self._live = Live(console=self._console, auto_refresh=False) if live else None

    def __enter__(self) -> Self:
        """Take the screen."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last picture on the screen and give it back."""
        if self._live is not None:
            self._live.stop()

    def update(self, figures: LiveFigures) -> None:
        """Show the figures; call it as often as you like."""
        if self._live is not None:
            self._live.update(render(figures), refresh=True)
        elif self._monotonic() >= self._next_line_at:
            self._next_line_at = self._monotonic() + self._every_s
            self._console.print(one_line(figures), highlight=False, soft_wrap=True)
