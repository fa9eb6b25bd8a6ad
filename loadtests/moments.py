"""The one clock of a load test, and how the store's stamps are read on it.

All processes of a load test and the router's store are on one machine: the monotonic clock is the same in all of
them, and the wall clock by which the store stamps is as far from it everywhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

now = time.monotonic
"""The present moment in s, the same in each process of the machine."""


def from_store(stamp: Timestamp) -> float:
    """The moment (s) that a time of the store is on this machine's clock."""
    return stamp.ToNanoseconds() / 1e9 - (time.time() - time.monotonic())


def since(moments: Iterable[float], at: float) -> float | None:
    """The latest of the moments that has come by a time, or None."""
    return max((moment for moment in moments if moment <= at), default=None)
