"""The named scenarios: who takes part, what happens when, and under which policy. Pure: the users play them.

Times are s since the test began, unless a name says otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import yaml

from demo.day import DayOptions, make_day
from demo.policy import policy_text
from demo.scale import Scale
from loadtests.floors import CALL_QUEUE, MOST_AGES, CenterFloor, Floor, ScriptedFloor, Storm, random_calls

SEED = 7
QUIET_S = 6.0
"""After the load: what is under way comes to its end, and every process reports, before the final account."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What can be chosen on the command line; None stands for the scenario's own choice."""

    desktops: int | None = None
    pullers: int | None = None
    submits_per_s: float | None = None
    seconds: float | None = None
    backlog: int | None = None
    speed: float = 60.0
    """Seconds of the recorded day that pass in one, for mixed-day."""
    since: float = 10 * 3600.0
    """Where mixed-day begins, s after midnight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything that users must know beforehand, the same in each process."""

    name: str
    about: str
    agents: tuple[str, ...]
    """All of them stand at the telephone; the last ``pullers`` ask for tasks, the others hold a session."""
    pullers: int
    floor: Callable[[], Floor]
    policy: str
    """The policy document of the group."""
    submits_per_s: float
    seconds: float
    """How long there is load."""
    ramp_s: float
    """In which time everybody logs in."""
    backlog: int
    priorities: tuple[int, ...] = (40, 50, 60)
    """Of the backlog's tasks; each of them makes a queue for each kind of work."""
    work_s: float
    """How long an agent works on a task, half to one and a half times."""
    think_s: float = 0.2
    """From the offer on the screen to the agent's answer."""
    save_s: float = 0.3
    """From the recall on the screen to the agent's handing back."""
    pull_every_s: float = 2.0
    breaches: tuple[float, ...] = ()
    openings: tuple[float, ...] = ()
    gate_opens_at: float | None = None
    """Until then a supervisor holds the gate closed."""

    @property
    def desktops(self) -> int:
        """How many agents hold a session."""
        return len(self.agents) - self.pullers


def scenario(name: str, size: Size | None = None) -> Scenario:
    """The scenario of a name. Raises ValueError for a size that it cannot have."""
    given = size or Size()
    for field, least in (
        ("desktops", 1),
        ("pullers", 0),
        ("submits_per_s", 0),
        ("seconds", 1),
        ("backlog", 0),
    ):
        value = getattr(given, field)
        if value is not None and value < least:
            raise ValueError(f"{field} must be at least {least}, not {value}")
    if not given.speed > 0:
        raise ValueError(f"speed must be above 0, not {given.speed:g}")
    return SCENARIOS[name](given)


def steady(size: Size) -> Scenario:
    """An even stream of tasks and calls."""
    seconds, agents, pullers = _people(size, 40.0, 60, 6)
    per_s = 0.1 * len(agents) / 2.0
    return Scenario(
        name="steady",
        about="an even stream of tasks, while a tenth of the agents is on calls",
        agents=agents,
        pullers=pullers,
        floor=lambda: random_calls(agents, per_s, 2.0, seconds, SEED),
        policy=_policy(reserve=3),
        submits_per_s=_or(size.submits_per_s, 20.0),
        seconds=seconds,
        ramp_s=4.0,
        backlog=_or(size.backlog, 0),
        work_s=1.0,
    )


def morning_flood(size: Size) -> Scenario:
    """Everybody logs in at once, and then the gate opens."""
    seconds, agents, pullers = _people(size, 25.0, 100, 0)
    opens_at = min(12.0, seconds / 2.0)
    return Scenario(
        name="morning-flood",
        about="everybody logs in within four seconds, and later the gate opens for all at once",
        agents=agents,
        pullers=pullers,
        floor=lambda: ScriptedFloor(_sign_in(agents, 1.0, 5.0)),
        policy=_policy(reserve=0),
        submits_per_s=_or(size.submits_per_s, 5.0),
        seconds=seconds,
        ramp_s=4.0,
        backlog=_or(size.backlog, 4 * len(agents)),
        work_s=4.0,
        openings=(opens_at,),
        gate_opens_at=opens_at,
    )


