"""One case as a whole: store, router, bare server and generator are started, asked, and gone afterwards."""

import os

import pytest

from loadtests.bench.cases import CASES
from loadtests.bench.cases.common import Plan
from loadtests.bench.children import tree
from loadtests.bench.results import Results
from loadtests.bench.runner import Runner


@pytest.mark.e2e
async def test_a_case_runs_from_start_to_end_and_leaves_nothing(tmp_path):
    (pull,) = (case for case in CASES if case.name == "pull")
    before, results = set(tree(os.getpid())), Results(tmp_path / "results.json")
    plan = Plan(rounds=2, seconds=0.1, calls=8)
    assert await Runner(tmp_path, plan, results).run([pull]) == [], results.by_case["pull"].failure
    found = results.by_case["pull"].found
    assert len(found.rows) == 4
    assert all(len(row.values) == len(row.references) == 2 and min(row.values) > 0 for row in found.rows)
    assert set(tree(os.getpid())) <= before
