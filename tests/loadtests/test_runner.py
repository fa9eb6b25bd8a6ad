"""A case that fails does not end the run, and what cannot be had is told."""

import asyncio
import sys

import pytest

from loadtests.bench.__main__ import _chosen, _options
from loadtests.bench.cases import CASES, peers
from loadtests.bench.cases.common import Case, Plan, Run, lateness
from loadtests.bench.children import ChildFailedError
from loadtests.bench.figures import Found, Row
from loadtests.bench.peers.known import BullMq, Peer, PeerMissingError
from loadtests.bench.results import Results
from loadtests.bench.runner import Runner


async def works(stage, plan):
    """Finds as much as it knows of earlier cases."""
    return Found(rows=[Row("found before", "", [float(len(plan.found))])])


async def breaks(stage, plan):
    """Fails."""
    raise ChildFailedError("the store did not start")


async def hangs(stage, plan):
    """Never ends."""
    await asyncio.Event().wait()


async def test_the_other_cases_run_when_one_fails_or_hangs(tmp_path, capsys):
    results = Results(tmp_path / "results.json")
    cases = [Case("a", works, 5), Case("b", breaks, 5), Case("c", hangs, 0.05), Case("d", works, 5)]
    assert await Runner(tmp_path, Plan(), results).run(cases) == ["b", "c"]
    found = results.by_case
    assert found["b"].failure == "ChildFailedError: the store did not start"
    assert found["c"].failure == "it took longer than 0.05 s"
    assert found["d"].found.rows[0].value == 1.0  # of a: those that failed have found nothing
    assert "failed: it took longer than 0.05 s" in capsys.readouterr().out


def test_cases_are_chosen_by_name_and_an_unknown_one_is_refused():
    assert [case.name for case in _chosen("batch,pull", quick=True)] == ["batch", "pull"]
    assert _chosen("", quick=False) == list(CASES)
    assert {case.name for case in _chosen("", quick=True)} < {case.name for case in CASES}
    with pytest.raises(SystemExit, match="there is no case nonsense; there are pull, push"):
        _chosen("pull,nonsense", quick=False)


class Broken(Peer):
    """A peer whose registry does not know it."""

    def installation(self, home):
        """A command that fails."""
        return [[sys.executable, "-c", "import sys; sys.exit('no such package')"]]


async def test_a_peer_that_cannot_be_installed_is_told_and_tried_again_next_time(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "_HOME", tmp_path / "home")
    for _ in range(2):
        with pytest.raises(PeerMissingError, match="no such package"):
            await peers._installed(Broken("broken", [], []), tmp_path)


def test_a_peer_from_npm_needs_its_programs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PeerMissingError, match="npm is needed"):
        BullMq("bullmq", ["bullmq@5"], []).installation(tmp_path)


def test_a_generator_behind_its_schedule_is_told():
    runs = [Run([0.1], {}, late_s, 0.0) for late_s in (0.001, 0.02, 0.05)]
    assert lateness("S, 100/s", runs) == [
        "S, 100/s: generator behind its schedule in 2 of 3 rounds, slowest hundredth 50 ms"
    ]
    assert lateness("S, 100/s", runs[:1]) == []


@pytest.mark.parametrize("rounds", ["0", "-1", "x", "1.5"])
def test_a_number_of_rounds_that_is_none_is_refused(rounds, capsys):
    with pytest.raises(SystemExit):
        _options([f"--rounds={rounds}"])
    assert f"argument --rounds: '{rounds}' is no number of rounds: write 1 or more" in capsys.readouterr().err
