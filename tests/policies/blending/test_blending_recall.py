"""Recall: exactly as many as needed, least cost first, never what may not be interrupted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.policies.blending.document import PolicyDocument
from router.policies.blending.model import Candidate, GateDecision, RecallAction, RecallReason, Snapshot
from router.policies.blending.recall import calls_due, plan_recalls, recall_obstacle, work_at_risk_s

NOW = 10_000_000
DOCUMENT = PolicyDocument()
GATE = GateDecision(True, 20, 1, 5, True, 0.8, 0.1, recall_age_s=8.0)


def look(*ages: float, returning: int = 0, feed_age_s: float | None = 0.0) -> Snapshot:
    return Snapshot(
        now_ms=NOW,
        idle=0,
        on_call=10,
        logged_in=20,
        on_tasks=10,
        window_end_ms=NOW + 3_600_000,
        waiting_ages_s=ages,
        returning=returning,
        recall_reaction_s=10.0,
        feed_age_s=feed_age_s,
    )


def working(
    name: str, started_s: float = 100.0, saved_s: float | None = None, remaining_s: float = 200.0
) -> Candidate:
    saved = None if saved_s is None else NOW - round(saved_s * 1000)
    return Candidate(name, f"task-{name}", NOW - round(started_s * 1000), True, remaining_s, True, saved)


def chosen(snapshot: Snapshot, *candidates: Candidate, gate: GateDecision = GATE) -> list[str]:
    return [r.agent_id for r in plan_recalls(DOCUMENT, snapshot, gate, candidates).recalls]


def test_one_agent_for_each_call_that_would_be_late() -> None:
    crew = [working(name) for name in "abcd"]
    assert chosen(look(12.0, 9.0, 8.0, 7.9, 1.0), *crew) == ["a", "b", "c"]


def test_the_recall_age_is_a_sharp_edge() -> None:
    assert chosen(look(8.0), working("a")) == ["a"]
    assert chosen(look(7.999), working("a")) == []


def test_agents_on_their_way_back_serve_the_first_places() -> None:
    crew = [working(name) for name in "abcd"]
    assert chosen(look(12.0, 9.0, 8.5, returning=2), *crew) == ["a"]
    assert chosen(look(12.0, 9.0, returning=2), *crew) == []


def test_the_next_look_is_when_the_next_call_comes_due() -> None:
    plan = plan_recalls(DOCUMENT, look(5.0, 3.0), GATE, [working("a")])
    assert plan.recalls == ()
    assert plan.next_check_ms == NOW + 3000
    assert plan_recalls(DOCUMENT, look(), GATE, [working("a")]).next_check_ms is None


def test_offers_first_then_freshest_checkpoint_or_newest_start() -> None:
    offered = Candidate("offered", "t", NOW - 90_000, True, 300.0, accepted=False)
    crew = [
        working("old", 300.0),
        working("saved", 300.0, saved_s=5.0),
        working("new", 20.0),
        offered,
    ]
    order = chosen(look(9.0, 9.0, 9.0, 9.0), *crew)
    assert order == ["offered", "saved", "new", "old"]


def test_equal_cost_falls_on_the_agent_interrupted_least_then_by_name() -> None:
    crew = [replace(working("a"), recalls_last_hour=2), working("c"), working("b")]
    assert chosen(look(9.0, 9.0, 9.0), *crew) == ["b", "c", "a"]


def test_an_offer_is_rescinded_and_a_task_recalled() -> None:
    offered = Candidate("a", "t", NOW, False, 300.0, accepted=False)
    plan = plan_recalls(DOCUMENT, look(9.0, 9.0), GATE, [working("b"), offered])
    assert [(r.agent_id, r.action, r.reason) for r in plan.recalls] == [
        ("a", RecallAction.RESCIND, RecallReason.CALL_WAITING),
        ("b", RecallAction.RECALL, RecallReason.CALL_WAITING),
    ]


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (replace(working("a"), interruptible=False), "may not be interrupted"),
        (working("a", remaining_s=10.0), "expected to end"),
        (working("a", started_s=14.9), "minimum dwell"),
        (replace(working("a"), recalls_last_hour=6), "interruption budget"),
    ],
)
def test_what_protects_a_task_is_told(candidate: Candidate, words: str) -> None:
    assert words in (recall_obstacle(DOCUMENT, look(9.0), candidate) or "")
    plan = plan_recalls(DOCUMENT, look(9.0), GATE, [candidate])
    assert plan.recalls == ()
    assert plan.missing == 1


def test_the_edges_of_dwell_budget_and_remaining_time() -> None:
    edge = replace(working("a", started_s=15.0, remaining_s=10.1), recalls_last_hour=5)
    assert recall_obstacle(DOCUMENT, look(9.0), edge) is None


def test_a_call_that_finds_only_tasks_within_their_dwell_is_looked_at_again() -> None:
    assert plan_recalls(DOCUMENT, look(9.0), GATE, [working("a", 3.0)]).next_check_ms == NOW + 1000
    firm = replace(working("a"), interruptible=False)
    assert plan_recalls(DOCUMENT, look(9.0), GATE, [firm]).next_check_ms is None


def test_an_unarmed_gate_recalls_nobody() -> None:
    unarmed = replace(GATE, armed=False, recall_age_s=None)
    assert chosen(look(60.0, 50.0), working("a"), gate=unarmed) == []


def test_the_pace_of_the_acd_is_kept_over_several_calls() -> None:
    slow = replace(DOCUMENT, max_recalls_per_second=3)
    crew = [working(name) for name in "abcdef"]
    plan = plan_recalls(slow, look(*[9.0] * 5), GATE, crew, sent_last_second=1)
    assert len(plan.recalls) == 2
    assert plan.missing == 3
    assert plan.next_check_ms == NOW + 1000


def test_a_shortage_ahead_is_staged() -> None:
    crew = [working(name, remaining_s=500.0) for name in "abcdef"]
    gate = replace(GATE, tasks_ahead=1.4)
    plan = plan_recalls(DOCUMENT, look(), gate, crew)
    assert [r.reason for r in plan.recalls] == [RecallReason.SHORTAGE_AHEAD] * 2
    assert plan.missing == 3
    assert plan.next_check_ms == NOW + 1000
    assert plan_recalls(DOCUMENT, look(), gate, crew, sent_last_second=2).recalls == ()
    assert plan_recalls(replace(DOCUMENT, staged_recalls_per_second=0), look(), gate, crew).recalls == ()


def test_tasks_that_end_by_themselves_in_time_are_no_shortage() -> None:
    crew = [working(name, remaining_s=119.0) for name in "abcdef"]
    assert chosen(look(), *crew, gate=replace(GATE, tasks_ahead=0.0)) == []


def test_waiting_calls_come_before_a_shortage_and_count_towards_it() -> None:
    crew = [working(name, remaining_s=500.0) for name in "abcd"]
    plan = plan_recalls(DOCUMENT, look(9.0), replace(GATE, tasks_ahead=2.0), crew)
    assert [r.reason for r in plan.recalls] == [RecallReason.CALL_WAITING, RecallReason.SHORTAGE_AHEAD]


def test_a_recall_for_a_waiting_call_is_not_made_a_second_time_for_the_shortage() -> None:
    fast = replace(DOCUMENT, staged_recalls_per_second=50)
    crew = [working(name, remaining_s=500.0) for name in "abcdef"]
    plan = plan_recalls(fast, look(9.0, 9.0), replace(GATE, tasks_ahead=3.0), crew)
    assert len(plan.recalls) == 3
    assert plan.missing == 0


def test_staged_recalls_keep_the_pace_of_the_acd_too() -> None:
    slow = replace(DOCUMENT, staged_recalls_per_second=50, max_recalls_per_second=2)
    crew = [working(name, remaining_s=500.0) for name in "abcdef"]
    assert len(plan_recalls(slow, look(9.0), replace(GATE, tasks_ahead=0.0), crew).recalls) == 2


def test_on_a_stale_feed_nobody_is_recalled_unless_the_policy_says_so() -> None:
    crew = [working("a"), replace(working("b"), interruptible=False), working("c", 1.0)]
    assert chosen(look(9.0, feed_age_s=11.0), *crew) == []
    assert chosen(look(9.0, feed_age_s=None), *crew) == []
    all_back = replace(GATE, recall_all=True)
    plan = plan_recalls(DOCUMENT, look(feed_age_s=11.0), all_back, crew)
    assert [(r.agent_id, r.reason) for r in plan.recalls] == [
        ("c", RecallReason.FEED_STALE),
        ("a", RecallReason.FEED_STALE),
    ]


def test_ages_that_are_no_number_recall_nobody() -> None:
    assert chosen(look(float("nan")), working("a")) == []


candidates = st.builds(
    Candidate,
    agent_id=st.uuids().map(str),
    task_id=st.just("t"),
    started_ms=st.integers(NOW - 600_000, NOW + 5000),
    interruptible=st.booleans(),
    expected_remaining_s=st.floats(0.0, 900.0),
    accepted=st.booleans(),
    last_checkpoint_ms=st.none() | st.integers(NOW - 600_000, NOW),
    recalls_last_hour=st.integers(0, 10),
)


@given(
    st.lists(candidates, max_size=20),
    st.lists(st.floats(0.0, 100.0), max_size=20),
    st.integers(0, 10),
    st.none() | st.floats(0.0, 30.0),
    st.integers(0, 250),
)
def test_what_always_holds(
    crew: list[Candidate], ages: list[float], returning: int, ahead: float | None, sent: int
) -> None:
    snapshot = look(*ages, returning=returning)
    plan = plan_recalls(DOCUMENT, snapshot, replace(GATE, tasks_ahead=ahead), crew, sent)
    by_agent = {c.agent_id: c for c in crew}
    picked = [by_agent[r.agent_id] for r in plan.recalls]
    due = calls_due(DOCUMENT, snapshot, GATE)
    urgent = [r for r in plan.recalls if r.reason is RecallReason.CALL_WAITING]
    assert due == max(0, sum(age >= 8.0 for age in ages) - returning)
    assert len(urgent) <= due
    assert len(set(by_agent)) >= len(picked)
    assert len({c.agent_id for c in picked}) == len(picked)
    assert all(c.interruptible or not c.accepted for c in picked)
    assert all(recall_obstacle(DOCUMENT, snapshot, c) is None for c in picked)
    assert len(picked) <= max(0, 200 - sent)
    left = [c for c in crew if c not in picked and recall_obstacle(DOCUMENT, snapshot, c) is None]
    costs = [(c.accepted, work_at_risk_s(NOW, c)) for c in picked]
    assert costs == sorted(costs)
    assert not picked or all((c.accepted, work_at_risk_s(NOW, c)) >= costs[-1] for c in left)
