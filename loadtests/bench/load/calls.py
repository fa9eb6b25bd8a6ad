"""Calls and messages that are answered: the echoes of the bare server, and GetNextTask."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc

from loadtests.bare import SERVICE
from loadtests.bench.load.channels import PAYLOAD, Channels, bearer
from loadtests.bench.pacing import open_loop
from router.v1 import agents_pb2, agents_pb2_grpc, common_pb2

_CODECS = (common_pb2.Task.SerializeToString, common_pb2.Task.FromString)
_WORDS = common_pb2.Task(work_type="pull", payload=PAYLOAD)
_WAIT_S = 30.0

Call = Callable[[float], Awaitable[float]]
"""Makes a call that was due at a time; its latency in seconds."""


class Calls:
    """What is answered."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._turns = itertools.count()
        self._chat: Chat | None = None

    async def calls(
        self,
        address: str,
        method: str,
        count: int,
        rate: float = 0.0,
        site: str = "",
        agents: Sequence[str] = (),
    ) -> dict[str, Any]:
        """So many calls, one after the other or at a rate; latencies in seconds."""
        channel = await self._channels.to(address)
        call = self._next(channel, site, agents) if method == "GetNextTask" else self._echo(channel, method)
        if rate:
            return await at_a_rate(rate, count, call)
        return {"latencies": [await call(time.perf_counter()) for _ in range(count)], "late_s": 0.0}

    def _echo(self, channel: grpc.aio.Channel, method: str) -> Call:
        ask = channel.unary_unary(f"/{SERVICE}/{method}", *_CODECS)
        metadata = bearer("bare", "agent", "puller0")

        async def call(due: float) -> float:
            await ask(_WORDS, metadata=metadata)
            return time.perf_counter() - due

        return call

    def _next(self, channel: grpc.aio.Channel, site: str, agents: Sequence[str]) -> Call:
        """Agents in turn: each pulls a task, and completes it off the clock."""
        stub = agents_pb2_grpc.AgentServiceStub(channel)
        tokens = [bearer(site, "agent", agent) for agent in agents]

        async def call(due: float) -> float:
            metadata = tokens[next(self._turns) % len(tokens)]
            answer = await stub.GetNextTask(agents_pb2.GetNextTaskRequest(), metadata=metadata)
            latency = time.perf_counter() - due
            if not answer.HasField("lease"):
                raise RuntimeError(f"GetNextTask gave no task: {answer.detail}")
            done = agents_pb2.CompleteTaskRequest(name=answer.lease.task.name, fence=answer.lease.fence)
            await stub.CompleteTask(done, metadata=metadata)
            return latency

        return call

    async def chat(self, address: str, rate: float, count: int, streams: int) -> dict[str, Any]:
        """Messages at a rate on streams in turn, each echoed on its stream. The streams stay open for the next time."""
        if self._chat is None:
            self._chat = Chat(await self._channels.to(address), streams)
        kept = await open_loop(rate, count, self._chat.begin)
        latencies = await asyncio.wait_for(self._chat.heard(count), _WAIT_S)
        return {"latencies": latencies, "late_s": kept.late_s}


class Chat:
    """Streams whose messages are echoed."""

    def __init__(self, channel: grpc.aio.Channel, streams: int) -> None:
        self._streams = [channel.stream_stream(f"/{SERVICE}/Chat", *_CODECS)() for _ in range(streams)]
        self._latencies: list[float] = []
        self._wanted = 0
        self._complete = asyncio.Event()
        self._hearing = [asyncio.create_task(self._hear(call)) for call in self._streams]

    async def begin(self, i: int, due: float) -> None:
        """One message; it tells when it was due."""
        words = common_pb2.Task(reference=repr(due), payload=PAYLOAD)
        await self._streams[i % len(self._streams)].write(words)

    async def heard(self, count: int) -> list[float]:
        """The latencies (s) of all messages since the last time, when there are so many."""
        self._wanted = count
        self._complete.clear()
        if len(self._latencies) < count:
            await self._complete.wait()
        found, self._latencies = self._latencies, []
        return found

    async def _hear(self, call: Any) -> None:
        while (task := await call.read()) is not grpc.aio.EOF:
            self._latencies.append(time.perf_counter() - float(task.reference))
            if len(self._latencies) == self._wanted:
                self._complete.set()


async def at_a_rate(rate: float, count: int, call: Call) -> dict[str, Any]:
    """An open loop of calls."""
    running: list[asyncio.Task[float]] = []

    async def begin(i: int, due: float) -> None:
        running.append(asyncio.create_task(_of(call, due)))

    kept = await open_loop(rate, count, begin)
    found = await asyncio.wait_for(asyncio.gather(*running), _WAIT_S)
    return {"latencies": found, "late_s": kept.late_s}


async def _of(call: Call, due: float) -> float:
    return await call(due)
