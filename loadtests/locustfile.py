"""What Locust runs: `locust -f loadtests/locustfile.py --host 127.0.0.1:50051 --scenario steady`.

`python -m loadtests` does so with a router of its own. The router needs development tokens.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from argparse import ArgumentParser
from typing import Any

from locust import LoadTestShape, events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests import wire
from loadtests.account import HAND_OVERS
from loadtests.checks import CHECKS
from loadtests.furnish import Furnisher
from loadtests.ledger import Ledger
from loadtests.moments import now
from loadtests.options import add_options, size_of
from loadtests.scenarios import QUIET_S, scenario
from loadtests.users.acd import Acd
from loadtests.users.actor import Actor, Play
from loadtests.users.desktop import Desktop
from loadtests.users.puller import Puller
from loadtests.users.submitter import BatchSubmitter, StreamSubmitter, UnarySubmitter
from loadtests.users.supervisor import Supervisor

__all__ = [
    "Acd",
    "BatchSubmitter",
    "Desktop",
    "Puller",
    "StreamSubmitter",
    "Supervisor",
    "Timetable",
    "UnarySubmitter",
]
_log = logging.getLogger(__name__)
_furnishers: dict[Environment, tuple[Furnisher, Any]] = {}


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: ArgumentParser) -> None:
    add_options(parser)


@events.init.add_listener  # type: ignore[untyped-decorator]
def _init(environment: Environment, **_: Any) -> None:
    """In each process, after Locust has forked: only now may gRPC begin."""
    wire.ready()
    options = environment.parsed_options
    assert options is not None
    chosen = scenario(options.scenario, size_of(options))
    Actor.play = Play(chosen, Ledger(environment), environment)
    for user in environment.user_classes:
        assert issubclass(user, Actor)
        user.fixed_count = user.wanted(chosen)
    environment.user_classes[:] = [user for user in environment.user_classes if user.fixed_count]
    if not isinstance(environment.runner, WorkerRunner):
        _furnish(environment)


def _furnish(environment: Environment) -> None:
    chosen = Actor.play.scenario
    _log.info("%s: %s", chosen.name, chosen.about)
    began = now()
    furnisher = Furnisher(wire.channel(environment.host, 0), chosen)
    _furnishers[environment] = furnisher, furnisher.prepare()
    backlog, took_s = chosen.backlog, now() - began
    _log.info("%d agents and a backlog of %d, ready in %.1f s", len(chosen.agents), backlog, took_s)


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _begin(environment: Environment, **_: Any) -> None:
    """The master chooses the first moment; Locust hands its options to the workers with the first users."""
    if not isinstance(environment.runner, WorkerRunner):
        Actor.play.options.seats = tempfile.mkdtemp(prefix="seats-")
        Actor.play.options.began_at = now()


@events.test_stop.add_listener  # type: ignore[untyped-decorator]
def _end(environment: Environment, **_: Any) -> None:
    if not isinstance(environment.runner, WorkerRunner):
        shutil.rmtree(Actor.play.options.seats, ignore_errors=True)


class Timetable(LoadTestShape):
    """All users of the scenario within its ramp, then its load, then quiet; and at the end the account."""

    def tick(self) -> tuple[int, float] | None:
        """What Locust asks once a second: how many users there are to be, and how many more in a second."""
        play = Actor.play
        passed_s = now() - play.began_at if hasattr(play.options, "began_at") else 0.0
        if passed_s >= play.scenario.seconds + QUIET_S:
            _close_the_account(play)
            return None
        users = sum(user.fixed_count for user in play.environment.user_classes)
        return users, max(1.0, users / play.scenario.ramp_s)


def _close_the_account(play: Play) -> None:
    play.ledger.judge(finally_=True)
    furnisher, before = _furnishers[play.environment]
    counted = {**play.ledger.totals, HAND_OVERS: play.ledger.referee.hand_overs}
    for check, text in furnisher.account(before, counted):
        play.ledger.violation(check, text)
    play.ledger.passed(CHECKS)
    _log.info(
        "%d hand-overs were judged, of %s", play.ledger.referee.hand_overs, _who_reported(play.environment)
    )


def _who_reported(environment: Environment) -> str:
    runner = environment.runner
    return f"{runner.worker_count} processes" if isinstance(runner, MasterRunner) else "one process"
