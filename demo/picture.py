"""The picture of the day, as PNG and SVG.

The colours are Okabe and Ito's, which colour-blind readers can tell apart; lines differ in style too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from callcenter.volumes import HALF_HOUR_S, INTERVAL_S
from demo.figures import Activities

_BLUE, _SKY, _GREEN, _ORANGE, _RED, _GREY, _INK = (
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#E69F00",
    "#D55E00",
    "#BBBBBB",
    "#222222",
)
# From the bottom of the stack: what a day is for first, spare time on top of it.
_STACK = (
    ("on call", _BLUE),
    ("after call", _SKY),
    ("on tasks", _ORANGE),
    ("idle", "#F0E442"),
    ("break", "#DDDDDD"),
)


@dataclass(frozen=True, slots=True)
class Blended:
    """What the router did over the day. Times are simulated seconds after midnight.

    `gate` holds (time, open), `reserve` and `firm` (time, agents kept back from work that may or may not be
    interrupted, not a number where no such work goes out), each at a change; `recalls` and `done` hold times.
    """

    half_hours: list[tuple[float, float]]
    running: list[tuple[float, float]]
    gate: list[tuple[float, bool]]
    reserve: list[tuple[float, float]]
    recalls: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    firm: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DayPicture:
    """All that the picture shows; `blended` is None for a day without tasks.

    `start` and `end` bound the time axis, `counts` and `forecast` are calls per five minutes from `opens_at`,
    `half_hours` and `running` the service level without blending.
    """

    title: str
    opens_at: float
    start: float
    end: float
    counts: Sequence[float]
    forecast: Sequence[float]
    activities: Activities
    half_hours: list[tuple[float, float]]
    running: list[tuple[float, float]]
    target: float
    tau_s: float
    blended: Blended | None = None


def draw(picture: DayPicture, stem: Path) -> list[Path]:
    """Write `stem`.png and `stem`.svg, and return their paths."""
    with plt.rc_context({"font.size": 9, "axes.titlesize": 10, "svg.hashsalt": "workrouter"}):
        figure = _compose(picture)
        paths = [stem.with_suffix(".png"), stem.with_suffix(".svg")]
        figure.savefig(paths[0], dpi=130)
        figure.savefig(paths[1], metadata={"Date": None})
        plt.close(figure)
    return paths


def _compose(picture: DayPicture) -> Figure:
    panels: list[tuple[float, Callable[[Axes, DayPicture], None]]] = [
        (2.0, _calls),
        (3.0, _agents),
        (2.4, _service_level),
    ]
    if picture.blended is not None:
        panels += [(1.2, _gate), (1.6, _tasks)]
    heights = [height for height, _ in panels]
    figure, grid = plt.subplots(
        len(panels),
        1,
        sharex=True,
        squeeze=False,
        figsize=(11, 1.1 + sum(heights)),
        height_ratios=heights,
        layout="constrained",
    )
    for axes, (_, paint) in zip(grid[:, 0], panels, strict=True):
        paint(axes, picture)
        _tidy(axes)
    figure.suptitle(picture.title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    _hours(grid[-1, 0], picture)
    return figure


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)


def _legend(axes: Axes) -> None:
    """Put the key beside the panel, where it hides nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), frameon=False, borderaxespad=0)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", color=_INK)


def clock(sim_s: float) -> str:
    """Return a simulated time of day as hours and minutes."""
    return f"{int(sim_s) // 3600:02d}:{int(sim_s) // 60 % 60:02d}"


def _hours(axes: Axes, picture: DayPicture) -> None:
    hours = (picture.end - picture.start) / 3600
    step = 3600 if hours > 6 else 1800
    axes.set_xlim(picture.start, picture.end)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda s, _: clock(s)))
    axes.set_xlabel("time of day")


def _calls(axes: Axes, picture: DayPicture) -> None:
    edges = [picture.opens_at + i * INTERVAL_S for i in range(len(picture.counts) + 1)]
    axes.stairs(picture.counts, edges, fill=True, color="#9FC9E3", label="arrived")
    middles = [edge + INTERVAL_S / 2 for edge in edges[:-1]]
    axes.plot(middles, picture.forecast, color=_INK, linewidth=1.2, label="forecast")
    axes.set_ylim(bottom=0)
    _title(axes, "Calls per five minutes")
    _legend(axes)


