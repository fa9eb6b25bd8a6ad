"""TelephonyService over a real socket."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import grpc
from google.protobuf import duration_pb2, timestamp_pb2

from router.domain.model import AcdCommand, CommandKind
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


async def test_agents_without_a_profile_are_named(world):
    await world.furnish()
    stream = world.report()
    agents = [at_work("alice"), at_work("alcie")]
    await stream.write(R(epoch="1", sequence=1, snapshot=R.Snapshot(agents=agents)))
    ack = (await told(stream)).ack
    assert (ack.outcome, list(ack.unknown_agents)) == (telephony_pb2.REPORT_OUTCOME_APPLIED, ["alcie"])
    stream.cancel()


async def test_a_state_counts_from_when_it_began_whatever_the_acds_clock_says(world):
    await world.furnish()
    stream = world.report()
    agent = at_work()
    agent.state_time.seconds = 1_000_000
    report = R(epoch="1", sequence=1, snapshot=R.Snapshot(agents=[agent]))
    report.report_time.seconds = 1_000_090
    await stream.write(report)
    await told(stream)
    seen = await world.agents(
        "GetAgent", agents_pb2.GetAgentRequest(name="sites/default/agents/alice"), role="supervisor", id="bob"
    )
    now_ms = world.app.router.clock.now_ms()
    assert 90_000 <= now_ms - seen.state_time.ToMilliseconds() < 95_000
    stream.cancel()


async def test_a_feed_tells_its_queues_and_what_it_owes(world):
    await world.furnish()
    stream = world.report()
    queues = [telephony_pb2.CallQueueReport(call_queue=name, blending_group="cards") for name in ("b", "a")]
    await stream.write(R(epoch="1", sequence=1, snapshot=R.Snapshot(call_queues=queues)))
    await told(stream)
    order = AcdCommand("c1", CommandKind.RESERVE, "alice", "pbx", "t1", 1, world.app.router.clock.now_ms())
    await world.app.store.put_command("default", order)
    command = (await told(stream)).command
    assert command.deadline.ToMilliseconds() > order.at_ms
    feed = await world.acd(
        "GetFeedStatus", telephony_pb2.GetFeedStatusRequest(name="sites/default/feeds/pbx")
    )
    assert list(feed.call_queues) == ["sites/default/callQueues/a", "sites/default/callQueues/b"]
    assert feed.open_commands == 1
    await world.app.store.put_command("default", replace(order, id="c2", kind=CommandKind.RELEASE))
    assert not (await told(stream)).command.HasField("deadline")
    stream.cancel()


async def test_many_messages_at_once_are_each_acknowledged_in_their_order(world):
    await world.furnish("alice", "bob")
    stream = world.report()
    await stream.write(R(epoch="1", sequence=1, snapshot=R.Snapshot(agents=[at_work(), at_work("bob")])))
    await told(stream)
    states = ["ON_CALL", "AFTER_CALL", "AVAILABLE"] * 40
    for number, state in enumerate(states, 2):
        agents = [at_work("alice", state), at_work("carl" if number == 50 else "bob", state)]
        await stream.write(R(sequence=number, changes=R.Changes(agents=agents)))
    await stream.write(R(sequence=3, changes=R.Changes(agents=[at_work("alice", "OFFLINE")])))
    await stream.write(R(sequence=122, heartbeat=R.Heartbeat()))
    acks = [(await told(stream)).ack for _ in range(122)]
    outcomes = [telephony_pb2.ReportOutcome.Name(ack.outcome).removeprefix("REPORT_OUTCOME_") for ack in acks]
    assert outcomes == ["APPLIED"] * 120 + ["DUPLICATE", "APPLIED"]
    assert [ack.sequence for ack in acks] == [*range(2, 122), 3, 122]
    assert [ack.sequence for ack in acks if ack.unknown_agents] == [50]
    request = agents_pb2.GetAgentRequest(name="sites/default/agents/alice")
    agent = await world.agents("GetAgent", request, role="supervisor", id="bob")
    assert agent.state == common_pb2.AGENT_STATE_AVAILABLE
    stream.cancel()


async def test_of_messages_at_once_an_invalid_one_is_told_and_the_others_apply(world):
    await world.furnish()
    stream = world.report()
    await stream.write(R(epoch="1", sequence=1, snapshot=R.Snapshot(agents=[at_work()])))
    for number, agent in ((2, "alice"), (3, "no such {name}"), (4, "alice")):
        await stream.write(R(sequence=number, changes=R.Changes(agents=[at_work(agent, "ON_CALL")])))
    outcomes = [(await told(stream)).ack.outcome for _ in range(4)]
    applied, invalid = telephony_pb2.REPORT_OUTCOME_APPLIED, telephony_pb2.REPORT_OUTCOME_INVALID
    assert outcomes == [applied, applied, invalid, applied]
    stream.cancel()
