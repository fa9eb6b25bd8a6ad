"""TelephonyService over a real socket."""

from __future__ import annotations

import asyncio

import grpc
from google.protobuf import duration_pb2, timestamp_pb2

from router.v1 import agents_pb2, common_pb2, telephony_pb2
from tests.rpc.refusals import refused

R = telephony_pb2.ReportRequest


def at_work(agent: str = "alice", state: str = "AVAILABLE") -> telephony_pb2.AgentStateReport:
    number = common_pb2.AgentState.Value(f"AGENT_STATE_{state}")
    return telephony_pb2.AgentStateReport(agent=agent, state=number)


async def told(stream):
    return await asyncio.wait_for(stream.read(), 5)


async def test_each_report_is_acknowledged_with_what_became_of_it(world):
    await world.furnish()
    stream = world.report()
    await stream.write(R(source="pbx", epoch="1", sequence=5, heartbeat=R.Heartbeat()))
    assert (await told(stream)).ack.outcome == telephony_pb2.REPORT_OUTCOME_NEEDS_SNAPSHOT
    queue = telephony_pb2.CallQueueReport(
        call_queue="cards",
        blending_group="cards",
        calls_waiting=2,
        oldest_wait=duration_pb2.Duration(seconds=7),
    )
    snapshot = R.Snapshot(agents=[at_work()], call_queues=[queue])
    await stream.write(R(sequence=6, snapshot=snapshot))
    ack = (await told(stream)).ack
    assert (ack.outcome, ack.applied_sequence) == (telephony_pb2.REPORT_OUTCOME_APPLIED, 6)
    await stream.write(R(sequence=6, changes=R.Changes(agents=[at_work(state="ON_CALL")])))
    assert (await told(stream)).ack.outcome == telephony_pb2.REPORT_OUTCOME_DUPLICATE
    boss = {"role": "supervisor", "id": "bob"}
    request = agents_pb2.GetAgentRequest(name="sites/default/agents/alice")
    agent = await world.agents("GetAgent", request, **boss)
    assert (agent.state, agent.source) == (common_pb2.AGENT_STATE_AVAILABLE, "pbx")
    feeds = await world.acd("ListFeeds", telephony_pb2.ListFeedsRequest())
    assert [(f.name, f.applied_sequence, f.stale) for f in feeds.feeds] == [
        ("sites/default/feeds/pbx", 6, False)
    ]
    stream.cancel()


async def test_a_report_that_is_not_valid_changes_nothing_and_the_stream_goes_on(world):
    await world.furnish()
    stream = world.report()
    broken = telephony_pb2.CallQueueReport(call_queue="cards", blending_group="cards", offered=-1)
    for i in (30, 10):
        broken.forecast.add(start_time=timestamp_pb2.Timestamp(seconds=i))
    await stream.write(R(epoch="1", sequence=1, snapshot=R.Snapshot(call_queues=[broken])))
    ack = (await told(stream)).ack
    assert ack.outcome == telephony_pb2.REPORT_OUTCOME_INVALID
    assert "snapshot.call_queues[0].offered" in ack.status.message
    assert "snapshot.call_queues[0].forecast" in ack.status.message
    await stream.write(R(epoch="1", sequence=1, snapshot=R.Snapshot()))
    assert (await told(stream)).ack.outcome == telephony_pb2.REPORT_OUTCOME_APPLIED
    stream.cancel()


async def test_the_source_is_that_of_the_credentials_and_stays(world):
    stream = world.report()
    await stream.write(R(source="other", epoch="1", sequence=1, snapshot=R.Snapshot()))
    code, info, _ = await refused(told(stream))
    assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SOURCE_MISMATCH")
    stream = world.report()
    await stream.write(R(epoch="1", sequence=1, snapshot=R.Snapshot()))
    await told(stream)
    await stream.write(R(source="other", sequence=2, heartbeat=R.Heartbeat()))
    code, info, _ = await refused(told(stream))
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SOURCE_CHANGED")


async def test_a_newer_stream_of_the_source_ends_the_older(world):
    older = world.report()
    await older.write(R(epoch="1", sequence=1, snapshot=R.Snapshot()))
    await told(older)
    newer = world.report()
    await newer.write(R(epoch="1", sequence=2, heartbeat=R.Heartbeat()))
    assert (await told(newer)).ack.outcome == telephony_pb2.REPORT_OUTCOME_APPLIED
    code, info, _ = await refused(told(older))
    assert (code, info.reason) == (grpc.StatusCode.ABORTED, "FEED_REPLACED")
    newer.cancel()
