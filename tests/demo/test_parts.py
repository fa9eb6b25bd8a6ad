"""What the demo gives to the router: policy, work, clock; and what it notes for itself."""

from __future__ import annotations

import math
from dataclasses import fields
from datetime import timedelta

import pytest
import yaml

from demo.book import Book
from demo.day import make_day
from demo.policy import policy_as_played, policy_text
from demo.scale import JITTER_S, Scale, SimClock, Timers
from demo.work import KINDS, agent_profile, mean_work_s, plan_backlog, total_for, work_type
from router.policies.blending import PolicyDocument, build_policy
from router.policies.blending.laws.base import Law


@pytest.mark.parametrize("speed", [1.0, 60.0, 300.0])
def test_the_policy_is_one_that_the_router_takes_and_scales_with_the_speed(speed: float) -> None:
    text = policy_text("service", 0.8, Scale(speed))
    document = PolicyDocument.parse(text)
    assert document.target_s == pytest.approx(20.0 / speed, rel=1e-4)
    assert document.acd_control
    assert document.call_queues == ("service",)
    assert set(yaml.safe_load(text)) <= set(PolicyDocument().to_mapping())


REVIEWED = {
    "notice_s": "the demo's agents take up to 6 s to wrap up",
    "recall_guard_s": "covers the jitter of real processes",
    "recall_reaction_initial_s": "a belief, measured soon",
    "work_lost_initial_s": "a belief, measured soon",
    "stale_after_s": "guards a real process",
    "update_interval_s": "the law does the same with any from 5 to 300 s",
}


def test_every_time_of_the_default_policy_is_in_the_demos_time() -> None:
    given = yaml.safe_load(policy_text("service", 0.8, Scale(300.0)))
    law = build_policy(PolicyDocument())
    assert isinstance(law, Law)
    assert "law" not in given
    for constants, told in ((PolicyDocument(), given), (law.parameters, given["parameters"])):
        defaults = {f.name: getattr(constants, f.name) for f in fields(constants) if f.name.endswith("_s")}
        kept = {name: value for name, value in defaults.items() if name not in REVIEWED}
        assert {name: told.get(name) for name in kept} == pytest.approx(
            {name: value / 300.0 for name, value in kept.items()}, rel=1e-3
        ), "demo/scale.py and demo/policy.py need the new default"
        assert set(told) >= set(defaults)


def test_the_policy_as_played_is_the_same_on_the_days_own_clock() -> None:
    wall, day = (
        PolicyDocument.parse(make("service", 0.8, Scale(300.0))) for make in (policy_text, policy_as_played)
    )
    assert day.target_s == pytest.approx(20.0)
    assert day.recall_guard_s == pytest.approx(300.0 * JITTER_S)
    assert day.stale_after_s == 10.0
    assert day.interruptions_per_agent_hour == 6
    for name in ("target_s", "longest_wait_s", "notice_s", "min_idle_s", "update_interval_s"):
        assert getattr(day, name) == pytest.approx(300.0 * getattr(wall, name), rel=1e-3)
    assert day.parameters["highest_price_s"] == pytest.approx(300.0 * wall.parameters["highest_price_s"])


def test_the_guard_of_a_recall_covers_the_jitter_of_real_processes() -> None:
    assert Timers().on_the_wall(Scale(1.0)).recall_slack_s == pytest.approx(2.0)
    assert Timers().on_the_wall(Scale(300.0)).recall_slack_s == pytest.approx(JITTER_S)
    fast = Timers().on_the_wall(Scale(1000.0))
    assert fast.notice_s + fast.recall_slack_s < fast.tau_s


def test_a_simulated_moment_and_back() -> None:
    clock = SimClock(Scale(300.0), 25_200.0, lambda: 0.0)
    later = clock.moment(25_500.0)
    assert later - clock.moment(25_200.0) == timedelta(seconds=1)
    assert clock.sim_of(later) == pytest.approx(25_500.0)


def test_the_same_seed_plans_the_same_work_for_another_run() -> None:
    one, other = (plan_backlog(run, 500, 7, 25_200.0, 75_900.0) for run in ("a", "b"))
    assert [t.work_s for t in one.by_id.values()] == [t.work_s for t in other.by_id.values()]
    assert len(one.waiting) + len(one.coming) == len(one.by_id) == 500
    assert all(25_200.0 < task.at < 75_900.0 for task in one.coming)
    assert [task.at for task in one.coming] == sorted(task.at for task in one.coming)
    assert {task.kind.name for task in one.by_id.values()} == {kind.name for kind in KINDS}
    mean = sum(task.work_s for task in one.by_id.values()) / 500
    assert mean == pytest.approx(mean_work_s(), rel=0.15)
    assert total_for(80.0) * mean_work_s() > 80 * 3600


def test_every_kind_of_work_finds_agents_who_may_do_it() -> None:
    agents = [agent_profile(f"agent-{i:02d}", "front", 7) for i in range(60)]
    levels = [{skill.skill: skill.level for skill in agent.skills} for agent in agents]
    for kind in KINDS:
        able = sum(all(have.get(s, 0) >= level for s, level in kind.skills.items()) for have in levels)
        assert able >= 10, kind.name
    assert {kind.interruptible for kind in KINDS} == {True, False}


def test_work_types_use_all_four_orders_in_the_demos_time() -> None:
    scale = Scale(300.0)
    made = [work_type(kind, scale, Timers().on_the_wall(scale)) for kind in KINDS]
    rules = {work.urgency.WhichOneof("rule") for work in made}
    assert rules == {"strict_priority", "earliest_due", "linear_aging", "curve"}
    assert made[0].service_goal.ToNanoseconds() == pytest.approx(8 * 3600 / 300 * 1e9)


def test_the_reserve_is_noted_at_changes_and_not_while_nothing_goes_out() -> None:
    book = Book()
    for at, is_open, firm in (
        (0.0, True, 3),
        (1.0, True, 3),
        (2.0, True, 10),
        (3.0, False, 10),
        (4.0, False, 10),
    ):
        book.gate_seen(at, is_open, staff=10, reserve=1, firm=firm)
    assert book.gate == [(0.0, True), (3.0, False)]
    assert [at for at, _ in book.reserve] == [0.0, 3.0]
    assert [(at, math.isnan(firm)) for at, firm in book.firm] == [(0.0, False), (2.0, True)]


def test_a_recall_is_measured_until_the_agent_is_back() -> None:
    book = Book()
    book.recalled("a", 10.0)
    book.back("b", 11.0)
    book.back("a", 17.5)
    book.back("a", 30.0)
    assert book.reactions_s == [7.5]


def test_the_center_knows_how_long_calls_wait() -> None:
    center = make_day().center()
    center.advance_to(36_000.0)
    ages = center.waiting_ages()
    assert ages == sorted(ages, reverse=True)
    assert len(ages) == center.queue().waiting
