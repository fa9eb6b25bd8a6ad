"""Who is asked, and that nobody able is forgotten while work waits: every order of hints, claims and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast
from unittest import mock

import pytest

from router.dispatch.matcher import POLL_S, Matcher, PassRules
from router.domain.errors import StoreUnavailable
from router.domain.model import Agent, AgentProfile, ClaimMode, NoTask, Task, TaskSpec, TaskState
from router.domain.ports import Claim, Store
from tests.support.stores import FixedClock

SHELF = "s:claims@2"
EVERYBODY = PassRules(room=100)


def agent(id: str) -> Agent:
    return Agent(AgentProfile(id, skills={"claims": 3}), 1)


class Shop:
    """A store in which so many tasks wait on one shelf; ``before`` happens while claims are on their way."""

    def __init__(self) -> None:
        self.clock = FixedClock(1_000_000)
        self.matcher = Matcher(cast(Store, self), self.clock, "default", "-", "router")
        self.idle: list[Agent] = []
        self.waiting = 0
        self.asked: list[str] = []
        self.offered: list[str] = []
        self.before: Callable[[], None] = lambda: None
        self.refuses: dict[str, Claim] = {}
        self.fails = 0

    async def idle_agents(self, site: str, group: str, limit: int) -> list[Agent]:
        """The idle index."""
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("loading")
        return self.idle

    async def claim(self, site: str, agent: str, mode: ClaimMode, **more: Any) -> Claim:
        """A task while there are any."""
        self.asked.append(agent)
        before, self.before = self.before, lambda: None
        found = self._taken(agent)
        before()
        await asyncio.sleep(0)
        return found

    def _taken(self, agent: str) -> Claim:
        if agent in self.refuses:
            return self.refuses[agent]
        if not self.waiting:
            return Claim(None, NoTask.NO_TASK, queued=0)
        self.waiting -= 1
        self.offered.append(agent)
        now_ms = self.clock.now_ms()
        task = Task("t", TaskSpec("claims"), TaskState.OFFERED, 50, now_ms, now_ms, 1)
        return Claim(task, anchor=SHELF, queued=self.waiting)

    def arrives(self, count: int = 1) -> None:
        """Tasks are stored, and the hint of it comes."""
        self.waiting += count
        self.matcher.work_arrived(SHELF, self.clock.now_ms(), count)

    async def push(self) -> None:
        """A pass."""
        await self.matcher.push(EVERYBODY)


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def test_tasks_that_arrive_later_than_announced_find_those_who_were_asked_too_early(shop: Shop) -> None:
    shop.idle = [agent(f"a{n}") for n in range(6)]
    with shop.matcher.work_coming({SHELF: 4}):
        shop.arrives(1)
        await shop.push()
        assert len(shop.offered) == 1
        shop.arrives(3)
        await shop.push()
    assert len(shop.offered) == 4


async def test_tasks_that_arrive_while_claims_for_them_are_under_way_are_looked_for_again(shop: Shop) -> None:
    shop.idle = [agent("ann"), agent("bob")]
    with shop.matcher.work_coming({SHELF: 2}):
        shop.before = lambda: shop.arrives(2)
        await shop.push()
    assert sorted(shop.offered) == ["ann", "bob"]


async def test_an_announced_task_that_is_found_asks_nobody_else(shop: Shop) -> None:
    shop.idle = [agent("ann"), agent("bob")]
    await shop.push()
    shop.asked.clear()
    with shop.matcher.work_coming({SHELF: 1}):
        shop.waiting = 1
        shop.before = lambda: cast(None, shop.matcher.work_arrived(SHELF, shop.clock.now_ms(), 1))
        await shop.push()
    await shop.push()
    assert shop.asked == ["ann"]


async def test_who_becomes_idle_while_work_is_coming_is_asked_for_it(shop: Shop) -> None:
    await shop.push()
    with shop.matcher.work_coming({SHELF: 1}):
        shop.matcher.agent_idle(agent("ann"), shop.clock.now_ms() - 1, queued=0)
        shop.waiting = 1
        await shop.push()
    assert shop.offered == ["ann"]


async def test_who_became_idle_before_work_that_nobody_could_take_is_asked_for_it(shop: Shop) -> None:
    idle_ms = shop.clock.now_ms()
    shop.clock.time_ms += 5
    shop.arrives()
    await shop.push()
    shop.matcher.agent_idle(agent("ann"), idle_ms, queued=0)
    await shop.push()
    assert shop.offered == ["ann"]


async def test_work_held_back_from_one_agent_does_not_keep_the_others_from_theirs(shop: Shop) -> None:
    shop.idle = [agent("ann"), agent("bob")]
    shop.refuses["ann"] = Claim(None, NoTask.RESERVE_HELD, queued=1)
    shop.arrives()
    await shop.push()
    assert shop.offered == ["bob"]


async def test_a_reserve_of_the_group_ends_the_pass(shop: Shop) -> None:
    shop.idle = [agent("ann"), agent("bob")]
    shop.refuses["ann"] = Claim(None, NoTask.RESERVE_HELD)
    shop.arrives()
    await shop.push()
    assert shop.asked == ["ann"]


async def test_a_read_that_fails_is_made_again_at_once(shop: Shop) -> None:
    shop.idle, shop.fails = [agent("ann")], 1
    shop.arrives()
    with pytest.raises(StoreUnavailable):
        await shop.push()
    await shop.push()
    assert shop.offered == ["ann"]


async def test_a_lost_hint_heals_with_the_slow_poll(shop: Shop) -> None:
    shop.idle = [agent("ann")]
    await shop.push()
    shop.waiting = 1
    for _ in range(4):
        shop.clock.time_ms += round(POLL_S * 400)
        await shop.push()
    assert shop.offered == ["ann"]


async def test_an_older_word_of_leaving_does_not_undo_a_newer_one_of_coming(shop: Shop) -> None:
    await shop.push()
    shop.matcher.agent_idle(agent("ann"), 20.5, queued=1)
    shop.matcher.agent_busy("ann", 20.25)
    shop.arrives()
    await shop.push()
    assert shop.offered == ["ann"]


async def test_where_nobody_can_take_what_is_queued_more_are_asked_each_time(shop: Shop) -> None:
    shop.idle = [agent(f"a{n:03d}") for n in range(200)]
    shop.refuses = {one.profile.id: Claim(None, NoTask.NO_TASK, queued=1) for one in shop.idle}
    together: list[int] = []
    all_of = shop.matcher._lane.all

    async def counted(*work: Any, caught: bool = False) -> list[Any]:
        together.append(len(work))
        return await all_of(*work, caught=caught)

    with mock.patch.object(shop.matcher._lane, "all", counted):
        await shop.push()
    assert len(shop.asked) == 200
    assert len(together) < 12
