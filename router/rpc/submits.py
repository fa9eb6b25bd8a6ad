"""The submits of one stream: those that come together are stored together, and some batches at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from router.rpc.streams import Stream
from router.v1 import tasks_pb2 as pb

STREAM_BATCH = 100
"""Submits that may wait; the stream is not read any further until they are stored, all of them together."""
UNDER_WAY = 4
"""Batches of one stream that may be under way at once."""
WORTH_A_BATCH = 16
"""So many submits need not wait until the batch before them is stored; fewer are cheaper together."""

SubmitStream = Stream[pb.SubmitTasksRequest, pb.SubmitTasksResponse]
Store = Callable[[Sequence[pb.SubmitTaskRequest]], Awaitable[Sequence[pb.SubmitResult]]]


class Submits:
    """Reads on while batches are stored, and answers in the order of the requests."""

    def __init__(self, stream: SubmitStream, store: Store) -> None:
        self._stream = stream
        self._store = store
        self._waiting: list[pb.SubmitTasksRequest] = []
        self._storing = 0
        self._under_way = 0
        self._answered = asyncio.Event()
        self._turn = asyncio.Event()
        """Set when all batches so far are answered, and it is the turn of the next."""
        self._turn.set()

    async def serve(self) -> None:
        """Until the client has no more and all is answered."""
        async for request in self._stream:
            self._waiting.append(request)
            self._begin()
            while len(self._waiting) >= STREAM_BATCH:
                await self._next_answered()
        while self._under_way:
            await self._next_answered()

    async def _next_answered(self) -> None:
        self._answered.clear()
        await self._answered.wait()

    def _begin(self) -> None:
        """Store what waits, if it is time."""
        if not self._waiting or self._under_way == UNDER_WAY:
            return
        if not self._storing or len(self._waiting) >= WORTH_A_BATCH:
            batch, self._waiting = self._waiting, []
            self._under_way += 1
            self._storing += 1
            turn, self._turn = self._turn, asyncio.Event()
            self._stream.beside(partial(self._handle, batch, turn, self._turn))

    async def _handle(
        self, batch: Sequence[pb.SubmitTasksRequest], turn: asyncio.Event, next_turn: asyncio.Event
    ) -> None:
        results = await self._store([item.request for item in batch])
        self._storing -= 1
        self._begin()
        await turn.wait()
        for item, result in zip(batch, results, strict=True):
            await self._stream.write(
                pb.SubmitTasksResponse(correlation_id=item.correlation_id, result=result)
            )
        next_turn.set()
        self._under_way -= 1
        self._begin()
        self._answered.set()
