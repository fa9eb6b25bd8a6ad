"""The telephone system: plays the scenario's floor by the clock, reports it on one stream, and obeys commands."""

from __future__ import annotations

import queue
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import gevent
import grpc
from locust import task

from callcenter.center import AgentState
from clients.reporter import new_epoch
from clients.values import timestamp
from loadtests import wire
from loadtests.facts import Fact, Kind
from loadtests.floors import Change
from loadtests.moments import now
from loadtests.scenarios import Scenario
from loadtests.users.actor import Actor
from router.v1 import common_pb2, telephony_pb2, telephony_pb2_grpc

Report = telephony_pb2.ReportRequest
Answer = telephony_pb2.ReportResponse
_HEARTBEAT_S = 1.0
_FREE = frozenset({AgentState.AVAILABLE, AgentState.RESERVED})


@dataclass(slots=True)
class _Sent:
    due: float
    kind: str
    away: list[tuple[str, int]] = field(default_factory=list)
    """Agents who are not available any more from this report on, with the number of that absence."""


class Acd(Actor):
    """One feed. A report is timed from the moment of what it reports to its acknowledgement."""

    role = "acd"

    @classmethod
    def wanted(cls, scenario: Scenario) -> int:
        return 1

    def on_start(self) -> None:
        super().on_start()
        self.stub = telephony_pb2_grpc.TelephonyServiceStub(self.channel)
        self.floor = self.play.scenario.floor()
        self.inbox: queue.SimpleQueue[tuple[float, Answer | None]] = queue.SimpleQueue()
        self.absences: dict[str, int] = {}
        self.away: set[str] = set()
        self.epoch = new_epoch()
        self._open()

    def on_stop(self) -> None:
        self.stream.close()

    @task
    def switch(self) -> None:
        """Report what is due, then wait for a message or for what happens next."""
        self._play()
        due = self.floor.next_at()
        heartbeat_at = self.last_at + _HEARTBEAT_S
        wake_at = heartbeat_at if due is None else min(self._moment(due), heartbeat_at)
        try:
            at, message = self.inbox.get(timeout=max(0.001, wake_at - now()))
        except queue.Empty:
            if now() >= heartbeat_at:
                self._send(Report(heartbeat=Report.Heartbeat()), _Sent(heartbeat_at, "heartbeat"))
            return
        self._on(message, at)

    # What is reported.

    def _open(self) -> None:
        self.unanswered: dict[int, _Sent] = {}
        self.sequence = 0
        self.epoch = new_epoch(self.epoch)
        self.stream = wire.Stream[Report, Answer](
            self.stub.Report, self.metadata, lambda message: self.inbox.put((now(), message)), self._ended
        )
        time = self._time()
        self.floor.advance(time)
        changes = [Change(agent, state, time) for agent, state in self.floor.states().items()]
        agents = [_state(change) for change in changes if change.state is not AgentState.OFFLINE]
        snapshot = Report.Snapshot(agents=agents, call_queues=self.floor.call_queues(time))
        self._send(Report(snapshot=snapshot), _Sent(now(), "snapshot", self._absent(changes)))

    def _play(self) -> None:
        due = self.floor.next_at()
        if due is not None and self._moment(due) <= now():
            self._report(self.floor.advance(self._time()), self._moment(due))

    def _report(self, changes: list[Change], due: float) -> None:
        agents = [_state(change, now() - self._moment(change.at)) for change in changes]
        queues = self.floor.call_queues(self._time())
        report = Report(changes=Report.Changes(agents=agents, call_queues=queues))
        self._send(report, _Sent(due, "changes", self._absent(changes)))

    def _absent(self, changes: list[Change]) -> list[tuple[str, int]]:
        """The absences that begin with a report; those that end are told to the referee as it goes out."""
        begun: list[tuple[str, int]] = []
        for agent, state, _ in changes:
            if state in _FREE and agent in self.away:
                self.away.remove(agent)
                begun = [absence for absence in begun if absence[0] != agent]
                self.ledger.fact(Fact(Kind.BACK, now(), agent, fence=self.absences[agent]))
            elif state not in _FREE and agent not in self.away:
                self.away.add(agent)
                self.absences[agent] = self.absences.get(agent, 0) + 1
                begun.append((agent, self.absences[agent]))
        return begun

    def _send(self, report: Report, sent: _Sent) -> None:
        self.sequence += 1
        self.last_at = now()
        report.source, report.epoch, report.sequence = self.id(), self.epoch, self.sequence
        report.report_time.CopyFrom(timestamp(datetime.now(UTC)))
        self.unanswered[self.sequence] = sent
        self.stream.send(report)

    # What the router answers.

    def _on(self, message: Answer | None, at: float) -> None:
        if message is None:
            gevent.sleep(wire.RECONNECT_S)
            self._open()
        elif message.HasField("ack"):
            self._acknowledged(message.ack, at)
        elif message.HasField("command"):
            self._obey(message.command)

    def _acknowledged(self, ack: Answer.Ack, at: float) -> None:
        sent = self.unanswered.pop(ack.sequence, None)
        if sent is None:
            return
        applied = ack.outcome == telephony_pb2.REPORT_OUTCOME_APPLIED
        problem = "" if applied else telephony_pb2.ReportOutcome.Name(ack.outcome)
        self.ledger.timed("stream", f"Report ({sent.kind})", sent.due, at, problem)
        if applied:
            for agent, number in sent.away:
                self.ledger.fact(Fact(Kind.AWAY, at, agent, fence=number))

    def _obey(self, command: telephony_pb2.AcdCommand) -> None:
        self._report_now(self.floor.advance(self._time()))
        ok = self.floor.obey(command.agent, command.action == telephony_pb2.ACD_ACTION_RESERVE)
        # By the time of the answer the router shall know the agent's new state.
        self._report_now(self.floor.advance(self._time()))
        result = Report.CommandResult(command_id=command.command_id, ok=ok, error="" if ok else "not now")
        self.stream.send(Report(source=self.id(), epoch=self.epoch, command_result=result))

    def _report_now(self, changes: list[Change]) -> None:
        if changes:
            self._report(changes, self._moment(changes[0].at))

    def _ended(self, error: grpc.RpcError | None) -> None:
        problem = wire.reason_of(error) if error is not None else "ended by the router"
        self.ledger.timed("stream", "Report", now(), now(), problem)
        self.inbox.put((now(), None))

    # The floor's time.

    def _time(self) -> float:
        return now() - self.play.began_at

    def _moment(self, time: float) -> float:
        return self.play.began_at + time


def _state(change: Change, ago_s: float = 0.0) -> telephony_pb2.AgentStateReport:
    return telephony_pb2.AgentStateReport(
        agent=change.agent,
        state=common_pb2.AgentState.Value(f"AGENT_STATE_{change.state}"),
        state_time=timestamp(datetime.now(UTC) - timedelta(seconds=ago_s)),
    )
