"""Clocks: the machine's, and the store's as seen from here."""

from __future__ import annotations

import asyncio
import time

from router.domain.ports import Clock, Store


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class StoreClock:
    """The store's time without a round trip: the local monotonic clock plus a measured offset.

    Scripts use the store's own time; what is decided here (a gate's end, a plan's steps) must speak the same time
    on every host, whatever its wall clock says.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ms = clock.now_ms() - clock.monotonic() * 1000

    async def synchronise(self, store: Store) -> None:
        """Measure the offset; half of the round trip is taken as the way back."""
        before = self._clock.monotonic()
        store_ms = await store.now()
        middle = (before + self._clock.monotonic()) / 2
        self._offset_ms = store_ms - middle * 1000

    def now_ms(self) -> int:
        """Milliseconds since the epoch by the store's clock."""
        return round(self._clock.monotonic() * 1000 + self._offset_ms)

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._clock.sleep(seconds)
