"""Whom to take back from tasks: just in time for waiting calls, and in stages before a forecast shortage.

A call that has waited ``τ − d − guard`` and whose place is beyond the agents already on their way back may
be late unless one more agent is called: exactly one for each such call, if the law finds its chance to be late
worth the work lost. What costs least goes first: offers that nobody accepted, then the task on which least work would
be lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from router.policies.blending.document import PolicyDocument
from router.policies.blending.model import (
    Candidate,
    GateDecision,
    Recall,
    RecallAction,
    RecallPlan,
    RecallReason,
    Snapshot,
)

_RETRY_MS = 1000


def plan_recalls(
    document: PolicyDocument,
    snapshot: Snapshot,
    gate: GateDecision,
    candidates: Sequence[Candidate],
    sent_last_second: int = 0,
) -> RecallPlan:
    """Choose the recalls to send now.

    ``candidates`` are all agents with an offer or a task who are not being recalled yet; ``sent_last_second``
    counts the recalls of the last second, so that the pace of the policy holds over several calls.
    """
    if gate.recall_all:
        return _take_back_all(document, snapshot, candidates, sent_last_second)
    if document.is_stale(snapshot.feed_age_s):
        return RecallPlan()
    urgent = calls_due(document, snapshot, gate)
    ahead = max(0, shortage_ahead(document, gate, candidates) - urgent)
    eligible = least_cost_first(document, snapshot, candidates)
    pace = _left(document.max_recalls_per_second, sent_last_second)
    now = eligible[: min(urgent, pace)]
    stage = _left(document.staged_recalls_per_second, sent_last_second + len(now))
    staged = eligible[len(now) : len(now) + min(ahead, stage, pace - len(now))]
    missing = urgent + ahead - len(now) - len(staged)
    return RecallPlan(
        recalls=_recalls(now, RecallReason.CALL_WAITING) + _recalls(staged, RecallReason.SHORTAGE_AHEAD),
        missing=missing,
        next_check_ms=_next_check_ms(snapshot, gate, candidates, missing),
    )


def may_recall(document: PolicyDocument, snapshot: Snapshot, gate: GateDecision) -> bool:
    """Whether anybody could be named by :func:`plan_recalls`, without knowing who is on a task."""
    shortage = gate.tasks_ahead is not None and snapshot.on_tasks > gate.tasks_ahead
    return gate.recall_all or shortage or calls_due(document, snapshot, gate) > 0


def calls_due(document: PolicyDocument, snapshot: Snapshot, gate: GateDecision) -> int:
    """Waiting calls that are worth a recall now, less the agents already on their way back.

    A call is due when only an agent recalled now comes in time. Where the gate asks for a chance, a due call that
    will probably be answered without help recalls nobody, nor does one for which a recall comes too late; past
    ``longest_wait_s`` a call recalls an agent whatever it costs.
    """
    if gate.recall_age_s is None:
        return 0
    returning, needed = max(snapshot.returning, 0), 0
    due = (age for age in snapshot.waiting_ages_s if age >= gate.recall_age_s)
    for place, age in enumerate(sorted(due, reverse=True), start=1):
        behind = place - returning - needed
        if behind > 0 and _worth_a_recall(document, snapshot, gate, age, behind):
            needed += 1
    return needed


def _worth_a_recall(
    document: PolicyDocument, snapshot: Snapshot, gate: GateDecision, age_s: float, place: int
) -> bool:
    if gate.recall_chance <= 0.0 or age_s + _reaction_s(document, snapshot) >= document.longest_wait_s:
        return True
    if age_s + _reaction_s(document, snapshot) > document.target_s:
        return False
    left_s = document.target_s - age_s - document.recall_guard_s / 2.0
    return chance_late(snapshot, gate, left_s, place) >= gate.recall_chance


def chance_late(snapshot: Snapshot, gate: GateDecision, left_s: float, place: int) -> float:
    """P(fewer than ``place`` agents come free in ``left_s``), agents on calls and tasks ending theirs at random."""
    working = max(snapshot.on_tasks - snapshot.returning, 0)
    freed_per_s = snapshot.on_call / gate.aht_s + working / gate.task_s
    mean = freed_per_s * max(left_s, 0.0)
    # From the middle outwards nothing overflows: log-probabilities, each place one term.
    logs = (n * math.log(mean) - mean - math.lgamma(n + 1) for n in range(place)) if mean > 0.0 else (0.0,)
    return min(1.0, sum(math.exp(log) for log in logs))


def shortage_ahead(document: PolicyDocument, gate: GateDecision, candidates: Iterable[Candidate]) -> int:
    """Agents still on tasks at the end of the look-ahead beyond those whom the calls can spare then."""
    if gate.tasks_ahead is None:
        return 0
    staying = sum(1 for c in candidates if c.expected_remaining_s > document.shortage_lookahead_s)
    return max(0, math.ceil(staying - max(gate.tasks_ahead, 0.0)))


def least_cost_first(
    document: PolicyDocument, snapshot: Snapshot, candidates: Iterable[Candidate]
) -> list[Candidate]:
    """Those who may be taken back, cheapest first; ties by fewest interruptions, then by agent."""
    eligible = (c for c in candidates if recall_obstacle(document, snapshot, c) is None)
    return sorted(eligible, key=lambda c: _cost(snapshot.now_ms, c))


def recall_obstacle(document: PolicyDocument, snapshot: Snapshot, candidate: Candidate) -> str | None:
    """Why this agent is not recalled, in words, or None: nothing protects an offer not accepted yet."""
    if not candidate.accepted:
        return None
    if not candidate.interruptible:
        return "the task may not be interrupted"
    if candidate.expected_remaining_s <= _reaction_s(document, snapshot):
        return "the task is expected to end before a recall would take effect"
    if snapshot.now_ms - candidate.started_ms < document.minimum_dwell_s * 1000.0:
        return "the task started less than the minimum dwell ago"
    if candidate.recalls_last_hour >= document.interruptions_per_agent_hour:
        return "the agent's interruption budget of this hour is used up"
    return None


def work_at_risk_s(now_ms: int, candidate: Candidate) -> float:
    """Seconds of work since the start or the last checkpoint, 0 for an offer not accepted."""
    if not candidate.accepted:
        return 0.0
    saved_ms = max(candidate.started_ms, candidate.last_checkpoint_ms or candidate.started_ms)
    return max(0, now_ms - saved_ms) / 1000.0


def _take_back_all(
    document: PolicyDocument, snapshot: Snapshot, candidates: Sequence[Candidate], sent_last_second: int
) -> RecallPlan:
    """On a blind feed with ``recall_on_stale`` all interruptible work comes back, dwell and budget aside."""
    returnable = sorted(
        (c for c in candidates if c.interruptible or not c.accepted), key=lambda c: _cost(snapshot.now_ms, c)
    )
    chosen = returnable[: _left(document.max_recalls_per_second, sent_last_second)]
    missing = len(returnable) - len(chosen)
    return RecallPlan(
        recalls=_recalls(chosen, RecallReason.FEED_STALE),
        missing=missing,
        next_check_ms=snapshot.now_ms + _RETRY_MS if missing else None,
    )


def _cost(now_ms: int, candidate: Candidate) -> tuple[bool, float, int, str, str]:
    risk = work_at_risk_s(now_ms, candidate)
    return candidate.accepted, risk, candidate.recalls_last_hour, candidate.agent_id, candidate.task_id


def _recalls(chosen: Iterable[Candidate], reason: RecallReason) -> tuple[Recall, ...]:
    return tuple(
        Recall(c.agent_id, c.task_id, RecallAction.RECALL if c.accepted else RecallAction.RESCIND, reason)
        for c in chosen
    )


def _next_check_ms(
    snapshot: Snapshot, gate: GateDecision, candidates: Sequence[Candidate], missing: int
) -> int | None:
    """When the next call comes due; sooner if pace or dwell held back someone who was needed."""
    held_back = missing > 0 and any(c.interruptible or not c.accepted for c in candidates)
    retry = [snapshot.now_ms + _RETRY_MS] if held_back else []
    due = _next_due_ms(snapshot, gate)
    return min(retry + ([due] if due is not None else []), default=None)


def _next_due_ms(snapshot: Snapshot, gate: GateDecision) -> int | None:
    """When the next waiting call reaches the recall age."""
    if gate.recall_age_s is None:
        return None
    younger = [gate.recall_age_s - age for age in snapshot.waiting_ages_s if age < gate.recall_age_s]
    return snapshot.now_ms + math.ceil(min(younger) * 1000.0) if younger else None


def _left(per_second: int, sent: int) -> int:
    return max(0, per_second - max(sent, 0))


def _reaction_s(document: PolicyDocument, snapshot: Snapshot) -> float:
    measured = snapshot.recall_reaction_s
    if measured is None or not math.isfinite(measured):
        return document.recall_reaction_initial_s
    return measured
