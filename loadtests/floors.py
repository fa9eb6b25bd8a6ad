"""The telephone side of a load test, without I/O: which agent is in which state when, and what the call queues show.

Times are s since the test began.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from callcenter.calls import Handling, draw_calls
from callcenter.center import AgentChange, AgentState, Center
from callcenter.distributions import Exponential
from callcenter.staffing import Shift
from clients.values import duration
from loadtests.people import GROUP
from router.v1.telephony_pb2 import CallQueueReport

MOST_AGES = 100
"""Ages of waiting calls that one report of a call queue may carry."""
CALL_QUEUE = "calls"


class Change(NamedTuple):
    """An agent is in a state since a time (s)."""

    agent: str
    state: AgentState
    at: float


class Floor(Protocol):
    """What an ACD knows."""

    def next_at(self) -> float | None:
        """When something happens next."""

    def advance(self, to: float) -> list[Change]:
        """Let happen what happens up to a time; the agents' changes, in order."""

    def states(self) -> Mapping[str, AgentState]:
        """Every agent's state."""

    def call_queues(self, at: float) -> list[CallQueueReport]:
        """The figures of all call queues."""

    def obey(self, agent: str, reserve: bool) -> bool:
        """Take an agent off the call distribution, or put the agent back. False: it cannot be done now."""


class CenterFloor:
    """A floor on which a model of a contact center plays calls; ``speed`` of its seconds pass in one."""

    def __init__(
        self, center: Callable[[Callable[[AgentChange], None]], Center], opens_at: float, speed: float
    ):
        self._changes: list[AgentChange] = []
        self._center = center(self._changes.append)
        self._opens_at = opens_at
        self._speed = speed
        self._center.advance_to(opens_at)
        self._changes.clear()

    def next_at(self) -> float | None:
        due = self._center.next_event_at()
        return None if due is None else self._wall(due)

    def advance(self, to: float) -> list[Change]:
        self._center.advance_to(self._opens_at + to * self._speed)
        return self._took_place()

    def states(self) -> Mapping[str, AgentState]:
        return {agent: self._center.state_of(agent) for agent in self._center.agents}

    def call_queues(self, at: float) -> list[CallQueueReport]:
        figures = self._center.queue()
        ages = [age / self._speed for age in self._center.waiting_ages()]
        handling_s = figures.handled_s / figures.handled / self._speed if figures.handled else None
        return [
            CallQueueReport(
                call_queue=CALL_QUEUE,
                blending_group=GROUP,
                calls_waiting=figures.waiting,
                oldest_wait=duration(ages[0] if ages else 0.0),
                waiting_ages=[duration(age) for age in ages[:MOST_AGES]],
                offered=figures.offered,
                answered=figures.answered,
                answered_in_target=figures.in_target,
                abandoned=figures.abandoned,
                average_handling_time=duration(handling_s) if handling_s else None,
            )
        ]

    def obey(self, agent: str, reserve: bool) -> bool:
        if agent not in self._center.agents:
            return False
        return (self._center.reserve(agent) if reserve else self._center.release(agent)).ok

    def _wall(self, time: float) -> float:
        return (time - self._opens_at) / self._speed

    def _took_place(self) -> list[Change]:
        changes = [Change(c.agent, c.state, self._wall(c.at)) for c in self._changes]
        self._changes.clear()
        return changes


def random_calls(
    agents: Sequence[str], per_s: float, handling_s: float, last_s: float, seed: int
) -> CenterFloor:
    """A floor where everybody is at work and calls come at random, at an even rate; all in real seconds."""
    rng = random.Random(seed)
    handling = Handling(time=Exponential(handling_s), patience=Exponential(60.0), ring_s=0.2)
    arrivals = list(_poisson(rng, per_s, last_s))
    calls = draw_calls(arrivals, str(seed), handling)
    # Present from before the first moment, so that nobody's arrival is an event.
    shifts = [Shift(agent, -1.0, last_s + 3600.0) for agent in agents]
    return CenterFloor(lambda on: Center(calls, shifts, ring_s=handling.ring_s, on_agent=on), 0.0, 1.0)


def _poisson(rng: random.Random, per_s: float, last_s: float) -> Iterator[float]:
    at = rng.expovariate(per_s)
    while at < last_s:
        yield at
        at += rng.expovariate(per_s)


@dataclass(frozen=True, slots=True)
class Storm:
    """From ``begins_at`` to ``ends_at`` so many calls wait, each older than any recall waits for (``age_s``)."""

    begins_at: float
    ends_at: float
    calls: int
    age_s: float


class ScriptedFloor:
    """A floor that follows a timetable: when who signs in, and when calls wait. Nobody takes a call."""

    def __init__(self, signs_in: Mapping[str, float], storms: Sequence[Storm] = ()) -> None:
        self._to_come = sorted((at, agent) for agent, at in signs_in.items())
        self._states = dict.fromkeys(signs_in, AgentState.OFFLINE)
        self._storms = storms
        self._edges = sorted(edge for storm in storms for edge in (storm.begins_at, storm.ends_at))
        self._queues = max(1, *(-(-storm.calls // MOST_AGES) for storm in storms)) if storms else 1

    def next_at(self) -> float | None:
        return min([at for at, _ in self._to_come[:1]] + self._edges[:1], default=None)

    def advance(self, to: float) -> list[Change]:
        self._edges = [edge for edge in self._edges if edge > to]
        come = [Change(agent, AgentState.AVAILABLE, at) for at, agent in self._to_come if at <= to]
        self._to_come = self._to_come[len(come) :]
        self._states.update((change.agent, change.state) for change in come)
        return come

    def states(self) -> Mapping[str, AgentState]:
        return self._states

    def call_queues(self, at: float) -> list[CallQueueReport]:
        storm = next((s for s in self._storms if s.begins_at <= at < s.ends_at), None)
        return [_stormy(number, storm) for number in range(self._queues)]

    def obey(self, agent: str, reserve: bool) -> bool:
        return False


def _stormy(number: int, storm: Storm | None) -> CallQueueReport:
    waiting = 0 if storm is None else max(0, min(MOST_AGES, storm.calls - number * MOST_AGES))
    report = CallQueueReport(call_queue=f"{CALL_QUEUE}{number}", blending_group=GROUP, calls_waiting=waiting)
    if storm is not None and waiting:
        report.oldest_wait.CopyFrom(duration(storm.age_s))
        report.waiting_ages.extend([duration(storm.age_s)] * waiting)
    return report
