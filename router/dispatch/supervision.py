"""What supervisors do: tune policies, watch, open and close gates, move and take back work, ask why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from router.dispatch.caller import Caller
from router.dispatch.comparison import KIND as COMPARISON
from router.dispatch.comparison import Comparison
from router.dispatch.explain import Explain, Explanation
from router.dispatch.figures import Figures, SiteFigures
from router.dispatch.policy_book import PolicyBook, PolicyRecord, problems
from router.dispatch.policy_trials import Trials
from router.dispatch.tasks import Tasks
from router.domain.errors import (
    READ_AGAIN,
    EtagMismatch,
    InvalidInput,
    NotFound,
    RouterError,
    StoreUnavailable,
    WrongState,
)
from router.domain.model import (
    ENDED_STATES,
    HELD_STATES,
    Agent,
    ClaimMode,
    Gate,
    GateMode,
    NoTask,
    Task,
    TaskState,
)
from router.domain.ports import Clock, QueueFigures, Store, TaskUpdate
from router.domain.routing import qualifies

_HOLDERS = 2000
_QUEUES = 500
BY_HAND = "SUPERVISOR"
"""The reason of a recall for which the supervisor gave none."""
DRAINED = "DRAINING"
"""The reason for which a drained agent's offers and leases are taken back, unless the supervisor gave one."""
ASSIGNED = "assigned by "
"""How the reason of a hand-over by a supervisor begins."""


