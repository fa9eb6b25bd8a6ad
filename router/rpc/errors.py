"""One table: which error of the domain is which gRPC status, and what details it carries."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2

from router.domain import errors
from router.v1 import common_pb2

DOMAIN = "router.v1"
_MAX_MESSAGE = 1024
"""Status texts travel in a header, whose size is bounded."""
_MAX_VIOLATIONS = 32


class StreamReplaced(errors.RouterError):
    """The stream was ended in favour of another one."""

    reason = "SESSION_REPLACED"


class DeadlineExceeded(errors.RouterError):
    """The time set for the call is over. For a mutation the outcome is unknown: repeat it with the same request id."""

    reason = "DEADLINE_EXCEEDED"


CODES: dict[type[errors.RouterError], grpc.StatusCode] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.EtagMismatch: grpc.StatusCode.ABORTED,
    errors.WrongState: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Superseded: grpc.StatusCode.ABORTED,
    errors.NotHolder: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Draining: grpc.StatusCode.UNAVAILABLE,
    errors.OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
    StreamReplaced: grpc.StatusCode.ABORTED,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
}
RETRY_AFTER_MS: dict[type[errors.RouterError], int] = {
    errors.ResourceExhausted: 1000,
    errors.StoreUnavailable: 500,
    errors.Draining: 100,
}
"""When it makes sense to call again."""


def code_of(error: errors.RouterError) -> grpc.StatusCode:
    """The status code of an error, that of its nearest ancestor in the table; INTERNAL where there is none."""
    known = (CODES[kind] for kind in type(error).__mro__ if kind in CODES)
    return next(known, grpc.StatusCode.INTERNAL)


def is_known(error: errors.RouterError) -> bool:
    """Whether the error is a refusal that clients may see."""
    return code_of(error) is not grpc.StatusCode.INTERNAL


def number_of(code: grpc.StatusCode) -> int:
    """The code as google.rpc.Code writes it."""
    number: int = code.value[0]
    return number


def rich_status(error: errors.RouterError) -> status_pb2.Status:
    """The whole answer to a failed call: code, text, ErrorInfo, and BadRequest or RetryInfo."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    details: list[message.Message] = [info]
    if isinstance(error, errors.InvalidInput):
        details.append(_bad_request(error))
    if type(error) in RETRY_AFTER_MS:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(RETRY_AFTER_MS[type(error)])
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return status_pb2.Status(
        code=number_of(code_of(error)),
        message=str(error)[:_MAX_MESSAGE],
        details=[_packed(detail) for detail in details],
    )


def item_status(error: errors.RouterError) -> common_pb2.Status:
    """The same in the words of one item inside a larger message."""
    field = ""
    if isinstance(error, errors.InvalidInput) and len(error.violations) == 1:
        field = error.violations[0][0]
    return common_pb2.Status(
        code=number_of(code_of(error)),
        message=str(error)[:_MAX_MESSAGE],
        reason=error.reason,
        field=field,
        metadata=error.metadata,
    )


def internal(error_id: str) -> errors.RouterError:
    """What a client may know of a fault of ours: the id under which it is in our log."""
    return errors.RouterError(f"internal error; quote {error_id}", "INTERNAL", error_id=error_id)


def _bad_request(error: errors.InvalidInput) -> error_details_pb2.BadRequest:
    violation = error_details_pb2.BadRequest.FieldViolation
    return error_details_pb2.BadRequest(
        field_violations=[
            violation(field=field, description=text[:_MAX_MESSAGE])
            for field, text in error.violations[:_MAX_VIOLATIONS]
        ]
    )


def _packed(detail: message.Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
