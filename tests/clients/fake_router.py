"""A router of a few hundred lines, on a real socket: what the clients' tests talk to.

It keeps tasks, work types and agents in dicts and knows no rules; the tests script what it says on the streams.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.empty_pb2 import Empty
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from clients.values import duration
from router.v1 import (
    agents_pb2,
    agents_pb2_grpc,
    common_pb2,
    supervision_pb2,
    supervision_pb2_grpc,
    tasks_pb2,
    tasks_pb2_grpc,
    telephony_pb2,
    telephony_pb2_grpc,
)

SITE = "sites/default"
Response = agents_pb2.SessionResponse
Report = telephony_pb2.ReportRequest


def rich(code: grpc.StatusCode, message: str, reason: str = "", field: str = "") -> tuple[Any, ...]:
    """Return the arguments of `context.abort` for a rich error."""
    status = status_pb2.Status(code=code.value[0], message=message)
    details: list[Any] = [
        error_details_pb2.ErrorInfo(reason=reason, domain="router.v1", metadata={"holder": "bob"})
    ]
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    for detail in details:
        packed = Packed()
        packed.Pack(detail)
        status.details.append(packed)
    return code, message, (("grpc-status-details-bin", status.SerializeToString()),)


class FakeRouter:
    """Starts, stops, and starts again on the same port."""

    def __init__(self) -> None:
        self.address = ""
        self.authorizations: list[str] = []
        self.calls: list[str] = []
        # The next calls of a method end so; see `rich`.
        self.failures: dict[str, list[tuple[Any, ...]]] = {}
        self.tasks = FakeTasks(self)
        self.agents = FakeAgents(self)
        self.telephony = FakeTelephony(self)
        self.supervision = FakeSupervision(self)
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        tasks_pb2_grpc.add_TaskServiceServicer_to_server(self.tasks, self._server)
        agents_pb2_grpc.add_AgentServiceServicer_to_server(self.agents, self._server)
        telephony_pb2_grpc.add_TelephonyServiceServicer_to_server(self.telephony, self._server)
        supervision_pb2_grpc.add_SupervisionServiceServicer_to_server(self.supervision, self._server)
        state = health.aio.HealthServicer()
        await state.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(state, self._server)
        port = self._server.add_insecure_port(self.address or "127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)

    async def enter(self, method: str, context: Any) -> None:
        """Note a call, and fail it if a test said so."""
        self.calls.append(method)
        self.authorizations.append(dict(context.invocation_metadata()).get("authorization", ""))
        if self.failures.get(method):
            await context.abort(*self.failures[method].pop(0))


class FakeTasks(tasks_pb2_grpc.TaskServiceServicer):
    """Keeps tasks and work types."""

    def __init__(self, router: FakeRouter) -> None:
        self._router = router
        self.stored: dict[str, common_pb2.Task] = {}
        self.requests: dict[str, str] = {}
        self.work_types: dict[str, tasks_pb2.WorkType] = {}
        self.events: list[tasks_pb2.WatchTasksResponse] = []
        self.changed = asyncio.Event()
        self.watch_from: list[str] = []
        # A watch or submit stream breaks after so many messages.
        self.break_after: list[int] = []
        self.refuse: Callable[[tasks_pb2.SubmitTaskRequest], common_pb2.Status | None] = lambda _: None

    def put(self, request: tasks_pb2.SubmitTaskRequest) -> tuple[common_pb2.Task, bool]:
        known = self.requests.get(request.request_id)
        if known:
            return self.stored[known], True
        name = f"{SITE}/tasks/{request.task_id or f't{len(self.stored) + 1}'}"
        task = common_pb2.Task()
        task.CopyFrom(request.task)
        task.name, task.state, task.etag = name, common_pb2.TASK_STATE_QUEUED, "1"
        if "/" not in task.work_type:
            task.work_type = f"{SITE}/workTypes/{task.work_type}"
        self.stored[name], self.requests[request.request_id] = task, name
        self.tell(task, "submit")
        return task, False

    def tell(self, task: common_pb2.Task, operation: str) -> None:
        step = common_pb2.TaskTransition(operation=operation, to_state=task.state, actor="router")
        event = tasks_pb2.TaskEvent(task=task.name, transition=step)
        self.events.append(tasks_pb2.WatchTasksResponse(event=event, resume_token=str(len(self.events) + 1)))
        self.changed.set()

    def end(self, name: str) -> None:
        self.stored[name].state = common_pb2.TASK_STATE_COMPLETED
        self.tell(self.stored[name], "complete")

    def result(self, request: tasks_pb2.SubmitTaskRequest) -> tasks_pb2.SubmitResult:
        refused = self.refuse(request)
        if refused is not None:
            return tasks_pb2.SubmitResult(status=refused)
        task, existing = self.put(request)
        return tasks_pb2.SubmitResult(name=task.name, existing=existing, etag=task.etag)

    async def SubmitTask(self, request: Any, context: Any) -> common_pb2.Task:  # noqa: N802
        await self._router.enter("SubmitTask", context)
        refused = self.refuse(request)
        if refused is not None:
            await context.abort(
                *rich(grpc.StatusCode.INVALID_ARGUMENT, refused.message, refused.reason, refused.field)
            )
        return self.put(request)[0]

    async def BatchSubmitTasks(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._router.enter("BatchSubmitTasks", context)
        return tasks_pb2.BatchSubmitTasksResponse(results=map(self.result, request.requests))

    async def SubmitTasks(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        await self._router.enter("SubmitTasks", context)
        left = self.break_after.pop(0) if self.break_after else -1
        async for request in request_iterator:
            result = self.result(request.request)
            if left == 0:
                # Stored, but the answer is lost: the client must repeat it without a second task.
                await context.abort(*rich(grpc.StatusCode.UNAVAILABLE, "broken", "DRAINING"))
            left -= 1
            yield tasks_pb2.SubmitTasksResponse(correlation_id=request.correlation_id, result=result)

    async def GetTask(self, request: Any, context: Any) -> common_pb2.Task:  # noqa: N802
        await self._router.enter("GetTask", context)
        if request.name not in self.stored:
            await context.abort(*rich(grpc.StatusCode.NOT_FOUND, f"there is no {request.name}", "NOT_FOUND"))
        return self.stored[request.name]

    async def ListTasks(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._router.enter("ListTasks", context)
        start = int(request.page_token or 0)
        size = request.page_size or 2
        names = sorted(self.stored)[start : start + size]
        more = str(start + size) if start + size < len(self.stored) else ""
        return tasks_pb2.ListTasksResponse(tasks=[self.stored[n] for n in names], next_page_token=more)

    async def UpdateTask(self, request: Any, context: Any) -> common_pb2.Task:  # noqa: N802
        await self._router.enter("UpdateTask", context)
        request.update_mask.MergeMessage(
            request.task, self.stored[request.task.name], replace_message_field=True
        )
        return self.stored[request.task.name]

    async def CancelTask(self, request: Any, context: Any) -> common_pb2.Task:  # noqa: N802
        await self._router.enter("CancelTask", context)
        task = self.stored[request.name]
        task.state, task.end_reason = common_pb2.TASK_STATE_CANCELED, request.reason
        self.tell(task, "cancel")
        return task

    async def WatchTasks(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        await self._router.enter("WatchTasks", context)
        self.watch_from.append(request.resume_token)
        left = self.break_after.pop(0) if self.break_after else -1
        place = int(request.resume_token or 0)
        while True:
            for message in self.events[place:]:
                if left == 0:
                    await context.abort(*rich(grpc.StatusCode.UNAVAILABLE, "broken", "DRAINING"))
                left -= 1
                place += 1
                yield message
            self.changed.clear()
            await self.changed.wait()

    async def GetWorkType(self, request: Any, context: Any) -> tasks_pb2.WorkType:  # noqa: N802
        await self._router.enter("GetWorkType", context)
        if request.name not in self.work_types:
            await context.abort(*rich(grpc.StatusCode.NOT_FOUND, f"there is no {request.name}", "NOT_FOUND"))
        return self.work_types[request.name]

    async def CreateWorkType(self, request: Any, context: Any) -> tasks_pb2.WorkType:  # noqa: N802
        await self._router.enter("CreateWorkType", context)
        name = f"{SITE}/workTypes/{request.work_type_id}"
        request.work_type.name, request.work_type.etag = name, "1"
        self.work_types[name] = request.work_type
        return self.work_types[name]

    async def UpdateWorkType(self, request: Any, context: Any) -> tasks_pb2.WorkType:  # noqa: N802
        await self._router.enter("UpdateWorkType", context)
        self.work_types[request.work_type.name] = request.work_type
        return self.work_types[request.work_type.name]

    async def ListWorkTypes(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._router.enter("ListWorkTypes", context)
        return tasks_pb2.ListWorkTypesResponse(work_types=self.work_types.values())

    async def DeleteWorkType(self, request: Any, context: Any) -> Empty:  # noqa: N802
        await self._router.enter("DeleteWorkType", context)
        self.work_types.pop(request.name, None)
        return Empty()


class FakeSession:
    """One session stream as the router sees it."""

    def __init__(self) -> None:
        self.heard: list[agents_pb2.SessionRequest] = []
        self.outbox: asyncio.Queue[Response | tuple[Any, ...] | None] = asyncio.Queue()
        self._revisions = itertools.count(1)

    def say(self, **message: Any) -> None:
        """Send a message."""
        self.outbox.put_nowait(Response(revision=next(self._revisions), **message))

    def end(self, *status: Any) -> None:
        """End the stream, well or with a status (see `rich`)."""
        self.outbox.put_nowait(status or None)

    def kinds(self) -> list[str]:
        """The kinds of messages heard, heartbeats left out."""
        kinds = [request.WhichOneof("message") or "" for request in self.heard]
        return [kind for kind in kinds if kind != "heartbeat"]


class FakeAgents(agents_pb2_grpc.AgentServiceServicer):
    """Opens sessions; by default every request is answered well."""

    def __init__(self, router: FakeRouter) -> None:
        self._router = router
        self.sessions: list[FakeSession] = []
        self.snapshot = Response.Snapshot(
            agent=common_pb2.Agent(name=f"{SITE}/agents/alice"),
            limits=Response.Limits(heartbeat_interval=duration(0.2)),
        )
        self.silent = False
        self.answer: Callable[[agents_pb2.SessionRequest], Response.Result | None] = good_result
        self.next_answers: list[agents_pb2.GetNextTaskResponse] = []
        self.profiles: dict[str, common_pb2.Agent] = {}

    @property
    def session(self) -> FakeSession:
        return self.sessions[-1]

    async def Session(self, request_iterator: Any, context: Any) -> AsyncIterator[Response]:  # noqa: N802
        await self._router.enter("Session", context)
        session = FakeSession()
        self.sessions.append(session)
        reader = asyncio.create_task(self._hear(session, request_iterator))
        try:
            while (message := await session.outbox.get()) is not None:
                if isinstance(message, tuple):
                    await context.abort(*message)
                else:
                    yield message
        finally:
            reader.cancel()

    async def _hear(self, session: FakeSession, requests: Any) -> None:
        async for request in requests:
            session.heard.append(request)
            if self.silent:
                continue
            if request.HasField("hello"):
                session.say(snapshot=self.snapshot)
            elif request.correlation_id:
                result = self.answer(request)
                if result is not None:
                    result.correlation_id = request.correlation_id
                    session.say(result=result)
        session.end()

    async def GetNextTask(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._router.enter("GetNextTask", context)
        if self.next_answers:
            return self.next_answers.pop(0)
        reason = agents_pb2.NO_TASK_REASON_GATE_CLOSED
        return agents_pb2.GetNextTaskResponse(reason=reason, detail="the gate of main is closed")

    async def CompleteTask(self, request: Any, context: Any) -> common_pb2.Task:  # noqa: N802
        await self._router.enter("CompleteTask", context)
        return common_pb2.Task(
            name=request.name, state=common_pb2.TASK_STATE_COMPLETED, result=request.result
        )

    async def CheckpointTask(self, request: Any, context: Any) -> common_pb2.Lease:  # noqa: N802
        await self._router.enter("CheckpointTask", context)
        return lease(request.name, request.fence)

    async def Heartbeat(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._router.enter("Heartbeat", context)
        recalls = [
            common_pb2.Recall(task=held.task, fence=held.fence, reason="calls wait")
            for held in request.held_tasks
        ]
        return agents_pb2.HeartbeatResponse(recalls=recalls)

    async def GetAgent(self, request: Any, context: Any) -> common_pb2.Agent:  # noqa: N802
        await self._router.enter("GetAgent", context)
        if request.name not in self.profiles:
            await context.abort(*rich(grpc.StatusCode.NOT_FOUND, f"there is no {request.name}", "NOT_FOUND"))
        return self.profiles[request.name]

    async def CreateAgent(self, request: Any, context: Any) -> common_pb2.Agent:  # noqa: N802
        await self._router.enter("CreateAgent", context)
        request.agent.name = f"{SITE}/agents/{request.agent_id}"
        self.profiles[request.agent.name] = request.agent
        return self.profiles[request.agent.name]

    async def UpdateAgent(self, request: Any, context: Any) -> common_pb2.Agent:  # noqa: N802
        await self._router.enter("UpdateAgent", context)
        self.profiles[request.agent.name] = request.agent
        return self.profiles[request.agent.name]

    async def ListAgents(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._router.enter("ListAgents", context)
        return agents_pb2.ListAgentsResponse(agents=self.profiles.values())

    async def DeleteAgent(self, request: Any, context: Any) -> Empty:  # noqa: N802
        await self._router.enter("DeleteAgent", context)
        self.profiles.pop(request.name, None)
        return Empty()


class FakeTelephony(telephony_pb2_grpc.TelephonyServiceServicer):
    """Acknowledges reports; by default all of them as applied."""

    def __init__(self, router: FakeRouter) -> None:
        self._router = router
        self.heard: list[Report] = []
        self.commands: asyncio.Queue[telephony_pb2.AcdCommand | tuple[Any, ...]] = asyncio.Queue()
        self.known_epoch = ""
        self.streams = 0
        self.judge: Callable[[Report], telephony_pb2.ReportOutcome.ValueType | None] = applied

    def kinds(self) -> list[str]:
        """The kinds of reports heard, heartbeats left out."""
        return [kind for r in self.heard if (kind := r.WhichOneof("report") or "") != "heartbeat"]

    async def Report(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        await self._router.enter("Report", context)
        self.streams += 1
        answers: asyncio.Queue[Any] = asyncio.Queue()
        tasks = [
            asyncio.create_task(self._hear(request_iterator, answers)),
            asyncio.create_task(self._command(answers)),
        ]
        try:
            while (answer := await answers.get()) is not None:
                if isinstance(answer, tuple):
                    await context.abort(*answer)
                yield answer
        finally:
            for task in tasks:
                task.cancel()

    async def _hear(self, requests: Any, answers: asyncio.Queue[Any]) -> None:
        async for report in requests:
            self.heard.append(report)
            outcome = self.judge(report)
            if report.sequence and outcome is not None:
                status = common_pb2.Status(message="not a state") if outcome == 5 else None
                ack = telephony_pb2.ReportResponse.Ack(
                    sequence=report.sequence, outcome=outcome, applied_sequence=report.sequence, status=status
                )
                answers.put_nowait(telephony_pb2.ReportResponse(ack=ack))
        answers.put_nowait(None)

    async def _command(self, answers: asyncio.Queue[Any]) -> None:
        while True:
            command = await self.commands.get()
            is_end = isinstance(command, tuple)
            answers.put_nowait(command if is_end else telephony_pb2.ReportResponse(command=command))

    async def GetFeedStatus(self, request: Any, context: Any) -> telephony_pb2.FeedStatus:  # noqa: N802
        await self._router.enter("GetFeedStatus", context)
        if not self.known_epoch:
            await context.abort(*rich(grpc.StatusCode.NOT_FOUND, "no such feed", "NOT_FOUND"))
        return telephony_pb2.FeedStatus(name=request.name, epoch=self.known_epoch)

    async def ListFeeds(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._router.enter("ListFeeds", context)
        return telephony_pb2.ListFeedsResponse(
            feeds=[telephony_pb2.FeedStatus(name=f"{SITE}/feeds/pbx1", epoch="e")]
        )


class FakeSupervision(supervision_pb2_grpc.SupervisionServiceServicer):
    """Says the same of every group, and keeps what it is told."""

    def __init__(self, router: FakeRouter) -> None:
        self._router = router
        self.heard: list[Any] = []
        self.gate = supervision_pb2.Gate(
            mode=supervision_pb2.GATE_MODE_AUTO,
            open=True,
            allowance=3,
            reserve=1,
            reserve_firm=2,
            reason="a dip",
        )
        self.versions: list[supervision_pb2.Policy] = []
        self.active = 0
        self.untried: set[int] = set()
        self.replayed = supervision_pb2.ReplayResult(
            decisions=9, decisions_identical=9, plans=2, plans_identical=2
        )
        self.explanation = supervision_pb2.Explanation()

    async def _note(self, method: str, request: Any, context: Any) -> None:
        self.heard.append(request)
        await self._router.enter(method, context)

    def figures(self) -> supervision_pb2.Figures:
        group = supervision_pb2.BlendingGroupFigures(
            name=f"{SITE}/blendingGroups/main",
            gate=self.gate,
            agents=[supervision_pb2.AgentStateFigures(state=common_pb2.AGENT_STATE_AVAILABLE, agents=4)],
            agents_idle=4,
            call_queues=[supervision_pb2.CallQueueFigures(calls_waiting=2, oldest_wait=duration(12))],
            service_level=supervision_pb2.ServiceLevel(
                target_share=0.8, target_time=duration(20), so_far=0.91
            ),
        )
        states = [supervision_pb2.TaskStateFigures(state=common_pb2.TASK_STATE_QUEUED, tasks=7)]
        claims = supervision_pb2.WorkTypeFigures(
            work_type=f"{SITE}/workTypes/claims", states=states, oldest_age=duration(300)
        )
        return supervision_pb2.Figures(
            site=SITE,
            work_types=[claims],
            blending_groups=[group],
            priorities=[supervision_pb2.PriorityFigures(priority=50, tasks=7)],
            counters=supervision_pb2.Counters(recalls=5, completed=9),
        )

    async def WatchFigures(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        await self._note("WatchFigures", request, context)
        while True:
            yield supervision_pb2.WatchFiguresResponse(figures=self.figures())
            await asyncio.sleep(0.05)

    async def GetFigures(self, request: Any, context: Any) -> supervision_pb2.Figures:  # noqa: N802
        await self._note("GetFigures", request, context)
        return self.figures()

    async def SetGate(self, request: Any, context: Any) -> supervision_pb2.Gate:  # noqa: N802
        await self._note("SetGate", request, context)
        self.gate.mode, self.gate.reason = request.mode, request.reason
        self.gate.open = request.mode != supervision_pb2.GATE_MODE_CLOSED
        return self.gate

    async def ListBlendingGroups(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._note("ListBlendingGroups", request, context)
        group = supervision_pb2.BlendingGroup(name=f"{SITE}/blendingGroups/main", gate=self.gate, agents=4)
        return supervision_pb2.ListBlendingGroupsResponse(blending_groups=[group])

    async def UpdatePolicy(self, request: Any, context: Any) -> supervision_pb2.Policy:  # noqa: N802
        await self._note("UpdatePolicy", request, context)
        policy = request.policy
        policy.version = len(self.versions) + 1
        lines = dict(line.split(": ", 1) for line in policy.document.splitlines() if ": " in line)
        policy.metadata.settings.update(lines)
        self.versions.append(policy)
        return policy

    async def GetPolicy(self, request: Any, context: Any) -> supervision_pb2.Policy:  # noqa: N802
        await self._note("GetPolicy", request, context)
        version = request.version if request.HasField("version") else self.active
        policy = supervision_pb2.Policy()
        policy.CopyFrom(self.versions[version - 1])
        policy.active_version, policy.latest_version = self.active, len(self.versions)
        return policy

    async def ListPolicyVersions(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._note("ListPolicyVersions", request, context)
        return supervision_pb2.ListPolicyVersionsResponse(policies=reversed(self.versions))

    async def ValidatePolicy(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._note("ValidatePolicy", request, context)
        valid = "broken" not in request.document
        problem = supervision_pb2.PolicyProblem(path="target_s", message="write a number")
        return supervision_pb2.ValidatePolicyResponse(valid=valid, problems=[] if valid else [problem])

    async def ActivatePolicy(self, request: Any, context: Any) -> supervision_pb2.Policy:  # noqa: N802
        await self._note("ActivatePolicy", request, context)
        self.active = request.version
        warnings = ["it was never tried"] if self.active in self.untried else []
        return supervision_pb2.Policy(name=request.name, active_version=self.active, warnings=warnings)

    async def RollbackPolicy(self, request: Any, context: Any) -> supervision_pb2.Policy:  # noqa: N802
        await self._note("RollbackPolicy", request, context)
        if self.active < 2:
            await context.abort(
                *rich(
                    grpc.StatusCode.FAILED_PRECONDITION, "there is no earlier version", "NO_EARLIER_VERSION"
                )
            )
        self.active -= 1
        return supervision_pb2.Policy(name=request.name, active_version=self.active)

    async def SetShadowPolicy(self, request: Any, context: Any) -> supervision_pb2.Policy:  # noqa: N802
        await self._note("SetShadowPolicy", request, context)
        return supervision_pb2.Policy(name=request.name, active_version=self.active)

    async def GetPolicyComparison(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._note("GetPolicyComparison", request, context)
        figures = supervision_pb2.DecisionFigures
        brief = supervision_pb2.DecisionSummary
        return supervision_pb2.PolicyComparison(
            name=request.name,
            active_version=1,
            shadow_version=2,
            decisions=40,
            equal_share=0.75,
            active=figures(open_share=1.0, mean_allowance=12.5, mean_reserve=2, armed_share=1.0, recalls=7),
            shadow=figures(open_share=0.5, mean_allowance=6.25, mean_reserve=8, recalls=1),
            errors=2,
            last_error="ValueError: no",
            latest=[
                supervision_pb2.DecisionPair(
                    active=brief(open=True, allowance=12, reserve=2, reserve_firm=3, armed=True),
                    shadow=brief(),
                )
            ],
        )

    async def ReplayPolicy(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._note("ReplayPolicy", request, context)
        yield supervision_pb2.ReplayPolicyResponse(
            progress=supervision_pb2.RunProgress(share=0.5, stage="deciding again")
        )
        yield supervision_pb2.ReplayPolicyResponse(result=self.replayed)

    async def SimulatePolicy(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._note("SimulatePolicy", request, context)
        if request.WhichOneof("candidate") == "version" and request.version == 9:
            detail = "nothing is recorded yet: let the router run with --recording-hours above 0"
            await context.abort(*rich(grpc.StatusCode.FAILED_PRECONDITION, detail, "NOTHING_RECORDED"))
        day = supervision_pb2.DayFigures
        result = supervision_pb2.SimulationResult(
            calls=4000,
            agents=41,
            active_version=1,
            recorded=day(service_level=0.81, tasks_done=800, recalls=500, abandoned=40),
            active=day(service_level=0.82, tasks_done=810, tasks_late=3, recalls=510, recovered_share=0.75),
            candidate=day(service_level=0.8, tasks_done=900, tasks_late=1, recalls=400, recovered_share=0.8),
            service_level_without=0.85,
            target_share=0.8,
            trustworthy=True,
        )
        result.active.recovered_time.seconds, result.candidate.recovered_time.seconds = 36_000, 39_600
        yield supervision_pb2.SimulatePolicyResponse(progress=supervision_pb2.RunProgress(share=0.1))
        yield supervision_pb2.SimulatePolicyResponse(result=result)

    async def ExplainTask(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._note("ExplainTask", request, context)
        task = common_pb2.Task(name=request.name, state=common_pb2.TASK_STATE_QUEUED)
        candidate = supervision_pb2.Candidate(
            agent=f"{SITE}/agents/alice",
            verdict=supervision_pb2.VERDICT_NO_SKILLED_AGENT,
            failing=[self.explanation.nearest],
        )
        return supervision_pb2.ExplainTaskResponse(
            task=task, explanation=self.explanation, candidates=[candidate]
        )

    async def ExplainAgent(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._note("ExplainAgent", request, context)
        return supervision_pb2.ExplainAgentResponse(
            agent=common_pb2.Agent(name=request.name),
            explanation=self.explanation,
            task=request.task,
            no_task_reason=agents_pb2.NO_TASK_REASON_NOT_QUALIFIED,
        )

    async def RecallAgents(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._note("RecallAgents", request, context)
        recall = common_pb2.Recall(task=f"{SITE}/tasks/t1", fence=1, reason=request.reason)
        return supervision_pb2.RecallAgentsResponse(
            recalled=[supervision_pb2.RecalledAgent(agent=f"{SITE}/agents/alice", recall=recall)],
            not_recalled=[supervision_pb2.UnrecalledAgent(reason="NOBODY_LEFT")],
        )

    async def PauseQueue(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._note("PauseQueue", request, context)
        return supervision_pb2.PauseQueueResponse(queues=[supervision_pb2.Queue(tasks=3)])

    async def ResumeQueue(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._note("ResumeQueue", request, context)
        return supervision_pb2.ResumeQueueResponse(queues=[supervision_pb2.Queue(tasks=3)])

    async def ListQueues(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._note("ListQueues", request, context)
        queue = supervision_pb2.Queue(name=f"{SITE}/queues/q1", tasks=3, front=True)
        return supervision_pb2.ListQueuesResponse(queues=[queue])

    async def ReassignTask(self, request: Any, context: Any) -> common_pb2.Task:  # noqa: N802
        await self._note("ReassignTask", request, context)
        return common_pb2.Task(name=request.name, state=common_pb2.TASK_STATE_OFFERED, agent=request.agent)

    async def DrainAgent(self, request: Any, context: Any) -> common_pb2.Agent:  # noqa: N802
        await self._note("DrainAgent", request, context)
        return common_pb2.Agent(name=request.name, draining=True)


def lease(name: str, fence: int = 1, **fields: Any) -> common_pb2.Lease:
    """A lease of a task."""
    if "/" not in name:
        name = f"{SITE}/tasks/{name}"
    task = common_pb2.Task(
        name=name, state=common_pb2.TASK_STATE_ACTIVE, fence=fence, work_type=f"{SITE}/workTypes/claims"
    )
    return common_pb2.Lease(task=task, fence=fence, **fields)


def offer(name: str, fence: int = 1) -> common_pb2.Offer:
    """An offer of a task."""
    return common_pb2.Offer(task=lease(name, fence).task, fence=fence, why="you know german")


def recall(name: str, fence: int = 1) -> common_pb2.Recall:
    """A recall of a task."""
    return common_pb2.Recall(task=f"{SITE}/tasks/{name}", fence=fence, reason="calls wait")


def good_result(request: agents_pb2.SessionRequest) -> Response.Result:
    """What a router answers when all is well."""
    kind = request.WhichOneof("message") or ""
    said = getattr(request, kind)
    if kind in ("accept", "resume", "checkpoint", "extend"):
        return Response.Result(lease=lease(said.task, said.fence))
    if kind in ("complete", "park", "release"):
        return Response.Result(task=lease(said.task, said.fence).task)
    return Response.Result()


def applied(report: Report) -> telephony_pb2.ReportOutcome.ValueType:
    """Every report counts."""
    return telephony_pb2.REPORT_OUTCOME_APPLIED
