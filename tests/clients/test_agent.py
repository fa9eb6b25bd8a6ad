"""The desktop's session over a real socket: events, requests, breaks, and the desktop that pulls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from clients import AgentHandlers, AgentSession, Connection, NoTask, PullingAgent
from clients.agent import Changed, Connected, Disconnected, Event, Leased, Offered, Recalled
from clients.errors import ConflictError, DeadlineError, NotFoundError, SupersededError, UnavailableError
from router.v1 import agents_pb2, common_pb2
from tests.clients.fake_router import SITE, FakeRouter, good_result, lease, offer, recall, rich
from tests.support.wait import wait_until

Response = agents_pb2.SessionResponse
NAME = f"{SITE}/tasks/t1"


@asynccontextmanager
async def watched(connection: Connection, **options: Any) -> AsyncIterator[tuple[AgentSession, list[Event]]]:
    """A session whose events are collected."""
    events: list[Event] = []
    note = events.append
    async with AgentSession(connection, request_timeout_s=2.0, connect_timeout_s=3.0, **options) as session:

        async def collect() -> None:
            async for event in session:
                note(event)

        task = asyncio.create_task(collect())
        yield session, events
        task.cancel()


def kinds(events: list[Event]) -> list[type[Event]]:
    return [type(event) for event in events]


async def test_hello_comes_first_and_the_snapshot_is_told(fake: FakeRouter, connection: Connection) -> None:
    fake.agents.snapshot.offers.append(offer("t1"))
    async with watched(connection, client_info="test 1.0") as (session, events):
        await wait_until(lambda: len(events) == 2, "two events")
        assert kinds(events) == [Connected, Offered]
        hello = fake.agents.session.heard[0].hello
        assert (hello.ready, hello.client_info, hello.session_id) == (True, "test 1.0", session.session_id)
        assert session.agent.name == f"{SITE}/agents/alice"


async def test_a_task_from_offer_to_the_end(fake: FakeRouter, connection: Connection) -> None:
    async with watched(connection) as (session, events):
        fake.agents.session.say(offer_made=Response.OfferMade(offer=offer("t1", 7)))
        await wait_until(lambda: len(events) == 2, "the offer")
        held = await session.accept(session.holdings.offers[NAME])
        await session.checkpoint(held, b"half")
        await session.extend(held, 60)
        await session.park(held, datetime.now(UTC) + timedelta(minutes=5))
        held = await session.resume(session.holdings.parked[NAME])
        done = await session.complete(held, b"fine", "approved")
        assert done.name == NAME
        assert fake.agents.session.kinds() == [
            "hello",
            "accept",
            "checkpoint",
            "extend",
            "park",
            "resume",
            "complete",
        ]
        assert {r.accept.fence for r in fake.agents.session.heard if r.HasField("accept")} == {7}
        assert kinds(events) == [Connected, Offered]


async def test_a_recall_is_told_and_obeyed(fake: FakeRouter, connection: Connection) -> None:
    fake.agents.snapshot.leases.append(lease("t1"))
    async with watched(connection) as (session, events):
        fake.agents.session.say(recall_requested=Response.RecallRequested(recall=recall("t1")))
        await wait_until(lambda: len(events) == 3, "the recall")
        assert kinds(events) == [Connected, Leased, Recalled]
        await session.release(session.holdings.recalls[NAME], b"so far")
        assert not session.holdings.leases
        assert fake.agents.session.heard[-1].release.checkpoint.data == b"so far"


async def test_the_loser_is_told_why(fake: FakeRouter, connection: Connection) -> None:
    fake.agents.snapshot.offers.append(offer("t1"))
    refused = common_pb2.Status(
        code=10, reason="SUPERSEDED", message="bob has it", metadata={"holder": "bob"}
    )
    fake.agents.answer = lambda _: Response.Result(status=refused)
    async with watched(connection) as (session, _):
        with pytest.raises(SupersededError, match="bob has it"):
            await session.accept(session.holdings.offers[NAME])
        assert not session.holdings.offers


async def test_heartbeats_go_out_and_a_silent_router_is_left(
    fake: FakeRouter, connection: Connection
) -> None:
    async with watched(connection) as (_, events):
        first = fake.agents.session
        await wait_until(lambda: [r for r in first.heard if r.HasField("heartbeat")] != [], "a heartbeat")
        assert len(fake.agents.sessions) == 1
        fake.agents.silent = True
        await wait_until(lambda: Disconnected in kinds(events), "the silence is noticed")
        fake.agents.silent = False
        await wait_until(lambda: len(fake.agents.sessions) > 1 and kinds(events)[-1] is Connected, "again")


async def test_a_router_that_lives_is_not_left(fake: FakeRouter, connection: Connection) -> None:
    async with watched(connection) as (_, events):
        await asyncio.sleep(1.2)
        assert kinds(events) == [Connected]


async def test_after_a_break_what_stood_is_not_told_again_and_what_came_is(
    fake: FakeRouter, connection: Connection
) -> None:
    fake.agents.snapshot.leases.append(lease("t1"))
    async with watched(connection) as (session, events):
        await wait_until(lambda: len(events) == 2, "the lease")
        fake.agents.snapshot.offers.append(offer("t2"))
        fake.agents.session.end(*rich(grpc.StatusCode.UNAVAILABLE, "draining", "DRAINING"))
        await wait_until(lambda: len(events) == 5, "the offer that came meanwhile")
        assert kinds(events) == [Connected, Leased, Disconnected, Connected, Offered]
        first, second = (s.heard[0].hello for s in fake.agents.sessions)
        assert first.session_id == second.session_id == session.session_id


async def test_a_request_under_way_is_sent_again_over_the_new_stream(
    fake: FakeRouter, connection: Connection
) -> None:
    fake.agents.snapshot.offers.append(offer("t1"))
    fake.agents.answer = lambda _: None
    async with watched(connection) as (session, events):
        accepting = asyncio.create_task(session.accept(session.holdings.offers[NAME]))
        await wait_until(lambda: "accept" in fake.agents.session.kinds(), "the accept was heard")
        # It was carried out, but the answer is lost with the stream.
        del fake.agents.snapshot.offers[:]
        fake.agents.snapshot.leases.append(lease("t1"))
        fake.agents.answer = good_result
        fake.agents.session.end(*rich(grpc.StatusCode.UNAVAILABLE, "draining", "DRAINING"))
        assert (await accepting).task.name == NAME
        assert kinds(events) == [Connected, Offered, Disconnected, Connected]
        sent = [r.correlation_id for s in fake.agents.sessions for r in s.heard if r.HasField("accept")]
        assert len(sent) == 2
        assert len(set(sent)) == 1


async def test_an_offer_whose_accept_failed_is_told_again_if_it_still_stands(
    fake: FakeRouter, connection: Connection
) -> None:
    fake.agents.snapshot.offers.append(offer("t1"))
    fake.agents.answer = lambda request: None if request.HasField("accept") else good_result(request)
    async with watched(connection) as (session, events):
        with pytest.raises(DeadlineError):
            await session.accept(session.holdings.offers[NAME], timeout_s=0.1)
        fake.agents.session.end()
        await wait_until(lambda: kinds(events).count(Offered) == 2, "the offer comes again")


async def test_a_late_answer_gives_the_lease_all_the_same(fake: FakeRouter, connection: Connection) -> None:
    fake.agents.snapshot.offers.append(offer("t1"))
    fake.agents.answer = lambda request: None if request.HasField("accept") else good_result(request)
    async with watched(connection) as (session, events):
        with pytest.raises(DeadlineError):
            await session.accept(session.holdings.offers[NAME], timeout_s=0.1)
        fake.agents.session.say(result=Response.Result(correlation_id="1", lease=lease("t1")))
        await wait_until(lambda: kinds(events)[-1] is Leased, "the lease")


async def test_a_restarted_router_finds_the_session_again(fake: FakeRouter, connection: Connection) -> None:
    async with watched(connection) as (session, events):
        await fake.stop()
        await wait_until(lambda: Disconnected in kinds(events), "the end is noticed")
        fake.agents.snapshot.offers.append(offer("t9"))
        await fake.start()
        await wait_until(lambda: kinds(events)[-1] is Offered, "the offer")
        assert (await session.accept(session.holdings.offers[f"{SITE}/tasks/t9"])).fence == 1


async def test_ready_is_kept_over_a_break(fake: FakeRouter, connection: Connection) -> None:
    async with watched(connection) as (session, events):
        await session.set_ready(False)
        fake.agents.session.end()
        await wait_until(lambda: len(fake.agents.sessions) == 2 and kinds(events)[-1] is Connected, "again")
        assert fake.agents.session.heard[0].hello.ready is False


async def test_a_draining_router_is_left_after_the_answers(fake: FakeRouter, connection: Connection) -> None:
    async with watched(connection) as (session, _):
        fake.agents.session.say(draining=Response.Draining())
        await session.set_ready(True)
        await wait_until(lambda: len(fake.agents.sessions) == 2, "the stream was left by itself")


async def test_another_desktop_of_the_same_agent_ends_it_for_good(
    fake: FakeRouter, connection: Connection
) -> None:
    async with AgentSession(connection) as session:
        fake.agents.session.end(*rich(grpc.StatusCode.ABORTED, "another desktop", "SESSION_REPLACED"))
        with pytest.raises(ConflictError, match="another desktop"):
            await session.wait_closed()
        with pytest.raises(ConflictError):
            [event async for event in session]
        with pytest.raises(ConflictError):
            await session.set_ready(True)
        assert len(fake.agents.sessions) == 1


async def test_an_agent_without_a_profile_is_refused_at_once(
    fake: FakeRouter, connection: Connection
) -> None:
    fake.failures["Session"] = [rich(grpc.StatusCode.NOT_FOUND, "no agent alice", "NOT_FOUND")] * 3
    with pytest.raises(NotFoundError, match="no agent alice"):
        async with AgentSession(connection):
            pass


async def test_no_router_is_told_in_time() -> None:
    async with Connection("127.0.0.1:9") as connection:
        with pytest.raises(UnavailableError):
            async with AgentSession(connection, connect_timeout_s=0.3):
                pass


class Worker(AgentHandlers):
    """Accepts and completes; fails in between."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.changes = 0

    async def on_offer(self, session: AgentSession, offer: common_pb2.Offer) -> None:
        held = await session.accept(offer)
        await session.complete(held)
        self.done.append(held.task.name)

    async def on_change(self, session: AgentSession, agent: common_pb2.Agent, why_idle: str) -> None:
        self.changes += 1
        raise LookupError("a handler's own fault")


