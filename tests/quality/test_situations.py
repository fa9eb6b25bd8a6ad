"""Days that differ from the standard one in one thing."""

from dataclasses import replace
from datetime import date

import pytest

from callcenter.staffing import staffed
from quality import jobs, synthetic
from quality.contenders import document
from quality.jobs import Cache, Runner
from quality.robustness import cases, spanning
from quality.situations import Situation, Steady, Storm
from router.simulation.days import DayPlan, playable_days

PLAIN = Situation(plan=DayPlan(date=date(2003, 7, 24), keep=1 / 32))


def calls_of(day):
    return [call for queue in day.groups[0].queues for call in queue.calls]


def test_a_storm_triples_the_calls_of_its_half_hour_and_touches_no_other():
    plain, stormy = PLAIN.make(), replace(PLAIN, storm=Storm()).make()
    begin = plain.opens_s + 4 * 3600
    inside = [begin <= call.arrives_at < begin + 1800 for call in calls_of(plain)]
    assert len(calls_of(stormy)) == len(inside) + 2 * sum(inside)
    drawn = {(call.arrives_at, call.talk_s, call.patience_s) for call in calls_of(stormy)}
    assert {(call.arrives_at, call.talk_s, call.patience_s) for call in calls_of(plain)} <= drawn


def test_absent_agents_are_missing_and_known():
    plain, thin = PLAIN.make(), replace(PLAIN, absent=0.25).make()
    assert len(thin.groups[0].agents) == pytest.approx(0.75 * len(plain.groups[0].agents), abs=1)
    shifts = [agent.shift for agent in thin.groups[0].agents]
    forecast = thin.groups[0].queues[0].forecast
    assert [step.staff for step in forecast] == [staffed(shifts, step.start_s) for step in forecast]
    assert calls_of(thin) == calls_of(plain)


def test_shared_queues_hold_the_same_calls():
    plain, shared = PLAIN.make(), replace(PLAIN, shared=True).make()
    assert sorted(call.arrives_at for call in calls_of(shared)) == [c.arrives_at for c in calls_of(plain)]
    served = [agent.shift.queues for agent in shared.groups[0].agents]
    assert {("first",), ("second",), ()} == set(served)


def test_some_hours_of_a_day_have_their_calls_and_everybody_on_duty_from_the_start():
    plain, day = PLAIN.make(), replace(PLAIN, from_h=2.0, until_h=3.0).make()
    begin, end = plain.opens_s + 2 * 3600, plain.opens_s + 3 * 3600
    assert calls_of(day) == [call for call in calls_of(plain) if begin <= call.arrives_at < end]
    assert (day.opens_s, day.closes_s) == (begin, end)
    steps = day.groups[0].queues[0].forecast
    assert (steps[0].start_s, steps[-1].start_s + steps[-1].length_s) == (begin, end)
    there = staffed([agent.shift for agent in plain.groups[0].agents], begin)
    assert staffed([agent.shift for agent in day.groups[0].agents], begin) == there > 0


def test_a_belief_changes_nothing_but_the_belief():
    plain, wrong = PLAIN.make(), replace(PLAIN, aht_belief=0.7).make()
    assert calls_of(wrong) == calls_of(plain)
    assert wrong.groups[0].queues[0].aht_s == pytest.approx(168.0)


def test_a_steady_day_has_the_load_it_is_asked_for():
    day = Steady(agents=20, rate_per_s=1 / 12, aht_s=180, task_s=300, hours=20).make()
    calls = calls_of(day)
    assert len(calls) == pytest.approx(6000, rel=0.05)
    assert sum(call.talk_s + call.after_s for call in calls) / 72_000 == pytest.approx(15, rel=0.07)


def test_synthetic_days_are_the_same_each_time_and_have_a_history(tmp_path):
    first, again = synthetic.write(tmp_path / "a.csv", 3), synthetic.write(tmp_path / "b.csv", 3)
    assert first.read_text() == again.read_text()
    assert playable_days(str(first)) == synthetic.playable()
    assert synthetic.draw_world(3) != synthetic.draw_world(4)


def test_days_are_picked_from_tight_to_slack_among_those_that_meet_their_target(tmp_path, monkeypatch):
    levels = {7: 0.70, 8: 0.81, 9: 0.82, 10: 0.90, 11: 0.99}
    days = [replace(PLAIN, plan=replace(PLAIN.plan, seed=seed)) for seed in levels]
    monkeypatch.setattr(jobs, "compute", lambda job: {"level_without": levels[job.situation.plan.seed]})
    runner = Runner(Cache(tmp_path), 1, lambda done, of: None)
    picked = {n: [day.plan.seed for day in spanning(runner, days, n)] for n in (1, 2, 3, 9)}
    assert picked == {1: [8], 2: [8, 11], 3: [8, 10, 11], 9: [8, 9, 10, 11]}
    assert [day.plan.seed for day in spanning(runner, days[:1], 4)] == [7]


def test_every_robustness_case_can_be_made(tmp_path):
    made = cases([PLAIN], tmp_path, lambda days: days[:1])
    assert len({case.title for case in made}) == len(made)
    for case in made[:-1]:
        case.days[0].make()
    small, thousand = (case.days[0].make().groups[0].queues[0].forecast for case in made[-2:])
    assert 4 <= max(step.staff for step in small) <= 6
    assert 950 <= max(step.staff for step in thousand) <= 1050
    assert made[0].policy == document().to_yaml()
