"""Laws of other packages: found by their entry point, checked like ours, and harmless when they are broken."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from router.policies.blending import (
    FieldProblem,
    Memory,
    PolicyDocument,
    PolicyError,
    Snapshot,
    build_policy,
    diff,
    law_names,
)
from router.policies.blending.registry import BUILT_IN_LAWS, GROUP, forget_packages, refused_packages

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "policies.md"
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a package with entry points on the path, as an installer would."""

    def put(package: str, code: str, **points: str) -> None:
        place = tmp_path / package
        about = place / f"{package}-1.0.dist-info"
        about.mkdir(parents=True)
        (place / f"{package}.py").write_text(code, encoding="utf-8")
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (about / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
        monkeypatch.syspath_prepend(str(place))
        forget_packages()
        installed.append(package)

    installed: list[str] = []
    yield put
    for package in installed:
        sys.modules.pop(package, None)
    monkeypatch.undo()
    forget_packages()


def look(**changes: int) -> Snapshot:
    figures = {"now_ms": 600_000, "idle": 10, "on_call": 27, "logged_in": 40, "on_tasks": 3} | changes
    return Snapshot(window_end_ms=3_600_000, **figures)


def problems_of(text: str) -> tuple[FieldProblem, ...]:
    with pytest.raises(PolicyError) as raised:
        PolicyDocument.parse(text)
    return raised.value.problems


def guide(language: str) -> str:
    """The one block of a language in the guide."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    return str(block)


def test_the_package_of_the_guide_works(install: Install) -> None:
    project = tomllib.loads(guide("toml"))["project"]
    points = project["entry-points"][GROUP]
    assert "share_reserve" not in law_names()
    install("share_reserve", guide("python"), **points)
    assert law_names() == (*BUILT_IN_LAWS, "share_reserve")

    document = PolicyDocument.parse(guide("yaml"))
    assert PolicyDocument.parse(document.to_yaml()) == document
    policy = build_policy(document)
    calm, memory = policy.decide(look(), Memory())
    assert (calm.open, calm.reserve, calm.explanation["share_kept_back"]) == (True, 6, 0.15)
    waiting = Snapshot.from_mapping({**look(now_ms=630_000).to_mapping(), "waiting_ages_s": [3.0]})
    alert, memory = policy.decide(waiting, memory)
    assert alert.reserve == 10
    later, _ = policy.decide(look(now_ms=631_000), Memory.from_mapping(memory.to_mapping()))
    assert later.reserve == 10
    calm_again, _ = policy.decide(look(now_ms=630_000 + 300_000), memory)
    assert calm_again.reserve == 6


def test_the_parameters_of_a_package_are_checked_like_our_own(install: Install) -> None:
    install("share_reserve", guide("python"), share_reserve="share_reserve:ShareReserve")
    found = problems_of("law: share_reserve\nmargin: 9\nparameters: {calm: 1.5, alrt: 0.2}")
    assert set(found) == {
        FieldProblem("margin", "9.0 is out of range", "write a number from 0 to 0.5"),
        FieldProblem("parameters.calm", "1.5 is out of range", "write a number from 0 to 1"),
        FieldProblem("parameters.alrt", "there is no such field", "did you mean 'alert'?"),
    }
    before = PolicyDocument.parse("law: share_reserve\nparameters: {calm: 0.2}")
    after = PolicyDocument.parse("law: share_reserve\nparameters: {calm: 0.3, alert_s: 60}")
    assert diff(before, after) == (("parameters.calm", 0.2, 0.3), ("parameters.alert_s", None, 60))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import does_not_exist", "ModuleNotFoundError"),
        ("Other = 1", "AttributeError"),
        ("Law = 7", "lacks 'parameter_problems'"),
        (
            "class Law:\n    @classmethod\n    def parameter_problems(cls, parameters): raise OSError('on fire')",
            "OSError: on fire",
        ),
    ],
)
def test_a_broken_package_is_named_and_harms_no_other_law(install: Install, code: str, words: str) -> None:
    install("broken", code, broken_law="broken:Law")
    (problem,) = problems_of("law: broken_law")
    assert problem.field == "law"
    assert "the entry point 'broken_law = broken:Law' of broken cannot be used" in problem.problem
    assert words in problem.problem
    assert problem.fix == "repair or remove that package"
    assert build_policy(PolicyDocument()).decide(look(), Memory())[0].open


def test_a_law_that_cannot_be_built_is_named_too(install: Install) -> None:
    code = (
        "class Law:\n    def __init__(self, document): raise KeyError('constants')\n"
        "    @classmethod\n    def parameter_problems(cls, parameters): return []\n"
    )
    install("unbuilt", code, unbuilt_law="unbuilt:Law")
    with pytest.raises(PolicyError, match=r"unbuilt_law = unbuilt:Law.*KeyError"):
        build_policy(PolicyDocument(law="unbuilt_law"))


def test_the_name_of_a_built_in_law_cannot_be_taken(install: Install) -> None:
    install("shadow", "raise RuntimeError('must not be loaded')", greedy="shadow:Law")
    assert law_names() == BUILT_IN_LAWS
    assert build_policy(PolicyDocument(law="greedy")).decide(look(), Memory())[0].reserve == 0
    (refused,) = refused_packages()
    assert refused.startswith("the entry point 'greedy = shadow:Law' of shadow")


def test_of_two_packages_with_one_name_neither_is_used(install: Install) -> None:
    install("first", guide("python"), share_reserve="first:ShareReserve")
    install("second", guide("python"), share_reserve="second:ShareReserve")
    (problem,) = problems_of("law: share_reserve")
    assert "first:ShareReserve" in problem.problem
    assert "second:ShareReserve" in problem.problem
    assert problem.fix == "uninstall all but one of them"
    assert law_names() == BUILT_IN_LAWS
    assert len(refused_packages()) == 1


def test_a_law_that_nobody_offers_is_refused_with_those_that_are() -> None:
    (problem,) = problems_of("law: share_reserve")
    assert problem.fix == f"write one of {', '.join(BUILT_IN_LAWS)}"


@pytest.mark.parametrize("law", BUILT_IN_LAWS)
def test_every_built_in_law_loads_says_its_source_and_refuses_unknown_parameters(law: str) -> None:
    policy = build_policy(PolicyDocument(law=law))
    assert "Source" in (type(policy).__doc__ or "")
    assert policy.document.law == law
    (problem,) = problems_of(f"law: {law}\nparameters: {{zzz: 1}}")
    assert problem == FieldProblem("parameters.zzz", "there is no such field", "remove it")
