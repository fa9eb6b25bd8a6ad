"""The words of the field as values: tasks, agents, offers, gates (DESIGN section 2).

All times are integer milliseconds since the epoch of the store's clock; durations are
integer milliseconds and end in ``_ms``. Nothing here does I/O or reads a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class TaskState(StrEnum):
    """Where a task is in its life; the arrows are in :mod:`router.domain.lifecycle`."""

    SCHEDULED = "SCHEDULED"
    QUEUED = "QUEUED"
    OFFERED = "OFFERED"
    ACTIVE = "ACTIVE"
    RECALLING = "RECALLING"
    PARKED = "PARKED"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    DEAD_LETTER = "DEAD_LETTER"


HELD_STATES = frozenset({TaskState.OFFERED, TaskState.ACTIVE, TaskState.RECALLING})
"""States in which a task counts against its agent's capacity."""

TERMINAL_STATES = frozenset({TaskState.COMPLETED, TaskState.CANCELED, TaskState.EXPIRED})
"""States that never change again. A dead letter has ended too, but a supervisor can revive it."""

ENDED_STATES = TERMINAL_STATES | {TaskState.DEAD_LETTER}


class AgentState(StrEnum):
    """What the telephony last said of an agent. RESERVED: out of the call distribution at our request."""

    OFFLINE = "OFFLINE"
    AVAILABLE = "AVAILABLE"
    RINGING = "RINGING"
    ON_CALL = "ON_CALL"
    AFTER_CALL = "AFTER_CALL"
    NOT_READY = "NOT_READY"
    RESERVED = "RESERVED"


CALL_STATES = frozenset({AgentState.RINGING, AgentState.ON_CALL})
OFFERABLE_STATES = frozenset({AgentState.AVAILABLE, AgentState.RESERVED})
"""States in which an open offer may stand (invariant 5)."""


class GateMode(StrEnum):
    """AUTO: the blending law decides. OPEN / CLOSED: a supervisor has decided by hand."""

    AUTO = "AUTO"
    OPEN = "OPEN"
    CLOSED = "CLOSED"


class ClaimMode(StrEnum):
    """OFFER proposes the task to the agent; LEASE hands it over at once (a pull)."""

    OFFER = "OFFER"
    LEASE = "LEASE"


class NoTask(StrEnum):
    """Why a claim gave an agent nothing."""

    NO_TASK = "NO_TASK"
    MORE = "MORE"
    UNKNOWN_AGENT = "UNKNOWN_AGENT"
    NOT_CONNECTED = "NOT_CONNECTED"
    NOT_READY = "NOT_READY"
    NOT_AVAILABLE = "NOT_AVAILABLE"
    NO_CAPACITY = "NO_CAPACITY"
    DRAINING = "DRAINING"
    TOO_SOON = "TOO_SOON"
    GATE_CLOSED = "GATE_CLOSED"
    GATE_EXPIRED = "GATE_EXPIRED"
    FEED_STALE = "FEED_STALE"
    ALLOWANCE_REACHED = "ALLOWANCE_REACHED"
    RESERVE_HELD = "RESERVE_HELD"
    NOT_QUALIFIED = "NOT_QUALIFIED"
    EXCLUDED = "EXCLUDED"
    PAUSED = "PAUSED"
    NOT_QUEUED = "NOT_QUEUED"


class ReportOutcome(StrEnum):
    """What became of a telephony report (invariant 12)."""

    APPLIED = "APPLIED"
    DUPLICATE = "DUPLICATE"
    STALE = "STALE"
    NEEDS_SNAPSHOT = "NEEDS_SNAPSHOT"


class CommandKind(StrEnum):
    """What the router asks of an ACD."""

    RESERVE = "RESERVE"
    RELEASE = "RELEASE"