async def test_handlers_work_beside_one_another(
    fake: FakeRouter, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker()
    async with AgentSession(connection, worker):
        fake.agents.session.say(agent_changed=Response.AgentChanged())
        for number in range(3):
            fake.agents.session.say(offer_made=Response.OfferMade(offer=offer(f"t{number}")))
        await wait_until(lambda: len(worker.done) == 3, "all are done")
    assert worker.changes == 1
    assert "the handler of Changed failed" in caplog.text


async def test_a_slow_reader_gets_the_last_status_only(fake: FakeRouter, connection: Connection) -> None:
    async with AgentSession(connection) as session:
        for number in range(50):
            fake.agents.session.say(agent_changed=Response.AgentChanged(why_idle=str(number)))
        await wait_until(lambda: session.why_idle == "49", "all have come")
        await session.close()
        events = [event async for event in session]
        assert kinds(events) == [Connected, Changed]


async def test_pulling(fake: FakeRouter, connection: Connection) -> None:
    agent = PullingAgent(connection)
    nothing = await agent.get_next()
    assert nothing == NoTask("GATE_CLOSED", "the gate of main is closed")
    fake.agents.next_answers.append(agents_pb2.GetNextTaskResponse(lease=lease("t1")))
    held = await agent.get_next(1.0)
    assert isinstance(held, common_pb2.Lease)
    async with agent.keeping(held, every_s=0.05) as stop:
        assert await asyncio.wait_for(stop, 2) == "calls wait"
    assert (await agent.complete(held, b"done")).result == b"done"
