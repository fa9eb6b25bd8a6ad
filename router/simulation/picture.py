"""Draws the trace of one simulated day: calls and idle agents, the reserves, agents on tasks, the service level."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from router.simulation.result import Minute


def draw(trace: Sequence[Minute], path: Path, title: str, target: float) -> None:
    """Write the picture of one group's trace; the file's ending says which format.

    Raises OSError where it cannot be written and ValueError for an ending that is not known.
    """
    # Loaded here: a second that only who wants a picture should wait.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9), layout="constrained")
    agents, levels, calls = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 1))
    hours = [minute.at_s / 3600 for minute in trace]
    _draw_agents(agents, hours, trace)
    _draw_levels(levels, hours, trace, target)
    _draw_calls(calls, hours, trace)
    calls.set_xlabel("hour of the day")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def _draw_agents(axes: Any, hours: Sequence[float], trace: Sequence[Minute]) -> None:
    axes.stackplot(
        hours,
        [m.on_call for m in trace],
        [m.on_tasks for m in trace],
        [m.idle for m in trace],
        labels=("on a call", "on tasks", "idle"),
        colors=("#4c72b0", "#55a868", "#dddddd"),
    )
    axes.plot(hours, [m.reserve_firm for m in trace], color="#c44e52", lw=1, label="reserve, firm work")
    axes.plot(hours, [m.reserve for m in trace], color="#000000", lw=1, label="reserve")
    armed, above = [m.armed for m in trace], axes.get_xaxis_transform()
    axes.fill_between(hours, 0, 1, armed, transform=above, color="#f5f0dd", zorder=-1, label="recall armed")
    axes.set_ylabel("agents")
    axes.legend(loc="upper right", ncols=3, fontsize="small")


def _draw_levels(axes: Any, hours: Sequence[float], trace: Sequence[Minute], target: float) -> None:
    axes.plot(hours, [m.service_level for m in trace], label="service level so far")
    axes.plot(hours, [m.required for m in trace], lw=1, label="service level to go")
    axes.axhline(target, color="#888888", ls="--", lw=1, label="target")
    axes.set_ylim(0.3, 1.02)
    axes.set_ylabel("share in target")
    axes.legend(loc="lower right", ncols=3, fontsize="small")


def _draw_calls(axes: Any, hours: Sequence[float], trace: Sequence[Minute]) -> None:
    recalls = [0, *(after.recalls - before.recalls for before, after in pairwise(trace))]
    axes.plot(hours, [m.waiting for m in trace], label="calls waiting")
    axes.bar(hours, recalls, width=1 / 60, color="#c44e52", label="recalls in the minute")
    axes.set_ylabel("count")
    axes.legend(loc="upper right", ncols=2, fontsize="small")
