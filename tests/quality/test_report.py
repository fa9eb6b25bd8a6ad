"""The page is rewritten between its markers, and has a place for everything."""

from pathlib import Path

import pytest

from quality.__main__ import _TEMPLATE
from quality.days import day_sets
from quality.report import KEPT, RECALLS, SHORTFALL, Reached, rows_in, table, targets_table, write


def test_only_what_stands_between_the_markers_changes(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- begin a -->\nold\n<!-- end a -->\nafter\n")
    write(page, {"a": r"new \1"}, template=page)
    assert page.read_text() == "before\n<!-- begin a -->\nnew \\1\n<!-- end a -->\nafter\n"


def test_a_part_without_a_place_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="markers"):
        write(page, {"a": "new"}, template=page)
    assert page.read_text() == "nothing"


def test_the_page_has_a_place_for_each_part(tmp_path):
    sets = [f"days-{of.id}" for of in day_sets("", tmp_path, 2)]
    parts = ["targets", "policies", "exact", "untuned", *sets, "backlog", "robustness"]
    write(tmp_path / "page.md", dict.fromkeys(parts, "told"), template=Path(_TEMPLATE))
    assert (tmp_path / "page.md").read_text().count("\ntold\n") == len(parts)


def test_rows_are_found_by_their_first_cell():
    page = "| x | out |\n<!-- begin a -->\n| x | 1 |\n\n*note*\n<!-- end a -->\n"
    assert rows_in(page, "a") == {"x": "| x | 1 |"}
    assert rows_in(page, "b") == {}


def test_a_goal_that_was_never_played_says_so():
    told = targets_table({KEPT.title: Reached(0.96, "here")}, {RECALLS.title: "| before |"}).splitlines()
    assert f"| {KEPT.title} | 96.0 % | ≥ 95.0 % | met | here |" in told
    assert "| before |" in told
    assert f"| {SHORTFALL.title} |  | ≤ 0.30 | not played |  |" in told


def test_a_table_aligns_figures():
    assert table(("a", "b"), [("x", "1")]) == "| a | b |\n|---|---:|\n| x | 1 |"
