"""An ACD: its stream of reports, as fast as they are acknowledged, or one figure of its call queues."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from loadtests.bench.load.channels import Channels, bearer
from router.v1 import common_pb2, telephony_pb2, telephony_pb2_grpc

Report = telephony_pb2.ReportRequest
_STATES = (common_pb2.AGENT_STATE_ON_CALL, common_pb2.AGENT_STATE_AVAILABLE)
_ACK_S = 20.0
_MOST_AGES = 100


class Feeds:
    """One feed at a time."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._numbers = itertools.count(1)
        self._agents: Sequence[str] = ()
        self._call: Any = None
        self._reading: asyncio.Task[None] | None = None
        self._acked = 0
        self._refused: list[str] = []
        self._news = asyncio.Event()

    async def feed(
        self, address: str, site: str, agents: Sequence[str], call_queues: Sequence[str] = (), group: str = ""
    ) -> None:
        """Open the stream; a snapshot says that every agent is available, a second report that no call waits."""
        channel = await self._channels.to(address)
        stub = telephony_pb2_grpc.TelephonyServiceStub(channel)
        self._call = stub.Report(metadata=bearer(site, "acd", "pbx"))
        self._agents = agents
        self._reading = asyncio.create_task(self._read())
        snapshot = Report.Snapshot(
            agents=[_state(agent, common_pb2.AGENT_STATE_AVAILABLE) for agent in agents]
        )
        epoch = str(time.time_ns() // 1_000_000)
        await self._report(Report(source="pbx", epoch=epoch, snapshot=snapshot))
        await self._until(1)
        if call_queues:
            await self.queues(call_queues, group, 0, 0.0)

    async def reports(self, seconds: float, window: int = 512) -> dict[str, Any]:
        """Reports of one changed agent each, so many unacknowledged at most: acknowledged in how many seconds."""
        began, first = time.perf_counter(), self._acked
        for sent in itertools.count(1):
            if time.perf_counter() - began > seconds:
                break
            agent = self._agents[sent % len(self._agents)]
            # Its state changes with each round, so that each report is news.
            state = _STATES[sent // len(self._agents) % 2]
            await self._report(Report(changes=Report.Changes(agents=[_state(agent, state)])))
            await self._until(first + sent - window)
        await self._until(first + sent - 1)
        return {"count": self._acked - first, "seconds": time.perf_counter() - began}

    async def queues(
        self, call_queues: Sequence[str], group: str, waiting: int, oldest_s: float
    ) -> dict[str, float]:
        """Report how many calls wait in each queue, all of one age; when (s) the report went out."""
        changes = Report.Changes(call_queues=[_queue(name, group, waiting, oldest_s) for name in call_queues])
        at, wanted = time.perf_counter(), self._acked + 1
        await self._report(Report(changes=changes))
        await self._until(wanted)
        return {"at": at}

    async def _report(self, report: telephony_pb2.ReportRequest) -> None:
        report.sequence = next(self._numbers)
        await self._call.write(report)

    async def _until(self, acked: int) -> None:
        while self._acked < acked:
            if self._refused:
                raise RuntimeError(f"{len(self._refused)} reports were refused, such as: {self._refused[0]}")
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), _ACK_S)

    async def _read(self) -> None:
        try:
            while (answer := await self._call.read()) is not grpc.aio.EOF:
                if answer.HasField("ack"):
                    self._hear(answer.ack)
        except grpc.aio.AioRpcError as error:
            self._refused.append(f"{error.code().name}: {error.details()}")
            self._news.set()

    def _hear(self, ack: telephony_pb2.ReportResponse.Ack) -> None:
        self._acked += 1
        if ack.outcome != telephony_pb2.REPORT_OUTCOME_APPLIED:
            name = telephony_pb2.ReportOutcome.Name(ack.outcome)
            self._refused.append(f"report {ack.sequence}: {name} {ack.status.message}")
        self._news.set()


def _state(agent: str, state: common_pb2.AgentState.ValueType) -> telephony_pb2.AgentStateReport:
    return telephony_pb2.AgentStateReport(agent=agent, state=state)


def _queue(name: str, group: str, waiting: int, oldest_s: float) -> telephony_pb2.CallQueueReport:
    ages = [_duration(oldest_s)] * min(waiting, _MOST_AGES)
    return telephony_pb2.CallQueueReport(
        call_queue=name,
        blending_group=group,
        calls_waiting=waiting,
        oldest_wait=_duration(oldest_s) if waiting else None,
        waiting_ages=ages,
        offered=1000 + waiting,
        answered=1000,
        answered_in_target=900,
    )


def _duration(seconds: float) -> Duration:
    return Duration(nanos=round(seconds % 1 * 1e9), seconds=int(seconds))
