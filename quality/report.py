"""Writes the results into docs/quality/README.md, between markers; the words around them are written by hand.

A table `x` stands between the comment lines ``begin x`` and ``end x``; whatever is there is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from quality.contenders import told
from quality.days import SetResult
from quality.decisions import Timed
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
        "stated", "the law's reserve", "default law without recall", "with recall", "stated",
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
        f"{percent(one.by_law.outcome.recovered)} (u = {one.by_law.reserve - one.by_law.generosity:.1f}, "
        f"level {one.by_law.outcome.level:.3f})",
        _played(one.without_recall),
        _played(one.with_recall),
        percent(stated[3]),
    )


def _played(found: Summary) -> str:
    return f"{percent(found.recovered)} (level {found.level:.3f}, without blending {found.level_without:.3f})"


# -- days --------------------------------------------------------------------------------------------------
_HEAD = (
    "policy", "recovered", "of it on tuned days", "service level", "feasible days kept", "kept, tuned days",
    "mean shortfall, points", "worst", "recalls a day", "per task", "per paid hour", "starts a day",
    "half hours under 50 %",
)  # fmt: skip


def days_table(result: SetResult) -> str:
    """Every policy on the days of a set that were not tuned on, and the bounds."""
    rows = [_policy_row(result, contender.id, contender.title) for contender in result.contenders]
    rows.append(_bound_row("all-knowing packing that delays no call", result.packing))
    if result.schedule:
        rows.append(_bound_row("best schedule without recall, in hindsight", result.schedule))
    return f"{_about(result)}\n\n{table(_HEAD, rows)}"


def _about(result: SetResult) -> str:
    untuned = summary(result.rows["none"][1::2])
    spare = sum(row["spare_s"] for row in result.packing[1::2]) / 3600 / untuned.days
    paid = sum(row["paid_s"] for row in result.rows["none"][1::2]) / 3600 / untuned.days
    return (
        f"{len(result.of.days)} days, half of them to tune on. Without blending the {untuned.days} others answer "
        f"{percent(untuned.level)} in time, {untuned.feasible} of them meet the target; of {paid:.0f} paid hours a "
        f"day {spare:.0f} are spare."
    )


def _policy_row(result: SetResult, name: str, title: str) -> tuple[str, ...]:
    tuned, found = (summary(result.rows[name][start::2]) for start in (0, 1))
    chosen = told(result.chosen[name])
    grid = next(c.grid for c in result.contenders if c.id == name)
    return (
        f"{title} ({chosen})" if len(grid) > 1 else title,
        percent(found.recovered),
        percent(tuned.recovered),
        percent(found.level),
        percent(found.days_kept, 0),
        percent(tuned.days_kept, 0),
        points(found.mean_shortfall),
        points(found.worst_shortfall),
        f"{found.recalls_per_day:.0f}",
        f"{found.recalls_per_task:.2f}",
        f"{found.recalls_per_paid_hour:.2f}",
        f"{found.starts_per_day:.0f}",
        f"{found.bad_half_hours:.1f}",
    )


class Untuned(NamedTuple):
    """Every day that nothing was tuned on: the days' results by policy, the default law first, and the packing."""

    rows: Mapping[str, Sequence[Row]]
    packing: Sequence[Row]


def untuned_table(found: Untuned) -> str:
    """Some policies on every day that nothing was tuned on."""
    rows = [_untuned_row(title, summary(played)) for title, played in found.rows.items()]
    rows.append(("*all-knowing packing that delays no call*", percent(recovered(found.packing)), *[""] * 8))
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
        f"{percent(found.days_kept, 0)} of {found.feasible}",
        points(found.mean_shortfall),
        points(found.worst_shortfall),
        f"{found.recalls_per_day:.0f}",
        f"{found.recalls_per_paid_hour:.2f}",
        f"{found.bad_half_hours:.1f} ({found.bad_half_hours_without:.1f})",
    )


