"""The desktop's stream: its messages in, answered one after the other; offers, recalls and changes out.

All that goes out is numbered when its turn has come, so there is no gap.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from router.dispatch.agents import MAX_PARKED
from router.dispatch.caller import Caller
from router.dispatch.hub import Push, Session, Snapshot
from router.dispatch.router import Router
from router.dispatch.supervision import ASSIGNED
from router.domain.errors import RouterError, WrongState
from router.domain.model import Agent, Task, TaskState
from router.rpc import names
from router.rpc.convert.agents import agent_out, why_idle
from router.rpc.convert.reasons import told
from router.rpc.convert.tasks import SUMMARY, lease_out, offer_out, parked_out, recall_out, task_out
from router.rpc.convert.times import duration, timestamp
from router.rpc.errors import DeadlineExceeded, StreamReplaced, item_status
from router.rpc.holding import Holding
from router.rpc.streams import Drain, Stream
from router.rpc.validate import MAX_CHECKPOINT, MAX_REASON, MAX_RESULT, MAX_TEXT, Check
from router.v1 import agents_pb2 as pb

SILENT_INTERVALS = 3
"""Heartbeat intervals without a message after which a desktop counts as gone."""

SessionStream = Stream[pb.SessionRequest, pb.SessionResponse]
_Result = pb.SessionResponse.Result
_Answer = Callable[[Any], Awaitable[_Result]]

log = logging.getLogger(__name__)


class Desk:
    """One desktop's stream while it lasts."""

    def __init__(
        self,
        router: Router,
        who: Caller,
        session: Session,
        stream: SessionStream,
        drain: Drain,
        heartbeat_s: float,
    ) -> None:
        self._router = router
        self._who = who
        self._session = session
        self._stream = stream
        self._drain = drain
        self._heartbeat_s = heartbeat_s
        self._revision = 0
        self._holding = Holding(router, who)
        self._answers: Mapping[str, _Answer] = {
            "ready": self._ready,
            "accept": self._accept,
            "decline": self._decline,
            "checkpoint": self._checkpoint,
            "complete": self._complete,
            "park": self._park,
            "resume": self._resume,
            "extend": self._extend,
            "release": self._release,
            "heartbeat": self._heartbeat,
        }

    async def serve(self) -> None:
        """Tell all that the desktop is told, the snapshot first, until it has nothing more to say."""
        self._stream.on_leaving = self._number
        await self._stream.write(pb.SessionResponse(snapshot=self._snapshot(self._session.snapshot)))
        self._stream.beside(self._forward)
        async for request in self._stream:
            await self._handle(request)

    def _number(self, response: pb.SessionResponse) -> None:
        self._revision += 1
        response.revision = self._revision

    # -- in --------------------------------------------------------------------------------------------
    async def _handle(self, request: pb.SessionRequest) -> None:
        kind = request.WhichOneof("message") or ""
        result = await self._answered(kind, request)
        if request.correlation_id:
            result.correlation_id = request.correlation_id
            await self._stream.write(pb.SessionResponse(result=result))
        elif result.HasField("status"):
            log.info("%s of %s refused: %s", kind, self._who.actor, result.status.reason)
        if kind == "heartbeat":
            beat = pb.SessionResponse.Heartbeat(server_time=timestamp(self._router.clock.now_ms()))
            await self._stream.write(pb.SessionResponse(heartbeat=beat))

    async def _answered(self, kind: str, request: pb.SessionRequest) -> _Result:
        try:
            if kind not in self._answers:
                raise WrongState("hello opens a session and comes once; send an action", "ACTION_EXPECTED")
            check = Check(self._who.site)
            check.text("correlation_id", request.correlation_id, MAX_TEXT)
            check.done()
            return await self._answers[kind](getattr(request, kind))
        except RouterError as error:
            return _Result(status=item_status(error))

    def _leased(self, task: Task, view: int) -> _Result:
        return _Result(lease=lease_out(self._who.site, task, view))

    def _ended(self, task: Task) -> _Result:
        return _Result(task=task_out(self._who.site, task, SUMMARY))

    async def _ready(self, message: pb.SessionRequest.Ready) -> _Result:
        await self._router.agents.set_ready(self._who, self._session.id, message.ready)
        return _Result()

    async def _accept(self, message: pb.SessionRequest.Accept) -> _Result:
        return self._leased(await self._holding.accept(message.task, message.fence), 0)

    async def _decline(self, message: pb.SessionRequest.Decline) -> _Result:
        await self._holding.decline(message.task, message.fence, message.reason)
        return _Result()

    async def _checkpoint(self, message: pb.SessionRequest.SaveCheckpoint) -> _Result:
        saved = await self._holding.checkpoint(message.task, message.fence, message.checkpoint.data)
        return self._leased(saved, SUMMARY)

    async def _complete(self, message: pb.SessionRequest.Complete) -> _Result:
        return self._ended(
            await self._holding.complete(message.task, message.fence, message.result, message.outcome)
        )

    async def _park(self, message: pb.SessionRequest.Park) -> _Result:
        until = message.until_time if message.HasField("until_time") else None
        return self._ended(await self._holding.park(message.task, message.fence, until))

    async def _resume(self, message: pb.SessionRequest.Resume) -> _Result:
        return self._leased(await self._holding.resume(message.task, message.fence), 0)

    async def _extend(self, message: pb.SessionRequest.Extend) -> _Result:
        span = message.duration if message.HasField("duration") else None
        return self._leased(await self._holding.extend(message.task, message.fence, span), SUMMARY)

    async def _release(self, message: pb.SessionRequest.Release) -> _Result:
        data = message.checkpoint.data if message.HasField("checkpoint") else None
        return self._ended(await self._holding.release(message.task, message.fence, data, message.reason))

    async def _heartbeat(self, message: pb.SessionRequest.Heartbeat) -> _Result:
        await self._router.agents.renew(self._who)
        return _Result()

    # -- out -------------------------------------------------------------------------------------------
    async def _forward(self) -> None:
        async for push in self._session:
            if push.kind == "replaced":
                raise StreamReplaced("another desktop of this agent connected", "SESSION_REPLACED")
            await self._stream.write(await self._pushed(push))

    async def _pushed(self, push: Push) -> pb.SessionResponse:
        if push.kind == "draining":
            deadline = timestamp(self._drain.deadline_ms or self._router.clock.now_ms())
            return pb.SessionResponse(draining=pb.SessionResponse.Draining(deadline=deadline))
        if push.task is None:
            agent = push.agent or await self._router.agents.get_agent(self._who, self._who.id)
            return self._agent_changed(agent)
        return self._task_pushed(push, push.task)

    def _agent_changed(self, agent: Agent) -> pb.SessionResponse:
        return pb.SessionResponse(
            agent_changed=pb.SessionResponse.AgentChanged(
                agent=agent_out(self._who.site, agent), why_idle=why_idle(agent)
            )
        )

    def _task_pushed(self, push: Push, task: Task) -> pb.SessionResponse:
        site, response = self._who.site, pb.SessionResponse
        name = names.name(site, names.TASK, task.id)
        if push.kind == "recall":
            return response(
                recall_requested=response.RecallRequested(recall=recall_out(site, task, push.reason))
            )
        word, detail = told(push.reason)
        if push.kind == "rescind":
            return response(
                offer_rescinded=response.OfferRescinded(
                    task=name, fence=task.fence, reason=word, detail=detail
                )
            )
        if push.kind == "revoke":
            return response(
                task_revoked=response.TaskRevoked(task=name, fence=task.fence, reason=word, detail=detail)
            )
        if task.state is TaskState.OFFERED:
            return response(offer_made=response.OfferMade(offer=offer_out(site, task)))
        reason = "ASSIGNED" if task.why.startswith(ASSIGNED) else "AUTO_ACCEPT"
        return response(task_forced=response.TaskForced(lease=lease_out(site, task), reason=reason))

    def _snapshot(self, snapshot: Snapshot) -> pb.SessionResponse.Snapshot:
        site = self._who.site
        by_state = {state: [t for t in snapshot.tasks if t.state is state] for state in TaskState}
        recalled = by_state[TaskState.RECALLING]
        return pb.SessionResponse.Snapshot(
            agent=agent_out(site, snapshot.agent),
            offers=[offer_out(site, task) for task in by_state[TaskState.OFFERED]],
            leases=[lease_out(site, task) for task in (*by_state[TaskState.ACTIVE], *recalled)],
            recalls=[recall_out(site, task, step=snapshot.recalls.get(task.id)) for task in recalled],
            parked=[parked_out(site, task) for task in snapshot.parked],
            limits=pb.SessionResponse.Limits(
                heartbeat_interval=duration(round(self._heartbeat_s * 1000)),
                max_checkpoint_bytes=MAX_CHECKPOINT,
                max_result_bytes=MAX_RESULT,
                max_parked_tasks=MAX_PARKED,
            ),
            server_time=timestamp(self._router.clock.now_ms()),
            why_idle=why_idle(snapshot.agent),
        )


async def hello_of(stream: SessionStream, heartbeat_s: float) -> pb.SessionRequest.Hello:
    """The first message, which must be Hello. From now on the desktop may not be silent for too long."""
    seconds = heartbeat_s * SILENT_INTERVALS
    silent = DeadlineExceeded(f"no message for {seconds:g} s; send heartbeats", "SESSION_SILENT")
    stream.expect_every(seconds, silent)
    first = await stream.read()
    if first is None or first.WhichOneof("message") != "hello":
        raise WrongState("a session begins with hello", "HELLO_EXPECTED")
    check = Check("", "hello.")
    check.text("session_id", first.hello.session_id)
    check.text("client_info", first.hello.client_info, MAX_REASON)
    check.done()
    return first.hello
