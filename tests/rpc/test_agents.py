"""AgentService over a real socket: the session and its unary twins."""

from __future__ import annotations

import asyncio
import uuid

import grpc
import pytest
from google.protobuf import duration_pb2

from router.app import build
from router.v1 import agents_pb2, common_pb2, supervision_pb2, tasks_pb2
from tests.rpc.conftest import World, settings
from tests.rpc.refusals import refused

Q = agents_pb2.SessionRequest


async def until(stream, kind: str):
    """The next message of a kind; heartbeats and news of the agent are passed by."""
    async with asyncio.timeout(5):
        while True:
            response = await stream.read()
            assert response is not grpc.aio.EOF, f"the stream ended before {kind}"
            if response.WhichOneof("message") == kind:
                return getattr(response, kind)


async def opened(world, id: str = "alice", ready: bool = True):
    stream = world.session(id)
    await stream.write(Q(hello=Q.Hello(session_id="desk", ready=ready)))
    return stream, await until(stream, "snapshot")


async def test_a_task_is_offered_accepted_saved_and_completed_on_the_session(world):
    await world.furnish()
    stream, snapshot = await opened(world)
    assert snapshot.agent.name == "sites/default/agents/alice"
    assert snapshot.limits.heartbeat_interval.seconds == 5
    task = await world.submit(payload=b"form 7")
    offer = (await until(stream, "offer_made")).offer
    assert (offer.task.name, offer.task.payload) == (task.name, b"form 7")

    await stream.write(Q(correlation_id="1", accept=Q.Accept(task=task.name, fence=offer.fence)))
    result = await until(stream, "result")
    assert (result.correlation_id, result.lease.fence) == ("1", offer.fence)

    saved = common_pb2.Checkpoint(data=b"half")
    save = Q.SaveCheckpoint(task=task.name, fence=offer.fence, checkpoint=saved)
    await stream.write(Q(correlation_id="2", checkpoint=save))
    assert (await until(stream, "result")).lease.checkpoint.sequence == 1

    done = Q.Complete(task=task.name, fence=offer.fence, outcome="approved", result=b"ok")
    await stream.write(Q(correlation_id="3", complete=done))
    assert (await until(stream, "result")).task.state == common_pb2.TASK_STATE_COMPLETED
    seen = await world.tasks("GetTask", tasks_pb2.GetTaskRequest(name=task.name))
    assert (seen.outcome, seen.result, seen.agent) == ("approved", b"ok", "sites/default/agents/alice")
    stream.cancel()


async def test_revisions_grow_one_by_one(world):
    await world.furnish()
    stream, _ = await opened(world)
    for i in range(3):
        await stream.write(Q(correlation_id=str(i), ready=Q.Ready(ready=True)))
    revisions = [(await stream.read()).revision for _ in range(3)]
    assert revisions == [2, 3, 4]
    stream.cancel()


async def test_a_refused_action_is_answered_and_the_session_goes_on(world):
    await world.furnish()
    stream, _ = await opened(world)
    await stream.write(Q(correlation_id="1", accept=Q.Accept(task="sites/default/tasks/none", fence=1)))
    assert (await until(stream, "result")).status.reason == "NOT_FOUND"
    await stream.write(Q(correlation_id="2", accept=Q.Accept(task="none", fence=0)))
    status = (await until(stream, "result")).status
    assert (status.code, status.reason) == (3, "INVALID_ARGUMENT")
    await stream.write(Q(correlation_id="3", hello=Q.Hello()))
    assert (await until(stream, "result")).status.reason == "ACTION_EXPECTED"
    await stream.write(Q(heartbeat=Q.Heartbeat()))
    assert (await until(stream, "heartbeat")).server_time.seconds > 0
    stream.cancel()


async def test_an_action_without_a_correlation_id_is_done_and_not_answered(world, caplog):
    await world.furnish()
    stream, _ = await opened(world)
    task = await world.submit()
    offer = (await until(stream, "offer_made")).offer
    accept = Q.Accept(task=task.name, fence=offer.fence)
    await stream.write(Q(accept=accept))
    with caplog.at_level("INFO", "router.rpc.session"):
        await stream.write(Q(accept=Q.Accept(task=task.name, fence=offer.fence + 1)))
        done = Q.Complete(task=task.name, fence=offer.fence)
        await stream.write(Q(correlation_id="1", complete=done))
        result = await until(stream, "result")
    assert (result.correlation_id, result.task.state) == ("1", common_pb2.TASK_STATE_COMPLETED)
    assert "accept of agent:alice refused: SUPERSEDED" in caplog.text
    await stream.write(Q(correlation_id="x" * 200, heartbeat=Q.Heartbeat()))
    assert (await until(stream, "result")).status.field == "correlation_id"
    stream.cancel()


async def test_a_session_begins_with_hello(world):
    await world.furnish()
    stream = world.session()
    await stream.write(Q(heartbeat=Q.Heartbeat()))
    code, info, _ = await refused(stream.read())
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "HELLO_EXPECTED")


