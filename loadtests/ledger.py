"""Where the users of one process bring what they see: figures to Locust, facts to the referee.

With --processes the facts go to the master with Locust's own reports, every three seconds and at the end; the referee
sits there and sees those of all processes. In a single process it is asked every second.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

import gevent
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests.checks import Referee, Violation
from loadtests.facts import Fact
from loadtests.moments import now
from loadtests.schedule import Schedule

_log = logging.getLogger(__name__)
_MOST_TOLD = 20
_LAG_PER_S = 10.0
_REPORTED_S = 8.0
"""What happened so long ago has been reported by every process, a busy one too."""


class CheckFailedError(Exception):
    """A promise of the router was broken."""


class Ledger:
    """One in each process; an Outlet of its users."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._facts: list[Fact] = []
        self._counts: Counter[str] = Counter()
        self._told = 0
        self.referee = Referee()
        """Counts in the master, or in the only process."""
        self.totals: Counter[str] = Counter()
        events = environment.events
        if isinstance(environment.runner, WorkerRunner):
            events.report_to_master.add_listener(self._report)
        else:
            events.worker_report.add_listener(self._reported)
            gevent.spawn(self._judge_always)
        if not isinstance(environment.runner, MasterRunner):
            gevent.spawn(self._measure_lag)

    # What users bring.

    def timed(self, kind: str, name: str, due: float, at: float, problem: str = "") -> None:
        """A row of the table; with a problem a failure."""
        error = RuntimeError(problem) if problem else None
        self._fire(kind, name, 1000.0 * (at - due), error)

    def fact(self, fact: Fact) -> None:
        """Keep it for the referee."""
        self._facts.append(fact)

    def violation(self, check: str, text: str) -> None:
        """A failed request of the type `check`; the first ones are logged in full."""
        self._told += 1
        if self._told <= _MOST_TOLD:
            _log.error("check failed: %s: %s", check, text)
        # Without the names, so that Locust counts them as one.
        self._fire("check", check, None, CheckFailedError(check))

    def count(self, what: str, by: int = 1) -> None:
        """For the final account."""
        self._counts[what] += by

    def passed(self, checks: Iterable[str]) -> None:
        """Give each check that never failed a row of its own."""
        failed = {name for name, kind in self._environment.stats.entries if kind == "check"}
        for check in checks:
            if check not in failed:
                self._fire("check", check, None, None)

    def _measure_lag(self) -> None:
        """How late this process itself comes, ten times a second: part of every time that its users take."""
        schedule = Schedule(now(), _LAG_PER_S)
        while True:
            due = schedule.next()
            gevent.sleep(max(0.0, due - now()))
            self.timed("locust", "own lag", due, now())

    # Between the processes.

    def judge(self, *, finally_: bool = False) -> None:
        """Hand what this process saw to the referee, and tell what it finds."""
        facts, self._facts = self._facts, []
        self.totals += self._counts
        self._counts.clear()
        self._tell(self.referee.take(facts))
        self._tell(self.referee.settle() if finally_ else self.referee.settle(now() - _REPORTED_S))

    def _report(self, client_id: str, data: dict[str, Any]) -> None:
        data["facts"], self._facts = [list(fact) for fact in self._facts], []
        data["counts"] = dict(self._counts)
        self._counts.clear()

    def _reported(self, client_id: str, data: dict[str, Any]) -> None:
        self.totals.update(data.pop("counts", {}))
        self._tell(self.referee.take(Fact(*row) for row in data.pop("facts", ())))

    def _judge_always(self) -> None:
        while True:
            gevent.sleep(1.0)
            self.judge()

    def _tell(self, violations: Iterable[Violation]) -> None:
        for check, text in violations:
            self.violation(check, text)

    def _fire(self, kind: str, name: str, took_ms: float | None, error: Exception | None) -> None:
        self._environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=took_ms,
            response_length=0,
            exception=error,
            context={},
        )
