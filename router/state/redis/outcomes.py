"""Outcome words of the transitions and the errors they mean: the one table of this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.domain.errors import (
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
    "ETAG_MISMATCH": (EtagMismatch, "{what} changed since it was read"),
    "ALREADY_EXISTS": (AlreadyExists, "{what} exists already or its reference is taken"),
    "RESOURCE_EXHAUSTED": (ResourceExhausted, "{what}: the site holds as many tasks as it may"),
}
"""Word -> error and message. ``OK`` and ``NONE`` are answers, not refusals."""


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
    return kind(f"{text} ({reason})" if reason else text, reason, **metadata)


def checked(reply: dict[str, Any], what: str) -> dict[str, Any]:
    """The reply itself; raises the error that it stands for."""
    error = error_of(reply, what)
    if error is not None:
        raise error
    return reply
