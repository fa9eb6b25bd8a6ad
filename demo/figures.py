"""Figures of a played day: service levels, spare time, and the series of the picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from callcenter.center import AgentChange, AgentState, Center, Outcome
from callcenter.volumes import HALF_HOUR_S

# What the picture shows as one activity.
ACTIVITY = {
    AgentState.RINGING: "on call",
    AgentState.ON_CALL: "on call",
    AgentState.AFTER_CALL: "after call",
    AgentState.RESERVED: "on tasks",
    AgentState.AVAILABLE: "idle",
    AgentState.NOT_READY: "break",
}


def service_level(outcomes: Iterable[Outcome], tau_s: float) -> float | None:
    """Return calls answered in target over calls resolved, or None without any."""
    resolved = [o for o in outcomes if o.resolved_at is not None]
    if not resolved:
        return None
    return sum(o.answered_within(tau_s) for o in resolved) / len(resolved)


def per_half_hour(outcomes: Iterable[Outcome], tau_s: float) -> list[tuple[float, float]]:
    """Return (start, service level) of each half hour, by the calls' arrival."""
    groups: dict[int, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(int(outcome.arrived_at // HALF_HOUR_S), []).append(outcome)
    levels = ((index * float(HALF_HOUR_S), service_level(groups[index], tau_s)) for index in sorted(groups))
    return [(start, level) for start, level in levels if level is not None]


def running(outcomes: Iterable[Outcome], tau_s: float) -> list[tuple[float, float]]:
    """Return the service level of the day so far after each resolved call."""
    resolved = sorted(
        (o.resolved_at, o.answered_within(tau_s)) for o in outcomes if o.resolved_at is not None
    )
    series, good = [], 0
    for count, (at, in_target) in enumerate(resolved, start=1):
        good += in_target
        series.append((at, good / count))
    return series


def seconds_by_state(history: Sequence[AgentChange], since: float, until: float) -> dict[AgentState, float]:
    """Add up all agents' seconds in each state between two times, from their changes in order."""
    total = dict.fromkeys(AgentState, 0.0)
    entered: dict[str, AgentChange] = {}
    for change in history:
        if (last := entered.get(change.agent)) is not None:
            total[last.state] += max(0.0, min(change.at, until) - max(last.at, since))
        entered[change.agent] = change
    for last in entered.values():
        total[last.state] += max(0.0, until - max(last.at, since))
    return total


@dataclass(frozen=True, slots=True)
class Activities:
    """Agents by activity: the mean over each span that starts at one of `times`."""

    times: list[float]
    agents: dict[str, list[float]]


def activities(
    history: Sequence[AgentChange], start: float, end: float, every_s: float = 180.0
) -> Activities:
    """Average how many agents do what, over each `every_s` seconds from `start` to `end`."""
    spans = math.ceil((end - start) / every_s)
    agents = {name: [0.0] * spans for name in dict.fromkeys(ACTIVITY.values())}
    entered: dict[str, AgentChange] = {}
    for change in history:
        if (last := entered.get(change.agent)) is not None:
            _fill(agents, last, change.at, start, every_s)
        entered[change.agent] = change
    for last in entered.values():
        _fill(agents, last, end, start, every_s)
    return Activities([start + i * every_s for i in range(spans)], agents)


def _fill(
    agents: dict[str, list[float]], entered: AgentChange, left: float, start: float, span: float
) -> None:
    """Add the time from `entered` to `left` to the spans that it touches."""
    spans = agents.get(ACTIVITY.get(entered.state, ""))
    if spans is None:
        return
    first, last = int((entered.at - start) // span), int((left - start) // span)
    for index in range(max(0, first), min(last + 1, len(spans))):
        begins = start + index * span
        spans[index] += max(0.0, min(left, begins + span) - max(entered.at, begins)) / span


@dataclass(frozen=True, slots=True)
class Baseline:
    """The day, or a window of it, without blending."""

    service_level: float
    offered: int
    answered: int
    abandoned: int
    spare_hours: float
    per_half_hour: list[tuple[float, float]]


def arrived_between(center: Center, since: float, until: float) -> list[Outcome]:
    """Return what became of the calls that arrived in [since, until)."""
    return [outcome for outcome in center.outcomes if since <= outcome.arrived_at < until]


def baseline(center: Center, tau_s: float, since: float, until: float) -> Baseline:
    """Return the figures between two times of a day that was played to its end without tasks.

    Raises ValueError when no call arrived between them.
    """
    outcomes = arrived_between(center, since, until)
    level = service_level(outcomes, tau_s)
    if level is None:
        raise ValueError(f"no calls between {since} and {until}")
    answered = sum(o.answered_at is not None for o in outcomes)
    spare = seconds_by_state(center.history, since, until)[AgentState.AVAILABLE] / 3600
    halves = per_half_hour(outcomes, tau_s)
    return Baseline(level, len(outcomes), answered, len(outcomes) - answered, spare, halves)
