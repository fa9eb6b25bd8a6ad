"""What a simulated day gave, in the figures of docs/quality: one definition everywhere.

Shares are between 0 and 1, times in seconds, hours are agents' hours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import TypeVar

from callcenter.center import AgentChange, AgentState, Center
from callcenter.volumes import HALF_HOUR_S

T = TypeVar("T")
HALF = 0.5
"""A half hour with a smaller share of its calls answered in target counts as bad."""


@dataclass(frozen=True, slots=True)
class CallFigures:
    """A group's calls and its agents' time on one day, blended or not."""

    offered: int = 0
    answered: int = 0
    in_target: int = 0
    abandoned: int = 0
    idle_s: float = 0.0
    """Agents' seconds AVAILABLE at the ACD."""
    paid_s: float = 0.0
    """Agents' seconds logged in."""
    bad_half_hours: int = 0
    half_hours: int = 0

    @property
    def resolved(self) -> int:
        """Calls answered or given up."""
        return self.answered + self.abandoned

    @property
    def service_level(self) -> float:
        """Calls answered in target over calls resolved; 1 without any."""
        return self.in_target / self.resolved if self.resolved else 1.0


@dataclass(frozen=True, slots=True)
class WorkFigures:
    """What became of the back-office work of a group's agents."""

    kept_s: float = 0.0
    """Progress that outlived its attempt: work done, net of work lost."""
    spent_s: float = 0.0
    """Seconds that agents were on tasks."""
    done: int = 0
    late: int = 0
    offers: int = 0
    starts: int = 0
    recalls: int = 0
    interruptions: int = 0
    rescinded: int = 0
    forced: int = 0
    refused: int = 0
    resumed_here: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """One group, or the whole center, on one day under one policy, beside the same day without blending."""

    calls: CallFigures = CallFigures()
    without: CallFigures = CallFigures()
    work: WorkFigures = WorkFigures()
    target: float = 0.8
    reactions_s: tuple[float, ...] = ()

    @property
    def service_level(self) -> float:
        """With the policy."""
        return self.calls.service_level

    @property
    def service_level_without(self) -> float:
        """Without blending."""
        return self.without.service_level

    @property
    def spare_hours(self) -> float:
        """Agents' hours without a call on the same day without blending."""
        return self.without.idle_s / 3600

    @property
    def recovered_hours(self) -> float:
        """Hours of work done in them, net of work lost."""
        return self.work.kept_s / 3600

    @property
    def recovered_share(self) -> float:
        """Recovered hours over spare hours."""
        return self.work.kept_s / self.without.idle_s if self.without.idle_s else 0.0

    @property
    def paid_hours(self) -> float:
        """Agents' logged-in hours."""
        return self.calls.paid_s / 3600

    @property
    def recalls_per_paid_hour(self) -> float:
        """Recalls by the policy."""
        return self.work.recalls / self.paid_hours if self.paid_hours else 0.0

    @property
    def recalls_per_task(self) -> float:
        """Recalls by the policy over tasks done."""
        return self.work.recalls / self.work.done if self.work.done else 0.0

    @property
    def feasible(self) -> bool:
        """Whether the day meets its target without blending."""
        return self.service_level_without >= self.target

    @property
    def kept(self) -> bool:
        """Whether a feasible day still meets its target, to within half a point."""
        return self.feasible and self.service_level >= self.target - 0.005

    @property
    def shortfall(self) -> float:
        """By how much the service level misses the target."""
        return max(0.0, self.target - self.service_level)

    @property
    def reaction_s(self) -> float | None:
        """Mean time from a recall until the ACD could give the agent a call."""
        return sum(self.reactions_s) / len(self.reactions_s) if self.reactions_s else None


@dataclass(frozen=True, slots=True)
class Minute:
    """One line of a day's trace: counts of one group at one moment, totals since the opening."""

    at_s: float
    group: str
    waiting: int
    idle: int
    on_call: int
    on_tasks: int
    reserve: int
    reserve_firm: int
    allowance: int
    armed: bool
    required: float
    service_level: float
    offered: int
    starts: int
    recalls: int


