"""The call center: call queues, patience, agents with skills and shifts, and the ACD between them.

A discrete-event model without any I/O. `Center.run` plays the day at once (the baseline without blending);
`Center.advance_to` plays it step by step, so that a driver can pace it by the clock and put `reserve` and
`release` between the events. Times are simulated seconds after midnight; everything that chance decides about
a call was drawn beforehand (`callcenter.calls`), so two runs over the same calls differ by the decisions alone.

Calls are taken from their sorted list and everything else from a plain heap.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from typing import Any, NamedTuple

from callcenter.calls import CALL_QUEUE, Call
from callcenter.staffing import Shift


class AgentState(StrEnum):
    """An agent's telephony state, in the words of the telephony contract."""

    OFFLINE = "OFFLINE"
    AVAILABLE = "AVAILABLE"
    RINGING = "RINGING"
    ON_CALL = "ON_CALL"
    AFTER_CALL = "AFTER_CALL"
    NOT_READY = "NOT_READY"
    RESERVED = "RESERVED"


class UnknownAgentError(ValueError):
    """A command named an agent that has no shift today."""


class UnknownQueueError(ValueError):
    """A call, a shift or a question named a call queue that the center does not have."""


@dataclass(frozen=True, slots=True)
class CallQueue:
    """A call queue with its answer target; an agent who comes free looks at higher `priority` first."""

    name: str = CALL_QUEUE
    tau_s: float = 20.0
    priority: int = 0


@dataclass(slots=True)
class Outcome:
    """What became of one call; both times are None while it waits or rings."""

    arrived_at: float
    answered_at: float | None = None
    abandoned_at: float | None = None
    agent: str | None = None

    @property
    def resolved_at(self) -> float | None:
        """Return when the call was answered or given up."""
        return self.answered_at if self.answered_at is not None else self.abandoned_at

    def answered_within(self, tau_s: float) -> bool:
        """Say whether it was answered within the target."""
        return self.answered_at is not None and self.answered_at - self.arrived_at <= tau_s


class AgentChange(NamedTuple):
    """An agent entered a state. `call` is the number of the call that rings, is talked on or wrapped up."""

    at: float
    agent: str
    state: AgentState
    before: AgentState
    call: int | None = None


class QueueFigures(NamedTuple):
    """A call queue at one moment, with the day's counts so far.

    `in_target` counts the calls answered within the target; `handled` those whose after-call work is done, and
    `handled_s` is their talk and after-call work together. `queue` is None for all queues together.
    """

    at: float
    waiting: int
    oldest_wait_s: float
    offered: int
    answered: int
    in_target: int
    abandoned: int
    handled: int = 0
    handled_s: float = 0.0
    queue: str | None = None

    @property
    def resolved(self) -> int:
        """Return the calls that were answered or given up so far."""
        return self.answered + self.abandoned

    @property
    def service_level(self) -> float:
        """Return calls answered in target over calls resolved; 1 before the first."""
        return self.in_target / self.resolved if self.resolved else 1.0


class CommandResult(NamedTuple):
    """Whether the ACD did what it was told, and the agent's state after it."""

    ok: bool
    state: AgentState


class _Agent:
    """One agent. `crew` holds the idle agents of the same skills, the longest idle first."""

    __slots__ = ("breaks_owed", "crew", "idle_since", "leaving", "name", "shift", "skills", "state")

    def __init__(self, shift: Shift, crew: _Crew, skills: list[_Queue]) -> None:
        self.name = shift.agent
        self.shift = shift
        self.crew = crew
        self.skills = skills
        self.state = AgentState.OFFLINE
        self.idle_since: tuple[float, int] | None = None
        self.breaks_owed: list[float] = []
        self.leaving = False


_Crew = OrderedDict[str, _Agent]


@dataclass(slots=True)
class _Queue:
    """A call queue's waiting calls and counts. Calls given up stay in `line` until they are its head."""

    spec: CallQueue
    line: deque[Call] = field(default_factory=deque)
    waiting: int = 0
    offered: int = 0
    answered: int = 0
    in_target: int = 0
    abandoned: int = 0
    handled: int = 0
    handled_s: float = 0.0
    crews: list[_Crew] = field(default_factory=list)


_arrival = attrgetter("arrives_at")
_idle_since = attrgetter("idle_since")
# What an event does to whom; `_order` keeps events of one moment in the order in which they were planned.
_Event = tuple[float, int, Callable[..., None], tuple[Any, ...]]