async def test_a_desktop_that_falls_silent_is_ended():
    async with build(settings(heartbeat_s=0.1)) as app:
        world = World(app)
        await world.furnish()
        stream, _ = await opened(world)
        code, info, _ = await refused(asyncio.wait_for(stream.read(), 5))
        assert (code, info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "SESSION_SILENT")
        await world.channel.close()


async def test_an_agent_without_a_profile_is_not_found(world):
    stream = world.session("nobody")
    await stream.write(Q(hello=Q.Hello(ready=True)))
    code, _, _ = await refused(stream.read())
    assert code is grpc.StatusCode.NOT_FOUND


async def test_a_newer_session_ends_the_older_and_is_told_what_the_agent_holds(world):
    await world.furnish()
    older, _ = await opened(world)
    task = await world.submit()
    offer = (await until(older, "offer_made")).offer
    newer, snapshot = await opened(world)
    assert [o.task.name for o in snapshot.offers] == [task.name]
    assert snapshot.offers[0].fence == offer.fence

    async def rest():
        while await older.read() is not grpc.aio.EOF:
            pass

    code, info, _ = await refused(asyncio.wait_for(rest(), 5))
    assert (code, info.reason) == (grpc.StatusCode.ABORTED, "SESSION_REPLACED")
    agent = await world.agents("GetAgent", agents_pb2.GetAgentRequest(name="sites/default/agents/alice"))
    assert agent.connected
    newer.cancel()


async def test_two_agents_want_one_task_and_the_loser_is_told_why(world):
    await world.furnish("alice", "bea")
    await world.submit()
    request = agents_pb2.GetNextTaskRequest()
    first, second = await asyncio.gather(
        world.agents("GetNextTask", request, id="alice"), world.agents("GetNextTask", request, id="bea")
    )
    assert first.HasField("lease") != second.HasField("lease")
    loser = second if first.HasField("lease") else first
    assert loser.reason == agents_pb2.NO_TASK_REASON_NO_TASK
    assert loser.detail


async def test_get_next_task_waits_for_one(world):
    await world.furnish()
    request = agents_pb2.GetNextTaskRequest(wait=duration_pb2.Duration(seconds=5))
    waiting = asyncio.create_task(world.agents("GetNextTask", request))
    await asyncio.sleep(0.05)
    task = await world.submit()
    assert (await asyncio.wait_for(waiting, 5)).lease.task.name == task.name


async def test_the_unary_calls_walk_a_task_through_its_life(world):
    await world.furnish()
    task = await world.submit()
    lease = (await world.agents("GetNextTask", agents_pb2.GetNextTaskRequest())).lease
    held = {"name": task.name, "fence": lease.fence}
    saved = await world.agents(
        "CheckpointTask",
        agents_pb2.CheckpointTaskRequest(**held, checkpoint=common_pb2.Checkpoint(data=b"half")),
    )
    assert saved.checkpoint.data == b"half"
    extended = await world.agents(
        "ExtendLease", agents_pb2.ExtendLeaseRequest(**held, duration=duration_pb2.Duration(seconds=900))
    )
    assert extended.deadline.seconds > saved.deadline.seconds
    beat = await world.agents("Heartbeat", agents_pb2.HeartbeatRequest())
    assert [(h.task, h.status.code) for h in beat.held_tasks] == [(task.name, 0)]
    parked = await world.agents("ParkTask", agents_pb2.ParkTaskRequest(**held))
    assert parked.state == common_pb2.TASK_STATE_PARKED
    lease = await world.agents("ResumeTask", agents_pb2.ResumeTaskRequest(name=task.name, fence=parked.fence))
    assert lease.resumed
    assert lease.fence > parked.fence
    code, info, _ = await refused(world.agents("CompleteTask", agents_pb2.CompleteTaskRequest(**held)))
    assert (code, info.reason) == (grpc.StatusCode.ABORTED, "SUPERSEDED")
    released = await world.agents(
        "ReleaseTask", agents_pb2.ReleaseTaskRequest(name=task.name, fence=lease.fence, reason="not mine")
    )
    assert released.state == common_pb2.TASK_STATE_QUEUED
    assert released.checkpoint.data == b"half"


async def test_decline_says_how_long_the_agent_is_left_out(world):
    await world.furnish()
    stream, _ = await opened(world)
    task = await world.submit()
    offer = (await until(stream, "offer_made")).offer
    answer = await world.agents(
        "DeclineOffer", agents_pb2.DeclineOfferRequest(name=task.name, fence=offer.fence, reason="lunch")
    )
    assert answer.excluded_until_time.seconds > offer.offer_time.seconds
    stream.cancel()


