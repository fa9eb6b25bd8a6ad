"""One performance of the demo: everybody takes part through the router's public API, at the demo's speed."""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from callcenter.center import AgentState
from clients import Connection, Submission, Submitter, Supervisor
from clients.submitter import ENDED
from demo.acd import CALL_QUEUE, GROUP, SOURCE, Acd
from demo.book import Book
from demo.day import Day
from demo.desktops import Desktop
from demo.policy import policy_text
from demo.scale import Scale, SimClock, Timers
from demo.view import Screen
from demo.watcher import Running, Watcher
from demo.work import KINDS, Planned, agent_profile, plan_backlog, work_type
from router.v1 import common_pb2, supervision_pb2

_SITE = "default"
_WIND_UP_S = 15.0
_LOOK_S = 0.02
_AT_ONCE = 50


class Performance:
    """The day, its people and their ways to the router."""

    def __init__(
        self, day: Day, scale: Scale, since: float, until: float, total: int, address: str, without: Running
    ) -> None:
        """Set up everything that needs no router; `prepare` and `play` follow in this order.

        `without` is the service level so far of the same day without tasks, for the live view.
        """
        self.day = day
        self.scale = scale
        self.since = since
        self.until = until
        self.book = Book()
        self.clock = SimClock(scale, since)
        self.run_id = f"day{uuid.uuid4().hex[:8]}"
        self.backlog = plan_backlog(self.run_id, total, day.options.seed, since, until)
        self.submitted: list[str] = []
        self.counters_before = supervision_pb2.Counters()
        self._address = address
        self._open = AsyncExitStack()
        self.supervisor = Supervisor(self._connect("supervisor", "demo"))
        self.submitter = Submitter(self._connect("submitter", "back-office"))
        self.acd = Acd(day, self.clock, self._connect("acd", SOURCE), self.book)
        self.desktops = [self._desktop(agent) for agent in self.acd.center.agents]
        self.watcher = Watcher(self.supervisor, self.clock, self.book, self.acd, without)
        called = {desktop.agent: desktop.called for desktop in self.desktops}
        self.acd.on_agent_called = lambda agent: called[agent]()

    async def close(self) -> None:
        """Close all connections."""
        await self._open.aclose()

    def _connect(self, role: str, who: str) -> Connection:
        connection = Connection(self._address, site=_SITE, token=f"dev:{_SITE}:{role}:{who}")
        self._open.push_async_callback(connection.close)
        return connection

    def _desktop(self, agent: str) -> Desktop:
        connection = self._connect("agent", agent)
        return Desktop(agent, connection, self.clock, self.book, self.acd, self.day.options.seed)

    # Before the day.

    async def prepare(self) -> None:
        """Keep policy, agents and work types at the router, and submit what waits in the morning."""
        self.counters_before = (await self.supervisor.figures()).counters
        await self._set_policy()
        seed = self.day.options.seed
        await asyncio.gather(
            *(
                self.supervisor.apply_agent(d.agent, agent_profile(d.agent, GROUP, seed))
                for d in self.desktops
            )
        )
        timers = Timers().on_the_wall(self.scale)
        for kind in KINDS:
            await self.submitter.work_types.apply(kind.name, work_type(kind, self.scale, timers))
        waiting = [self._submission(task) for task in self.backlog.waiting]
        async for answer in self.submitter.submit_many(waiting):
            if answer.error is not None:
                raise answer.error
            self.submitted.append(answer.submission.task_id)
        self.watcher.figures = await self.supervisor.figures()

    async def _set_policy(self) -> None:
        text = policy_text(CALL_QUEUE, self.day.options.target, self.scale)
        comment = f"the demo at {self.scale.speed:g} times the speed of the clock"
        stored = await self.supervisor.put_policy(GROUP, text, comment=comment)
        await self.supervisor.activate_policy(GROUP, stored.latest_version or stored.version)
        await self.supervisor.set_gate(GROUP, supervision_pb2.GATE_MODE_AUTO)

    def _submission(self, task: Planned) -> Submission:
        return task.submission(self.clock, self.run_id)

    # The day.

    async def play(self, screen: Screen) -> None:
        """Let the day pass, and bring it to its end: nobody holds a task when this returns."""
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(desktop.run()) for desktop in self.desktops]
            await asyncio.gather(*(desktop.session.wait_connected(10.0) for desktop in self.desktops))
            # A full collection in mid-day would hold everybody up; what exists by now stays anyway.
            gc.collect()
            gc.freeze()
            self.clock.restart()
            coming = group.create_task(self._submit_what_comes())
            running += [group.create_task(part) for part in self._parts(screen)]
            async with self.acd.reporter:
                await asyncio.sleep(self.clock.wall_until(self.until))
                await coming
                await self._wind_up()
            for task in running:
                task.cancel()

    def _parts(self, screen: Screen) -> list[Coroutine[Any, Any, None]]:
        target = self.day.options.target
        return [
            self.acd.run(),
            self.acd.probe(),
            self.watcher.follow(),
            self.watcher.show(screen, self.since, self.until, target),
        ]

    async def _submit_what_comes(self) -> None:
        async for answer in self.submitter.submit_stream(self._coming()):
            if answer.error is not None:
                raise answer.error
            self.submitted.append(answer.submission.task_id)

    async def _coming(self) -> AsyncIterator[Submission]:
        for task in self.backlog.coming:
            await asyncio.sleep(self.clock.wall_until(task.at))
            yield self._submission(task)

    async def _wind_up(self) -> None:
        """Close the gate, let the agents give back what they hold, and see that all are back at the calls."""
        await self.supervisor.set_gate(GROUP, supervision_pb2.GATE_MODE_CLOSED, "the demo's day is over")
        self.book.gate_closed_at = self.clock.now()
        try:
            async with asyncio.timeout(_WIND_UP_S):
                while self._unfinished():
                    for desktop in self.desktops:
                        desktop.hand_back()
                    await asyncio.sleep(_LOOK_S)
                await self.acd.reporter.flush()
        except TimeoutError:
            for agent in self._unfinished():
                self.book.problems[f"not back {_WIND_UP_S:g} s after the end: {agent}"] += 1

    async def tidy(self) -> None:
        """Leave a router that others use as it was found: no tasks of this day, the gate in the policy's hands."""
        left = [task.name async for task in self.tasks() if task.state not in ENDED]
        while left:
            some, left = left[:_AT_ONCE], left[_AT_ONCE:]
            await asyncio.gather(*(self.submitter.cancel(name, "the demo is over") for name in some))
        await self.supervisor.set_gate(GROUP, supervision_pb2.GATE_MODE_AUTO)

    def tasks(self) -> AsyncIterator[common_pb2.Task]:
        """Yield every task of this day as the router knows it, without payloads."""
        summary = common_pb2.TASK_VIEW_SUMMARY
        return self.submitter.list_tasks(f'labels.run = "{self.run_id}"', page_size=1000, view=summary)

    def _unfinished(self) -> list[str]:
        """Say of each agent who is not back at the calls yet what keeps them."""
        return [
            f"{desktop} ({self.acd.center.state_of(desktop.agent)} at the telephone)"
            for desktop in self.desktops
            if desktop.busy or self.acd.center.state_of(desktop.agent) is AgentState.RESERVED
        ]
