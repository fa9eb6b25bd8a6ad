"""What can go wrong, in words that the edge maps once to gRPC status codes."""

from __future__ import annotations

from collections.abc import Sequence

READ_AGAIN = "read it again and send its present etag"
"""What to do about an etag that is old."""


class RouterError(Exception):
    """A definite refusal. ``reason`` is an UPPER_SNAKE word for machines, the message is for people."""

    reason = "INTERNAL"

    def __init__(self, message: str, reason: str | None = None, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        if reason:
            self.reason = reason
        self.metadata = metadata


class InvalidInput(RouterError):
    """The request is malformed; ``violations`` are (field path, what is wrong and how to mend it)."""

    reason = "INVALID_ARGUMENT"

    def __init__(self, violations: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field}: {text}" for field, text in violations))
        self.violations = tuple(violations)


class NotFound(RouterError):
    """The resource does not exist (or belongs to another site)."""

    reason = "NOT_FOUND"


class AlreadyExists(RouterError):
    """The id or reference is taken by something else."""

    reason = "ALREADY_EXISTS"


class EtagMismatch(RouterError):
    """The resource changed since it was read (AIP-154)."""

    reason = "ETAG_MISMATCH"


class WrongState(RouterError):
    """The task's or agent's state does not allow the transition."""

    reason = "WRONG_STATE"


class Superseded(RouterError):
    """The fence is not the live one: somebody else was handed the task meanwhile. Nothing changed."""

    reason = "SUPERSEDED"


class NotHolder(RouterError):
    """The task is not held by this agent."""

    reason = "NOT_HOLDER"


class Unauthenticated(RouterError):
    """No valid credentials."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(RouterError):
    """The credentials do not allow this."""

    reason = "PERMISSION_DENIED"


class ResourceExhausted(RouterError):
    """A bound is reached; try again later or send less."""

    reason = "RESOURCE_EXHAUSTED"


class OutOfRange(RouterError):
    """A position in a stream that is not kept any more."""

    reason = "RESUME_TOKEN_TOO_OLD"


class StoreUnavailable(RouterError):
    """The store did not answer. For a mutation the outcome is unknown: repeat it with the same request id."""

    reason = "STORE_UNAVAILABLE"


class Draining(RouterError):
    """This router process is shutting down; another will answer."""

    reason = "DRAINING"
