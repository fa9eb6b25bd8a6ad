"""One task, two who want it; calls that reach an agent; recall and return. All on one router that nobody kills."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from clients import ApiError, NoTask
from clients.agent import Offered, Recalled, Rescinded
from clients.errors import PreconditionError, SupersededError
from clients.values import moment
from router.v1 import common_pb2, supervision_pb2
from tests.e2e.floor import (
    ACTIVE,
    AVAILABLE,
    COMPLETED,
    GROUP,
    OFFERED,
    ON_CALL,
    POLICY,
    QUEUED,
    RINGING,
    Acd,
    Desk,
    Floor,
)
from tests.e2e.processes import eventually, in_background


# -- two agents, one task --------------------------------------------------------------------------------
@pytest.fixture
async def office(floor: Floor) -> Floor:
    """Two dedicated agents, ann and bob."""
    await floor.work_type()
    await floor.hire("ann", "bob")
    return floor


async def test_of_two_who_pull_one_wins_and_the_other_is_told_why(office: Floor) -> None:
    ann, bob = office.puller("ann"), office.puller("bob")
    for _ in range(10):
        task = await office.submit()
        answers = await asyncio.gather(ann.get_next(), bob.get_next())
        (lease,) = [answer for answer in answers if not isinstance(answer, NoTask)]
        (loser,) = [answer for answer in answers if isinstance(answer, NoTask)]
        assert lease.task.name == task.name
        assert loser.reason == "NO_TASK"
        assert loser.detail.startswith("Nothing is queued")
        winner = ann if answers[0] is lease else bob
        done = await winner.complete(lease, outcome="paid")
        assert (done.state, done.fence) == (COMPLETED, lease.fence)


async def test_of_two_who_wait_for_one_task_one_wins(office: Floor) -> None:
    pulls = [asyncio.create_task(office.puller(name).get_next(wait_s=3)) for name in ("ann", "bob")]
    task = await office.submit()
    answers = await asyncio.gather(*pulls)
    assert [a.task.name for a in answers if not isinstance(a, NoTask)] == [task.name]
    assert [a.reason for a in answers if isinstance(a, NoTask)] == ["NO_TASK"]


async def test_only_the_one_who_is_offered_a_task_can_accept_it(office: Floor) -> None:
    ann, bob = await office.desk("ann"), office.puller("bob")
    task = await office.submit()
    offer = (await ann.expect(Offered)).offer
    with pytest.raises(PreconditionError) as thief:
        await bob.accept(offer)
    assert thief.value.reason == "NOT_HOLDER"
    assert "not yours" in thief.value.message
    assert "ann" in thief.value.message
    own, stranger = await asyncio.gather(ann.session.accept(offer), bob.accept(offer), return_exceptions=True)
    assert isinstance(own, common_pb2.Lease)
    assert isinstance(stranger, PreconditionError)
    assert stranger.reason == "NOT_HOLDER"
    assert (await office.erp.get(task.name)).agent.endswith("/ann")
    with pytest.raises(PreconditionError):
        await bob.complete(own)
    assert (await ann.session.complete(own)).state == COMPLETED


async def test_a_stale_fence_is_refused_with_what_came_between(office: Floor) -> None:
    ann = await office.desk("ann")
    task = await office.submit()
    old = (await ann.expect(Offered)).offer
    await ann.session.decline(old, "lunch")
    bob = office.puller("bob")
    lease = await bob.get_next(wait_s=10)
    assert isinstance(lease, common_pb2.Lease)
    assert lease.fence > old.fence
    for refused in (ann.session.accept(old), office.puller("ann").accept(old)):
        with pytest.raises(SupersededError) as late:
            await refused
        assert late.value.code is grpc.StatusCode.ABORTED
        assert late.value.reason == "SUPERSEDED"
        assert late.value.metadata["state"] == "ACTIVE"
        assert late.value.message
    assert await office.state(task) == ACTIVE
    await bob.complete(lease)
    repeated = await bob.complete(lease)
    assert repeated.state == COMPLETED


# -- a call reaches an agent -----------------------------------------------------------------------------
@pytest.fixture
async def acd(floor: Floor) -> Acd:
    """A group whose ann has a desktop; pat answers calls only, and so is the agent who is kept back."""
    await floor.work_type()
    await floor.blend()
    acd = await floor.acd()
    await floor.hire("ann", "pat", group=GROUP)
    await acd.waiting()
    await acd.report(AVAILABLE, "ann", "pat")
    return acd


async def test_a_call_takes_the_offer_away_and_the_task_is_first_in_line_again(
    floor: Floor, acd: Acd
) -> None:
    ann = await floor.desk("ann")
    task = await floor.submit(priority=10)
    offer = (await ann.expect(Offered)).offer
    newcomer = await floor.submit(priority=100)
    await acd.report(RINGING, "ann")
    gone = await ann.expect(Rescinded)
    assert (gone.task, gone.fence) == (task.name, offer.fence)
    assert gone.reason
    assert await floor.state(task) == QUEUED
    with pytest.raises(ApiError) as late:
        await ann.session.accept(offer)
    assert late.value.message
    await acd.report(ON_CALL, "ann")
    await acd.report(AVAILABLE, "ann")
    again = (await ann.expect(Offered)).offer
    assert again.task.name == task.name
    assert again.fence > offer.fence
    assert await floor.state(newcomer) == QUEUED


# -- recall ----------------------------------------------------------------------------------------------
async def test_recalled_for_a_waiting_call_and_resumed_where_it_was(floor: Floor) -> None:
    await floor.work_type()
    await floor.blend(POLICY + "acd_control: true\n")
    acd = await floor.acd()
    await floor.hire("ann", "ben", "pat", group=GROUP)
    await acd.waiting()
    await acd.report(AVAILABLE, "ann", "ben", "pat")
    ann = await floor.desk("ann")
    task = await floor.submit()
    lease = await ann.session.accept((await ann.expect(Offered)).offer)
    assert acd.commands == [("RESERVE", "ann")]
    await ann.session.checkpoint(lease, b"page 1")

    await acd.waiting(15)
    recall = (await ann.expect(Recalled)).recall
    assert (recall.task, recall.fence) == (task.name, lease.fence)
    notice_s = (moment(recall.notice_deadline) - moment(recall.recall_time)).total_seconds()
    assert notice_s == pytest.approx(8, abs=0.01)
    await ann.session.checkpoint(recall, b"page 2")
    back = await ann.session.release(recall, b"page 3")
    assert back.state == QUEUED
    await eventually(lambda: acd.commands[1:] == [("RELEASE", "ann")], "the ACD should get ann back")
    await acd.reporter.flush(20)
    assert (await floor.boss.get_agent("ann")).state == AVAILABLE

    await acd.report(ON_CALL, "ann")
    await acd.waiting()
    ben = await floor.desk("ben")  # idle and able, but the task waits for the one who knows it
    await acd.report(AVAILABLE, "ann")
    again = (await ann.expect(Offered)).offer
    assert again.task.name == task.name
    assert acd.commands[2:] == [("RESERVE", "ann")]
    resumed = await ann.session.accept(again)
    assert resumed.resumed
    assert resumed.checkpoint.data == b"page 3"
    assert resumed.fence > lease.fence
    assert (await ann.session.complete(resumed)).recalls == 1
    await eventually(lambda: acd.commands[3:] == [("RELEASE", "ann")], "the ACD should get ann back")
    assert ben.count(Offered) == 0


# -- the feed falls silent -------------------------------------------------------------------------------
STALE_S = 1.5


async def test_pushes_stop_with_the_feed_and_come_back_with_it(floor: Floor) -> None:
    await floor.work_type()
    await floor.blend(POLICY + f"stale_after_s: {STALE_S}\n")
    await floor.hire("ann", "pat", group=GROUP)
    acd = await floor.acd(heartbeat_s=0.2)
    await acd.waiting()
    await acd.report(AVAILABLE, "ann", "pat")
    ann = await floor.desk("ann")
    for _ in range(100):
        await floor.submit()
    offer_times: list[float] = []
    async with in_background(_work_off(ann, offer_times)):
        await eventually(lambda: len(offer_times) >= 5, "work should flow")
        await acd.reporter.close()
        await floor.gate(open=False)
        (feed,) = [feed async for feed in floor.boss.feeds()]
        last_moment = moment(feed.last_report_time).timestamp() + STALE_S
        task = await floor.submit(priority=100)

        async def refused() -> bool:
            verdict = (await floor.boss.explain_task(task.name)).explanation.verdict
            return verdict in (supervision_pb2.VERDICT_FEED_STALE, supervision_pb2.VERDICT_GATE_CLOSED)

        # The agent may still be at the last task that was pushed in time.
        await eventually(refused, "the task should be held back for the feed")
        assert max(offer_times) <= last_moment
        until_now = len(offer_times)
        back = await floor.acd(heartbeat_s=0.2)
        await back.waiting()
        await back.report(AVAILABLE, "ann", "pat")
        await eventually(lambda: len(offer_times) > until_now, "work should flow again")


async def _work_off(desk: Desk, offer_times: list[float]) -> None:
    """Do every task in a moment, and write down when it was offered, by the router's clock."""
    while True:
        offer = (await desk.expect(Offered, timeout_s=60)).offer
        offer_times.append(moment(offer.offer_time).timestamp())
        await desk.session.complete(await desk.session.accept(offer))
        await asyncio.sleep(0.05)


async def test_a_task_that_nobody_answers_for_is_offered_to_the_next(office: Floor) -> None:
    desks = await office.desks("ann", "bob")
    task = await office.submit()
    await office.until(task, OFFERED)
    first = (await office.erp.get(task.name)).agent.rpartition("/")[2]
    other = "bob" if first == "ann" else "ann"
    declined = (await desks[first].expect(Offered)).offer
    await desks[first].session.decline(declined, "not mine")
    offer = (await desks[other].expect(Offered)).offer
    assert offer.fence > declined.fence
    await desks[other].session.complete(await desks[other].session.accept(offer))


async def test_work_that_comes_while_desks_sit_down_does_not_wait_for_a_poll(floor: Floor) -> None:
    await floor.work_type()
    names = [f"agent{i}" for i in range(30)]
    await floor.hire(*names)
    for name in names:
        desk, _ = await asyncio.gather(floor.desk(name), floor.submit())
        # Well below the time after which the router asks everybody again because a hint may have been lost.
        await desk.session.accept((await desk.expect(Offered, timeout_s=8)).offer)
