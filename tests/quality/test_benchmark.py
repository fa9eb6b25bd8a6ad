"""The parts of the benchmark rewrite their own tables only, from what is run and what is known. No day is played."""

from pathlib import Path

import pytest

from quality import jobs
from quality.__main__ import _TEMPLATE, main
from quality.benchmark import SETS, Benchmark, Options
from quality.days import backlog_jobs, day_sets, set_jobs, untuned_jobs
from quality.jobs import Cache, Job, Kind
from quality.stationary import case_jobs

ROW = {
    "level": 0.81, "level_without": 0.9, "target": 0.8, "kept_s": 3600.0, "spare_s": 7200.0, "paid_s": 36_000.0,
    "recalls": 20, "done": 10, "starts": 30, "late": 1, "late_open": 2, "bad_half_hours": 1,
    "bad_half_hours_without": 0, "least_urgent_wait_s": 60.0, "violations": [],
}  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_is_played(monkeypatch):
    """Whatever is not in the cache fails the test."""
    monkeypatch.setattr(jobs, "compute", lambda job: pytest.fail(f"played {job}"))


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def known(cache, wanted, **fields):
    """Results that an earlier run left: the same for every day."""
    for job in wanted:
        Cache(cache).put(job.key(), {**ROW, **fields})


def sets(cache, days=0):
    return {of.id: of for of in day_sets("", cache, days)}


def run(cache, tmp_path, *arguments):
    """The parts of the page by their names, before and after."""
    page = tmp_path / "README.md"
    before = parts(page if page.exists() else _TEMPLATE)
    common = ("--volumes", "", "--cache", str(cache), "--out", str(tmp_path), "--workers", "1")
    assert main([*arguments, *common]) == 0
    return before, parts(page)


def parts(page: Path):
    pieces = page.read_text().split("<!-- begin ")[1:]
    return {piece.split(" ", 1)[0]: piece.split("-->\n", 1)[1].split("<!-- end")[0] for piece in pieces}


def changed(before, after):
    return {name for name in before if before[name] != after[name]}


def test_a_part_rewrites_its_own_table_and_the_goals_that_rest_on_it(cache, tmp_path):
    known(cache, untuned_jobs(sets(cache)["eighth"]))
    before, after = run(cache, tmp_path, "--parts", "untuned")
    assert changed(before, after) == {"untuned", "targets"}
    assert (
        "Made by `python -m quality --parts untuned` (days: 1, the committed volumes, seed 7"
        in after["untuned"]
    )
    told = goals(after["targets"])
    assert told["recovered share of spare time, net"][:3] == ["50.0 %", "≥ 80.0 %", "missed by 30.0 %"]
    assert "--parts untuned`" in told["recovered share of spare time, net"][3]
    for other in ("recall off, against the best schedule in hindsight", "exact cases, reserve by the chain"):
        assert [line for line in before["targets"].splitlines() if other in line] == [
            line for line in after["targets"].splitlines() if other in line
        ]


def goals(table):
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    return {row[0]: row[1:] for row in rows}


def test_goals_rest_on_what_an_earlier_run_knows_too(cache, tmp_path):
    small, eighth = sets(cache, 2)["small"], sets(cache, 2)["eighth"]
    known(cache, [*set_jobs(small), *set_jobs(eighth)])
    known(cache, untuned_jobs(sets(cache)["eighth"]), recalls=5)
    before, after = run(cache, tmp_path, "--parts", "days", "--sets", "small", "--days", "2")
    assert changed(before, after) == {"days-small", "policies", "targets"}
    told = goals(after["targets"])
    assert told["recalls per paid hour"][0] == "0.50"
    assert told["recall off, against the best schedule in hindsight"][0] == "100.0 %"
    assert "--parts days --days 2`" in told["recall off, against the best schedule in hindsight"][3]
    assert "untuned days, 1 of *eighth*, 1 of *small*" in after["policies"]
    assert (tmp_path / "policies.png").stat().st_size > 10_000


def test_a_set_is_reported_on_tuned_and_untuned_days_each_beside_its_bounds(cache, tmp_path):
    small = sets(cache, 2)["small"]
    known(cache, set_jobs(small))
    tuned, untuned = small.days
    known(cache, [Job(untuned, Kind.PACKING)], kept_s=5400.0)
    known(cache, [Job(tuned, Kind.SCHEDULE)], level=0.85)
    _, after = run(cache, tmp_path, "--parts", "days", "--sets", "small", "--days", "2")
    first, second = after["days-small"].split("**Days that constants were tuned on**")
    assert first.startswith("**Days that nothing was tuned on**: 1.")
    assert "| *all-knowing packing that delays no call* | 75.0 % |" in first
    assert "| *all-knowing packing that delays no call* | 50.0 % |" in second
    assert "| *best schedule without recall, in hindsight* | 50.0 % | 81.0 % |" in first
    assert "| *best schedule without recall, in hindsight* | 50.0 % | 85.0 % |" in second
    assert first.count("100 % of 1") == second.count("100 % of 1") == 10


def test_robustness_touches_no_goal(cache, tmp_path, monkeypatch):
    monkeypatch.setattr("quality.benchmark.cases", lambda days, folder, pick: [])
    before, after = run(cache, tmp_path, "--parts", "robustness", "--case-days", "3")
    assert changed(before, after) == {"robustness"}
    assert "--case-days 3` (3 a case of the untuned days" in after["robustness"]


def test_the_plan_counts_the_jobs_of_each_part_and_plays_nothing(cache, tmp_path, capsys):
    before, after = run_plan(cache, tmp_path)
    assert before == after
    told = dict(line.rsplit(": ", 1) for line in capsys.readouterr().out.splitlines() if ": " in line)
    eighth = sets(cache, 2)["eighth"]
    backlog = [job for days in backlog_jobs(eighth, {}).values() for job in days]
    assert told["exact cases"] == f"{len(case_jobs())} jobs"
    assert told[eighth.title] == f"{len({job.key() for job in set_jobs(eighth)}) + len(backlog) + 1} jobs"


def run_plan(cache, tmp_path):
    before = _TEMPLATE.read_text()
    main(["--plan", "--days", "2", "--volumes", "", "--cache", str(cache), "--out", str(tmp_path)])
    assert not (tmp_path / "README.md").exists()
    return before, _TEMPLATE.read_text()


def test_a_robustness_case_takes_as_many_jobs_as_it_is_given_days(cache):
    options = Options(parts=("robustness",), case_days=1, cache=cache)
    plan = Benchmark(options, Cache(cache), 1).plan()
    assert plan == {"robustness": 23}


def test_every_set_can_be_asked_for(cache):
    assert tuple(sets(cache)) == SETS


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--parts", "exact,everything"), "'everything' is none of exact, days"),
        (("--sets", "tiny"), "'tiny' is none of eighth, tight"),
        (("--days", "-2"), "'-2' is no number of days"),
        (("--case-days", "0"), "a case needs a day"),
        (("--volumes", "/nowhere.csv"), "there is no file /nowhere.csv"),
    ],
)
def test_what_cannot_be_played_is_named(arguments, problem, capsys):
    with pytest.raises(SystemExit):
        main(list(arguments))
    assert problem in capsys.readouterr().err
