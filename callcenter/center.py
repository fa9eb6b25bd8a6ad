"""The contact center: calls, patience, one call queue, agents with shifts, and the ACD between them.

A discrete-event model without any I/O. `Center.run` plays the day at once (the baseline without blending);
`Center.advance_to` plays it step by step, so that a driver can pace it by the clock and put `reserve` and
`release` between the events. Times are simulated seconds after midnight; everything that chance decides about
a call is drawn beforehand in `draw_calls`, so two runs over the same calls differ by the decisions alone.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

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


@dataclass(frozen=True, slots=True)
class Call:
    """One caller, with all that chance decides about them. Seconds."""

    number: int
    arrives_at: float
    patience_s: float
    talk_s: float
    after_s: float


@dataclass(frozen=True, slots=True)
class Handling:
    """How long calls take and how long callers wait; the defaults follow the data's README.

    The mean handling time holds talk and after-call work. `ring_s` comes on top.
    """

    aht_s: float = 240.0
    cv: float = 1.1
    after_share: float = 0.12
    patience_s: float = 500.0
    ring_s: float = 1.0


def lognormal(rng: random.Random, mean: float, cv: float) -> float:
    """Draw from the lognormal distribution with this mean and coefficient of variation."""
    variance = math.log(1 + cv * cv)
    return rng.lognormvariate(math.log(mean) - variance / 2, math.sqrt(variance))


def draw_calls(arrivals: Sequence[float], rng: random.Random, handling: Handling) -> list[Call]:
    """Draw patience, talk and after-call time of each arrival (ascending times)."""
    calls = []
    for number, at in enumerate(arrivals):
        handled = lognormal(rng, handling.aht_s, handling.cv)
        after = handled * handling.after_share
        calls.append(Call(number, at, rng.expovariate(1 / handling.patience_s), handled - after, after))
    return calls


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


@dataclass(frozen=True, slots=True)
class AgentChange:
    """An agent entered a state."""

    at: float
    agent: str
    state: AgentState
    before: AgentState


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """The call queue at one moment, with the day's counts so far.

    `resolved` holds answered and abandoned calls; `in_target` those answered within the target.
    """

    at: float
    waiting: int
    oldest_wait_s: float
    offered: int
    answered: int
    in_target: int
    abandoned: int

    @property
    def resolved(self) -> int:
        """Return the calls that were answered or given up so far."""
        return self.answered + self.abandoned

    @property
    def service_level(self) -> float:
        """Return calls answered in target over calls resolved; 1 before the first."""
        return self.in_target / self.resolved if self.resolved else 1.0


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Whether the ACD did what it was told, and the agent's state after it."""

    ok: bool
    state: AgentState


@dataclass(slots=True)
class _Agent:
    shift: Shift
    state: AgentState = AgentState.OFFLINE
    since: float = 0.0
    breaks_owed: list[float] = field(default_factory=list)
    leaving: bool = False


