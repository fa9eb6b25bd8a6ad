"""A simulated ACD: plays a group's call center, reports it to the router and carries out the router's commands."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import partial

from callcenter.calls import merge_calls
from callcenter.center import AgentChange, AgentState, Center, QueueFigures
from callcenter.center import CallQueue as CenterQueue
from router.dispatch.caller import ACD, Caller
from router.domain.model import AcdCommand, AgentReport, CommandKind
from router.domain.model import AgentState as ReportedState
from router.domain.telephony import CallQueueReport, ForecastInterval, ReportBatch
from router.simulation.scenario import CallQueue, Day, Group
from router.simulation.site import SITE, SimulatedSite
from router.simulation.timeline import Timeline, run_now

SOURCE = "acd-"
"""Begins the name of a group's telephony source."""
_RESERVE_S = 5.0
"""An agent is reserved within this time of the command, or not at all: the deadline that the wire gives."""
_BELIEF_CALLS = 30
"""How many calls the handling time that the ACD believes in the morning is worth."""
_MOST_AGES = 100
"""Waiting calls whose ages a report tells, as the wire allows."""
_TICK_S = 0.001
_STATES = {state: ReportedState(state.value) for state in AgentState}

BackAt = Callable[[str], float]
"""When an agent who was called back is ready for calls again."""


