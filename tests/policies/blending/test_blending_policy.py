"""The laws from snapshot to gate: what opens, what closes, what is explained, how long it takes."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.policies.blending import reserve as reserve_module
from router.policies.blending.document import PolicyDocument
from router.policies.blending.model import Candidate, ForecastInterval, GateDecision, Snapshot
from router.policies.blending.protocol import Memory
from router.policies.blending.registry import BUILT_IN_LAWS, build_policy

HALF_HOUR_MS = 1_800_000


def day(calls: float, staff: float | None = None) -> tuple[ForecastInterval, ...]:
    return tuple(ForecastInterval(h * HALF_HOUR_MS, (h + 1) * HALF_HOUR_MS, calls, staff) for h in range(16))


def look(staff: int = 40, calls: float = 240.0, **changes: Any) -> Snapshot:
    """40 agents at 240 calls of 240 s a half hour: a load of 32 erlangs."""
    base = Snapshot(
        now_ms=600_000,
        idle=10,
        on_call=min(27, staff),
        logged_in=staff,
        on_tasks=3,
        window_end_ms=16 * HALF_HOUR_MS,
        forecast=day(calls),
        aht_s=240.0,
        task_s=300.0,
        recall_reaction_s=10.0,
        work_lost_s=30.0,
    )
    return replace(base, **changes)


def to_go(**changes: Any) -> PolicyDocument:
    """The law most of these tests are about; what laws share is tested with it too."""
    return PolicyDocument(law="service_level_to_go", **changes)


def decide(snapshot: Snapshot, document: PolicyDocument | None = None) -> GateDecision:
    return build_policy(document or to_go()).decide(snapshot, Memory())[0]


def test_a_group_with_time_to_spare_opens_with_recall_armed_and_a_larger_reserve_for_firm_work() -> None:
    gate = decide(look())
    assert gate.open
    assert gate.armed
    assert gate.recall_age_s == pytest.approx(8.0)
    assert 1 <= gate.reserve < gate.reserve_firm < 40
    assert gate.allowance == 40 - gate.reserve
    assert gate.rate_per_s == pytest.approx(240 / 1800)


@pytest.mark.parametrize("law", BUILT_IN_LAWS)
@pytest.mark.parametrize("age", [10.001, None, float("nan"), float("inf")])
def test_every_law_closes_on_stale_data_and_remembers_what_it_knew(law: str, age: float | None) -> None:
    policy = build_policy(PolicyDocument(law=law))
    _, memory = policy.decide(look(), Memory())
    gate, after = policy.decide(look(feed_age_s=age, now_ms=900_000), memory)
    assert not gate.open
    assert gate.allowance == 0
    assert gate.reserve == 40
    assert gate.explanation["reason"] == "the telephony feed is stale"
    assert not gate.recall_all
    assert after == memory


def test_running_tasks_come_back_on_stale_data_where_the_policy_says_so() -> None:
    policy = build_policy(PolicyDocument(recall_on_stale=True))
    stale = look(feed_age_s=60.0)
    gate, _ = policy.decide(stale, Memory())
    task = Candidate("a", "t", 0, True, 100.0)
    assert gate.recall_all
    assert [r.agent_id for r in policy.recalls(stale, gate, [task]).recalls] == ["a"]


@pytest.mark.parametrize("law", BUILT_IN_LAWS)
def test_no_law_opens_without_staff(law: str) -> None:
    gate = decide(look(staff=0, idle=0, on_tasks=0), PolicyDocument(law=law))
    assert not gate.open
    assert gate.allowance == 0
    assert gate.explanation["reason"] == "no agent is logged in"


def test_overload_closes_the_gate_yet_running_tasks_can_be_recalled() -> None:
    gate = decide(look(calls=400.0))
    assert not gate.open
    assert gate.armed
    assert gate.reserve == 40
    assert gate.explanation["reason"] == "every agent is needed for calls"
    assert gate.explanation["target_reachable_without_recall"] == "no"


def test_a_day_without_any_call_gives_all_agents_to_tasks() -> None:
    gate = decide(look(calls=0.0, on_call=0))
    assert gate.open
    assert gate.reserve == gate.reserve_firm == 0
    assert gate.rate_per_s == 0.0


def test_without_a_forecast_the_calls_in_work_are_believed() -> None:
    gate = decide(look(forecast=()))
    assert gate.open
    assert gate.rate_per_s == pytest.approx(27 / 240)
    assert gate.tasks_ahead is None


def test_a_lone_agent_is_never_given_a_task_while_recall_is_armed() -> None:
    gate = decide(look(staff=1, calls=3.0, idle=1, on_call=0, on_tasks=0))
    assert gate.armed
    assert gate.reserve == 1
    assert not gate.open


def test_a_bad_day_needs_more_reserve_than_a_good_one() -> None:
    document = to_go(recall_enabled=False)
    good = decide(look(answered=1000, answered_in_target=950), document)
    bad = decide(look(answered=1000, answered_in_target=600), document)
    assert bad.required_service_level > good.required_service_level
    assert bad.reserve > good.reserve


def test_slow_recall_falls_back_to_the_reserve_without_recall() -> None:
    slow, off = decide(look(recall_reaction_s=20.0)), decide(look(), to_go(recall_enabled=False))
    assert not slow.armed
    assert slow.recall_age_s is None
    assert slow.reserve == slow.reserve_firm == off.reserve


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf"), -5.0, 0.0])
def test_measurements_that_are_no_times_give_way_to_the_beliefs_of_the_document(bad: float | None) -> None:
    assert decide(look(aht_s=bad, task_s=bad)) == decide(look())


def test_hysteresis_raises_the_reserve_only_after_danger() -> None:
    document = to_go(hysteresis_agents=2)
    calm = decide(look(), document)
    assert calm.reserve == decide(look()).reserve
    for danger in ({"last_recall_ms": 541_000}, {"returning": 1}):
        gate = decide(look(**danger), document)
        assert (gate.reserve, gate.reserve_firm) == (calm.reserve + 2, calm.reserve_firm + 2)
    assert decide(look(last_recall_ms=540_000), document).reserve == calm.reserve


def test_the_largest_share_on_tasks_bounds_the_allowance() -> None:
    assert decide(look(staff=100), to_go(max_share_on_tasks=0.29)).allowance == 29
    none = decide(look(), to_go(max_share_on_tasks=0.0))
    assert not none.open
    assert "max_share_on_tasks" in str(none.explanation["reason"])


def test_staff_that_leaves_is_seen_ahead() -> None:
    calls, staff = day(200.0, 40.0)[:1], day(200.0, 20.0)[1:]
    now_ms = HALF_HOUR_MS - 60_000
    gate = decide(look(forecast=calls + staff, now_ms=now_ms))
    load = 200 / 1800 * 240
    assert gate.tasks_ahead == pytest.approx(max(0.0, 20 - load + math.sqrt(load)))
    assert decide(look(forecast=day(200.0), now_ms=now_ms)).tasks_ahead == pytest.approx(
        40 - load + math.sqrt(load)
    )


def test_the_simple_laws() -> None:
    greedy = decide(look(), PolicyDocument(law="greedy"))
    assert (greedy.open, greedy.reserve, greedy.allowance, greedy.armed) == (True, 0, 40, False)
    static = decide(look(), PolicyDocument(law="static_reserve", static_reserve=7))
    assert (static.open, static.reserve, static.reserve_firm, static.allowance) == (True, 7, 7, 33)
    nothing = decide(look(), PolicyDocument(law="no_blending"))
    assert not nothing.open
    assert nothing.allowance == 0
    assert nothing.armed


def test_the_forecast_schedule_is_a_plan_that_the_day_does_not_change() -> None:
    document = PolicyDocument(law="forecast_schedule", margin=0.02)
    plan = decide(look(forecast=day(240.0, 40.0)), document)
    assert plan.open
    assert plan.armed
    assert plan.rate_per_s == pytest.approx(240 / 1800)
    assert plan.required_service_level == pytest.approx(0.82)
    policy, memory = build_policy(document), Memory()
    for hour, bad in enumerate(({"answered": 900}, {"waiting_ages_s": (60.0, 30.0)}, {"arrivals": 5000})):
        snapshot = look(forecast=day(240.0, 40.0), now_ms=600_000 + hour * 2 * HALF_HOUR_MS, **bad)
        gate, memory = policy.decide(snapshot, memory)
        assert (gate.reserve, gate.reserve_firm, gate.armed) == (plan.reserve, plan.reserve_firm, plan.armed)


def test_the_forecast_schedule_plans_with_the_scheduled_staff_and_the_forecast_of_the_interval() -> None:
    document = PolicyDocument(law="forecast_schedule", recall_enabled=False)
    ample, scarce = (decide(look(forecast=day(240.0, staff)), document) for staff in (44.0, 37.0))
    assert ample.reserve < scarce.reserve
    assert not ample.armed
    unknown = decide(look(forecast=day(240.0)), document)
    assert unknown.reserve == decide(look(forecast=day(240.0, 40.0)), document).reserve
    quiet = day(240.0, 40.0)[:1] + day(120.0, 40.0)[1:]
    later = decide(look(forecast=quiet, now_ms=HALF_HOUR_MS), document)
    assert later.reserve < decide(look(forecast=quiet), document).reserve


def test_the_forecast_schedule_pushes_nothing_where_nothing_is_forecast() -> None:
    gate = decide(look(forecast=()), PolicyDocument(law="forecast_schedule"))
    assert not gate.open
    assert gate.armed
    assert gate.explanation["reason"] == "the forecast says nothing of this time"


def adapted(document: PolicyDocument, *counts: tuple[int, int], staff: int = 40) -> list[int]:
    """The reserves of an adaptive threshold after looks at (calls answered, in target) so far."""
    policy, memory, reserves = build_policy(document), Memory(), []
    for step, (answered, hits) in enumerate(counts):
        snapshot = look(staff=staff, now_ms=30_000 * step, answered=answered, answered_in_target=hits)
        gate, memory = policy.decide(snapshot, memory)
        reserves.append(gate.reserve)
    return reserves


def adaptive(**changes: Any) -> PolicyDocument:
    parameters = {"first_threshold": 5, "agents_per_call": 0.5}
    return PolicyDocument(law="adaptive_threshold", parameters=parameters, margin=0.0, **changes)


def test_the_adaptive_threshold_rises_by_late_calls_and_falls_by_those_in_time() -> None:
    # A late call: 0.5 · 0.8 = 0.4 up; one in time: 0.5 · 0.2 = 0.1 down. At 80 % it stays.
    assert adapted(adaptive(), (100, 80), (110, 80), (110, 80), (130, 100), (180, 140)) == [5, 9, 9, 7, 7]


def test_the_adaptive_threshold_keeps_within_the_staff_and_survives_a_new_day() -> None:
    assert adapted(adaptive(), (0, 0), (500, 0), (520, 20), staff=12) == [5, 12, 10]
    assert adapted(adaptive(), (100, 80), (110, 80), (3, 3), (13, 13)) == [5, 9, 9, 8]
    assert adapted(adaptive(recall_enabled=False), (0, 0), (900, 900)) == [5, 0]
    assert adapted(adaptive(), (0, 0), (900, 900)) == [5, 1]


def test_the_numbers_of_one_law_are_not_read_by_another() -> None:
    _, memory = build_policy(adaptive()).decide(look(answered=10, answered_in_target=1), Memory())
    assert memory.own["threshold"] == 5.0
    _, memory = build_policy(to_go()).decide(look(now_ms=700_000), memory)
    assert (memory.law, dict(memory.own)) == ("service_level_to_go", {})


def test_the_same_input_gives_the_same_decision() -> None:
    policy = build_policy(to_go())
    first = policy.decide(look(), Memory())
    reserve_module._solved.cache_clear()
    assert policy.decide(look(), Memory()) == first


def test_the_memory_carries_the_nowcast_on() -> None:
    policy = build_policy(to_go())
    _, memory = policy.decide(look(calls=200.0, now_ms=0), Memory())
    gate, _ = policy.decide(look(calls=200.0, now_ms=HALF_HOUR_MS, arrivals=400), memory)
    # Twice the forecast was seen: r = (200 + 400) / (200 + 200).
    assert gate.rate_per_s == pytest.approx(1.5 * 200 / 1800)
    assert gate.explanation["nowcast_ratio"] == pytest.approx(1.5)


snapshots = st.builds(
    Snapshot,
    now_ms=st.integers(0, 20 * HALF_HOUR_MS),
    idle=st.integers(0, 80),
    on_call=st.integers(0, 80),
    logged_in=st.integers(0, 80),
    on_tasks=st.integers(0, 80),
    window_end_ms=st.integers(0, 20 * HALF_HOUR_MS),
    waiting_ages_s=st.lists(st.floats(0.0, 300.0), max_size=5).map(tuple),
    answered=st.integers(0, 5000),
    answered_in_target=st.integers(0, 5000),
    abandoned=st.integers(0, 500),
    short_abandoned=st.integers(0, 500),
    arrivals=st.integers(0, 6000),
    forecast=st.floats(0.0, 2000.0).map(day) | st.just(()),
    aht_s=st.none() | st.floats(),
    task_s=st.none() | st.floats(),
    recall_reaction_s=st.none() | st.floats(),
    work_lost_s=st.none() | st.floats(),
    feed_age_s=st.none() | st.floats(0.0, 12.0),
)


@settings(max_examples=200)
@given(st.sampled_from(BUILT_IN_LAWS), snapshots, snapshots)
def test_whatever_is_seen_the_decision_makes_sense(law: str, first: Snapshot, second: Snapshot) -> None:
    policy = build_policy(PolicyDocument(law=law))
    memory = Memory()
    for snapshot in (first, second):
        gate, memory = policy.decide(snapshot, memory)
        assert 0 <= gate.reserve <= gate.reserve_firm <= snapshot.logged_in
        assert 0 <= gate.allowance <= snapshot.logged_in - gate.reserve or not gate.open
        assert gate.open == (gate.allowance > 0)
        assert not gate.open or not PolicyDocument().is_stale(snapshot.feed_age_s)
        assert gate.armed == (gate.recall_age_s is not None)
        assert gate.explanation["reason"]
        assert gate.explanation["law"] == law
        numbers = [v for v in gate.explanation.values() if isinstance(v, float)]
        assert all(map(math.isfinite, [gate.required_service_level, gate.rate_per_s, *numbers]))


@pytest.mark.parametrize("law", ["lateness_price", "service_level_to_go", "forecast_schedule"])
@pytest.mark.parametrize(("staff", "bound_ms"), [(500, 30.0), (1000, 60.0)])
def test_a_decision_for_a_large_group_takes_bounded_time(law: str, staff: int, bound_ms: float) -> None:
    """The goal is 10 ms at 500 agents, and 1 is usual; test machines differ."""
    policy = build_policy(PolicyDocument(law=law))
    snapshot = look(staff=staff, calls=staff * 7.0, answered=20_000, answered_in_target=15_000)
    spent = []
    for _ in range(5):
        reserve_module._solved.cache_clear()
        begin = time.thread_time()
        policy.decide(snapshot, Memory())
        spent.append((time.thread_time() - begin) * 1000.0)
    assert min(spent) < bound_ms
