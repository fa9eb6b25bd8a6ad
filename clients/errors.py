"""What can go wrong, with all that the router said about it.

A failed call raises an `ApiError` of the kind that its status code stands for. The `reason` is a stable word such
as `SUPERSEDED`; `violations` name the fields at fault; `outcome` says whether a change may have happened all the
same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from router.v1 import common_pb2


class Outcome(Enum):
    """Whether a failed change may have taken place."""

    DEFINITE = "definite"
    """The router refused: nothing changed."""
    UNKNOWN = "unknown"
    """The answer was lost: repeat with the same request id or fence, or read."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A field of the request and what is wrong with it."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class Details:
    """What came with a status besides code and message."""

    reason: str = ""
    metadata: Mapping[str, str] | None = None
    violations: tuple[Violation, ...] = ()
    retry_after_s: float | None = None


class ApiError(Exception):
    """A call failed. Its subclasses stand for the status codes that callers tell apart."""

    code = grpc.StatusCode.UNKNOWN

    def __init__(
        self, message: str, details: Details | None = None, code: grpc.StatusCode | None = None
    ) -> None:
        """Keep what is known; without `code` it is that of the class."""
        super().__init__(message)
        details = details or Details()
        self.message = message
        self.code = code or type(self).code
        self.reason = details.reason
        self.metadata = dict(details.metadata or {})
        self.violations = details.violations
        self.retry_after_s = details.retry_after_s

    @property
    def outcome(self) -> Outcome:
        """Say whether a change may have taken place."""
        # A limit of the router has a reason. Without one it is gRPC's own, of a message too large: perhaps the answer.
        nameless = self.code is grpc.StatusCode.RESOURCE_EXHAUSTED and not self.reason
        return Outcome.UNKNOWN if nameless or self.code in _OUTCOME_UNKNOWN else Outcome.DEFINITE

    def __str__(self) -> str:
        """Return one line: the fields at fault or the message, then the reason."""
        fields = "; ".join(f"{v.field}: {v.text}" if v.field else v.text for v in self.violations)
        text = fields or self.message or self.code.name.lower().replace("_", " ")
        return f"{text} ({self.reason})" if self.reason else text


class InvalidArgumentError(ApiError):
    """A field is wrong: see `violations`."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class NotFoundError(ApiError):
    """There is no such thing, or not in this site."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExistsError(ApiError):
    """The id, reference or request id is taken by something else."""

    code = grpc.StatusCode.ALREADY_EXISTS


class ConflictError(ApiError):
    """Something came in between: an etag or a fence is old, or another stream took over."""

    code = grpc.StatusCode.ABORTED


class SupersededError(ConflictError):
    """The task was handed to somebody else meanwhile; `metadata` has `state`, `holder` and `current_fence`."""


class PreconditionError(ApiError):
    """The state of the task or agent does not allow it."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class OutOfRangeError(ApiError):
    """A resume token is too old: list, then watch anew."""

    code = grpc.StatusCode.OUT_OF_RANGE


class ExhaustedError(ApiError):
    """A limit of the router is reached."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class UnauthenticatedError(ApiError):
    """The token or certificate is missing or not valid."""

    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDeniedError(ApiError):
    """The role or site of the caller does not allow it."""

    code = grpc.StatusCode.PERMISSION_DENIED


class UnavailableError(ApiError):
    """The router or its store cannot be reached now."""

    code = grpc.StatusCode.UNAVAILABLE


class DeadlineError(ApiError):
    """No answer came in time."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class UnimplementedError(ApiError):
    """The router does not know the call: it is older than this client, or no router."""

    code = grpc.StatusCode.UNIMPLEMENTED


class ClosedError(ApiError):
    """The client was closed before the answer came."""

    code = grpc.StatusCode.CANCELLED


_KINDS: dict[grpc.StatusCode, type[ApiError]] = {
    kind.code: kind
    for kind in (
        InvalidArgumentError,
        NotFoundError,
        AlreadyExistsError,
        ConflictError,
        PreconditionError,
        OutOfRangeError,
        ExhaustedError,
        UnauthenticatedError,
        PermissionDeniedError,
        UnavailableError,
        DeadlineError,
        UnimplementedError,
        ClosedError,
    )
}
_OUTCOME_UNKNOWN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.DATA_LOSS,
    }
)
_STATUS_TRAILER = "grpc-status-details-bin"
_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def from_rpc_error(error: grpc.aio.AioRpcError) -> ApiError:
    """Return the error that a failed call stands for."""
    return _make(error.code(), error.details() or "", _details_of(error))


def from_status(status: common_pb2.Status) -> ApiError:
    """Return the error that the status of one item stands for."""
    violations = (Violation(status.field, status.message),) if status.field else ()
    details = Details(status.reason, dict(status.metadata), violations)
    return _make(_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN), status.message, details)


def _make(code: grpc.StatusCode, message: str, details: Details) -> ApiError:
    kind = SupersededError if details.reason == "SUPERSEDED" else _KINDS.get(code, ApiError)
    return kind(message, details, code)


def _details_of(error: grpc.aio.AioRpcError) -> Details:
    found: dict[str, Any] = {}
    for key, value in error.trailing_metadata() or ():
        if key == _STATUS_TRAILER:
            for packed in status_pb2.Status.FromString(value).details:
                found |= _detail(packed)
    return Details(**found)


def _detail(packed: Any) -> dict[str, Any]:
    """Read one packed detail; kinds that nobody here needs give nothing."""
    info, bad, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    if packed.Unpack(info):
        return {"reason": info.reason, "metadata": dict(info.metadata)}
    if packed.Unpack(bad):
        return {"violations": tuple(Violation(v.field, v.description) for v in bad.field_violations)}
    if packed.Unpack(retry):
        return {"retry_after_s": retry.retry_delay.ToNanoseconds() / 1e9}
    return {}
