"""Submits at a rate, in single calls or on streams, to the router or to the bare server; and in batches."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import grpc

from loadtests.bare import SERVICE
from loadtests.bench.load.channels import PAYLOAD, Channels, Metadata, bearer
from loadtests.bench.pacing import open_loop
from router.v1 import common_pb2, tasks_pb2, tasks_pb2_grpc

_CODECS = (common_pb2.Task.SerializeToString, common_pb2.Task.FromString)
_ANSWER_S = 30.0


class Lane(Protocol):
    """A way in."""

    errors: list[str]

    async def send(self, task: common_pb2.Task) -> None:
        """Begin a submit."""

    async def close(self) -> None:
        """Wait for every answer."""


class Single:
    """Unary calls, of the router or of the bare server; answers come while others are sent."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata, bare: bool) -> None:
        self.errors: list[str] = []
        self._metadata = metadata
        self._bare = channel.unary_unary(f"/{SERVICE}/Push", *_CODECS) if bare else None
        self._stub = tasks_pb2_grpc.TaskServiceStub(channel)
        self._running: set[asyncio.Task[None]] = set()

    async def send(self, task: common_pb2.Task) -> None:
        """One call."""
        running = asyncio.create_task(self._call(task))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _call(self, task: common_pb2.Task) -> None:
        try:
            if self._bare:
                await self._bare(task, metadata=self._metadata)
            else:
                await self._stub.SubmitTask(tasks_pb2.SubmitTaskRequest(task=task), metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            self.errors.append(f"{error.code().name}: {error.details()}")

    async def close(self) -> None:
        """Wait for the last calls."""
        if self._running:
            await asyncio.wait(self._running, timeout=_ANSWER_S)


class Stream:
    """One stream; its answers are read by a task of its own."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata, bare: bool) -> None:
        self.errors: list[str] = []
        self._bare = bare
        self._sent = 0
        if bare:
            self._call: Any = channel.stream_stream(f"/{SERVICE}/PushStream", *_CODECS)(metadata=metadata)
        else:
            self._call = tasks_pb2_grpc.TaskServiceStub(channel).SubmitTasks(metadata=metadata)
        self._reading = asyncio.create_task(self._read())

    async def send(self, task: common_pb2.Task) -> None:
        """One message."""
        self._sent += 1
        if self._bare:
            await self._call.write(task)
            return
        request = tasks_pb2.SubmitTaskRequest(task=task)
        await self._call.write(tasks_pb2.SubmitTasksRequest(correlation_id=str(self._sent), request=request))

    async def _read(self) -> None:
        answered = 0
        try:
            while (answer := await self._call.read()) is not grpc.aio.EOF:
                answered += 1
                if not self._bare and answer.result.status.code:
                    self.errors.append(answer.result.status.message)
        except grpc.aio.AioRpcError as error:
            self.errors.append(f"{error.code().name}: {error.details()}")
        self.errors += ["no answer"] * (self._sent - answered)

    async def close(self) -> None:
        """Say that this was all, and wait for the answers."""
        await self._call.done_writing()
        await asyncio.wait_for(self._reading, _ANSWER_S)


class Submits:
    """What a back-office system does."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    async def submit(
        self,
        address: str,
        rate: float,
        count: int,
        sites: Sequence[str],
        work_type: str,
        on_streams: int = 0,
        bare: bool = False,
    ) -> dict[str, Any]:
        """Submit at a rate, to the sites in turn. A task's reference is when it was due (ns), so none is repeated."""
        channel = await self._channels.to(address)
        kind: type[Stream | Single] = Stream if on_streams else Single
        lanes: list[Lane] = [
            kind(channel, bearer(site, "submitter", "erp"), bare)
            for _ in range(max(1, on_streams))
            for site in sites
        ]

        async def begin(i: int, due: float) -> None:
            task = common_pb2.Task(work_type=work_type, reference=f"{due * 1e9:.0f}", payload=PAYLOAD)
            await lanes[i % len(lanes)].send(task)

        kept = await open_loop(rate, count, begin)
        for lane in lanes:
            await lane.close()
        errors = [error for lane in lanes for error in lane.errors]
        if errors:
            raise RuntimeError(f"{len(errors)} of {count} submits failed, such as: {errors[0]}")
        return {"late_s": kept.late_s}

    async def batch(
        self,
        address: str,
        site: str,
        work_types: Sequence[str],
        count: int,
        size: int = 500,
        at_once: int = 4,
        limit_s: float = 600.0,
    ) -> dict[str, Any]:
        """Submit in batches, several under way, until all are in or the time is over: how many in how long (s)."""
        stub = tasks_pb2_grpc.TaskServiceStub(await self._channels.to(address))
        began = time.perf_counter()
        # Shared by the callers: each takes the next batch.
        sizes = _batches(count, size, began + limit_s)
        done = await asyncio.gather(*(_send(stub, site, work_types, sizes) for _ in range(at_once)))
        return {"count": sum(done), "seconds": time.perf_counter() - began}


def _batches(count: int, size: int, until: float) -> Iterator[tuple[int, int]]:
    """(first number, how many) of each batch."""
    for first in range(0, count, size):
        if time.perf_counter() > until:
            return
        yield first, min(size, count - first)


async def _send(stub: Any, site: str, work_types: Sequence[str], batches: Iterator[tuple[int, int]]) -> int:
    metadata, sent = bearer(site, "submitter", "erp"), 0
    for first, many in batches:
        requests = [_request(work_types[i % len(work_types)]) for i in range(first, first + many)]
        answer = await stub.BatchSubmitTasks(
            tasks_pb2.BatchSubmitTasksRequest(requests=requests), metadata=metadata, timeout=120
        )
        failed = [result.status for result in answer.results if result.status.code]
        if failed:
            raise RuntimeError(f"{len(failed)} of {many} submits failed, such as: {failed[0].message}")
        sent += many
    return sent


def _request(work_type: str) -> tasks_pb2.SubmitTaskRequest:
    task = common_pb2.Task(work_type=work_type, payload=PAYLOAD)
    return tasks_pb2.SubmitTaskRequest(task=task, request_id=str(uuid.uuid4()))
