"""The scenarios and their floors: who is there, and what the telephone system tells when."""

from __future__ import annotations

import pytest

from callcenter.center import AgentState
from clients.values import seconds
from loadtests.floors import ScriptedFloor, Storm, random_calls
from loadtests.people import KINDS, kind, needs_of, skills_of
from loadtests.scenarios import SCENARIOS, Size, scenario
from router.policies.blending import PolicyDocument


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_scenario_is_whole(name: str) -> None:
    chosen = scenario(name)
    assert chosen.name == name
    assert len(set(chosen.agents)) == len(chosen.agents) == chosen.desktops + chosen.pullers
    assert set(chosen.agents) <= set(chosen.floor().states())
    PolicyDocument.parse(chosen.policy)
    queues = {report.call_queue for report in chosen.floor().call_queues(0.0)}
    assert queues <= set(PolicyDocument.parse(chosen.policy).call_queues)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_sizes_are_those_that_were_asked_for(name: str) -> None:
    chosen = scenario(name, Size(desktops=5, pullers=2, seconds=9.0, backlog=11, submits_per_s=3.0))
    assert (chosen.desktops, chosen.pullers) == (5, 2)
    assert (chosen.seconds, chosen.backlog, chosen.submits_per_s) == (9.0, 11, 3.0)


@pytest.mark.parametrize(
    ("size", "says"),
    [
        pytest.param(Size(desktops=0), "desktops must be at least 1", id="nobody"),
        pytest.param(Size(backlog=-1), "backlog must be at least 0", id="backlog"),
        pytest.param(Size(seconds=0.0), "seconds must be at least 1", id="no time"),
        pytest.param(Size(speed=0.0), "speed must be above 0", id="speed"),
        pytest.param(Size(since=3 * 3600.0), "choose another --since", id="at night"),
    ],
)
def test_a_size_that_cannot_be_is_refused(size: Size, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        scenario("mixed-day", size)


def test_every_process_knows_the_same_people() -> None:
    for number in range(KINDS):
        able = [
            n
            for n in range(20)
            if all(skills_of(n).get(s, 0) >= m for s, m in needs_of(kind(number)).items())
        ]
        assert 0 < len(able) < 20


def test_agents_sign_in_by_the_timetable() -> None:
    floor = ScriptedFloor({"alice": 1.0, "bob": 2.0})
    assert floor.next_at() == 1.0
    assert [(c.agent, c.state) for c in floor.advance(1.5)] == [("alice", AgentState.AVAILABLE)]
    assert floor.states() == {"alice": AgentState.AVAILABLE, "bob": AgentState.OFFLINE}
    assert floor.next_at() == 2.0


def test_a_storm_fills_as_many_call_queues_as_it_needs() -> None:
    floor = ScriptedFloor({}, [Storm(5.0, 8.0, calls=150, age_s=19.0)])
    waiting = {at: [report.calls_waiting for report in floor.call_queues(at)] for at in (4.9, 5.0, 8.0)}
    assert waiting == {4.9: [0, 0], 5.0: [100, 50], 8.0: [0, 0]}
    assert {seconds(age) for age in floor.call_queues(5.0)[1].waiting_ages} == {19.0}
    floor.advance(5.0)
    assert floor.next_at() == 8.0


def test_calls_ring_and_end_at_random_but_the_same_each_time() -> None:
    agents = ["alice", "bob", "carol"]
    floors = [random_calls(agents, per_s=1.0, handling_s=1.0, last_s=30.0, seed=7) for _ in range(2)]
    told = [floor.advance(30.0) for floor in floors]
    assert told[0] == told[1]
    assert {change.state for change in told[0]} >= {
        AgentState.RINGING,
        AgentState.ON_CALL,
        AgentState.AVAILABLE,
    }
    assert all(0.0 <= change.at <= 30.0 for change in told[0])


def test_a_recorded_day_runs_faster_than_it_was() -> None:
    slow, fast = (scenario("mixed-day", Size(speed=speed)).floor() for speed in (30.0, 60.0))
    assert slow.advance(20.0)[-1].at == pytest.approx(2 * fast.advance(10.0)[-1].at)


def test_who_is_reserved_gets_no_call() -> None:
    floor = random_calls(["alice"], per_s=5.0, handling_s=1.0, last_s=5.0, seed=7)
    assert floor.obey("alice", reserve=True)
    assert {change.state for change in floor.advance(4.0)} == {AgentState.RESERVED}
    assert floor.obey("alice", reserve=False)
    assert not floor.obey("nobody", reserve=True)
