"""The documents say what the code does: tables, the state diagram, links, paths and examples are held to it.

A table that has drifted fails with the one that the code gives, to be pasted.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field, fields
from enum import StrEnum
from itertools import groupby, product
from pathlib import Path
from typing import Any

import pytest

from router.app import build
from router.config import Settings
from router.dispatch.caller import ROLES
from router.domain.durability import Durability
from router.domain.errors import RouterError
from router.domain.lifecycle import SUBMIT_TARGETS, TRANSITIONS
from router.domain.model import ENDED_STATES, TaskState
from router.policies.blending import PolicyDocument, build_policy
from router.policies.blending.registry import BUILT_IN_LAWS
from router.rpc.auth import METHOD_ROLES
from router.rpc.errors import CODES
from router.state.redis_guard import NEEDS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
OURS = (
    *("api", "architecture", "blending", "guarantees", "lifecycle", "load-tests", "operations", "policies"),
    *("trying-policies", "why"),
)
OPEN = frozenset(TaskState) - ENDED_STATES
Rows = list[tuple[str, ...]]


def text_of(name: str) -> str:
    """The text of one document."""
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def table_under(text: str, first_column: str) -> Rows:
    """The rows of the table whose first column has this name."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {first_column} |"):
            next(lines)
            return [cells(row) for row in _while_table(lines)]
    raise AssertionError(f"there is no table that begins with the column {first_column!r}")


def _while_table(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("|"):
            return
        yield line


def cells(row: str) -> tuple[str, ...]:
    """The cells of a table's row."""
    return tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip()[1:-1]))


def as_table(rows: Rows) -> str:
    """Rows as they are written in a document."""
    return "\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def assert_table(text: str, first_column: str, expected: Rows) -> None:
    """The table's leading columns are the expected ones."""
    width = len(expected[0])
    found = [row[:width] for row in table_under(text, first_column)]
    assert found == expected, as_table(expected)


# -- lifecycle.md ------------------------------------------------------------------------------------------
def in_words(states: Iterable[TaskState]) -> str:
    """States in the order of the enum; all of the open ones are one word."""
    named = set(states)
    words = ["any open state"] if named >= OPEN else []
    return ", ".join(
        words + [state.value for state in TaskState if state in named and not (words and state in OPEN)]
    )


def arrows_of(name: str) -> set[tuple[str, str, str]]:
    """(name, from, to) for each pair of states that a transition may join, as the picture shows them."""
    sources, targets = TRANSITIONS[name]
    if name == "cancel":
        return {(name, "Open", "CANCELED")} | {(name, s.value, "CANCELED") for s in sources - OPEN}
    if name == "checkpoint":
        return {(name, state.value, state.value) for state in sources}
    return {(name, source.value, target.value) for source, target in product(sources, targets)}


def test_the_lifecycle_table_is_that_of_the_code() -> None:
    submit = ("`submit`", "", in_words(SUBMIT_TARGETS))
    rows = [
        (f"`{name}`", in_words(sources), in_words(targets))
        for name, (sources, targets) in TRANSITIONS.items()
    ]
    assert_table(text_of("lifecycle"), "Transition", [submit, *rows])


def test_the_state_diagram_shows_every_arrow_and_no_other() -> None:
    (diagram,) = blocks(text_of("lifecycle"), "mermaid")
    drawn = {
        (name.strip(), source, target)
        for source, target, names in re.findall(r"^\s*(\S+) --> (\S+): (.*)$", diagram, re.MULTILINE)
        for name in names.split(",")
    }
    expected = {("submit", "[*]", state.value) for state in SUBMIT_TARGETS}
    for name in TRANSITIONS:
        # An update moves a task within the open states: the text says how.
        expected |= set() if name == "update" else arrows_of(name)
    assert drawn == expected, sorted(drawn ^ expected)


def test_the_diagram_gathers_exactly_the_open_states() -> None:
    (diagram,) = blocks(text_of("lifecycle"), "mermaid")
    inside = re.search(r"state Open \{(.*?)\n    \}", diagram, re.DOTALL)
    assert inside is not None
    assert {TaskState(word) for word in re.findall(r"\b[A-Z_]{6,}\b", inside[1])} == OPEN


# -- blending.md -------------------------------------------------------------------------------------------
SHARES = {"target_share", "margin", "required_min", "required_max", "max_share_on_tasks"}
AGENTS = {"reserve_min", "static_reserve", "hysteresis_agents"}
RECALLS = {"interruptions_per_agent_hour", "max_recalls_per_second", "staged_recalls_per_second"}
OBSERVATIONS = {"prior_weight", "measure_half_life"}


def unit_of(name: str) -> str:
    """The unit of a policy field; its name tells it."""
    units = {"share": SHARES, "agents": AGENTS, "recalls": RECALLS, "observations": OBSERVATIONS}
    if name.endswith(("_s", "_calls")):
        return name.rpartition("_")[2]
    return next((unit for unit, names in units.items() if name in names), "")


def default_in_words(value: Any) -> str:
    """A default as it is written in a policy document."""
    if isinstance(value, StrEnum | str):
        return f"`{value}`"
    if isinstance(value, tuple | Mapping):
        return f"`{list(value)}`" if isinstance(value, tuple) else f"`{dict(value)}`"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"{value:g}"


