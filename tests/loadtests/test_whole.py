"""A whole load test as a user starts it: passes on a sound router, and fails where a line of Lua is faulty.

Locust patches the standard library as it is imported, so it never comes into this process.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.checks import CHECKS, OLD_FENCE
from loadtests.faulty import FAULTS
from router.state.redis.library import load_library
from tests.support.faulty import changed_library

ROOT = Path(__file__).resolve().parents[2]
_LIMIT_S = 110.0
"""About 17 s are planned; a busy machine takes longer to start everything."""


def load(
    out: Path, *words: str
) -> tuple[subprocess.CompletedProcess[str], dict[tuple[str, str], tuple[int, int]]]:
    """Run one; what came of it, and (requests, failures) by type and name."""
    command = [sys.executable, "-m", "loadtests", "--out", str(out), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    figures = next(out.glob("*/figures_stats.csv"), None)
    assert figures is not None, done.stdout + done.stderr
    with figures.open(newline="") as rows:
        table = {
            (row["Type"], row["Name"]): (int(row["Request Count"]), int(row["Failure Count"]))
            for row in csv.DictReader(rows)
        }
    return done, table


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_sound_router_passes_and_every_role_has_its_rows(tmp_path: Path) -> None:
    small = (
        "--seconds",
        "4",
        "--desktops",
        "8",
        "--pullers",
        "2",
        "--submits-per-s",
        "10",
        "--processes",
        "2",
    )
    done, table = load(tmp_path, "--scenario", "steady", *small)
    assert done.returncode == 0, done.stdout + done.stderr
    for row in [
        ("session", "accept"),
        ("unary", "GetNextTask"),
        ("unary", "SubmitTask"),
        ("stream", "SubmitTasks"),
        ("stream", "Report (changes)"),
        ("stream", "WatchFigures"),
        ("event", "submit -> offer shown"),
        *(("check", check) for check in CHECKS),
    ]:
        assert table[row][0] > 0, row
        assert table[row][1] == 0, row
    assert (tmp_path / "steady" / "report.html").stat().st_size > 10_000


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_router_that_obeys_old_fences_fails(tmp_path: Path) -> None:
    small = ("--seconds", "9", "--desktops", "10", "--fault", "stale-fence")
    done, table = load(tmp_path, "--scenario", "call-storm", *small)
    assert done.returncode == 1, done.stdout + done.stderr
    assert table["check", OLD_FENCE][1] > 0
    assert OLD_FENCE in done.stderr


@pytest.mark.parametrize(
    ("module", "words", "says"),
    [
        ("loadtests", ["--desktops", "0"], "desktops must be at least 1"),
        ("loadtests", ["--scenario", "nothing"], "invalid choice: 'nothing'"),
        ("loadtests", ["--fault", "stale-fence", "--address", "127.0.0.1:1"], "leave --address out"),
        ("loadtests.faulty", ["nothing"], "invalid choice: 'nothing'"),
    ],
)
def test_what_cannot_be_is_refused_at_once(module: str, words: list[str], says: str) -> None:
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_each_fault_still_finds_its_line(name: str) -> None:
    sound = load_library().code
    with changed_library(*FAULTS[name]):
        assert load_library().code != sound


def test_a_router_that_cannot_be_reached_fails_the_load_test(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "loadtests", "--address", "127.0.0.1:1", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1
    assert "UNAVAILABLE" in done.stderr


def test_what_the_tests_import_patches_nothing() -> None:
    code = (
        "import sys, loadtests.checks, loadtests.desk, loadtests.scenarios, loadtests.schedule, loadtests.__main__\n"
        "assert not {'locust', 'gevent'} & set(sys.modules), 'the standard library is patched'"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=30)