async def test_a_recall_by_a_supervisor_reaches_the_desktop(world):
    await world.furnish()
    name = "sites/default/agents/alice"
    stream, _ = await opened(world)
    task = await world.submit()
    offer = (await until(stream, "offer_made")).offer
    await stream.write(Q(correlation_id="1", accept=Q.Accept(task=task.name, fence=offer.fence)))
    await until(stream, "result")
    await world.boss(
        "DrainAgent", supervision_pb2.DrainAgentRequest(name=name, recall=True, reason="meeting")
    )
    recall = (await until(stream, "recall_requested")).recall
    assert (recall.task, recall.fence) == (task.name, offer.fence)
    release = Q.Release(task=task.name, fence=recall.fence, checkpoint=common_pb2.Checkpoint(data=b"x"))
    await stream.write(Q(correlation_id="2", release=release))
    assert (await until(stream, "result")).task.state == common_pb2.TASK_STATE_QUEUED
    stream.cancel()


async def test_profiles_are_listed_filtered_changed_and_removed(world):
    await world.furnish("alice", "bea", "cem")
    boss = {"role": "supervisor", "id": "bob"}
    page = await world.agents("ListAgents", agents_pb2.ListAgentsRequest(page_size=2), **boss)
    assert [a.name[-5:] for a in page.agents] == ["alice", "s/bea"]
    more = await world.agents(
        "ListAgents", agents_pb2.ListAgentsRequest(page_size=2, page_token=page.next_page_token), **boss
    )
    assert [a.name for a in more.agents] == ["sites/default/agents/cem"]
    none = await world.agents("ListAgents", agents_pb2.ListAgentsRequest(filter="connected = true"), **boss)
    assert not none.agents
    change = common_pb2.Agent(name="sites/default/agents/bea", capacity=3)
    changed = await world.agents("UpdateAgent", agents_pb2.UpdateAgentRequest(agent=change), **boss)
    assert (changed.capacity, changed.skills[0].skill) == (3, "forms")
    change.etag = page.agents[1].etag
    code, info, _ = await refused(
        world.agents("UpdateAgent", agents_pb2.UpdateAgentRequest(agent=change), **boss)
    )
    assert (code, info.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    await world.agents("DeleteAgent", agents_pb2.DeleteAgentRequest(name=change.name), **boss)
    code, _, _ = await refused(world.agents("GetAgent", agents_pb2.GetAgentRequest(name=change.name), **boss))
    assert code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("name", ["sites/default/agents/bea", "sites/other/agents/alice"])
async def test_no_agent_acts_as_or_sees_another(world, name):
    await world.furnish("alice", "bea")
    for method, request in (
        ("GetAgent", agents_pb2.GetAgentRequest(name=name)),
        ("GetNextTask", agents_pb2.GetNextTaskRequest(agent=name)),
        ("Heartbeat", agents_pb2.HeartbeatRequest(name=name)),
    ):
        code, _, _ = await refused(world.agents(method, request))
        assert code is grpc.StatusCode.NOT_FOUND, method


async def test_a_pull_is_repeated_with_its_request_id(world):
    await world.furnish()
    await world.submit()
    await world.submit()
    request = agents_pb2.GetNextTaskRequest(request_id=str(uuid.uuid4()))
    first = await world.agents("GetNextTask", request)
    assert await world.agents("GetNextTask", request) == first
    request.request_id = str(uuid.uuid4())
    assert (await world.agents("GetNextTask", request)).reason == agents_pb2.NO_TASK_REASON_NO_CAPACITY


async def test_what_the_session_refuses_names_the_live_hand_over(world):
    await world.furnish("alice", "bea")
    await world.submit()
    lease = (await world.agents("GetNextTask", agents_pb2.GetNextTaskRequest())).lease
    request = supervision_pb2.ReassignTaskRequest(
        name=lease.task.name, agent="sites/default/agents/bea", force=True
    )
    await world.boss("ReassignTask", request)
    taken = await world.agents("GetNextTask", agents_pb2.GetNextTaskRequest(), id="bea")
    late = agents_pb2.CompleteTaskRequest(name=lease.task.name, fence=lease.fence)
    code, info, _ = await refused(world.agents("CompleteTask", late))
    assert (code, info.reason) == (grpc.StatusCode.ABORTED, "SUPERSEDED")
    assert info.metadata == {"state": "ACTIVE", "holder": "bea", "current_fence": str(taken.lease.fence)}


async def test_a_supervisors_hand_is_told_as_such_to_who_accepts_by_itself(world):
    await world.furnish("alice", "bea")
    profile = common_pb2.Agent(name="sites/default/agents/alice", auto_accept=True)
    await world.agents(
        "UpdateAgent", agents_pb2.UpdateAgentRequest(agent=profile), role="supervisor", id="bob"
    )
    stream, _ = await opened(world)
    task = await world.submit(preferred_agent="sites/default/agents/bea")
    request = supervision_pb2.ReassignTaskRequest(name=task.name, agent=profile.name)
    await world.boss("ReassignTask", request)
    forced = await until(stream, "task_forced")
    assert (forced.lease.task.name, forced.reason) == (task.name, "ASSIGNED")
    done = agents_pb2.CompleteTaskRequest(name=task.name, fence=forced.lease.fence)
    await world.agents("CompleteTask", done)
    await world.submit()
    assert (await until(stream, "task_forced")).reason == "AUTO_ACCEPT"
    stream.cancel()
