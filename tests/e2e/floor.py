"""A site and its people, who know the router by its address only."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration

from clients import (
    AgentSession,
    Backoff,
    Connection,
    PullingAgent,
    Submitter,
    Supervisor,
    TelephonyReporter,
)
from clients.agent import Event
from clients.values import duration
from router.state.redis import RedisStore
from router.v1 import common_pb2, tasks_pb2, telephony_pb2
from tests.e2e.processes import eventually

GROUP = "cards"
AVAILABLE, RESERVED = common_pb2.AGENT_STATE_AVAILABLE, common_pb2.AGENT_STATE_RESERVED
RINGING, ON_CALL = common_pb2.AGENT_STATE_RINGING, common_pb2.AGENT_STATE_ON_CALL
QUEUED, OFFERED = common_pb2.TASK_STATE_QUEUED, common_pb2.TASK_STATE_OFFERED
ACTIVE, COMPLETED = common_pb2.TASK_STATE_ACTIVE, common_pb2.TASK_STATE_COMPLETED

POLICY = """
law: static_reserve
static_reserve: 1
reserve_min: 1
min_idle_s: 0
minimum_dwell_s: 0
update_interval_s: 0.5
target_s: 20
recall_reaction_initial_s: 10
notice_s: 8
"""
"""One agent is kept back for calls; a call that has waited 8 s takes an agent from a task."""

PATIENT = {
    "lease_duration": Duration(seconds=300),
    "offer_timeout": Duration(seconds=120),
    "expected_handling_time": Duration(seconds=600),
}
"""Deadlines that a busy machine does not reach within a test."""

# A test should not wait for a client's pause; a person's desktop may.
QUICK = Backoff(first_s=0.05, most_s=0.3)
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 300),
    # A channel of its own, as if each client were a process.
    ("grpc.use_local_subchannel_pool", 1),
)
_site_numbers = itertools.count(1)

E = TypeVar("E")


class Desk:
    """A desktop whose person looks at one event after the other."""

    def __init__(self, session: AgentSession) -> None:
        self.session = session
        self.seen: list[Event] = []
        self._next = 0
        self._news = asyncio.Event()

    async def look(self) -> None:
        """Take down all that the session tells, for ever."""
        async for event in self.session:
            self.seen.append(event)
            self._news.set()

    async def expect(self, kind: type[E], timeout_s: float = 20.0) -> E:
        """The next event of a kind; those of other kinds before it are passed over."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    while self._next < len(self.seen):
                        event = self.seen[self._next]
                        self._next += 1
                        if isinstance(event, kind):
                            return event
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            told = [type(event).__name__ for event in self.seen]
            raise AssertionError(f"no {kind.__name__} within {timeout_s:g} s; told: {told}") from None

    def count(self, kind: type[Any]) -> int:
        """How many events of a kind have come."""
        return sum(isinstance(event, kind) for event in self.seen)


class Acd:
    """A telephone system with one call queue, which obeys commands about its agents."""

    def __init__(self, connection: Connection, source: str, heartbeat_s: float) -> None:
        self.commands: list[tuple[str, str]] = []
        self.reporter = TelephonyReporter(
            connection, source, on_command=self._obey, heartbeat_s=heartbeat_s, backoff=QUICK
        )

    async def _obey(self, command: telephony_pb2.AcdCommand) -> None:
        word = telephony_pb2.AcdAction.Name(command.action).removeprefix("ACD_ACTION_")
        self.commands.append((word, command.agent))
        self.reporter.agent(command.agent, RESERVED if word == "RESERVE" else AVAILABLE)

    async def report(self, state: common_pb2.AgentState.ValueType, *agents: str) -> None:
        """Agents are in a state; returns when the router knows."""
        for agent in agents:
            self.reporter.agent(agent, state)
        await self.reporter.flush(20)

    async def waiting(self, *ages_s: float) -> None:
        """So many calls wait, for so long; returns when the router knows."""
        ages = sorted(ages_s, reverse=True)
        self.reporter.call_queue(
            telephony_pb2.CallQueueReport(
                call_queue="main",
                blending_group=GROUP,
                calls_waiting=len(ages),
                oldest_wait=duration(max(ages, default=0)),
                waiting_ages=[duration(age) for age in ages],
            )
        )
        await self.reporter.flush(20)