@dataclass(frozen=True, slots=True)
class RelaxationStep:
    """After ``after_ms`` of waiting, minimum levels fall by ``lower_by``; ``drop`` skills no longer count."""

    after_ms: int
    lower_by: int = 0
    drop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UrgencySpec:
    """Which urgency orders a work type's tasks, with its constants (see router.policies.urgency).

    kind: ``strict_priority`` | ``earliest_due`` | ``linear_aging`` | ``curve``.
    points: for ``curve``, (fraction of the service goal, urgency), both non-decreasing.
    """

    kind: str = "strict_priority"
    max_wait_ms: int = 86_400_000
    initial: float = 0.0
    rate_per_minute: float = 1.0
    points: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class WorkType:
    """The template of a kind of task (DESIGN section 2)."""

    id: str
    required_skills: Mapping[str, int] = field(default_factory=dict)
    display_name: str = ""
    urgency: UrgencySpec = UrgencySpec()
    service_goal_ms: int = 86_400_000
    expected_handling_ms: int = 300_000
    interruptible: bool = True
    offer_timeout_ms: int = 20_000
    lease_ms: int = 120_000
    max_attempts: int = 5
    relaxation: tuple[RelaxationStep, ...] = ()
    decline_exclusion_ms: int = 300_000
    resume_window_ms: int = 120_000
    guidance: str = ""


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """What a submitter says of a task. None takes the work type's value."""

    work_type: str
    reference: str = ""
    priority: int = 50
    due_ms: int | None = None
    schedule_ms: int | None = None
    expire_ms: int | None = None
    required_skills: Mapping[str, int] | None = None
    preferred_agent: str = ""
    preferred_team: str = ""
    preference_wait_ms: int = 60_000
    excluded_agents: tuple[str, ...] = ()
    payload: bytes = b""
    payload_type: str = ""
    customer_reference: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    interruptible: bool | None = None
    expected_handling_ms: int | None = None
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Progress saved by a desktop; ``sequence`` grows with each save of a task."""

    data: bytes
    sequence: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Task:
    """A task as the store holds it. ``fence`` is that of the latest hand-over (0: never handed over)."""

    id: str
    spec: TaskSpec
    state: TaskState
    priority: int
    create_ms: int
    change_ms: int
    revision: int
    submitter: str = ""
    queue: str = ""
    origin_ms: int = 0
    agent: str = ""
    fence: int = 0
    deadline_ms: int = 0
    shown: bool = True
    offer_ms: int = 0
    accept_ms: int = 0
    attempts: int = 0
    recalls: int = 0
    declines: int = 0
    interruptible: bool = True
    expected_handling_ms: int = 0
    declined_by: Mapping[str, int] = field(default_factory=dict)
    resume_agent: str = ""
    end_ms: int = 0
    end_reason: str = ""
    checkpoint: Checkpoint | None = None
    result: bytes = b""
    outcome: str = ""
    why: str = ""
    policy_version: int = 0


@dataclass(frozen=True, slots=True)
class TaskTransition:
    """One arrow that a task took: who, when and why."""

    at_ms: int
    source: str
    target: str
    name: str
    actor: str
    reason: str
    agent: str
    fence: int
    why: str = ""
    """The figures on which an offer, a recall or a rescind was decided; in a task's history, not in events."""
    policy_version: int = 0
    """The version that decided it, where there is a ``why``."""


@dataclass(frozen=True, slots=True)
class AgentProfile:
    """What a supervisor says of an agent. Without a blending group the agent is dedicated to back-office work."""

    id: str
    display_name: str = ""
    skills: Mapping[str, int] = field(default_factory=dict)
    teams: tuple[str, ...] = ()
    blending_group: str = ""
    capacity: int = 1
    auto_accept: bool = False


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent as the store holds it: the profile, what telephony last said, and what it holds."""

    profile: AgentProfile
    revision: int
    state: AgentState = AgentState.OFFLINE
    state_ms: int = 0
    reason: str = ""
    source: str = ""
    worker: str = ""
    session: str = ""
    ready: bool = False
    draining: bool = False
    drain_reason: str = ""
    held: tuple[str, ...] = ()
    parked: tuple[str, ...] = ()
    idle_since_ms: int = 0
    recall_times_ms: tuple[int, ...] = ()
    leave_ms: int = 0
    """When the break or shift end comes that telephony announced (0: none known)."""
    free_ms: int = 0
    """Since when the ACD could give the agent a call again, as far as tasks go (0: it cannot)."""
    busy_ms: int = 0
    login_ms: int = 0

    @property
    def connected(self) -> bool:
        """Whether a desktop session is open somewhere."""
        return bool(self.session)


class AgentReport(NamedTuple):
    """One agent's state as an ACD reports it. ``since_ms``: when it began, by the store's clock (0: now)."""

    agent: str
    state: AgentState
    reason: str = ""
    leave_ms: int = 0
    since_ms: int = 0


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether and how many agents of a blending group may be on tasks now.

    A gate past ``valid_until_ms`` is closed, whatever it says. ``reserve``: idle agents kept back from
    interruptible work; ``reserve_firm``: from work that may not be interrupted.
    """

    group: str
    mode: GateMode = GateMode.AUTO
    open: bool = False
    allowance: int = 0
    reserve: int = 0
    reserve_firm: int = 0
    valid_until_ms: int = 0
    stale_after_ms: int = 10_000
    min_idle_ms: int = 5_000
    acd_control: bool = False
    policy_version: int = 0
    term: int = 0
    reason: str = ""
    armed: bool = False
    manual_until_ms: int = 0


class Feed(NamedTuple):
    """One telephony source: its epoch, the last sequence number applied and when it last spoke."""

    source: str
    epoch: str
    sequence: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class AcdCommand:
    """A request to an ACD that has not been answered yet; at most one stands per agent."""

    id: str
    kind: CommandKind
    agent: str
    source: str
    task: str
    fence: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """Counts of one blending group, kept by the transitions and checked by the audit (invariant 9)."""

    group: str
    by_state: Mapping[AgentState, int]
    idle: int
    """AVAILABLE at the ACD and without a task: the agents that the next calls can reach."""
    on_tasks: int
    """Agents with an open offer or a lease."""


@dataclass(frozen=True, slots=True)
class Document:
    """A stored JSON text with an etag: work types, policies."""

    kind: str
    id: str
    etag: int
    body: str