class SimulatedAcd:
    """One group's telephony. A report goes out after each event that changed something."""

    def __init__(
        self,
        day: Day,
        group: Group,
        site: SimulatedSite,
        timeline: Timeline,
        back_at: BackAt,
        on_agent: Callable[[AgentChange], None],
    ) -> None:
        self.group = group
        self._queues = {queue.id: queue for queue in group.queues}
        self._site = site
        self._clock = site.clock
        self._timeline = timeline
        self._link = day.link
        self._back_at = back_at
        self._told = on_agent
        self._window = self._clock.ms(day.opens_s), self._clock.ms(day.closes_s)
        self._forecasts = {queue.id: _forecast(queue, self._clock.ms) for queue in group.queues}
        self.source = f"{SOURCE}{group.id}"
        self._caller = Caller(SITE, ACD, self.source)
        self._epoch, self._sequence = 1, 0
        self._losses = random.Random(f"{day.seed}/losses/{group.id}")
        self._changed: dict[str, AgentState] = {}
        self._since: dict[str, float] = {}
        self._queues_changed: dict[str, None] = {}
        self._quiet_since = -math.inf
        self._next_command_s = 0.0
        self.center = center_of(group, self._on_agent, self._on_queue)

    # -- time passes -----------------------------------------------------------------------------------
    def open(self, now_s: float) -> None:
        """Begin to report."""
        self._send(self._snapshot())
        if self._link.heartbeat_s > 0:
            self._timeline.at(now_s + self._link.heartbeat_s, self._beat)
        if self._link.snapshot_s > 0:
            self._timeline.at(now_s + self._link.snapshot_s, self._heal_regularly)
        for _, until_s in self._link.silences:
            self._timeline.at(until_s, self._reconnect)

    @property
    def next_s(self) -> float:
        """When the next call or agent does something; infinite when the day is over."""
        due_s = self.center.next_event_at()
        return math.inf if due_s is None else due_s

    def play(self, until_s: float) -> None:
        """Let the center's next events happen, and report them."""
        self.center.advance_to(until_s)
        self._report()

    def run_out(self, from_s: float) -> None:
        """Let the rest of the day happen without the router: every agent is for calls again, and nothing is told."""
        self.center.advance_to(from_s)
        for agent in self.center.agents:
            if self.center.state_of(agent) is AgentState.RESERVED:
                self.center.release(agent)
        self.center.run()

    def _on_agent(self, change: AgentChange) -> None:
        self._changed[change.agent] = change.state
        self._since[change.agent] = change.at
        self._told(change)

    def _on_queue(self, figures: QueueFigures) -> None:
        assert figures.queue is not None
        self._queues_changed[figures.queue] = None

    # -- reports ---------------------------------------------------------------------------------------
    def _report(self) -> None:
        if not self._changed and not self._queues_changed:
            return
        agents = [self._agent_report(agent, state) for agent, state in self._changed.items()]
        queues = [self._queue_report(queue) for queue in self._queues_changed]
        self._changed.clear()
        self._queues_changed.clear()
        self._send(self._batch(agents, queues))

    def _batch(
        self, agents: list[AgentReport], queues: list[CallQueueReport], snapshot: bool = False
    ) -> ReportBatch:
        self._sequence += 1
        return ReportBatch(self.source, str(self._epoch), self._sequence, snapshot, agents, queues)

    def _snapshot(self) -> ReportBatch:
        states = [(agent, self.center.state_of(agent)) for agent in self.center.agents]
        present = [(agent, state) for agent, state in states if state is not AgentState.OFFLINE]
        queues = [self._queue_report(queue, forecast) for queue, forecast in self._forecasts.items()]
        return self._batch([self._agent_report(*one) for one in present], queues, snapshot=True)

    def _agent_report(self, agent: str, state: AgentState) -> AgentReport:
        gone = state is AgentState.OFFLINE
        leave_ms = 0 if gone else self._clock.ms(self.center.next_absence(agent))
        since_ms = self._clock.ms(self._since.get(agent, self._clock.now_s))
        return AgentReport(agent, _STATES[state], "", leave_ms, since_ms)

    def _queue_report(self, queue: str, forecast: tuple[ForecastInterval, ...] = ()) -> CallQueueReport:
        figures = self.center.queue(queue)
        ages = self.center.waiting_ages(queue)[:_MOST_AGES] if figures.waiting else []
        believed_s = _BELIEF_CALLS * self._queues[queue].aht_s
        return CallQueueReport(
            queue,
            self.group.id,
            calls_waiting=figures.waiting,
            oldest_wait_ms=round(figures.oldest_wait_s * 1000),
            waiting_ages_ms=tuple(round(age * 1000) for age in ages),
            offered=figures.offered,
            answered=figures.answered,
            answered_in_target=figures.in_target,
            abandoned=figures.abandoned,
            window_start_ms=self._window[0],
            window_end_ms=self._window[1],
            aht_ms=round((figures.handled_s + believed_s) / (figures.handled + _BELIEF_CALLS) * 1000),
            forecast=forecast,
        )

    def _send(self, batch: ReportBatch) -> None:
        now_s = self._clock.now_s
        self._quiet_since = now_s
        if self._is_silent(now_s) or (self._link.loss and self._losses.random() < self._link.loss):
            return
        self._after_the_lag(self._deliver, batch)

    def _deliver(self, batch: ReportBatch) -> None:
        run_now(self._site.telephony.report(self._caller, batch))

    def _after_the_lag(self, happen: Callable[..., None], *told: object) -> None:
        """What is told is under way for the link's lag; without one it happens now."""
        if self._link.lag_s > 0:
            self._timeline.at(self._clock.now_s + self._link.lag_s, partial(happen, *told))
        else:
            happen(*told)

    def _beat(self) -> None:
        """A sign of life if nothing was said lately."""
        every_s = self._link.heartbeat_s
        if self._clock.now_s - self._quiet_since > every_s - _TICK_S:
            self._send(self._batch([], []))
        self._timeline.at(self._quiet_since + every_s, self._beat)

    def _heal_regularly(self) -> None:
        self._send(self._snapshot())
        self._timeline.at(self._clock.now_s + self._link.snapshot_s, self._heal_regularly)

    def _is_silent(self, now_s: float) -> bool:
        return any(begin_s <= now_s < until_s for begin_s, until_s in self._link.silences)

    def _reconnect(self) -> None:
        """The link is back: a new epoch begins with a snapshot, and the router repeats its standing commands."""
        self._epoch, self._sequence = self._epoch + 1, 0
        self._changed.clear()
        self._queues_changed.clear()
        self._send(self._snapshot())
        for command in run_now(self._site.store.commands(SITE, self.source)):
            self.command(command)

    # -- commands --------------------------------------------------------------------------------------
    def command(self, command: AcdCommand) -> None:
        """Carry a command out when its turn comes; what comes in a silence is asked for again after it."""
        now_s = self._clock.now_s
        if self._is_silent(now_s):
            return
        at_s = max(now_s + self._link.command_s, self._next_command_s)
        if command.kind is CommandKind.RESERVE and at_s > now_s + _RESERVE_S:
            return self._timeline.at(now_s + _RESERVE_S, partial(self._end, command, "too late"))
        if self._link.commands_per_s > 0:
            self._next_command_s = at_s + 1 / self._link.commands_per_s
        if command.kind is CommandKind.RELEASE:
            at_s = max(at_s, self._back_at(command.agent))
        return self._timeline.at(at_s, partial(self._carry_out, command))

    def _carry_out(self, command: AcdCommand) -> None:
        self.center.advance_to(self._clock.now_s)
        act = self.center.reserve if command.kind is CommandKind.RESERVE else self.center.release
        result = act(command.agent)
        # An offer is shown on the answer: by then the router shall know the agent as reserved.
        self._report()
        self._end(command, "" if result.ok else f"the agent is {result.state}")

    def _end(self, command: AcdCommand, error: str) -> None:
        """Answer a command: why it was not carried out, or nothing."""
        if not self._is_silent(self._clock.now_s):
            self._after_the_lag(self._answer, command, error)

    def _answer(self, command: AcdCommand, error: str) -> None:
        telephony = self._site.telephony
        run_now(telephony.command_result(self._caller, command.id, command.agent, not error, error))


def center_of(
    group: Group,
    on_agent: Callable[[AgentChange], None] | None = None,
    on_queue: Callable[[QueueFigures], None] | None = None,
) -> Center:
    """The model of a group's call queues and agents, at the start of the day."""
    return Center(
        merge_calls(*(queue.calls for queue in group.queues)),
        [agent.shift for agent in group.agents],
        queues=[CenterQueue(queue.id, queue.target_s, queue.priority) for queue in group.queues],
        ring_s=group.ring_s,
        on_agent=on_agent,
        on_queue=on_queue,
    )


def _forecast(queue: CallQueue, ms: Callable[[float], int]) -> tuple[ForecastInterval, ...]:
    return tuple(
        ForecastInterval(ms(step.start_s), round(step.length_s * 1000), step.calls, step.staff)
        for step in queue.forecast
    )