@dataclass(frozen=True, slots=True)
class DayResult:
    """A whole day. ``violations``: invariants of the store that its own audit found broken at the end."""

    name: str
    groups: Mapping[str, Figures]
    queued: int = 0
    held: int = 0
    submitted: int = 0
    late_open: int = 0
    """Tasks past their due time that were not done at the end."""
    least_urgent_wait_s: float = 0.0
    """Mean time from submit to first start of the kind of work with the lowest priority."""
    violations: Sequence[str] = ()
    trace: Sequence[Minute] = field(default=())

    @property
    def total(self) -> Figures:
        """All groups together; the target is the first group's."""
        parts = list(self.groups.values())
        return Figures(
            calls=_added(CallFigures, [part.calls for part in parts]),
            without=_added(CallFigures, [part.without for part in parts]),
            work=_added(WorkFigures, [part.work for part in parts]),
            target=parts[0].target if parts else 0.8,
            reactions_s=tuple(reaction for part in parts for reaction in part.reactions_s),
        )


def mapping_of(figures: Figures) -> dict[str, float | None]:
    """The figures as plain numbers by name, for JSON and tables; counts of work with their names, times in s or h."""
    counted = {name: getattr(figures.work, name) for name in _WORK_COUNTS}
    return {
        "service_level": figures.service_level,
        "service_level_without": figures.service_level_without,
        "target": figures.target,
        "calls": figures.calls.offered,
        "answered": figures.calls.answered,
        "answered_in_target": figures.calls.in_target,
        "abandoned": figures.calls.abandoned,
        "half_hours": figures.calls.half_hours,
        "half_hours_under_50": figures.calls.bad_half_hours,
        "half_hours_under_50_without": figures.without.bad_half_hours,
        "paid_hours": figures.paid_hours,
        "spare_hours": figures.spare_hours,
        "recovered_hours": figures.recovered_hours,
        "recovered_share": figures.recovered_share,
        "recalls_per_paid_hour": figures.recalls_per_paid_hour,
        "recalls_per_task": figures.recalls_per_task,
        "recall_reaction_s": figures.reaction_s,
        "feasible": figures.feasible,
        "kept": figures.kept,
        "shortfall": figures.shortfall,
        **counted,
    }


_WORK_COUNTS = (
    "done",
    "late",
    "offers",
    "starts",
    "recalls",
    "interruptions",
    "rescinded",
    "forced",
    "resumed_here",
)


def call_figures(center: Center) -> CallFigures:
    """The figures of a day that was played to its end."""
    seconds = seconds_by_state(center.history)
    levels = half_hour_levels(center)
    queue = center.queue()
    return CallFigures(
        offered=queue.offered,
        answered=queue.answered,
        in_target=queue.in_target,
        abandoned=queue.abandoned,
        idle_s=seconds[AgentState.AVAILABLE],
        paid_s=sum(s for state, s in seconds.items() if state is not AgentState.OFFLINE),
        bad_half_hours=sum(level < HALF for level in levels),
        half_hours=len(levels),
    )


def seconds_by_state(history: Sequence[AgentChange]) -> dict[AgentState, float]:
    """All agents' seconds in each state, from their changes in order; the last one of each agent has no length."""
    total = dict.fromkeys(AgentState, 0.0)
    by_agent: dict[str, list[AgentChange]] = {}
    for change in history:
        by_agent.setdefault(change.agent, []).append(change)
    for changes in by_agent.values():
        for entered, left in pairwise(changes):
            total[entered.state] += left.at - entered.at
    return total


def half_hour_levels(center: Center) -> list[float]:
    """The service level of each half hour's arrivals, all queues together."""
    target_s = {queue.name: queue.tau_s for queue in center.queues}
    counts: dict[int, tuple[int, int]] = {}
    for call, outcome in zip(center.calls, center.outcomes, strict=True):
        if outcome.resolved_at is not None:
            half_hour = int(outcome.arrived_at // HALF_HOUR_S)
            good, all = counts.get(half_hour, (0, 0))
            counts[half_hour] = good + outcome.answered_within(target_s[call.queue]), all + 1
    return [good / all for _, (good, all) in sorted(counts.items())]


def _added(kind: type[T], parts: Sequence[T]) -> T:
    names = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: sum(getattr(part, name) for part in parts) for name in names})
