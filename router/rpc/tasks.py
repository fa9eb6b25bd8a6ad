"""TaskService: what back-office systems call.

`request_id` makes a submit repeatable. The other changes are repeatable by nature: an etag changes with each change, a
task is canceled or revived once, and an update that is repeated writes the same values again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from google.protobuf.empty_pb2 import Empty

from router.dispatch.caller import Caller
from router.dispatch.router import Router
from router.dispatch.tasks import TaskQuery
from router.domain.errors import AlreadyExists, EtagMismatch, InvalidInput, RouterError
from router.domain.model import Task, TaskSpec, TaskState, WorkType
from router.domain.ports import Submitted
from router.rpc import filters, names, paging
from router.rpc.auth import caller
from router.rpc.convert import tasks as convert
from router.rpc.errors import item_status
from router.rpc.streams import Stream
from router.rpc.submits import Submits, SubmitStream
from router.rpc.validate import MAX_BATCH, MAX_REASON, Check
from router.v1 import common_pb2, tasks_pb2_grpc
from router.v1 import tasks_pb2 as pb

WATCH_SILENCE_S = 15.0
MAX_WATCHED = 1000
_WatchStream = Stream[Any, pb.WatchTasksResponse]
_UPDATE_TRIES = 5
"""An update without an etag reads, changes and writes; somebody else may come between."""

_FIELDS: dict[str, tuple[filters.Reader, bool]] = {
    "state": (filters.choice([state.value for state in TaskState]), False),
    "work_type": (filters.last_part, False),
    "agent": (filters.last_part, False),
    "priority": (filters.whole, True),
    "reference": (str, False),
    "customer_reference": (str, False),
    "create_time": (filters.moment, True),
    "due_time": (filters.moment, True),
    "end_time": (filters.moment, True),
    "labels.": (str, False),
}


class TaskService(tasks_pb2_grpc.TaskServiceServicer):
    """Translates; the use cases are in router.dispatch.tasks."""

    def __init__(self, router: Router) -> None:
        self._tasks = router.tasks
        self._work_types = router.work_types
        self._supervision = router.supervision

    # -- submit ----------------------------------------------------------------------------------------
    async def SubmitTask(self, request: pb.SubmitTaskRequest, context: Any) -> common_pb2.Task:  # noqa: N802
        """Store one task."""
        who = caller()
        spec, request_id, task_id = _submit_in(request, who.site)
        submitted = await self._tasks.submit(who, spec, request_id, task_id)
        return convert.task_out(who.site, submitted.task)

    async def BatchSubmitTasks(  # noqa: N802
        self, request: pb.BatchSubmitTasksRequest, context: Any
    ) -> pb.BatchSubmitTasksResponse:
        """Store up to 1000; each has its own answer."""
        who = caller()
        names.check_parent(request.parent, who.site)
        if not 1 <= len(request.requests) <= MAX_BATCH:
            raise InvalidInput([("requests", f"has {len(request.requests)} entries; give 1 to {MAX_BATCH}")])
        return pb.BatchSubmitTasksResponse(results=await self._submit_all(who, request.requests))

    async def SubmitTasks(self, requests: Any, stream: SubmitStream) -> None:  # type: ignore[override]  # noqa: N802
        """Store tasks from a stream; those that come together are stored together."""
        who = caller()
        await Submits(stream, lambda requests: self._submit_all(who, requests)).serve()

    async def _submit_all(
        self, who: Caller, requests: Sequence[pb.SubmitTaskRequest]
    ) -> list[pb.SubmitResult]:
        read = [_tried(request, who.site) for request in requests]
        good = [item for item in read if not isinstance(item, RouterError)]
        stored = iter(await self._tasks.submit_many(who, good))
        return [_result_out(who.site, r if isinstance(r, RouterError) else next(stored)) for r in read]

    # -- look ------------------------------------------------------------------------------------------
    async def GetTask(self, request: pb.GetTaskRequest, context: Any) -> common_pb2.Task:  # noqa: N802
        """One task, as much of it as the view says."""
        who = caller()
        task_id = names.parse(request.name, names.TASK, who.site)
        task = await self._tasks.get(who, task_id)
        steps = await self._tasks.history(who, task_id) if request.view == convert.FULL else ()
        return convert.task_out(who.site, task, request.view, steps)

    async def ListTasks(self, request: pb.ListTasksRequest, context: Any) -> pb.ListTasksResponse:  # noqa: N802
        """A page. Conditions that the use case does not know are applied to what it gives."""
        who = caller()
        names.check_parent(request.parent, who.site)
        check = Check(who.site)
        size = check.page_size(request.page_size)
        if request.view == convert.FULL:
            check.add("view", "FULL is for GetTask only; ask for SUMMARY or BASIC")
        check.done()
        conditions = filters.parse(request.filter, _FIELDS)
        question = ("tasks", request.filter, str(request.view))
        query = _query(conditions)
        if query is None:
            return pb.ListTasksResponse()
        page = await self._tasks.list(who, query, paging.decode(request.page_token, *question), size)
        return pb.ListTasksResponse(
            tasks=[
                convert.task_out(who.site, task, request.view)
                for task in filters.kept(page.tasks, conditions, _value_of)
            ],
            next_page_token=paging.encode(page.cursor, *question),
        )

    # -- change ----------------------------------------------------------------------------------------
    async def UpdateTask(self, request: pb.UpdateTaskRequest, context: Any) -> common_pb2.Task:  # noqa: N802
        """Change what the mask names."""
        who = caller()
        check = Check(who.site, "task.")
        task_id = check.name("name", request.task.name, names.TASK)
        fields = convert.update_in(request.task, request.update_mask.paths, check)
        _check_request_id(request.request_id, check)
        check.done()
        return convert.task_out(
            who.site, await self._tasks.update(who, task_id, fields, check.etag(request.task.etag))
        )

    async def CancelTask(self, request: pb.CancelTaskRequest, context: Any) -> common_pb2.Task:  # noqa: N802
        """Withdraw a task."""
        who = caller()
        check = Check(who.site)
        task_id = check.name("name", request.name, names.TASK)
        reason = check.text("reason", request.reason, MAX_REASON)
        check.request_id(request.request_id)
        check.done()
        return convert.task_out(
            who.site, await self._tasks.cancel(who, task_id, reason, check.etag(request.etag))
        )

    async def ReviveTask(self, request: pb.ReviveTaskRequest, context: Any) -> common_pb2.Task:  # noqa: N802
        """Put a dead letter back."""
        who = caller()
        check = Check(who.site)
        task_id = check.name("name", request.name, names.TASK)
        reason = check.text("reason", request.reason, MAX_REASON)
        check.request_id(request.request_id)
        check.done()
        return convert.task_out(
            who.site, await self._tasks.revive(who, task_id, reason, check.etag(request.etag))
        )

    # -- watch -----------------------------------------------------------------------------------------
    async def WatchTasks(  # type: ignore[override]  # noqa: N802
        self, request: pb.WatchTasksRequest, stream: _WatchStream
    ) -> None:
        """Transitions as they are committed; a sign of life where there are none."""
        who = caller()
        names.check_parent(request.parent, who.site)
        check = Check(who.site)
        wanted = frozenset(
            check.name(f"tasks[{i}]", name, names.TASK)
            for i, name in enumerate(check.at_most("tasks", request.tasks, MAX_WATCHED))
        )
        check.done()
        watch = _Watch(request.resume_token, stream)
        stream.beside(watch.give_signs_of_life)
        async for event in self._tasks.watch(who, wanted, request.resume_token):
            await watch.tell(convert.event_out(who.site, event))

    # -- work types ------------------------------------------------------------------------------------
    async def CreateWorkType(self, request: pb.CreateWorkTypeRequest, context: Any) -> pb.WorkType:  # noqa: N802
        """Create a work type; a repeat with the same request id and content answers the same."""
        who = caller()
        names.check_parent(request.parent, who.site)
        check = Check(who.site)
        check.id("work_type_id", request.work_type_id)
        check.request_id(request.request_id)
        work_type = _work_type_in(request.work_type_id, request.work_type, check)
        try:
            made, etag = await self._work_types.create(who, work_type)
        except AlreadyExists:
            made, etag = await self._work_types.get(who, work_type.id)
            if not request.request_id or made != work_type:
                raise
        return convert.work_type_out(who.site, made, etag, await self._is_paused(who, made.id))

    async def _is_paused(self, who: Caller, work_type: str) -> bool:
        return f"wt:{work_type}" in await self._supervision.paused(who)

    async def GetWorkType(self, request: pb.GetWorkTypeRequest, context: Any) -> pb.WorkType:  # noqa: N802
        """One work type."""
        who = caller()
        id = names.parse(request.name, names.WORK_TYPE, who.site)
        work_type, etag = await self._work_types.get(who, id)
        return convert.work_type_out(who.site, work_type, etag, await self._is_paused(who, id))

    async def ListWorkTypes(  # noqa: N802
        self, request: pb.ListWorkTypesRequest, context: Any
    ) -> pb.ListWorkTypesResponse:
        """The work types by name."""
        who = caller()
        names.check_parent(request.parent, who.site)
        check = Check(who.site)
        size = check.page_size(request.page_size)
        check.done()
        everything = sorted(await self._work_types.list(who), key=lambda item: item[0].id)
        page, token = paging.page_of(
            everything, lambda item: item[0].id, request.page_token, size, "workTypes"
        )
        paused = await self._supervision.paused(who)
        return pb.ListWorkTypesResponse(
            work_types=[
                convert.work_type_out(who.site, work_type, etag, f"wt:{work_type.id}" in paused)
                for work_type, etag in page
            ],
            next_page_token=token,
        )

    async def UpdateWorkType(self, request: pb.UpdateWorkTypeRequest, context: Any) -> pb.WorkType:  # noqa: N802
        """Change the fields that the mask names."""
        who = caller()
        check = Check(who.site)
        id = check.name("work_type.name", request.work_type.name, names.WORK_TYPE)
        check.request_id(request.request_id)
        check.done()
        wanted = check.etag(request.work_type.etag)
        for attempt in range(_UPDATE_TRIES):
            current, etag = await self._work_types.get(who, id)
            message = convert.merged(
                convert.work_type_out(who.site, current, etag),
                request.work_type,
                request.update_mask.paths,
                check,
            )
            changed = _work_type_in(id, message, check)
            try:
                stored, etag = await self._work_types.update(who, changed, etag if wanted is None else wanted)
                return convert.work_type_out(who.site, stored, etag, await self._is_paused(who, id))
            except EtagMismatch:
                if wanted is not None or attempt + 1 == _UPDATE_TRIES:
                    raise
        raise AssertionError

    async def DeleteWorkType(self, request: pb.DeleteWorkTypeRequest, context: Any) -> Empty:  # noqa: N802
        """Remove a work type that no open task uses."""
        who = caller()
        check = Check(who.site)
        id = check.name("name", request.name, names.WORK_TYPE)
        check.request_id(request.request_id)
        check.done()
        await self._work_types.delete(who, id, check.etag(request.etag))
        return Empty()


class _Watch:
    """Where a watch stands, and how long it has been silent."""

    def __init__(self, token: str, stream: _WatchStream) -> None:
        self._token = token
        self._stream = stream
        self._now_s = asyncio.get_running_loop().time
        self._spoke_s = self._now_s()

    async def tell(self, message: pb.WatchTasksResponse) -> None:
        """Send a message and remember it."""
        self._token = message.resume_token
        self._spoke_s = self._now_s()
        await self._stream.write(message)

    async def give_signs_of_life(self) -> None:
        """Send a message without an event after each time of silence."""
        while True:
            rest_s = self._spoke_s + WATCH_SILENCE_S - self._now_s()
            if rest_s > 0:
                await asyncio.sleep(rest_s)
            else:
                await self.tell(pb.WatchTasksResponse(resume_token=self._token))


def _submit_in(request: pb.SubmitTaskRequest, site: str) -> tuple[TaskSpec, str, str]:
    names.check_parent(request.parent, site)
    check = Check(site)
    request_id = check.request_id(request.request_id)
    task_id = check.optional_id("task_id", request.task_id)
    task = Check(site, "task.")
    spec = convert.spec_in(request.task, task)
    check.take(task)
    check.done()
    return spec, request_id, task_id


def _tried(request: pb.SubmitTaskRequest, site: str) -> tuple[TaskSpec, str, str] | RouterError:
    try:
        return _submit_in(request, site)
    except RouterError as error:
        return error


def _result_out(site: str, answer: Submitted | RouterError) -> pb.SubmitResult:
    if isinstance(answer, RouterError):
        return pb.SubmitResult(status=item_status(answer))
    return convert.submitted_out(site, answer)


def _work_type_in(id: str, message: pb.WorkType, check: Check) -> WorkType:
    within = Check(check.site, "work_type.")
    work_type = convert.work_type_in(id, message, within)
    check.take(within)
    check.done()
    return work_type


def _check_request_id(text: str, check: Check) -> None:
    outer = Check(check.site)
    outer.request_id(text)
    check.take(outer)


def _query(conditions: Sequence[filters.Condition]) -> TaskQuery | None:
    """As much of a filter as the use case can use to look at less; None where nothing can pass."""
    states = frozenset(TaskState)
    equal: dict[str, str] = {}
    labels: dict[str, str] = {}
    for condition in conditions:
        if condition.field == "state":
            same = frozenset({TaskState(str(condition.value))})
            states &= same if condition.op == "=" else frozenset(TaskState) - same
        elif condition.op == "=" and condition.field == "labels":
            labels[condition.key] = str(condition.value)
        elif condition.op == "=" and condition.field in (
            "work_type",
            "agent",
            "reference",
            "customer_reference",
        ):
            equal[condition.field] = str(condition.value)
    if not states:
        return None
    return TaskQuery(states if states != frozenset(TaskState) else frozenset(), labels=labels, **equal)


def _value_of(task: Task, condition: filters.Condition) -> Any:
    spec = task.spec
    values: dict[str, Any] = {
        "state": task.state.value,
        "work_type": spec.work_type,
        "agent": task.agent,
        "priority": task.priority,
        "reference": spec.reference,
        "customer_reference": spec.customer_reference,
        "create_time": task.create_ms,
        "due_time": spec.due_ms,
        "end_time": task.end_ms or None,
        "labels": spec.labels.get(condition.key),
    }
    return values[condition.field]
