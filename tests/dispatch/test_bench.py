"""The bench of idle agents: the best one is asked first, and only when there may be something for it."""

from __future__ import annotations

import pytest

from router.dispatch.bench import Bench
from router.domain.model import Agent, AgentProfile
from tests.support.stores import FixedClock

CLAIMS = "s:claims@2"


def agent(id: str, idle_since_ms: int = 0, **skills: int) -> Agent:
    return Agent(AgentProfile(id, skills=skills or {"claims": 3}), 1, idle_since_ms=idle_since_ms)


class Floor:
    """A bench on a clock that stands still."""

    def __init__(self) -> None:
        self.clock = FixedClock(1_000_000)
        self.bench = Bench(self.clock)
        self.looked_at = 0

    def asked(self, count: int = 100, **news: tuple[int, int]) -> list[str]:
        """Who is asked next; news of shelves by number and tick."""

        def able(agent: Agent) -> bool:
            self.looked_at += 1
            return True

        shelves = {CLAIMS if name == "claims" else name: value for name, value in news.items()}
        return [agent.profile.id for agent in self.bench.next(count, shelves, able)]

    def tell_all(self, *agents: Agent, tick: int = 1) -> None:
        """They sit down and are told that there is nothing."""
        for one in agents:
            self.bench.sit_down(one)
            self.bench.told_nothing(one, tick)


@pytest.fixture
def floor() -> Floor:
    return Floor()


def test_the_longest_idle_is_asked_first(floor: Floor) -> None:
    for id, since in (("cat", 30), ("ann", 10), ("bob", 20)):
        floor.bench.sit_down(agent(id, since))
    assert floor.asked(2) == ["ann", "bob"]


def test_ties_go_by_id_so_that_a_replay_decides_the_same(floor: Floor) -> None:
    for id in ("bob", "ann", "cat"):
        floor.bench.sit_down(agent(id, 10))
    assert floor.asked() == ["ann", "bob", "cat"]


def test_told_agents_are_asked_for_news_of_their_shelves_alone_and_as_many_as_there_are_tasks(
    floor: Floor,
) -> None:
    floor.tell_all(agent("ann", 1), agent("bob", 2), agent("pia", 0, post=3))
    assert floor.asked() == []
    assert floor.asked(claims=(1, 2)) == ["ann"]
    assert floor.asked(claims=(5, 2)) == ["ann", "bob"]
    assert floor.asked(claims=(5, 1)) == [], "that was known when they were told"


def test_fresh_agents_and_news_go_by_one_order(floor: Floor) -> None:
    floor.tell_all(agent("ann", 10))
    floor.bench.sit_down(agent("bob", 5))
    floor.bench.sit_down(agent("cat", 15))
    assert floor.asked(claims=(1, 2)) == ["bob", "ann", "cat"]


def test_an_agent_rests_until_it_was_idle_long_enough(floor: Floor) -> None:
    floor.bench.sit_down(agent("ann", 999_000))
    assert floor.bench.arrange("longest_idle", 5_000) == 1_004_000
    assert floor.asked() == []
    floor.clock.time_ms = 1_004_000
    assert floor.bench.arrange("longest_idle", 5_000) is None
    assert floor.asked() == ["ann"]


def test_who_need_not_be_asked_after_the_rest_is_not(floor: Floor) -> None:
    floor.bench.arrange("longest_idle", 5_000)
    floor.bench.sit_down(agent("ann", 999_000), tick=3)
    assert floor.asked(claims=(1, 4)) == [], "still resting"
    floor.clock.time_ms = 1_004_000
    floor.bench.arrange("longest_idle", 5_000)
    assert floor.asked() == []


def test_work_that_arrives_during_the_rest_is_asked_for_after_it_though_its_news_is_over(
    floor: Floor,
) -> None:
    floor.bench.arrange("longest_idle", 5_000)
    floor.bench.sit_down(agent("ann", 999_000), tick=3)
    floor.bench.work_reached(CLAIMS, 4)
    floor.clock.time_ms = 1_004_000
    floor.bench.arrange("longest_idle", 5_000)
    assert floor.asked() == ["ann"]


def test_who_came_after_it_is_said_to_have_left_stays(floor: Floor) -> None:
    floor.bench.sit_down(agent("ann"), at_ms=20.5)
    floor.bench.leave("ann", 20.25)
    assert floor.asked() == ["ann"]
    floor.bench.leave("ann", 21)
    assert floor.asked() == []


def test_reading_the_index_again_and_again_does_not_put_off_the_day_of_asking(floor: Floor) -> None:
    ann = agent("ann", 1)
    floor.tell_all(ann)
    for _ in range(4):
        floor.clock.time_ms += 5_000
        floor.bench.fill([agent("ann", 1)])
    floor.bench.forget(15.0)
    assert floor.asked() == ["ann"]


def test_another_choice_orders_anew(floor: Floor) -> None:
    floor.bench.sit_down(agent("ann", 1, claims=5, post=5))
    floor.bench.sit_down(agent("bob", 2, claims=2))
    assert floor.asked() == ["ann", "bob"]
    floor.bench.arrange("best_fit", 0)
    assert floor.asked() == ["bob", "ann"]


def test_after_a_while_everybody_is_asked_again(floor: Floor) -> None:
    floor.tell_all(agent("ann"))
    floor.clock.time_ms += 10_000
    floor.tell_all(agent("bob"))
    floor.clock.time_ms += 10_000
    floor.bench.forget(15.0)
    assert floor.asked() == ["ann"]
    floor.bench.forget()
    assert floor.asked() == ["ann", "bob"]


def test_what_comes_of_asking_is_no_news_of_an_agent_who_came_back_meanwhile(floor: Floor) -> None:
    before = agent("ann", 1)
    floor.bench.sit_down(before)
    floor.bench.sit_down(agent("ann", 2))
    floor.bench.took(before)
    floor.bench.told_nothing(before, 9)
    assert floor.asked() == ["ann"]


def test_reading_the_index_keeps_what_is_known_of_those_who_stay(floor: Floor) -> None:
    ann, bob = agent("ann", 1), agent("bob", 2)
    floor.tell_all(ann, bob)
    floor.bench.fill([agent("ann", 1), agent("bob", 9), agent("cat", 3)])
    assert floor.asked() == ["cat", "bob"], "ann is as she was, and was told"
    assert len(floor.bench) == 3


@pytest.mark.parametrize("agents", [50, 5_000])
def test_a_task_costs_the_same_whatever_the_number_of_idle_agents(floor: Floor, agents: int) -> None:
    floor.tell_all(*(agent(f"a{n:04d}", n) for n in range(agents)))
    floor.asked(claims=(0, 2))
    floor.looked_at = 0
    assert floor.asked(claims=(1, 2)) == ["a0000"]
    assert floor.looked_at <= 3
