"""Supervisors: they watch the figures, look around, and one of them opens the gate."""

from __future__ import annotations

import random

import gevent
import grpc

from clients.values import duration
from loadtests import wire
from loadtests.furnish import GROUP_NAME
from loadtests.moments import now
from loadtests.scenarios import Scenario
from loadtests.users.actor import Paced
from router.v1 import common_pb2, supervision_pb2, supervision_pb2_grpc, tasks_pb2, tasks_pb2_grpc

_WATCH_EVERY_S = 1.0


class Supervisor(Paced):
    """Two of them; each has the live figures on the screen, and looks at something once a second."""

    role = "supervisor"

    @classmethod
    def wanted(cls, scenario: Scenario) -> int:
        return 2

    def per_s(self) -> float:
        return 1.0

    def on_start(self) -> None:
        super().on_start()
        self.supervision = supervision_pb2_grpc.SupervisionServiceStub(self.channel)
        self.task_service = tasks_pb2_grpc.TaskServiceStub(self.channel)
        self.seen: list[str] = []
        self.watching = gevent.spawn(self._watch)
        self.opening = gevent.spawn(self._open_gate) if self.seat == 0 else None

    def on_stop(self) -> None:
        gevent.killall([greenlet for greenlet in (self.watching, self.opening) if greenlet is not None])

    def turn(self, due: float) -> None:
        # Beside each other: a slow one shall not show in the rows of the others.
        gevent.spawn(random.choice((self._figures, self._list, self._explain)), due)

    def _figures(self, due: float) -> None:
        self.call("GetFigures", due, self.supervision.GetFigures, supervision_pb2.GetFiguresRequest())

    def _list(self, due: float) -> None:
        request = tasks_pb2.ListTasksRequest(
            filter=f"state = {random.choice(('QUEUED', 'ACTIVE', 'COMPLETED'))}",
            page_size=50,
            view=common_pb2.TASK_VIEW_SUMMARY,
        )
        answer = self.call("ListTasks (50)", due, self.task_service.ListTasks, request)
        if answer is not None and answer.tasks:
            self.seen = [task.name for task in answer.tasks]

    def _explain(self, due: float) -> None:
        if not self.seen:
            self._figures(due)
            return
        request = supervision_pb2.ExplainTaskRequest(name=random.choice(self.seen))
        self.call("ExplainTask", due, self.supervision.ExplainTask, request)

    def _watch(self) -> None:
        """Each picture is due one interval after the first one and those before."""
        request = supervision_pb2.WatchFiguresRequest(interval=duration(_WATCH_EVERY_S))
        stream = self.supervision.WatchFigures(request, metadata=self.metadata)
        due = now()
        try:
            for _ in stream:
                self.ledger.timed("stream", "WatchFigures", min(due, now()), now())
                due = max(due + _WATCH_EVERY_S, now() - _WATCH_EVERY_S)
        except grpc.RpcError as error:
            self.ledger.timed("stream", "WatchFigures", due, now(), wire.reason_of(error))

    def _open_gate(self) -> None:
        opens_at = self.play.scenario.gate_opens_at
        if opens_at is None:
            return
        due = self.play.began_at + opens_at
        gevent.sleep(max(0.0, due - now()))
        request = supervision_pb2.SetGateRequest(
            blending_group=GROUP_NAME, mode=supervision_pb2.GATE_MODE_AUTO
        )
        self.call("SetGate", due, self.supervision.SetGate, request)