class Floor:
    """One site, and everybody's clients, which are closed in the end."""

    def __init__(self, address: str, site: str, stack: AsyncExitStack, **connecting: Any) -> None:
        self.address = address
        self.site = site
        self._stack = stack
        self._connecting = connecting
        self.boss = Supervisor(self.connection("supervisor", "sue"))
        self.erp = Submitter(self.connection("submitter", "erp"))

    def connection(self, role: str, id: str) -> Connection:
        """A connection of somebody."""
        settings = {
            "token": f"dev:{self.site}:{role}:{id}",
            "timeout_s": 30.0,
            "attempts": 100,
            "backoff": QUICK,
            "options": _OPTIONS,
        }
        made = Connection(self.address, site=self.site, **{**settings, **self._connecting})
        self._stack.push_async_callback(made.close)
        return made

    # -- furniture -------------------------------------------------------------------------------------
    async def work_type(self, id: str = "claims", level: int = 2, **fields: Any) -> None:
        """A work type that needs the skill of its name at a level."""
        needs = [common_pb2.SkillRequirement(skill=id, min_level=level)]
        made = tasks_pb2.WorkType(**{"required_skills": needs, **PATIENT, **fields})
        await self.boss.work_types.create(id, made)

    async def blend(self, policy: str = POLICY) -> None:
        """A blending group with a policy."""
        stored = await self.boss.put_policy(GROUP, policy)
        await self.boss.activate_policy(GROUP, stored.version)

    async def hire(self, *names: str, group: str = "", level: int = 3, **fields: Any) -> None:
        """Profiles of agents who can do claims."""
        skills = [common_pb2.AgentSkill(skill="claims", level=level)]
        profile = common_pb2.Agent(blending_group=group, **{"skills": skills, **fields})
        for name in names:
            await self.boss.create_agent(name, profile)

    # -- people ----------------------------------------------------------------------------------------
    async def desk(self, name: str, **options: Any) -> Desk:
        """A desktop that is connected and ready."""
        session = AgentSession(
            self.connection("agent", name),
            backoff=QUICK,
            request_timeout_s=30,
            connect_timeout_s=30,
            **options,
        )
        desk = Desk(await self._stack.enter_async_context(session))
        looking = asyncio.create_task(desk.look())
        self._stack.push_async_callback(_ended, looking)
        return desk

    async def desks(self, *names: str) -> dict[str, Desk]:
        """Several at once."""
        made = await asyncio.gather(*(self.desk(name) for name in names))
        return dict(zip(names, made, strict=True))

    def puller(self, name: str) -> PullingAgent:
        """A desktop without a session."""
        return PullingAgent(self.connection("agent", name))

    async def acd(self, source: str = "pbx", heartbeat_s: float = 0.5) -> Acd:
        """A telephone system that reports."""
        acd = Acd(self.connection("acd", source), source, heartbeat_s)
        await self._stack.enter_async_context(acd.reporter)
        return acd

    # -- tasks -----------------------------------------------------------------------------------------
    async def submit(self, **fields: Any) -> common_pb2.Task:
        """A claim to be worked on."""
        return await self.erp.submit(common_pb2.Task(**{"work_type": "claims", **fields}))

    async def state(self, task: common_pb2.Task) -> common_pb2.TaskState.ValueType:
        """Where the task is now."""
        return (await self.erp.get(task.name)).state

    async def until(
        self, task: common_pb2.Task, state: common_pb2.TaskState.ValueType, timeout_s: float = 20.0
    ) -> common_pb2.Task:
        """Wait until the task is in a state."""

        async def there() -> bool:
            return await self.state(task) == state

        word = common_pb2.TaskState.Name(state)
        await eventually(there, f"{task.name} should become {word}", timeout_s)
        return await self.erp.get(task.name, common_pb2.TASK_VIEW_FULL)

    async def gate(self, open: bool, timeout_s: float = 20.0) -> None:
        """Wait until the gate of the group is open or closed."""

        async def so() -> bool:
            groups = (await self.boss.figures()).blending_groups
            return any(group.gate.open is open for group in groups)

        await eventually(so, f"the gate should become {'open' if open else 'closed'}", timeout_s)

    async def assert_sound(self, store_url: str) -> None:
        """Every invariant holds in what the store has of this site."""
        store = await RedisStore.open(store_url)
        try:
            assert list((await store.audit(self.site)).violations) == []
        finally:
            await store.close()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def opened_floor(address: str, site: str = "", **connecting: Any) -> AsyncIterator[Floor]:
    """A site that no other test uses, or a named one. ``connecting`` goes to every Connection."""
    async with AsyncExitStack() as stack:
        yield Floor(address, site or f"e2e-{next(_site_numbers)}", stack, **connecting)


def names_of(tasks: Iterable[common_pb2.Task]) -> set[str]:
    """The names of tasks."""
    return {task.name for task in tasks}
