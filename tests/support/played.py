"""Short simulated days for tests: a fortieth of a real day's calls, two hours of it."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

from callcenter.calls import Handling, draw_calls
from callcenter.distributions import Deterministic
from callcenter.staffing import Shift
from callcenter.volumes import arrival_times
from router.policies.blending import PolicyDocument
from router.simulation.day import Play, without_blending
from router.simulation.days import DayPlan, make_day, part_of
from router.simulation.result import CallFigures, DayResult
from router.simulation.scenario import CallQueue, Day, Group, PlannedAgent

HOUR_S = 3600.0
MORNING = (9 * HOUR_S, 11 * HOUR_S)


@cache
def morning() -> Day:
    """Two busy hours at a small center with endless work."""
    return part_of(make_day(DayPlan(keep=1 / 40)), *MORNING)


@cache
def morning_alone() -> dict[str, CallFigures]:
    """The same hours without blending."""
    return without_blending(morning())


def policy(law: str = "static_reserve", **fields: object) -> PolicyDocument:
    """A policy of one agent in reserve for an ACD that takes commands."""
    return PolicyDocument(**{"law": law, "static_reserve": 1, "acd_control": True, **fields})  # type: ignore[arg-type]


def played(
    day: Day, document: PolicyDocument | dict[str, PolicyDocument], trace: bool = False
) -> tuple[Play, DayResult]:
    """A day that is over, and what came of it."""
    play = Play(day, document, trace)
    return play, play.run()


def small_group(
    id: str, agents: int, calls_per_interval: int, skills: dict[str, int] | None = None, seed: int = 1
) -> Group:
    """A group with a call queue and agents of its own, from nine to eleven."""
    begin_s, end_s = MORNING
    arrivals = arrival_times([calls_per_interval] * 24, int(begin_s), random.Random(f"{seed}/{id}"))
    queue = CallQueue(f"{id}-calls", tuple(draw_calls(arrivals, f"{seed}/{id}", Handling(), f"{id}-calls")))
    people = tuple(PlannedAgent(Shift(f"{id}-{n}", begin_s, end_s), skills or {}) for n in range(agents))
    return Group(id, (queue,), people)


def day_of(*groups: Group, **fields: object) -> Day:
    """A day of these groups."""
    return replace(morning(), groups=groups, **fields)  # type: ignore[arg-type]


SAME_TIME = Deterministic(300.0)
"""Tasks that all take five minutes."""
