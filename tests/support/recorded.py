"""A short recording made by the real controller on a simulated part of a real day, for whoever reads recordings."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from router.domain.ports import RecordedChunk
from router.simulation.day import simulate
from router.simulation.days import DayPlan, make_day, part_of
from router.simulation.result import DayResult
from router.simulation.scenario import Day, PlannedAgent, Work

HOUR_S = 3600


@cache
def recorded_hours(
    law: str = "static_reserve", begin_h: float = 10.0, end_h: float = 11.5, keep: float = 0.06
) -> tuple[Day, DayResult, tuple[RecordedChunk, ...]]:
    """The day that was played, what came of it, and what was recorded; the group is `router.simulation.days.GROUP`."""
    plan = DayPlan(keep=keep, seed=3, work=(Work(waiting=300, per_hour=60.0),))
    day = only_at_work(
        part_of(make_day(plan), begin_h * HOUR_S, end_h * HOUR_S), begin_h * HOUR_S, end_h * HOUR_S
    )
    chunks: list[RecordedChunk] = []
    result = simulate(day, f"law: {law}\nstatic_reserve: 1\nacd_control: true\n", recording=chunks)
    return day, result, tuple(chunks)


def only_at_work(day: Day, begin_s: float, end_s: float) -> Day:
    """The day with agents there between two times only, and open as long."""
    groups = tuple(
        replace(
            group,
            agents=tuple(
                _clipped(agent, begin_s, end_s) for agent in group.agents if _there(agent, begin_s, end_s)
            ),
        )
        for group in day.groups
    )
    return replace(day, groups=groups, opens_s=begin_s, closes_s=end_s)


def _there(agent: PlannedAgent, begin_s: float, end_s: float) -> bool:
    return agent.shift.start < end_s and begin_s < agent.shift.end


def _clipped(agent: PlannedAgent, begin_s: float, end_s: float) -> PlannedAgent:
    shift = agent.shift
    breaks = tuple((b, e) for b, e in shift.breaks if begin_s <= b and e <= end_s)
    start, end = max(begin_s, shift.start), min(end_s, shift.end)
    return replace(agent, shift=replace(shift, start=start, end=end, breaks=breaks))
