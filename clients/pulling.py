"""A desktop without a session: it asks for the next task and works on it by unary calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from clients.channel import Connection
from clients.errors import ApiError
from clients.streams import settle
from clients.values import duration, new_request_id, timestamp
from router.v1 import agents_pb2, agents_pb2_grpc, common_pb2

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NoTask:
    """There is no task now: why, as a word such as `GATE_CLOSED` and as a sentence."""

    reason: str
    detail: str


class PullingAgent:
    """Pulls tasks and works on them. All methods raise ApiError; SupersededError when the task went elsewhere.

    Each change carries a request id and a fence, so it is repeated by itself while the router cannot be reached.
    """

    def __init__(self, connection: Connection) -> None:
        """Use a connection of an agent."""
        self.connection = connection
        self.names = connection.names

    @cached_property
    def _stub(self) -> agents_pb2_grpc.AgentServiceAsyncStub:
        return agents_pb2_grpc.AgentServiceStub(self.connection.channel)

    async def get_next(
        self, wait_s: float = 0.0, *, request_id: str | None = None
    ) -> common_pb2.Lease | NoTask:
        """Lease the next-best task, at once or as soon as one comes within `wait_s` (at most 60)."""
        request = agents_pb2.GetNextTaskRequest(
            wait=duration(wait_s), request_id=request_id or new_request_id()
        )
        limit = wait_s + self.connection.timeout_s
        answer = await self.connection.call(self._stub.GetNextTask, request, repeatable=True, timeout_s=limit)
        if answer.HasField("lease"):
            return answer.lease
        word = agents_pb2.NoTaskReason.Name(answer.reason).removeprefix("NO_TASK_REASON_")
        return NoTask(word, answer.detail)

    async def accept(self, offer: common_pb2.Offer) -> common_pb2.Lease:
        """Turn an offer into a lease."""
        request = agents_pb2.AcceptOfferRequest(
            name=offer.task.name, fence=offer.fence, request_id=new_request_id()
        )
        return await self.connection.call(self._stub.AcceptOffer, request, repeatable=True)

    async def decline(self, offer: common_pb2.Offer, reason: str = "") -> agents_pb2.DeclineOfferResponse:
        """Refuse an offer; the answer says for how long the task is not offered again."""
        request = agents_pb2.DeclineOfferRequest(
            name=offer.task.name, fence=offer.fence, reason=reason, request_id=new_request_id()
        )
        return await self.connection.call(self._stub.DeclineOffer, request, repeatable=True)

    async def checkpoint(self, lease: common_pb2.Lease, data: bytes) -> common_pb2.Lease:
        """Save progress and renew the lease."""
        request = agents_pb2.CheckpointTaskRequest(
            name=lease.task.name,
            fence=lease.fence,
            checkpoint=common_pb2.Checkpoint(data=data),
            request_id=new_request_id(),
        )
        return await self.connection.call(self._stub.CheckpointTask, request, repeatable=True)

    async def complete(
        self, lease: common_pb2.Lease, result: bytes = b"", outcome: str = ""
    ) -> common_pb2.Task:
        """End the task as done."""
        request = agents_pb2.CompleteTaskRequest(
            name=lease.task.name,
            fence=lease.fence,
            result=result,
            outcome=outcome,
            request_id=new_request_id(),
        )
        return await self.connection.call(self._stub.CompleteTask, request, repeatable=True)

    async def park(self, lease: common_pb2.Lease, until: datetime) -> common_pb2.Task:
        """Set the task aside for this agent until a time, at most 7 days ahead."""
        request = agents_pb2.ParkTaskRequest(
            name=lease.task.name,
            fence=lease.fence,
            until_time=timestamp(until),
            request_id=new_request_id(),
        )
        return await self.connection.call(self._stub.ParkTask, request, repeatable=True)

    async def resume(self, task: str, fence: int) -> common_pb2.Lease:
        """Take a parked task up again. Raises PreconditionError when the gate or capacity does not allow it."""
        request = agents_pb2.ResumeTaskRequest(
            name=self.names.task(task), fence=fence, request_id=new_request_id()
        )
        return await self.connection.call(self._stub.ResumeTask, request, repeatable=True)

    async def extend(self, lease: common_pb2.Lease, by_s: float | None = None) -> common_pb2.Lease:
        """Move the lease's deadline to `by_s` seconds from now, or by the work type's lease duration."""
        request = agents_pb2.ExtendLeaseRequest(
            name=lease.task.name,
            fence=lease.fence,
            duration=None if by_s is None else duration(by_s),
            request_id=new_request_id(),
        )
        return await self.connection.call(self._stub.ExtendLease, request, repeatable=True)

    async def release(
        self, lease: common_pb2.Lease, data: bytes | None = None, reason: str = ""
    ) -> common_pb2.Task:
        """Hand the task back, with a last checkpoint if there is one."""
        request = agents_pb2.ReleaseTaskRequest(
            name=lease.task.name,
            fence=lease.fence,
            checkpoint=None if data is None else common_pb2.Checkpoint(data=data),
            reason=reason,
            request_id=new_request_id(),
        )
        return await self.connection.call(self._stub.ReleaseTask, request, repeatable=True)

    async def heartbeat(self, held: Iterable[common_pb2.Lease] = ()) -> agents_pb2.HeartbeatResponse:
        """Show that the desktop lives and renew these leases, or all; the answer has the recalls to obey."""
        tasks = [agents_pb2.HeldTask(task=lease.task.name, fence=lease.fence) for lease in held]
        request = agents_pb2.HeartbeatRequest(held_tasks=tasks)
        return await self.connection.call(self._stub.Heartbeat, request, repeatable=True)

    @asynccontextmanager
    async def keeping(
        self, lease: common_pb2.Lease, *, every_s: float = 20.0
    ) -> AsyncIterator[asyncio.Future[str]]:
        """Renew a lease while the body works on it.

        Gives a future that is set when the body should stop: to the reason of a recall, or to the word for why the
        lease is lost, such as `SUPERSEDED`.
        """
        stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        keeper = asyncio.create_task(self._keep(lease, every_s, stop))
        try:
            yield stop
        finally:
            await settle(keeper)

    async def _keep(self, lease: common_pb2.Lease, every_s: float, stop: asyncio.Future[str]) -> None:
        while not stop.done():
            await asyncio.sleep(every_s)
            try:
                answer = await self.heartbeat([lease])
            except ApiError as error:
                _log.warning("the lease of %s was not renewed: %s", lease.task.name, error)
                continue
            reason = _why_stop(answer, lease.task.name)
            if reason and not stop.done():
                stop.set_result(reason)


def _why_stop(answer: agents_pb2.HeartbeatResponse, task: str) -> str:
    lost = [held.status.reason for held in answer.held_tasks if held.status.code and held.task == task]
    recalls = [recall.reason or "recalled" for recall in answer.recalls if recall.task == task]
    return next(iter(lost + recalls), "")
