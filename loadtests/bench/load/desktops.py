"""Desktops on sessions, and the listeners of the bare server: both note when a message reached them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import grpc

from loadtests.bare import SERVICE
from loadtests.bench.load.channels import Channels, bearer
from router.v1 import agents_pb2, agents_pb2_grpc, common_pb2

Request = agents_pb2.SessionRequest
_CODECS = (common_pb2.Task.SerializeToString, common_pb2.Task.FromString)
_AT_ONCE = 100
_POLL_S = 0.01


class Seen:
    """What the desktops saw since it was last asked for."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self._begin()

    def _begin(self) -> None:
        self.offers: list[tuple[float, float]] = []
        """(due, seen), s; due is 0 where the task does not tell."""
        self.recalls: list[float] = []
        self.accepted = 0
        self.done = 0

    def offer(self, reference: str) -> None:
        """An offer, or a message of the bare server, is there."""
        self.offers.append((int(reference or 0) / 1e9, time.perf_counter()))

    def taken(self) -> dict[str, Any]:
        """All of it; counting begins anew. Errors stay."""
        found = {
            "offers": self.offers, "recalls": self.recalls, "accepted": self.accepted, "done": self.done,
            "errors": self.errors,
        }  # fmt: skip
        self._begin()
        return found


class Desktop:
    """One session. It accepts what it is offered, after ``reads_s``, and then completes it, or holds it until recalled.

    Each action asks for its result, as a real desktop does, and the next one waits for it: there is one writer.
    """

    def __init__(self, stub: Any, site: str, agent: str, seen: Seen, holds: bool, reads_s: float) -> None:
        self._call = stub.Session(metadata=bearer(site, "agent", agent))
        self._agent = agent
        self._seen = seen
        self._holds = holds
        self._reads_s = reads_s

    async def open(self) -> None:
        """Say hello, and see the snapshot."""
        hello = Request.Hello(session_id=f"{self._agent}-{time.perf_counter_ns()}", ready=True)
        await self._call.write(Request(hello=hello))
        if (await self._call.read()) is grpc.aio.EOF:
            raise RuntimeError(f"the session of {self._agent} ended at once: {await self._call.details()}")

    async def work(self) -> None:
        """Answer messages until the stream ends."""
        task, fence = "", 0
        while (message := await self._call.read()) is not grpc.aio.EOF:
            match message.WhichOneof("message"):
                case "offer_made":
                    offer = message.offer_made.offer
                    self._seen.offer(offer.task.reference)
                    task, fence = offer.task.name, offer.fence
                    if self._reads_s:
                        await asyncio.sleep(self._reads_s)
                    await self._write("a", accept=Request.Accept(task=task, fence=fence))
                case "result":
                    await self._answered(message.result, task, fence)
                case "recall_requested":
                    self._seen.recalls.append(time.perf_counter())
                    recall = message.recall_requested.recall
                    await self._write("r", release=Request.Release(task=recall.task, fence=recall.fence))

    async def _answered(self, result: agents_pb2.SessionResponse.Result, task: str, fence: int) -> None:
        if result.status.code:
            self._seen.errors.append(
                f"{result.correlation_id}: {result.status.reason} {result.status.message}"
            )
        elif result.correlation_id == "c":
            self._seen.done += 1
        elif result.correlation_id == "a":
            self._seen.accepted += 1
            if not self._holds:
                await self._write("c", complete=Request.Complete(task=task, fence=fence))

    async def _write(self, correlation: str, **action: Any) -> None:
        await self._call.write(Request(correlation_id=correlation, **action))

    def close(self) -> None:
        """End the stream."""
        self._call.cancel()


class Desktops:
    """All desktops of this process."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._seen = Seen()
        self._open: list[Any] = []
        self._working: list[asyncio.Task[None]] = []

    async def sit_down(
        self,
        address: str,
        sites: Sequence[str],
        agents: Sequence[str],
        holds: bool = False,
        reads_s: float = 0.0,
        connections: int = 1,
    ) -> int:
        """Open a session for each agent of each site, on so many connections; how many are open now."""
        pairs = [(site, agent) for site in sites for agent in agents]
        for first in range(0, len(pairs), _AT_ONCE):
            part = pairs[first : first + _AT_ONCE]
            stubs = [
                agents_pb2_grpc.AgentServiceStub(await self._channels.to(address, (first + i) % connections))
                for i in range(len(part))
            ]
            desks = [
                Desktop(stub, *pair, self._seen, holds, reads_s)
                for stub, pair in zip(stubs, part, strict=True)
            ]
            await asyncio.gather(*(desk.open() for desk in desks))
            self._open += desks
            self._working += [asyncio.create_task(self._watched(desk.work())) for desk in desks]
        return len(self._open)

    async def listen(self, address: str, count: int) -> int:
        """Open listeners at the bare server."""
        channel = await self._channels.to(address)
        for _ in range(count):
            call = channel.stream_stream(f"/{SERVICE}/Listen", *_CODECS)()
            await call.read()
            self._working.append(asyncio.create_task(self._watched(self._hear(call))))
        return count

    async def _hear(self, call: Any) -> None:
        while (task := await call.read()) is not grpc.aio.EOF:
            self._seen.offer(task.reference)
            self._seen.done += 1

    async def _watched(self, work: Any) -> None:
        try:
            await work
        except grpc.aio.AioRpcError as error:
            self._seen.errors.append(f"{error.code().name}: {error.details()}")

    async def collect(self, count: int = 0, of: str = "done", within_s: float = 0.0) -> dict[str, Any]:
        """What was seen since the last time, once there are so many of it or the time is over."""
        limit = time.perf_counter() + within_s
        # Looked at now and then: an event for each message would be paid for by what is measured.
        while self._number(of) < count and time.perf_counter() < limit:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
        return self._seen.taken()

    def _number(self, of: str) -> int:
        found = getattr(self._seen, of)
        return found if isinstance(found, int) else len(found)

    async def stand_up(self) -> None:
        """End every session."""
        for desk in self._open:
            desk.close()
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        self._open.clear()
        self._working.clear()
