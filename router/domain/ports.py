"""What the use cases ask of the world: the store, the clock and the source of ids.

Every store method that changes something is one atomic transition. ``now_ms`` is None in production, where
the store's own clock rules; tests and the simulator pass it. A refused transition raises a
:class:`router.domain.errors.RouterError` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

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
    NoTask,
    ReportOutcome,
    Task,
    TaskSpec,
    TaskState,
    TaskTransition,
)
from router.domain.routing import QueueSpec, RoutePlan


class Clock(Protocol):
    """Time for everything that waits; tests drive it."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class Ids(Protocol):
    """Fresh names; injected so that a replay gives the same ones."""

    def task_id(self) -> str:
        """A new task id; later ids sort after earlier ones."""

    def token(self) -> str:
        """A new name for a session, a command or a worker."""


SLICE = 25
"""Tasks of a submit, or agents of a report, that a store takes in one step: so none is busy for long at a stretch."""


@dataclass(frozen=True, slots=True)
class NewTask:
    """One task to submit, already compiled: every default of its work type is filled in.

    ``spec.required_skills``, ``interruptible`` and ``expected_handling_ms`` are not None here. ``fingerprint`` tells
    a repeated submit (same fingerprint, answered with the first task) from a reused request id or reference
    (another fingerprint: AlreadyExists).
    """

    id: str
    spec: TaskSpec
    plan: RoutePlan
    submitter: str
    request_id: str = ""
    fingerprint: str = ""
    offer_timeout_ms: int = 20_000
    lease_ms: int = 120_000
    max_attempts: int = 5
    decline_exclusion_ms: int = 300_000
    resume_window_ms: int = 120_000


@dataclass(frozen=True, slots=True)
class Submitted:
    """``created`` is False where the answer is an earlier submit's task."""

    task: Task
    created: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim gave: a task and the shelf (``anchor``) that it lay on, or why none (``reason``).

    ``cursor`` continues a walk that said MORE. ``queued``: tasks that the site has queued after it, where it is told.
    """

    task: Task | None
    reason: NoTask | None = None
    cursor: str = ""
    anchor: str = ""
    queued: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A task after a transition of its own. ``released``: an ACD RELEASE command now stands for the agent."""

    task: Task
    command: AcdCommand | None = None


class ReportResult(NamedTuple):
    """What a report did: ``touched`` tasks were rescinded or recalled by it; ``unknown`` agents have no profile."""

    outcome: ReportOutcome
    sequence: int
    touched: tuple[Task, ...] = ()
    unknown: tuple[str, ...] = ()


class CallQueueRecord(NamedTuple):
    """Figures of one call queue as its source reported them (opaque text) and when."""

    id: str
    source: str
    at_ms: int
    body: str


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """One queue now. ``oldest_ms``: the earliest origin-ordered head's creation time (0: empty)."""

    id: str
    spec: QueueSpec
    front: bool
    depth: int
    head: str
    head_create_ms: int
    paused: bool


@dataclass(frozen=True, slots=True)
class Backlog:
    """Task counts by (work type, state) and queued tasks by priority, and the totals since the site began."""

    by_work_type: Mapping[tuple[str, TaskState], int]
    by_priority: Mapping[int, int]
    totals: Mapping[str, int]


class Hint(NamedTuple):
    """A wake-up. Losing one costs latency, never work: the receiver looks at the store again.

    kind: ``offer`` ``rescind`` ``recall`` ``revoke`` ``agent`` (to the worker with the session); ``work`` ``idle``
    ``busy`` ``gate`` ``report`` (to the group's leader and anyone who matches); ``command`` (to the worker with the
    ACD link); ``doc`` (a document changed). ``task`` is the task right after the transition where there is one.

    ``agent``: its state, readiness or draining changed; ``about`` is the agent then, without one it is to be read.
    ``idle``: the agent came into the idle index or changed in it; ``about`` is the agent then, without one many did and
    the index is to be read. ``busy``: it left the index otherwise than by an offer. (``about`` lacks the display name.)
    ``at_ms``: when, by the store's clock, with the fraction that it can tell. ``queued``: tasks that the site had
    queued then (None: not told). ``arrived``: how many tasks reached the shelf (``work``).
    """

    kind: str
    site: str
    agent: str = ""
    group: str = ""
    source: str = ""
    task: Task | None = None
    reason: str = ""
    command: AcdCommand | None = None
    anchor: str = ""
    notice_ms: int = 0
    about: Agent | None = None
    at_ms: float = 0
    queued: int | None = None
    arrived: int = 1


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the site's bounded event stream, in the order of commits."""

    id: str
    task: str
    transition: TaskTransition
    work_type: str
    submitter: str = ""


