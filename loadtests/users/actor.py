"""What all users have in common: their seat, their clock, and how a call is made and timed."""

from __future__ import annotations

import os
import random
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gevent
import grpc
from locust import User, task
from locust.env import Environment

from loadtests import wire
from loadtests.ledger import Ledger
from loadtests.moments import now
from loadtests.scenarios import Scenario
from loadtests.schedule import Schedule


@dataclass(slots=True)
class Play:
    """What the users of one process share."""

    scenario: Scenario
    ledger: Ledger
    environment: Environment

    @property
    def options(self) -> Namespace:
        """Locust's command line, and what the master has put there for all processes."""
        options: Namespace | None = self.environment.parsed_options
        assert options is not None
        return options

    @property
    def began_at(self) -> float:
        """When the test began, a moment that the master has chosen for all processes."""
        return float(self.options.began_at)

    @property
    def ends_at(self) -> float:
        """When the load ends."""
        return self.began_at + self.scenario.seconds

    def seat(self, role: str, count: int) -> int:
        """One of ``count`` numbers that no other user of the role has, in any process."""
        first = int(getattr(self.environment.runner, "worker_index", 0))
        # Each process has numbers of its own; where Locust gave it more users than that, it takes any that is left.
        step = int(self.options.processes or 1)
        numbers: list[int] = [*range(first, count, step), *range(count)]
        for number in numbers:
            if _taken_now(Path(self.options.seats) / f"{role}-{number}"):
                return number
        raise RuntimeError(f"all {count} seats of {role} are taken")


def _taken_now(seat: Path) -> bool:
    """A seat is a file that only one process can make."""
    try:
        os.close(os.open(seat, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


class Actor(User):
    """A user with a seat, a connection, and the rights of a role."""

    abstract = True
    play: ClassVar[Play]
    role = ""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.ledger = self.play.ledger
        self.seat = 0
        self.metadata: wire.Metadata = ()
        self.channel: grpc.Channel

    @classmethod
    def wanted(cls, scenario: Scenario) -> int:
        """How many of them a scenario has."""
        raise NotImplementedError

    def on_start(self) -> None:
        """Take a seat."""
        self.seat = self.play.seat(type(self).__name__, self.wanted(self.play.scenario))
        self.metadata = wire.bearer(self.role, self.id())
        self.channel = wire.channel(self.environment.host, self.seat % wire.CONNECTIONS)

    def id(self) -> str:
        """The id under which the router knows this user."""
        return f"{type(self).__name__}{self.seat}"

    def call(self, name: str, due: float, method: Callable[..., Any], request: Any) -> Any:
        """A unary call that was due at a moment; the answer, or None if it failed and was counted so."""
        try:
            answer = method(request, metadata=self.metadata, timeout=wire.CALL_S)
        except grpc.RpcError as error:
            self.ledger.timed("unary", name, due, now(), wire.reason_of(error))
            return None
        self.ledger.timed("unary", name, due, now())
        return answer


class Paced(Actor):
    """A user that does one thing at an even rate, whatever becomes of it."""

    abstract = True

    def per_s(self) -> float:
        """How often."""
        raise NotImplementedError

    def turn(self, due: float) -> None:
        """Do it once; it was due at a moment."""
        raise NotImplementedError

    def on_start(self) -> None:
        """Begin somewhere in the first period, so that users do not march in step."""
        super().on_start()
        self.schedule = Schedule(now(), self.per_s(), random.random())

    @task
    def step(self) -> None:
        """Wait for the next turn and take it; rest when the load is over."""
        due = self.schedule.next()
        if due >= self.play.ends_at:
            gevent.sleep(3600.0)
        gevent.sleep(max(0.0, due - now()))
        self.turn(due)
