"""Why an agent is taken back, in words with the figures on which it was decided: what Explain tells later."""

from __future__ import annotations

from collections.abc import Callable

from router.policies.blending import Candidate, GateDecision, Recall, RecallReason, Snapshot
from router.policies.blending.recall import work_at_risk_s


def recalled_because(recall: Recall, candidate: Candidate, snapshot: Snapshot, decision: GateDecision) -> str:
    """One sentence: what endangered the service level, and why this agent's task was the one to take."""
    return f"{_CAUSES[recall.reason](snapshot, decision)}; {_choice(candidate, snapshot)}"


def _call_waiting(snapshot: Snapshot, decision: GateDecision) -> str:
    due = decision.recall_age_s or 0.0
    late = [age for age in snapshot.waiting_ages_s if age >= due] or list(snapshot.waiting_ages_s)
    words = [
        f"a call had waited {max(late, default=0.0):.1f} s with {snapshot.returning} agents returning",
        f"calls are helped from {due:.1f} s on",
        f"{snapshot.waiting} waited, {snapshot.idle} of {snapshot.logged_in} agents were idle"
        f" and {snapshot.on_tasks} on tasks",
    ]
    return ", ".join(words)


def _shortage_ahead(snapshot: Snapshot, decision: GateDecision) -> str:
    spare = decision.tasks_ahead or 0.0
    return (
        f"{snapshot.on_tasks} agents were on tasks and the calls expected soon can spare {spare:.1f}, "
        f"{snapshot.returning} agents were returning"
    )


def _feed_stale(snapshot: Snapshot, decision: GateDecision) -> str:
    age = snapshot.feed_age_s
    return (
        "the telephony feed had never spoken"
        if age is None
        else f"the telephony feed was silent for {age:.1f} s"
    )


_CAUSES: dict[RecallReason, Callable[[Snapshot, GateDecision], str]] = {
    RecallReason.CALL_WAITING: _call_waiting,
    RecallReason.SHORTAGE_AHEAD: _shortage_ahead,
    RecallReason.FEED_STALE: _feed_stale,
}


def _choice(candidate: Candidate, snapshot: Snapshot) -> str:
    if not candidate.accepted:
        return "the offer had not been accepted yet"
    risk_s = work_at_risk_s(snapshot.now_ms, candidate)
    return f"{risk_s:.0f} s of work were not saved and {candidate.expected_remaining_s:.0f} s expected to be left"
