"""Durability `ha` as callers see it: what is acknowledged, what is unknown, and what a repeat then answers."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import grpc
import pytest

from router.app import build
from router.domain.errors import StoreUnavailable
from router.state.redis.confirmed import CONFIRM_MS
from router.state.redis_guard import UnfitStoreError
from router.v1 import agents_pb2, common_pb2, tasks_pb2
from tests.rpc.conftest import World, settings
from tests.rpc.refusals import refused
from tests.rpc.test_agents import opened, until
from tests.support.servers import ask, pid_of, primary_and_replica, stopped

pytestmark = [pytest.mark.store, pytest.mark.timeout(60)]


async def test_a_submit_without_the_replica_is_unknown_and_its_repeat_answers_the_same_task(
    tmp_path: Path,
) -> None:
    async with primary_and_replica(tmp_path) as (primary, replica):
        url = f"redis://127.0.0.1:{primary}"
        async with build(settings(redis_url=url, durability="ha", recording_hours=0)) as app:
            world = World(app)
            await world.furnish()
            known = await world.submit()

            task = common_pb2.Task(work_type="claims", payload=b"4711")
            request = tasks_pb2.SubmitTaskRequest(task=task, request_id=str(uuid.uuid4()))
            with stopped(await pid_of(replica)):
                began = time.monotonic()
                code, info, _ = await refused(world.tasks("SubmitTask", request))
                # What the router itself changes meanwhile may be ahead of it.
                assert time.monotonic() - began < 3 * CONFIRM_MS / 1000
                assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
                assert await world.tasks("GetTask", tasks_pb2.GetTaskRequest(name=known.name))
            repeated = await world.tasks("SubmitTask", request)
            assert repeated == await world.tasks("SubmitTask", request)
            listed = await world.tasks("ListTasks", tasks_pb2.ListTasksRequest())
            assert {task.name for task in listed.tasks} == {known.name, repeated.name}
            await world.channel.close()


async def test_desks_go_on_after_the_replica_was_away(tmp_path: Path) -> None:
    async with primary_and_replica(tmp_path) as (primary, replica):
        url = f"redis://127.0.0.1:{primary}"
        async with build(settings(redis_url=url, durability="ha")) as app:
            world = World(app)
            await world.furnish()
            stream, _ = await opened(world)
            with stopped(await pid_of(replica)):
                code, _, _ = await refused(world.submit(reference="while away"))
                assert code is grpc.StatusCode.UNAVAILABLE
            task = await world.submit(reference="while away")
            offer = (await until(stream, "offer_made")).offer
            assert offer.task.name == task.name
            accept = agents_pb2.SessionRequest.Accept(task=task.name, fence=offer.fence)
            await stream.write(agents_pb2.SessionRequest(correlation_id="1", accept=accept))
            assert (await until(stream, "result")).lease.fence == offer.fence
            stream.cancel()
            await world.channel.close()


async def test_a_store_without_a_required_replica_is_refused(tmp_path: Path) -> None:
    async with primary_and_replica(tmp_path) as (primary, _):
        await ask(primary, "CONFIG", "SET", "min-replicas-to-write", 0)
        with pytest.raises(UnfitStoreError, match="set min-replicas-to-write 1"):
            async with build(settings(redis_url=f"redis://127.0.0.1:{primary}", durability="ha")):
                pass
        # One more than there are: as if the replica had been away for long.
        await ask(primary, "CONFIG", "SET", "min-replicas-to-write", 2)
        with pytest.raises(StoreUnavailable, match="NOREPLICAS"):
            async with build(settings(redis_url=f"redis://127.0.0.1:{primary}", durability="ha")):
                pass
