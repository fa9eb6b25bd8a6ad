"""What the streams share: one outbox per stream, the end of a stream at a shutdown, and limits on silence."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from router.domain.errors import Draining

_T = TypeVar("_T")
OUTBOX = 64
"""Messages that may wait in a stream's outbox; whoever makes more waits."""


class Outbox(Generic[_T]):
    """What several producers have for one stream, in the order in which it came. One loop takes it out and writes."""

    def __init__(self, limit: int = OUTBOX) -> None:
        self._limit = limit
        self._items: deque[_T] = deque()
        self._changed = asyncio.Condition()
        self._ended = False
        self._error: BaseException | None = None

    async def put(self, item: _T) -> None:
        """Add a message, as soon as there is room."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._items) < self._limit)
            self._items.append(item)
            self._changed.notify_all()

    async def end(self, error: BaseException | None) -> None:
        """No more messages: what is in still goes out, then the stream ends, with the first error if there is one."""
        async with self._changed:
            self._ended = True
            self._error = self._error or error
            self._changed.notify_all()

    async def taken(self) -> list[_T]:
        """All that waits now, without waiting for more."""
        async with self._changed:
            items = list(self._items)
            self._items.clear()
            self._changed.notify_all()
            return items

    def __aiter__(self) -> AsyncIterator[_T]:
        return self

    async def __anext__(self) -> _T:
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._items) or self._ended)
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
        if self._error:
            raise self._error
        raise StopAsyncIteration


Producer = Callable[[Outbox[_T]], Awaitable[None]]


async def merged(
    reader: Producer[_T], *others: Producer[_T], outbox: Outbox[_T] | None = None
) -> AsyncGenerator[_T, None]:
    """What all producers make, until the reader ends (its client has nothing more to say) or one of them fails."""
    outbox = outbox or Outbox()

    tasks = [
        asyncio.create_task(_run(producer, outbox, producer is reader)) for producer in (reader, *others)
    ]
    try:
        async for item in outbox:
            yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run(producer: Producer[_T], outbox: Outbox[_T], ends: bool) -> None:
    try:
        await producer(outbox)
    except Exception as error:
        await outbox.end(error)
    else:
        if ends:
            await outbox.end(None)


class Drain:
    """The end of this process, as the streams see it: a time by which each of them is over."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.deadline_ms = 0
        self._open: set[asyncio.Timeout] = set()

    def begin(self, now_ms: int, grace_s: float) -> None:
        """From now on: streams have ``grace_s`` left."""
        self.deadline_ms = now_ms + round(grace_s * 1000)
        self.begun.set()
        ends = asyncio.get_running_loop().time() + grace_s
        for limit in self._open:
            limit.reschedule(ends)

    @contextmanager
    def _tracked(self, limit: asyncio.Timeout) -> Iterator[None]:
        self._open.add(limit)
        try:
            yield
        finally:
            self._open.discard(limit)

    async def run(self, serve: Coroutine[Any, Any, None]) -> None:
        """Serve a stream until it ends by itself; at the drain's deadline it ends as Draining."""
        if self.begun.is_set():
            serve.close()
            raise draining()
        try:
            async with asyncio.timeout(None) as limit:
                with self._tracked(limit):
                    await serve
        except TimeoutError:
            if not limit.expired():
                raise
            raise draining() from None


def draining() -> Draining:
    """What a stream ends with when the process stops."""
    return Draining("this router is shutting down; connect again, nothing held is lost")