@dataclass(frozen=True, slots=True)
class NotRecalled:
    """An agent (empty: nobody in particular) who was not recalled: a stable word, and a sentence."""

    agent: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a recall by hand did: (agent, task) of those on their way back, and why not for the others."""

    tasks: tuple[tuple[str, Task], ...]
    refused: tuple[NotRecalled, ...]


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

    async def policy_trials(self, caller: Caller, group: str) -> Trials:
        """Which documents of a group's policy were tried, and when."""
        return await self._book.trials.get(caller.site, group)

    async def validate_policy(self, caller: Caller, text: str) -> list[tuple[str, str]]:
        """What is wrong with a document; nothing is stored."""
        return problems(text)

    async def put_policy(
        self,
        caller: Caller,
        group: str,
        text: str,
        etag: int | None,
        comment: str = "",
        request_id: str = "",
    ) -> PolicyRecord:
        """Store a new version; it decides only once it is activated. With its request id it can be repeated."""
        return await self._book.put(caller, group, text, etag, comment, request_id)

    async def activate_policy(
        self, caller: Caller, group: str, version: int, etag: int | None, request_id: str = ""
    ) -> PolicyRecord:
        """Let a version decide from now on."""
        return await self._book.activate(caller, group, version, etag, request_id)

    async def rollback_policy(
        self, caller: Caller, group: str, etag: int | None = None, request_id: str = ""
    ) -> PolicyRecord:
        """Let the version decide that decided before. With its request id it can be repeated."""
        return await self._book.roll_back(caller, group, etag, request_id)

    async def set_shadow(
        self, caller: Caller, group: str, version: int | None, etag: int | None, request_id: str = ""
    ) -> PolicyRecord:
        """Let a version decide beside the active one, without effect; None: none any more."""
        return await self._book.set_shadow(caller, group, version, etag, request_id)

    async def comparison(self, caller: Caller, group: str) -> Comparison:
        """How the shadow compares with the active version so far. WrongState where there is none."""
        record = await self._book.get(caller.site, group)
        if record.shadow is None:
            raise WrongState(
                f"no version decides beside the active one of group {group!r}; set a shadow first",
                "NO_SHADOW",
            )
        try:
            stored = Comparison.from_text((await self._store.document(caller.site, COMPARISON, group)).body)
        except NotFound:
            stored = None
        if stored is None or (stored.active_version, stored.shadow_version) != (record.active, record.shadow):
            raise WrongState(
                f"version {record.shadow} has not decided beside version {record.active} of group {group!r} yet; the"
                " group's leader takes it up within seconds, if the group has agents",
                "NOT_COMPARED_YET",
            )
        return stored

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

    async def explain_task(self, caller: Caller, task: str) -> Explanation:
        """Why the task is with its agent, or with nobody."""
        return await self._explain.task(caller.site, task)

    async def explain_agent(self, caller: Caller, agent: str, task: str = "") -> Explanation:
        """What the agent does, or why it gets nothing; with ``task``, how it stands for that one."""
        return await self._explain.agent(caller.site, agent, task)

    # -- steer -----------------------------------------------------------------------------------------
    async def set_gate(self, caller: Caller, group: str, mode: GateMode, reason: str, until_ms: int) -> Gate:
        """Open or close a gate by hand, or give it back to the policy. Held open, it still closes on stale data."""
        if until_ms and until_ms <= self._clock.now_ms():
            raise InvalidInput([("expire_time", "must lie in the future")])
        await self._check_group(caller.site, group)
        said = (
            f"handed back to the policy by {caller.actor}" if mode is GateMode.AUTO else _said(reason, caller)
        )
        return await self._store.set_gate_mode(caller.site, group, mode, until_ms, said, caller.actor)

    async def check_groups(self, caller: Caller, groups: Sequence[str]) -> None:
        """NotFound for the first group that is none."""
        for group in groups:
            await self._check_group(caller.site, group)

    async def _check_group(self, site: str, group: str) -> None:
        counted = {figures.group for figures in await self._store.groups(site)} - {"", "-"}
        known = counted | set(await self._book.groups(site))
        if group not in known:
            there = f"the groups are {', '.join(sorted(known))}" if known else "there are no groups yet"
            raise NotFound(
                f"blending group {group!r} does not exist: no agent's profile names it and no policy is stored for"
                f" it; {there}"
            )

    async def pause(self, caller: Caller, target: str, paused: bool, reason: str) -> None:
        """Stop or start handing out a work type (``wt:<id>``) or queue (``q:<id>``); what agents hold goes on."""
        if target.startswith("q:"):
            await self._check_queue(caller.site, target)
        await self._store.pause(caller.site, target, paused, _said(reason, caller), caller.actor)

    async def _check_queue(self, site: str, target: str) -> None:
        id, cursor = target.removeprefix("q:"), ""
        while target not in await self._store.paused(site):
            queues, cursor = await self._store.queues(site, cursor, _QUEUES)
            if any(queue.id.rstrip("!") == id for queue in queues):
                return
            if not cursor:
                raise NotFound(f"no task waits in queue {id!r}; ListQueues tells the queues that hold tasks")

    async def paused(self, caller: Caller) -> Mapping[str, str]:
        """What is paused (``wt:<id>``, ``q:<id>``), and why."""
        return await self._store.paused(caller.site)

    async def drain_agent(
        self, caller: Caller, agent: str, draining: bool, reason: str = "", recall: bool = False
    ) -> Agent:
        """Let an agent finish and receive nothing more, or take that back.

        Its open offers go elsewhere; with ``recall`` the interruptible tasks that it works on are recalled too.
        """
        drained = await self._store.set_draining(caller.site, agent, draining, _said(reason, caller))
        if not draining or not drained.held:
            return drained
        notice_ms = self._notice_ms(caller.site, drained.profile.blending_group, None)
        tasks = await self._store.tasks_named(caller.site, drained.held)
        offers = [task for task in tasks if task.state is TaskState.OFFERED]
        leases = [task for task in tasks if task.state is TaskState.ACTIVE and task.interruptible and recall]
        await asyncio.gather(
            *(
                self._take_back(caller, drained, task, notice_ms, reason or DRAINED)
                for task in offers + leases
            )
        )
        return await self._store.agent(caller.site, agent)

    async def reassign(
        self,
        caller: Caller,
        task_id: str,
        agent: str,
        force: bool = False,
        reason: str = "",
        etag: int | None = None,
    ) -> Task:
        """Give a task to an agent: at once if that agent may have it now, else it waits for that agent first.

        A task that another agent works on is only taken with ``force``; its checkpoint goes along.
        """
        task = await self._store.task(caller.site, task_id)
        target = await self._store.agent(caller.site, agent)
        if etag is not None and task.revision != etag:
            raise EtagMismatch(f"task {task_id} changed since it was read: {READ_AGAIN}")
        if task.state in ENDED_STATES:
            fix = (
                "revive it first" if task.state is TaskState.DEAD_LETTER else "it cannot be given to anybody"
            )
            raise WrongState(f"task {task_id} has ended ({task.state}): {fix}", state=task.state)
        if task.agent == agent and task.state in HELD_STATES:
            return task
        if task.state in (TaskState.ACTIVE, TaskState.RECALLING) and not force:
            raise WrongState(
                f"agent {task.agent} works on task {task_id}; use force to take it", "TASK_ACTIVE"
            )
        spec = replace(task.spec, preferred_agent=target.profile.id)
        change = await self._tasks.replanned(caller.site, task, spec, etag, take_back=True, reason=reason)
        _check_fit(task, target, change, self._clock.now_ms())
        moved = (await self._store.update(caller.site, task_id, change, caller.actor)).task
        why = ASSIGNED + _said(reason, caller).removeprefix("by ")
        claim = await self._store.claim(
            caller.site, agent, ClaimMode.OFFER, task=task_id, actor=caller.actor, why=why
        )
        return claim.task or moved

    async def recall(
        self,
        caller: Caller,
        group: str,
        count: int,
        agents: Sequence[str],
        reason: str,
        notice_ms: int | None = None,
    ) -> Recalled:
        """Take agents back from tasks: those named, or ``count`` of the group, offers first, then the newest start.

        ``notice_ms`` None: as the policy says; 0: at once.
        """
        site = caller.site
        await self._check_group(site, group)
        notice = self._notice_ms(site, group, notice_ms)
        holders = await self._store.holding(site, group, _HOLDERS)
        ids = [id for agent in holders for id in agent.held]
        found = {task.id: task for task in await self._store.tasks_named(site, ids)}
        holding = {
            agent.profile.id: (agent, tasks)
            for agent in holders
            if (tasks := [found[id] for id in agent.held if id in found])
        }
        refused = [await self._nothing_to_recall(site, group, id) for id in agents if id not in holding]
        chosen = [holding[id] for id in agents if id in holding]
        if not agents:
            chosen = _cheapest(holding.values(), count)
            refused += _nobody_left(count - len(chosen))
        done = await asyncio.gather(
            *(
                self._recall_one(caller, agent, task, notice, reason)
                for agent, tasks in chosen
                for task in tasks
            )
        )
        told = [answer for answer in done if isinstance(answer, NotRecalled)]
        return Recalled(tuple(a for a in done if not isinstance(a, NotRecalled)), (*refused, *told))

    async def _recall_one(
        self, caller: Caller, agent: Agent, task: Task, notice_ms: int, reason: str
    ) -> tuple[str, Task] | NotRecalled:
        return _not_recallable(task) or await self._take_back(caller, agent, task, notice_ms, reason)

    def _notice_ms(self, site: str, group: str, wanted_ms: int | None) -> int:
        return round(self._book.known(site, group).notice_s * 1000) if wanted_ms is None else wanted_ms

    async def _nothing_to_recall(self, site: str, group: str, id: str) -> NotRecalled:
        try:
            agent = await self._store.agent(site, id)
        except NotFound:
            return NotRecalled(id, "NOT_IN_GROUP", f"There is no agent {id}.")
        if agent.profile.blending_group != group:
            return NotRecalled(id, "NOT_IN_GROUP", f"Agent {id} is not in group {group}.")
        return NotRecalled(id, "NO_TASK", f"Agent {id} holds no task.")

    async def _take_back(
        self, caller: Caller, agent: Agent, task: Task, notice_ms: int, reason: str
    ) -> tuple[str, Task] | NotRecalled:
        id = agent.profile.id
        try:
            change = await self._store.recall(
                caller.site, task.id, task.fence, notice_ms, reason or BY_HAND, caller.actor
            )
        except StoreUnavailable as error:
            doubt = (
                f"It is not known whether task {task.id} is recalled: {error.message}. Recall again, or look."
            )
            return NotRecalled(id, error.reason, doubt)
        except RouterError as error:
            return NotRecalled(id, "TOO_LATE", f"Task {task.id} had moved on: {error.message}.")
        self._recall_sent(caller.site, agent.profile.blending_group, task)
        return id, change.task


