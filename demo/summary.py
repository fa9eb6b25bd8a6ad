"""The end of the demo: a table of what was reached, the promises checked, and the exit code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from demo.prediction import Predicted

# Behind its clock by more than this, the demo says so; in simulated seconds.
_LAG_S = 3.0


@dataclass(frozen=True, slots=True)
class Promise:
    """Something that must hold, whether it did, and the figures that show it."""

    words: str
    held: bool
    shown_by: str


@dataclass(frozen=True, slots=True)
class Outturn:
    """The plain figures of a demo. Times in simulated seconds.

    `kept_work_s` is progress on tasks that outlived its attempt, `spent_work_s` all time on tasks.
    `queued` counts tasks in a queue, an offer or the schedule, `held` those leased or parked at the end.
    `done_ids` names each completion that was acknowledged, so that a double one shows; `reactions_s` is the
    time from a recall to the agent back at the calls, `lags_s` how far the demo itself fell behind its clock,
    `acknowledged_s` how long the router took to acknowledge telephony reports.
    `predicted` is what the simulator expected of the same day, or why that is not known; empty if it was not asked.
    `late_effects` counts calls with an old fence that changed something, `pushes_while_closed` offers that came
    while the gate was closed, `rescinded` the offers that were withdrawn.
    """

    service_level: float
    service_level_without: float
    target: float
    spare_hours: float
    spent_work_s: float
    kept_work_s: float
    submitted: int
    queued: int
    held: int
    done_ids: Sequence[str]
    recalls: int
    forced: int
    offers: int = 0
    rescinded: int = 0
    abandoned: int = 0
    abandoned_without: int = 0
    reactions_s: Sequence[float] = ()
    late_effects: int = 0
    pushes_while_closed: int = 0
    beside_a_call: int = 0
    lags_s: Sequence[float] = ()
    acknowledged_s: Sequence[float] = ()
    further: Sequence[Promise] = field(default_factory=tuple)
    predicted: Predicted | str = ""

    @property
    def done(self) -> int:
        """Return the tasks completed, each counted once."""
        return len(set(self.done_ids))

    @property
    def recovered_hours(self) -> float:
        """Return the hours of task work that remained, net of lost work."""
        return self.kept_work_s / 3600

    @property
    def recovered_share(self) -> float:
        """Return the recovered hours over the spare hours of the day without blending."""
        return self.recovered_hours / self.spare_hours if self.spare_hours else 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile. Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def promises(outturn: Outturn) -> list[Promise]:
    """Check what the router promises; the service level is a goal and stands in the table instead."""
    accounted = outturn.done + outturn.queued + outturn.held
    doubles = len(outturn.done_ids) - outturn.done
    checks = [
        Promise(
            "no task is lost",
            accounted == outturn.submitted,
            f"{outturn.submitted} submitted = {outturn.done} done + {outturn.queued} queued"
            f" + {outturn.held} held",
        ),
        Promise("no task is done twice", doubles == 0, f"{doubles} done again"),
        Promise("a late actor changes nothing", outturn.late_effects == 0, f"{outturn.late_effects} effects"),
        Promise(
            "nothing is pushed while the gate is closed",
            outturn.pushes_while_closed == 0,
            f"{outturn.pushes_while_closed} pushes",
        ),
        Promise(
            "no agent has a task beside a call", outturn.beside_a_call == 0, f"{outturn.beside_a_call} times"
        ),
    ]
    return [*checks, *outturn.further]


def rows(outturn: Outturn) -> list[tuple[str, str]]:
    """Return the summary as pairs of what and how much."""
    lost_s = outturn.spent_work_s - outturn.kept_work_s
    return [
        ("service level without tasks", f"{outturn.service_level_without:.1%}"),
        ("service level with tasks", f"{outturn.service_level:.1%} (target {outturn.target:.0%})"),
        ("calls given up, without and with tasks", f"{outturn.abandoned_without}, {outturn.abandoned}"),
        ("offers, and of these withdrawn", f"{outturn.offers}, {outturn.rescinded}"),
        ("tasks done", str(outturn.done)),
        ("tasks still to do", str(outturn.queued + outturn.held)),
        ("spare hours without tasks", f"{outturn.spare_hours:.1f} h"),
        ("hours recovered, net of lost work", f"{outturn.recovered_hours:.1f} h"),
        ("share of the spare time", f"{outturn.recovered_share:.0%}"),
        ("work lost to recalls", f"{lost_s / 3600:.1f} h"),
        ("recalls", f"{outturn.recalls}, {outturn.forced} of them forced"),
        ("recall to agent back (p50 / p99 / max)", _spread(outturn.reactions_s)),
        ("report to acknowledgement", _spread(outturn.acknowledged_s)),
        ("demo behind its clock", _spread(outturn.lags_s)),
    ]


def compared(outturn: Outturn, predicted: Predicted) -> list[tuple[str, str, str, str]]:
    """Return what was reached beside what was predicted, and by how much more it is."""
    share = predicted.recovered_hours / outturn.spare_hours if outturn.spare_hours else 0.0
    return [
        _beside("service level with tasks", outturn.service_level, predicted.service_level, "{:.1%}"),
        _beside("tasks done", outturn.done, predicted.done, "{}"),
        _beside("hours recovered", outturn.recovered_hours, predicted.recovered_hours, "{:.1f} h"),
        _beside("share of the spare time", outturn.recovered_share, share, "{:.0%}"),
        _beside("recalls", outturn.recalls, predicted.recalls, "{}"),
    ]


def _beside(name: str, reached: float, predicted: float, form: str) -> tuple[str, str, str, str]:
    more = reached - predicted
    difference = (
        f"{100 * more:+.1f} points"
        if "%" in form
        else form.replace(":", ":+", 1).replace("{}", "{:+}").format(more)
    )
    return name, form.format(reached), form.format(predicted), difference


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    shown = (percentile(seconds, share) for share in (0.5, 0.99, 1.0))
    return " / ".join(f"{value:.1f}" for value in shown) + " simulated s"


def show(outturn: Outturn, console: Console | None = None) -> int:
    """Print the summary and return the exit code: 0, or 1 when a promise was broken."""
    out = console or Console()
    table = Table(title="The day", title_justify="left", show_header=False)
    for name, value in rows(outturn):
        table.add_row(name, value)
    out.print(table)
    _show_prediction(outturn, out)
    checked = promises(outturn)
    for promise in checked:
        mark = "[green]kept  [/]" if promise.held else "[bold red]BROKEN[/]"
        out.print(f"{mark} {promise.words}: {promise.shown_by}", highlight=False)
    if outturn.lags_s and percentile(outturn.lags_s, 0.99) > _LAG_S:
        out.print(
            f"the machine did not keep the pace (more than {_LAG_S:g} simulated s behind): try a lower speed"
        )
    return 0 if all(promise.held for promise in checked) else 1


def _show_prediction(outturn: Outturn, out: Console) -> None:
    """It is told, and no promise: the exit code does not depend on it."""
    if isinstance(outturn.predicted, str):
        if outturn.predicted:
            out.print(f"no prediction to compare with: {outturn.predicted}", highlight=False, markup=False)
        return
    table = Table(title="Beside the simulator's prediction for the same day", title_justify="left")
    for heading in ("", "reached", "predicted", "difference"):
        table.add_column(heading)
    for row in compared(outturn, outturn.predicted):
        table.add_row(*row)
    out.print(table)
