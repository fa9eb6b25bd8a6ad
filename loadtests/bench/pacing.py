"""Open loops: requests begin when they are due, whether or not earlier ones have been answered."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from loadtests.bench.figures import quantile

_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1
_LEAD_S = 0.02
_LIBC = ctypes.CDLL(None, use_errno=True)
LATE_S = 0.01
"""A generator whose slowest hundredth begins later than this did not keep its schedule."""

Begin = Callable[[int, float], Awaitable[None]]
"""Begins request i, due at a time (perf_counter, s); must not wait for its answer."""


def due_times(rate: float, count: int, began: float) -> Iterator[float]:
    """When each of so many requests is due, at a steady rate (1/s)."""
    return (began + i / rate for i in range(count))


@dataclass(frozen=True, slots=True)
class Kept:
    """How well a generator kept its schedule: lateness (s) of its slowest hundredth."""

    late_s: float

    @property
    def kept(self) -> bool:
        """Whether the load was what it was said to be."""
        return self.late_s <= LATE_S


def kept(late_s: Sequence[float]) -> Kept:
    """The schedule as it was kept."""
    return Kept(quantile(late_s, 0.99) if late_s else 0.0)


async def open_loop(rate: float, count: int, begin: Begin) -> Kept:
    """Begin ``count`` requests at ``rate`` per second, those that are overdue at once."""
    late: list[float] = []
    with Alarm() as alarm:
        for i, due in enumerate(due_times(rate, count, time.perf_counter() + _LEAD_S)):
            await alarm.until(due)
            late.append(time.perf_counter() - due)
            await begin(i, due)
    return kept(late)


class Alarm:
    """Waits for a moment of perf_counter.

    On Linux by a timerfd: an event loop's own timers are whole milliseconds, which would be counted as latency, of the
    router and of its reference, and so flatter their ratio.
    """

    def __init__(self) -> None:
        self._fd = _timer() if sys.platform == "linux" else -1
        self._rung = asyncio.Event()

    def __enter__(self) -> Alarm:
        if self._fd >= 0:
            asyncio.get_running_loop().add_reader(self._fd, self._ring)
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)

    async def until(self, at: float) -> None:
        """Return at the time, or give others a turn if it has passed."""
        left = at - time.perf_counter()
        if self._fd < 0 or left <= 0:
            await asyncio.sleep(max(0.0, left))
            return
        self._rung.clear()
        _set_timer(self._fd, at)
        await self._rung.wait()

    def _ring(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        self._rung.set()


def _timer() -> int:
    fd: int = _LIBC.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    return fd


def _set_timer(fd: int, at: float) -> None:
    nanoseconds = max(1, round(at * 1e9))
    once = struct.pack("qqqq", 0, 0, *divmod(nanoseconds, 1_000_000_000))
    if _LIBC.timerfd_settime(fd, _TFD_TIMER_ABSTIME, once, None):
        raise OSError(ctypes.get_errno(), "timerfd_settime")
