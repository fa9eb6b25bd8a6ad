"""What supervisors do: tune policies, watch, open and close gates, move and take back work, ask why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

from router.dispatch.caller import Caller
from router.dispatch.explain import Explain, Explanation
from router.dispatch.figures import Figures, SiteFigures
from router.dispatch.policy_book import PolicyBook, PolicyRecord, problems
from router.dispatch.tasks import Tasks
from router.domain.errors import InvalidInput, RouterError, WrongState
from router.domain.model import (
    HELD_STATES,
    Agent,
    ClaimMode,
    Gate,
    GateMode,
    GroupFigures,
    NoTask,
    Task,
    TaskState,
)
from router.domain.ports import Clock, QueueFigures, Store

_HOLDERS = 2000


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a recall by hand did: the tasks on their way back, and (agent, why not) for the others."""

    tasks: tuple[Task, ...]
    refused: tuple[tuple[str, str], ...]


class Supervision:
    """The use cases of supervisors."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        book: PolicyBook,
        figures: Figures,
        tasks: Tasks,
        recall_sent: Callable[[str, str, Task], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._book = book
        self._figures = figures
        self._tasks = tasks
        self._recall_sent = recall_sent
        self._explain = Explain(store, clock, book)

    # -- policies --------------------------------------------------------------------------------------
    async def get_policy(self, caller: Caller, group: str) -> PolicyRecord:
        """A group's policy with all its versions."""
        return await self._book.get(caller.site, group)

    async def validate_policy(self, caller: Caller, text: str) -> list[tuple[str, str]]:
        """What is wrong with a document; nothing is stored."""
        return problems(text)

    async def put_policy(
        self, caller: Caller, group: str, text: str, etag: int | None, comment: str = ""
    ) -> PolicyRecord:
        """Store a new version; it decides only once it is activated."""
        return await self._book.put(caller, group, text, etag, comment)

    async def activate_policy(
        self, caller: Caller, group: str, version: int, etag: int | None
    ) -> PolicyRecord:
        """Let a version decide from now on."""
        return await self._book.activate(caller, group, version, etag)

    async def rollback_policy(self, caller: Caller, group: str, etag: int | None = None) -> PolicyRecord:
        """Let the version decide that decided before."""
        return await self._book.roll_back(caller, group, etag)

    # -- watch -----------------------------------------------------------------------------------------
    async def figures(self, caller: Caller) -> SiteFigures:
        """The site now."""
        return await self._figures.read(caller.site)

    async def watch_figures(self, caller: Caller, interval_ms: int) -> AsyncIterator[SiteFigures]:
        """The site, again and again; each look at its intended time."""
        next_at = self._clock.monotonic()
        while True:
            yield await self._figures.read(caller.site)
            next_at = max(next_at + interval_ms / 1000, self._clock.monotonic())
            await self._clock.sleep(next_at - self._clock.monotonic())

    async def queues(self, caller: Caller, cursor: str, limit: int) -> tuple[list[QueueFigures], str]:
        """Non-empty queues, in pages."""
        return await self._store.queues(caller.site, cursor, limit)

    async def groups(self, caller: Caller) -> list[GroupFigures]:
        """Blending groups that have agents."""
        return [g for g in await self._store.groups(caller.site) if g.group not in ("", "-")]

    async def explain_task(self, caller: Caller, task: str) -> Explanation:
        """Why the task is with its agent, or with nobody."""
        return await self._explain.task(caller.site, task)

    async def explain_agent(self, caller: Caller, agent: str) -> Explanation:
        """What the agent does, or why it gets nothing."""
        return await self._explain.agent(caller.site, agent)

    # -- steer -----------------------------------------------------------------------------------------
    async def set_gate(self, caller: Caller, group: str, mode: GateMode, reason: str, until_ms: int) -> Gate:
        """Open or close a gate by hand, or give it back to the policy. Held open, it still closes on stale data."""
        if until_ms and until_ms <= self._clock.now_ms():
            raise InvalidInput([("expire_time", "must lie in the future")])
        return await self._store.set_gate_mode(caller.site, group, mode, until_ms, reason, caller.actor)

    async def pause(self, caller: Caller, target: str, paused: bool, reason: str) -> None:
        """Stop or start handing out a work type or a queue; what agents hold goes on."""
        await self._store.pause(caller.site, target, paused, reason, caller.actor)

    async def drain_agent(self, caller: Caller, agent: str, draining: bool) -> Agent:
        """Let an agent finish and receive nothing more, or take that back."""
        return await self._store.set_draining(caller.site, agent, draining)

    async def reprioritize(self, caller: Caller, task: str, priority: int) -> Task:
        """Change a task's priority and so its place in line."""
        return await self._tasks.update(caller, task, {"priority": priority}, None)

    async def reassign(self, caller: Caller, task_id: str, agent: str, force: bool = False) -> Task:
        """Give a task to an agent: at once if that agent may have it now, else it waits for that agent first.

        A task that another agent works on is only taken with ``force``; its checkpoint goes along.
        """
        task = await self._store.task(caller.site, task_id)
        target = await self._store.agent(caller.site, agent)
        if task.agent == agent and task.state in HELD_STATES:
            return task
        if task.state in (TaskState.ACTIVE, TaskState.RECALLING) and not force:
            raise WrongState(
                f"agent {task.agent} works on task {task_id}; use force to take it", "TASK_ACTIVE"
            )
        spec = replace(task.spec, preferred_agent=target.profile.id)
        change = await self._tasks.replanned(caller.site, task, spec, None, take_back=True)
        moved = (await self._store.update(caller.site, task_id, change, caller.actor)).task
        claim = await self._store.claim(
            caller.site,
            agent,
            ClaimMode.OFFER,
            task=task_id,
            actor=caller.actor,
            why=f"assigned by {caller.actor}",
        )
        if claim.reason is NoTask.NOT_QUALIFIED or claim.reason is NoTask.EXCLUDED:
            raise WrongState(
                f"agent {agent} may not do task {task_id}: {claim.reason.value}", claim.reason.value
            )
        return claim.task or moved

    async def recall(
        self, caller: Caller, group: str, count: int, agents: Sequence[str], reason: str
    ) -> Recalled:
        """Take agents back from tasks: those named, or ``count`` of the group, newest start first."""
        holders = await self._store.holding(caller.site, group, _HOLDERS)
        wanted = [a for a in holders if not agents or a.profile.id in agents]
        missing = [(id, "holds no task") for id in agents if id not in {a.profile.id for a in wanted}]
        tasks = await self._tasks_of(caller.site, wanted)
        if not agents:
            tasks = sorted(tasks, key=lambda task: -task.offer_ms - task.accept_ms)[:count]
        notice_ms = round(self._book.known(caller.site, group).notice_s * 1000)
        done = await asyncio.gather(*(self._take_back(caller, group, t, notice_ms, reason) for t in tasks))
        refused = [answer for answer in done if not isinstance(answer, Task)]
        return Recalled(tuple(t for t in done if isinstance(t, Task)), (*missing, *refused))

    async def _tasks_of(self, site: str, agents: Sequence[Agent]) -> list[Task]:
        held = await asyncio.gather(*(self._store.task(site, id) for a in agents for id in a.held))
        return [task for task in held if task.state in (TaskState.OFFERED, TaskState.ACTIVE)]

    async def _take_back(
        self, caller: Caller, group: str, task: Task, notice_ms: int, reason: str
    ) -> Task | tuple[str, str]:
        try:
            change = await self._store.recall(
                caller.site, task.id, task.fence, notice_ms, reason or "SUPERVISOR", caller.actor
            )
        except RouterError as error:
            return task.agent, error.message
        self._recall_sent(caller.site, group, task)
        return change.task
