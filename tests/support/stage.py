"""One site, one clock that the test moves, and short words for what happens there."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import pytest

from router.domain.errors import RouterError
from router.domain.model import (
    Agent,
    AgentProfile,
    AgentReport,
    AgentState,
    ClaimMode,
    Gate,
    NoTask,
    Task,
    TaskState,
)
from router.domain.ports import Claim, NewTask, ReportResult, Store
from tests.support import builders
from tests.support.builders import GROUP, HOUR, SOURCE, T0, new_task

E = TypeVar("E", bound=RouterError)

SCORED = frozenset({"due", "ended", "workers"})
"""Sorted sets whose scores matter: [member, score] pairs in a dump."""


class DumpStore(Store, Protocol):
    """A store that can show all it holds of a site."""

    def dump(self, site: str) -> Any:
        """``{key: {field: value} | [member...]}``, or an awaitable of it."""


async def dump_of(store: DumpStore, site: str) -> dict[str, Any]:
    """The dump without empty keys, sorted where only the scores order, in plain words."""
    content = store.dump(site)
    if inspect.isawaitable(content):
        content = await content
    return {key: _sorted(key, plain(value)) for key, value in content.items() if value}


def _sorted(key: str, value: Any) -> Any:
    return sorted(value, key=lambda item: (item[1], item[0])) if key in SCORED else value


def plain(value: Any) -> Any:
    """``value`` in the words of JSON, so that two stores' dumps compare."""
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


