"""What every stream of a client passes: reads and writes with limits on silence and stalling, helpers, and the drain.

One task per stream writes, so that the next message is read while the answer to the one before is on its way: calls of
gRPC that are under way together cost less than one after the other. Limits of time are kept by one timer per stream
and limit, which looks now and then since when the stream waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic, TypeVar

import grpc

from router.domain.errors import Draining, ResourceExhausted

_Q = TypeVar("_Q")
_R = TypeVar("_R")
Work = Callable[[], Awaitable[None]]
OUTBOX = 64
"""Messages that may wait in a stream while another is written; whoever makes more waits."""
WRITE_LIMIT_S = 20.0
"""A client that does not take a message for so long is given up."""


class Patience:
    """Ends a wait that lasts too long. Its timer is not set for each: it looks since when the present one lasts."""

    def __init__(self, seconds: float, give_up: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.seconds = seconds
        self._give_up = give_up
        self._since = 0.0
        self._timer = self._loop.call_later(seconds, self._look)

    def begin(self) -> None:
        """A wait begins."""
        self._since = self._loop.time()

    def end(self) -> None:
        """The wait is over."""
        self._since = 0.0

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        due = (self._since or now) + self.seconds
        if due <= now:
            self._give_up()
        else:
            self._timer = self._loop.call_at(due, self._look)


class Stream(Generic[_Q, _R]):
    """One stream while it lasts: what the client sends, decoded, and what it is told, in the order of `write`."""

    def __init__(self, context: Any, decode: Callable[[bytes], _Q], drain: Drain) -> None:
        self.at_drain: Work | None = None
        """What to do beside when the drain begins."""
        self.on_leaving: Callable[[_R], None] | None = None
        """Told of each message when its turn has come."""
        self._context = context
        self._decode = decode
        self._drain = drain
        self._limit = asyncio.timeout(None)
        self._error: Exception | None = None
        self._over = False
        self._helpers: set[asyncio.Task[None]] = set()
        self._silence: Patience | None = None
        self._stall = Patience(WRITE_LIMIT_S, self._stalled)
        self._outbox: deque[_R] = deque()
        self._writing = False
        self._more: asyncio.Future[None] | None = None
        self._one_written = asyncio.Event()

    # -- in --------------------------------------------------------------------------------------------
    async def read(self) -> _Q | None:
        """The next message, or None when the client has no more."""
        silence = self._silence
        if silence:
            silence.begin()
        raw = await self._context.read()
        if silence:
            silence.end()
        return None if raw is grpc.aio.EOF else self._decode(raw)

    def __aiter__(self) -> Stream[_Q, _R]:
        return self

    async def __anext__(self) -> _Q:
        message = await self.read()
        if message is None:
            raise StopAsyncIteration
        return message

    def expect_every(self, seconds: float, otherwise: Exception) -> None:
        """From now on a read that waits for so long ends the stream."""
        self._silence = Patience(seconds, lambda: self.end(otherwise))

    # -- out -------------------------------------------------------------------------------------------
    async def write(self, message: _R) -> None:
        """Have a message sent after those before it, as soon as there is room for it."""
        while len(self._outbox) >= OUTBOX:
            await self._next_written()
        self._outbox.append(message)
        if not self._writing:
            self._writing = True
            self._wake_writer()

    def _wake_writer(self) -> None:
        if self._more is None:
            self._start(self._write_on)
        elif not self._more.done():
            self._more.set_result(None)

    async def _write_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._write_all()
            self._more = loop.create_future()
            await self._more

    async def _write_all(self) -> None:
        while self._outbox:
            message = self._outbox.popleft()
            if self.on_leaving:
                self.on_leaving(message)
            self._stall.begin()
            await self._context.write(message)
            self._one_written.set()
        self._stall.end()
        self._writing = False

    async def _next_written(self) -> None:
        self._one_written.clear()
        await self._one_written.wait()

    async def _all_written(self) -> None:
        while self._writing:
            await self._next_written()

    def _stalled(self) -> None:
        words = f"a message was not taken within {self._stall.seconds:g} s; connect again"
        self.end(ResourceExhausted(words, "SLOW_CONSUMER"))

    # -- life ------------------------------------------------------------------------------------------
    async def run(self, serve: Work) -> None:
        """Serve until that returns, somebody ends the stream, or the drain's deadline. Raises what it ended with."""
        try:
            self._drain.enter(self)
            async with self._limit:
                await self._to_the_end(serve)
        except TimeoutError:
            if self._error is None:
                raise
            raise self._error from None
        finally:
            self._over = True
            self._drain.leave(self)
            await self._close()

    def end(self, error: Exception) -> None:
        """End the stream now, with an error. The first counts."""
        if self._error is None and not self._over:
            self._error = error
            self._limit.reschedule(0)

    def beside(self, work: Work) -> None:
        """Do something else for as long as the stream lasts; its error ends the stream, its own end does not."""
        self._start(partial(self._to_the_end, work))

    def _start(self, work: Work) -> None:
        task = asyncio.create_task(self._guarded(work))
        self._helpers.add(task)
        task.add_done_callback(self._helpers.discard)

    async def _guarded(self, work: Work) -> None:
        try:
            await work()
        except Exception as error:
            self.end(error)

    async def _to_the_end(self, work: Work) -> None:
        """Do it. What has been said before it ends, be it well or not, still goes out."""
        try:
            await work()
        except Exception:
            await self._all_written()
            raise
        await self._all_written()

    async def _close(self) -> None:
        for patience in (self._stall, self._silence):
            if patience:
                patience.close()
        helpers = list(self._helpers)
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)


class Drain:
    """The end of this process, as the streams see it: a time by which each of them is over."""

    def __init__(self) -> None:
        self.begun = False
        self.deadline_ms = 0
        self._open: set[Stream[Any, Any]] = set()

    def begin(self, now_ms: int, grace_s: float) -> None:
        """From now on: streams have ``grace_s`` left."""
        self.begun = True
        self.deadline_ms = now_ms + round(grace_s * 1000)
        asyncio.get_running_loop().call_later(grace_s, self._end_all)
        for stream in self._open:
            if stream.at_drain:
                stream.beside(stream.at_drain)

    def _end_all(self) -> None:
        for stream in self._open:
            stream.end(draining())

    def enter(self, stream: Stream[Any, Any]) -> None:
        """A stream begins. Raises Draining when it is too late for that."""
        if self.begun:
            raise draining()
        self._open.add(stream)

    def leave(self, stream: Stream[Any, Any]) -> None:
        """A stream is over."""
        self._open.discard(stream)


def draining() -> Draining:
    """What a stream ends with when the process stops."""
    return Draining("this router is shutting down; connect again, nothing held is lost")
