"""What an agent desktop does: be offered tasks over a session, or ask for them, and work on them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from clients.backoff import Backoff
from clients.channel import Connection
from clients.errors import ApiError, ClosedError, DeadlineError, Outcome, from_status
from clients.holdings import (
    Changed,
    Connected,
    Disconnected,
    Event,
    Holdings,
    Leased,
    Offered,
    Recalled,
    Rescinded,
    Revoked,
)
from clients.pulling import NoTask, PullingAgent
from clients.streams import StreamClient, messages, settle
from clients.values import duration, moment, seconds, timestamp
from router.v1 import agents_pb2, agents_pb2_grpc, common_pb2

__all__ = [
    "AgentHandlers",
    "AgentSession",
    "Changed",
    "Connected",
    "Disconnected",
    "Event",
    "Leased",
    "NoTask",
    "Offered",
    "PullingAgent",
    "Recalled",
    "Rescinded",
    "Revoked",
]

Request = agents_pb2.SessionRequest
Response = agents_pb2.SessionResponse
Held = common_pb2.Offer | common_pb2.Lease | common_pb2.ParkedTask | common_pb2.Recall
_Call = grpc.aio.StreamStreamCall[Request, Response]

_log = logging.getLogger(__name__)
_DEFAULT_HEARTBEAT_S = 5.0
# How long a stream that the router drains may still wait for answers to what was asked.
_DRAIN_GRACE_S = 1.0


class AgentHandlers:
    """What a desktop does about each event; override what it needs.

    Each call is a task of its own, begun in the order of the events, so a handler may await the session or work for
    minutes while others run. What a handler raises is logged.
    """

    async def on_connected(self, session: AgentSession, snapshot: Response.Snapshot) -> None:
        """The session stands, for the first time or again."""

    async def on_disconnected(self, session: AgentSession, error: ApiError, retry_in_s: float) -> None:
        """The session broke; it is opened again by itself, and what is held stays held."""

    async def on_offer(self, session: AgentSession, offer: common_pb2.Offer) -> None:
        """A task is offered: accept or decline it before its deadline."""

    async def on_rescind(self, session: AgentSession, task: str, fence: int, reason: str) -> None:
        """An offer is withdrawn."""

    async def on_lease(self, session: AgentSession, lease: common_pb2.Lease, reason: str) -> None:
        """A lease has begun that no call here has returned: auto-accepted, assigned, or found after a reconnect."""

    async def on_recall(self, session: AgentSession, recall: common_pb2.Recall) -> None:
        """Save and hand back the task before `recall.notice_deadline`."""

    async def on_revoke(self, session: AgentSession, task: str, fence: int, reason: str) -> None:
        """A lease or parked task is gone: stop working on it."""

    async def on_change(self, session: AgentSession, agent: common_pb2.Agent, why_idle: str) -> None:
        """The agent's profile or status changed."""


@dataclass(slots=True)
class _Asked:
    """A request that waits for its Result, and is sent again over a new stream."""

    request: Request
    task: str
    result: asyncio.Future[Response.Result]


