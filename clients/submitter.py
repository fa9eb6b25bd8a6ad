"""What a back-office system does: submit tasks, follow them, change them."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import cached_property

from google.protobuf.field_mask_pb2 import FieldMask

from clients.channel import Connection
from clients.errors import ApiError, UnavailableError
from clients.streams import is_final, messages, pages, settle
from clients.submissions import Entry, Items, Submission, SubmitStream, Submitted, answered, batches
from clients.values import new_request_id
from clients.work_types import WorkTypes
from router.v1 import common_pb2, tasks_pb2, tasks_pb2_grpc

ENDED = frozenset(
    {
        common_pb2.TASK_STATE_COMPLETED,
        common_pb2.TASK_STATE_CANCELED,
        common_pb2.TASK_STATE_EXPIRED,
        common_pb2.TASK_STATE_DEAD_LETTER,
    }
)
"""The terminal states."""

# The router shows that a watch lives every 15 s.
_WATCH_SILENCE_S = 45.0


@dataclass(frozen=True, slots=True)
class TaskChange:
    """A transition of a task, and the token to go on after it."""

    event: tasks_pb2.TaskEvent
    resume_token: str


class Submitter:
    """Submits tasks and follows them. All methods raise ApiError."""

    def __init__(self, connection: Connection) -> None:
        """Use a connection of a submitter (or supervisor)."""
        self.connection = connection
        self.names = connection.names
        self.work_types = WorkTypes(connection)

    @cached_property
    def _stub(self) -> tasks_pb2_grpc.TaskServiceAsyncStub:
        return tasks_pb2_grpc.TaskServiceStub(self.connection.channel)

    async def submit(
        self,
        task: common_pb2.Task,
        *,
        task_id: str = "",
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> common_pb2.Task:
        """Store a task and return it; once this has returned, the task is not lost.

        Repeated by itself while the router cannot be reached. Raises NotFoundError (work type) and
        AlreadyExistsError.
        """
        request = Submission(task, task_id, request_id or new_request_id()).request(self.names.parent)
        return await self.connection.call(
            self._stub.SubmitTask, request, repeatable=True, timeout_s=timeout_s
        )

    async def submit_many(
        self, items: Items, *, batch_size: int = 500, in_flight: int = 4
    ) -> AsyncGenerator[Submitted, None]:
        """Store tasks in batches, at most `in_flight` at once; yield one answer for each item, in order.

        An item that fails, even because the router cannot be reached, is answered with its error; the others go on.
        Read to the end: what is still in flight when the iteration is left may or may not be stored.
        """
        running: deque[asyncio.Task[list[Submitted]]] = deque()
        try:
            async with aclosing(batches(items, batch_size)) as ready:
                async for batch in ready:
                    running.append(asyncio.create_task(self._submit_batch(batch)))
                    if len(running) >= in_flight:
                        for answer in await running.popleft():
                            yield answer
            while running:
                for answer in await running.popleft():
                    yield answer
        finally:
            await settle(*running)

    def submit_stream(self, items: Items, *, window: int = 1000) -> AsyncGenerator[Submitted, None]:
        """Store tasks over one stream, the cheapest way for many; yield answers as they come, not in order.

        A broken stream is opened again, and what has no answer is sent again under the same request ids; after
        repeated failure these items are answered with the error. At most `window` items wait for their answers.
        """
        return SubmitStream(self.connection, self._stub, items, window).run()

    async def get(
        self, task: str, view: common_pb2.TaskView.ValueType = common_pb2.TASK_VIEW_BASIC
    ) -> common_pb2.Task:
        """Return one task. Raises NotFoundError."""
        request = tasks_pb2.GetTaskRequest(name=self.names.task(task), view=view)
        return await self.connection.call(self._stub.GetTask, request, repeatable=True)

    def list_tasks(
        self,
        filter: str = "",
        *,
        page_size: int = 0,
        view: common_pb2.TaskView.ValueType = common_pb2.TASK_VIEW_BASIC,
    ) -> AsyncGenerator[common_pb2.Task, None]:
        """Yield the tasks that match a filter such as `state = QUEUED AND work_type = "claims"`, page by page."""
        request = tasks_pb2.ListTasksRequest(
            parent=self.names.parent, filter=filter, page_size=page_size, view=view
        )

        async def fetch(token: str) -> tasks_pb2.ListTasksResponse:
            request.page_token = token
            return await self.connection.call(self._stub.ListTasks, request, repeatable=True)

        return pages(fetch, lambda page: page.tasks)

    async def update(self, task: common_pb2.Task, mask: Iterable[str] = ()) -> common_pb2.Task:
        """Change the fields that `mask` names, or each changeable one that is set; `task.name` says which task.

        With `task.etag` only if it has not changed since. Raises NotFoundError, ConflictError, PreconditionError.
        """
        request = tasks_pb2.UpdateTaskRequest(
            task=task, update_mask=FieldMask(paths=list(mask)), request_id=new_request_id()
        )
        return await self.connection.call(self._stub.UpdateTask, request, repeatable=True)

    async def cancel(self, task: str, reason: str = "", *, etag: str = "") -> common_pb2.Task:
        """Withdraw a task, from its agent too. Raises NotFoundError, ConflictError, PreconditionError."""
        request = tasks_pb2.CancelTaskRequest(
            name=self.names.task(task), reason=reason, etag=etag, request_id=new_request_id()
        )
        return await self.connection.call(self._stub.CancelTask, request, repeatable=True)

    async def revive(self, task: str, reason: str = "", *, etag: str = "") -> common_pb2.Task:
        """Put a dead letter back into its queue; for supervisors. Raises NotFoundError, PreconditionError."""
        request = tasks_pb2.ReviveTaskRequest(
            name=self.names.task(task), reason=reason, etag=etag, request_id=new_request_id()
        )
        return await self.connection.call(self._stub.ReviveTask, request, repeatable=True)

    async def watch(
        self, tasks: Iterable[str] = (), *, resume_token: str = ""
    ) -> AsyncGenerator[TaskChange, None]:
        """Yield each transition of these tasks, or of all; it never ends by itself.

        A broken watch goes on after the last event. Where that cannot be (nothing has come yet, or the token is too
        old) it raises, because events may be missing: list, then watch anew.
        """
        request = tasks_pb2.WatchTasksRequest(
            parent=self.names.parent, tasks=map(self.names.task, tasks), resume_token=resume_token
        )
        for attempt in itertools.count():
            failure: ApiError = UnavailableError("the router ended the watch")
            call = self._stub.WatchTasks(request, metadata=self.connection.metadata())
            try:
                async for message in messages(call, lambda: _WATCH_SILENCE_S):
                    request.resume_token = message.resume_token or request.resume_token
                    if message.HasField("event"):
                        yield TaskChange(message.event, message.resume_token)
            except ApiError as error:
                failure = error
            finally:
                call.cancel()
            if is_final(failure) or not request.resume_token:
                raise failure
            await asyncio.sleep(self.connection.backoff.delay(attempt % 8))

    async def wait_until_done(
        self, task: str, *, timeout_s: float | None = None, poll_s: float = 10.0
    ) -> common_pb2.Task:
        """Return the task as soon as it has ended. Raises NotFoundError, and TimeoutError after `timeout_s`.

        It is told of changes by a watch, and looks by itself at growing intervals up to `poll_s`.
        """
        changed = asyncio.Event()
        watcher = asyncio.create_task(self._note_changes(task, changed))
        pause = min(0.2, poll_s)
        try:
            async with asyncio.timeout(timeout_s):
                while (found := await self.get(task)).state not in ENDED:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), pause)
                    changed.clear()
                    pause = min(pause * 2, poll_s)
                return found
        finally:
            await settle(watcher)

    async def _note_changes(self, task: str, changed: asyncio.Event) -> None:
        # Only a hint: when the watch fails, looking from time to time still finds the end.
        with suppress(ApiError):
            async for _ in self.watch([task]):
                changed.set()

    async def _submit_batch(self, batch: list[Entry]) -> list[Submitted]:
        requests = [submission.request(self.names.parent) for _, submission in batch]
        request = tasks_pb2.BatchSubmitTasksRequest(parent=self.names.parent, requests=requests)
        try:
            answer = await self.connection.call(self._stub.BatchSubmitTasks, request, repeatable=True)
        except ApiError as error:
            return [Submitted(*entry, error=error) for entry in batch]
        told = list(map(answered, batch, answer.results))
        # A router that answers too few items must not make the others vanish.
        missing = ApiError("the router gave no result for this item")
        return told + [Submitted(*entry, error=missing) for entry in batch[len(told) :]]