class Center:
    """One call queue, its agents, and the ACD that gives a waiting call to the longest-idle agent.

    `on_agent` and `on_queue` are called within the event, in the order of events; they may not call back into
    the center.
    """

    def __init__(
        self,
        calls: Sequence[Call],
        shifts: Sequence[Shift],
        *,
        ring_s: float = 1.0,
        tau_s: float = 20.0,
        on_agent: Callable[[AgentChange], None] | None = None,
        on_queue: Callable[[QueueFigures], None] | None = None,
    ) -> None:
        """Set the day up; no event is played before `advance_to` or `run`."""
        self.calls = calls
        self.outcomes = [Outcome(call.arrives_at) for call in calls]
        self.history: list[AgentChange] = []
        self.now = -math.inf
        self._ring_s = ring_s
        self._tau_s = tau_s
        self._on_agent = on_agent
        self._on_queue = on_queue
        self._agents = {shift.agent: _Agent(shift) for shift in shifts}
        # Both are dicts for their order: the first key waits longest.
        self._waiting: dict[int, Call] = {}
        self._idle: dict[str, float] = {}
        self._offered = self._answered = self._in_target = self._abandoned = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        for call in calls:
            self._at(call.arrives_at, partial(self._arrive, call))
        for shift in shifts:
            self._plan(shift)

    # What can be asked.

    @property
    def agents(self) -> list[str]:
        """Return every agent with a shift today."""
        return list(self._agents)

    def state_of(self, agent: str) -> AgentState:
        """Return an agent's state. Raises UnknownAgentError."""
        return self._agent(agent).state

    def idle_since(self, agent: str) -> float | None:
        """Return since when the agent is available, or None. Raises UnknownAgentError."""
        self._agent(agent)
        return self._idle.get(agent)

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

    def queue(self) -> QueueFigures:
        """Return the call queue's figures now."""
        oldest = next(iter(self._waiting.values()), None)
        wait = 0.0 if oldest is None else self.now - oldest.arrives_at
        return QueueFigures(
            self.now,
            len(self._waiting),
            wait,
            self._offered,
            self._answered,
            self._in_target,
            self._abandoned,
        )

    def waiting_ages(self) -> list[float]:
        """Return how long each waiting call has waited, the oldest first."""
        return [self.now - call.arrives_at for call in self._waiting.values()]

    def next_event_at(self) -> float | None:
        """Return the time of the next event, or None when the day is over."""
        return self._events[0][0] if self._events else None

    # How time passes.

    def advance_to(self, sim_time: float) -> None:
        """Play every event up to and including `sim_time`; an earlier time than now changes nothing."""
        while self._events and self._events[0][0] <= sim_time:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
        self.now = max(self.now, sim_time)

    def run(self) -> None:
        """Play the rest of the day at once."""
        while self._events:
            self.advance_to(self._events[0][0])

    # What the router may ask of the ACD.

    def reserve(self, agent: str) -> CommandResult:
        """Take an available agent off the call distribution; asking again changes nothing.

        Refused for an agent who is ringing, on a call, in after-call work, on a break or away.
        Raises UnknownAgentError.
        """
        found = self._agent(agent)
        if found.state is AgentState.AVAILABLE:
            self._enter(agent, AgentState.RESERVED)
        return CommandResult(found.state is AgentState.RESERVED, found.state)

    def release(self, agent: str) -> CommandResult:
        """Give a reserved agent back; the shift's end, an owed break or a waiting call comes first.

        Refused for an agent who is not reserved. Raises UnknownAgentError.
        """
        found = self._agent(agent)
        if found.state is not AgentState.RESERVED:
            return CommandResult(False, found.state)
        self._free(agent)
        return CommandResult(True, found.state)

    # Events.

    def _at(self, time: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._order), happen))

    def _plan(self, shift: Shift) -> None:
        name = shift.agent
        self._at(shift.start, partial(self._free, name))
        for start, end in shift.breaks:
            self._at(start, partial(self._break_due, name, end - start))
        self._at(shift.end, partial(self._shift_over, name))

    def _arrive(self, call: Call) -> None:
        self._offered += 1
        idle = next(iter(self._idle), None)
        if idle is not None:
            self._ring(idle, call)
        else:
            self._waiting[call.number] = call
            self._at(call.arrives_at + call.patience_s, partial(self._give_up, call))
        self._queue_changed()

    def _give_up(self, call: Call) -> None:
        if self._waiting.pop(call.number, None) is None:
            return
        self._abandoned += 1
        self.outcomes[call.number].abandoned_at = self.now
        self._queue_changed()

    def _ring(self, agent: str, call: Call) -> None:
        self.outcomes[call.number].agent = agent
        if self._ring_s <= 0:
            self._answer(agent, call)
            return
        self._enter(agent, AgentState.RINGING)
        self._at(self.now + self._ring_s, partial(self._answer, agent, call))

    def _answer(self, agent: str, call: Call) -> None:
        outcome = self.outcomes[call.number]
        outcome.answered_at = self.now
        self._answered += 1
        self._in_target += outcome.answered_within(self._tau_s)
        self._enter(agent, AgentState.ON_CALL)
        self._at(self.now + call.talk_s, partial(self._hang_up, agent, call))
        self._queue_changed()

    def _hang_up(self, agent: str, call: Call) -> None:
        self._enter(agent, AgentState.AFTER_CALL)
        self._at(self.now + call.after_s, partial(self._free, agent))

    def _break_due(self, agent: str, length: float) -> None:
        found = self._agents[agent]
        found.breaks_owed.append(length)
        if found.state is AgentState.AVAILABLE:
            self._free(agent)

    def _shift_over(self, agent: str) -> None:
        found = self._agents[agent]
        found.leaving = True
        if found.state in (AgentState.AVAILABLE, AgentState.NOT_READY):
            self._free(agent)

    def _break_over(self, agent: str) -> None:
        # The shift may have ended during a break that began late.
        if self._agents[agent].state is AgentState.NOT_READY:
            self._free(agent)

    def _free(self, agent: str) -> None:
        """Let an agent do what comes next: leave, take an owed break, answer a waiting call, or be idle."""
        found = self._agents[agent]
        if found.leaving:
            self._enter(agent, AgentState.OFFLINE)
        elif found.breaks_owed:
            length = found.breaks_owed.pop(0)
            self._enter(agent, AgentState.NOT_READY)
            self._at(self.now + length, partial(self._break_over, agent))
        elif self._waiting:
            call = self._waiting.pop(next(iter(self._waiting)))
            self._ring(agent, call)
            self._queue_changed()
        else:
            self._enter(agent, AgentState.AVAILABLE)

    def _enter(self, agent: str, state: AgentState) -> None:
        found = self._agents[agent]
        change = AgentChange(self.now, agent, state, found.state)
        self._idle.pop(agent, None)
        if state is AgentState.AVAILABLE:
            self._idle[agent] = self.now
        found.state, found.since = state, self.now
        self.history.append(change)
        if self._on_agent is not None:
            self._on_agent(change)

    def _queue_changed(self) -> None:
        if self._on_queue is not None:
            self._on_queue(self.queue())

    def _agent(self, agent: str) -> _Agent:
        found = self._agents.get(agent)
        if found is None:
            raise UnknownAgentError(f"no agent {agent} has a shift today")
        return found
