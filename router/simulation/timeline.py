"""Virtual time: a clock that the simulator moves, what is to happen when, and coroutines run to their end at once.

Times are seconds after the midnight of the simulated day, as in :mod:`callcenter`; the router sees them as
milliseconds since the epoch.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, date, datetime
from typing import Any, TypeVar

T = TypeVar("T")


class WaitedError(RuntimeError):
    """Something waited for the outside world, where a simulation has none."""


class VirtualClock:
    """The clock of a simulated day."""

    def __init__(self, day: date) -> None:
        self._midnight_ms = round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
        self._now_ms = self._midnight_ms
        self.now_s = 0.0
        """Seconds after midnight, to the millisecond."""

    def seconds(self, at_ms: int) -> float:
        """A moment of the router's as seconds after midnight."""
        return (at_ms - self._midnight_ms) / 1000

    def move_to(self, time_s: float) -> None:
        """Let it be ``time_s`` seconds after midnight; a clock never goes back."""
        self._now_ms = max(self._now_ms, self.ms(time_s))
        self.now_s = self.seconds(self._now_ms)

    def ms(self, time_s: float) -> int:
        """A simulated moment as milliseconds since the epoch."""
        return self._midnight_ms + round(time_s * 1000)

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self._now_ms

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps."""
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        """Nobody sleeps here: what is to happen later goes on the timeline."""
        raise WaitedError(f"a simulated part slept for {seconds:g} s")


class Timeline:
    """What is to happen, in the order of time and, at one moment, in the order in which it was planned."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, time_s: float, happen: Callable[[], None]) -> None:
        """Plan something."""
        heapq.heappush(self._heap, (time_s, next(self._order), happen))

    @property
    def next_s(self) -> float:
        """When the next thing happens; infinite if there is none."""
        return self._heap[0][0] if self._heap else math.inf

    def happen(self) -> None:
        """Let the next thing happen."""
        heapq.heappop(self._heap)[2]()


def run_now(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end at once. Raises WaitedError if it waits for anything."""
    try:
        work.send(None)
    except StopIteration as stop:
        answer: T = stop.value
        return answer
    work.close()
    raise WaitedError(f"{work} waited")


class SerialLane:
    """One thing after the other, where it is asked for (see :class:`router.dispatch.lane.Lane`)."""

    async def all(self, *work: Awaitable[Any], caught: bool = False) -> list[Any]:
        """Every answer, in order."""
        if not caught:
            return [await one for one in work]
        return [await _caught(one) for one in work]

    async def beside(self, function: Callable[..., T], *arguments: Any) -> T:
        """The answer."""
        return function(*arguments)

    def aside(self, work: Coroutine[Any, Any, None]) -> None:
        """At once."""
        run_now(work)


async def _caught(work: Awaitable[Any]) -> Any:
    try:
        return await work
    except Exception as error:
        return error


class CountedIds:
    """Names that tell in which order they were given, so that a day repeats itself to the letter."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def task_id(self) -> str:
        """The next task id."""
        return f"t{next(self._numbers):08d}"

    def token(self) -> str:
        """The next other name."""
        return f"n{next(self._numbers):08d}"