def _agents(axes: Axes, picture: DayPicture) -> None:
    shown = [
        (name, colour)
        for name, colour in _STACK
        if any(picture.activities.agents.get(name, ())) or (name == "on tasks" and picture.blended)
    ]
    layers = [picture.activities.agents[name] for name, _ in shown]
    axes.stackplot(
        picture.activities.times,
        layers,
        labels=[name for name, _ in shown],
        colors=[colour for _, colour in shown],
        linewidth=0,
        step="post",
    )
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _title(axes, "Agents by activity")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1],
        labels[::-1],
        loc="upper left",
        bbox_to_anchor=(1.005, 1.0),
        frameon=False,
        borderaxespad=0,
    )


def _service_level(axes: Axes, picture: DayPicture) -> None:
    axes.axhline(picture.target, color=_INK, linewidth=1, linestyle=(0, (1, 2)), label="target")
    alone = picture.blended is None
    half_hours = list(picture.half_hours)
    _level(axes, picture, half_hours, picture.running, "without tasks", _BLUE if alone else "#888888", alone)
    if picture.blended is not None:
        half_hours += picture.blended.half_hours
        _level(axes, picture, picture.blended.half_hours, picture.blended.running, "with tasks", _BLUE, True)
    lowest = min((level for _, level in half_hours), default=0.0)
    axes.set_ylim(max(0.0, math.floor(lowest * 10 - 0.5) / 10), 1.03)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0%}"))
    _title(axes, f"Calls answered within {picture.tau_s:g} s: dots per half hour, lines the day so far")
    _legend(axes)


def _level(
    axes: Axes,
    picture: DayPicture,
    half_hours: list[tuple[float, float]],
    running: list[tuple[float, float]],
    label: str,
    colour: str,
    solid: bool,
) -> None:
    times, levels = [at for at, _ in running], [level for _, level in running]
    axes.plot(times, levels, "-" if solid else "--", color=colour, linewidth=1.4, label=label)
    # The last half hour may be cut short by the picture's end.
    middles = [(at + min(at + HALF_HOUR_S, picture.end)) / 2 for at, _ in half_hours]
    face = colour if solid else "none"
    size = 3.5 if solid else 5.5
    axes.plot(middles, [v for _, v in half_hours], "o", color=colour, markerfacecolor=face, markersize=size)


def _steps(changes: list[tuple[float, float]], end: float) -> tuple[list[float], list[float]]:
    """Return edges and values that hold each value until the next change."""
    changes = [c for c in changes if c[0] < end]
    return [at for at, _ in changes] + [end], [value for _, value in changes]


def _gate(axes: Axes, picture: DayPicture) -> None:
    assert picture.blended is not None
    highest = 1.0
    for changes, label, style in (
        (picture.blended.reserve, "reserve", "-"),
        (picture.blended.firm, "for firm work", "--"),
    ):
        edges, values = _steps(changes, picture.end)
        if values:
            axes.stairs(values, edges, color=_INK, linewidth=1.2, linestyle=style, baseline=None, label=label)
        highest = max(highest, *(value for value in values if not math.isnan(value)), 1.0)
    axes.set_ylim(0, 1.15 * highest)
    gate: list[tuple[float, float]] = [(at, float(is_open)) for at, is_open in picture.blended.gate]
    edges, opened = _steps(gate, picture.end)
    for value, label, colour, hatch in ((1.0, "open", "#CDEBDF", ""), (0.0, "closed", "#F6D5C3", "////")):
        spans = [(s, e - s) for s, e, v in zip(edges, edges[1:], opened, strict=False) if v == value]
        if not spans:
            continue
        axes.broken_barh(
            spans,
            (0, 1),
            transform=axes.get_xaxis_transform(),
            facecolor=colour,
            hatch=hatch,
            edgecolor="#FFFFFF",
            linewidth=0,
            label=f"gate {label}",
            zorder=0,
        )
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    _title(axes, "Gate, and agents kept back for calls (firm work: may not be interrupted)")
    _legend(axes)


def _tasks(axes: Axes, picture: DayPicture) -> None:
    assert picture.blended is not None
    done = sorted(picture.blended.done)
    axes.step(
        [picture.start, *done, picture.end],
        [*range(len(done) + 1), len(done)],
        where="post",
        color=_GREEN,
        linewidth=1.6,
        label="tasks done",
    )
    axes.set_ylim(-0.12 * max(1, len(done)), 1.05 * max(1, len(done)))
    marks = [-0.06 * max(1, len(done))] * len(picture.blended.recalls)
    axes.plot(
        picture.blended.recalls,
        marks,
        "|",
        color=_RED,
        markersize=7,
        markeredgewidth=0.8,
        label=f"recall ({len(marks)})",
    )
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _title(axes, f"Tasks done so far: {len(done)}")
    _legend(axes)
