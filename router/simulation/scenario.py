"""A day to be simulated, as values: calls, agents, work, desktops and the link to the ACD. No behaviour, no I/O.

Times ending in ``_s`` are seconds, those of the day counted from midnight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from callcenter.calls import Call
from callcenter.distributions import Deterministic, Distribution, Lognormal
from callcenter.staffing import Shift


@dataclass(frozen=True, slots=True)
class ForecastStep:
    """Calls expected and agents scheduled from ``start_s`` on for ``length_s``."""

    start_s: float
    length_s: float
    calls: float
    staff: float = 0.0


@dataclass(frozen=True, slots=True)
class CallQueue:
    """One call queue with every call of the day, each of which names it.

    ``target_s`` and ``target_share``: what its service level is held to. Free agents look at higher ``priority`` first.
    """

    id: str
    calls: tuple[Call, ...]
    forecast: tuple[ForecastStep, ...] = ()
    target_s: float = 20.0
    target_share: float = 0.8
    aht_s: float = 240.0
    """Handling time that the ACD believes in the morning."""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class PlannedAgent:
    """One agent's day, and the skills for back-office tasks.

    ``shift.queues`` names the call queues that the agent serves; none: all.
    """

    shift: Shift
    skills: Mapping[str, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The agent's id."""
        return self.shift.agent


@dataclass(frozen=True, slots=True)
class Group:
    """A blending group: the call queues and agents over which one policy decides.

    ``history``: calls offered on earlier days in each quarter of an hour from the opening, as a leader would have kept
    them; where no queue has a forecast, the leader learns one from it.
    """

    id: str
    queues: tuple[CallQueue, ...]
    agents: tuple[PlannedAgent, ...]
    ring_s: float = 1.0
    history: Mapping[date, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of back-office task and how it comes in.

    ``time``: seconds of work in a task. ``waiting`` tasks are there at the opening, ``per_hour`` more arrive at random
    until the close; ``endless`` keeps the queue filled, whatever is done. ``goal_s``: due so long after the submit.
    ``priority``: 0 to 100, high ones first.
    """

    id: str = "claims"
    time: Distribution = Lognormal(300.0, 0.75)
    interruptible: bool = True
    priority: int = 50
    skills: Mapping[str, int] = field(default_factory=dict)
    goal_s: float = 86_400.0
    waiting: int = 0
    per_hour: float = 0.0
    arrivals_s: tuple[float, ...] = ()
    """Tasks come in at just these times instead."""
    times_s: tuple[float, ...] = ()
    """Seconds of work in the first tasks, in the order in which they come; after these they are drawn."""
    endless: bool = False


@dataclass(frozen=True, slots=True)
class Desktops:
    """How agents behave at their desktops.

    ``accept_s``: from an offer to its acceptance. ``hand_back_s``: from a recall to the task's return to the router.
    ``back_s``: from a recall until the ACD can give the agent a call again, if the ACD is commanded. ``lost_s``: work
    that an interruption costs, never more than the attempt has done. ``autosave_s``: progress is saved so often, and
    what was saved is not lost (0: never). ``settle_s``: to find the way into a task that was begun before.
    """

    accept_s: Distribution = Deterministic(0.0)
    hand_back_s: Distribution = Deterministic(3.0)
    back_s: float = 10.0
    lost_s: float = 30.0
    autosave_s: float = 0.0
    settle_s: Distribution = Deterministic(0.0)


@dataclass(frozen=True, slots=True)
class AcdLink:
    """How reports reach the router and commands the ACD.

    ``lag_s``: a report is under way so long. ``loss``: share of reports that never arrive. ``silences``: (from, until)
    in which nothing passes either way; after each a snapshot heals. ``heartbeat_s``: a sign of life after so much
    quiet. ``snapshot_s``: a full snapshot so often (0: only at the start and after a silence). ``command_s``: until a
    command is carried out; ``commands_per_s``: how many the ACD takes (0: any number).
    """

    lag_s: float = 0.0
    loss: float = 0.0
    silences: tuple[tuple[float, float], ...] = ()
    heartbeat_s: float = 5.0
    snapshot_s: float = 0.0
    command_s: float = 0.0
    commands_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Day:
    """Everything about one day but the policies under which it is played.

    ``stops_s``: the router stops then; what is on a desk is handed back, and calls go on without blending.
    """

    date: date
    seed: int
    opens_s: float
    closes_s: float
    groups: tuple[Group, ...]
    work: tuple[Work, ...] = (Work(endless=True),)
    desktops: Desktops = Desktops()
    link: AcdLink = AcdLink()
    stops_s: float = math.inf

    @property
    def ends_s(self) -> float:
        """When the last shift ends."""
        ends = [agent.shift.end for group in self.groups for agent in group.agents]
        return max(ends, default=self.closes_s)
