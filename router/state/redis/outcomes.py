"""Outcome words of the transitions and the errors they mean: the one table of this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.domain.errors import (
    READ_AGAIN,
    AlreadyExists,
    EtagMismatch,
    NotFound,
    NotHolder,
    ResourceExhausted,
    RouterError,
    Superseded,
    WrongState,
)

REFUSALS: dict[str, tuple[type[RouterError], str]] = {
    "NOT_FOUND": (NotFound, "{what} does not exist"),
    "WRONG_STATE": (WrongState, "{what} does not allow this{state}"),
    "SUPERSEDED": (
        Superseded,
        "{what}: the fence is not the live one; it was handed over again or taken back",
    ),
    "NOT_HOLDER": (NotHolder, "{what} is held by somebody else"),
    "ETAG_MISMATCH": (EtagMismatch, f"{{what}} changed since it was read: {READ_AGAIN}"),
    "ALREADY_EXISTS": (AlreadyExists, "{what} exists already: give another id"),
    "RESOURCE_EXHAUSTED": (ResourceExhausted, "{what}: the site holds as many tasks as it may"),
}
"""Word -> error and message. ``OK`` and ``NONE`` are answers, not refusals."""

MESSAGES: dict[str, str] = {
    "REFERENCE_TAKEN": "reference: another task with other content has it; give this one a reference of its own",
    "REQUEST_ID_REUSED": "request_id: it was used for another request; make a fresh one for each",
    "HOLDS_TASKS": "{what} holds tasks: let it finish them, or drain and recall it first",
    "CONNECTED": "{what} is connected: close its desktop first",
    "SESSION_REPLACED": "{what} has another session by now",
    "OFFER_EXPIRED": "the offer of {what} is over",
    "NOT_SHOWN": "the offer of {what} waits for the telephone system",
    "NOT_INTERRUPTIBLE": "{what} may not be interrupted",
}
"""Reason -> message, where the reason says more than the word."""


def error_of(reply: Mapping[str, Any], what: str) -> RouterError | None:
    """The error that a reply stands for, or None for an answer."""
    outcome = reply["o"]
    if outcome in ("OK", "NONE"):
        return None
    kind, message = REFUSALS[outcome]
    state, reason = reply.get("s"), reply.get("r")
    text = message.format(what=what, state=f" in state {state}" if state else "")
    metadata = {"state": state} if state else {}
    if "f" in reply:
        metadata |= {"holder": reply.get("ag") or "", "current_fence": str(reply["f"])}
    if reason in MESSAGES:
        text = MESSAGES[reason].format(what=what)
    elif reason:
        text = f"{text} ({reason})"
    return kind(text, reason, **metadata)


def checked(reply: dict[str, Any], what: str) -> dict[str, Any]:
    """The reply itself; raises the error that it stands for."""
    error = error_of(reply, what)
    if error is not None:
        raise error
    return reply
