"""Back-office systems, which submit tasks in the three ways that there are."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import grpc

from loadtests import wire
from loadtests.account import SUBMITS_ACKNOWLEDGED, SUBMITS_SENT
from loadtests.desk import DUE_LABEL
from loadtests.moments import now
from loadtests.people import kind
from loadtests.scenarios import Scenario
from loadtests.users.actor import Paced
from router.v1 import common_pb2, tasks_pb2, tasks_pb2_grpc

PAYLOAD = b"x" * 200
BATCH = 10


class Submitter(Paced):
    """One of each kind; together they submit at the scenario's rate."""

    abstract = True
    role = "submitter"
    share = 0.0
    """Of the tasks."""

    @classmethod
    def wanted(cls, scenario: Scenario) -> int:
        return 1 if scenario.submits_per_s > 0 else 0

    def per_s(self) -> float:
        return self.share * self.play.scenario.submits_per_s

    def on_start(self) -> None:
        super().on_start()
        self.stub = tasks_pb2_grpc.TaskServiceStub(self.channel)
        self.requests = self._requests()
        self.due = 0.0

    def _requests(self) -> Iterator[tasks_pb2.SubmitTaskRequest]:
        run = f"{self.play.began_at:.3f}"
        for number in itertools.count():
            task = common_pb2.Task(
                work_type=kind(number),
                reference=f"{self.id()}-{run}-{number}",
                priority=random.choice((40, 50, 60)),
                payload=PAYLOAD,
                labels={DUE_LABEL: f"{self.due:.6f}"},
            )
            yield tasks_pb2.SubmitTaskRequest(task=task)

    def next(self, due: float) -> tasks_pb2.SubmitTaskRequest:
        """The next submit, which carries the moment for which it was meant."""
        self.due = due
        self.ledger.count(SUBMITS_SENT)
        return next(self.requests)


class UnarySubmitter(Submitter):
    """One task, one call."""

    share = 0.4

    def turn(self, due: float) -> None:
        if self.call("SubmitTask", due, self.stub.SubmitTask, self.next(due)) is not None:
            self.ledger.count(SUBMITS_ACKNOWLEDGED)


class BatchSubmitter(Submitter):
    """Several tasks in a call."""

    share = 0.2

    def per_s(self) -> float:
        return super().per_s() / BATCH

    def turn(self, due: float) -> None:
        request = tasks_pb2.BatchSubmitTasksRequest(requests=[self.next(due) for _ in range(BATCH)])
        answer = self.call(f"BatchSubmitTasks ({BATCH})", due, self.stub.BatchSubmitTasks, request)
        if answer is not None:
            self.ledger.count(SUBMITS_ACKNOWLEDGED, sum(not result.status.code for result in answer.results))


class StreamSubmitter(Submitter):
    """All tasks on one stream; the answers are awaited by no one."""

    share = 0.4

    def on_start(self) -> None:
        super().on_start()
        self.waiting: dict[str, float] = {}
        self.stream = wire.Stream[tasks_pb2.SubmitTasksRequest, tasks_pb2.SubmitTasksResponse](
            self.stub.SubmitTasks, self.metadata, self._answered, self._ended
        )

    def on_stop(self) -> None:
        self.stream.close()

    def turn(self, due: float) -> None:
        request = self.next(due)
        self.waiting[request.task.reference] = due
        submit = tasks_pb2.SubmitTasksRequest(correlation_id=request.task.reference, request=request)
        self.stream.send(submit)

    def _answered(self, answer: tasks_pb2.SubmitTasksResponse) -> None:
        due = self.waiting.pop(answer.correlation_id)
        status = answer.result.status
        self.ledger.count(SUBMITS_ACKNOWLEDGED, not status.code)
        self.ledger.timed("stream", "SubmitTasks", due, now(), status.reason if status.code else "")

    def _ended(self, error: grpc.RpcError | None) -> None:
        problem = wire.reason_of(error) if error is not None else "ended by the router"
        self.ledger.timed("stream", "SubmitTasks", now(), now(), problem)
