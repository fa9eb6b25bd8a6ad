"""One connection to one server, shared by all callers: what they ask in one tick goes out together.

redis-py opens it (address, TLS, credentials, Sentinel); then this protocol takes the transport over. So the many
small calls of the routing loop share a write, a read and a wake-up, and cost no pool.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, InvalidResponse, ResponseError, TimeoutError

Opener = Callable[[], AbstractConnection]
"""Makes redis-py's connection to the server, not yet open."""

Unclaimed = Callable[[Any], None]
"""Given an answer, or the error that came in its place, for which nobody waits any more."""

_CHECKS_PER_TIMEOUT = 4


def packed(words: Sequence[Any]) -> bytes:
    """A command in the protocol's form."""
    return cast(Any, hiredis).pack_command(tuple(words))  # type: ignore[no-any-return]


class Channel(asyncio.Protocol):
    """An open connection: bytes go out, each answer goes to ``received``, the end to ``lost``."""

    def __init__(self, received: Callable[[Any], None], lost: Callable[[BaseException], None]) -> None:
        self._received = received
        self._lost = lost
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=ResponseError)
        self._connection: AbstractConnection | None = None
        self._transport: asyncio.WriteTransport | None = None

    async def open(self, opener: Opener) -> None:
        """Connect by redis-py, then own the transport. Raises redis-py's errors and OSError."""
        connection = opener()
        await connection.connect()  # type: ignore[no-untyped-call]
        writer = connection._writer
        assert writer is not None
        self._connection = connection  # it closes the transport when it is let go of
        self._transport = writer.transport
        self._transport.set_protocol(self)
        if self._transport.is_closing():
            raise ConnectionError("the connection was closed as it was opened")

    def write(self, data: bytes) -> None:
        """Send; a connection that is gone says so by ``lost``."""
        if self._transport is not None:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Hand out every whole answer."""
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                self._received(answer)
        except InvalidResponse as error:
            self.end(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server or the network ended it."""
        self.end(ConnectionError(f"the connection was lost: {exc or 'closed by the store'}"))

    def end(self, error: BaseException) -> None:
        """Close at once and tell why, the first time."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
            self._lost(error)


class Wire:
    """Commands to one server. It connects with the first one, and again with the first one after a loss.

    A command that was sent and not answered may have run: it is never sent again.
    """

    def __init__(
        self,
        opener: Opener,
        timeout_s: float,
        lost: Callable[[], None] = lambda: None,
        unclaimed: Unclaimed = lambda answer: None,
    ) -> None:
        """``timeout_s``: how long an answer may take. ``lost``: told when the connection broke under commands.
        ``unclaimed``: given the answers whose callers wait no more."""
        self._opener = opener
        self._timeout_s = timeout_s
        self._tell_lost = lost
        self._unclaimed = unclaimed
        self._channel: Channel | None = None
        self._opening: asyncio.Task[None] | None = None
        self._out: list[bytes] = []
        self._asked: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._watch: asyncio.TimerHandle | None = None

    def send(self, packed: bytes, key: str = "") -> asyncio.Future[Any]:
        """The answer to a packed command, or redis-py's error for it. Whatever its ``key``: here is one server.

        A caller that is cancelled stops waiting; its command runs to its end all the same.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._asked.append((answer, loop.time()))
        self._out.append(packed)
        if len(self._out) == 1:
            if self._channel is not None:
                loop.call_soon(self._flush)
            elif self._opening is None:
                self._opening = loop.create_task(self._open())
        if self._watch is None:
            self._watch = loop.call_later(self._timeout_s / _CHECKS_PER_TIMEOUT, self._look)
        return answer

    async def close(self) -> None:
        """Wait for what is under way, then let go of the connection."""
        while self._asked:
            await asyncio.wait([answer for answer, _ in self._asked])
            await asyncio.sleep(0)
        if self._watch is not None:
            self._watch.cancel()
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.end(ConnectionError("closed"))

    # -- out -----------------------------------------------------------------------------------------------
    async def _open(self) -> None:
        channel = Channel(self._answered, self._broke)
        try:
            async with asyncio.timeout(self._timeout_s):
                await channel.open(self._opener)
        except Exception as error:
            self._opening = None
            self._fail(error)
            return
        self._opening, self._channel = None, channel
        self._flush()

    def _flush(self) -> None:
        if self._channel is not None and self._out:
            out, self._out = self._out, []
            self._channel.write(b"".join(out) if len(out) > 1 else out[0])

    # -- in ------------------------------------------------------------------------------------------------
    def _answered(self, answer: Any) -> None:
        future, _ = self._asked.popleft()
        if future.cancelled():
            self._unclaimed(answer)
        elif isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _look(self) -> None:
        """One timer for all commands: the oldest one tells whether the server still answers."""
        self._watch = None
        if not self._asked:
            return
        loop = asyncio.get_running_loop()
        if loop.time() - self._asked[0][1] > self._timeout_s and self._channel is not None:
            return self._channel.end(TimeoutError(f"no answer within {self._timeout_s:g} s"))
        self._watch = loop.call_later(self._timeout_s / _CHECKS_PER_TIMEOUT, self._look)

    def _broke(self, error: BaseException) -> None:
        if self._channel is not None:
            self._channel = None
            self._fail(error)
            self._tell_lost()

    def _fail(self, error: BaseException) -> None:
        """Nobody will be answered: what was sent may have run, what was not sent has not."""
        asked, self._asked, self._out = self._asked, deque(), []
        for future, _ in asked:
            if not future.done():
                future.set_exception(error)
