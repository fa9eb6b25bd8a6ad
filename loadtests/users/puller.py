"""Agents without a session: they ask for their next task and work on it, call by call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import grpc

from loadtests import wire
from loadtests.account import COMPLETIONS_ACKNOWLEDGED, COMPLETIONS_SENT
from loadtests.checks import SKILLS
from loadtests.desk import REFUSALS
from loadtests.facts import Fact, Kind
from loadtests.moments import from_store, now
from loadtests.people import lacking, skills_of
from loadtests.scenarios import Scenario
from loadtests.users.actor import Paced
from router.v1 import agents_pb2, agents_pb2_grpc, common_pb2


class Puller(Paced):
    """Pulls at an even rate; a task takes half of the time between two pulls."""

    role = "agent"

    @classmethod
    def wanted(cls, scenario: Scenario) -> int:
        return scenario.pullers

    def id(self) -> str:
        return self.play.scenario.agents[self._number()]

    def _number(self) -> int:
        return self.play.scenario.desktops + self.seat

    def per_s(self) -> float:
        return 1.0 / self.play.scenario.pull_every_s

    def on_start(self) -> None:
        super().on_start()
        self.stub = agents_pb2_grpc.AgentServiceStub(self.channel)
        self.skills = skills_of(self._number())

    def turn(self, due: float) -> None:
        answer = self.call("GetNextTask", due, self.stub.GetNextTask, agents_pb2.GetNextTaskRequest())
        if answer is not None and answer.HasField("lease"):
            self._work(answer.lease, due)

    def _work(self, lease: common_pb2.Lease, due: float) -> None:
        task, fence, begun = lease.task, lease.fence, from_store(lease.start_time)
        self.ledger.fact(Fact(Kind.SHOWN, now(), self.id(), task.name, fence, "pull", begun))
        if lack := lacking(self.skills, task):
            self.ledger.violation(SKILLS, f"{self.id()} lacks {lack}")
        done_at = due + self.play.scenario.pull_every_s / 2.0
        gevent.sleep(max(0.0, done_at - now()))
        self.ledger.count(COMPLETIONS_SENT)
        request = agents_pb2.CompleteTaskRequest(name=task.name, fence=fence, outcome="done")
        self._complete(done_at, self.stub.CompleteTask, request)

    def _complete(
        self, due: float, method: Callable[..., Any], request: agents_pb2.CompleteTaskRequest
    ) -> None:
        sent, reason = now(), ""
        try:
            method(request, metadata=self.metadata, timeout=wire.CALL_S)
        except grpc.RpcError as error:
            reason = wire.reason_of(error)
        at, known = now(), not reason or reason in REFUSALS
        # A call that came meanwhile may have taken the task: that is an answer.
        name = "CompleteTask (refused)" if reason and known else "CompleteTask"
        self.ledger.timed("unary", name, due, at, "" if known else reason)
        if known:
            ok = not reason
            self.ledger.count(COMPLETIONS_ACKNOWLEDGED, ok)
            word = Fact(Kind.WORD, at, self.id(), request.name, request.fence, "complete", sent, ok)
            self.ledger.fact(word)
