"""Who may call what, over the wire: every method of the API by every role, and nobody in another site."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from clients import NoTask
from clients.errors import ApiError, NotFoundError, from_rpc_error
from router.dispatch.caller import ROLES
from router.rpc.auth import METHOD_ROLES
from router.v1 import agents_pb2, common_pb2, supervision_pb2, tasks_pb2, tasks_pb2_grpc, telephony_pb2
from tests.e2e.floor import opened_floor
from tests.e2e.processes import RouterProcess

SERVICES = [
    service
    for file in (tasks_pb2, agents_pb2, telephony_pb2, supervision_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
]
PATIENCE_S = 3.0
"""A stream that is still open then was let in."""


@dataclass(frozen=True)
class Method:
    """One method of the API, called without any generated stub."""

    descriptor: MethodDescriptor

    @property
    def path(self) -> str:
        service = self.descriptor.containing_service
        assert service is not None
        return f"/{service.full_name}/{self.descriptor.name}"

    def request(self) -> Message:
        return GetMessageClass(self.descriptor.input_type)()

    async def refusal(self, channel: grpc.aio.Channel, token: str, request: Message) -> ApiError | None:
        """How the call fails, or None; what it answers is nobody's business here."""
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        try:
            await self._call(channel, metadata, request)
        except grpc.aio.AioRpcError as error:
            return from_rpc_error(error)
        return None

    async def _call(self, channel: grpc.aio.Channel, metadata: Any, request: Message) -> None:
        codecs = (type(request).SerializeToString, GetMessageClass(self.descriptor.output_type).FromString)
        if self.descriptor.client_streaming:
            # Nothing is sent: who calls is asked before what it says, and a write would meet the end of the stream.
            await _opened(channel.stream_stream(self.path, *codecs)(metadata=metadata))
        elif self.descriptor.server_streaming:
            await _opened(channel.unary_stream(self.path, *codecs)(request, metadata=metadata))
        else:
            await channel.unary_unary(self.path, *codecs)(request, metadata=metadata, timeout=30.0)


async def _opened(call: Any) -> None:
    """Raises what the stream ends with; one that goes on, or waits for us, is good."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await call.read()
    except TimeoutError:
        pass
    finally:
        call.cancel()


METHODS = [Method(method) for service in SERVICES for method in service.methods]


@pytest.fixture
async def channel(shared_router: RouterProcess) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the shared router."""
    async with grpc.aio.insecure_channel(shared_router.address) as channel:
        yield channel


def test_the_table_has_every_method() -> None:
    assert {method.path for method in METHODS} == set(METHOD_ROLES)


async def test_every_method_lets_in_whom_the_table_names(channel: grpc.aio.Channel) -> None:
    async def wrong(method: Method, role: str) -> str:
        error = await method.refusal(channel, f"dev:roles:{role}:somebody", method.request())
        let_in = error is None or error.code is not grpc.StatusCode.PERMISSION_DENIED
        if error is not None and not let_in:
            assert error.reason == "ROLE_NOT_ALLOWED"
            assert error.metadata.get("role") == role
            assert role in error.message
        return "" if let_in is (role in METHOD_ROLES[method.path]) else f"{method.path} by {role}: {error!r}"

    answers = await asyncio.gather(*(wrong(method, role) for method in METHODS for role in ROLES))
    assert len(answers) == len(METHOD_ROLES) * 4
    assert [answer for answer in answers if answer] == []


@pytest.mark.parametrize("token", ["", "dev:roles:janitor:jim", "not-a-token"])
async def test_nobody_is_let_in_without_credentials(channel: grpc.aio.Channel, token: str) -> None:
    async def code_of(method: Method) -> grpc.StatusCode | None:
        error = await method.refusal(channel, token, method.request())
        return None if error is None else error.code

    codes = await asyncio.gather(*map(code_of, METHODS))
    assert set(codes) == {grpc.StatusCode.UNAUTHENTICATED}


# -- other sites -----------------------------------------------------------------------------------------
COLLECTIONS = {
    "Task": "tasks",
    "Lease": "tasks",
    "Offer": "tasks",
    "WorkType": "workTypes",
    "Policy": "policies",
    "PolicyVersions": "policies",
    "PolicyComparison": "policies",
    "Agent": "agents",
    "FeedStatus": "feeds",
    "Queue": "queues",
}
"""The collection of the resource that a method's `name` is of, by the end of the method's name."""
ELSEWHERE = "sites/there"


