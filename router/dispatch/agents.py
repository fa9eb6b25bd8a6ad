"""What agents do with tasks, and the profiles that supervisors keep of agents."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from router.dispatch.caller import AGENT, Caller
from router.dispatch.held import recalls_of
from router.dispatch.signals import Signals, set_within
from router.domain.errors import NotFound, NotHolder, RouterError, Superseded, WrongState
from router.domain.lifecycle import TRANSITIONS
from router.domain.model import Agent, AgentProfile, ClaimMode, NoTask, Task, TaskState, TaskTransition
from router.domain.ports import Change, Claim, Clock, Store

MAX_PARKED = 20
PARK_MS = 3_600_000
"""How long a park lasts when the desktop does not say."""
_POLL_S = 2.0
_WALKS = 50
"""Continuations of one claim's walk: 50 x 64 candidates."""

Lease = tuple[str, int]
"""A task's id and the fence of its hand-over."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """What became of leases at a sign of life, and the recalls to obey with the steps that asked for them."""

    answers: tuple[tuple[Lease, Task | RouterError], ...]
    recalled: tuple[tuple[Task, TaskTransition | None], ...]


class Agents:
    """Every action of a holder takes the agent's id from the caller's credentials."""

    def __init__(self, store: Store, signals: Signals, clock: Clock) -> None:
        self._store = store
        self._signals = signals
        self._clock = clock

    # -- profiles --------------------------------------------------------------------------------------
    async def create_agent(self, caller: Caller, profile: AgentProfile) -> Agent:
        """Store a new profile; AlreadyExists if the id is taken."""
        return await self._store.put_profile(caller.site, profile, 0)

    async def update_agent(self, caller: Caller, profile: AgentProfile, etag: int | None) -> Agent:
        """Replace a profile; what the agent holds stays."""
        await self._store.agent(caller.site, profile.id)
        return await self._store.put_profile(caller.site, profile, etag)

    async def get_agent(self, caller: Caller, id: str) -> Agent:
        """One agent. An agent sees itself only."""
        if caller.role == AGENT and caller.id != id:
            raise NotFound(f"agent {id!r} does not exist")
        return await self._store.agent(caller.site, id)

    async def list_agents(self, caller: Caller, cursor: str, limit: int) -> tuple[list[Agent], str]:
        """Agents by id, in pages."""
        return await self._store.agents(caller.site, cursor, limit)

    async def delete_agent(self, caller: Caller, id: str, etag: int | None = None) -> None:
        """Forget an agent that is disconnected and holds nothing."""
        await self._store.delete_profile(caller.site, id, etag)

    # -- holding: what is repeated with its fence answers the same -------------------------------------
    async def accept(self, caller: Caller, task: str, fence: int) -> Task:
        """Turn an offer into a lease."""
        done = self._store.accept(caller.site, task, caller.id, fence)
        return await self._act(caller, "accept", task, fence, done)

    async def decline(self, caller: Caller, task: str, fence: int, reason: str) -> Task:
        """Refuse an offer; the task goes to somebody else."""
        done = self._store.decline(caller.site, task, caller.id, fence, reason)
        return await self._act(caller, "decline", task, fence, done)

    async def checkpoint(self, caller: Caller, task: str, fence: int, data: bytes) -> Task:
        """Save progress."""
        done = self._store.checkpoint(caller.site, task, caller.id, fence, data)
        return await self._act(caller, "checkpoint", task, fence, done)

    async def extend(self, caller: Caller, task: str, fence: int, lease_ms: int) -> Task:
        """Renew the lease."""
        done = self._store.extend(caller.site, task, caller.id, fence, lease_ms)
        return await self._act(caller, "extend", task, fence, done)

    async def complete(self, caller: Caller, task: str, fence: int, result: bytes, outcome: str) -> Task:
        """End a task as done."""
        done = self._store.complete(caller.site, task, caller.id, fence, result, outcome)
        return await self._act(caller, "complete", task, fence, done)

    async def park(self, caller: Caller, task: str, fence: int, until_ms: int | None) -> Task:
        """Set a task aside for this agent."""
        agent = await self._store.agent(caller.site, caller.id)
        if len(agent.parked) >= MAX_PARKED and task not in agent.parked:
            raise WrongState(f"{MAX_PARKED} tasks are parked already; resume one first", "TOO_MANY_PARKED")
        until = self._clock.now_ms() + PARK_MS if until_ms is None else until_ms
        done = self._store.park(caller.site, task, caller.id, fence, until)
        return await self._act(caller, "park", task, fence, done)

    async def resume(self, caller: Caller, task: str, fence: int) -> Task:
        """Take a parked task up again."""
        done = self._store.resume(caller.site, task, caller.id, fence)
        return await self._act(caller, "resume", task, fence, done)

    async def release(self, caller: Caller, task: str, fence: int, reason: str, data: bytes | None) -> Task:
        """Hand a task back: obey a recall, or give up."""
        done = self._store.release(caller.site, task, caller.id, fence, reason, data)
        return await self._act(caller, "release", task, fence, done)

    async def _act(self, caller: Caller, name: str, task: str, fence: int, work: Awaitable[Change]) -> Task:
        """Do one act of a holder; a refusal tells who has the task now."""
        try:
            return (await work).task
        except (Superseded, NotHolder, WrongState) as refusal:
            now = await self._store.task(caller.site, task)
            raise _explained(refusal, name, now, fence) from None

    async def set_ready(self, caller: Caller, session: str, ready: bool) -> Agent:
        """The desktop says whether its agent wants tasks."""
        return await self._store.set_ready(caller.site, caller.id, session, ready)

    async def renew(self, caller: Caller, leases: Sequence[Lease] = ()) -> Renewal:
        """The desktop lives: renew the leases named, or all of the agent, together. Recalled ones are told instead."""
        agent = await self._store.agent(caller.site, caller.id)
        held = [
            task for task in await self._store.tasks_named(caller.site, agent.held) if task.agent == caller.id
        ]
        recalled = {task.id: task for task in held if task.state is TaskState.RECALLING}
        active = [(task.id, task.fence) for task in held if task.state is TaskState.ACTIVE]
        wanted = [lease for lease in leases or active if lease[0] not in recalled]
        answers = await asyncio.gather(*(self._renewed(caller, *lease) for lease in wanted))
        steps = await recalls_of(self._store, caller.site, recalled.values())
        return Renewal(
            tuple(zip(wanted, answers, strict=True)),
            tuple((task, steps.get(id)) for id, task in recalled.items()),
        )

    async def _renewed(self, caller: Caller, task: str, fence: int) -> Task | RouterError:
        try:
            return await self.extend(caller, task, fence, 0)
        except RouterError as error:
            return error

    # -- pull ------------------------------------------------------------------------------------------
    async def get_next(self, caller: Caller, wait_ms: int = 0, request_id: str = "") -> Claim:
        """Lease the next-best task at once, or as soon as one can be had within ``wait_ms``.

        Repeated with its request id it answers the same lease, as long as the agent holds it.
        """
        why = f"pulled by the agent (request {request_id})" if request_id else "pulled by the agent"
        claim = await self._pull(caller, why, bool(request_id))
        if claim.task or wait_ms <= 0:
            return claim
        deadline = self._clock.monotonic() + wait_ms / 1000
        with self._signals.watching(caller.site, "work") as changed:
            while claim.task is None and (left := deadline - self._clock.monotonic()) > 0:
                await set_within(changed, min(left, _POLL_S))
                changed.clear()
                claim = await self._pull(caller, why, bool(request_id))
        return claim

    async def _pull(self, caller: Caller, why: str, once: bool) -> Claim:
        return await walk(self._store, caller.site, caller.id, ClaimMode.LEASE, caller.actor, why, once)


def _explained(refusal: RouterError, name: str, task: Task, fence: int) -> RouterError:
    """The refusal in words that say what to do, with the facts."""
    where = f"it is {task.state.value}" + (f" with agent {task.agent}" if task.agent else "")
    message = refusal.message
    if isinstance(refusal, Superseded):
        message = (
            f"fence {fence} of task {task.id} is not the live one ({task.fence}), {where}: stop working on it"
        )
    elif isinstance(refusal, NotHolder):
        message = f"task {task.id} is not yours, {where}"
    elif refusal.reason == WrongState.reason:
        needed = " or ".join(sorted(state.value for state in TRANSITIONS[name][0]))
        message = f"task {task.id} cannot do {name}: {where}, it would have to be {needed}"
    facts = {"state": task.state.value, "holder": task.agent, "current_fence": str(task.fence)}
    told = {key: value for key, value in facts.items() if value}
    return type(refusal)(message, refusal.reason, **{**refusal.metadata, **told})


async def walk(
    store: Store, site: str, agent: str, mode: ClaimMode, actor: str, why: str, once: bool = False
) -> Claim:
    """Claim, and go on where a walk stopped at its bound; the agent's shelves are finite."""
    cursor = ""
    for _ in range(_WALKS):
        claim = await store.claim(site, agent, mode, cursor=cursor, actor=actor, why=why, once=once)
        if claim.reason != NoTask.MORE:
            return claim
        cursor = claim.cursor
    return Claim(None, NoTask.NO_TASK)
