"""The benchmark's pictures: what each policy recovers at which service level, and one day in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter

from quality.days import SetResult
from quality.jobs import Row
from quality.measures import recovered, summary

Trace = Sequence[Mapping[str, Any]]

_DPI = 110
_TARGET = "0.35"
_LEGEND_IN = 1.1
_SMOOTH = 5
_QUARTER = 15
_HOURS = FuncFormatter(lambda at, _: f"{int(at)}:{round(at % 1 * 60):02d}")
_SHOWN = ("none", "greedy", "static", "schedule", "adaptive", "default-no-recall", "static-recall", "default")
_MARKS = dict(zip(_SHOWN, "PXsD^vo*", strict=True))


def by_policy(results: Sequence[SetResult], path: Path) -> None:
    """Recovered share against service level, a panel for each set of days: untuned days, and their mean."""
    columns = min(3, len(results))
    rows = -(-len(results) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(max(9.0, 4.6 * columns), 4.2 * rows + _LEGEND_IN), squeeze=False
    )
    panels = grid.ravel()
    for axes, result in zip(panels, results, strict=False):
        _policies(axes, result)
    for axes in panels[len(results) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=3, frameon=False, fontsize=9)
    figure.suptitle("Work recovered against service level: up and right is better", fontsize=12)
    figure.tight_layout(rect=(0, _LEGEND_IN / (4.2 * rows + _LEGEND_IN), 1, 1))
    figure.savefig(path, dpi=_DPI)
    plt.close(figure)


def _policies(axes: Axes, result: SetResult) -> None:
    axes.axvline(0.8, color=_TARGET, linestyle="--", linewidth=1)
    axes.text(0.797, 0.02, "target 80 %", rotation=90, ha="right", va="bottom", fontsize=8, color=_TARGET)
    packed = recovered(result.packing[1::2])
    axes.axhline(packed, color="goldenrod", linewidth=1.5, label="all-knowing packing that delays no call")
    if result.schedule:
        rows = result.schedule[1::2]
        level = float(np.mean([row["level"] for row in rows]))
        axes.scatter(
            level, recovered(rows), marker="h", s=110, color="goldenrod", edgecolor="black", zorder=4,
            label="best schedule without recall, in hindsight",
        )  # fmt: skip
    titles = {contender.id: contender for contender in result.contenders}
    for name in _SHOWN:
        contender, rows = titles[name], result.rows[name][1::2]
        levels = [row["level"] for row in rows]
        shares = [row["kept_s"] / row["spare_s"] for row in rows]
        axes.scatter(levels, shares, s=7, color=contender.ink, alpha=0.25, linewidths=0)
        found = summary(rows)
        axes.scatter(
            found.level, found.recovered, marker=_MARKS[name], s=150 if name == "default" else 70,
            color=contender.ink, edgecolor="white", linewidth=0.8, zorder=5, label=contender.title,
        )  # fmt: skip
    axes.set_title(result.of.title, fontsize=10)
    axes.set_xlabel("service level (answered in 20 s)")
    axes.set_ylabel("recovered share of spare time")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylim(-0.03, 1.05)
    axes.grid(alpha=0.2)


def one_day(row: Row, path: Path, title: str) -> None:
    """A day under the default law. Agents are means of five minutes: single minutes flicker too much to be read."""
    trace: Trace = row["trace"]
    at = _column(trace, "at_s") / 3600
    figure, panels = plt.subplots(
        5, 1, figsize=(11, 12.5), sharex=True, gridspec_kw={"height_ratios": (1.1, 2.2, 1.8, 1.2, 1.5)}
    )
    _calls(panels[0], at, trace)
    _agents(panels[1], at, trace)
    _reserves(panels[2], at, trace)
    _recalls(panels[3], at, trace)
    _levels(panels[4], at, trace, row["target"])
    panels[-1].xaxis.set_major_formatter(_HOURS)
    panels[-1].set_xlim(at[0], at[-1])
    figure.suptitle(title, fontsize=12)
    figure.tight_layout()
    figure.savefig(path, dpi=_DPI)
    plt.close(figure)


def _column(trace: Trace, name: str) -> np.ndarray:
    return np.array([minute[name] for minute in trace], dtype=float)


def _means(values: np.ndarray) -> np.ndarray:
    """Means of five minutes, one for each minute."""
    parts = [values[n : n + _SMOOTH] for n in range(0, values.size, _SMOOTH)]
    return np.concatenate([np.full(part.size, part.mean()) for part in parts])


def _per(total: np.ndarray, minutes: int) -> np.ndarray:
    """What a running total gained in each stretch of so many minutes."""
    return np.diff(np.append(total[::minutes], total[-1]))


def _calls(axes: Axes, at: np.ndarray, trace: Trace) -> None:
    calls = _per(_column(trace, "offered"), _SMOOTH)
    axes.bar(
        at[::_SMOOTH], calls, width=_SMOOTH / 60, align="edge", color="#90a4ae", label="calls in five minutes"
    )
    axes.plot(at, _column(trace, "waiting"), color="black", linewidth=0.8, label="calls waiting")
    axes.set_ylabel("calls")
    axes.set_title("Calls", loc="left", fontsize=10)
    axes.legend(loc="upper right", ncols=2, fontsize=8)


def _agents(axes: Axes, at: np.ndarray, trace: Trace) -> None:
    layers = [_means(_column(trace, name)) for name in ("on_call", "on_tasks", "idle")]
    axes.stackplot(
        at, *layers, step="post", colors=("#4878a8", "#e8a33d", "#cfd8dc"), linewidth=0,
        labels=("on calls", "on tasks", "idle"),
    )  # fmt: skip
    axes.set_ylabel("agents")
    axes.set_title("Agents: tasks fill what the calls leave", loc="left", fontsize=10)
    axes.legend(loc="upper right", ncols=3, fontsize=8)


def _reserves(axes: Axes, at: np.ndarray, trace: Trace) -> None:
    idle = _means(_column(trace, "idle"))
    firm, reserve = _column(trace, "reserve_firm"), _column(trace, "reserve")
    armed = _column(trace, "armed") > 0
    top = 1 + max(5.0, float(np.percentile(np.append(idle, reserve), 99)))
    axes.fill_between(at, 0, idle, step="post", color="#cfd8dc", linewidth=0, label="idle agents")
    axes.step(
        at, np.minimum(firm, top - 0.15), where="post", color="tab:purple", linewidth=1.1,
        label="reserve for work that cannot be interrupted (at the top: everybody)",
    )  # fmt: skip
    axes.step(
        at, reserve, where="post", color="tab:red", linewidth=1.5, label="reserve for interruptible work"
    )
    axes.fill_between(
        at, 0, top, where=~armed, step="post", color="tab:red", alpha=0.12, linewidth=0,
        label="recall not armed" if not armed.all() else None,
    )  # fmt: skip
    axes.set_ylim(0, 1.25 * top)
    axes.set_ylabel("agents")
    share = f"recall armed {armed.mean():.0%} of the time"
    axes.set_title(f"Idle agents and the two reserves ({share})", loc="left", fontsize=10)
    axes.legend(loc="upper right", ncols=2, fontsize=8)


def _recalls(axes: Axes, at: np.ndarray, trace: Trace) -> None:
    """Per quarter of an hour, so that bars can be told apart."""
    for name, ink in (("starts", "#e8a33d"), ("recalls", "tab:red")):
        counted = _per(_column(trace, name), _QUARTER)
        axes.bar(at[::_QUARTER], counted, width=0.9 * _QUARTER / 60, align="edge", color=ink, label=name)
    axes.set_ylabel("per quarter hour")
    axes.set_title("Tasks handed out, and agents called back", loc="left", fontsize=10)
    axes.legend(loc="upper right", ncols=2, fontsize=8)


def _levels(axes: Axes, at: np.ndarray, trace: Trace, target: float) -> None:
    axes.axhline(target, color=_TARGET, linestyle="--", linewidth=1, label="target")
    axes.plot(at, _column(trace, "service_level"), color="tab:blue", label="service level so far today")
    axes.plot(
        at, _column(trace, "required"), color="tab:green", label="level that the rest of the day must reach"
    )
    axes.set_ylim(0.55, 1.01)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("share in 20 s")
    axes.set_title("Service level so far, and to go", loc="left", fontsize=10)
    axes.legend(loc="lower right", ncols=3, fontsize=8)
