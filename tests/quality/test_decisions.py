"""Timing the decisions of a day: each one recorded is decided again, the same, from nothing computed."""

from dataclasses import replace
from datetime import date

import pytest

from quality.contenders import DEFAULT
from quality.decisions import Decisions, Timed, recorded, timed
from quality.report import decisions_table
from quality.situations import Situation
from router.policies.blending import build_policy
from router.policies.blending.outlook import outlook
from router.simulation.day import simulate
from router.simulation.days import DayPlan

DAY = replace(Situation(plan=DayPlan(date=date(2003, 7, 24), keep=1 / 32)), until_h=1.0)
POLICY = DEFAULT.grid[0].to_yaml()


@pytest.fixture(scope="module")
def chunks():
    found = []
    simulate(DAY.make(), POLICY, recording=found)
    return found


def test_every_recorded_decision_is_made_again_from_what_it_was_made_of(chunks):
    decisions = list(recorded(chunks))
    assert len(decisions) > 50
    assert all(document.law == "lateness_price" for document, _, _ in decisions)
    document, snapshot, memory = decisions[40]
    assert memory.own
    gate, after = build_policy(document).decide(snapshot, memory)
    following = next(later for _, seen, later in decisions[41:] if seen.now_ms > snapshot.now_ms)
    assert after == following
    assert gate.rate_per_s > 0.0


def test_the_first_decision_finds_nothing_computed(chunks):
    decisions = list(recorded(chunks))
    timed(decisions[:1])
    cold = outlook.cache_info()
    assert cold.misses == cold.currsize == 2
    assert len(timed(decisions)) == len(decisions)


def test_a_day_tells_its_cost_and_that_of_its_decisions():
    row = Decisions(DAY, POLICY).compute()
    assert row["decisions"] > 50
    assert 0.0 < row["median_ms"] <= row["p95_ms"] <= row["max_ms"]
    assert row["sum_s"] < row["day_s"]
    line = decisions_table([Timed(1000, DEFAULT, row)]).splitlines()[-1]
    assert line.startswith(f"| 1,000 | {DEFAULT.title} | {row['calls']:,} | {row['decisions']:,} |")


def test_a_change_of_the_policy_is_timed_anew():
    assert Decisions(DAY, POLICY).key() != Decisions(DAY, POLICY + "z: 2\n").key()
