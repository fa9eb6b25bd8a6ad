"""The supervisor of the demo: follows the router's figures for the live view and the picture."""

from __future__ import annotations

import asyncio
from bisect import bisect_right

from clients import Supervisor
from clients.values import moment
from demo.acd import GROUP, Acd
from demo.book import Book
from demo.figures import ACTIVITY
from demo.scale import SimClock
from demo.view import LiveFigures, Screen
from router.v1 import common_pb2, supervision_pb2

Running = list[tuple[float, float]]
"""The service level of the day so far, at the times at which it changed."""

_INTERVAL_S = 0.2
_REDRAW_S = 0.25
_WAITING = (
    common_pb2.TASK_STATE_SCHEDULED,
    common_pb2.TASK_STATE_QUEUED,
    common_pb2.TASK_STATE_OFFERED,
)


class Watcher:
    """Keeps the latest figures of the blending group."""

    def __init__(
        self, supervisor: Supervisor, clock: SimClock, book: Book, acd: Acd, without: Running
    ) -> None:
        """Note gate and reserve in the book as they change; `without` is the service level of the day without tasks."""
        self.figures = supervision_pb2.Figures()
        self._supervisor = supervisor
        self._clock = clock
        self._book = book
        self._acd = acd
        self._without = without

    async def follow(self) -> None:
        """Follow the figures until cancelled."""
        async for figures in self._supervisor.watch_figures([GROUP], interval_s=_INTERVAL_S):
            self.figures = figures
            for group in figures.blending_groups:
                at = self._clock.sim_of(moment(figures.read_time))
                gate = group.gate
                # The staff as the decision saw it: what is not kept back is allowed.
                staff = gate.allowance + gate.reserve
                self._book.gate_seen(at, gate.open, staff, gate.reserve, gate.reserve_firm)

    async def show(self, screen: Screen, opens_at: float, closes_at: float, target: float) -> None:
        """Redraw the view until cancelled."""
        while True:
            screen.update(self.live(opens_at, closes_at, target))
            await asyncio.sleep(_REDRAW_S)

    def live(self, opens_at: float, closes_at: float, target: float) -> LiveFigures:
        """Return what the view shows now: calls as the center counts them, gate and tasks as the router does."""
        queue = self._acd.center.queue()
        gate = next((group.gate for group in self.figures.blending_groups), None)
        agents: dict[str, int] = {}
        for state, count in self._acd.center.states().items():
            if (activity := ACTIVITY.get(state)) is not None:
                agents[activity] = agents.get(activity, 0) + count
        return LiveFigures(
            sim_time=self._clock.now(),
            opens_at=opens_at,
            closes_at=closes_at,
            calls_waiting=queue.waiting,
            oldest_wait_s=queue.oldest_wait_s,
            service_level=queue.service_level,
            service_level_without=self._level_without(),
            target=target,
            gate_open=None if gate is None else gate.open,
            allowance=0 if gate is None else gate.allowance,
            reserve=0 if gate is None else gate.reserve,
            agents=agents,
            backlog=backlog_of(self.figures),
            recalls=len(self._book.recalls),
            tasks_done=len(self._book.completions),
        )

    def _level_without(self) -> float | None:
        """Return the service level that the day without tasks had by now, or None before its first call."""
        passed = bisect_right(self._without, (self._clock.now(), 2.0))
        return self._without[passed - 1][1] if passed else None


def backlog_of(figures: supervision_pb2.Figures) -> int:
    """Return the tasks that nobody works on yet."""
    return sum(count.tasks for kind in figures.work_types for count in kind.states if count.state in _WAITING)
