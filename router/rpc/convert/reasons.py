"""Why an offer, lease or parked task went: the words of the stores and policies, and what desktops are told.

One table: the word in a task's history -> the stable word of the API and a sentence for the screen. What is not in it
was written by a supervisor, for the screen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from router.dispatch.supervision import BY_HAND, DRAINED
from router.policies.blending import RecallReason

RECALLED = "RECALLED"


class Told(NamedTuple):
    """A stable word, and a sentence."""

    word: str
    sentence: str


REASONS: Mapping[str, Told] = {
    "CALL_ARRIVED": Told("CALL", "A call has reached you."),
    "NOT_AVAILABLE": Told("NOT_AVAILABLE", "You are not available at the telephone any more."),
    "AGENT_OFFLINE": Told("OFFLINE", "The telephone system has signed you out."),
    "OFFER_TIMEOUT": Told("TIMEOUT", "The offer was not answered in time."),
    "RESERVE_FAILED": Told("RESERVE_FAILED", "The telephone system could not take you off the calls."),
    RecallReason.CALL_WAITING.value: Told(RECALLED, "A call waits, and you are needed for it."),
    RecallReason.SHORTAGE_AHEAD.value: Told(RECALLED, "You will soon be needed for calls."),
    RecallReason.FEED_STALE.value: Told(
        RECALLED, "Nothing is heard of the telephone system, so work is taken back."
    ),
    BY_HAND: Told(RECALLED, "A supervisor needs you."),
    DRAINED: Told("DRAINING", "A supervisor gives you no more tasks."),
    "CANCELED": Told("CANCELED", "The task is not wanted any more."),
    "TAKEN_BACK": Told("REASSIGNED", "A supervisor has given the task to somebody else."),
    "NOTICE_OVER": Told("NOTICE_OVER", "The time to hand it back is over."),
    "LEASE_TIMEOUT": Told("LEASE_EXPIRED", "Nothing was heard of your desktop for too long."),
    "EXPIRED": Told("TASK_EXPIRED", "The time by which it had to be done is over."),
    "PARK_OVER": Told("PARK_OVER", "The time for which it was set aside is over."),
}


def told(reason: str) -> Told:
    """What a desktop is told for a reason in the words of the store. (`RESERVE_FAILED` may carry the ACD's own.)"""
    known = REASONS.get(reason) or REASONS.get(reason.partition(":")[0])
    return known or Told(RECALLED, reason)