class AgentSession(StreamClient):
    """An agent's session: `async with AgentSession(connection) as session`, then handlers or `async for event in
    session`.

    It reconnects with full jitter and goes on where it was: requests under way are sent again (the fence makes that
    safe), and the handlers are told of what stands and what went, nothing twice. It ends for good when another
    desktop of the same agent takes over (`ConflictError`, SESSION_REPLACED) or the router refuses the agent.
    """

    def __init__(
        self,
        connection: Connection,
        handlers: AgentHandlers | None = None,
        *,
        ready: bool = True,
        session_id: str = "",
        client_info: str = "",
        request_timeout_s: float = 10.0,
        connect_timeout_s: float = 10.0,
        backoff: Backoff | None = None,
    ) -> None:
        """Use a connection of an agent. With `handlers` the events go to them, else to the iterator.

        The router's log names the desktop by its `session_id`; one that is kept over a restart is recognised there.
        """
        super().__init__(connection, backoff, connect_timeout_s)
        self.session_id = session_id or uuid.uuid4().hex
        self.holdings = Holdings()
        self.limits = Response.Limits()
        self._handlers = handlers
        self._ready = ready
        self._client_info = client_info
        self._request_timeout_s = request_timeout_s
        self._heard = False
        self._heartbeat_s = _DEFAULT_HEARTBEAT_S
        # Router's clock less ours, in seconds.
        self._clock_ahead_s = 0.0
        self._correlations = map(str, itertools.count(1))
        self._asked: dict[str, _Asked] = {}
        self._outbox: asyncio.Queue[Request | None] = asyncio.Queue()
        self._events: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._over = False
        self._running: set[asyncio.Task[None]] = set()

    # What the desktop can see.

    @property
    def agent(self) -> common_pb2.Agent:
        """Return the agent's profile and status as last told."""
        return self.holdings.agent

    @property
    def ready(self) -> bool:
        """Say whether this desktop asks for tasks."""
        return self._ready

    @property
    def why_idle(self) -> str:
        """Return a sentence for the screen when the agent gets no task now; may be empty."""
        return self.holdings.why_idle

    def remaining_s(self, deadline: Timestamp) -> float:
        """Return the seconds left until a deadline of the router's, whose clock may differ from this machine's."""
        return moment(deadline).timestamp() - (_now_s() + self._clock_ahead_s)

    def __aiter__(self) -> AsyncIterator[Event]:
        """Iterate over the events."""
        return self.events()

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield the events until the session is closed. Raises the ApiError by which the router ended it.

        Use one iterator at a time, and a session without handlers.
        """
        while True:
            while self._events:
                yield self._events.popleft()
            if self._over:
                break
            self._wake.clear()
            await self._wake.wait()
        if self.failure is not None:
            raise self.failure

    # What the desktop can say. Each raises ApiError: SupersededError when the task has gone elsewhere,
    # DeadlineError when no answer came in time (over reconnects too).

    async def accept(self, offer: common_pb2.Offer, *, timeout_s: float | None = None) -> common_pb2.Lease:
        """Turn an offer into a lease."""
        message = Request(accept=Request.Accept(task=offer.task.name, fence=offer.fence))
        return (await self._ask(message, offer, timeout_s)).lease

    async def decline(
        self, offer: common_pb2.Offer, reason: str = "", *, timeout_s: float | None = None
    ) -> None:
        """Refuse an offer; the task is not offered to this agent again for a while."""
        message = Request(decline=Request.Decline(task=offer.task.name, fence=offer.fence, reason=reason))
        await self._ask(message, offer, timeout_s)

    async def checkpoint(
        self, held: common_pb2.Lease | common_pb2.Recall, data: bytes, *, timeout_s: float | None = None
    ) -> common_pb2.Lease:
        """Save progress, at most `limits.max_checkpoint_bytes`, and renew the lease."""
        task, fence = handover(held)
        saved = Request.SaveCheckpoint(task=task, fence=fence, checkpoint=common_pb2.Checkpoint(data=data))
        return (await self._ask(Request(checkpoint=saved), held, timeout_s)).lease

    async def complete(
        self,
        held: common_pb2.Lease | common_pb2.Recall,
        result: bytes = b"",
        outcome: str = "",
        *,
        timeout_s: float | None = None,
    ) -> common_pb2.Task:
        """End the task as done; allowed during a recall's notice too."""
        task, fence = handover(held)
        done = Request.Complete(task=task, fence=fence, result=result, outcome=outcome)
        return (await self._ask(Request(complete=done), held, timeout_s)).task

    async def park(
        self, lease: common_pb2.Lease, until: datetime, *, timeout_s: float | None = None
    ) -> common_pb2.Task:
        """Set the task aside for this agent until a time, at most 7 days ahead."""
        task, fence = handover(lease)
        park = Request.Park(task=task, fence=fence, until_time=timestamp(until))
        return (await self._ask(Request(park=park), lease, timeout_s)).task

    async def resume(
        self, parked: common_pb2.ParkedTask, *, timeout_s: float | None = None
    ) -> common_pb2.Lease:
        """Take a parked task up again. Raises PreconditionError when the gate or capacity does not allow it."""
        task, fence = handover(parked)
        return (
            await self._ask(Request(resume=Request.Resume(task=task, fence=fence)), parked, timeout_s)
        ).lease

    async def extend(
        self, lease: common_pb2.Lease, by_s: float | None = None, *, timeout_s: float | None = None
    ) -> common_pb2.Lease:
        """Move the lease's deadline to `by_s` seconds from now; without it, by the work type's lease duration."""
        task, fence = handover(lease)
        span = None if by_s is None else duration(by_s)
        extend = Request.Extend(task=task, fence=fence, duration=span)
        return (await self._ask(Request(extend=extend), lease, timeout_s)).lease

    async def release(
        self,
        held: common_pb2.Lease | common_pb2.Recall,
        data: bytes | None = None,
        reason: str = "",
        *,
        timeout_s: float | None = None,
    ) -> common_pb2.Task:
        """Hand a task back, with a last checkpoint if there is one: obey a recall, or give the task up."""
        task, fence = handover(held)
        checkpoint = None if data is None else common_pb2.Checkpoint(data=data)
        release = Request.Release(task=task, fence=fence, checkpoint=checkpoint, reason=reason)
        return (await self._ask(Request(release=release), held, timeout_s)).task

    async def set_ready(self, ready: bool, *, timeout_s: float | None = None) -> None:
        """Ask for tasks, or for no more; what is held stays."""
        self._ready = ready
        await self._ask(Request(ready=Request.Ready(ready=ready)), None, timeout_s)

    # Requests and their answers.

    async def _ask(self, request: Request, held: Held | None, timeout_s: float | None) -> Response.Result:
        if self._over:
            raise self.failure or ClosedError("the session is closed")
        task, fence = ("", 0) if held is None else handover(held)
        request.correlation_id = next(self._correlations)
        asked = _Asked(request, task, asyncio.get_running_loop().create_future())
        self._asked[request.correlation_id] = asked
        if self.connected:
            self._outbox.put_nowait(request)
        try:
            return await self._answer(asked, timeout_s or self._request_timeout_s)
        except ApiError as error:
            self._learn(error, request, task, fence)
            raise
        finally:
            self._asked.pop(request.correlation_id, None)

    async def _answer(self, asked: _Asked, timeout_s: float) -> Response.Result:
        try:
            async with asyncio.timeout(timeout_s):
                result = await asked.result
        except TimeoutError:
            raise DeadlineError(f"no answer from the router within {timeout_s:g} s") from None
        if result.status.code:
            raise from_status(result.status)
        return result

    def _learn(self, error: ApiError, request: Request, task: str, fence: int) -> None:
        kind = request.WhichOneof("message")
        if error.outcome is Outcome.UNKNOWN:
            if kind in ("accept", "decline"):
                self.holdings.forget(task)
        elif error.reason in ("SUPERSEDED", "NOT_HOLDER") or error.code is grpc.StatusCode.NOT_FOUND:
            self.holdings.refused(task, fence)

    # One stream.

    @cached_property
    def _stub(self) -> agents_pb2_grpc.AgentServiceAsyncStub:
        return agents_pb2_grpc.AgentServiceStub(self.connection.channel)

    async def _serve_stream(self) -> None:
        call = self._stub.Session(metadata=self.connection.metadata())
        self._outbox = asyncio.Queue()
        self._outbox.put_nowait(self._hello())
        helpers = [asyncio.create_task(self._write(call))]
        drained: asyncio.TimerHandle | None = None
        try:
            async for message in messages(call, self._silence_s):
                self._heard = True
                if message.HasField("snapshot"):
                    helpers.append(self._begin(message.snapshot))
                elif message.HasField("draining") and drained is None:
                    # Answers under way may still come; then the stream is ended and opened anew elsewhere.
                    drained = asyncio.get_running_loop().call_later(
                        _DRAIN_GRACE_S, self._outbox.put_nowait, None
                    )
                else:
                    self._hear(message)
        finally:
            if drained is not None:
                drained.cancel()
            await settle(*helpers)
            call.cancel()

    def _hello(self) -> Request:
        return Request(
            hello=Request.Hello(
                session_id=self.session_id,
                ready=self._ready,
                client_info=self._client_info,
            )
        )

    def _begin(self, snapshot: Response.Snapshot) -> asyncio.Task[None]:
        self.limits.CopyFrom(snapshot.limits)
        self._heartbeat_s = seconds(snapshot.limits.heartbeat_interval) or _DEFAULT_HEARTBEAT_S
        self._set_clock(snapshot.server_time)
        waiting = {asked.task for asked in self._asked.values() if asked.task}
        news = self.holdings.replace(snapshot, waiting)
        for asked in self._asked.values():
            self._outbox.put_nowait(asked.request)
        self._is_up()
        for event in (Connected(snapshot), *news):
            self._tell(event)
        return asyncio.create_task(self._beat())

    def _hear(self, message: Response) -> None:
        if message.HasField("result"):
            self._answered(message.result)
        elif message.HasField("heartbeat"):
            self._set_clock(message.heartbeat.server_time)
        else:
            for event in self.holdings.hear(message):
                self._tell(event)

    def _answered(self, result: Response.Result) -> None:
        asked = self._asked.get(result.correlation_id)
        if asked is not None and not asked.result.done():
            # Here and not in the caller's own time, so that the messages that follow find the books in order.
            if not result.status.code:
                self.holdings.settled(asked.request, result)
            asked.result.set_result(result)
        elif not result.status.code:
            for event in self.holdings.settled_late(result):
                self._tell(event)

    async def _write(self, call: _Call) -> None:
        """Write what is in the outbox; the only writer of the stream. None ends it."""
        try:
            while (request := await self._outbox.get()) is not None:
                await call.write(request)
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The stream is over; whoever reads it learns why.
            return

    async def _beat(self) -> None:
        while True:
            self._heard = False
            await asyncio.sleep(self._heartbeat_s)
            beat = Request(heartbeat=Request.Heartbeat())
            if not self._heard:
                # With a correlation id the router must answer, which shows this side that it lives.
                beat.correlation_id = f"beat-{next(self._correlations)}"
            self._outbox.put_nowait(beat)

    def _silence_s(self) -> float:
        return self._heartbeat_s * 3 if self.connected else self._connect_timeout_s

    def _set_clock(self, server_time: Timestamp) -> None:
        if server_time.seconds:
            self._clock_ahead_s = moment(server_time).timestamp() - _now_s()

    # Events to their consumers.

    def _tell(self, event: Event) -> None:
        if self._handlers is not None:
            task = asyncio.create_task(self._handle(self._handlers, event))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            return
        # Only the last of several status changes in a row is of interest to a slow consumer.
        if isinstance(event, Changed) and self._events and isinstance(self._events[-1], Changed):
            self._events.pop()
        self._events.append(event)
        self._wake.set()

    async def _handle(self, handlers: AgentHandlers, event: Event) -> None:
        try:
            await self._dispatch(handlers, event)
        except Exception:
            _log.exception("the handler of %s failed", type(event).__name__)

    async def _dispatch(self, handlers: AgentHandlers, event: Event) -> None:
        match event:
            case Connected(snapshot):
                await handlers.on_connected(self, snapshot)
            case Disconnected(error, retry_in_s):
                await handlers.on_disconnected(self, error, retry_in_s)
            case Offered(offer):
                await handlers.on_offer(self, offer)
            case Rescinded(task, fence, reason):
                await handlers.on_rescind(self, task, fence, reason)
            case Leased(lease, reason):
                await handlers.on_lease(self, lease, reason)
            case Recalled(recall):
                await handlers.on_recall(self, recall)
            case Revoked(task, fence, reason):
                await handlers.on_revoke(self, task, fence, reason)
            case Changed(agent, why_idle):
                await handlers.on_change(self, agent, why_idle)

    def _on_down(self, error: ApiError, retry_in_s: float) -> None:
        self._tell(Disconnected(error, retry_in_s))

    def _ended(self, error: ApiError | None) -> None:
        self._over = True
        for asked in self._asked.values():
            if not asked.result.done():
                asked.result.set_exception(error or ClosedError("the session was closed"))
        self._wake.set()

    async def close(self) -> None:
        """End the session. Handlers that still run are cancelled; what the agent holds stays held for a while."""
        await super().close()
        mine = asyncio.current_task()
        await settle(*(task for task in self._running if task is not mine))


def handover(held: Any) -> tuple[str, int]:
    """Return the task's name and the fence of an offer, lease, parked task or recall."""
    task = held.task if isinstance(held, common_pb2.Recall) else held.task.name
    return task, held.fence


def _now_s() -> float:
    return datetime.now().astimezone().timestamp()
