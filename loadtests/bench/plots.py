"""The benchmark's pictures; one whose case has not been run is left as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from loadtests.bench.figures import Found, Series

_DPI = 110
_PARTS = (("router", "#31688e"), ("store", "#d95f02"), ("client", "#bbbbbb"))
_MARKS = "osD^vP*X"
# What is shown of the CPU: comparisons of two routers have rows of their own.
_SHOWN = (
    "full task over",
    "full task with",
    "S",
    "B,",
    "GetNextTask",
    "E,",
    "submit in a batch",
    "telephony",
)


def draw(found: Mapping[str, Found], out: Path) -> None:
    """Draw every picture whose figures there are."""
    series = [one for case in found.values() for one in case.series]
    _lines(series, "latency over load", out / "load.png", _load)
    _lines(series, "claim cost", out / "claim.png", _claim)
    _lines(series, "peers", out / "peers.png", _peers)
    cpu = {name: parts for case in found.values() for name, parts in case.cpu.items()}
    shown = {name: parts for name, parts in cpu.items() if name.startswith(_SHOWN)}
    if shown:
        _save(lambda axes: _cpu(axes, shown), out / "cpu.png", 1.2 + 0.32 * len(shown))
    memory = [(row.title, row.value, row.unit, row.target.at_most) for case in found.values() for row in case.rows
              if row.part == "size" and row.unit in ("B", "kB")]  # fmt: skip
    if memory:
        _save(lambda axes: _memory(axes, memory), out / "memory.png", 1.2 + 0.7 * len(memory))


def _lines(
    series: Sequence[Series], plot: str, path: Path, finish: Callable[[Axes, Sequence[Series]], None]
) -> None:
    if chosen := [one for one in series if one.plot == plot]:
        _save(lambda axes: finish(axes, chosen), path, 4.6)


def _save(fill: Callable[[Axes], None], path: Path, height: float) -> None:
    figure, axes = plt.subplots(figsize=(9.0, height))
    fill(axes)
    figure.tight_layout()
    figure.savefig(path, dpi=_DPI)
    plt.close(figure)


def _plotted(axes: Axes, series: Sequence[Series]) -> None:
    for one, mark in zip(series, _MARKS * len(series), strict=False):
        axes.plot(one.x, one.y, marker=mark, label=one.name)
    axes.legend(frameon=False, fontsize=9)
    axes.grid(alpha=0.3)


def _log_ms(axes: Axes) -> None:
    """A logarithmic axis with numbers to be read."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")


def _load(axes: Axes, series: Sequence[Series]) -> None:
    _plotted(axes, series)
    _log_ms(axes)
    axes.set(xlabel="full tasks per second", ylabel="submit → offer (ms)")
    axes.set_title("One router process: latency over load up to saturation")


def _claim(axes: Axes, series: Sequence[Series]) -> None:
    _plotted(axes, series)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set(xlabel="how many of it", ylabel="store time of a claim and its completion (µs)")
    axes.set_title("What a claim costs as the site grows")


def _peers(axes: Axes, series: Sequence[Series]) -> None:
    _plotted(axes, series)
    axes.set_xscale("log")
    _log_ms(axes)
    rates = sorted({rate for one in series for rate in one.x})
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.xaxis.minorticks_off()
    axes.set(xlabel="submits per second", ylabel="submit → start, p50 (ms)")
    axes.set_title("Submit → start (here: → offer on the desktop) beside job queues")


def _cpu(axes: Axes, cpu: Mapping[str, Mapping[str, float]]) -> None:
    names = list(cpu)[::-1]
    left = [0.0] * len(names)
    for part, color in _PARTS:
        widths = [cpu[name][part] for name in names]
        axes.barh(names, widths, left=left, color=color, label=part)
        left = [x + width for x, width in zip(left, widths, strict=True)]
    axes.legend(frameon=False, fontsize=9)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("CPU per operation (µs)")
    axes.set_title("Where the CPU goes (router: or bare server)")


def _memory(axes: Axes, rows: Sequence[tuple[str, float, str, float | None]]) -> None:
    """Each bar as a share of its target, for the units differ."""
    names = [title for title, *_ in rows][::-1]
    shares = [value / (target or value) for _, value, _, target in rows][::-1]
    bars = axes.barh(names, shares, color="#31688e")
    labels = [f" {value:,.0f} {unit} of {target or value:,.0f}" for _, value, unit, target in rows][::-1]
    axes.bar_label(bars, labels, fontsize=9)
    axes.axvline(1, color="0.35", linestyle="--", linewidth=1)
    axes.margins(x=0.25)
    axes.set_xlabel("share of the target")
    axes.set_title("Memory", loc="left")
