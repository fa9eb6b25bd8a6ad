"""What a supervisor does: policies, gates, figures, agents, queues, explanations."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import datetime
from functools import cached_property

from google.protobuf.field_mask_pb2 import FieldMask

from clients.channel import Connection
from clients.errors import ApiError, NotFoundError, UnavailableError
from clients.streams import is_final, messages, pages
from clients.values import duration, new_request_id, optional_timestamp
from clients.work_types import WorkTypes
from router.v1 import (
    agents_pb2,
    agents_pb2_grpc,
    common_pb2,
    supervision_pb2,
    supervision_pb2_grpc,
    telephony_pb2,
    telephony_pb2_grpc,
)

AGENT_PROFILE = ("display_name", "skills", "teams", "blending_group", "capacity", "auto_accept")
"""The fields of an agent that a supervisor keeps."""
# A simulation says nothing while it plays a whole day.
_RUN_SILENCE_S = 1800.0


class Supervisor:
    """Steers and shows one site. All methods raise ApiError.

    Agents, groups, tasks and work types are named by id or by full resource name.
    """

    def __init__(self, connection: Connection) -> None:
        """Use a connection of a supervisor."""
        self.connection = connection
        self.names = connection.names
        self.work_types = WorkTypes(connection)

    @cached_property
    def _stub(self) -> supervision_pb2_grpc.SupervisionServiceAsyncStub:
        return supervision_pb2_grpc.SupervisionServiceStub(self.connection.channel)

    @cached_property
    def _agents(self) -> agents_pb2_grpc.AgentServiceAsyncStub:
        return agents_pb2_grpc.AgentServiceStub(self.connection.channel)

    @cached_property
    def _telephony(self) -> telephony_pb2_grpc.TelephonyServiceAsyncStub:
        return telephony_pb2_grpc.TelephonyServiceStub(self.connection.channel)

    # Policies.

    async def get_policy(self, group: str, version: int | None = None) -> supervision_pb2.Policy:
        """Return the active version of a group's policy, or the one asked for. Raises NotFoundError."""
        request = supervision_pb2.GetPolicyRequest(name=self.names.policy(group), version=version)
        return await self.connection.call(self._stub.GetPolicy, request, repeatable=True)

    def policy_versions(self, group: str) -> AsyncGenerator[supervision_pb2.Policy, None]:
        """Yield the versions of a policy without their documents, newest first."""
        request = supervision_pb2.ListPolicyVersionsRequest(name=self.names.policy(group))

        async def fetch(token: str) -> supervision_pb2.ListPolicyVersionsResponse:
            request.page_token = token
            return await self.connection.call(self._stub.ListPolicyVersions, request, repeatable=True)

        return pages(fetch, lambda page: page.policies)

    async def validate_policy(
        self,
        group: str,
        document: str,
    ) -> supervision_pb2.ValidatePolicyResponse:
        """Check a document, YAML or JSON, without storing it; faults are in the answer."""
        request = supervision_pb2.ValidatePolicyRequest(name=self.names.policy(group), document=document)
        return await self.connection.call(self._stub.ValidatePolicy, request, repeatable=True)

    async def put_policy(
        self,
        group: str,
        document: str,
        *,
        comment: str = "",
        etag: str = "",
    ) -> supervision_pb2.Policy:
        """Store a document as a new version, not active yet; the first one makes the blending group.

        Raises InvalidArgumentError, and ConflictError when `etag` is given and old.
        """
        policy = supervision_pb2.Policy(
            name=self.names.policy(group), document=document, comment=comment, etag=etag
        )
        request = supervision_pb2.UpdatePolicyRequest(policy=policy, request_id=new_request_id())
        return await self.connection.call(self._stub.UpdatePolicy, request, repeatable=True)

    async def activate_policy(self, group: str, version: int, *, etag: str = "") -> supervision_pb2.Policy:
        """Make a version the one that decides; 0 is the built-in default. Raises NotFoundError, ConflictError.

        The answer has `warnings`, such as that the version was never tried.
        """
        request = supervision_pb2.ActivatePolicyRequest(
            name=self.names.policy(group), version=version, etag=etag, request_id=new_request_id()
        )
        return await self.connection.call(self._stub.ActivatePolicy, request, repeatable=True)

    async def rollback_policy(self, group: str, *, etag: str = "") -> supervision_pb2.Policy:
        """Make the version active that was before the present one. Raises PreconditionError without one."""
        request = supervision_pb2.RollbackPolicyRequest(
            name=self.names.policy(group), etag=etag, request_id=new_request_id()
        )
        return await self.connection.call(self._stub.RollbackPolicy, request, repeatable=True)

    async def shadow_policy(
        self, group: str, version: int | None, *, etag: str = ""
    ) -> supervision_pb2.Policy:
        """Let a version decide beside the active one, without effect; None ends that."""
        request = supervision_pb2.SetShadowPolicyRequest(
            name=self.names.policy(group), version=version, etag=etag, request_id=new_request_id()
        )
        return await self.connection.call(self._stub.SetShadowPolicy, request, repeatable=True)

    async def compare_policy(self, group: str) -> supervision_pb2.PolicyComparison:
        """Return how the shadow compares with the active version. Raises PreconditionError where there is none."""
        request = supervision_pb2.GetPolicyComparisonRequest(name=self.names.policy(group))
        return await self.connection.call(self._stub.GetPolicyComparison, request, repeatable=True)

    async def replay_policy(
        self, group: str, *, span_s: float | None = None
    ) -> AsyncGenerator[supervision_pb2.ReplayPolicyResponse, None]:
        """Yield how far the replay of the last `span_s` recorded seconds is (None: of all), and last its result."""
        request = supervision_pb2.ReplayPolicyRequest(
            name=self.names.policy(group), span=None if span_s is None else duration(span_s)
        )
        call = self._stub.ReplayPolicy(request, metadata=self.connection.metadata())
        async for message in messages(call, lambda: _RUN_SILENCE_S):
            yield message

    async def simulate_policy(
        self, group: str, candidate: int | str, *, span_s: float | None = None
    ) -> AsyncGenerator[supervision_pb2.SimulatePolicyResponse, None]:
        """Yield how far the simulation of what was recorded is, and last its result.

        `candidate` is a stored version or the text of a document. Raises PreconditionError where too little is
        recorded.
        """
        request = supervision_pb2.SimulatePolicyRequest(
            name=self.names.policy(group), span=None if span_s is None else duration(span_s)
        )
        if isinstance(candidate, int):
            request.version = candidate
        else:
            request.document = candidate
        call = self._stub.SimulatePolicy(request, metadata=self.connection.metadata())
        async for message in messages(call, lambda: _RUN_SILENCE_S):
            yield message

    # Figures and gates.

    async def figures(self, groups: Iterable[str] = ()) -> supervision_pb2.Figures:
        """Return the figures of now, of these groups or all."""
        request = supervision_pb2.GetFiguresRequest(
            parent=self.names.parent, blending_groups=map(self.names.group, groups)
        )
        return await self.connection.call(self._stub.GetFigures, request, repeatable=True)

    async def watch_figures(
        self, groups: Iterable[str] = (), *, interval_s: float = 1.0
    ) -> AsyncGenerator[supervision_pb2.Figures, None]:
        """Yield the figures at once and then at each interval (0.2 to 60 s); it never ends by itself.

        A broken stream is opened again. Raises ApiError when the first attempt fails or the router refuses.
        """
        request = supervision_pb2.WatchFiguresRequest(
            parent=self.names.parent,
            blending_groups=map(self.names.group, groups),
            interval=duration(interval_s),
        )
        seen = False
        for attempt in itertools.count():
            failure: ApiError = UnavailableError("the router ended the stream")
            call = self._stub.WatchFigures(request, metadata=self.connection.metadata())
            try:
                async for message in messages(call, lambda: interval_s * 3 + 10.0):
                    seen = True
                    yield message.figures
            except ApiError as error:
                failure = error
            finally:
                call.cancel()
            if is_final(failure) or not seen:
                raise failure
            await asyncio.sleep(self.connection.backoff.delay(attempt % 8))

    async def set_gate(
        self,
        group: str,
        mode: supervision_pb2.GateMode.ValueType,
        reason: str = "",
        *,
        until: datetime | None = None,
    ) -> supervision_pb2.Gate:
        """Hold a gate open or closed, until a time or for good, or hand it back to the policy (AUTO).

        A reason is required for OPEN and CLOSED. A gate held open still closes on stale telephony data.
        """
        request = supervision_pb2.SetGateRequest(
            blending_group=self.names.group(group),
            mode=mode,
            reason=reason,
            expire_time=optional_timestamp(until),
            request_id=new_request_id(),
        )
        return await self.connection.call(self._stub.SetGate, request, repeatable=True)

    def groups(self) -> AsyncGenerator[supervision_pb2.BlendingGroup, None]:
        """Yield the blending groups, by name, each with its gate."""
        request = supervision_pb2.ListBlendingGroupsRequest(parent=self.names.parent)

        async def fetch(token: str) -> supervision_pb2.ListBlendingGroupsResponse:
            request.page_token = token
            return await self.connection.call(self._stub.ListBlendingGroups, request, repeatable=True)

        return pages(fetch, lambda page: page.blending_groups)

    def feeds(self) -> AsyncGenerator[telephony_pb2.FeedStatus, None]:
        """Yield the telephony feeds, by name."""
        request = telephony_pb2.ListFeedsRequest(parent=self.names.parent)

        async def fetch(token: str) -> telephony_pb2.ListFeedsResponse:
            request.page_token = token
            return await self.connection.call(self._telephony.ListFeeds, request, repeatable=True)

        return pages(fetch, lambda page: page.feeds)

    # Tasks and queues.

    async def reassign(
        self, task: str, agent: str, *, reason: str = "", force: bool = False, etag: str = ""
    ) -> common_pb2.Task:
        """Give a task to an agent; with `force` even one that another agent works on.

        Raises NotFoundError, PreconditionError (TASK_ACTIVE, EXCLUDED, NOT_QUALIFIED), ConflictError.
        """
        request = supervision_pb2.ReassignTaskRequest(
            name=self.names.task(task),
            agent=self.names.agent(agent),
            force=force,
            reason=reason,
            etag=etag,
            request_id=new_request_id(),
        )
        return await self.connection.call(self._stub.ReassignTask, request, repeatable=True)

    async def reprioritize(
        self,
        task: str,
        priority: int | None = None,
        *,
        due: datetime | None = None,
        reason: str = "",
        etag: str = "",
    ) -> common_pb2.Task:
        """Change a task's priority (0 to 100), due time or both."""
        request = supervision_pb2.ReprioritizeTaskRequest(
            name=self.names.task(task),
            priority=priority,
            due_time=optional_timestamp(due),
            reason=reason,
            etag=etag,
            request_id=new_request_id(),
        )
        return await self.connection.call(self._stub.ReprioritizeTask, request, repeatable=True)

    async def pause(self, name: str, reason: str = "") -> Sequence[supervision_pb2.Queue]:
        """Stop routing from a work type or a queue (`sites/{site}/queues/{queue}`); return the queues concerned."""
        request = supervision_pb2.PauseQueueRequest(
            name=self.names.work_type(name), reason=reason, request_id=new_request_id()
        )
        return (await self.connection.call(self._stub.PauseQueue, request, repeatable=True)).queues

    async def resume(self, name: str) -> Sequence[supervision_pb2.Queue]:
        """End the pause of a work type or queue; return the queues concerned."""
        request = supervision_pb2.ResumeQueueRequest(
            name=self.names.work_type(name), request_id=new_request_id()
        )
        return (await self.connection.call(self._stub.ResumeQueue, request, repeatable=True)).queues

    def queues(self, filter: str = "") -> AsyncGenerator[supervision_pb2.Queue, None]:
        """Yield the queues that hold tasks."""
        request = supervision_pb2.ListQueuesRequest(parent=self.names.parent, filter=filter)

        async def fetch(token: str) -> supervision_pb2.ListQueuesResponse:
            request.page_token = token
            return await self.connection.call(self._stub.ListQueues, request, repeatable=True)

        return pages(fetch, lambda page: page.queues)

    # Agents.

    async def get_agent(self, agent: str) -> common_pb2.Agent:
        """Return an agent's profile and status. Raises NotFoundError."""
        request = agents_pb2.GetAgentRequest(name=self.names.agent(agent))
        return await self.connection.call(self._agents.GetAgent, request, repeatable=True)

    def agents(self, filter: str = "") -> AsyncGenerator[common_pb2.Agent, None]:
        """Yield the agents that match a filter such as `state = AVAILABLE AND blending_group = "cards"`."""
        request = agents_pb2.ListAgentsRequest(parent=self.names.parent, filter=filter)

        async def fetch(token: str) -> agents_pb2.ListAgentsResponse:
            request.page_token = token
            return await self.connection.call(self._agents.ListAgents, request, repeatable=True)

        return pages(fetch, lambda page: page.agents)

    async def create_agent(self, agent_id: str, profile: common_pb2.Agent) -> common_pb2.Agent:
        """Create a profile; its `blending_group` may be an id. Raises AlreadyExistsError."""
        request = agents_pb2.CreateAgentRequest(
            parent=self.names.parent,
            agent_id=agent_id,
            agent=self._complete(profile),
            request_id=new_request_id(),
        )
        return await self.connection.call(self._agents.CreateAgent, request, repeatable=True)

    async def update_agent(self, agent: common_pb2.Agent, mask: Iterable[str] = ()) -> common_pb2.Agent:
        """Change the fields of a profile that `mask` names, or each that is set. Raises ConflictError (etag)."""
        request = agents_pb2.UpdateAgentRequest(
            agent=self._complete(agent),
            update_mask=FieldMask(paths=list(mask)),
            request_id=new_request_id(),
        )
        return await self.connection.call(self._agents.UpdateAgent, request, repeatable=True)

    async def apply_agent(self, agent_id: str, profile: common_pb2.Agent) -> common_pb2.Agent:
        """Create a profile, or make the one that exists equal to this one."""
        try:
            current = await self.get_agent(agent_id)
        except NotFoundError:
            return await self.create_agent(agent_id, profile)
        wanted = common_pb2.Agent()
        wanted.CopyFrom(profile)
        wanted.name, wanted.etag = self.names.agent(agent_id), profile.etag or current.etag
        return await self.update_agent(wanted, AGENT_PROFILE)

    async def delete_agent(self, agent: str, *, etag: str = "") -> None:
        """Remove the profile of an agent who holds nothing. Raises NotFoundError, PreconditionError."""
        request = agents_pb2.DeleteAgentRequest(
            name=self.names.agent(agent), etag=etag, request_id=new_request_id()
        )
        await self.connection.call(self._agents.DeleteAgent, request, repeatable=True)

    async def drain(self, agent: str, reason: str = "", *, recall: bool = False) -> common_pb2.Agent:
        """Give an agent no more tasks; with `recall` take back the interruptible ones too."""
        request = supervision_pb2.DrainAgentRequest(
            name=self.names.agent(agent), recall=recall, reason=reason, request_id=new_request_id()
        )
        return await self.connection.call(self._stub.DrainAgent, request, repeatable=True)

    async def undrain(self, agent: str) -> common_pb2.Agent:
        """End a drain."""
        request = supervision_pb2.UndrainAgentRequest(
            name=self.names.agent(agent), request_id=new_request_id()
        )
        return await self.connection.call(self._stub.UndrainAgent, request, repeatable=True)

    async def recall(
        self,
        group: str,
        *,
        count: int | None = None,
        agents: Iterable[str] = (),
        notice_s: float | None = None,
        reason: str = "",
    ) -> supervision_pb2.RecallAgentsResponse:
        """Recall so many agents of a group, or those named, from interruptible tasks, with `notice_s` to save.

        It is not repeated by itself: after UnavailableError look first who is on tasks still.
        """
        named = [self.names.agent(agent) for agent in agents]
        request = supervision_pb2.RecallAgentsRequest(
            blending_group=self.names.group(group),
            notice=None if notice_s is None else duration(notice_s),
            reason=reason,
        )
        if named:
            request.agents.names.extend(named)
        else:
            request.count = 1 if count is None else count
        return await self.connection.call(self._stub.RecallAgents, request, repeatable=bool(named))

    # Explanations.

    async def explain_task(
        self, task: str, *, max_candidates: int = 5
    ) -> supervision_pb2.ExplainTaskResponse:
        """Say why a task is where it is, and which agents are nearest to it."""
        request = supervision_pb2.ExplainTaskRequest(
            name=self.names.task(task), max_candidates=max_candidates
        )
        return await self.connection.call(self._stub.ExplainTask, request, repeatable=True)

    async def explain_agent(self, agent: str, task: str = "") -> supervision_pb2.ExplainAgentResponse:
        """Say why an agent got, or does not get, a task: the one named, or whichever would be next."""
        request = supervision_pb2.ExplainAgentRequest(
            name=self.names.agent(agent), task=self.names.task(task)
        )
        return await self.connection.call(self._stub.ExplainAgent, request, repeatable=True)

    def _complete(self, profile: common_pb2.Agent) -> common_pb2.Agent:
        made = common_pb2.Agent()
        made.CopyFrom(profile)
        made.blending_group = self.names.group(profile.blending_group)
        return made
