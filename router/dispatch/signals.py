"""Wake-ups inside one process: who waits for what, told by the store's hints. A lost hint costs latency, never work."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set, for ``seconds`` at most; whether it was.

    (``asyncio.wait_for`` of Python 3.11 loses a cancellation that comes together with the event.)
    """
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


class Signals:
    """Events by topic: ``commit`` for anything that happened in a site, ``work`` for what may let a pull succeed."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def watching(self, site: str, topic: str = "commit") -> Iterator[asyncio.Event]:
        """An event that is set whenever something happens; the waiter clears it before it looks."""
        event = asyncio.Event()
        waiters = self._waiting[site, topic]
        waiters.add(event)
        try:
            yield event
        finally:
            waiters.discard(event)
            if not waiters:
                self._waiting.pop((site, topic), None)

    def wake(self, site: str, topic: str = "commit") -> None:
        """Something happened."""
        for event in self._waiting.get((site, topic), ()):
            event.set()

    def wake_all(self) -> None:
        """Hints may have been lost: everybody looks again."""
        for waiters in self._waiting.values():
            for event in waiters:
                event.set()
