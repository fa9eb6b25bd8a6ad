"""Desktop sessions of this process: each has one bounded outbox, fed by the store's hints and read by its stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from router.dispatch.caller import Caller
from router.dispatch.held import recalls_of
from router.domain.errors import ResourceExhausted
from router.domain.model import Agent, Task, TaskState, TaskTransition
from router.domain.ports import Hint, Ids, Store

OUTBOX = 256
"""Messages that may wait for a desktop before it counts as too slow."""

REPLACED = "SESSION_REPLACED"
_REMEMBERED = 512
_PUSH_KINDS = frozenset({"offer", "rescind", "recall", "revoke", "agent"})


@dataclass(frozen=True, slots=True)
class Push:
    """One message for a desktop. kind: offer, rescind, recall, revoke, agent, replaced or draining."""

    kind: str
    task: Task | None = None
    agent: Agent | None = None
    reason: str = ""
    notice_ms: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a desktop must know when it (re)connects. ``recalls``: the steps that asked for tasks, by task."""

    agent: Agent
    tasks: tuple[Task, ...]
    parked: tuple[Task, ...]
    recalls: Mapping[str, TaskTransition] = field(default_factory=dict)


class Session:
    """One open desktop session; iterate over it for pushes."""

    def __init__(self, site: str, agent: str, id: str) -> None:
        self.site = site
        self.agent = agent
        self.id = id
        self.snapshot: Snapshot
        self._outbox: asyncio.Queue[Push] = asyncio.Queue(OUTBOX)
        self._overflow = False
        self._known: dict[str, int] = {}
        self._display_name: str | None = None
        self._told_ms = 0.0

    def remember(self, snapshot: Snapshot) -> None:
        """What the snapshot tells need not be told again by a hint that was under way."""
        self.snapshot = snapshot
        self._display_name = snapshot.agent.profile.display_name
        for task in (*snapshot.tasks, *snapshot.parked):
            self._note(task)

    def is_newer(self, at_ms: float) -> bool:
        """Whether what happened at that time, by the store's clock, comes after what was told of the agent before."""
        if at_ms and at_ms < self._told_ms:
            return False
        self._told_ms = max(at_ms, self._told_ms)
        return True

    def named(self, agent: Agent | None) -> Agent | None:
        """The agent that a hint is about, with its display name; None where it has to be read."""
        if agent is None:
            self._display_name = None  # the profile has changed, and with it the name perhaps
        if agent is None or self._display_name is None:
            return None
        return replace(agent, profile=replace(agent.profile, display_name=self._display_name))

    def push(self, push: Push) -> None:
        """Queue a message; a full outbox ends the session instead of holding others up."""
        if self._overflow or (push.task and not self._note(push.task)):
            return
        try:
            self._outbox.put_nowait(push)
        except asyncio.QueueFull:
            self._overflow = True

    def _note(self, task: Task) -> bool:
        """Whether this revision of the task is news to the desktop."""
        known = self._known.pop(task.id, 0)
        self._known[task.id] = max(known, task.revision)
        if task.revision <= known:
            return False
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        return True

    def __aiter__(self) -> AsyncIterator[Push]:
        return self

    async def __anext__(self) -> Push:
        if self._overflow:
            raise ResourceExhausted(
                "the desktop reads its messages too slowly; connect again", "SLOW_CONSUMER"
            )
        return await self._outbox.get()


class Hub:
    """The sessions that this process holds."""

    def __init__(self, store: Store, ids: Ids, worker: str) -> None:
        self._store = store
        self._ids = ids
        self._worker = worker
        self._sessions: dict[tuple[str, str], Session] = {}

    @asynccontextmanager
    async def open_session(self, caller: Caller, ready: bool, session_id: str = "") -> AsyncIterator[Session]:
        """Connect the caller's desktop. The outbox exists before the store is asked, so that nothing falls between.

        A desktop may give the same ``session_id`` to each of its streams; every stream is a session of its own, so
        that the late end of one does not disconnect the next.
        """
        token = self._ids.token()
        session = Session(caller.site, caller.id, f"{session_id}.{token}" if session_id else token)
        key = (session.site, session.agent)
        earlier = self._sessions.get(key)
        self._sessions[key] = session
        if earlier:
            earlier.push(Push("replaced", reason="another desktop of this agent connected"))
        try:
            agent = await self._store.connect(session.site, session.agent, self._worker, session.id, ready)
            session.remember(await self._snapshot(session.site, agent))
            yield session
        finally:
            if self._sessions.get(key) is session:
                del self._sessions[key]
            await asyncio.shield(self._store.disconnect(session.site, session.agent, session.id))

    async def _snapshot(self, site: str, agent: Agent) -> Snapshot:
        held = await self._store.tasks_named(site, agent.held)
        shown = tuple(task for task in held if task.agent == agent.profile.id and task.shown)
        parked = tuple(await self._store.tasks_named(site, agent.parked))
        return Snapshot(agent, shown, parked, await recalls_of(self._store, site, shown))

    def deliver(self, hint: Hint) -> None:
        """Pass a hint on to the session that it concerns, if that is here."""
        session = self._sessions.get((hint.site, hint.agent))
        if session is None or hint.kind not in _PUSH_KINDS:
            return
        if hint.reason == REPLACED:
            if session.id == hint.source:
                session.push(Push("replaced", reason="another desktop of this agent connected"))
            return
        if hint.kind == "agent" and not session.is_newer(hint.at_ms):
            return
        agent = session.named(hint.about) if hint.kind == "agent" else None
        session.push(Push(hint.kind, hint.task, agent, hint.reason, hint.notice_ms))

    async def resync(self) -> None:
        """Hints may have been lost: tell every session what the store holds for it now."""
        for session in list(self._sessions.values()):
            agent = await self._store.agent(session.site, session.agent)
            snapshot = await self._snapshot(session.site, agent)
            for task in snapshot.tasks:
                session.push(_standing(task, snapshot.recalls.get(task.id)))

    def drain(self) -> None:
        """Tell every desktop to connect elsewhere."""
        for session in self._sessions.values():
            session.push(Push("draining", reason="this router is shutting down"))

    def __len__(self) -> int:
        return len(self._sessions)


def _standing(task: Task, recall: TaskTransition | None) -> Push:
    """What a desktop should be told of a task that it holds."""
    if task.state is TaskState.RECALLING:
        return Push("recall", task, reason=recall.reason if recall else "")
    return Push("offer", task)
