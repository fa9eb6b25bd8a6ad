"""Writes the results into docs/quality/README.md, between markers; the words around them are written by hand.

A table `x` stands between the comment lines ``begin x`` and ``end x``; whatever is there is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from quality.contenders import WITHOUT_RECALL, Contender, told
from quality.days import SetResult, Untuned
from quality.jobs import Row
from quality.measures import Summary, recovered, summary
from quality.robustness import CaseResult
from quality.stationary import STATED
from quality.stationary import CaseResult as Stationary


def write(path: Path, parts: Mapping[str, str], template: Path) -> None:
    """Write the template with each part between its markers. Raises ValueError for a part without markers."""
    text = template.read_text()
    for name, part in parts.items():
        marked = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        text, found = marked.subn(lambda match, part=part: f"{match[1]}{part}\n{match[2]}", text)  # type: ignore[misc]
        if found != 1:
            raise ValueError(f"{template} has {found} places for {name!r}: it needs one pair of markers")
    path.write_text(text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, the first column to the left."""
    lines = [_line(head), "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def signed(text: str, made: str) -> str:
    """A table, and under it what it was made from."""
    return f"{text}\n\n*Made by {made}.*"


def percent(share: float, digits: int = 1) -> str:
    """A share in words."""
    return f"{100 * share:.{digits}f} %"


def points(share: float) -> str:
    """A difference of shares, in points."""
    return f"{100 * share:.2f}"


# -- exact cases -------------------------------------------------------------------------------------------
def exact_table(found: Sequence[Stationary]) -> str:
    """Computed beside stated, and what the router makes of it."""
    head = (
        "s, occupancy, AHT, task", "Erlang C", "best threshold", "the same, randomised", "best policy (LP)",
        "stated", "router's reserve", "default law without recall", "with recall", "stated",
    )  # fmt: skip
    return table(head, (_exact_row(one) for one in found))


def _exact_row(one: Stationary) -> tuple[str, ...]:
    case, stated = one.case, STATED[one.case]
    return (
        f"{case.agents}, {case.occupancy:g}, {case.aht_s:g} s, {case.task_s:g} s",
        f"{case.level_without_blending:.3f} ({stated[0]:.3f})",
        f"{percent(one.sure.outcome.recovered)} (u = {one.sure.reserve}, level {one.sure.outcome.level:.3f})",
        percent(one.randomised.outcome.recovered),
        percent(one.best.recovered),
        f"{percent(stated[1])} / {percent(stated[2])}",
        f"{percent(one.by_chain.outcome.recovered)} (u = {one.by_chain.reserve})",
        _played(one.without_recall),
        _played(one.with_recall),
        percent(stated[3]),
    )


def _played(found: Summary) -> str:
    return f"{percent(found.recovered)} (level {found.level:.3f}, without blending {found.level_without:.3f})"


# -- days --------------------------------------------------------------------------------------------------
_HEAD = (
    "policy", "recovered", "service level", "feasible days kept", "mean shortfall, points", "worst", "recalls a day",
    "per task", "per paid hour", "starts a day", "half hours under 50 %",
)  # fmt: skip
PACKING = "*all-knowing packing that delays no call*"
SCHEDULE = "*best schedule without recall, in hindsight*"


def days_table(result: SetResult) -> str:
    """Every policy beside its bounds, on the days that nothing was tuned on, and on those that served to tune."""
    return f"{_half(result, tuned=False)}\n\n{_half(result, tuned=True)}"


def _half(result: SetResult, *, tuned: bool) -> str:
    rows = [_policy_row(result, contender, tuned) for contender in result.contenders]
    rows.append(_bound_row(PACKING, result.half(result.packing, tuned)))
    if result.schedule:
        rows.append(_bound_row(SCHEDULE, result.half(result.schedule, tuned)))
    return f"{_about(result, tuned)}\n\n{table(_HEAD, rows)}"


def _about(result: SetResult, tuned: bool) -> str:
    played = result.half(result.rows["none"], tuned)
    without = summary(played)
    hours = 3600 * without.days
    spare = sum(row["spare_s"] for row in result.half(result.packing, tuned)) / hours
    paid = sum(row["paid_s"] for row in played) / hours
    which = "Days that constants were tuned on" if tuned else "Days that nothing was tuned on"
    return (
        f"**{which}**: {without.days}. Without blending they answer {percent(without.level)} in time,"
        f" {without.feasible} of them meet the target; of {paid:.0f} paid hours a day {spare:.0f} are spare."
    )


def _policy_row(result: SetResult, contender: Contender, tuned: bool) -> tuple[str, ...]:
    found = summary(result.half(result.rows[contender.id], tuned))
    chosen = f" ({told(result.chosen[contender.id])})" if len(contender.grid) > 1 else ""
    return (
        contender.title + chosen,
        percent(found.recovered),
        percent(found.level),
        _kept(found),
        points(found.mean_shortfall),
        points(found.worst_shortfall),
        f"{found.recalls_per_day:.0f}",
        f"{found.recalls_per_task:.2f}",
        f"{found.recalls_per_paid_hour:.2f}",
        f"{found.starts_per_day:.0f}",
        f"{found.bad_half_hours:.1f}",
    )


def _kept(found: Summary) -> str:
    return f"{percent(found.days_kept, 0)} of {found.feasible}" if found.feasible else "none feasible"


def _bound_row(title: str, rows: Sequence[Row]) -> tuple[str, ...]:
    levels = [row["level"] for row in rows if "level" in row]
    level = percent(sum(levels) / len(levels)) if levels else "as without"
    cells = (title, percent(recovered(rows)), level)
    return (*cells, *[""] * (len(_HEAD) - len(cells)))


def untuned_table(found: Untuned) -> str:
    """Some policies on every day that nothing was tuned on."""
    rows = [_untuned_row(title, summary(played)) for title, played in found.rows.items()]
    rows.append((PACKING, percent(recovered(found.packing)), *[""] * 8))
    return table(_UNTUNED_HEAD, rows)


_UNTUNED_HEAD = (
    "policy", "recovered", "service level", "without blending", "feasible days kept", "mean shortfall, points", "worst",
    "recalls a day", "per paid hour", "half hours under 50 % (without blending)",
)  # fmt: skip


def _untuned_row(title: str, found: Summary) -> tuple[str, ...]:
    return (
        title,
        percent(found.recovered),
        percent(found.level),
        percent(found.level_without),
        _kept(found),
        points(found.mean_shortfall),
        points(found.worst_shortfall),
        f"{found.recalls_per_day:.0f}",
        f"{found.recalls_per_paid_hour:.2f}",
        f"{found.bad_half_hours:.1f} ({found.bad_half_hours_without:.1f})",
    )


def backlog_table(found: Mapping[str, Sequence[Row]]) -> str:
    """A backlog that ends: who gets it done in time."""
    head = (
        "policy",
        "service level",
        "tasks done a day",
        "late a day",
        "wait of the least urgent work",
        "recalls a day",
    )
    return table(head, (_backlog_row(title, summary(rows)) for title, rows in found.items()))


def _backlog_row(title: str, found: Summary) -> tuple[str, ...]:
    return (
        title,
        percent(found.level),
        f"{found.done_per_day:.0f}",
        f"{found.late_per_day:.0f}",
        f"{found.least_urgent_wait_s / 60:.0f} min",
        f"{found.recalls_per_day:.0f}",
    )


# -- targets -----------------------------------------------------------------------------------------------
class Goal(NamedTuple):
    """What is to be reached: at least, or at most where lower is better."""

    title: str
    goal: float
    form: str = "{:.1%}"
    lower: bool = False

    def written(self, value: float) -> str:
        """A value in the form of the goal."""
        return self.form.format(value).replace("%", " %")


class Reached(NamedTuple):
    """A figure, and what it was made from in words."""

    value: float
    made: str


RECOVERED = Goal("recovered share of spare time, net", 0.80)
AGAINST_PACKING = Goal("against the all-knowing packing that delays no call", 1.0)
KEPT = Goal("feasible days kept (within half a point)", 0.95)
SHORTFALL = Goal("mean shortfall, points", 0.3, "{:.2f}", lower=True)
RECALLS = Goal("recalls per paid hour", 1.5, "{:.2f}", lower=True)
AGAINST_SCHEDULE = Goal("recall off, against the best schedule in hindsight", 0.95)
CHAIN = Goal("exact cases, reserve by the chain against the best policy, least", 0.95)
GOALS = (RECOVERED, AGAINST_PACKING, KEPT, SHORTFALL, RECALLS, AGAINST_SCHEDULE, CHAIN)


def law_reached(found: Untuned, made: str) -> dict[str, Reached]:
    """What the default law reaches on untuned days."""
    law, packed = summary(next(iter(found.rows.values()))), recovered(found.packing)
    values = {
        RECOVERED: law.recovered,
        AGAINST_PACKING: law.recovered / packed,
        KEPT: law.days_kept,
        SHORTFALL: law.mean_shortfall * 100,
        RECALLS: law.recalls_per_paid_hour,
    }
    return {goal.title: Reached(value, made) for goal, value in values.items()}


def schedule_reached(result: SetResult, made: str) -> dict[str, Reached]:
    """What the law without recall reaches of the best schedule, on the untuned days of a set."""
    without = summary(result.half(result.rows[WITHOUT_RECALL.id], tuned=False))
    share = without.recovered / recovered(result.half(result.schedule, tuned=False))
    return {AGAINST_SCHEDULE.title: Reached(share, made)}


def exact_reached(exact: Sequence[Stationary], made: str) -> dict[str, Reached]:
    """What the router's reserve reaches of the best policy where it reaches least."""
    least = min(one.by_chain.outcome.recovered / one.best.recovered for one in exact)
    return {CHAIN.title: Reached(least, made)}


def targets_table(reached: Mapping[str, Reached], before: Mapping[str, str]) -> str:
    """How far the default law is from its goals; a figure that is not known now stays as it was told ``before``."""
    head = _line(("figure", "reached", "goal", "", "from")) + "\n|---|---:|---:|---|---|"
    return "\n".join([head, *(_goal_line(goal, reached.get(goal.title), before) for goal in GOALS)])


def _goal_line(goal: Goal, found: Reached | None, before: Mapping[str, str]) -> str:
    aim = f"{'≤' if goal.lower else '≥'} {goal.written(goal.goal)}"
    if found is None:
        return before.get(goal.title, _line((goal.title, "", aim, "not played", "")))
    met = found.value <= goal.goal if goal.lower else found.value >= goal.goal
    missed = f"missed by {goal.written(abs(found.value - goal.goal))}"
    return _line((goal.title, goal.written(found.value), aim, "met" if met else missed, found.made))


def rows_in(page: str, part: str) -> dict[str, str]:
    """The rows of the table that stands between a part's markers, by their first cell."""
    found = re.search(rf"<!-- begin {part} -->\n(.*?)<!-- end {part} -->", page, re.DOTALL)
    lines = found[1].splitlines() if found else []
    return {line.split("|")[1].strip(): line for line in lines if line.startswith("|")}


# -- robustness --------------------------------------------------------------------------------------------
def robustness_table(found: Sequence[CaseResult]) -> str:
    """Each case beside its days without blending; what fell too low is marked."""
    head = (
        "case", "days", "level without (tightest day)", "level with", "worst day", "recovered", "feasible days kept",
        "mean shortfall, points", "recalls per paid hour", "",
    )  # fmt: skip
    return table(head, (_case_row(one) for one in found))


def _case_row(one: CaseResult) -> tuple[str, ...]:
    found = one.found
    return (
        one.case.title,
        str(found.days),
        f"{percent(found.level_without)} ({percent(one.tightest)})",
        percent(found.level),
        f"{100 * one.worst_day:+.1f}",
        percent(found.recovered),
        _kept(found),
        points(found.mean_shortfall),
        f"{found.recalls_per_paid_hour:.2f}",
        "**too low**" if one.flagged else "",
    )
