"""The telephony side of the demo: plays the contact center by the clock, reports it, and obeys commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from callcenter.center import AgentChange, AgentState, QueueFigures
from callcenter.staffing import SLOT_S
from callcenter.volumes import INTERVAL_S
from clients import CommandRefusedError, Connection, TelephonyReporter
from clients.values import duration, timestamp
from demo.book import Book
from demo.day import Day
from demo.scale import SimClock
from router.v1 import common_pb2, telephony_pb2

CALL_QUEUE = "service"
GROUP = "front-office"
SOURCE = "acd-1"
_HEARTBEAT_S = 0.5
_LONGEST_NAP_S = 0.5
_PROBE_S = 0.1
_FLUSH_S = 2.0
# How many calls the handling time believed in the morning is worth.
_BELIEF_CALLS = 30


class Acd:
    """The call center in real time. The reporter sends each change as it happens."""

    def __init__(self, day: Day, clock: SimClock, connection: Connection, book: Book) -> None:
        """Play the center up to the clock's start at once; from there on `run` keeps pace with the clock."""
        self._day = day
        self._clock = clock
        self._book = book
        self._changes: list[AgentChange] = []
        self._queue_changed = False
        self._wake = asyncio.Event()
        self._handled_s = _BELIEF_CALLS * day.options.handling.aht_s
        self._handled = _BELIEF_CALLS
        self._began: dict[str, float] = {}
        self.on_agent_called: Callable[[str], None] = _nobody
        self.center = day.center(self._on_agent, self._on_queue)
        self.center.advance_to(clock.now())
        self._changes.clear()
        self.reporter = TelephonyReporter(
            connection,
            SOURCE,
            snapshot=self._snapshot,
            on_command=self._obey,
            heartbeat_s=_HEARTBEAT_S,
            on_problem=lambda error: book.problems.update([f"report: {error}"]),
        )

    async def run(self) -> None:
        """Play the day until cancelled."""
        while True:
            self.advance()
            self._wake.clear()
            due = self.center.next_event_at()
            nap_s = _LONGEST_NAP_S if due is None else min(_LONGEST_NAP_S, self._clock.wall_until(due))
            try:
                async with asyncio.timeout(nap_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def probe(self) -> None:
        """Measure now and then how long the router takes to acknowledge what was reported; until cancelled."""
        while True:
            await asyncio.sleep(_PROBE_S)
            began = self._clock.now()
            await self.reporter.flush()
            self._book.acknowledged_s.append(self._clock.now() - began)

    def advance(self) -> None:
        """Play what is due, and report it."""
        now = self._clock.now()
        while (due := self.center.next_event_at()) is not None and due <= now:
            self._book.lag(now - due)
            self.center.advance_to(due)
        self.center.advance_to(now)
        self._report()

    def finish(self) -> None:
        """Play the rest of the day at once, so that the last calls come to their end; reports nothing."""
        self.center.run()

    # The center tells.

    def _on_agent(self, change: AgentChange) -> None:
        self._changes.append(change)
        if change.state is AgentState.RINGING:
            self._began[change.agent] = change.at
            self.on_agent_called(change.agent)
        elif change.before is AgentState.AFTER_CALL and (began := self._began.pop(change.agent, None)):
            self._handled_s += change.at - began
            self._handled += 1

    def _on_queue(self, figures: QueueFigures) -> None:
        self._queue_changed = True

    # The router is told.

    def _report(self) -> None:
        if self._changes:
            changes, self._changes = self._changes, []
            self.reporter.agents([self._agent_report(c.agent, c.state, c.at) for c in changes])
        if self._queue_changed:
            self._queue_changed = False
            self.reporter.call_queue(self._queue_report())

    def _snapshot(self) -> telephony_pb2.ReportRequest.Snapshot:
        now = self.center.now
        states = [(agent, self.center.state_of(agent)) for agent in self.center.agents]
        return telephony_pb2.ReportRequest.Snapshot(
            agents=[
                self._agent_report(agent, state, now)
                for agent, state in states
                if state is not AgentState.OFFLINE
            ],
            call_queues=[self._whole_queue_report()],
        )

    def _agent_report(self, agent: str, state: AgentState, at: float) -> telephony_pb2.AgentStateReport:
        report = telephony_pb2.AgentStateReport(
            agent=agent,
            state=common_pb2.AgentState.Value(f"AGENT_STATE_{state}"),
            state_time=timestamp(self._clock.moment(at)),
        )
        if state is not AgentState.OFFLINE:
            report.shift_end_time.CopyFrom(timestamp(self._clock.moment(self.center.next_absence(agent))))
        return report

    def _queue_report(self) -> telephony_pb2.CallQueueReport:
        figures = self.center.queue()
        wall_s = self._clock.scale.wall_s
        return telephony_pb2.CallQueueReport(
            call_queue=CALL_QUEUE,
            blending_group=GROUP,
            calls_waiting=figures.waiting,
            oldest_wait=duration(wall_s(figures.oldest_wait_s)),
            waiting_ages=[duration(wall_s(age)) for age in self.center.waiting_ages()[:100]],
            offered=figures.offered,
            answered=figures.answered,
            answered_in_target=figures.in_target,
            abandoned=figures.abandoned,
            average_handling_time=duration(wall_s(self._handled_s / self._handled)),
            figures_time=timestamp(self._clock.moment(figures.at)),
        )

    def _whole_queue_report(self) -> telephony_pb2.CallQueueReport:
        """Return the figures with what lasts over the day: its forecast, and the window of the service level."""
        report = self._queue_report()
        report.forecast.extend(self._forecast())
        report.window_start_time.CopyFrom(timestamp(self._clock.moment(self._day.opens_at)))
        report.window_end_time.CopyFrom(timestamp(self._clock.moment(self._day.closes_at)))
        return report

    def _forecast(self) -> Iterator[telephony_pb2.ForecastInterval]:
        """Yield the day's forecast by the quarters of an hour at which shifts begin and end."""
        size = SLOT_S // INTERVAL_S
        staff = self._day.scheduled()
        for first in range(0, len(staff), size):
            yield telephony_pb2.ForecastInterval(
                start_time=timestamp(self._clock.moment(self._day.opens_at + first * INTERVAL_S)),
                calls=sum(self._day.forecast[first : first + size]),
                staff=staff[first],
            )

    # The router commands.

    async def _obey(self, command: telephony_pb2.AcdCommand) -> None:
        self.advance()
        if command.agent not in self.center.agents:
            raise CommandRefusedError("the agent is not known here")
        if command.action == telephony_pb2.ACD_ACTION_RESERVE:
            result = self.center.reserve(command.agent)
        else:
            result = self.center.release(command.agent)
            self._book.back(command.agent, self.center.now)
        self._report()
        self._wake.set()
        if not result.ok:
            raise CommandRefusedError(f"the agent is {result.state}")
        if command.action == telephony_pb2.ACD_ACTION_RESERVE:
            # The offer is shown on this answer: by then the router shall know the agent as reserved.
            await self.reporter.flush(_FLUSH_S)


def _nobody(agent: str) -> None:
    """Nobody wants to know of calls."""
