"""AgentService: what agent desktops call, and the profiles that supervisors keep."""

from __future__ import annotations

import logging
from typing import Any

from google.protobuf.empty_pb2 import Empty

from router.dispatch.agents import Lease
from router.dispatch.router import Router
from router.domain.errors import AlreadyExists, EtagMismatch, NotFound, RouterError
from router.domain.model import Agent, NoTask, Task
from router.rpc import filters, names, paging
from router.rpc.auth import caller
from router.rpc.convert import agents as convert
from router.rpc.convert.tasks import SUMMARY, lease_out, recall_out, task_out
from router.rpc.convert.times import timestamp
from router.rpc.errors import item_status
from router.rpc.holding import Holding
from router.rpc.session import Desk, SessionStream, hello_of
from router.rpc.streams import Drain
from router.rpc.validate import MAX_BATCH, Check
from router.v1 import agents_pb2 as pb
from router.v1 import agents_pb2_grpc, common_pb2

MAX_WAIT_MS = 60_000
_UPDATE_TRIES = 5

_FIELDS: dict[str, tuple[filters.Reader, bool]] = {
    "state": (filters.choice([state.value for state in convert.STATES]), False),
    "blending_group": (filters.last_part, False),
    "team": (str, False),
    "skill": (str, False),
    "connected": (filters.flag, False),
    "ready": (filters.flag, False),
}

log = logging.getLogger(__name__)


