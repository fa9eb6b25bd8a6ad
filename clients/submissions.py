"""Submitting many tasks: what goes in, what comes out, and the stream that carries them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

import grpc

from clients.channel import Connection
from clients.errors import ApiError, UnavailableError, from_status
from clients.streams import is_final, messages, settle
from clients.values import new_request_id
from router.v1 import common_pb2, tasks_pb2, tasks_pb2_grpc

# Well below the 4 MiB that a gRPC server takes by default.
_MAX_BATCH_BYTES = 2 * 1024 * 1024
_MAX_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Submission:
    """A task to submit. The `request_id` is what makes it safe to repeat; keep it to repeat over a restart."""

    task: common_pb2.Task
    task_id: str = ""
    request_id: str = field(default_factory=new_request_id)

    def request(self, parent: str) -> tasks_pb2.SubmitTaskRequest:
        """Return it as a message."""
        return tasks_pb2.SubmitTaskRequest(
            parent=parent, task=self.task, task_id=self.task_id, request_id=self.request_id
        )


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of submission number `index`, from 0: a name, or an error.

    `existing` says that the task was there before, under the same request id or reference.
    """

    index: int
    submission: Submission
    name: str = ""
    existing: bool = False
    etag: str = ""
    error: ApiError | None = None


Items = Iterable[common_pb2.Task | Submission] | AsyncIterable[common_pb2.Task | Submission]
Entry = tuple[int, Submission]


def answered(entry: Entry, result: tasks_pb2.SubmitResult) -> Submitted:
    """Return what the router's result says about an entry."""
    index, submission = entry
    if result.status.code:
        return Submitted(index, submission, error=from_status(result.status))
    return Submitted(index, submission, result.name, result.existing, result.etag)


async def numbered(items: Items) -> AsyncIterator[Entry]:
    """Yield the items as numbered submissions."""
    index = 0
    async for item in _each(items):
        yield index, item if isinstance(item, Submission) else Submission(item)
        index += 1


async def batches(items: Items, most: int) -> AsyncGenerator[list[Entry], None]:
    """Yield the items in batches that one call can carry."""
    batch: list[Entry] = []
    room = _MAX_BATCH_BYTES
    async for entry in numbered(items):
        size = entry[1].task.ByteSize() + 100
        if batch and (len(batch) >= most or size > room):
            yield batch
            batch, room = [], _MAX_BATCH_BYTES
        batch.append(entry)
        room -= size
    if batch:
        yield batch


async def _each(items: Items) -> AsyncIterator[common_pb2.Task | Submission]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


_Call = grpc.aio.StreamStreamCall[tasks_pb2.SubmitTasksRequest, tasks_pb2.SubmitTasksResponse]


class SubmitStream:
    """Submits over one stream, and over a new one when it breaks, until every item has its answer."""

    def __init__(
        self, connection: Connection, stub: tasks_pb2_grpc.TaskServiceAsyncStub, items: Items, window: int
    ) -> None:
        """Keep at most `window` items waiting for their answers."""
        self._connection = connection
        self._stub = stub
        self._window = window
        self._items = items
        self._source: asyncio.Queue[Entry | None] = asyncio.Queue(maxsize=window)
        self._waiting: dict[str, Entry] = {}
        self._room = asyncio.Event()
        self._exhausted = False

    async def run(self) -> AsyncGenerator[Submitted, None]:
        """Yield the answers as they come. Raises ApiError when the router refuses the stream itself."""
        # The items are read beside the streams, so that a broken stream never cuts into the caller's iterator.
        pump = asyncio.create_task(self._pump())
        failures = 0
        try:
            while not self._done:
                failure: ApiError = UnavailableError("the router ended the stream")
                try:
                    async with aclosing(self._one_stream()) as answers:
                        async for answer in answers:
                            failures = 0
                            yield answer
                except ApiError as error:
                    failure = error
                failures += bool(self._waiting)
                for answer in self._given_up(failure, failures):
                    yield answer
                if not self._done:
                    await asyncio.sleep(self._connection.backoff.delay(failures))
            await pump
        finally:
            await settle(pump)

    @property
    def _done(self) -> bool:
        return self._exhausted and not self._waiting

    def _given_up(self, failure: ApiError, failures: int) -> list[Submitted]:
        if is_final(failure):
            raise failure
        if failures < _MAX_FAILURES:
            return []
        entries = list(self._waiting.values())
        self._waiting.clear()
        return [Submitted(*entry, error=failure) for entry in entries]

    async def _pump(self) -> None:
        try:
            async for entry in numbered(self._items):
                await self._source.put(entry)
        finally:
            await self._source.put(None)

    async def _one_stream(self) -> AsyncGenerator[Submitted, None]:
        call = self._stub.SubmitTasks(metadata=self._connection.metadata())
        feeder = asyncio.create_task(self._feed(call))
        try:
            async for message in messages(call, lambda: self._connection.timeout_s):
                entry = self._waiting.pop(message.correlation_id, None)
                self._room.set()
                if entry is not None:
                    yield answered(entry, message.result)
        finally:
            await settle(feeder)
            call.cancel()

    async def _feed(self, call: _Call) -> None:
        # When a write fails the stream is over; whoever reads it learns why.
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._write_all(call)

    async def _write_all(self, call: _Call) -> None:
        for entry in list(self._waiting.values()):
            await call.write(self._message(entry))
        while not self._exhausted:
            await self._wait_for_room()
            entry_or_end = await self._source.get()
            if entry_or_end is None:
                self._exhausted = True
                break
            # Noted before it is written: a stream that breaks in the write sends it again.
            self._waiting[str(entry_or_end[0])] = entry_or_end
            await call.write(self._message(entry_or_end))
        await call.done_writing()

    async def _wait_for_room(self) -> None:
        while len(self._waiting) >= self._window:
            self._room.clear()
            await self._room.wait()

    def _message(self, entry: Entry) -> tasks_pb2.SubmitTasksRequest:
        index, submission = entry
        request = submission.request(self._connection.names.parent)
        return tasks_pb2.SubmitTasksRequest(correlation_id=str(index), request=request)