def call_storm(size: Size) -> Scenario:
    """As many calls as agents wait at once, while everybody is on a task; and once more."""
    seconds, agents, pullers = _people(size, 45.0, 200, 0)
    # The second storm meets agents who hold the same tasks under newer fences.
    storms = tuple(
        Storm(share * seconds, (share + 0.11) * seconds, len(agents), age_s=19.0) for share in (0.4, 0.7)
    )
    return Scenario(
        name="call-storm",
        about="a report of as many waiting calls as agents, twice, while all are on tasks: everybody is recalled",
        agents=agents,
        pullers=pullers,
        floor=lambda: ScriptedFloor(_sign_in(agents, 1.0, 5.0), storms),
        policy=_policy(reserve=0, queues=-(-len(agents) // MOST_AGES)),
        submits_per_s=_or(size.submits_per_s, 5.0),
        seconds=seconds,
        ramp_s=4.0,
        backlog=_or(size.backlog, 2 * len(agents)),
        work_s=300.0,
        breaches=tuple(storm.begins_at for storm in storms),
        openings=tuple(storm.ends_at for storm in storms),
    )


def backlog(size: Size) -> Scenario:
    """A mountain of tasks, from which everybody takes."""
    seconds, agents, pullers = _people(size, 30.0, 40, 20)
    return Scenario(
        name="backlog",
        about="a backlog is loaded first, in batches of 1000; then desktops and pullers work it off",
        agents=agents,
        pullers=pullers,
        floor=lambda: ScriptedFloor(_sign_in(agents, 0.0, 2.0)),
        policy=_policy(reserve=0),
        submits_per_s=_or(size.submits_per_s, 5.0),
        seconds=seconds,
        ramp_s=3.0,
        backlog=_or(size.backlog, 20_000),
        priorities=tuple(range(101)),
        work_s=0.5,
        pull_every_s=1.0,
    )


def mixed_day(size: Size) -> Scenario:
    """A part of a real day of calls, faster than it was."""
    seconds = _or(size.seconds, 45.0)
    day = make_day(DayOptions(seed=SEED))
    shifts = {shift.agent: shift for shift in day.shifts}
    ends_at = size.since + seconds * size.speed
    working = tuple(a for a, s in shifts.items() if s.start < ends_at and s.end > size.since)
    pullers = _or(size.pullers, 4)
    agents = working[: _or(size.desktops, len(working)) + pullers]
    if len(agents) <= pullers:
        raise ValueError("nobody with a desktop is at work in this part of the day: choose another --since")
    # The calls need the whole crew: whoever has no desktop just takes calls.
    return Scenario(
        name="mixed-day",
        about="real calls of 24 July 2003, an eighth of a bank's, compressed in time; the ACD takes commands",
        agents=agents,
        pullers=pullers,
        floor=lambda: CenterFloor(day.center, size.since, size.speed),
        policy=policy_text(CALL_QUEUE, day.options.target, Scale(size.speed)),
        submits_per_s=_or(size.submits_per_s, 5.0),
        seconds=seconds,
        ramp_s=4.0,
        backlog=_or(size.backlog, 100),
        work_s=300.0 / size.speed,
        think_s=3.0 / size.speed,
        save_s=3.0 / size.speed,
    )


SCENARIOS: Mapping[str, Callable[[Size], Scenario]] = {
    "steady": steady,
    "morning-flood": morning_flood,
    "call-storm": call_storm,
    "backlog": backlog,
    "mixed-day": mixed_day,
}


def _people(size: Size, seconds: float, desktops: int, pullers: int) -> tuple[float, tuple[str, ...], int]:
    """How long the load lasts, everybody's name, and how many of them pull."""
    pullers = _or(size.pullers, pullers)
    count = _or(size.desktops, desktops) + pullers
    return _or(size.seconds, seconds), tuple(f"agent{number:04d}" for number in range(count)), pullers


def _or(chosen: T | None, otherwise: T) -> T:
    return otherwise if chosen is None else chosen


def _sign_in(agents: tuple[str, ...], first: float, last: float) -> dict[str, float]:
    rng = random.Random(SEED)
    return {agent: rng.uniform(first, last) for agent in agents}


def _policy(reserve: int, queues: int = 1) -> str:
    """Nothing of the law's own judgement between a report and what it causes: the router is to be measured."""
    names = [CALL_QUEUE] + [f"{CALL_QUEUE}{number}" for number in range(queues)]
    return yaml.safe_dump(
        {
            "law": "static_reserve",
            "call_queues": names,
            "static_reserve": reserve,
            "min_idle_s": 0,
            "minimum_dwell_s": 0,
            "update_interval_s": 0.5,
            "interruptions_per_agent_hour": 3600,
            "max_recalls_per_second": 10_000,
        },
        sort_keys=False,
    )
