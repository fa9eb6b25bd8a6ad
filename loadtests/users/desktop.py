"""Agents with a session: a `Desk` decides, this user carries its messages and keeps its time."""

from __future__ import annotations

import queue
import random

import gevent
import grpc
from locust import task

from loadtests import wire
from loadtests.desk import Desk, Habits, Request, Response
from loadtests.moments import now
from loadtests.people import skills_of
from loadtests.scenarios import Scenario
from loadtests.users.actor import Actor
from router.v1 import agents_pb2_grpc

_LONGEST_S = 1.0
_HEARTBEAT_S = 5.0


class Desktop(Actor):
    """Holds one stream. A stream that breaks is a failure, and is opened again."""

    role = "agent"

    @classmethod
    def wanted(cls, scenario: Scenario) -> int:
        return scenario.desktops

    def id(self) -> str:
        return self.play.scenario.agents[self.seat]

    def on_start(self) -> None:
        super().on_start()
        self.stub = agents_pb2_grpc.AgentServiceStub(self.channel)
        self.inbox: queue.SimpleQueue[tuple[float, Response | None]] = queue.SimpleQueue()
        rng = random.Random(self.id())
        self.desk = Desk(self.id(), skills_of(self.seat), self._habits(), self.ledger, self._send, rng)
        self._open()

    def on_stop(self) -> None:
        self.desk.leave(now())
        self.stream.close()

    @task
    def sit(self) -> None:
        """Send what is due, then wait for a message or for what is due next."""
        self.desk.act(now())
        due = self.desk.due()
        wait_s = _LONGEST_S if due is None else min(_LONGEST_S, max(0.0, due - now()))
        try:
            at, message = self.inbox.get(timeout=wait_s)
        except queue.Empty:
            return
        if message is None:
            # What was withdrawn meanwhile nobody tells it: the referee shall not expect that.
            self.desk.leave(now())
            gevent.sleep(wire.RECONNECT_S)
            self._open()
        else:
            self.desk.on(message, at)

    def _habits(self) -> Habits:
        scenario, began = self.play.scenario, self.play.began_at
        return Habits(
            think_s=scenario.think_s,
            work_s=scenario.work_s,
            save_s=scenario.save_s,
            heartbeat_s=_HEARTBEAT_S,
            ends_at=self.play.ends_at,
            breaches=tuple(began + at for at in scenario.breaches),
            openings=tuple(began + at for at in scenario.openings),
        )

    def _open(self) -> None:
        self.stream = wire.Stream[Request, Response](
            self.stub.Session, self.metadata, lambda message: self.inbox.put((now(), message)), self._ended
        )
        self.desk.open(now())

    def _send(self, request: Request) -> None:
        self.stream.send(request)

    def _ended(self, error: grpc.RpcError | None) -> None:
        problem = wire.reason_of(error) if error is not None else "ended by the router"
        self.ledger.timed("session", "Session", now(), now(), problem)
        self.inbox.put((now(), None))