def _said(reason: str, caller: Caller) -> str:
    """Why, and by whom: what is kept as long as a change by hand lasts."""
    return f"{reason} ({caller.actor})" if reason else f"by {caller.actor}"


def _check_fit(task: Task, agent: Agent, change: TaskUpdate, now_ms: int) -> None:
    """WrongState, before anything has changed, for an agent who may never have the task or lacks a skill."""
    id = agent.profile.id
    if id in task.spec.excluded_agents or task.declined_by.get(id, 0) > now_ms:
        raise WrongState(f"agent {id} is excluded from task {task.id}", NoTask.EXCLUDED.value)
    steps = change.plan.steps if change.plan else ()
    queue = next(
        (step.queue for step in reversed(steps) if step.at_ms <= now_ms), steps[0].queue if steps else None
    )
    if queue and not qualifies(agent.profile.skills, queue.requirement):
        needed = " ".join(f"{skill}:{level}" for skill, level in queue.requirement)
        raise WrongState(
            f"agent {id} lacks a skill: task {task.id} needs {needed}", NoTask.NOT_QUALIFIED.value
        )


def _cheapest(holding: Iterable[tuple[Agent, list[Task]]], count: int) -> list[tuple[Agent, list[Task]]]:
    """So many agents with something to recall: those with offers alone first, then the newest start."""

    def cost(item: tuple[Agent, list[Task]]) -> tuple[bool, int]:
        started = [task.accept_ms for task in item[1] if task.state is TaskState.ACTIVE]
        return bool(started), -min(started, default=0)

    able = [(agent, [t for t in tasks if _not_recallable(t) is None]) for agent, tasks in holding]
    return sorted((item for item in able if item[1]), key=cost)[:count]


def _nobody_left(missing: int) -> list[NotRecalled]:
    words = f"{missing} more asked for, and nobody else of the group has a task that may be recalled."
    return [NotRecalled("", "NOBODY_LEFT", words)] if missing > 0 else []


def _not_recallable(task: Task) -> NotRecalled | None:
    if task.state is TaskState.RECALLING:
        return NotRecalled(task.agent, "ALREADY_RECALLED", f"Task {task.id} is being recalled already.")
    if task.state is TaskState.ACTIVE and not task.interruptible:
        return NotRecalled(task.agent, "NOT_INTERRUPTIBLE", f"Task {task.id} may not be interrupted.")
    return None