class Center:
    """Call queues, their agents, and the ACD between them.

    A call goes to the longest-idle agent who serves its queue. An agent who comes free takes the oldest waiting
    call of the queues that it serves, those of higher priority first. `on_agent` and `on_queue` are called within the
    event, in the order of events; they may not call back into the center.
    """

    def __init__(
        self,
        calls: Sequence[Call],
        shifts: Sequence[Shift],
        *,
        queues: Sequence[CallQueue] = (),
        ring_s: float = 1.0,
        tau_s: float = 20.0,
        on_agent: Callable[[AgentChange], None] | None = None,
        on_queue: Callable[[QueueFigures], None] | None = None,
    ) -> None:
        """Set the day up; no event is played before `advance_to` or `run`.

        Without `queues` there is one for each name that a call or a shift has, all with the target `tau_s`. Raises
        UnknownQueueError, or ValueError for calls not numbered in their order and an agent with two shifts.
        """
        self.calls = calls
        self.outcomes = [Outcome(call.arrives_at) for call in calls]
        self.history: list[AgentChange] = []
        self.now = -math.inf
        self._ring_s = ring_s
        self._on_agent = on_agent
        self._on_queue = on_queue
        self._queues = {spec.name: _Queue(spec) for spec in queues or _named(calls, shifts, tau_s)}
        self._agents: dict[str, _Agent] = {}
        self._events: list[_Event] = []
        self._order = 0
        self._arrivals = sorted(calls, key=_arrival)
        self._arrived = 0
        self._check(calls)
        crews: dict[frozenset[str], _Crew] = {}
        for shift in shifts:
            self._engage(shift, crews)

    # What can be asked.

    @property
    def agents(self) -> list[str]:
        """Return every agent with a shift today."""
        return list(self._agents)

    @property
    def queues(self) -> list[CallQueue]:
        """Return the call queues."""
        return [queue.spec for queue in self._queues.values()]

    def state_of(self, agent: str) -> AgentState:
        """Return an agent's state. Raises UnknownAgentError."""
        return self._agent(agent).state

    def queues_of(self, agent: str) -> list[str]:
        """Return the call queues that an agent serves, the one it looks at first first. Raises UnknownAgentError."""
        return [queue.spec.name for queue in self._agent(agent).skills]

    def idle_since(self, agent: str) -> float | None:
        """Return since when the agent is available, or None. Raises UnknownAgentError."""
        since = self._agent(agent).idle_since
        return None if since is None else since[0]

    def next_absence(self, agent: str) -> float:
        """Return when the agent's next planned break or shift end begins (at once when owed)."""
        found = self._agent(agent)
        if found.breaks_owed or found.leaving:
            return self.now
        return min((b for b, _ in found.shift.breaks if b > self.now), default=found.shift.end)

    def states(self) -> dict[AgentState, int]:
        """Count the agents by state."""
        counts = dict.fromkeys(AgentState, 0)
        for agent in self._agents.values():
            counts[agent.state] += 1
        return counts

    def queue(self, name: str | None = None) -> QueueFigures:
        """Return a call queue's figures now, or those of all together. Raises UnknownQueueError."""
        if name is not None:
            return self._figures(self._queue(name))
        each = [self._figures(queue) for queue in self._queues.values()]
        if len(each) == 1:
            return each[0]
        return QueueFigures(
            self.now,
            sum(f.waiting for f in each),
            max(f.oldest_wait_s for f in each),
            sum(f.offered for f in each),
            sum(f.answered for f in each),
            sum(f.in_target for f in each),
            sum(f.abandoned for f in each),
            sum(f.handled for f in each),
            sum(f.handled_s for f in each),
        )

    def waiting_ages(self, name: str | None = None) -> list[float]:
        """Return how long each waiting call of a queue, or of all, has waited, the oldest first.

        Raises UnknownQueueError.
        """
        queues = self._queues.values() if name is None else [self._queue(name)]
        waiting = (c for queue in queues for c in queue.line if self.outcomes[c.number].abandoned_at is None)
        return sorted((self.now - call.arrives_at for call in waiting), reverse=True)

    def next_event_at(self) -> float | None:
        """Return the time of the next event, or None when the day is over."""
        arrives_at = self._arrivals[self._arrived].arrives_at if self._arrived < len(self._arrivals) else None
        if not self._events:
            return arrives_at
        return self._events[0][0] if arrives_at is None else min(arrives_at, self._events[0][0])

    # How time passes.

    def advance_to(self, sim_time: float) -> None:
        """Play every event up to and including `sim_time`; an earlier time than now changes nothing."""
        self._play(sim_time)
        self.now = max(self.now, sim_time)

    def run(self) -> None:
        """Play the rest of the day at once."""
        self._play(math.inf)

    # What the router may ask of the ACD.

    def reserve(self, agent: str) -> CommandResult:
        """Take an available agent off the call distribution; asking again changes nothing.

        Refused for an agent who is ringing, on a call, in after-call work, on a break or away.
        Raises UnknownAgentError.
        """
        found = self._agent(agent)
        if found.state is AgentState.AVAILABLE:
            self._enter(found, AgentState.RESERVED)
        return CommandResult(found.state is AgentState.RESERVED, found.state)

    def release(self, agent: str) -> CommandResult:
        """Give a reserved agent back; the shift's end, an owed break or a waiting call comes first.

        Refused for an agent who is not reserved. Raises UnknownAgentError.
        """
        found = self._agent(agent)
        if found.state is not AgentState.RESERVED:
            return CommandResult(False, found.state)
        self._free(found)
        return CommandResult(True, found.state)

    # Setting up.

    def _check(self, calls: Sequence[Call]) -> None:
        for place, call in enumerate(calls):
            if call.number != place:
                raise ValueError(f"call {place} of the list has number {call.number}; number calls from 0")
            self._queue(call.queue)

    def _engage(self, shift: Shift, crews: dict[frozenset[str], _Crew]) -> None:
        if shift.agent in self._agents:
            raise ValueError(f"agent {shift.agent} has two shifts; make them one with a break")
        names = frozenset(shift.queues or self._queues)
        skills = sorted(
            (self._queue(n) for n in names), key=lambda queue: (-queue.spec.priority, queue.spec.name)
        )
        if names not in crews:
            crews[names] = OrderedDict()
            for queue in skills:
                queue.crews.append(crews[names])
        agent = self._agents[shift.agent] = _Agent(shift, crews[names], skills)
        self._at(shift.start, self._free, agent)
        for start, end in shift.breaks:
            self._at(start, self._break_due, agent, end - start)
        self._at(shift.end, self._shift_over, agent)

    # Events.

    def _play(self, until: float) -> None:
        events, arrivals, last = self._events, self._arrivals, len(self._arrivals)
        while True:
            arrives_at = arrivals[self._arrived].arrives_at if self._arrived < last else math.inf
            happens_at = events[0][0] if events else math.inf
            if min(arrives_at, happens_at) > until or arrives_at == happens_at == math.inf:
                return
            # A call comes before whatever else happens at its moment.
            if arrives_at <= happens_at:
                self.now = arrives_at
                self._arrived += 1
                self._arrive(arrivals[self._arrived - 1])
            else:
                self.now, _, happen, of = heapq.heappop(events)
                happen(*of)

    def _at(self, time: float, happen: Callable[..., None], *of: Any) -> None:
        if time < math.inf:
            self._order += 1
            heapq.heappush(self._events, (time, self._order, happen, of))

    def _arrive(self, call: Call) -> None:
        queue = self._queues[call.queue]
        queue.offered += 1
        idle = _longest_idle(queue.crews)
        if idle is not None:
            self._ring(idle, call, queue)
        else:
            queue.line.append(call)
            queue.waiting += 1
            self._at(call.arrives_at + call.patience_s, self._give_up, call, queue)
        self._queue_changed(queue)

    def _give_up(self, call: Call, queue: _Queue) -> None:
        outcome = self.outcomes[call.number]
        if outcome.agent is not None:
            return
        outcome.abandoned_at = self.now
        queue.waiting -= 1
        queue.abandoned += 1
        self._queue_changed(queue)

    def _ring(self, agent: _Agent, call: Call, queue: _Queue) -> None:
        self.outcomes[call.number].agent = agent.name
        if self._ring_s <= 0:
            self._answer(agent, call, queue)
            return
        self._enter(agent, AgentState.RINGING, call.number)
        self._at(self.now + self._ring_s, self._answer, agent, call, queue)

    def _answer(self, agent: _Agent, call: Call, queue: _Queue) -> None:
        outcome = self.outcomes[call.number]
        outcome.answered_at = self.now
        queue.answered += 1
        queue.in_target += self.now - outcome.arrived_at <= queue.spec.tau_s
        self._enter(agent, AgentState.ON_CALL, call.number)
        self._at(self.now + call.talk_s, self._hang_up, agent, call, queue)
        self._queue_changed(queue)

    def _hang_up(self, agent: _Agent, call: Call, queue: _Queue) -> None:
        self._enter(agent, AgentState.AFTER_CALL, call.number)
        self._at(self.now + call.after_s, self._wrapped_up, agent, call, queue)

    def _wrapped_up(self, agent: _Agent, call: Call, queue: _Queue) -> None:
        queue.handled += 1
        queue.handled_s += call.talk_s + call.after_s
        self._free(agent)

    def _break_due(self, agent: _Agent, length: float) -> None:
        agent.breaks_owed.append(length)
        if agent.state is AgentState.AVAILABLE:
            self._free(agent)

    def _shift_over(self, agent: _Agent) -> None:
        agent.leaving = True
        if agent.state in (AgentState.AVAILABLE, AgentState.NOT_READY):
            self._free(agent)

    def _break_over(self, agent: _Agent) -> None:
        # The shift may have ended during a break that began late.
        if agent.state is AgentState.NOT_READY:
            self._free(agent)

    def _free(self, agent: _Agent) -> None:
        """Let an agent do what comes next: leave, take an owed break, answer a waiting call, or be idle."""
        if agent.leaving:
            self._enter(agent, AgentState.OFFLINE)
        elif agent.breaks_owed:
            length = agent.breaks_owed.pop(0)
            self._enter(agent, AgentState.NOT_READY)
            self._at(self.now + length, self._break_over, agent)
        elif (queue := self._next_queue(agent)) is not None:
            call = queue.line.popleft()
            queue.waiting -= 1
            self._ring(agent, call, queue)
            self._queue_changed(queue)
        else:
            self._enter(agent, AgentState.AVAILABLE)

    def _next_queue(self, agent: _Agent) -> _Queue | None:
        """Return the queue from which an agent who comes free takes the first call."""
        best: _Queue | None = None
        since = math.inf
        for queue in agent.skills:
            if best is not None and queue.spec.priority < best.spec.priority:
                break
            if queue.waiting and (arrived_at := self._head(queue).arrives_at) < since:
                best, since = queue, arrived_at
        return best

    def _head(self, queue: _Queue) -> Call:
        """Return the call that waits longest in a queue where one waits."""
        while self.outcomes[queue.line[0].number].abandoned_at is not None:
            queue.line.popleft()
        return queue.line[0]

    def _enter(self, agent: _Agent, state: AgentState, call: int | None = None) -> None:
        change = AgentChange(self.now, agent.name, state, agent.state, call)
        if state is AgentState.AVAILABLE:
            self._order += 1
            agent.idle_since = (self.now, self._order)
            agent.crew[agent.name] = agent
        elif agent.idle_since is not None:
            agent.idle_since = None
            del agent.crew[agent.name]
        agent.state = state
        self.history.append(change)
        if self._on_agent is not None:
            self._on_agent(change)

    def _queue_changed(self, queue: _Queue) -> None:
        if self._on_queue is not None:
            self._on_queue(self._figures(queue))

    # Looking up.

    def _figures(self, queue: _Queue) -> QueueFigures:
        return QueueFigures(
            self.now,
            queue.waiting,
            self.now - self._head(queue).arrives_at if queue.waiting else 0.0,
            queue.offered,
            queue.answered,
            queue.in_target,
            queue.abandoned,
            queue.handled,
            queue.handled_s,
            queue.spec.name,
        )

    def _agent(self, agent: str) -> _Agent:
        found = self._agents.get(agent)
        if found is None:
            raise UnknownAgentError(f"no agent {agent} has a shift today")
        return found

    def _queue(self, name: str) -> _Queue:
        found = self._queues.get(name)
        if found is None:
            raise UnknownQueueError(f"there is no call queue {name!r}, only {', '.join(self._queues)}")
        return found


def _named(calls: Sequence[Call], shifts: Sequence[Shift], tau_s: float) -> list[CallQueue]:
    names = [call.queue for call in calls] + [name for shift in shifts for name in shift.queues]
    return [CallQueue(name, tau_s) for name in dict.fromkeys(names)] or [CallQueue(tau_s=tau_s)]


def _longest_idle(crews: list[_Crew]) -> _Agent | None:
    heads = [next(iter(crew.values())) for crew in crews if crew]
    return min(heads, key=_idle_since) if heads else None
