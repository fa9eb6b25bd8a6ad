"""What agents do with tasks, and the profiles that supervisors keep of agents."""

from __future__ import annotations

import asyncio

from router.dispatch.caller import AGENT, Caller
from router.dispatch.signals import Signals, set_within
from router.domain.errors import NotFound, WrongState
from router.domain.model import Agent, AgentProfile, ClaimMode, NoTask, Task
from router.domain.ports import Claim, Clock, Store

MAX_PARKED = 20
PARK_MS = 3_600_000
"""How long a park lasts when the desktop does not say."""
_POLL_S = 2.0
_WALKS = 50
"""Continuations of one claim's walk: 50 x 64 candidates."""


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

    async def delete_agent(self, caller: Caller, id: str) -> None:
        """Forget an agent that is disconnected and holds nothing."""
        await self._store.delete_profile(caller.site, id)

    # -- holding ---------------------------------------------------------------------------------------
    async def accept(self, caller: Caller, task: str, fence: int) -> Task:
        """Turn an offer into a lease."""
        return (await self._store.accept(caller.site, task, caller.id, fence)).task

    async def decline(self, caller: Caller, task: str, fence: int, reason: str) -> Task:
        """Refuse an offer; the task goes to somebody else."""
        return (await self._store.decline(caller.site, task, caller.id, fence, reason)).task

    async def checkpoint(self, caller: Caller, task: str, fence: int, data: bytes) -> Task:
        """Save progress."""
        return (await self._store.checkpoint(caller.site, task, caller.id, fence, data)).task

    async def extend(self, caller: Caller, task: str, fence: int, lease_ms: int) -> Task:
        """Renew the lease."""
        return (await self._store.extend(caller.site, task, caller.id, fence, lease_ms)).task

    async def complete(self, caller: Caller, task: str, fence: int, result: bytes, outcome: str) -> Task:
        """End a task as done."""
        return (await self._store.complete(caller.site, task, caller.id, fence, result, outcome)).task

    async def park(self, caller: Caller, task: str, fence: int, until_ms: int | None) -> Task:
        """Set a task aside for this agent."""
        agent = await self._store.agent(caller.site, caller.id)
        if len(agent.parked) >= MAX_PARKED and task not in agent.parked:
            raise WrongState(f"{MAX_PARKED} tasks are parked already; resume one first", "TOO_MANY_PARKED")
        until = self._clock.now_ms() + PARK_MS if until_ms is None else until_ms
        return (await self._store.park(caller.site, task, caller.id, fence, until)).task

    async def resume(self, caller: Caller, task: str, fence: int) -> Task:
        """Take a parked task up again."""
        return (await self._store.resume(caller.site, task, caller.id, fence)).task

    async def release(self, caller: Caller, task: str, fence: int, reason: str, data: bytes | None) -> Task:
        """Hand a task back: obey a recall, or give up."""
        return (await self._store.release(caller.site, task, caller.id, fence, reason, data)).task

    async def set_ready(self, caller: Caller, session: str, ready: bool) -> Agent:
        """The desktop says whether its agent wants tasks."""
        return await self._store.set_ready(caller.site, caller.id, session, ready)

    async def heartbeat(self, caller: Caller, leases: dict[str, int] | None = None) -> Agent:
        """The desktop lives: renew the leases named (task id -> fence); those that ended are not among ``held``."""
        renewals = [self._store.extend(caller.site, t, caller.id, f, 0) for t, f in (leases or {}).items()]
        await asyncio.gather(*renewals, return_exceptions=True)
        return await self._store.agent(caller.site, caller.id)

    # -- pull ------------------------------------------------------------------------------------------
    async def get_next(self, caller: Caller, wait_ms: int = 0) -> Claim:
        """Lease the next-best task at once, or as soon as one can be had within ``wait_ms``."""
        claim = await self._pull(caller)
        if claim.task or wait_ms <= 0:
            return claim
        deadline = self._clock.monotonic() + wait_ms / 1000
        with self._signals.watching(caller.site, "work") as changed:
            while claim.task is None and (left := deadline - self._clock.monotonic()) > 0:
                await set_within(changed, min(left, _POLL_S))
                changed.clear()
                claim = await self._pull(caller)
        return claim

    async def _pull(self, caller: Caller) -> Claim:
        return await walk(
            self._store, caller.site, caller.id, ClaimMode.LEASE, caller.actor, "pulled by the agent"
        )


async def walk(store: Store, site: str, agent: str, mode: ClaimMode, actor: str, why: str) -> Claim:
    """Claim, and go on where a walk stopped at its bound; the agent's shelves are finite."""
    cursor = ""
    for _ in range(_WALKS):
        claim = await store.claim(site, agent, mode, cursor=cursor, actor=actor, why=why)
        if claim.reason != NoTask.MORE:
            return claim
        cursor = claim.cursor
    return Claim(None, NoTask.NO_TASK)
