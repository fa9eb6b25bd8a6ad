"""The messages of one telephony feed: handled in their order, and changes that wait together applied together.

A report costs the store and this process about the same whether it tells of one agent or of twenty, and ACDs send one
message for each agent. So while one is under way the next are read, and those that may be are applied in one step.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from router.rpc.streams import Stream
from router.v1 import telephony_pb2 as pb

MOST_WAITING = 256
"""Messages that may wait; the stream is not read any further until some are handled."""
MOST_TOGETHER = 64
"""Messages that are handed on together."""

ReportStream = Stream[pb.ReportRequest, pb.ReportResponse]
Handle = Callable[[Sequence[pb.ReportRequest]], Awaitable[None]]


class Reports:
    """Reads on while messages are handled: one that overtook another would make it a duplicate."""

    def __init__(self, stream: ReportStream, handle: Handle) -> None:
        self._stream = stream
        self._handle = handle
        self._waiting: deque[pb.ReportRequest] = deque()
        self._handling = False
        self._handled = asyncio.Event()

    async def serve(self, first: pb.ReportRequest) -> None:
        """Until the client has no more and all is handled."""
        self._take(first)
        async for request in self._stream:
            self._take(request)
            while len(self._waiting) >= MOST_WAITING:
                await self._next_handled()
        while self._handling:
            await self._next_handled()

    async def _next_handled(self) -> None:
        self._handled.clear()
        await self._handled.wait()

    def _take(self, request: pb.ReportRequest) -> None:
        self._waiting.append(request)
        if not self._handling:
            self._handling = True
            self._stream.beside(self._handle_all)

    async def _handle_all(self) -> None:
        while self._waiting:
            await self._handle(self._next_run())
            self._handled.set()
        self._handling = False
        self._handled.set()

    def _next_run(self) -> list[pb.ReportRequest]:
        """The next message, with the changes that follow it; which of them are one step is not decided here."""
        run = [self._waiting.popleft()]
        while self._waiting and len(run) < MOST_TOGETHER and _are_alike(run[-1], self._waiting[0]):
            run.append(self._waiting.popleft())
        return run


def _are_alike(before: pb.ReportRequest, after: pb.ReportRequest) -> bool:
    """Whether both are changes of one source and epoch."""
    return (
        before.WhichOneof("report") == after.WhichOneof("report") == "changes"
        and after.epoch in ("", before.epoch)
        and after.source in ("", before.source)
    )
