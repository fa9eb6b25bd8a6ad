"""The ACD's feed over a real socket: numbers, snapshots, breaks, commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from clients import CommandRefusedError, Connection, TelephonyReporter
from clients.errors import ApiError, ConflictError
from clients.values import duration
from router.v1 import common_pb2, telephony_pb2
from tests.clients.fake_router import FakeRouter, applied, rich
from tests.support.wait import wait_until

AVAILABLE, ON_CALL = common_pb2.AGENT_STATE_AVAILABLE, common_pb2.AGENT_STATE_ON_CALL
Report = telephony_pb2.ReportRequest


@pytest.fixture
def reporter(connection: Connection) -> Callable[..., TelephonyReporter]:
    def make(**options: Any) -> TelephonyReporter:
        return TelephonyReporter(
            connection, "pbx1", **({"heartbeat_s": 0.05, "ack_timeout_s": 1.0} | options)
        )

    return make


def states(report: Report) -> dict[str, int]:
    part = report.snapshot if report.HasField("snapshot") else report.changes
    return {agent.agent: agent.state for agent in part.agents}


async def test_a_feed_begins_with_a_snapshot_and_counts_on(
    fake: FakeRouter, reporter: Callable[..., TelephonyReporter]
) -> None:
    feed = reporter()
    feed.agent("alice", AVAILABLE)
    async with feed:
        feed.agent("alice", ON_CALL)
        feed.call_queue(telephony_pb2.CallQueueReport(call_queue="cards", calls_waiting=2))
        await feed.flush(2.0)
        assert feed.unacknowledged == 0
        await wait_until(lambda: fake.telephony.heard[-1].HasField("heartbeat"), "a heartbeat")
    heard = fake.telephony.heard
    assert fake.telephony.kinds()[0] == "snapshot"
    assert states(heard[0]) == {"alice": AVAILABLE}
    assert [r.sequence for r in heard] == list(range(1, len(heard) + 1))
    assert {(r.source, r.epoch) for r in heard} == {("pbx1", feed.epoch)}


async def test_the_callback_gives_the_snapshot(
    fake: FakeRouter, reporter: Callable[..., TelephonyReporter]
) -> None:
    async def snapshot() -> Report.Snapshot:
        await asyncio.sleep(0.01)
        return Report.Snapshot(agents=[telephony_pb2.AgentStateReport(agent="bob", state=ON_CALL)])

    async with reporter(snapshot=snapshot):
        assert states(fake.telephony.heard[0]) == {"bob": ON_CALL}


async def test_what_changes_while_nobody_takes_it_is_coalesced(
    fake: FakeRouter, reporter: Callable[..., TelephonyReporter]
) -> None:
    async with reporter(window=1) as feed:
        fake.telephony.judge = lambda report: None
        feed.agent("alice", AVAILABLE)
        await wait_until(lambda: fake.telephony.heard[-1].HasField("changes"), "the first change")
        for _ in range(500):
            feed.agent("alice", ON_CALL)
            feed.agent("bob", AVAILABLE)
        assert len(feed._new_agents) == 2
        fake.telephony.judge = applied
        await feed.flush(3.0)
    changes = [r for r in fake.telephony.heard if r.HasField("changes") or r.HasField("snapshot")]
    assert len(changes) < 10
    assert states(changes[-1])["bob"] == AVAILABLE


async def test_a_forecast_is_not_lost_in_coalescing(
    fake: FakeRouter, reporter: Callable[..., TelephonyReporter]
) -> None:
    feed = reporter()
    forecast = [telephony_pb2.ForecastInterval(calls=60, staff=5)]
    feed.call_queue(telephony_pb2.CallQueueReport(call_queue="cards", forecast=forecast))
    feed.call_queue(
        telephony_pb2.CallQueueReport(call_queue="cards", calls_waiting=1, oldest_wait=duration(3))
    )
    async with feed:
        queue = fake.telephony.heard[0].snapshot.call_queues[0]
        assert (queue.calls_waiting, queue.forecast[0].calls) == (1, 60)


async def test_changes_of_an_outage_are_in_the_next_snapshot(
    fake: FakeRouter, reporter: Callable[..., TelephonyReporter]
) -> None:
    async with reporter() as feed:
        await fake.stop()
        await wait_until(lambda: not feed.connected, "the end is noticed")
        feed.agent("alice", ON_CALL)
        assert feed.unacknowledged == 1
        await fake.start()
        await feed.flush(5.0)
        snapshots = [r for r in fake.telephony.heard if r.HasField("snapshot")]
        assert states(snapshots[-1]) == {"alice": ON_CALL}
        assert snapshots[-1].sequence > snapshots[0].sequence
        assert snapshots[-1].epoch == snapshots[0].epoch


async def test_a_router_that_lost_the_epoch_gets_a_snapshot(
    fake: FakeRouter, reporter: Callable[..., TelephonyReporter]
) -> None:
    async with reporter() as feed:
        needs = telephony_pb2.REPORT_OUTCOME_NEEDS_SNAPSHOT
        fake.telephony.judge = lambda r: applied(r) if r.HasField("snapshot") else needs
        feed.agent("alice", AVAILABLE)
        await feed.flush(3.0)
        assert fake.telephony.kinds().count("snapshot") == 2
        assert states([r for r in fake.telephony.heard if r.HasField("snapshot")][-1]) == {"alice": AVAILABLE}


async def test_a_clock_set_back_makes_an_epoch_after_the_known_one(
    fake: FakeRouter, reporter: Callable[..., TelephonyReporter]
) -> None:
    fake.telephony.known_epoch = "9999-12-31"
    stale = telephony_pb2.REPORT_OUTCOME_STALE
    fake.telephony.judge = lambda r: applied(r) if r.epoch > "9999-12-31" else stale
    async with reporter() as feed:
        assert feed.epoch > "9999-12-31"
        assert next(r for r in fake.telephony.heard if r.epoch == feed.epoch).sequence == 1


async def test_an_invalid_report_is_told_and_the_feed_goes_on(
    fake: FakeRouter, reporter: Callable[..., TelephonyReporter]
) -> None:
    problems: list[ApiError] = []
    async with reporter(on_problem=problems.append) as feed:
        invalid = telephony_pb2.REPORT_OUTCOME_INVALID
        fake.telephony.judge = lambda r: invalid if r.HasField("changes") else applied(r)
        feed.agent("alice", AVAILABLE)
        await feed.flush(2.0)
        assert [str(p) for p in problems] == ["not a state"]
        fake.telephony.judge = applied
        feed.agent("alice", ON_CALL)
        await feed.flush(2.0)
        assert fake.telephony.streams == 1


async def test_a_router_that_does_not_acknowledge_is_left(
    fake: FakeRouter, reporter: Callable[..., TelephonyReporter]
) -> None:
    async with reporter(ack_timeout_s=0.2):
        fake.telephony.judge = lambda report: None
        await wait_until(lambda: fake.telephony.streams > 1, "a new stream")
        fake.telephony.judge = applied


async def test_commands_are_carried_out_once(
    fake: FakeRouter, reporter: Callable[..., TelephonyReporter]
) -> None:
    done = []

    async def obey(command: telephony_pb2.AcdCommand) -> None:
        done.append(command.agent)
        if command.agent == "bob":
            raise CommandRefusedError("bob is in a call")

    async with reporter(on_command=obey):
        reserve = telephony_pb2.ACD_ACTION_RESERVE
        for number, agent in (("1", "alice"), ("1", "alice"), ("2", "bob")):
            fake.telephony.commands.put_nowait(
                telephony_pb2.AcdCommand(command_id=number, agent=agent, action=reserve)
            )
        await wait_until(lambda: len(results(fake)) >= 2, "two results")
        fake.telephony.commands.put_nowait(telephony_pb2.AcdCommand(command_id="1", agent="alice"))
        await wait_until(lambda: results(fake).count(("1", True, "")) >= 2, "the result again")
    assert done == ["alice", "bob"]
    assert ("2", False, "bob is in a call") in results(fake)


async def test_a_feed_without_a_handler_refuses(
    fake: FakeRouter, reporter: Callable[..., TelephonyReporter]
) -> None:
    async with reporter():
        fake.telephony.commands.put_nowait(telephony_pb2.AcdCommand(command_id="1", agent="alice"))
        await wait_until(lambda: results(fake) != [], "a result")
        assert results(fake) == [("1", False, "this feed takes no commands")]


async def test_a_newer_reporter_of_the_source_ends_it_for_good(
    fake: FakeRouter, reporter: Callable[..., TelephonyReporter]
) -> None:
    async with reporter(heartbeat_s=5.0, ack_timeout_s=20.0) as feed:
        fake.telephony.commands.put_nowait(rich(grpc.StatusCode.ABORTED, "a newer stream", "FEED_REPLACED"))
        with pytest.raises(ConflictError, match="a newer stream"):
            await feed.wait_closed()
        feed.agent("alice", AVAILABLE)
        with pytest.raises(ConflictError):
            await feed.flush(1.0)


def results(fake: FakeRouter) -> list[tuple[str, bool, str]]:
    found = [r.command_result for r in fake.telephony.heard if r.HasField("command_result")]
    return [(r.command_id, r.ok, r.error) for r in found]
