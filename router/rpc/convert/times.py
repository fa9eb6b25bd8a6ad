"""Times and durations: milliseconds inside, Timestamp and Duration outside."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(ms: int | None) -> Timestamp | None:
    """A moment in milliseconds since the epoch; None and 0 are "not set"."""
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000) if ms else None


def duration(ms: int | None) -> Duration | None:
    """A span of milliseconds, 0 included; None is "not set"."""
    if ms is None:
        return None
    sign = -1 if ms < 0 else 1
    return Duration(seconds=sign * (abs(ms) // 1000), nanos=sign * (abs(ms) % 1000) * 1_000_000)


def set_time(field: Timestamp, ms: int) -> None:
    """Write a moment into a message's field, which costs half of making a Timestamp for it; 0 leaves it unset."""
    if ms:
        field.seconds = ms // 1000
        field.nanos = ms % 1000 * 1_000_000


def set_duration(field: Duration, ms: int) -> None:
    """Write a span of milliseconds, none of them negative, into a message's field; 0 counts as set."""
    field.seconds = ms // 1000
    field.nanos = ms % 1000 * 1_000_000
    field.SetInParent()