def range_of(about: Field[Any]) -> str:
    """What a policy field may be."""
    if isinstance(about.default, StrEnum):
        return " ".join(f"`{word.value}`" for word in type(about.default))
    if "low" not in about.metadata:
        return ""
    return f"{about.metadata['low']:g} to {about.metadata['high']:g}".replace(" to inf", " and more")


def test_the_policy_table_is_that_of_the_policy_document() -> None:
    rows: Rows = [
        (f"`{f.name}`", default_in_words(f.default), unit_of(f.name), range_of(f), f.metadata["about"])
        for f in fields(PolicyDocument)
    ]
    assert_table(text_of("blending"), "Field", rows)


def test_the_laws_are_those_of_the_code() -> None:
    assert_table(text_of("blending"), "Law", [(f"`{law}`",) for law in BUILT_IN_LAWS])


def test_the_parameters_are_those_of_the_laws() -> None:
    laws: list[tuple[str, Any]] = [(law, build_policy(PolicyDocument(law=law))) for law in BUILT_IN_LAWS]
    rows: Rows = [
        (f"`{f.name}`", f"`{law}`", default_in_words(f.default), range_of(f), f.metadata["about"])
        for law, policy in laws
        for f in fields(policy.Parameters)
    ]
    assert_table(text_of("blending"), "Parameter", rows)


def test_every_field_of_a_policy_has_an_effect() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "router").rglob("*.py")
        if path.name != "document.py" and "v1" not in path.parts
    )
    read = {f.name for f in fields(PolicyDocument) if re.search(rf"\b(?:\w*document|d)\.{f.name}\b", code)}
    assert {f.name for f in fields(PolicyDocument)} - read <= {"law"}


# -- api.md and operations.md ------------------------------------------------------------------------------
def test_the_error_table_is_that_of_the_edge() -> None:
    rows: Rows = [(f"`{kind.__name__}`", code.name, f"`{kind.reason}`") for kind, code in CODES.items()]
    assert all(issubclass(kind, RouterError) for kind in CODES)
    assert_table(text_of("api"), "Error", rows)


def test_the_role_table_is_that_of_the_edge() -> None:
    def key(item: tuple[str, frozenset[str]]) -> tuple[str, str]:
        return item[0].split("/")[1].removeprefix("router.v1."), ", ".join(r for r in ROLES if r in item[1])

    ordered = sorted(METHOD_ROLES.items(), key=key)
    rows: Rows = [
        (service, roles, " ".join(f"`{method.rpartition('/')[2]}`" for method, _ in group))
        for (service, roles), group in groupby(ordered, key)
    ]
    assert_table(text_of("api"), "Service", rows)


def test_the_option_table_is_that_of_the_settings() -> None:
    rows: Rows = [
        (f"`--{f.name.replace('_', '-')}`", "" if f.default in ("", None) else f"`{f.default}`".lower())
        for f in fields(Settings)
    ]
    assert_table(text_of("operations"), "Option", rows)


# -- guarantees.md -----------------------------------------------------------------------------------------
def wanted(durability: Durability, setting: str) -> str:
    """What a durability needs of a setting, as the table says it."""
    needs = [need for need in NEEDS[durability] if need.setting == setting]
    return "".join(", ".join(f"`{v}`" for v in n.values) or f"{n.at_least} or more" for n in needs)


def test_the_settings_of_each_durability_are_those_of_the_guard() -> None:
    assert [row[0].split()[0] for row in table_under(text_of("guarantees"), "Profile")] == [
        f"`{durability}`" for durability in NEEDS
    ]
    columns: tuple[Durability, ...] = ("standard", "durable", "ha")
    rows: Rows = [
        (f"`{need.setting}`", *(wanted(durability, need.setting) for durability in columns))
        for need in NEEDS["ha"]
    ]
    assert not NEEDS["dev"]
    assert_table(text_of("guarantees"), "Setting", rows)


# -- all of them -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", OURS)
def test_links_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text_of(name))
    missing = [t for t in targets if not t.startswith("http") and not (DOCS / t).exists()]
    assert not missing


@pytest.mark.parametrize("name", OURS)
def test_paths_in_the_text_exist(name: str) -> None:
    paths = re.findall(r"`((?:router|clients|demo|protos|tests|docs)/[\w./]*)`", text_of(name))
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("name", OURS)
def test_a_document_stays_short(name: str) -> None:
    words = len(text_of(name).split())
    assert words < 2700, f"{words} words; two pages are enough"


@pytest.mark.parametrize("name", OURS)
def test_examples_in_python_can_be_read_and_imported(name: str) -> None:
    for block in blocks(text_of(name), "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                absent = [alias.name for alias in node.names if not hasattr(module, alias.name)]
                assert not absent, f"{node.module} has no {absent}"


@pytest.mark.e2e
async def test_the_examples_of_the_api_guide_run() -> None:
    examples: dict[str, Any] = {}
    exec("\n\n".join(blocks(text_of("api"), "python")), examples)
    async with build(Settings(listen="127.0.0.1:0", redis_url="memory://")) as app:
        await examples["prepare"](app.address)
        task = await examples["submit"](app.address)
        await examples["desk"](app.address)
        assert await examples["pull"](app.address) == "NO_TASK"
        await examples["report"](app.address)
        assert "has ended: completed" in await examples["steer"](app.address, task)