class AgentService(agents_pb2_grpc.AgentServiceServicer):
    """Translates; the use cases are in router.dispatch.agents and router.dispatch.hub."""

    def __init__(self, router: Router, drain: Drain, heartbeat_s: float) -> None:
        self._router = router
        self._agents = router.agents
        self._drain = drain
        self._heartbeat_s = heartbeat_s

    def _holding(self) -> Holding:
        return Holding(self._router, caller())

    # -- the stream ------------------------------------------------------------------------------------
    async def Session(self, requests: Any, stream: SessionStream) -> None:  # type: ignore[override]  # noqa: N802
        """A desktop's session. Each stream is a session of its own: one that comes late cannot end its successor."""
        who = caller()
        hello = await hello_of(stream, self._heartbeat_s)
        log.info(
            "desktop of %s: session %s, %s", who.actor, hello.session_id or "-", hello.client_info or "-"
        )
        async with self._router.hub.open_session(who, hello.ready, hello.session_id) as session:
            await Desk(self._router, who, session, stream, self._drain, self._heartbeat_s).serve()

    # -- tasks -----------------------------------------------------------------------------------------
    async def GetNextTask(self, request: pb.GetNextTaskRequest, context: Any) -> pb.GetNextTaskResponse:  # noqa: N802
        """Lease the next-best task, at once or within a wait."""
        who = caller()
        check = Check(who.site)
        _check_self(check.optional_name("agent", request.agent, names.AGENT), who.id)
        wait_ms = check.duration("wait", request.wait, 0, MAX_WAIT_MS)
        check.request_id(request.request_id)
        check.done()
        claim = await self._agents.get_next(who, wait_ms, request.request_id)
        if claim.task:
            return pb.GetNextTaskResponse(lease=lease_out(who.site, claim.task))
        reason = claim.reason or NoTask.NO_TASK
        if reason is NoTask.UNKNOWN_AGENT:
            raise NotFound(f"agent {who.id!r} has no profile; a supervisor creates it")
        known = NoTask.NO_TASK if reason is NoTask.MORE else reason
        return pb.GetNextTaskResponse(
            reason=convert.NO_TASK_REASONS[known], detail=convert.NO_TASK_SENTENCES[reason]
        )

    async def AcceptOffer(self, request: pb.AcceptOfferRequest, context: Any) -> common_pb2.Lease:  # noqa: N802
        """An offer becomes a lease."""
        task = await self._holding().accept(
            request.name, request.fence, field="name", request_id=request.request_id
        )
        return lease_out(caller().site, task)

    async def DeclineOffer(  # noqa: N802
        self, request: pb.DeclineOfferRequest, context: Any
    ) -> pb.DeclineOfferResponse:
        """An offer is refused."""
        task = await self._holding().decline(
            request.name, request.fence, request.reason, field="name", request_id=request.request_id
        )
        return pb.DeclineOfferResponse(excluded_until_time=timestamp(task.declined_by.get(caller().id)))

    async def CheckpointTask(self, request: pb.CheckpointTaskRequest, context: Any) -> common_pb2.Lease:  # noqa: N802
        """Progress is saved."""
        task = await self._holding().checkpoint(
            request.name, request.fence, request.checkpoint.data, field="name", request_id=request.request_id
        )
        return lease_out(caller().site, task)

    async def CompleteTask(self, request: pb.CompleteTaskRequest, context: Any) -> common_pb2.Task:  # noqa: N802
        """A task is done."""
        task = await self._holding().complete(
            request.name,
            request.fence,
            request.result,
            request.outcome,
            field="name",
            request_id=request.request_id,
        )
        return task_out(caller().site, task)

    async def ParkTask(self, request: pb.ParkTaskRequest, context: Any) -> common_pb2.Task:  # noqa: N802
        """A task is set aside."""
        until = request.until_time if request.HasField("until_time") else None
        task = await self._holding().park(
            request.name, request.fence, until, field="name", request_id=request.request_id
        )
        return task_out(caller().site, task)

    async def ResumeTask(self, request: pb.ResumeTaskRequest, context: Any) -> common_pb2.Lease:  # noqa: N802
        """A parked task is taken up again."""
        task = await self._holding().resume(
            request.name, request.fence, field="name", request_id=request.request_id
        )
        return lease_out(caller().site, task)

    async def ExtendLease(self, request: pb.ExtendLeaseRequest, context: Any) -> common_pb2.Lease:  # noqa: N802
        """A lease's deadline moves."""
        span = request.duration if request.HasField("duration") else None
        task = await self._holding().extend(
            request.name, request.fence, span, field="name", request_id=request.request_id
        )
        return lease_out(caller().site, task, SUMMARY)

    async def ReleaseTask(self, request: pb.ReleaseTaskRequest, context: Any) -> common_pb2.Task:  # noqa: N802
        """A task is handed back."""
        data = request.checkpoint.data if request.HasField("checkpoint") else None
        task = await self._holding().release(
            request.name, request.fence, data, request.reason, field="name", request_id=request.request_id
        )
        return task_out(caller().site, task)

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Any) -> pb.HeartbeatResponse:  # noqa: N802
        """Renew the leases named, or all."""
        who = caller()
        check = Check(who.site)
        _check_self(check.optional_name("name", request.name, names.AGENT), who.id)
        named = [
            (check.name(f"held_tasks[{i}].task", held.task, names.TASK), held.fence)
            for i, held in enumerate(check.at_most("held_tasks", request.held_tasks, MAX_BATCH))
        ]
        check.done()
        renewal = await self._agents.renew(who, named)
        return pb.HeartbeatResponse(
            held_tasks=[_renewed_out(who.site, lease, answer) for lease, answer in renewal.answers],
            recalls=[recall_out(who.site, task, step=step) for task, step in renewal.recalled],
            server_time=timestamp(self._router.clock.now_ms()),
        )

    # -- profiles --------------------------------------------------------------------------------------
    async def GetAgent(self, request: pb.GetAgentRequest, context: Any) -> common_pb2.Agent:  # noqa: N802
        """One agent."""
        who = caller()
        id = names.parse(request.name, names.AGENT, who.site)
        return convert.agent_out(who.site, await self._agents.get_agent(who, id))

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Any) -> pb.ListAgentsResponse:  # noqa: N802
        """A page of agents; with a filter it may be short although more follow."""
        who = caller()
        names.check_parent(request.parent, who.site)
        check = Check(who.site)
        size = check.page_size(request.page_size)
        check.done()
        conditions = filters.parse(request.filter, _FIELDS)
        question = ("agents", request.filter)
        cursor = paging.decode(request.page_token, *question)
        agents, cursor = await self._agents.list_agents(who, cursor, size)
        return pb.ListAgentsResponse(
            agents=[convert.agent_out(who.site, a) for a in filters.kept(agents, conditions, _value_of)],
            next_page_token=paging.encode(cursor, *question),
        )

    async def CreateAgent(self, request: pb.CreateAgentRequest, context: Any) -> common_pb2.Agent:  # noqa: N802
        """Create a profile; a repeat with the same request id and content answers the same."""
        who = caller()
        names.check_parent(request.parent, who.site)
        check = Check(who.site)
        check.id("agent_id", request.agent_id)
        check.request_id(request.request_id)
        within = Check(who.site, "agent.")
        profile = convert.profile_in(request.agent_id, request.agent, within)
        check.take(within)
        check.done()
        try:
            agent = await self._agents.create_agent(who, profile)
        except AlreadyExists:
            agent = await self._agents.get_agent(who, profile.id)
            if not request.request_id or agent.profile != profile:
                raise
        return convert.agent_out(who.site, agent)

    async def UpdateAgent(self, request: pb.UpdateAgentRequest, context: Any) -> common_pb2.Agent:  # noqa: N802
        """Change the fields of a profile that the mask names."""
        who = caller()
        check = Check(who.site)
        id = check.name("agent.name", request.agent.name, names.AGENT)
        check.request_id(request.request_id)
        check.done()
        wanted = check.etag(request.agent.etag)
        for attempt in range(_UPDATE_TRIES):
            current = await self._agents.get_agent(who, id)
            within = Check(who.site, "agent.")
            profile = convert.merged(current.profile, request.agent, request.update_mask.paths, within)
            within.done()
            expected = current.revision if wanted is None else wanted
            try:
                return convert.agent_out(who.site, await self._agents.update_agent(who, profile, expected))
            except EtagMismatch:
                if wanted is not None or attempt + 1 == _UPDATE_TRIES:
                    raise
        raise AssertionError

    async def DeleteAgent(self, request: pb.DeleteAgentRequest, context: Any) -> Empty:  # noqa: N802
        """Remove the profile of an agent who holds nothing."""
        who = caller()
        check = Check(who.site)
        id = check.name("name", request.name, names.AGENT)
        check.request_id(request.request_id)
        check.done()
        await self._agents.delete_agent(who, id, check.etag(request.etag))
        return Empty()


def _check_self(id: str, own: str) -> None:
    if id and id != own:
        raise NotFound(f"agent {id!r} does not exist")


def _renewed_out(site: str, lease: Lease, answer: Task | RouterError) -> pb.HeldTaskStatus:
    name = names.name(site, names.TASK, lease[0])
    if isinstance(answer, RouterError):
        return pb.HeldTaskStatus(task=name, status=item_status(answer))
    return pb.HeldTaskStatus(task=name, deadline=timestamp(answer.deadline_ms))


def _value_of(agent: Agent, condition: filters.Condition) -> Any:
    values: dict[str, Any] = {
        "state": agent.state.value,
        "blending_group": agent.profile.blending_group,
        "team": agent.profile.teams,
        "skill": tuple(agent.profile.skills),
        "connected": agent.connected,
        "ready": agent.ready,
    }
    return values[condition.field]
