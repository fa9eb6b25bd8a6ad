"""The lifecycle of a task as data: which transition leads from which states to which.

Both stores, the checker in the tests and docs/lifecycle.md are held to this table.
"""

from __future__ import annotations

from router.domain.model import ENDED_STATES, TaskState

S = TaskState
_OPEN = frozenset(set(TaskState) - ENDED_STATES)

TRANSITIONS: dict[str, tuple[frozenset[TaskState], frozenset[TaskState]]] = {
    "schedule": (frozenset({S.SCHEDULED}), frozenset({S.QUEUED})),
    "relax": (frozenset({S.QUEUED}), frozenset({S.QUEUED})),
    "offer": (frozenset({S.QUEUED}), frozenset({S.OFFERED})),
    "pull": (frozenset({S.QUEUED}), frozenset({S.ACTIVE})),
    "accept": (frozenset({S.OFFERED}), frozenset({S.ACTIVE})),
    "decline": (frozenset({S.OFFERED}), frozenset({S.QUEUED})),
    "rescind": (frozenset({S.OFFERED}), frozenset({S.QUEUED})),
    "offer_timeout": (frozenset({S.OFFERED}), frozenset({S.QUEUED})),
    "checkpoint": (frozenset({S.ACTIVE, S.RECALLING}), frozenset({S.ACTIVE, S.RECALLING})),
    "extend": (frozenset({S.ACTIVE}), frozenset({S.ACTIVE})),
    "complete": (frozenset({S.ACTIVE, S.RECALLING}), frozenset({S.COMPLETED})),
    "release": (frozenset({S.ACTIVE, S.RECALLING}), frozenset({S.QUEUED})),
    "park": (frozenset({S.ACTIVE, S.RECALLING}), frozenset({S.PARKED})),
    "resume": (frozenset({S.PARKED}), frozenset({S.ACTIVE})),
    "unpark": (frozenset({S.PARKED}), frozenset({S.QUEUED})),
    "recall": (frozenset({S.ACTIVE}), frozenset({S.RECALLING})),
    "force": (frozenset({S.ACTIVE, S.RECALLING}), frozenset({S.QUEUED})),
    "lease_timeout": (frozenset({S.ACTIVE}), frozenset({S.QUEUED, S.DEAD_LETTER})),
    "cancel": (_OPEN | {S.DEAD_LETTER}, frozenset({S.CANCELED})),
    "expire": (frozenset({S.SCHEDULED, S.QUEUED, S.PARKED}), frozenset({S.EXPIRED})),
    "update": (_OPEN, _OPEN),
    "revive": (frozenset({S.DEAD_LETTER}), frozenset({S.QUEUED})),
}
"""name -> (states it may start from, states it may end in). A submit starts from nothing."""

SUBMIT_TARGETS = frozenset({S.SCHEDULED, S.QUEUED})


def allowed(name: str, source: TaskState, target: TaskState) -> bool:
    """Whether the named transition may lead from ``source`` to ``target``."""
    sources, targets = TRANSITIONS[name]
    return source in sources and target in targets
