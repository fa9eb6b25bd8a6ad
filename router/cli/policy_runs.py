"""How comparisons, replays and simulations of policies are shown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from clients.errors import UnavailableError
from clients.names import short
from clients.values import seconds
from router.cli.output import clock, console, say, table
from router.v1 import supervision_pb2 as pb

Result = TypeVar("Result", pb.ReplayResult, pb.SimulationResult)


async def watched(answers: AsyncIterator[Any], kind: type[Result]) -> Result:
    """Return the result of a run, with a bar on standard error until it is there."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        line = bar.add_task("reading the recording", total=1.0)
        async for answer in answers:
            if answer.WhichOneof("outcome") == "result":
                found: Result = answer.result
                return found
            bar.update(line, completed=answer.progress.share, description=answer.progress.stage)
    raise UnavailableError("the router ended the run without a result")


# -- comparisons -------------------------------------------------------------------------------------------
def print_comparison(found: pb.PolicyComparison, last: int) -> None:
    """Print a shadow beside the active version."""
    equal = f", {found.equal_share:.1%} of them alike" if found.HasField("equal_share") else ""
    say(f"{short(found.name)}: {found.decisions} decisions since {clock(found.begin_time)}{equal}")
    columns = ("", f"ACTIVE (version {found.active_version})", f"SHADOW (version {found.shadow_version})")
    table(columns, [_sides(name, show, found) for name, show in _FIGURES], "nothing was compared yet")
    if found.errors:
        say(f"the shadow failed {found.errors} times, last with: {found.last_error}")
    if found.skipped:
        say(f"the shadow was too slow for {found.skipped} decisions")
    if last and found.latest:
        rows = [(clock(p.decision_time), _brief(p.active), _brief(p.shadow)) for p in found.latest[:last]]
        table(("AT", "ACTIVE", "SHADOW"), rows, "")


_FIGURES: tuple[tuple[str, Callable[[pb.DecisionFigures], str]], ...] = (
    ("gate open", lambda side: f"{side.open_share:.1%}"),
    ("mean allowance", lambda side: f"{side.mean_allowance:.2f}"),
    ("mean reserve", lambda side: f"{side.mean_reserve:.2f}"),
    ("mean firm reserve", lambda side: f"{side.mean_reserve_firm:.2f}"),
    ("recall armed", lambda side: f"{side.armed_share:.1%}"),
    ("agents recalled", lambda side: f"{side.recalls}"),
)


def _sides(
    name: str, show: Callable[[pb.DecisionFigures], str], found: pb.PolicyComparison
) -> tuple[str, str, str]:
    return name, show(found.active), show(found.shadow)


def _brief(decision: pb.DecisionSummary) -> str:
    gate = "open" if decision.open else "closed"
    armed = ", armed" if decision.armed else ""
    return (
        f"{gate}, allowance {decision.allowance}, reserve {decision.reserve}/{decision.reserve_firm}{armed}"
    )


# -- replays -----------------------------------------------------------------------------------------------
def print_replay(found: pb.ReplayResult) -> None:
    """Print how far a recording came out again."""
    if not found.decisions:
        say(
            f"nothing could be decided again: {found.skipped} entries lack the policy or forecast they refer to"
        )
        return
    say(f"{clock(found.begin_time)} to {clock(found.end_time)}")
    say(f"{found.decisions_identical} of {found.decisions} decisions came out again bit by bit")
    say(f"{found.plans_identical} of {found.plans} recall plans came out again bit by bit")
    if found.skipped:
        say(f"{found.skipped} at the beginning were left out: what they refer to is kept no more")
    if found.HasField("first_difference"):
        first = found.first_difference
        say(
            f"first difference: {first.what} at {clock(first.decision_time)}, policy version {first.policy_version}"
        )
        for item in first.fields:
            say(f"  {item.field}: recorded {item.recorded}, replayed {item.replayed}")


# -- simulations -------------------------------------------------------------------------------------------
def print_simulation(found: pb.SimulationResult, candidate: str) -> None:
    """Print what a candidate would have made of a recorded time."""
    say(
        f"{clock(found.begin_time)} to {clock(found.end_time)}: {found.calls} calls, {found.agents} agents,"
        f" target {found.target_share:.0%}, {found.service_level_without:.1%} without any task"
    )
    columns = (
        "",
        "RECORDED",
        f"SIMULATED version {found.active_version}",
        f"SIMULATED {candidate}",
        "CHANGE",
    )
    table(columns, [_row(found, *figure) for figure in _DAY], "")
    level = found.active.service_level - found.recorded.service_level
    say(
        f"the simulated version {found.active_version} meets what was recorded to {level * 100:+.1f} points and"
        f" {found.active.tasks_done - found.recorded.tasks_done:+d} tasks: "
        + (
            "the change is to be trusted"
            if found.trustworthy
            else "too far off; take the direction of the change, not its size"
        )
    )


def _share(figures: pb.DayFigures) -> float | None:
    return figures.recovered_share * 100 if figures.HasField("recovered_share") else None


_DAY: tuple[tuple[str, Callable[[pb.DayFigures], float | None], str, str], ...] = (
    ("service level", lambda f: f.service_level * 100, ".1f", " %"),
    ("tasks done", lambda f: f.tasks_done, ".0f", ""),
    ("tasks late", lambda f: f.tasks_late, ".0f", ""),
    ("recalls", lambda f: f.recalls, ".0f", ""),
    ("hours recovered", lambda f: seconds(f.recovered_time) / 3600, ".1f", ""),
    ("share of spare time", _share, ".1f", " %"),
    ("calls given up", lambda f: f.abandoned, ".0f", ""),
)


def _row(
    found: pb.SimulationResult,
    name: str,
    read: Callable[[pb.DayFigures], float | None],
    shape: str,
    unit: str,
) -> tuple[str, ...]:
    values = [read(side) for side in (found.recorded, found.active, found.candidate)]
    shown = ["-" if value is None else f"{value:{shape}}{unit}" for value in values]
    _, before, after = values
    change = "-" if before is None or after is None else f"{after - before:+{shape}}{unit and ' points'}"
    return name, *shown, change
