"""Several worker processes behind one port."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from clients.agent import Connected, Disconnected, Offered
from router.state.redis import RedisStore
from tests.e2e.floor import COMPLETED, Desk, Floor, opened_floor
from tests.e2e.processes import RouterProcess, eventually, running

DESKS = 16
MOST_DESKS = 48


async def test_two_workers_share_the_port_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    # The parent logs, as an error, that a worker has died.
    with running(tmp_path, "--workers", "2", "--heartbeat-s", "2", "--drain-s", "2", quiet=False) as router:
        async with opened_floor(router.address) as floor:
            await _served_by_both(router, floor)
            await floor.assert_sound(router.store_url)
            router.terminate()  # with sixteen desktops still connected
            assert await asyncio.to_thread(router.wait) == 0
        assert "Traceback" not in router.log()


async def _served_by_both(router: RouterProcess, floor: Floor) -> None:
    await floor.work_type()
    desks = await _desks_on_two_workers(router, floor)
    await _everybody_does_one(floor, desks)

    before = router.workers()
    assert len(before) == 2
    os.kill(min(before), signal.SIGKILL)
    await eventually(lambda: any(desk.count(Disconnected) for desk in desks), "some should be cut off")
    await eventually(lambda: len(router.workers() - {min(before)}) == 2, "the worker should be replaced", 40)
    await eventually(
        lambda: all(desk.count(Connected) > desk.count(Disconnected) for desk in desks),
        "all should be back",
        40,
    )
    assert not all(desk.count(Disconnected) for desk in desks), "those of the other worker should not notice"
    await _everybody_does_one(floor, desks)


async def _desks_on_two_workers(router: RouterProcess, floor: Floor) -> list[Desk]:
    """Desks until both workers have some; the kernel deals out the connections."""
    desks: list[Desk] = []
    store = await RedisStore.open(router.store_url)
    try:
        while len(desks) < MOST_DESKS:
            names = [f"agent{len(desks) + i}" for i in range(DESKS)]
            await floor.hire(*names)
            desks += (await floor.desks(*names)).values()
            agents, _ = await store.agents(floor.site, "", 1000)
            if len({agent.worker for agent in agents}) == 2:
                return desks
    finally:
        await store.close()
    raise AssertionError(f"{len(desks)} connections all reached one worker")


async def _everybody_does_one(floor: Floor, desks: list[Desk]) -> None:
    """As many tasks as desks: also the desks of the worker that does not lead are offered one."""
    tasks = [await floor.submit() for _ in desks]

    async def work(desk: Desk) -> str:
        offer = (await desk.expect(Offered, 40)).offer
        return (await desk.session.complete(await desk.session.accept(offer))).name

    done = await asyncio.gather(*map(work, desks))
    assert sorted(done) == sorted(task.name for task in tasks)
    assert {await floor.state(task) for task in tasks} == {COMPLETED}