def foreign_requests() -> Iterator[tuple[Method, Message, str]]:
    """Each request that can name a resource or parent of another site: method, request, field."""
    for method in METHODS:
        fields = method.descriptor.input_type.fields_by_name
        request = method.request()
        if "parent" in fields:
            request.parent = ELSEWHERE  # type: ignore[attr-defined]
            yield method, request, "parent"
        elif "name" in fields and method.descriptor.name != "Heartbeat":
            (ending,) = [word for word in COLLECTIONS if method.descriptor.name.endswith(word)] or ["Task"]
            request.name = f"{ELSEWHERE}/{COLLECTIONS[ending]}/thing"  # type: ignore[attr-defined]
            yield method, request, "name"
        elif "blending_group" in fields:
            request.blending_group = f"{ELSEWHERE}/blendingGroups/thing"  # type: ignore[attr-defined]
            yield method, request, "blending_group"
    for method, request in nested_foreign_requests():
        yield method, request, "nested"


def nested_foreign_requests() -> Iterator[tuple[Method, Message]]:
    """Those whose name stands deeper in the request."""
    by_name = {method.descriptor.name: method for method in METHODS}
    task = common_pb2.Task(name=f"{ELSEWHERE}/tasks/thing", priority=1)
    yield by_name["UpdateTask"], tasks_pb2.UpdateTaskRequest(task=task)
    work_type = tasks_pb2.WorkType(name=f"{ELSEWHERE}/workTypes/thing")
    yield by_name["UpdateWorkType"], tasks_pb2.UpdateWorkTypeRequest(work_type=work_type)
    agent = common_pb2.Agent(name=f"{ELSEWHERE}/agents/thing")
    yield by_name["UpdateAgent"], agents_pb2.UpdateAgentRequest(agent=agent)
    policy = supervision_pb2.Policy(name=f"{ELSEWHERE}/policies/thing", document="target_s: 20")
    yield by_name["UpdatePolicy"], supervision_pb2.UpdatePolicyRequest(policy=policy)
    yield by_name["GetNextTask"], agents_pb2.GetNextTaskRequest(agent=f"{ELSEWHERE}/agents/thing")
    yield by_name["Heartbeat"], agents_pb2.HeartbeatRequest(name=f"{ELSEWHERE}/agents/thing")


async def test_no_method_reaches_into_another_site(channel: grpc.aio.Channel) -> None:
    async def leak(method: Method, request: Message, field: str) -> str:
        role = sorted(METHOD_ROLES[method.path])[-1]
        error = await method.refusal(channel, f"dev:here:{role}:somebody", request)
        expected = grpc.StatusCode.PERMISSION_DENIED if field == "parent" else grpc.StatusCode.NOT_FOUND
        ok = error is not None and error.code is expected
        if ok and field == "parent":
            ok = error is not None and error.reason == "OTHER_SITE"
        return "" if ok else f"{method.path} ({field}): {error!r}"

    requests = list(foreign_requests())
    assert len(requests) > 40
    assert [wrong for wrong in await asyncio.gather(*(leak(*r) for r in requests)) if wrong] == []


async def test_a_submit_on_the_stream_does_not_reach_another_site(channel: grpc.aio.Channel) -> None:
    inner = tasks_pb2.SubmitTaskRequest(parent=ELSEWHERE, task=common_pb2.Task(work_type="claims"))
    call = tasks_pb2_grpc.TaskServiceStub(channel).SubmitTasks(
        metadata=(("authorization", "Bearer dev:here:submitter:erp"),)
    )
    await call.write(tasks_pb2.SubmitTasksRequest(correlation_id="1", request=inner))
    answer = await call.read()
    assert isinstance(answer, tasks_pb2.SubmitTasksResponse)
    assert answer.result.status.reason == "OTHER_SITE"
    call.cancel()


async def test_what_two_sites_hold_is_kept_apart(shared_router: RouterProcess) -> None:
    address = shared_router.address
    async with opened_floor(address, "north") as north, opened_floor(address, "south") as south:
        for floor in (north, south):
            await floor.work_type()
            await floor.hire("ann")
        task = await north.submit(reference="one")
        assert [t async for t in south.erp.list_tasks()] == []
        assert isinstance(await south.puller("ann").get_next(), NoTask)
        with pytest.raises(NotFoundError):
            await south.erp.get(task.name)
        twin = await south.submit(reference="one")
        assert twin.name != task.name