def _bound_row(title: str, rows: Sequence[Row]) -> tuple[str, ...]:
    levels = [row["level"] for row in rows[1::2] if "level" in row]
    level = percent(sum(levels) / len(levels)) if levels else "as without"
    cells = (
        f"*{title}*",
        percent(recovered(rows[1::2])),
        percent(recovered(rows[0::2])),
        level,
        "100 %",
        "100 %",
    )
    return (*cells, *[""] * (len(_HEAD) - len(cells)))


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
def targets_table(result: SetResult, exact: Sequence[Stationary], every: Untuned | None = None) -> str:
    """How far the default law is from its goals, on the untuned days of a set, or on every one if those were played."""
    found = summary(next(iter(every.rows.values())) if every else result.rows["default"][1::2])
    without = summary(result.rows["default-no-recall"][1::2])
    packed = recovered(every.packing if every else result.packing[1::2])
    scheduled = recovered(result.schedule[1::2])
    least = min(one.by_law.outcome.recovered / one.best.recovered for one in exact)
    rows = [
        _goal("recovered share of spare time, net", found.recovered, 0.80),
        _goal("against the all-knowing packing that delays no call", found.recovered / packed, 1.0),
        _goal("feasible days kept (within half a point)", found.days_kept, 0.95),
        _goal("mean shortfall, points", found.mean_shortfall * 100, 0.3, "{:.2f}", lower=True),
        _goal("recalls per paid hour", found.recalls_per_paid_hour, 1.5, "{:.2f}", lower=True),
        _goal("recall off, against the best schedule in hindsight", without.recovered / scheduled, 0.95),
        _goal("exact cases, the law's reserve against the best policy, least", least, 0.95),
    ]
    return table(("figure", "reached", "goal", ""), rows)


def _goal(
    title: str, reached: float, goal: float, form: str = "{:.1%}", *, lower: bool = False
) -> tuple[str, ...]:
    met = reached <= goal if lower else reached >= goal
    sign = "≤" if lower else "≥"
    told = [form.format(value).replace("%", " %") for value in (reached, goal)]
    return (
        title,
        told[0],
        f"{sign} {told[1]}",
        "met" if met else f"missed by {form.format(abs(reached - goal))}",
    )


# -- the cost of decisions ---------------------------------------------------------------------------------
def decisions_table(found: Sequence[Timed]) -> str:
    """CPU time of decisions and of days, by size of the group."""
    head = (
        "agents at the peak", "policy", "calls", "decisions", "median ms", "p95 ms", "longest ms",
        "all decisions, s", "the day, simulated and recorded, s",
    )  # fmt: skip
    return table(head, (_timed_row(one) for one in found))


def _timed_row(one: Timed) -> tuple[str, ...]:
    row = one.row
    return (
        f"{one.agents:,}",
        one.contender.title,
        f"{row['calls']:,}",
        f"{row['decisions']:,}",
        f"{row['median_ms']:.2f}",
        f"{row['p95_ms']:.2f}",
        f"{row['max_ms']:.2f}",
        f"{row['sum_s']:.1f}",
        f"{row['day_s']:.0f}",
    )


# -- robustness --------------------------------------------------------------------------------------------
def robustness_table(found: Sequence[CaseResult]) -> str:
    """Each case beside its days without blending; what fell too low is marked."""
    head = (
        "case", "days", "level without", "level with", "worst day", "recovered", "feasible days kept",
        "mean shortfall", "recalls per paid hour", "",
    )  # fmt: skip
    return table(head, (_case_row(one) for one in found))


def _case_row(one: CaseResult) -> tuple[str, ...]:
    found = one.found
    return (
        one.case.title,
        str(found.days),
        percent(found.level_without),
        percent(found.level),
        f"{100 * one.worst_day:+.1f}",
        percent(found.recovered),
        percent(found.days_kept, 0) if found.feasible else "none feasible",
        points(found.mean_shortfall),
        f"{found.recalls_per_paid_hour:.2f}",
        "**too low**" if one.flagged else "",
    )
