"""A whole router on the store in memory, reached over a real socket, and stubs for each role."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from router.app import App, build
from router.config import Settings
from router.v1 import (
    agents_pb2,
    agents_pb2_grpc,
    common_pb2,
    supervision_pb2_grpc,
    tasks_pb2,
    tasks_pb2_grpc,
    telephony_pb2_grpc,
)

SITE = "default"


class World:
    """The router under test and everybody who calls it."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{app.port}")

    def token(self, role: str, id: str, site: str = SITE) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer dev:{site}:{role}:{id}"),)

    async def tasks(self, method: str, request: object, role: str = "submitter", id: str = "erp", **more):
        return await self._unary(tasks_pb2_grpc.TaskServiceStub, method, request, role, id, more)

    async def agents(self, method: str, request: object, role: str = "agent", id: str = "alice", **more):
        return await self._unary(agents_pb2_grpc.AgentServiceStub, method, request, role, id, more)

    async def boss(self, method: str, request: object, role: str = "supervisor", id: str = "bob", **more):
        return await self._unary(supervision_pb2_grpc.SupervisionServiceStub, method, request, role, id, more)

    async def acd(self, method: str, request: object, role: str = "acd", id: str = "pbx", **more):
        return await self._unary(telephony_pb2_grpc.TelephonyServiceStub, method, request, role, id, more)

    async def _unary(self, stub, method, request, role, id, more):
        metadata = self.token(role, id, more.pop("site", SITE))
        return await getattr(stub(self.channel), method)(request, metadata=metadata, timeout=10, **more)

    def session(self, id: str = "alice"):
        return agents_pb2_grpc.AgentServiceStub(self.channel).Session(metadata=self.token("agent", id))

    def report(self, id: str = "pbx"):
        return telephony_pb2_grpc.TelephonyServiceStub(self.channel).Report(metadata=self.token("acd", id))

    async def furnish(self, *agents: str) -> None:
        """A work type `claims` that needs skill `forms`, and dedicated agents who have it."""
        work_type = tasks_pb2.WorkType(
            required_skills=[common_pb2.SkillRequirement(skill="forms", min_level=2)]
        )
        await self.tasks(
            "CreateWorkType", tasks_pb2.CreateWorkTypeRequest(work_type_id="claims", work_type=work_type)
        )
        for agent in agents or ("alice",):
            profile = common_pb2.Agent(skills=[common_pb2.AgentSkill(skill="forms", level=3)])
            request = agents_pb2.CreateAgentRequest(agent_id=agent, agent=profile)
            await self.agents("CreateAgent", request, role="supervisor", id="bob")

    async def submit(self, **fields: object) -> common_pb2.Task:
        task = common_pb2.Task(**{"work_type": "claims", **fields})
        return await self.tasks("SubmitTask", tasks_pb2.SubmitTaskRequest(task=task))


def settings(**more: object) -> Settings:
    defaults = {"listen": "127.0.0.1:0", "redis_url": "memory://", "heartbeat_s": 5.0, "drain_s": 0.5}
    return Settings(**{**defaults, **more})


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with build(settings(reflection=True)) as app:
        world = World(app)
        yield world
        await world.channel.close()
