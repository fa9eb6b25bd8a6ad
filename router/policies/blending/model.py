"""What the blending law sees and what it answers: plain values, no behaviour beyond their own arithmetic.

Counts are of one blending group. Times ending in ``_ms`` are milliseconds since the epoch of the store's
clock, those ending in ``_s`` are seconds. A measured value that is not known yet is ``None``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from router.policies.blending.records import Record, each


@dataclass(frozen=True, slots=True)
class ForecastInterval(Record):
    """Calls expected and agents scheduled from ``start_ms`` until ``end_ms``; ``staff`` None if unknown."""

    start_ms: int
    end_ms: int
    calls: float
    staff: float | None = None

    def calls_between(self, begin_ms: int, end_ms: int) -> float:
        """The calls of the part of this interval inside [begin_ms, end_ms), spread evenly."""
        length = self.end_ms - self.start_ms
        inside = min(end_ms, self.end_ms) - max(begin_ms, self.start_ms)
        usable = length > 0 and inside > 0 and math.isfinite(self.calls)
        return max(self.calls, 0.0) * inside / length if usable else 0.0

    @property
    def rate_per_s(self) -> float:
        """Calls per second; 0 where the interval says nothing."""
        return self.calls_between(self.start_ms, self.end_ms) * 1000.0 / max(self.end_ms - self.start_ms, 1)

    def covers(self, at_ms: int) -> bool:
        return self.start_ms <= at_ms < self.end_ms


@dataclass(frozen=True, slots=True)
class Snapshot(Record):
    """One look at a blending group.

    ``logged_in`` counts the agents who serve the group now: idle, on a call (ringing and after-call work
    included) or on a task; not those who are not ready. ``on_tasks`` includes agents being recalled.
    ``answered``, ``answered_in_target``, ``abandoned`` and ``short_abandoned`` (a part of ``abandoned``)
    count the service-level window so far; ``arrivals`` only grows, and starting over from zero is understood.
    ``feed_age_s`` is None if the telephony feed was never heard.
    """

    now_ms: int
    idle: int
    on_call: int
    logged_in: int
    on_tasks: int
    window_end_ms: int
    waiting_ages_s: tuple[float, ...] = field(default=(), metadata={"read": tuple})
    answered: int = 0
    answered_in_target: int = 0
    abandoned: int = 0
    short_abandoned: int = 0
    arrivals: int = 0
    forecast: tuple[ForecastInterval, ...] = field(
        default=(), metadata={"read": each(ForecastInterval.from_mapping)}
    )
    aht_s: float | None = None
    task_s: float | None = None
    recall_reaction_s: float | None = None
    work_lost_s: float | None = None
    feed_age_s: float | None = 0.0
    returning: int = 0
    last_recall_ms: int | None = None

    @property
    def waiting(self) -> int:
        return len(self.waiting_ages_s)


@dataclass(frozen=True, slots=True)
class GateDecision(Record):
    """Whether and how far a group may receive tasks.

    ``allowance``: agents on tasks at most. ``reserve`` / ``reserve_firm``: a task that may / may not be
    interrupted is pushed only while more agents than this are idle. ``recall_age_s``: the age at which a
    waiting call calls an agent back, None while recall is not armed. ``recall_all``: the data are stale and
    the policy takes running tasks back. ``tasks_ahead``: agents that may still be on tasks when the
    look-ahead of the policy is over, None if that is not forecast. ``recall_chance``: a call recalls an agent only
    if its chance to be late otherwise is this or more; it is reckoned with the mean times ``aht_s`` and ``task_s``.
    """

    open: bool
    allowance: int
    reserve: int
    reserve_firm: int
    armed: bool
    required_service_level: float
    rate_per_s: float
    recall_age_s: float | None = None
    recall_all: bool = False
    tasks_ahead: float | None = None
    explanation: Mapping[str, float | str] = field(default_factory=dict)
    recall_chance: float = 0.0
    aht_s: float = 0.0
    task_s: float = 0.0

    def recalling_by_chance(self, chance: float, aht_s: float, task_s: float) -> GateDecision:
        """The same, recalling only for calls that are late otherwise with this chance or more."""
        return replace(self, recall_chance=chance, aht_s=aht_s, task_s=task_s)


class RecallAction(StrEnum):
    """RESCIND takes back an offer that was not accepted; RECALL asks for the return of a running task."""

    RESCIND = "RESCIND"
    RECALL = "RECALL"


class RecallReason(StrEnum):
    CALL_WAITING = "CALL_WAITING"
    SHORTAGE_AHEAD = "SHORTAGE_AHEAD"
    FEED_STALE = "FEED_STALE"


@dataclass(frozen=True, slots=True)
class Candidate(Record):
    """An agent with an offer or a task, not being recalled yet.

    ``started_ms`` is when the task was accepted, or offered if ``accepted`` is false.
    """

    agent_id: str
    task_id: str
    started_ms: int
    interruptible: bool
    expected_remaining_s: float
    accepted: bool = True
    last_checkpoint_ms: int | None = None
    recalls_last_hour: int = 0


@dataclass(frozen=True, slots=True)
class Recall(Record):
    """One agent to be taken back, and why."""

    agent_id: str
    task_id: str
    action: RecallAction = field(metadata={"read": RecallAction})
    reason: RecallReason = field(metadata={"read": RecallReason})


@dataclass(frozen=True, slots=True)
class RecallPlan(Record):
    """Whom to take back now, in order; ``missing`` more were needed than may be recalled or paced now.

    ``next_check_ms``: when to look again even if nothing is reported, None if there is no need.
    """

    recalls: tuple[Recall, ...] = field(default=(), metadata={"read": each(Recall.from_mapping)})
    missing: int = 0
    next_check_ms: int | None = None
