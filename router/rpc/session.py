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
from router.rpc.convert.tasks import (
    SUMMARY,
    fill_lease,
    fill_offer,
    fill_task,
    lease_out,
    offer_out,
    parked_out,
    recall_out,
)
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
_Action = Callable[[Any], Awaitable[Any]]
_Shape = Callable[[_Result, str, Any], None]
"""Writes what an action gave into its result; the text is the site."""

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
        self._actions: Mapping[str, tuple[_Action, _Shape]] = {
            "ready": (self._ready, _plain),
            "accept": (self._accept, _leased),
            "decline": (self._decline, _plain),
            "checkpoint": (self._checkpoint, _renewed),
            "complete": (self._complete, _ended),
            "park": (self._park, _ended),
            "resume": (self._resume, _leased),
            "extend": (self._extend, _renewed),
            "release": (self._release, _ended),
            "heartbeat": (self._heartbeat, _plain),
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
        try:
            action, shape = self._action(kind, request.correlation_id)
            task = await action(getattr(request, kind))
        except RouterError as error:
            await self._refuse(kind, request.correlation_id, error)
        else:
            if request.correlation_id:  # who gave none wants no answer, so none is made
                response = pb.SessionResponse()
                response.result.correlation_id = request.correlation_id
                shape(response.result, self._who.site, task)
                await self._stream.write(response)
        if kind == "heartbeat":
            beat = pb.SessionResponse.Heartbeat(server_time=timestamp(self._router.clock.now_ms()))
            await self._stream.write(pb.SessionResponse(heartbeat=beat))

    def _action(self, kind: str, correlation_id: str) -> tuple[_Action, _Shape]:
        if kind not in self._actions:
            raise WrongState("hello opens a session and comes once; send an action", "ACTION_EXPECTED")
        if len(correlation_id) > MAX_TEXT:
            check = Check(self._who.site)
            check.text("correlation_id", correlation_id, MAX_TEXT)
            check.done()
        return self._actions[kind]

    async def _refuse(self, kind: str, correlation_id: str, error: RouterError) -> None:
        if correlation_id:
            result = _Result(correlation_id=correlation_id, status=item_status(error))
            await self._stream.write(pb.SessionResponse(result=result))
        else:
            log.info("%s of %s refused: %s", kind, self._who.actor, error.reason)

    async def _ready(self, message: pb.SessionRequest.Ready) -> None:
        await self._router.agents.set_ready(self._who, self._session.id, message.ready)

    async def _accept(self, message: pb.SessionRequest.Accept) -> Task:
        return await self._holding.accept(message.task, message.fence)

    async def _decline(self, message: pb.SessionRequest.Decline) -> Task:
        return await self._holding.decline(message.task, message.fence, message.reason)

    async def _checkpoint(self, message: pb.SessionRequest.SaveCheckpoint) -> Task:
        return await self._holding.checkpoint(message.task, message.fence, message.checkpoint.data)

    async def _complete(self, message: pb.SessionRequest.Complete) -> Task:
        return await self._holding.complete(message.task, message.fence, message.result, message.outcome)

    async def _park(self, message: pb.SessionRequest.Park) -> Task:
        until = message.until_time if message.HasField("until_time") else None
        return await self._holding.park(message.task, message.fence, until)

    async def _resume(self, message: pb.SessionRequest.Resume) -> Task:
        return await self._holding.resume(message.task, message.fence)

    async def _extend(self, message: pb.SessionRequest.Extend) -> Task:
        span = message.duration if message.HasField("duration") else None
        return await self._holding.extend(message.task, message.fence, span)

    async def _release(self, message: pb.SessionRequest.Release) -> Task:
        data = message.checkpoint.data if message.HasField("checkpoint") else None
        return await self._holding.release(message.task, message.fence, data, message.reason)

    async def _heartbeat(self, message: pb.SessionRequest.Heartbeat) -> None:
        await self._router.agents.renew(self._who)

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
        if push.kind == "recall":
            return response(
                recall_requested=response.RecallRequested(recall=recall_out(site, task, push.reason))
            )
        if push.kind in ("rescind", "revoke"):
            word, detail = told(push.reason)
            name = names.name(site, names.TASK, task.id)
            gone: dict[str, Any] = {"task": name, "fence": task.fence, "reason": word, "detail": detail}
            if push.kind == "rescind":
                return response(offer_rescinded=response.OfferRescinded(**gone))
            return response(task_revoked=response.TaskRevoked(**gone))
        if task.state is TaskState.OFFERED:
            made = response()
            fill_offer(made.offer_made.offer, site, task)
            return made
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


def _plain(result: _Result, site: str, _: Any) -> None:
    """It was done."""


def _leased(result: _Result, site: str, task: Task) -> None:
    fill_lease(result.lease, site, task)


def _renewed(result: _Result, site: str, task: Task) -> None:
    fill_lease(result.lease, site, task, SUMMARY)


def _ended(result: _Result, site: str, task: Task) -> None:
    fill_task(result.task, site, task, SUMMARY)


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
