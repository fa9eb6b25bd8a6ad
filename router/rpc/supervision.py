"""SupervisionService: what supervisors call.

Its changes are repeatable by nature: a gate, a pause, a drain or a priority that is set twice is set; policies remember
the request ids of their latest changes. Elsewhere `request_id` is checked for its form.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from router.dispatch.caller import Caller
from router.dispatch.explain import MOST_LISTED
from router.dispatch.policy_book import PolicyRecord
from router.dispatch.router import Router
from router.dispatch.supervision import Supervision
from router.domain.model import GateMode
from router.domain.ports import QueueFigures
from router.policies.blending import PolicyDocument
from router.rpc import filters, names, paging
from router.rpc.auth import caller
from router.rpc.convert import agents, runs, tasks
from router.rpc.convert import supervision as convert
from router.rpc.validate import HOUR_MS, MAX_BATCH, MAX_DOCUMENT, MAX_REASON, Check
from router.simulation.runs import Runs
from router.v1 import agents_pb2, common_pb2, supervision_pb2_grpc
from router.v1 import supervision_pb2 as pb

MAX_COMMENT = 1000
MAX_VERSION_PAGE = 100
DEFAULT_VERSION_PAGE = 20
MAX_RECALLED = 500
MAX_CANDIDATES = MOST_LISTED
DEFAULT_CANDIDATES = 5
DEFAULT_INTERVAL_MS, MIN_INTERVAL_MS, MAX_INTERVAL_MS = 1000, 200, 60_000
MAX_GROUPS = 500
_SPANS_MS = (60_000, 31 * 24 * HOUR_MS)
_VERSION_DIGITS = 12
_POLICY_FIELDS = ("document", "comment")
_QUEUE_FIELDS: dict[str, tuple[filters.Reader, bool]] = {
    "work_type": (filters.last_part, False),
    "paused": (filters.flag, False),
}


class SupervisionService(supervision_pb2_grpc.SupervisionServiceServicer):
    """Translates; the use cases are in router.dispatch.supervision."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._use: Supervision = router.supervision
        self._runs = Runs(router.store, router.clock, router.book, router.work_types)

    # -- policies --------------------------------------------------------------------------------------
    async def GetPolicy(self, request: pb.GetPolicyRequest, context: Any) -> pb.Policy:  # noqa: N802
        """The active version, or the one asked for."""
        who = caller()
        record = await self._use.get_policy(who, names.parse(request.name, names.POLICY, who.site))
        version = request.version if request.HasField("version") else record.active
        return await self._policy_out(who, record, version)

    async def ListPolicyVersions(  # noqa: N802
        self, request: pb.ListPolicyVersionsRequest, context: Any
    ) -> pb.ListPolicyVersionsResponse:
        """The stored versions, newest first."""
        who = caller()
        group = names.parse(request.name, names.POLICY, who.site)
        check = Check(who.site)
        size = check.page_size(request.page_size, MAX_VERSION_PAGE, DEFAULT_VERSION_PAGE)
        check.done()
        record = await self._use.get_policy(who, group)
        newest_first = [stored.version for stored in reversed(record.versions)]
        page, token = paging.page_of(newest_first, _descending, request.page_token, size, "versions", group)
        trials = await self._use.policy_trials(who, group)
        return pb.ListPolicyVersionsResponse(
            policies=[convert.policy_out(who.site, record, version, trials, whole=False) for version in page],
            next_page_token=token,
        )

    async def ValidatePolicy(  # noqa: N802
        self, request: pb.ValidatePolicyRequest, context: Any
    ) -> pb.ValidatePolicyResponse:
        """What is wrong with a document, or how it is understood."""
        who = caller()
        check = Check(who.site)
        check.optional_name("name", request.name, names.POLICY)
        check.data("document", request.document.encode(), MAX_DOCUMENT)
        check.done()
        problems = await self._use.validate_policy(who, request.document)
        return pb.ValidatePolicyResponse(
            valid=not problems,
            problems=convert.problems_out(problems),
            metadata=None if problems else convert.metadata_out(PolicyDocument.parse(request.document)),
        )

    async def UpdatePolicy(self, request: pb.UpdatePolicyRequest, context: Any) -> pb.Policy:  # noqa: N802
        """Store a document as a new version. What the mask leaves out is as in the latest version."""
        who = caller()
        policy = request.policy
        check = Check(who.site)
        group = check.name("policy.name", policy.name, names.POLICY)
        check.data("policy.document", policy.document.encode(), MAX_DOCUMENT)
        check.text("policy.comment", policy.comment, MAX_COMMENT)
        check.request_id(request.request_id)
        taken = check.mask(request.update_mask.paths, _POLICY_FIELDS, _POLICY_FIELDS)
        check.done()
        document = policy.document
        if "document" not in taken:
            latest = await self._use.get_policy(who, group)
            document = latest.text_of(latest.latest)
        comment = policy.comment if "comment" in taken else ""
        etag, request_id = check.etag(policy.etag), request.request_id
        record = await self._use.put_policy(who, group, document, etag, comment, request_id)
        return await self._policy_out(who, record, record.answered(request_id) or record.latest)

    async def ActivatePolicy(self, request: pb.ActivatePolicyRequest, context: Any) -> pb.Policy:  # noqa: N802
        """Let a version decide."""
        who = caller()
        check = Check(who.site)
        group = check.name("name", request.name, names.POLICY)
        check.not_negative("version", request.version)
        check.request_id(request.request_id)
        check.done()
        etag = check.etag(request.etag)
        record = await self._use.activate_policy(who, group, request.version, etag, request.request_id)
        active = await self._policy_out(who, record, record.active)
        active.warnings.extend(convert.activation_warnings(active))
        return active

    async def RollbackPolicy(self, request: pb.RollbackPolicyRequest, context: Any) -> pb.Policy:  # noqa: N802
        """Let the version decide that decided before."""
        who = caller()
        check = Check(who.site)
        group = check.name("name", request.name, names.POLICY)
        check.request_id(request.request_id)
        check.done()
        record = await self._use.rollback_policy(who, group, check.etag(request.etag), request.request_id)
        return await self._policy_out(who, record, record.active)

    async def SetShadowPolicy(  # noqa: N802
        self, request: pb.SetShadowPolicyRequest, context: Any
    ) -> pb.Policy:
        """Let a version decide beside the active one."""
        who = caller()
        check = Check(who.site)
        group = check.name("name", request.name, names.POLICY)
        version = check.not_negative("version", request.version) if request.HasField("version") else None
        check.request_id(request.request_id)
        check.done()
        record = await self._use.set_shadow(who, group, version, check.etag(request.etag), request.request_id)
        return await self._policy_out(who, record, record.active)

    async def GetPolicyComparison(  # noqa: N802
        self, request: pb.GetPolicyComparisonRequest, context: Any
    ) -> pb.PolicyComparison:
        """The shadow beside the active version."""
        who = caller()
        group = names.parse(request.name, names.POLICY, who.site)
        return runs.comparison_out(who.site, group, await self._use.comparison(who, group))

    async def ReplayPolicy(  # noqa: N802
        self, request: pb.ReplayPolicyRequest, context: Any
    ) -> AsyncIterator[pb.ReplayPolicyResponse]:
        """Decide what was recorded again."""
        who = caller()
        check = Check(who.site)
        group = check.name("name", request.name, names.POLICY)
        span_ms = _span_of(check, request)
        check.done()
        async with aclosing(self._runs.replay(who.site, group, span_ms)) as answers:
            async for answer in answers:
                yield runs.replay_out(answer)

    async def SimulatePolicy(  # noqa: N802
        self, request: pb.SimulatePolicyRequest, context: Any
    ) -> AsyncIterator[pb.SimulatePolicyResponse]:
        """Play what was recorded under a candidate."""
        who = caller()
        check = Check(who.site)
        group = check.name("name", request.name, names.POLICY)
        candidate: int | str = request.version
        if request.WhichOneof("candidate") is None:
            check.add("candidate", "is missing; give a version or a document")
        elif request.HasField("document"):
            check.data("document", request.document.encode(), MAX_DOCUMENT)
            candidate = request.document
        else:
            check.not_negative("version", request.version)
        span_ms = _span_of(check, request)
        check.done()
        async with aclosing(self._runs.simulate(who.site, group, candidate, span_ms)) as answers:
            async for answer in answers:
                yield runs.simulation_out(answer)

    async def _policy_out(self, who: Caller, record: PolicyRecord, version: int) -> pb.Policy:
        trials = await self._use.policy_trials(who, record.group)
        return convert.policy_out(who.site, record, version, trials)

    # -- figures ---------------------------------------------------------------------------------------
    async def GetFigures(self, request: pb.GetFiguresRequest, context: Any) -> pb.Figures:  # noqa: N802
        """The figures of now."""
        who = caller()
        names.check_parent(request.parent, who.site)
        groups = _groups_in(request.blending_groups, who.site)
        await self._use.check_groups(who, sorted(groups))
        return convert.figures_out(who.site, await self._use.figures(who), groups)

    async def WatchFigures(  # noqa: N802
        self, request: pb.WatchFiguresRequest, context: Any
    ) -> AsyncIterator[pb.WatchFiguresResponse]:
        """The figures at each interval."""
        who = caller()
        names.check_parent(request.parent, who.site)
        groups = _groups_in(request.blending_groups, who.site)
        await self._use.check_groups(who, sorted(groups))
        interval_ms = DEFAULT_INTERVAL_MS
        if request.HasField("interval"):
            check = Check(who.site)
            interval_ms = check.duration("interval", request.interval, MIN_INTERVAL_MS, MAX_INTERVAL_MS)
            check.done()
        async for figures in self._use.watch_figures(who, interval_ms):
            yield pb.WatchFiguresResponse(figures=convert.figures_out(who.site, figures, groups))

    async def ListBlendingGroups(  # noqa: N802
        self, request: pb.ListBlendingGroupsRequest, context: Any
    ) -> pb.ListBlendingGroupsResponse:
        """The blending groups by name."""
        who = caller()
        names.check_parent(request.parent, who.site)
        check = Check(who.site)
        size = check.page_size(request.page_size)
        check.done()
        groups = sorted((await self._use.figures(who)).groups, key=lambda g: g.view.figures.group)
        page, token = paging.page_of(
            groups, lambda g: g.view.figures.group, request.page_token, size, "blendingGroups"
        )
        return pb.ListBlendingGroupsResponse(
            blending_groups=[convert.group_out(who.site, group) for group in page], next_page_token=token
        )

    # -- steer -----------------------------------------------------------------------------------------
    async def SetGate(self, request: pb.SetGateRequest, context: Any) -> pb.Gate:  # noqa: N802
        """Open or close a gate by hand, or give it back to the policy."""
        who = caller()
        check = Check(who.site)
        group = check.name("blending_group", request.blending_group, names.GROUP)
        mode = convert.MODES_IN.get(request.mode)
        if mode is None:
            check.add("mode", "is missing; give AUTO, OPEN or CLOSED")
        if mode in (GateMode.OPEN, GateMode.CLOSED):
            check.required_text("reason", request.reason, MAX_REASON)
        until_ms = check.time("expire_time", request.expire_time) if request.HasField("expire_time") else 0
        check.request_id(request.request_id)
        check.done()
        gate = await self._use.set_gate(who, group, mode or GateMode.AUTO, request.reason, until_ms)
        return convert.gate_out(who.site, gate)

    async def ReassignTask(self, request: pb.ReassignTaskRequest, context: Any) -> common_pb2.Task:  # noqa: N802
        """Give a task to an agent."""
        who = caller()
        check = Check(who.site)
        task = check.name("name", request.name, names.TASK)
        agent = check.name("agent", request.agent, names.AGENT)
        reason = check.text("reason", request.reason, MAX_REASON)
        check.request_id(request.request_id)
        check.done()
        etag = check.etag(request.etag)
        moved = await self._use.reassign(who, task, agent, request.force, reason, etag)
        return tasks.task_out(who.site, moved)

    async def ReprioritizeTask(  # noqa: N802
        self, request: pb.ReprioritizeTaskRequest, context: Any
    ) -> common_pb2.Task:
        """Change a task's priority, due time or both."""
        who = caller()
        check = Check(who.site)
        task = check.name("name", request.name, names.TASK)
        fields: dict[str, object] = {}
        if request.HasField("priority"):
            fields["priority"] = check.number("priority", request.priority, 0, 100)
        if request.HasField("due_time"):
            fields["due_ms"] = check.time("due_time", request.due_time)
        if not fields:
            check.add("priority", "is missing; give a priority, a due_time or both")
        reason = check.text("reason", request.reason, MAX_REASON)
        check.request_id(request.request_id)
        check.done()
        changed = await self._router.tasks.update(who, task, fields, check.etag(request.etag), reason)
        return tasks.task_out(who.site, changed)

    async def PauseQueue(self, request: pb.PauseQueueRequest, context: Any) -> pb.PauseQueueResponse:  # noqa: N802
        """Stop routing from a queue or a work type."""
        queues = await self._set_paused(request.name, request.request_id, True, request.reason)
        return pb.PauseQueueResponse(queues=queues)

    async def ResumeQueue(self, request: pb.ResumeQueueRequest, context: Any) -> pb.ResumeQueueResponse:  # noqa: N802
        """End a pause."""
        queues = await self._set_paused(request.name, request.request_id, False, "")
        return pb.ResumeQueueResponse(queues=queues)

    async def _set_paused(self, name: str, request_id: str, paused: bool, reason: str) -> list[pb.Queue]:
        who = caller()
        collection, id = names.parse_any(name, (names.WORK_TYPE, names.QUEUE), who.site)
        check = Check(who.site)
        check.text("reason", reason, MAX_REASON)
        check.request_id(request_id)
        check.done()
        by_type = collection == names.WORK_TYPE
        if by_type:
            await self._router.work_types.get(who, id)
        await self._use.pause(who, f"wt:{id}" if by_type else f"q:{id}", paused, reason)
        return await self._queues_out(
            [
                q
                async for q in self._every_queue()
                if id == (q.spec.work_type if by_type else q.id.rstrip("!"))
            ]
        )

    async def _every_queue(self) -> AsyncIterator[QueueFigures]:
        cursor = ""
        while True:
            queues, cursor = await self._use.queues(caller(), cursor, MAX_BATCH)
            for queue in queues:
                yield queue
            if not cursor:
                return

    async def _queues_out(self, queues: Sequence[QueueFigures]) -> list[pb.Queue]:
        now_ms, reasons = self._router.clock.now_ms(), await self._use.paused(caller())
        return [convert.queue_out(caller().site, queue, now_ms, reasons) for queue in queues[:MAX_BATCH]]

    async def ListQueues(self, request: pb.ListQueuesRequest, context: Any) -> pb.ListQueuesResponse:  # noqa: N802
        """The queues that hold tasks; with a filter a page may be short although more follow."""
        who = caller()
        names.check_parent(request.parent, who.site)
        check = Check(who.site)
        size = check.page_size(request.page_size)
        check.done()
        conditions = filters.parse(request.filter, _QUEUE_FIELDS)
        question = ("queues", request.filter)
        queues, cursor = await self._use.queues(who, paging.decode(request.page_token, *question), size)
        return pb.ListQueuesResponse(
            queues=await self._queues_out(filters.kept(queues, conditions, _value_of)),
            next_page_token=paging.encode(cursor, *question),
        )

    async def DrainAgent(self, request: pb.DrainAgentRequest, context: Any) -> common_pb2.Agent:  # noqa: N802
        """Give an agent no more tasks."""
        who = caller()
        check = Check(who.site)
        id = check.name("name", request.name, names.AGENT)
        reason = check.text("reason", request.reason, MAX_REASON)
        check.request_id(request.request_id)
        check.done()
        agent = await self._use.drain_agent(who, id, True, reason, request.recall)
        return agents.agent_out(who.site, agent)

    async def UndrainAgent(self, request: pb.UndrainAgentRequest, context: Any) -> common_pb2.Agent:  # noqa: N802
        """End a drain."""
        who = caller()
        check = Check(who.site)
        id = check.name("name", request.name, names.AGENT)
        check.request_id(request.request_id)
        check.done()
        return agents.agent_out(who.site, await self._use.drain_agent(who, id, False))

    async def RecallAgents(  # noqa: N802
        self, request: pb.RecallAgentsRequest, context: Any
    ) -> pb.RecallAgentsResponse:
        """Recall so many agents, or those named."""
        who = caller()
        check = Check(who.site)
        group = check.name("blending_group", request.blending_group, names.GROUP)
        by_count = request.WhichOneof("selection") == "count"
        ids = check.at_most("agents.names", request.agents.names, MAX_RECALLED)
        named = [check.name(f"agents.names[{i}]", name, names.AGENT) for i, name in enumerate(ids)]
        if by_count:
            check.number("count", request.count, 1, MAX_RECALLED)
        elif not named:
            check.add("selection", "is missing; give a count or the names of agents")
        notice_ms = None
        if request.HasField("notice"):
            notice_ms = check.duration("notice", request.notice, 0, HOUR_MS)
        check.text("reason", request.reason, MAX_REASON)
        check.done()
        count = request.count if by_count else 0
        recalled = await self._use.recall(who, group, count, named, request.reason, notice_ms)
        return convert.recalled_out(who.site, recalled, request.reason)

    # -- why -------------------------------------------------------------------------------------------
    async def ExplainTask(  # noqa: N802
        self, request: pb.ExplainTaskRequest, context: Any
    ) -> pb.ExplainTaskResponse:
        """Why a task is where it is."""
        who = caller()
        check = Check(who.site)
        id = check.name("name", request.name, names.TASK)
        limit = check.number("max_candidates", request.max_candidates, 0, MAX_CANDIDATES)
        check.done()
        explanation = await self._use.explain_task(who, id)
        task = await self._router.tasks.get(who, id)
        return pb.ExplainTaskResponse(
            task=tasks.task_out(who.site, task, tasks.SUMMARY),
            explanation=convert.explanation_out(who.site, explanation),
            candidates=convert.candidates_out(who.site, explanation, limit or DEFAULT_CANDIDATES),
        )

    async def ExplainAgent(  # noqa: N802
        self, request: pb.ExplainAgentRequest, context: Any
    ) -> pb.ExplainAgentResponse:
        """Why an agent got, or does not get, a task."""
        who = caller()
        check = Check(who.site)
        id = check.name("name", request.name, names.AGENT)
        task = check.optional_name("task", request.task, names.TASK)
        check.done()
        explanation = await self._use.explain_agent(who, id, task)
        agent = await self._router.agents.get_agent(who, id)
        pull = explanation.pull
        return pb.ExplainAgentResponse(
            agent=agents.agent_out(who.site, agent),
            explanation=convert.explanation_out(who.site, explanation),
            task=names.name(who.site, names.TASK, explanation.task),
            no_task_reason=agents.NO_TASK_REASONS[pull] if pull else agents_pb2.NO_TASK_REASON_UNSPECIFIED,
        )


def _span_of(check: Check, request: pb.ReplayPolicyRequest | pb.SimulatePolicyRequest) -> int | None:
    return check.duration("span", request.span, *_SPANS_MS) if request.HasField("span") else None


def _descending(version: int) -> str:
    """A key by which higher versions come first."""
    return f"{10**_VERSION_DIGITS - version:0{_VERSION_DIGITS}d}"


def _groups_in(wanted: Any, site: str) -> frozenset[str]:
    check = Check(site)
    groups = frozenset(
        check.name(f"blending_groups[{i}]", name, names.GROUP)
        for i, name in enumerate(check.at_most("blending_groups", wanted, MAX_GROUPS))
    )
    check.done()
    return groups


def _value_of(queue: QueueFigures, condition: filters.Condition) -> Any:
    return queue.spec.work_type if condition.field == "work_type" else queue.paused
