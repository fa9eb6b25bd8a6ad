"""The simulated contact center: the same day twice, no call lost, and a sane baseline."""

from __future__ import annotations

import random
from datetime import date

import pytest

from callcenter import staffing
from callcenter.center import AgentState, Call, Center, Handling, UnknownAgentError, draw_calls
from callcenter.staffing import Shift
from callcenter.volumes import DEMO_DAY, arrival_times, half_hours, load, thin
from demo.day import Day, DayOptions, make_day
from demo.figures import activities, per_half_hour, running, seconds_by_state, service_level


@pytest.fixture(scope="module")
def day() -> Day:
    return make_day()


def one_call(at: float = 100.0, talk: float = 50.0) -> Call:
    return Call(0, at, patience_s=30.0, talk_s=talk, after_s=10.0)


def states_of(center: Center, agent: str) -> list[tuple[float, AgentState]]:
    return [(c.at, c.state) for c in center.history if c.agent == agent]


def test_the_volumes_hold_the_day_and_its_six_same_weekdays() -> None:
    volumes = load()
    assert volumes.opens_at == 7 * 3600
    previous = volumes.previous_same_weekdays(DEMO_DAY)
    assert previous[0] == date(2003, 6, 12)
    assert len(volumes.days) == 7
    mean = sum(volumes.days[d][0] for d in previous) / 6
    assert volumes.forecast(DEMO_DAY)[0] == pytest.approx(mean)
    with pytest.raises(ValueError, match="6 are needed"):
        volumes.forecast(previous[-1])


def test_thinning_and_arrivals_keep_the_counts() -> None:
    counts = [100, 0, 50]
    assert thin(counts, 1.0, random.Random(1)) == counts
    assert sum(thin([10_000], 0.125, random.Random(1))) == pytest.approx(1250, rel=0.1)
    times = arrival_times(counts, 1000, random.Random(1))
    assert times == sorted(times)
    assert [sum(1000 + 300 * i <= t < 1300 + 300 * i for t in times) for i in range(3)] == counts
    with pytest.raises(ValueError, match="keep"):
        thin(counts, 0.0, random.Random(1))


def test_a_short_last_half_hour_counts_at_its_rate() -> None:
    assert half_hours([1.0] * 6 + [2.0]) == [6.0, 12.0]


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


def test_erlang_c_matches_known_values() -> None:
    assert staffing.erlang_c(1, 0.5) == pytest.approx(0.5)
    # Exact cases of the control law's description: servers, occupancy, handling time -> service level.
    for servers, occupancy, aht, level in (
        (20, 0.75, 180, 0.908),
        (50, 0.8, 180, 0.971),
        (50, 0.88, 240, 0.828),
    ):
        shown = staffing.service_level(servers, servers * occupancy, aht, 20)
        assert shown == pytest.approx(level, abs=0.001)
    assert staffing.service_level(5, 6.0, 240, 20) == 0.0


def test_a_steady_center_serves_as_erlang_c_says() -> None:
    """Exponential calls and endless patience: the model must agree with the formula."""
    rng = random.Random(3)
    handling = Handling(aht_s=180.0, cv=1.0, after_share=0.1, patience_s=1e9)
    arrivals, at = [], 0.0
    while at < 400_000:
        at += rng.expovariate(15 / 180)
        arrivals.append(at)
    calls = [
        Call(c.number, c.arrives_at, c.patience_s, handled * 0.9, handled * 0.1)
        for c in draw_calls(arrivals, rng, handling)
        for handled in (rng.expovariate(1 / 180),)
    ]
    center = Center(calls, [Shift(f"a{i}", 0.0, 1e9) for i in range(20)], ring_s=0.0)
    center.advance_to(1e6)
    assert center.queue().service_level == pytest.approx(0.908, abs=0.015)


def test_the_plan_covers_what_erlang_c_asks_for(day: Day) -> None:
    needed = staffing.requirement(half_hours(day.forecast), 240.0, 0.8, 20.0)
    for quarter in range(4 * 14):
        at = day.opens_at + quarter * 900
        assert staffing.staffed(day.shifts, at) >= needed[quarter // 2]
    present = max(sum(s.start <= t < s.end for s in day.shifts) for t in range(25_200, 76_500, 900))
    assert 36 <= present <= 44


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
