"""Results survive from run to run, and the page has a place for everything."""

import json
import re

import pytest

from loadtests.bench.figures import Found, Row, Series, Target
from loadtests.bench.page import TEMPLATE, filled, parts, row_line, write
from loadtests.bench.results import Made, Result, Results, commit

MADE = Made("2026-01-02 03:04 UTC", "abc", "a machine", 3, False, 0.1, 12.0)
PULL = Row("pull | p50", "ms", [1.0, 2.0, 3.0], Target(ratio_at_most=1.3), "E", [1.0, 1.0, 1.0])
CPU = {"pull": {"router": 1.0, "store": 2.0, "client": 3.0}}


def result(failure="", **found):
    """A result with what is given."""
    return Result(MADE, Found(**found), failure)


def test_a_figure_stands_beside_its_reference_and_target():
    table = parts({"pull": result(rows=[PULL])})["speed"]
    line = table.splitlines()[-1]
    assert line == "| pull \\| p50 | 2 (1–3) ms | E 1 (1–1) ms | 2.00 | ≤ 1.3 × reference | **no** | `pull` |"
    assert row_line(PULL) == "pull | p50: 2 (1–3) ms; 2.00 × E (1 (1–1)); target ≤ 1.3 × reference: MISSED"


def test_each_figure_stands_in_its_own_table():
    made = parts({"one": result(rows=[PULL, Row("memory", "B", [9.0], part="size")], cpu=CPU)})
    assert "memory" in made["size"]
    assert "memory" not in made["speed"]
    assert made["cpu"].endswith("| pull | 1 | 2 | 3 |")


def test_how_it_was_made_and_what_failed_is_told():
    made = parts({"pull": result("Broken: badly\nat length", notes=["said", "said"])})["made"]
    assert "2026-01-02 03:04 UTC, commit abc, 3 rounds, load 0.1 before, 12 s" in made
    assert made.count("- `pull`: said") == 1
    assert made.endswith("- `pull` **failed** in the latest run: Broken: badly")


def test_only_what_stands_between_the_markers_changes():
    text = "before\n<!-- begin a -->\nold\n<!-- end a -->\nafter\n"
    assert filled(text, {"a": r"new \1"}) == "before\n<!-- begin a -->\nnew \\1\n<!-- end a -->\nafter\n"


def test_a_part_without_a_place_is_refused():
    with pytest.raises(ValueError, match="markers"):
        filled("nothing", {"a": "new"})


def test_the_committed_page_has_a_place_for_each_part():
    text = TEMPLATE.read_text(encoding="utf-8")
    assert filled(text, dict.fromkeys(parts({}), "told")).count("\ntold\n") == 5


def test_a_picture_is_shown_when_it_was_drawn_and_what_is_missing_is_told():
    made = parts({"pull": result(rows=[PULL])}, ["load.png"])
    assert made["speed"].endswith("\n\n![latency over load](load.png)")
    assert "claim.png" not in made["speed"]
    assert made["size"] == "Not measured yet: `make bench`."


def test_a_rerun_of_one_case_keeps_the_others(tmp_path):
    path = tmp_path / "out" / "results.json"
    Results(path).put("pull", result(rows=[PULL]))
    Results(path).put("push", result(cpu=CPU))
    assert Results(path).by_case == {"pull": result(rows=[PULL]), "push": result(cpu=CPU)}
    assert set(json.loads(path.read_text())) == {"pull", "push"}


def test_a_failure_keeps_what_was_found_before_and_is_told(tmp_path):
    results = Results(tmp_path / "results.json")
    results.put("pull", result(rows=[PULL]))
    results.put("pull", result("it broke"))
    assert results.by_case["pull"] == result("it broke", rows=[PULL])


def test_the_cases_stand_in_their_order_whatever_ran_last(tmp_path):
    results = Results(tmp_path / "results.json")
    for name in ("unknown", "push", "pull"):
        results.put(name, result(rows=[PULL]))
    write(results, tmp_path / "page", ["pull", "push", "sustainable"])
    table = (tmp_path / "page" / "README.md").read_text().partition("<!-- begin speed -->")[2]
    assert re.findall(r"\*\*no\*\* \| `(\w+)`", table) == ["pull", "push", "unknown"]


def test_without_git_the_commit_is_not_known(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() == "unknown"


def test_page_and_pictures_are_written_from_what_there_is(tmp_path):
    results = Results(tmp_path / "results.json")
    lines = [
        Series(plot, "p50", [1.0, 10.0], [1.0, 2.0]) for plot in ("latency over load", "claim cost", "peers")
    ]
    memory = Row("memory", "B", [9.0], Target(at_most=10), part="size")
    results.put("pull", result(rows=[PULL, memory], series=lines, cpu={"E, back to back": CPU["pull"]}))
    write(results, tmp_path / "page")
    made = {path.name for path in (tmp_path / "page").iterdir()}
    assert made == {"README.md", "load.png", "claim.png", "peers.png", "cpu.png", "memory.png"}