@dataclass(frozen=True, slots=True)
class RecordedChunk:
    """A piece of a site's recording, opaque to the store. Later ids, ``<ms>-<number>``, are of later times."""

    id: str
    body: bytes

    @property
    def at_ms(self) -> int:
        """When it was written, by the store's clock."""
        return int(self.id.partition("-")[0])


@dataclass(frozen=True, slots=True)
class Page:
    """Tasks and the cursor of the next page ('' at the end)."""

    tasks: Sequence[Task]
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class TaskUpdate:
    """What an update changes; None leaves a field alone. ``plan`` moves a waiting task to its new place."""

    spec: TaskSpec | None = None
    plan: RoutePlan | None = None
    revision: int | None = None
    take_back: bool = False
    """Also take the task from an agent who holds it (reassign); its checkpoint stays."""
    reason: str = ""
    """Why, for the history."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What a full scan found: one line per violated invariant (empty: sound) and how much was looked at."""

    violations: Sequence[str] = ()
    tasks: int = 0
    agents: int = 0
    repaired: int = field(default=0)


HintListener = Callable[[Hint], Awaitable[None] | None]


class Store(Protocol):
    """The one truth of a site. Every method takes the site first: no call sees another site's data."""

    # -- life of a task ------------------------------------------------------------------------------------
    async def submit(
        self, site: str, tasks: Sequence[NewTask], now_ms: int | None = None
    ) -> list[Submitted | Exception]:
        """Store up to 100 tasks, QUEUED or SCHEDULED; per task the answer or its AlreadyExists / ResourceExhausted."""

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
        """Give the agent its next-best task (or the named one) if every invariant allows it.

        ``once``: a lease that the agent still holds and that was given with this very ``why`` is the answer, and
        nothing changes, so that a pull can be repeated.

        Checks in order: agent known, session connected (OFFER only), ready, not draining, telephony state,
        capacity, then for an agent of a blending group: feed fresh, gate valid, open, minimum idle time, allowance,
        reserve. Looks at 64 candidates at most, then answers MORE with a cursor.
        """

    async def accept(self, site: str, task: str, agent: str, fence: int, now_ms: int | None = None) -> Change:
        """OFFERED -> ACTIVE. A repeated accept with the live fence answers the same."""

    async def decline(
        self, site: str, task: str, agent: str, fence: int, reason: str, now_ms: int | None = None
    ) -> Change:
        """OFFERED -> QUEUED (front); the agent is excluded for the work type's stated time."""

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
        """OFFERED -> QUEUED (front), by the router. The history keeps ``why`` with the version that decided it."""

    async def show(self, site: str, task: str, fence: int, now_ms: int | None = None) -> Change:
        """The ACD has confirmed: the hidden offer may be shown; its deadline starts again."""

    async def checkpoint(
        self, site: str, task: str, agent: str, fence: int, data: bytes, now_ms: int | None = None
    ) -> Change:
        """Save progress; also renews the lease of an ACTIVE task."""

    async def extend(
        self, site: str, task: str, agent: str, fence: int, lease_ms: int, now_ms: int | None = None
    ) -> Change:
        """Renew the lease for ``lease_ms`` from now (0: the task's own lease duration)."""

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
        """ACTIVE or RECALLING -> COMPLETED. A repeated completion with the same fence answers the same."""

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
        """Hand a task back, with a last checkpoint: RECALLING obeys a recall; ACTIVE gives up.

        Goes to the front; after a recall first to the same agent for the work type's resume window.
        """

    async def park(
        self, site: str, task: str, agent: str, fence: int, until_ms: int, now_ms: int | None = None
    ) -> Change:
        """ACTIVE or RECALLING -> PARKED for this agent; at ``until_ms`` it goes back to the front of its queue."""

    async def resume(self, site: str, task: str, agent: str, fence: int, now_ms: int | None = None) -> Change:
        """PARKED -> ACTIVE with a new fence, under the same conditions as a pull."""

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
        """ACTIVE -> RECALLING with a notice (0: force at once); OFFERED is rescinded. A non-interruptible
        ACTIVE task is refused with WrongState. The history keeps ``why`` with the version that decided it."""

    async def force(
        self, site: str, task: str, fence: int, reason: str, actor: str, now_ms: int | None = None
    ) -> Change:
        """ACTIVE or RECALLING -> QUEUED with its last checkpoint, whatever the desktop says."""

    async def cancel(
        self,
        site: str,
        task: str,
        reason: str,
        actor: str,
        revision: int | None = None,
        now_ms: int | None = None,
    ) -> Change:
        """Any state but a terminal one -> CANCELED. A repeated cancel answers the same."""

    async def update(
        self, site: str, task: str, change: TaskUpdate, actor: str, now_ms: int | None = None
    ) -> Change:
        """Change what the submitter said; EtagMismatch when ``change.revision`` is not the live one."""

    async def revive(
        self,
        site: str,
        task: str,
        actor: str,
        reason: str = "",
        revision: int | None = None,
        now_ms: int | None = None,
    ) -> Change:
        """DEAD_LETTER -> QUEUED with its attempts forgiven; EtagMismatch when ``revision`` is not the live one."""

    async def due(self, site: str, limit: int, now_ms: int | None = None) -> list[str]:
        """Tasks whose next event's time has come, earliest first."""

    async def advance(self, site: str, task: str, now_ms: int | None = None) -> Task | None:
        """Do what is due for the task: schedule, relax, offer timeout, lease timeout, force, unpark or expire.

        None when nothing is due (any more): state and deadline are compared inside the transition.
        """

    # -- agents --------------------------------------------------------------------------------------------
    async def put_profile(
        self, site: str, profile: AgentProfile, etag: int | None, now_ms: int | None = None
    ) -> Agent:
        """Create (etag 0), replace (etag of the profile read) or overwrite (None) an agent's profile.

        The agent's live state stays. An agent that changes its blending group while it holds tasks is refused.
        """

    async def delete_profile(
        self, site: str, agent: str, etag: int | None = None, now_ms: int | None = None
    ) -> None:
        """Forget an agent that is disconnected and holds nothing; WrongState otherwise, EtagMismatch if it changed."""

    async def connect(
        self, site: str, agent: str, worker: str, session: str, ready: bool, now_ms: int | None = None
    ) -> Agent:
        """A desktop session opens; it replaces an older one (which is told so by an ``agent`` hint)."""

    async def disconnect(self, site: str, agent: str, session: str, now_ms: int | None = None) -> None:
        """The session is gone. Offers and leases stay until their deadlines. Another session's end changes nothing."""

    async def set_ready(
        self, site: str, agent: str, session: str, ready: bool, now_ms: int | None = None
    ) -> Agent:
        """The desktop says whether its agent wants tasks."""

    async def set_draining(
        self, site: str, agent: str, draining: bool, reason: str = "", now_ms: int | None = None
    ) -> Agent:
        """A supervisor lets an agent finish and receive nothing more; the reason is kept as long."""

    async def sessions_of(self, site: str, worker: str) -> list[tuple[str, str]]:
        """(agent, session) of the sessions that the worker holds, to reap a worker that died."""

    async def agent(self, site: str, agent: str) -> Agent:
        """One agent; NotFound otherwise."""

    async def agents(self, site: str, cursor: str, limit: int) -> tuple[list[Agent], str]:
        """Agents in the order of their ids from ``cursor`` on, and the next cursor ('' at the end)."""

    async def idle_agents(self, site: str, group: str, limit: int) -> list[Agent]:
        """The idle index of a group, longest idle first."""

    async def holding(self, site: str, group: str, limit: int) -> list[Agent]:
        """Agents of a group who hold an offer or a lease, by id."""

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
        """Apply agent states from an ACD; an empty list is a heartbeat.

        Same epoch: a sequence number not above the last is DUPLICATE and changes nothing. A new epoch must begin
        with a snapshot (NEEDS_SNAPSHOT otherwise); an epoch that sorts before the current one is STALE. In a snapshot,
        agents of the source that are not named become OFFLINE. Parts of a long report are sent with ``last`` False but
        for the last one and carry the same sequence number. With ``first`` the report stands for all the numbers from
        there to ``sequence``, in their order; if one of them was seen it is DUPLICATE. Unknown agents are passed over
        and told. A new state counts from its ``since_ms``, if that lies in the last 24 hours. A state that ends
        availability rescinds open offers; a call state recalls interruptible leases with ``recall_notice_ms``.
        ``call_queues``: call queue id -> its figures as opaque text, kept with source and time.
        """

    async def put_command(self, site: str, command: AcdCommand, now_ms: int | None = None) -> None:
        """Let a command stand for its agent until its result; it replaces an older one."""

    async def command_result(
        self, site: str, command: str, agent: str, ok: bool, error: str, now_ms: int | None = None
    ) -> Task | None:
        """The ACD has answered. RESERVE ok shows the hidden offer, RESERVE failed rescinds it; the task either way."""

    async def commands(self, site: str, source: str) -> list[AcdCommand]:
        """Standing commands of a source, oldest first: what a link that comes back must still do."""

    async def call_queues(self, site: str) -> list[CallQueueRecord]:
        """The latest figures of every call queue, as reported."""

    async def feeds(self, site: str) -> list[Feed]:
        """Every telephony source that has reported."""

    # -- gates and leaders ---------------------------------------------------------------------------------
    async def lead(self, site: str, group: str, worker: str, ttl_ms: int, now_ms: int | None = None) -> int:
        """Become or stay the group's leader for ``ttl_ms``; the term (grows with each change), 0 if another leads."""

    async def set_gate(self, site: str, gate: Gate, now_ms: int | None = None) -> Gate:
        """Write the gate; Superseded when ``gate.term`` is not the live leader's. A manual mode that a supervisor
        set stays (mode, manual_until_ms) while it lasts."""

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
        """A supervisor opens or closes a gate by hand until ``until_ms`` (0: until changed). CLOSED works at once."""

    async def gate(self, site: str, group: str) -> Gate:
        """The gate as stored (a closed one where none was ever set)."""

    async def groups(self, site: str) -> list[GroupFigures]:
        """Every blending group that has agents."""

    # -- queues and looks ----------------------------------------------------------------------------------
    async def pause(
        self, site: str, target: str, paused: bool, reason: str, actor: str, now_ms: int | None = None
    ) -> None:
        """Stop or start handing out a work type (``wt:<id>``) or one queue (``q:<id>``)."""

    async def paused(self, site: str) -> dict[str, str]:
        """Paused targets and the reasons given."""

    async def queues(self, site: str, cursor: str, limit: int) -> tuple[list[QueueFigures], str]:
        """Non-empty queues and their heads."""

    async def task(self, site: str, task: str) -> Task:
        """One task with checkpoint and result; NotFound otherwise."""

    async def tasks_named(self, site: str, ids: Sequence[str]) -> list[Task]:
        """Those of the tasks that exist, in the order asked for."""

    async def task_by_reference(self, site: str, submitter: str, reference: str) -> Task:
        """The task that a submitter gave this reference."""

    async def tasks(self, site: str, states: frozenset[TaskState], cursor: str, limit: int) -> Page:
        """Tasks in the given states: waiting ones by place in line, others by their deadline, ended ones by end."""

    async def history(self, site: str, task: str) -> list[TaskTransition]:
        """The arrows that a task took, oldest first (the latest 32)."""

    async def position(self, site: str, task: str) -> int:
        """How many tasks of its queue stand before a QUEUED task."""

    async def backlog(self, site: str) -> Backlog:
        """Counts for supervisors."""

    async def events(self, site: str, after: str, limit: int) -> list[Event]:
        """Events after a stream position ('' from the oldest kept, '$' none but tells nothing)."""

    async def last_event(self, site: str) -> str:
        """The position of the newest event ('0-0' where there is none)."""

    # -- documents, upkeep ---------------------------------------------------------------------------------
    async def put_document(
        self, site: str, kind: str, id: str, body: str, etag: int | None, now_ms: int | None = None
    ) -> Document:
        """Create (etag 0: AlreadyExists if there), replace (EtagMismatch if changed) or overwrite (None)."""

    async def document(self, site: str, kind: str, id: str) -> Document:
        """One document; NotFound otherwise."""

    async def documents(self, site: str, kind: str) -> list[Document]:
        """All documents of a kind, by id."""

    async def delete_document(self, site: str, kind: str, id: str, etag: int | None) -> None:
        """Remove a document; EtagMismatch if it changed since."""

    async def purge(self, site: str, before_ms: int, limit: int, now_ms: int | None = None) -> int:
        """Forget up to ``limit`` (<= 100) tasks that ended before ``before_ms``; how many."""

    async def beat(self, site: str, worker: str, now_ms: int | None = None) -> list[str]:
        """Say that the worker lives; the workers of the site silent for 15 s or more (to be reaped)."""

    async def record(
        self, site: str, chunk: bytes, keep_ms: int, keep_chunks: int, now_ms: int | None = None
    ) -> str:
        """Append a chunk to the site's recording; its id. Those older than ``keep_ms`` go, and the oldest of more
        than ``keep_chunks``."""

    async def recording(self, site: str, after: str, limit: int) -> list[RecordedChunk]:
        """Chunks after an id ('' from the oldest kept), oldest first."""

    async def audit(self, site: str, now_ms: int | None = None) -> Audit:
        """Check the invariants by a full scan (for a test or a doctor, not for the hot path)."""

    async def sites(self) -> list[str]:
        """Sites that hold anything."""

    async def now(self) -> int:
        """The store's clock."""

    def listen(self, worker: str, listener: HintListener) -> Callable[[], None]:
        """Receive the hints for ``worker`` and the site-wide ones; the returned call stops it."""

    async def ping(self) -> None:
        """StoreUnavailable if the store does not answer."""

    async def close(self) -> None:
        """Let go of every connection."""
