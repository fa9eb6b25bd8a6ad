"""The work types of a site: templates of tasks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from functools import cached_property

from google.protobuf.field_mask_pb2 import FieldMask

from clients.channel import Connection
from clients.errors import NotFoundError
from clients.streams import pages
from clients.values import new_request_id
from router.v1 import tasks_pb2, tasks_pb2_grpc


class WorkTypes:
    """Reads and keeps work types. All methods raise ApiError."""

    def __init__(self, connection: Connection) -> None:
        """Use a connection of a submitter or supervisor."""
        self._connection = connection

    @cached_property
    def _stub(self) -> tasks_pb2_grpc.TaskServiceAsyncStub:
        return tasks_pb2_grpc.TaskServiceStub(self._connection.channel)

    async def get(self, work_type: str) -> tasks_pb2.WorkType:
        """Return one work type. Raises NotFoundError."""
        request = tasks_pb2.GetWorkTypeRequest(name=self._connection.names.work_type(work_type))
        return await self._connection.call(self._stub.GetWorkType, request, repeatable=True)

    def list(self, *, page_size: int = 0) -> AsyncGenerator[tasks_pb2.WorkType, None]:
        """Yield all work types, by name."""
        request = tasks_pb2.ListWorkTypesRequest(parent=self._connection.names.parent, page_size=page_size)

        async def fetch(token: str) -> tasks_pb2.ListWorkTypesResponse:
            request.page_token = token
            return await self._connection.call(self._stub.ListWorkTypes, request, repeatable=True)

        return pages(fetch, lambda page: page.work_types)

    async def create(self, work_type_id: str, work_type: tasks_pb2.WorkType) -> tasks_pb2.WorkType:
        """Create a work type. Raises AlreadyExistsError."""
        request = tasks_pb2.CreateWorkTypeRequest(
            parent=self._connection.names.parent,
            work_type_id=work_type_id,
            work_type=work_type,
            request_id=new_request_id(),
        )
        return await self._connection.call(self._stub.CreateWorkType, request, repeatable=True)

    async def update(self, work_type: tasks_pb2.WorkType, mask: Iterable[str] = ()) -> tasks_pb2.WorkType:
        """Change the fields that `mask` names, or each that is set. Raises NotFoundError, ConflictError (etag)."""
        request = tasks_pb2.UpdateWorkTypeRequest(
            work_type=work_type, update_mask=FieldMask(paths=list(mask)), request_id=new_request_id()
        )
        return await self._connection.call(self._stub.UpdateWorkType, request, repeatable=True)

    async def apply(self, work_type_id: str, work_type: tasks_pb2.WorkType) -> tasks_pb2.WorkType:
        """Create a work type, or make the one that exists equal to this one."""
        name = self._connection.names.work_type(work_type_id)
        try:
            current = await self.get(name)
        except NotFoundError:
            return await self.create(work_type_id, work_type)
        wanted = tasks_pb2.WorkType()
        wanted.CopyFrom(work_type)
        wanted.name, wanted.etag = name, work_type.etag or current.etag
        return await self.update(wanted, CHANGEABLE)

    async def delete(self, work_type: str, *, etag: str = "") -> None:
        """Remove a work type without unfinished tasks. Raises NotFoundError, PreconditionError."""
        request = tasks_pb2.DeleteWorkTypeRequest(
            name=self._connection.names.work_type(work_type), etag=etag, request_id=new_request_id()
        )
        await self._connection.call(self._stub.DeleteWorkType, request, repeatable=True)


CHANGEABLE = tuple(
    field.name
    for field in tasks_pb2.WorkType.DESCRIPTOR.fields
    if field.name not in ("name", "etag", "paused")
)
"""Each field of a work type that its keeper may set."""
