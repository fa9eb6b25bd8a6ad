"""The simulated call center: the same day twice, no call lost, skills and queues respected, and a sane baseline."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callcenter.calls import Call, Handling, draw_calls
from callcenter.center import (
    AgentChange,
    AgentState,
    CallQueue,
    Center,
    QueueFigures,
    UnknownAgentError,
    UnknownQueueError,
)
from callcenter.distributions import Deterministic, Exponential
from callcenter.erlang import ErlangA
from callcenter.staffing import Shift
from demo.day import Day, DayOptions, make_day
from demo.figures import activities, per_half_hour, running, seconds_by_state, service_level


@pytest.fixture(scope="module")
def day() -> Day:
    return make_day()


def one_call(at: float = 100.0, talk: float = 50.0) -> Call:
    return Call(0, at, patience_s=30.0, talk_s=talk, after_s=10.0)


def states_of(center: Center, agent: str) -> list[tuple[float, AgentState]]:
    return [(c.at, c.state) for c in center.history if c.agent == agent]


def test_the_same_options_make_the_same_day(day: Day) -> None:
    again = make_day(DayOptions())
    assert again == day
    first, second = day.baseline()[0], again.baseline()[0]
    assert first.history == second.history
    assert first.outcomes == second.outcomes
    assert make_day(DayOptions(seed=8)).calls != day.calls


def test_steps_play_the_same_day_as_one_run(day: Day) -> None:
    whole, stepped = day.baseline()[0], day.center()
    at = day.opens_at
    while stepped.next_event_at() is not None:
        at += 37.0
        stepped.advance_to(at)
    assert stepped.history == whole.history


def test_every_call_is_answered_or_given_up(day: Day) -> None:
    center, figures = day.baseline()
    assert figures.offered == len(day.calls) == figures.answered + figures.abandoned
    assert center.queue().waiting == 0
    for call, outcome in zip(center.calls, center.outcomes, strict=True):
        assert (outcome.answered_at is None) != (outcome.abandoned_at is None)
        if outcome.abandoned_at is not None:
            assert outcome.abandoned_at == pytest.approx(call.arrives_at + call.patience_s)
    assert set(center.states().values()) == {0, len(day.shifts)}


def test_calls_are_answered_in_the_order_of_arrival(day: Day) -> None:
    center, _ = day.baseline()
    answered = [o.answered_at for o in center.outcomes if o.answered_at is not None]
    assert answered == sorted(answered)


def test_the_baseline_reaches_the_target_with_hours_to_spare(day: Day) -> None:
    center, figures = day.baseline()
    assert 0.8 <= figures.service_level <= 0.95
    assert 60 <= figures.spare_hours <= 110
    assert service_level(center.outcomes, 20.0) == pytest.approx(figures.service_level)
    assert running(center.outcomes, 20.0)[-1][1] == pytest.approx(figures.service_level)
    assert len(per_half_hour(center.outcomes, 20.0)) == 29


def test_the_windows_of_a_day_add_up_to_it(day: Day) -> None:
    noon = 12 * 3600.0
    _, whole = day.baseline()
    _, morning = day.baseline(until=noon)
    _, afternoon = day.baseline(since=noon)
    assert morning.offered + afternoon.offered == whole.offered
    assert morning.abandoned + afternoon.abandoned == whole.abandoned
    assert morning.spare_hours + afternoon.spare_hours == pytest.approx(whole.spare_hours)
    with pytest.raises(ValueError, match="no calls"):
        day.baseline(since=0.0, until=60.0)


def test_activities_add_up_to_the_time_in_each_state(day: Day) -> None:
    center, _ = day.baseline()
    end = day.opens_at + 16 * 3600
    sampled = activities(center.history, day.opens_at, end, every_s=300.0)
    spare = seconds_by_state(center.history, day.opens_at, end)[AgentState.AVAILABLE]
    assert sum(sampled.agents["idle"]) * 300 == pytest.approx(spare)


def test_a_call_goes_to_the_longest_idle_agent_and_passes_through_the_states() -> None:
    center = Center([one_call()], [Shift("late", 20.0, 900.0), Shift("early", 10.0, 900.0)])
    center.run()
    assert states_of(center, "early") == [
        (10.0, AgentState.AVAILABLE),
        (100.0, AgentState.RINGING),
        (101.0, AgentState.ON_CALL),
        (151.0, AgentState.AFTER_CALL),
        (161.0, AgentState.AVAILABLE),
        (900.0, AgentState.OFFLINE),
    ]


def test_a_break_waits_for_the_call_and_lasts_its_full_length() -> None:
    center = Center([one_call()], [Shift("a", 0.0, 900.0, ((120.0, 220.0),))])
    center.run()
    assert (161.0, AgentState.NOT_READY) in states_of(center, "a")
    assert (261.0, AgentState.AVAILABLE) in states_of(center, "a")


def test_breaks_that_a_call_outlasts_are_taken_in_their_order() -> None:
    center = Center([one_call(talk=300.0)], [Shift("a", 0.0, 900.0, ((120.0, 140.0), (200.0, 280.0)))])
    center.run()
    assert states_of(center, "a")[-4:] == [
        (411.0, AgentState.NOT_READY),
        (431.0, AgentState.NOT_READY),
        (511.0, AgentState.AVAILABLE),
        (900.0, AgentState.OFFLINE),
    ]


def test_a_call_at_the_moment_at_which_a_shift_ends_is_still_taken() -> None:
    center = Center([one_call(at=900.0)], [Shift("a", 0.0, 900.0)])
    center.run()
    assert center.outcomes[0].answered_at == 901.0


def test_a_shift_that_ends_in_a_call_ends_after_it() -> None:
    center = Center([one_call()], [Shift("a", 0.0, 120.0)])
    center.run()
    assert states_of(center, "a")[-1] == (161.0, AgentState.OFFLINE)


def test_a_reserved_agent_gets_no_call_until_released() -> None:
    center = Center([one_call()], [Shift("a", 0.0, 900.0)])
    center.advance_to(50.0)
    assert center.reserve("a").ok
    assert center.reserve("a").ok
    center.advance_to(110.0)
    assert center.queue().waiting == 1
    assert center.queue().oldest_wait_s == pytest.approx(10.0)
    released = center.release("a")
    assert released.ok
    assert released.state is AgentState.RINGING
    assert not center.release("a").ok
    center.run()
    assert center.outcomes[0].answered_at == pytest.approx(111.0)


@pytest.mark.parametrize(
    ("at", "state"),
    [
        (-1.0, AgentState.OFFLINE),
        (100.0, AgentState.RINGING),
        (120.0, AgentState.ON_CALL),
        (155.0, AgentState.AFTER_CALL),
        (350.0, AgentState.NOT_READY),
    ],
)
def test_an_agent_who_is_not_available_cannot_be_reserved(at: float, state: AgentState) -> None:
    center = Center([one_call()], [Shift("a", 0.0, 900.0, ((300.0, 400.0),))])
    center.advance_to(at)
    refused = center.reserve("a")
    assert not refused.ok
    assert refused.state is state
    center.run()
    assert center.outcomes[0].answered_at == pytest.approx(101.0)


def test_a_caller_gives_up_while_the_only_agent_is_reserved() -> None:
    center = Center([one_call()], [Shift("a", 0.0, 900.0)])
    center.advance_to(50.0)
    center.reserve("a")
    center.advance_to(500.0)
    assert center.queue().abandoned == 1
    assert center.release("a").state is AgentState.AVAILABLE


def test_what_became_due_during_a_task_happens_at_the_release() -> None:
    center = Center([], [Shift("a", 0.0, 300.0, ((100.0, 150.0),))])
    center.advance_to(50.0)
    assert center.next_absence("a") == 100.0
    center.reserve("a")
    center.advance_to(120.0)
    assert center.next_absence("a") == 120.0
    assert center.release("a").state is AgentState.NOT_READY
    center.advance_to(200.0)
    assert center.idle_since("a") == 170.0
    center.reserve("a")
    center.advance_to(400.0)
    assert center.release("a").state is AgentState.OFFLINE


def test_an_unknown_agent_is_an_error() -> None:
    with pytest.raises(UnknownAgentError, match="nobody"):
        Center([], []).reserve("nobody")


# Several call queues.

SALES_AND_CLAIMS = (CallQueue("sales", 10.0), CallQueue("claims", 30.0))


def call(number: int, at: float, queue: str, talk: float = 50.0, patience: float = 300.0) -> Call:
    return Call(number, at, patience, talk, 10.0, queue)


def test_a_call_goes_to_the_longest_idle_agent_who_serves_its_queue() -> None:
    shifts = [Shift("seller", 0.0, 900.0, (), ("sales",)), Shift("both", 5.0, 900.0)]
    shifts.append(Shift("clerk", 3.0, 900.0, (), ("claims",)))
    calls = [
        call(0, 100.0, "claims"),
        call(1, 101.0, "claims"),
        call(2, 102.0, "sales"),
        call(3, 103.0, "sales"),
    ]
    center = Center(calls, shifts, queues=SALES_AND_CLAIMS)
    center.run()
    assert [o.agent for o in center.outcomes] == ["clerk", "both", "seller", "both"]
    assert center.queues_of("both") == ["claims", "sales"]


def test_an_agent_who_comes_free_takes_the_oldest_call_of_its_queues() -> None:
    calls = [call(0, 10.0, "sales"), call(1, 20.0, "claims"), call(2, 21.0, "sales"), call(3, 22.0, "claims")]
    center = Center(calls, [Shift("a", 0.0, 900.0)], queues=SALES_AND_CLAIMS, ring_s=0.0)
    center.run()
    assert [o.answered_at for o in center.outcomes] == [10.0, 70.0, 130.0, 190.0]


def test_a_queue_of_higher_priority_goes_first() -> None:
    queues = (CallQueue("sales", 10.0, priority=1), CallQueue("claims", 30.0))
    calls = [call(0, 10.0, "sales"), call(1, 20.0, "claims"), call(2, 21.0, "sales"), call(3, 22.0, "claims")]
    center = Center(calls, [Shift("a", 0.0, 900.0)], queues=queues, ring_s=0.0)
    assert center.queues_of("a") == ["sales", "claims"]
    center.run()
    assert [o.answered_at for o in center.outcomes] == [10.0, 130.0, 70.0, 190.0]


def test_each_queue_has_its_own_figures_and_target() -> None:
    told: list[QueueFigures] = []
    calls = [
        call(0, 10.0, "sales"),
        call(1, 50.0, "claims"),
        call(2, 51.0, "sales"),
        call(3, 52.0, "sales", patience=5.0),
    ]
    center = Center(
        calls, [Shift("a", 0.0, 900.0)], queues=SALES_AND_CLAIMS, ring_s=0.0, on_queue=told.append
    )
    center.advance_to(54.0)
    assert center.waiting_ages("sales") == [3.0, 2.0]
    assert center.waiting_ages("claims") == [4.0]
    assert center.waiting_ages() == [4.0, 3.0, 2.0]
    assert (center.queue("sales").oldest_wait_s, center.queue().oldest_wait_s) == (3.0, 4.0)
    assert center.queue().waiting == 3
    center.run()
    sales, claims, both = center.queue("sales"), center.queue("claims"), center.queue()
    assert (sales.answered, sales.in_target, sales.abandoned) == (2, 1, 1)
    assert (claims.answered, claims.in_target, claims.abandoned) == (1, 1, 0)
    assert (both.offered, both.resolved, both.in_target, both.queue) == (4, 4, 2, None)
    assert (both.handled, both.handled_s) == (3, 180.0)
    assert {f.queue for f in told} == {"sales", "claims"}
    assert told[-1] == sales._replace(at=told[-1].at, handled=1, handled_s=60.0)


def test_queues_are_known_by_the_calls_and_shifts_that_name_them() -> None:
    center = Center([call(0, 10.0, "sales")], [Shift("a", 0.0, 900.0, (), ("claims",))], tau_s=15.0)
    assert center.queues == [CallQueue("sales", 15.0), CallQueue("claims", 15.0)]
    center.run()
    assert center.queue("sales").abandoned == 1


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(UnknownQueueError, match="no call queue 'loans', only sales, claims"):
        Center([call(0, 1.0, "loans")], [], queues=SALES_AND_CLAIMS)
    with pytest.raises(UnknownQueueError, match="'loans'"):
        Center([], [Shift("a", 0.0, 9.0, (), ("loans",))], queues=SALES_AND_CLAIMS)
    with pytest.raises(UnknownQueueError, match="'loans'"):
        Center([], [], queues=SALES_AND_CLAIMS).queue("loans")
    with pytest.raises(ValueError, match="number calls from 0"):
        Center([call(4, 1.0, "sales")], [])
    with pytest.raises(ValueError, match="agent a has two shifts"):
        Center([], [Shift("a", 0.0, 9.0), Shift("a", 10.0, 19.0)])


def test_an_agent_nobody_reserved_gets_calls_whatever_else_it_does() -> None:
    """Without control of the ACD an agent on a task stays available there, so a call reaches it."""
    center = Center([one_call()], [Shift("a", 0.0, 900.0)])
    center.advance_to(99.0)
    assert center.state_of("a") is AgentState.AVAILABLE
    center.advance_to(100.0)
    assert center.state_of("a") is AgentState.RINGING


def test_calls_come_in_order_of_arrival_whatever_the_order_of_the_list() -> None:
    center = Center([call(0, 50.0, "q"), call(1, 10.0, "q")], [Shift("a", 0.0, 900.0)], ring_s=0.0)
    center.run()
    assert [o.answered_at for o in center.outcomes] == [70.0, 10.0]


# What holds on any day, whatever a driver does to it.

SKILLS = st.sampled_from([(), ("a",), ("b",), ("a", "b"), ("c",)])
LENGTHS = st.floats(0.0, 400.0)


@st.composite
def days(draw: st.DrawFn) -> tuple[list[Call], list[Shift]]:
    arrivals = sorted(draw(st.lists(st.floats(0.0, 3000.0), max_size=40)))
    calls = [
        Call(n, at, draw(LENGTHS), draw(LENGTHS), draw(LENGTHS), draw(st.sampled_from("abc")))
        for n, at in enumerate(arrivals)
    ]
    shifts = []
    for n in range(draw(st.integers(0, 6))):
        start = draw(st.floats(0.0, 2000.0))
        breaks = ((start + 200.0, start + 300.0), (start + 700.0, start + 900.0))
        shifts.append(
            Shift(f"agent-{n}", start, start + draw(st.floats(1000.0, 3000.0)), breaks, draw(SKILLS))
        )
    return calls, shifts


QUEUES = (CallQueue("a", 10.0), CallQueue("b", 20.0, 1), CallQueue("c", 30.0))
TOUCHES = st.lists(st.tuples(st.floats(0.0, 4000.0), st.integers(0, 5), st.booleans()), max_size=30)


@settings(max_examples=150, deadline=None)
@given(days(), TOUCHES, st.sampled_from([0.0, 1.5]))
def test_any_day_is_played_in_good_order(
    day: tuple[list[Call], list[Shift]], touches: list[tuple[float, int, bool]], ring_s: float
) -> None:
    calls, shifts = day
    center = Center(calls, shifts, queues=QUEUES, ring_s=ring_s)
    for at, agent, takes in sorted(touches):
        center.advance_to(at)
        name = f"agent-{agent}"
        if name in center.agents:
            (center.reserve if takes else center.release)(name)
    for name in center.agents:
        center.release(name)
    center.run()
    _each_call_is_resolved_once(center)
    for shift in shifts:
        _the_agent_does_one_thing_at_a_time(
            center, shift, [c for c in center.history if c.agent == shift.agent]
        )
    _nobody_waits_beside_an_idle_agent(center)


def _each_call_is_resolved_once(center: Center) -> None:
    figures = center.queue()
    assert figures.offered == len(center.calls) == figures.resolved
    assert figures.waiting == 0
    for one, outcome in zip(center.calls, center.outcomes, strict=True):
        assert (outcome.answered_at is None) != (outcome.abandoned_at is None)
        assert (outcome.agent is None) == (outcome.answered_at is None)
        if outcome.agent is not None:
            assert one.queue in center.queues_of(outcome.agent)
        if outcome.abandoned_at is not None:
            assert outcome.abandoned_at == one.arrives_at + one.patience_s
    for queue in "abc":
        rung = [c.call for c in center.history if c.state is AgentState.ON_CALL and c.call is not None]
        order = [n for n in rung if center.calls[n].queue == queue]
        arrivals = [center.calls[n].arrives_at for n in order]
        assert len(set(order)) == len(order)
        assert arrivals == sorted(arrivals)


def _the_agent_does_one_thing_at_a_time(center: Center, shift: Shift, changes: Sequence[AgentChange]) -> None:
    before = AgentState.OFFLINE
    for change in changes:
        assert change.before is before
        before = change.state
    assert before is AgentState.OFFLINE
    answered = [c.call for c in changes if c.state is AgentState.ON_CALL]
    assert answered == [
        o[0]
        for o in sorted(enumerate(center.outcomes), key=lambda o: (o[1].answered_at or 0.0, o[0]))
        if o[1].agent == shift.agent
    ]
    pauses = sum(c.state is AgentState.NOT_READY for c in changes)
    # Breaks that are owed are taken one after the other, unless the shift ends first.
    assert pauses == len(shift.breaks) or changes[-1].at >= shift.end


def _nobody_waits_beside_an_idle_agent(center: Center) -> None:
    idle_spans: dict[str, list[tuple[float, float]]] = {agent: [] for agent in center.agents}
    since: dict[str, float] = {}
    for change in center.history:
        if change.state is AgentState.AVAILABLE:
            since[change.agent] = change.at
        elif change.before is AgentState.AVAILABLE:
            idle_spans[change.agent].append((since[change.agent], change.at))
    rings = {
        c.call: c.at for c in reversed(center.history) if c.state in (AgentState.RINGING, AgentState.ON_CALL)
    }
    for one, outcome in zip(center.calls, center.outcomes, strict=True):
        ends = outcome.abandoned_at if outcome.abandoned_at is not None else rings[one.number]
        for agent, spans in idle_spans.items():
            if one.queue in center.queues_of(agent):
                assert not any(max(a, one.arrives_at) < min(b, ends) for a, b in spans)


def test_two_drivers_see_the_same_calls(day: Day) -> None:
    """One leaves the agents alone, the other takes some away: what chance decides of a call does not change."""
    alone, disturbed = day.center(), day.center()
    alone.run()
    at = day.opens_at
    while disturbed.next_event_at() is not None:
        at += 60.0
        disturbed.advance_to(at)
        for agent in disturbed.agents[::3]:
            (disturbed.reserve if int(at / 60) % 2 else disturbed.release)(agent)
    assert disturbed.calls == alone.calls
    assert [o.arrived_at for o in disturbed.outcomes] == [o.arrived_at for o in alone.outcomes]
    assert disturbed.queue().service_level < alone.queue().service_level
    talked = {(a.call, round(b.at - a.at, 6)) for center in (alone, disturbed) for a, b in _talks(center)}
    assert len(talked) == len({number for number, _ in talked})


def _talks(center: Center) -> list[tuple[AgentChange, AgentChange]]:
    begun: dict[int | None, AgentChange] = {}
    talks = []
    for change in center.history:
        if change.state is AgentState.ON_CALL:
            begun[change.call] = change
        elif change.state is AgentState.AFTER_CALL:
            talks.append((begun[change.call], change))
    return talks


@pytest.mark.parametrize("patience_s", [math.inf, 300.0])
def test_a_steady_center_serves_as_erlang_says(patience_s: float) -> None:
    """Exponential calls at 20 agents, whom callers of endless patience or of some wait for: Erlang C, and Erlang A."""
    load, aht_s = 17.0, 180.0
    patience = Exponential(patience_s) if patience_s < math.inf else Deterministic(math.inf)
    handling = Handling(Exponential(aht_s), after_share=0.1, patience=patience)
    formula = ErlangA(20, load, aht_s, patience_s)
    levels, given_up = [], []
    for run in range(10):
        rng, at, arrivals = random.Random(run), 0.0, []
        while at < 40_000.0:
            at += rng.expovariate(load / aht_s)
            arrivals.append(at)
        calls = draw_calls(arrivals, f"{run}", handling)
        center = Center(calls, [Shift(f"a{i}", -1.0, 1e9) for i in range(20)], ring_s=0.0)
        center.advance_to(4000.0)
        warm = center.queue()
        center.advance_to(1e6)
        figures = center.queue()
        resolved = figures.resolved - warm.resolved
        levels.append((figures.in_target - warm.in_target) / resolved)
        given_up.append((figures.abandoned - warm.abandoned) / resolved)
    assert _agrees(levels, float(formula.service_level(20.0)))
    assert _agrees(given_up, float(formula.abandons()))


def _agrees(runs: Sequence[float], expected: float) -> bool:
    """Say whether the formula lies in the runs' confidence interval of 99.9 % (Student, 9 degrees of freedom)."""
    mean = sum(runs) / len(runs)
    spread = math.sqrt(sum((run - mean) ** 2 for run in runs) / (len(runs) - 1) / len(runs))
    return abs(mean - expected) <= 4.78 * spread + 1e-12
