"""The store port in this process: no I/O, no awaits inside, the same answers as the Redis store.

A simulator may drive the coroutines by ``send(None)``: each one ends at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from router.domain.errors import NotFound
from router.domain.model import (
    AcdCommand,
    Agent,
    AgentProfile,
    AgentReport,
    ClaimMode,
    Document,
    Feed,
    Gate,
    GateMode,
    GroupFigures,
    Task,
    TaskState,
    TaskTransition,
)
from router.domain.ports import (
    Audit,
    Backlog,
    CallQueueRecord,
    Change,
    Claim,
    Clock,
    Event,
    Hint,
    HintListener,
    NewTask,
    Page,
    QueueFigures,
    RecordedChunk,
    ReportResult,
    Submitted,
    TaskUpdate,
)
from router.state import audit, records
from router.state.memory import (
    agents,
    claiming,
    gates,
    holding,
    looks,
    submitting,
    sweeping,
    telephony,
    upkeep,
)
from router.state.memory.site import Site
from router.state.memory.transition import Transition

MOST_TASKS = 2_000_000


class MemoryStore:
    """Every site's state in this process (see :class:`router.domain.ports.Store` for what each method promises)."""

    def __init__(self, clock: Clock, max_tasks: int = MOST_TASKS) -> None:
        self._clock = clock
        self._max_tasks = max_tasks
        self._sites: dict[str, Site] = {}
        self._listeners: list[tuple[str, HintListener]] = []
        self._replies: set[asyncio.Future[None]] = set()

    # -- life of a task ------------------------------------------------------------------------------------
    async def submit(
        self, site: str, tasks: Sequence[NewTask], now_ms: int | None = None
    ) -> list[Submitted | Exception]:
        return submitting.submit(self._begin(site, now_ms), tasks, self._max_tasks)

    async def claim(
        self,
        site: str,
        agent: str,
        mode: ClaimMode,
        *,
        task: str = "",
        cursor: str = "",
        actor: str = "",
        why: str = "",
        once: bool = False,
        now_ms: int | None = None,
    ) -> Claim:
        return claiming.claim(self._begin(site, now_ms), agent, mode, task, cursor, actor, why, once)

    async def accept(self, site: str, task: str, agent: str, fence: int, now_ms: int | None = None) -> Change:
        return holding.accept(self._begin(site, now_ms), task, agent, fence)

    async def decline(
        self, site: str, task: str, agent: str, fence: int, reason: str, now_ms: int | None = None
    ) -> Change:
        return holding.decline(self._begin(site, now_ms), task, agent, fence, reason)

    async def rescind(
        self,
        site: str,
        task: str,
        fence: int,
        reason: str,
        actor: str,
        now_ms: int | None = None,
        *,
        why: str = "",
        policy_version: int = 0,
    ) -> Change:
        tx = holding.decided(self._begin(site, now_ms), why, policy_version)
        return holding.rescind(tx, task, fence, reason, actor)

    async def show(self, site: str, task: str, fence: int, now_ms: int | None = None) -> Change:
        return holding.show(self._begin(site, now_ms), task, fence)

    async def checkpoint(
        self, site: str, task: str, agent: str, fence: int, data: bytes, now_ms: int | None = None
    ) -> Change:
        return holding.checkpoint(self._begin(site, now_ms), task, agent, fence, data)

    async def extend(
        self, site: str, task: str, agent: str, fence: int, lease_ms: int, now_ms: int | None = None
    ) -> Change:
        return holding.extend(self._begin(site, now_ms), task, agent, fence, lease_ms)

    async def complete(
        self,
        site: str,
        task: str,
        agent: str,
        fence: int,
        result: bytes,
        outcome: str,
        now_ms: int | None = None,
    ) -> Change:
        return holding.complete(self._begin(site, now_ms), task, agent, fence, result, outcome)

    async def release(
        self,
        site: str,
        task: str,
        agent: str,
        fence: int,
        reason: str,
        data: bytes | None,
        now_ms: int | None = None,
    ) -> Change:
        return holding.release(self._begin(site, now_ms), task, agent, fence, reason, data)

    async def park(
        self, site: str, task: str, agent: str, fence: int, until_ms: int, now_ms: int | None = None
    ) -> Change:
        return holding.park(self._begin(site, now_ms), task, agent, fence, until_ms)

    async def resume(self, site: str, task: str, agent: str, fence: int, now_ms: int | None = None) -> Change:
        return claiming.resume(self._begin(site, now_ms), task, agent, fence)

    async def recall(
        self,
        site: str,
        task: str,
        fence: int,
        notice_ms: int,
        reason: str,
        actor: str,
        now_ms: int | None = None,
        *,
        why: str = "",
        policy_version: int = 0,
    ) -> Change:
        tx = holding.decided(self._begin(site, now_ms), why, policy_version)
        return holding.recall(tx, task, fence, notice_ms, reason, actor)

    async def force(
        self, site: str, task: str, fence: int, reason: str, actor: str, now_ms: int | None = None
    ) -> Change:
        return holding.force(self._begin(site, now_ms), task, fence, reason, actor)

    async def cancel(
        self,
        site: str,
        task: str,
        reason: str,
        actor: str,
        revision: int | None = None,
        now_ms: int | None = None,
    ) -> Change:
        return holding.cancel(self._begin(site, now_ms), task, reason, actor, revision)

    async def update(
        self, site: str, task: str, change: TaskUpdate, actor: str, now_ms: int | None = None
    ) -> Change:
        return submitting.update(self._begin(site, now_ms), task, change, actor)

    async def revive(
        self,
        site: str,
        task: str,
        actor: str,
        reason: str = "",
        revision: int | None = None,
        now_ms: int | None = None,
    ) -> Change:
        return holding.revive(self._begin(site, now_ms), task, actor, reason, revision)

    async def due(self, site: str, limit: int, now_ms: int | None = None) -> list[str]:
        now = self._now(now_ms)
        return [task for at, task in self._look(site).due.islice(0, limit) if at <= now]

    async def advance(self, site: str, task: str, now_ms: int | None = None) -> Task | None:
        return sweeping.advance(self._begin(site, now_ms), task)

    # -- agents --------------------------------------------------------------------------------------------
    async def put_profile(
        self, site: str, profile: AgentProfile, etag: int | None, now_ms: int | None = None
    ) -> Agent:
        return agents.put_profile(self._begin(site, now_ms), profile, etag)

    async def delete_profile(
        self, site: str, agent: str, etag: int | None = None, now_ms: int | None = None
    ) -> None:
        agents.delete_profile(self._begin(site, now_ms), agent, etag)

    async def connect(
        self, site: str, agent: str, worker: str, session: str, ready: bool, now_ms: int | None = None
    ) -> Agent:
        return agents.connect(self._begin(site, now_ms), agent, worker, session, ready)

    async def disconnect(self, site: str, agent: str, session: str, now_ms: int | None = None) -> None:
        agents.disconnect(self._begin(site, now_ms), agent, session)

    async def set_ready(
        self, site: str, agent: str, session: str, ready: bool, now_ms: int | None = None
    ) -> Agent:
        return agents.set_ready(self._begin(site, now_ms), agent, session, ready)

    async def set_draining(
        self, site: str, agent: str, draining: bool, reason: str = "", now_ms: int | None = None
    ) -> Agent:
        return agents.set_draining(self._begin(site, now_ms), agent, draining, reason)

    async def sessions_of(self, site: str, worker: str) -> list[tuple[str, str]]:
        return looks.sessions_of(self._look(site), worker)

    async def agent(self, site: str, agent: str) -> Agent:
        return self._look(site).agent_value(agent)

    async def agents(self, site: str, cursor: str, limit: int) -> tuple[list[Agent], str]:
        return looks.agents(self._look(site), cursor, limit)

    async def idle_agents(self, site: str, group: str, limit: int) -> list[Agent]:
        return looks.idle_agents(self._look(site), group, limit)

    async def holding(self, site: str, group: str, limit: int) -> list[Agent]:
        return looks.holding(self._look(site), group, limit)

    # -- telephony -----------------------------------------------------------------------------------------
    async def report(
        self,
        site: str,
        source: str,
        epoch: str,
        sequence: int,
        agents: Sequence[AgentReport],
        *,
        snapshot: bool,
        last: bool = True,
        first: int = 0,
        call_queues: Mapping[str, str] | None = None,
        recall_notice_ms: int = 10_000,
        now_ms: int | None = None,
    ) -> ReportResult:
        return telephony.report(
            self._begin(site, now_ms),
            source,
            epoch,
            sequence,
            agents,
            snapshot=snapshot,
            last=last,
            first=first or sequence,
            call_queues=call_queues or {},
            notice_ms=recall_notice_ms,
        )

    async def put_command(self, site: str, command: AcdCommand, now_ms: int | None = None) -> None:
        telephony.put_command(self._begin(site, now_ms), command)

    async def command_result(
        self, site: str, command: str, agent: str, ok: bool, error: str, now_ms: int | None = None
    ) -> Task | None:
        return telephony.command_result(self._begin(site, now_ms), command, agent, ok, error)

    async def commands(self, site: str, source: str) -> list[AcdCommand]:
        standing = (records.command_from(*item) for item in self._look(site).commands.items())
        return sorted(
            (command for command in standing if command.source == source),
            key=lambda command: (command.at_ms, command.agent),
        )

    async def call_queues(self, site: str) -> list[CallQueueRecord]:
        return [records.call_queue_from(*item) for item in sorted(self._look(site).callqueues.items())]

    async def feeds(self, site: str) -> list[Feed]:
        return [records.feed_from(*item) for item in sorted(self._look(site).feeds.items())]

    # -- gates and leaders ---------------------------------------------------------------------------------
    async def lead(self, site: str, group: str, worker: str, ttl_ms: int, now_ms: int | None = None) -> int:
        return gates.lead(self._begin(site, now_ms), group, worker, ttl_ms)

    async def set_gate(self, site: str, gate: Gate, now_ms: int | None = None) -> Gate:
        return gates.set_gate(self._begin(site, now_ms), gate)

    async def set_gate_mode(
        self,
        site: str,
        group: str,
        mode: GateMode,
        until_ms: int,
        reason: str,
        actor: str,
        now_ms: int | None = None,
    ) -> Gate:
        return gates.set_mode(self._begin(site, now_ms), group, mode, until_ms, reason)

    async def gate(self, site: str, group: str) -> Gate:
        return self._look(site).gate_value(group)

    async def groups(self, site: str) -> list[GroupFigures]:
        there = self._look(site)
        return [there.group_value(group) for group in sorted(there.groups)]

    # -- queues and looks ----------------------------------------------------------------------------------
    async def pause(
        self,
        site: str,
        target: str,
        paused: bool,
        reason: str,
        actor: str,
        now_ms: int | None = None,
    ) -> None:
        upkeep.pause(self._begin(site, now_ms), target, paused, reason)

    async def paused(self, site: str) -> dict[str, str]:
        return dict(self._look(site).paused)

    async def queues(self, site: str, cursor: str, limit: int) -> tuple[list[QueueFigures], str]:
        return looks.queues(self._look(site), cursor, limit)

    async def task(self, site: str, task: str) -> Task:
        there = self._look(site)
        there.record_of(task)
        return there.task_value(task)

    async def tasks_named(self, site: str, ids: Sequence[str]) -> list[Task]:
        there = self._look(site)
        return [there.task_value(id) for id in ids if id in there.tasks]

    async def task_by_reference(self, site: str, submitter: str, reference: str) -> Task:
        there = self._look(site)
        task = there.refs.get(f"{submitter}|{reference}", "")
        if task not in there.tasks:
            raise NotFound(f"no task of {submitter} has the reference {reference}")
        return there.task_value(task)

    async def tasks(self, site: str, states: frozenset[TaskState], cursor: str, limit: int) -> Page:
        return looks.tasks(self._look(site), states, cursor, limit)

    async def history(self, site: str, task: str) -> list[TaskTransition]:
        there = self._look(site)
        there.record_of(task)
        return [records.transition_from(entry) for entry in there.history.get(task, ())]

    async def position(self, site: str, task: str) -> int:
        return looks.position(self._look(site), task)

    async def backlog(self, site: str) -> Backlog:
        return looks.backlog(self._look(site))

    async def events(self, site: str, after: str, limit: int) -> list[Event]:
        return looks.events(self._look(site), after, limit)

    async def last_event(self, site: str) -> str:
        return f"{self._look(site).event_count}-0"

    # -- documents, upkeep ---------------------------------------------------------------------------------
    async def put_document(
        self, site: str, kind: str, id: str, body: str, etag: int | None, now_ms: int | None = None
    ) -> Document:
        return upkeep.put_document(self._begin(site, now_ms), kind, id, body, etag)

    async def document(self, site: str, kind: str, id: str) -> Document:
        return upkeep.document(self._look(site), kind, id)

    async def documents(self, site: str, kind: str) -> list[Document]:
        return upkeep.documents(self._look(site), kind)

    async def delete_document(self, site: str, kind: str, id: str, etag: int | None) -> None:
        upkeep.delete_document(self._begin(site, None), kind, id, etag)

    async def purge(self, site: str, before_ms: int, limit: int, now_ms: int | None = None) -> int:
        return submitting.purge(self._begin(site, now_ms), before_ms, limit)

    async def beat(self, site: str, worker: str, now_ms: int | None = None) -> list[str]:
        return upkeep.beat(self._begin(site, now_ms), worker)

    async def record(
        self, site: str, chunk: bytes, keep_ms: int, keep_chunks: int, now_ms: int | None = None
    ) -> str:
        return upkeep.record(self._begin(site, now_ms), chunk, keep_ms, keep_chunks)

    async def recording(self, site: str, after: str, limit: int) -> list[RecordedChunk]:
        return looks.recording(self._look(site), after, limit)

    async def audit(self, site: str, now_ms: int | None = None) -> Audit:
        return audit.audit(self.dump(site), self._now(now_ms))

    async def sites(self) -> list[str]:
        return sorted(self._sites)

    async def now(self) -> int:
        return self._clock.now_ms()

    def listen(self, worker: str, listener: HintListener) -> Callable[[], None]:
        entry = (worker, listener)
        self._listeners.append(entry)

        def stop() -> None:
            if entry in self._listeners:
                self._listeners.remove(entry)

        return stop

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        self._listeners.clear()

    def next_due_ms(self, site: str) -> int | None:
        """When the next task's time comes, for a simulator, which need not look again and again."""
        return self._look(site).next_due_ms

    def dump(self, site: str) -> dict[str, Any]:
        """Everything that the site holds, in the words of the Redis store's keys (for tests and the audit)."""
        return self._look(site).dump()

    # -- inside --------------------------------------------------------------------------------------------
    def _now(self, now_ms: int | None) -> int:
        return self._clock.now_ms() if now_ms is None else now_ms

    def _look(self, site: str) -> Site:
        """The site, or an empty one that is not kept."""
        return self._sites.get(site) or Site(site)

    def _begin(self, site: str, now_ms: int | None) -> Transition:
        there = self._sites.get(site)
        if there is None:
            there = self._sites[site] = Site(site)
        return Transition(there, self._now(now_ms), self._send if self._listeners else None)

    def _send(self, worker: str, hint: Hint) -> None:
        """Give a hint to the worker's listeners, or (worker '') to all."""
        for name, listener in tuple(self._listeners):
            if worker and name != worker:
                continue
            reply = listener(hint)
            if reply is not None:
                future = asyncio.ensure_future(reply)
                self._replies.add(future)
                future.add_done_callback(self._replies.discard)
