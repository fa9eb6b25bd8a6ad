"""Results are computed once, kept by what they depend on, and come back in order."""

from dataclasses import dataclass, replace
from datetime import date

import pytest

from quality import jobs
from quality.jobs import Cache, Job, Kind, Runner, named
from quality.situations import Situation
from router.simulation.days import DayPlan

DAY = Situation(plan=DayPlan(date=date(2003, 7, 24), keep=1 / 64))


@dataclass(frozen=True)
class Double:
    """Twice a number; -1 fails."""

    number: int

    def key(self):
        return named("exact", str(self.number))

    def compute(self):
        if self.number < 0:
            raise ArithmeticError("cannot")
        return {"twice": 2 * self.number}


def runner(folder, heard=None, workers=1):
    told = (lambda done, of: heard.append((done, of))) if heard is not None else (lambda done, of: None)
    return Runner(Cache(folder), workers, told)


def test_results_come_in_the_order_asked_for_and_each_is_computed_once(tmp_path):
    heard = []
    rows = runner(tmp_path, heard).run([Double(3), Double(1), Double(3)])
    assert [row["twice"] for row in rows] == [6, 2, 6]
    assert heard == [(0, 2), (1, 2), (2, 2)]


def test_a_second_run_computes_nothing(tmp_path, monkeypatch):
    runner(tmp_path).run([Double(3)])
    monkeypatch.setattr(jobs, "compute", pytest.fail)
    assert runner(tmp_path).run([Double(3)])[0]["twice"] == 6


def test_what_was_done_before_a_failure_is_kept(tmp_path):
    with pytest.raises(ArithmeticError):
        runner(tmp_path).run([Double(4), Double(-1)])
    assert Cache(tmp_path).get(Double(4).key())["twice"] == 8


def test_other_code_other_results(tmp_path, monkeypatch):
    before = Double(1).key()
    monkeypatch.setattr(jobs, "fingerprint", lambda part: "other")
    assert Double(1).key() != before


def test_processes_give_the_same_as_one(tmp_path):
    wanted = [Job(replace(DAY, until_h=hours), Kind.PACKING) for hours in (1.0, 2.0)]
    alone = [job.compute() for job in wanted]
    together = runner(tmp_path, workers=2).run(wanted)
    assert [row["kept_s"] for row in together] == [row["kept_s"] for row in alone]


def test_the_key_tells_days_policies_and_kinds_apart():
    other_day = replace(DAY, aht_belief=0.7)
    keys = {
        Job(DAY).key(),
        Job(other_day).key(),
        Job(DAY, policy="law: greedy").key(),
        Job(DAY, Kind.PACKING).key(),
    }
    assert len(keys) == 4


def test_a_played_day_has_the_figures_that_a_summary_needs():
    row = Job(replace(DAY, until_h=1.0)).compute()
    assert row["level"] == row["level_without"]
    assert row["kept_s"] == 0
    assert row["spare_s"] > 0
