"""`workrouter simulate`: a table that can be read, every figure as JSON, and errors that say what to write."""

from __future__ import annotations

import csv
import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.clients.cli import Ran, workrouter


@pytest.fixture
def volumes(tmp_path: Path) -> str:
    """Seven Mondays of five hours with few calls."""
    days = [date(2024, 5, 6) + timedelta(weeks=week) for week in range(7)]
    lines = [f"{day}T{8 + n // 12:02}:{n % 12 * 5:02},2" for day in days for n in range(60)]
    (tmp_path / "volumes.csv").write_text("\n".join(["datetime,calls", *lines]))
    return str(tmp_path / "volumes.csv")


async def simulated(*arguments: str) -> Ran:
    """In one process."""
    return await workrouter("simulate", "--cores", "1", *arguments, timeout_s=50.0)


async def test_policies_stand_side_by_side_with_no_blending_first(tmp_path: Path, volumes: str) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("law: static_reserve\nstatic_reserve: 1\nacd_control: true\n")
    trace, plot = tmp_path / "day.csv", tmp_path / "day.png"
    files = ("--volumes", volumes, "--trace", str(trace), "--plot", str(plot))
    ran = await simulated("greedy", str(mine), "--keep", "1", *files)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].startswith("2024-06-17: 120 calls, ")
    assert "SERVICE LEVEL" in lines[1]
    assert [line.split()[0] for line in lines[2:5]] == ["none", "greedy", "mine"]
    with trace.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["policy"] for row in rows} == {"greedy", "mine"}
    assert len(rows) == 2 * 301
    assert plot.read_bytes()[:4] == b"\x89PNG"


async def test_every_figure_is_told_as_json(volumes: str) -> None:
    chosen = ("--volumes", volumes, "--keep", "1", "--task", "300", "--forecast-error", "20")
    ran = await simulated("greedy", "--json", *chosen)
    none, greedy = (json.loads(line) for line in ran.out.splitlines())
    assert (none["policy"], none["done"], greedy["policy"]) == ("none", 0, "greedy")
    assert greedy["service_level_without"] == none["service_level"] > greedy["service_level"]
    assert greedy["recovered_share"] > 0.5


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nosuch.yaml"], "cannot read nosuch.yaml"),
        (["--keep", "7"], "--keep must be between"),
        (["--day", "yesterday"], "--day: 'yesterday' is no day; write it as 2003-07-24"),
        (["--day", "2003-07-17"], "--day: 2003-07-17 cannot be played"),
        (["--aht", "long"], "--aht: "),
        (["--volumes", "nosuch.csv"], "--volumes: cannot read nosuch.csv"),
        (["--target", "80"], "--target must be between"),
        (["--plot", "day.xyz"], "--plot: cannot write day.xyz: let its name end in .png"),
        (["--trace", "nosuch/day.csv"], "--trace: cannot write nosuch/day.csv: there is no folder nosuch"),
    ],
)
async def test_what_cannot_be_simulated_is_named_with_a_fix(arguments: list[str], told: str) -> None:
    ran = await simulated(*arguments)
    assert (ran.code, ran.out) == (1, "")
    assert told in ran.err
    assert "Traceback" not in ran.err


async def test_a_policy_that_is_wrong_names_its_field(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("law: greedy\nmargin: 7\n")
    ran = await simulated(str(wrong))
    assert ran.code == 1
    assert "margin" in ran.err
