"""Routers that are killed, and the same clients that go on by themselves."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from clients import NoTask
from clients.agent import Connected, Disconnected, Offered, Revoked
from router.v1 import agents_pb2, agents_pb2_grpc, common_pb2, telephony_pb2, telephony_pb2_grpc
from tests.e2e.floor import AVAILABLE, COMPLETED, GROUP, OFFERED, ON_CALL, Floor, names_of, opened_floor
from tests.e2e.processes import RouterProcess, alive, eventually, running

BACK_S = 40.0
"""How long a test waits for a client to be back; it is a matter of one or two seconds on a quiet machine."""


async def test_a_killed_router_comes_back_and_everybody_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, "--heartbeat-s", "2") as router:
        async with opened_floor(router.address) as floor:
            await _killed_and_restarted(router, floor)
            await floor.assert_sound(router.store_url)


async def _killed_and_restarted(router: RouterProcess, floor: Floor) -> None:
    await floor.work_type()
    await floor.work_type("appeals", level=1)
    await floor.blend()
    await floor.hire("ann", "bob")
    await floor.hire("cat", "pat", group=GROUP)
    acd = await floor.acd()
    await acd.waiting()
    await acd.report(AVAILABLE, "cat", "pat")
    desks = await floor.desks("ann", "bob")
    held, offered = await floor.submit(), await floor.submit()
    offers = {name: (await desk.expect(Offered)).offer for name, desk in desks.items()}
    assert names_of(offer.task for offer in offers.values()) == names_of([held, offered])
    lease = await desks["ann"].session.accept(offers["ann"])
    await desks["ann"].session.checkpoint(lease, b"half")
    waiting = [await floor.submit(work_type="appeals", payload=b"%d" % i) for i in range(20)]

    store = router.store_pid()
    router.kill()
    for desk in desks.values():
        await desk.expect(Disconnected, BACK_S)
    await eventually(lambda: not alive(store), "the store should end with its router")
    submitting = asyncio.create_task(floor.submit(work_type="appeals", reference="sent while it was down"))
    await asyncio.to_thread(router.start)
    assert router.store_pid() != store
    for desk in desks.values():
        await desk.expect(Connected, BACK_S)
        assert desk.count(Revoked) == 0

    done = await desks["ann"].session.complete(lease, b"all of it")
    assert (done.state, done.fence) == (COMPLETED, lease.fence)
    accepted = await desks["bob"].session.accept(offers["bob"])
    assert accepted.fence == offers["bob"].fence
    await desks["bob"].session.complete(accepted)
    waiting.append(await submitting)
    queued = [task async for task in floor.erp.list_tasks("state = QUEUED")]
    assert names_of(queued) == names_of(waiting)
    await acd.report(ON_CALL, "cat")
    assert (await floor.boss.get_agent("cat")).state == ON_CALL
    await _finished_by(floor, "zoe", names_of(waiting))


async def _finished_by(floor: Floor, name: str, tasks: set[str]) -> None:
    """A new agent does all that waits; each task comes once."""
    await floor.hire(name, skills=[common_pb2.AgentSkill(skill="appeals", level=1)])
    puller = floor.puller(name)
    done = []
    while not isinstance(lease := await puller.get_next(), NoTask):
        done.append((await puller.complete(lease)).name)
    assert sorted(done) == sorted(tasks)


async def test_sessions_of_a_killed_router_move_to_the_other(tmp_path: Path, single_url: str) -> None:
    shared = ("--redis-url", single_url, "--durability", "dev", "--heartbeat-s", "2")
    with running(tmp_path / "one", *shared) as one, running(tmp_path / "two", *shared) as two:
        # One name with several addresses, as DNS gives it; the first that answers is taken.
        both = f"ipv4:{one.address},{two.address}"
        async with opened_floor(both, site=f"moves-{tmp_path.name}", plaintext_token=True) as floor:
            await _moved(one, floor)
            await floor.assert_sound(single_url)


async def _moved(one: RouterProcess, floor: Floor) -> None:
    for name in ("ann", "bob", "cat"):
        await floor.work_type(name)  # each has work of its own
    await floor.blend()
    for name in ("ann", "bob"):
        await floor.hire(name, skills=[common_pb2.AgentSkill(skill=name, level=2)])
    await floor.hire("cat", "pat", group=GROUP, skills=[common_pb2.AgentSkill(skill="cat", level=2)])
    acd = await floor.acd()
    await acd.waiting()
    await acd.report(AVAILABLE, "cat", "pat")
    desks = await floor.desks("ann", "bob", "cat")
    tasks = [await floor.submit(work_type=name) for name in desks]
    leases = {}
    for name, desk in desks.items():
        leases[name] = await desk.session.accept((await desk.expect(Offered)).offer)
    one.kill()
    for desk in desks.values():
        await desk.expect(Disconnected, BACK_S)
        await desk.expect(Connected, BACK_S)
        assert desk.count(Revoked) == 0
    assert names_of(lease.task for lease in leases.values()) == names_of(tasks)
    for name, desk in desks.items():
        done = await desk.session.complete(leases[name])
        assert (done.state, done.fence) == (COMPLETED, leases[name].fence)
    await acd.report(AVAILABLE, "cat", "pat")
    more = [await floor.submit(work_type=name) for name in desks]
    for desk in desks.values():  # the other leads by now: it pushes to dedicated and to blended agents
        offer = (await desk.expect(Offered, BACK_S)).offer
        await desk.session.complete(await desk.session.accept(offer))
    assert {await floor.state(task) for task in more} == {COMPLETED}


async def test_a_store_killed_under_the_router_ends_it_with_a_clear_line(tmp_path: Path) -> None:
    with running(tmp_path, quiet=False) as router:
        os.kill(router.store_pid(), signal.SIGKILL)
        assert await asyncio.to_thread(router.wait) == 1
        assert "the router's own store has ended" in router.log()


# -- the end by SIGTERM ----------------------------------------------------------------------------------
GRACE_S = 2


async def test_sigterm_tells_the_streams_ends_in_time_and_loses_nothing(tmp_path: Path) -> None:
    with running(tmp_path, "--drain-s", str(GRACE_S), "--heartbeat-s", "2") as router:
        async with opened_floor(router.address) as floor:
            await _drained(router, floor)
            await floor.assert_sound(router.store_url)


async def _drained(router: RouterProcess, floor: Floor) -> None:
    await floor.work_type()
    await floor.hire("ann", "bob")
    ann = await floor.desk("ann")
    await floor.submit()
    lease = await ann.session.accept((await ann.expect(Offered)).offer)
    offer_to_bob = await _offer_to(floor, "bob")
    told = asyncio.create_task(_farewells(floor))
    acknowledged: set[str] = set()
    submitting = asyncio.create_task(_submit_for_ever(floor, acknowledged))
    await eventually(lambda: len(acknowledged) > 5 and not told.done(), "submits should be acknowledged")

    loop = asyncio.get_running_loop()
    began = loop.time()
    router.terminate()
    assert await told == ["draining", "draining"]
    assert await asyncio.to_thread(router.wait) == 0
    # Beyond the grace: a second in which calls are cut off, and the store's farewell.
    assert loop.time() - began < GRACE_S + 8
    submitting.cancel()
    await asyncio.gather(submitting, return_exceptions=True)

    await asyncio.to_thread(router.start)
    await eventually(lambda: ann.session.connected, "ann should be back", BACK_S)
    assert ann.count(Revoked) == 0
    assert (await ann.session.complete(lease)).fence == lease.fence
    standing = await floor.erp.get(offer_to_bob.task.name)
    assert (standing.state, standing.fence) == (OFFERED, offer_to_bob.fence)
    found = names_of([task async for task in floor.erp.list_tasks("state = QUEUED", page_size=1000)])
    # Ann, who has completed hers, may have been offered one of them meanwhile.
    found |= names_of([task async for task in floor.erp.list_tasks("state = OFFERED")])
    assert acknowledged <= found


async def _offer_to(floor: Floor, name: str) -> common_pb2.Offer:
    desk = await floor.desk(name)
    await floor.submit()
    return (await desk.expect(Offered)).offer


async def _farewells(floor: Floor) -> list[str]:
    """What two streams are told when the router ends: a desktop's and an ACD's."""
    await floor.hire("raw")
    desk, feed = floor.connection("agent", "raw"), floor.connection("acd", "raw")
    session = agents_pb2_grpc.AgentServiceStub(desk.channel).Session(metadata=desk.metadata())
    await session.write(agents_pb2.SessionRequest(hello=agents_pb2.SessionRequest.Hello(session_id="raw")))
    report = telephony_pb2_grpc.TelephonyServiceStub(feed.channel).Report(metadata=feed.metadata())
    snapshot = telephony_pb2.ReportRequest.Snapshot()
    await report.write(telephony_pb2.ReportRequest(epoch="1", sequence=1, snapshot=snapshot))
    told = []
    for call in (session, report):
        async for message in call:
            if message.WhichOneof("message") == "draining":
                told.append("draining")
                break
    for call in (session, report):
        call.cancel()
    return told


async def _submit_for_ever(floor: Floor, acknowledged: set[str]) -> None:
    while True:
        acknowledged.add((await floor.submit()).name)