@dataclass
class Stage:
    """A site of a store under test. ``now`` is the time of the next transition; nothing sleeps."""

    store: DumpStore
    site: str
    now: int = T0
    sequence: int = 0
    terms: dict[str, int] = field(default_factory=dict)

    def later(self, ms: int) -> int:
        """Let ``ms`` pass; the new time."""
        self.now += ms
        return self.now

    # -- tasks -----------------------------------------------------------------------------------------
    async def submit(self, *tasks: NewTask) -> Task:
        """Store new tasks; the last of them."""
        answers = await self.store.submit(self.site, tasks, now_ms=self.now)
        assert len(answers) == len(tasks)
        last: Task | None = None
        for answer in answers:
            assert not isinstance(answer, Exception), answer
            assert answer.created
            last = answer.task
        assert last is not None
        return last

    async def add(self, id: str = "t1", **fields: Any) -> Task:
        """Submit one task built from defaults."""
        fields.setdefault("origin_ms", self.now)
        return await self.submit(new_task(id, **fields))

    async def task(self, id: str = "t1") -> Task:
        """The task as stored."""
        return await self.store.task(self.site, id)

    async def state(self, id: str = "t1") -> TaskState:
        """The task's state."""
        return (await self.task(id)).state

    async def claim(self, agent: str = "ann", mode: ClaimMode = ClaimMode.OFFER, **more: Any) -> Claim:
        """Try to give the agent a task."""
        return await self.store.claim(self.site, agent, mode, now_ms=self.now, **more)

    async def offer(self, agent: str = "ann", **more: Any) -> Task:
        """Give the agent an offer; fails if there is none."""
        return handed(await self.claim(agent, ClaimMode.OFFER, **more))

    async def pull(self, agent: str = "ann", **more: Any) -> Task:
        """The agent takes its next task; fails if there is none."""
        return handed(await self.claim(agent, ClaimMode.LEASE, **more))

    async def refusal(self, agent: str = "ann", mode: ClaimMode = ClaimMode.OFFER, **more: Any) -> NoTask:
        """Why the agent gets nothing; fails if it gets a task, or if that changed anything."""
        before = await self.dump()
        claim = await self.claim(agent, mode, **more)
        assert claim.task is None, f"handed out {claim.task.id}"
        assert claim.reason is not None
        assert await self.dump() == before, "a claim without a task changed the store"
        return claim.reason

    async def accept(self, task: Task) -> Task:
        """The holder accepts its offer."""
        return (await self.store.accept(self.site, task.id, task.agent, task.fence, now_ms=self.now)).task

    async def active(self, id: str = "t1", agent: str = "ann", **fields: Any) -> Task:
        """A new task in the hands of a (new, dedicated) agent."""
        await self.agent(agent)
        await self.add(id, **fields)
        return await self.pull(agent, task=id)

    async def recalled(self, task: Task, notice_ms: int = 10_000) -> Task:
        """Ask the holder to hand the task back."""
        change = await self.store.recall(
            self.site, task.id, task.fence, notice_ms, "calls", "router", now_ms=self.now
        )
        return change.task

    async def complete(self, task: Task, result: bytes = b"done", outcome: str = "ok") -> Task:
        """The holder completes its task."""
        change = await self.store.complete(
            self.site, task.id, task.agent, task.fence, result, outcome, now_ms=self.now
        )
        return change.task

    async def release(self, task: Task, data: bytes | None = None) -> Task:
        """The holder hands its task back."""
        change = await self.store.release(
            self.site, task.id, task.agent, task.fence, "given back", data, now_ms=self.now
        )
        return change.task

    async def decline(self, task: Task) -> Task:
        """The holder declines its offer."""
        change = await self.store.decline(self.site, task.id, task.agent, task.fence, "no", now_ms=self.now)
        return change.task

    async def checkpoint(self, task: Task, data: bytes) -> Task:
        """The holder saves progress."""
        change = await self.store.checkpoint(
            self.site, task.id, task.agent, task.fence, data, now_ms=self.now
        )
        return change.task

    async def park(self, task: Task, for_ms: int = HOUR) -> Task:
        """The holder sets its task aside for ``for_ms``."""
        change = await self.store.park(
            self.site, task.id, task.agent, task.fence, self.now + for_ms, now_ms=self.now
        )
        return change.task

    async def cancel(self, id: str = "t1") -> Task:
        """The submitter cancels a task."""
        return (await self.store.cancel(self.site, id, "not needed", "crm", now_ms=self.now)).task

    async def advance(self, id: str = "t1") -> Task | None:
        """Let the sweeper look at the task."""
        return await self.store.advance(self.site, id, now_ms=self.now)

    async def due(self, limit: int = 100) -> list[str]:
        """What the sweeper would look at."""
        return await self.store.due(self.site, limit, now_ms=self.now)

    async def sweep(self, bound: int = 200) -> None:
        """Advance everything that is due, as the sweeper does."""
        for _ in range(bound):
            due = await self.due()
            if not due:
                return
            for id in due:
                await self.advance(id)
        raise AssertionError(f"still due after {bound} sweeps: {await self.due()}")

    # -- agents ----------------------------------------------------------------------------------------
    async def agent(
        self, id: str = "ann", *, group: str = "", connect: bool = True, ready: bool = True, **fields: Any
    ) -> Agent:
        """A connected, ready agent; one with a group is AVAILABLE at the ACD as well."""
        made = builders.profile(id, blending_group=group, **fields)
        await self.put_profile(made)
        if connect:
            await self.connect(id, ready=ready)
        if group:
            await self.report({id: AgentState.AVAILABLE})
        return await self.read_agent(id)

    async def put_profile(self, profile: AgentProfile, etag: int | None = None) -> Agent:
        """Write a profile."""
        return await self.store.put_profile(self.site, profile, etag, now_ms=self.now)

    async def connect(self, id: str = "ann", *, session: str = "", ready: bool = True) -> Agent:
        """Open a desktop session (named after its agent) on worker ``w1``."""
        return await self.store.connect(self.site, id, "w1", session or f"s-{id}", ready, now_ms=self.now)

    async def disconnect(self, id: str = "ann", session: str = "") -> None:
        """Close the desktop session."""
        await self.store.disconnect(self.site, id, session or f"s-{id}", now_ms=self.now)

    async def read_agent(self, id: str = "ann") -> Agent:
        """The agent as stored."""
        return await self.store.agent(self.site, id)

    async def report(
        self, states: Mapping[str, AgentState], *, snapshot: bool = False, **more: Any
    ) -> ReportResult:
        """The ACD ``acd`` reports states with its next sequence number (its first report is a snapshot)."""
        if self.sequence == 0:
            self.sequence = 1
            await self.raw_report(1, [], snapshot=True)
        self.sequence += 1
        reports = [AgentReport(agent, state) for agent, state in states.items()]
        return await self.raw_report(self.sequence, reports, snapshot=snapshot, **more)

    async def raw_report(
        self,
        sequence: int,
        agents: list[AgentReport],
        *,
        epoch: str = "1",
        source: str = SOURCE,
        snapshot: bool = False,
        **more: Any,
    ) -> ReportResult:
        """A report exactly as given."""
        return await self.store.report(
            self.site, source, epoch, sequence, agents, snapshot=snapshot, now_ms=self.now, **more
        )

    # -- gates -----------------------------------------------------------------------------------------
    async def lead(self, group: str = GROUP, worker: str = "w1", ttl_ms: int = 10 * HOUR) -> int:
        """Become the group's leader; the term, or 0."""
        return await self.store.lead(self.site, group, worker, ttl_ms, now_ms=self.now)

    async def gate(self, group: str = GROUP, **fields: Any) -> Gate:
        """Write a gate (open by default) as the group's leader."""
        term = await self.lead(group)
        wanted = builders.gate(group, now_ms=self.now, term=term, **fields)
        return await self.store.set_gate(self.site, wanted, now_ms=self.now)

    # -- what must hold --------------------------------------------------------------------------------
    async def dump(self) -> dict[str, Any]:
        """All that the store holds of the site."""
        return await dump_of(self.store, self.site)

    async def refuses(self, error: type[E], attempt: Awaitable[object]) -> E:
        """The attempt raises ``error`` and changes nothing."""
        before = await self.dump()
        with pytest.raises(error) as caught:
            await attempt
        assert await self.dump() == before, "a refused transition changed the store"
        return caught.value

    async def assert_sound(self) -> None:
        """Every invariant holds."""
        audit = await self.store.audit(self.site, now_ms=self.now)
        assert list(audit.violations) == []


def handed(claim: Claim) -> Task:
    """The claim's task."""
    assert claim.task is not None, f"nothing handed out: {claim.reason}"
    assert claim.reason is None
    return claim.task
