"""Times, durations and ids between Python and the wire."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp


def new_request_id() -> str:
    """Return a fresh id under which a change can be repeated without being done twice."""
    return str(uuid.uuid4())


def optional_timestamp(moment: datetime | None) -> Timestamp | None:
    """Return a moment for the wire, or None."""
    return None if moment is None else timestamp(moment)


def timestamp(moment: datetime) -> Timestamp:
    """Return a moment for the wire. Raises ValueError for one without a time zone."""
    if moment.tzinfo is None:
        raise ValueError("the time has no time zone: write datetime.now(UTC), not datetime.now()")
    made = Timestamp()
    made.FromDatetime(moment.astimezone(UTC))
    return made


def moment(stamp: Timestamp) -> datetime:
    """Return a moment from the wire, in UTC."""
    return stamp.ToDatetime(tzinfo=UTC)


def duration(seconds: float) -> Duration:
    """Return a span of seconds for the wire."""
    made = Duration()
    made.FromNanoseconds(round(seconds * 1e9))
    return made


def seconds(span: Duration) -> float:
    """Return a span from the wire in seconds."""
    return span.ToNanoseconds() / 1e9
