"""A whole router without gRPC: a store, the loops, and shorthand for the people who use it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from router.dispatch.caller import ACD, AGENT, SUBMITTER, SUPERVISOR, Caller
from router.dispatch.clock import SystemClock
from router.dispatch.hub import Push, Session
from router.dispatch.router import Router
from router.domain.model import AgentProfile, AgentReport, AgentState, Task, TaskSpec, TaskState, WorkType
from router.domain.ports import ReportResult, Store
from router.domain.telephony import CallQueueReport, ReportBatch
from router.state.memory import MemoryStore
from tests.support.wait import wait_until

SITE = "default"
GROUP = "blue"

FAST_POLICY = """
law: static_reserve
static_reserve: 1
reserve_min: 1
min_idle_s: 0
minimum_dwell_s: 0
stale_after_s: 0.6
update_interval_s: 0.5
target_s: 20
recall_reaction_initial_s: 10
notice_s: 0.4
"""
"""One agent kept back, recall armed, and timers short enough for a test."""


class CountingIds:
    """Names that tell in which order they were given."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def task_id(self) -> str:
        """The next task id."""
        return f"t{next(self._numbers):04d}"

    def token(self) -> str:
        """The next other name."""
        return f"x{next(self._numbers):04d}"


class Scene:
    """One site with its people."""

    def __init__(self, store: Store, ids: CountingIds, worker: str = "w1") -> None:
        self.store = store
        self.router = Router(store, SystemClock(), ids, worker)
        self.boss = Caller(SITE, SUPERVISOR, "sue")
        self.crm = Caller(SITE, SUBMITTER, "crm")
        self.acd = Caller(SITE, ACD, "acd")
        self._sequence = itertools.count(1)
        self._sessions = AsyncExitStack()

    async def prepare(self, policy: str = FAST_POLICY, group: str = GROUP) -> None:
        """A work type and a policy."""
        await self.router.work_types.create(self.boss, WorkType("claims", {"claims": 2}))
        supervision = self.router.supervision
        await supervision.put_policy(self.boss, group, policy, None)
        await supervision.activate_policy(self.boss, group, 1, None)

    async def hire(self, *names: str, group: str = GROUP, **fields: Any) -> None:
        """Profiles of agents with the skill for claims."""
        fields.setdefault("skills", {"claims": 3})
        for name in names:
            profile = AgentProfile(name, blending_group=group, **fields)
            await self.router.agents.create_agent(self.boss, profile)

    async def report(
        self,
        states: dict[str, AgentState] | None = None,
        waiting_ages_ms: Sequence[int] = (),
        snapshot: bool = False,
        **queue: Any,
    ) -> ReportResult:
        """The ACD says where agents are and how long calls wait."""
        figures = CallQueueReport(
            "main",
            GROUP,
            calls_waiting=len(waiting_ages_ms),
            oldest_wait_ms=max(waiting_ages_ms, default=0),
            waiting_ages_ms=tuple(waiting_ages_ms),
            **queue,
        )
        sequence = next(self._sequence)
        agents = [AgentReport(agent, state) for agent, state in (states or {}).items()]
        batch = ReportBatch("acd", "1", sequence, snapshot or sequence == 1, agents, [figures])
        return await self.router.telephony.report(self.acd, batch)

    async def keep_reporting(self) -> None:
        """A feed that lives: a heartbeat ten times a second."""
        while True:
            sequence = next(self._sequence)
            await self.router.telephony.report(self.acd, ReportBatch("acd", "1", sequence))
            await asyncio.sleep(0.1)

    async def sit_down(self, *names: str) -> list[Session]:
        """Desktops that connect, ready."""
        return [
            await self._sessions.enter_async_context(self.router.hub.open_session(self.agent(name), True))
            for name in names
        ]

    def agent(self, name: str) -> Caller:
        """The agent's own credentials."""
        return Caller(SITE, AGENT, name)

    async def submit(self, **fields: Any) -> Task:
        """A claim to be worked."""
        return (await self.router.tasks.submit(self.crm, TaskSpec("claims", **fields))).task

    async def state(self, task: Task) -> TaskState:
        """Where the task is now."""
        return (await self.store.task(SITE, task.id)).state

    async def until(self, task: Task, state: TaskState, timeout_s: float = 5.0) -> Task:
        """Wait until the task is in a state."""

        async def there() -> bool:
            return await self.state(task) is state

        await wait_until(there, f"task {task.id} should become {state}", timeout_s)
        return await self.store.task(SITE, task.id)

    async def leave(self) -> None:
        """Everybody goes."""
        await self._sessions.aclose()


@asynccontextmanager
async def opened_scene(store: Store | None = None, **prepare: Any) -> AsyncIterator[Scene]:
    """A running router on a store (a new one in memory if none is given)."""
    scene = Scene(store or MemoryStore(SystemClock()), CountingIds())
    await scene.prepare(**prepare)
    await scene.router.start()
    try:
        yield scene
    finally:
        await scene.leave()
        await scene.router.stop()


async def next_push(session: Session, kind: str, timeout_s: float = 5.0) -> Push:
    """The next message of a kind; others before it are passed over."""
    async with asyncio.timeout(timeout_s):
        async for push in session:
            if push.kind == kind:
                return push
    raise AssertionError("the session ended")
