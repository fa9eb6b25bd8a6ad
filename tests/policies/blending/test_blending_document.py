"""The policy document: defaults of the law, errors that name field and fix, round trips, differences."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.policies.blending.document import (
    LAW_NAMES,
    AgentChoice,
    FieldProblem,
    PolicyDocument,
    PolicyError,
    diff,
)
from router.policies.blending.policy import LAWS
from router.policies.blending.service_level import ServiceLevelFormula


def problems_of(text: str) -> tuple[FieldProblem, ...]:
    with pytest.raises(PolicyError) as raised:
        PolicyDocument.parse(text)
    return raised.value.problems


def test_an_empty_document_is_the_law_as_measured() -> None:
    document = PolicyDocument.parse("")
    assert document == PolicyDocument()
    constants = {
        "target_share": 0.8,
        "target_s": 20.0,
        "margin": 0.02,
        "z": 1.0,
        "required_min": 0.60,
        "required_max": 0.98,
        "nowcast_kappa_calls": 200.0,
        "nowcast_half_life_s": 1800.0,
        "update_interval_s": 30.0,
        "min_idle_s": 5.0,
        "loss_floor_s": 10.0,
        "recall_guard_s": 2.0,
        "minimum_dwell_s": 15.0,
        "stale_after_s": 10.0,
    }
    assert {name: getattr(document, name) for name in constants} == constants


def test_yaml_and_json_mean_the_same() -> None:
    values = {"target_share": 0.9, "target_s": 10, "call_queues": ["billing", "support"], "notice_s": 3}
    text = "target_share: 0.9\ntarget_s: 10\ncall_queues: [billing, support]\nnotice_s: 3\n"
    document = PolicyDocument.parse(text)
    assert document == PolicyDocument.parse(json.dumps(values))
    assert document.call_queues == ("billing", "support")
    assert isinstance(document.target_s, float)


def test_words_are_read_in_any_case() -> None:
    document = PolicyDocument.parse("service_level_formula: ANSWERED\nagent_choice: Best_Fit")
    assert document.service_level_formula is ServiceLevelFormula.ANSWERED
    assert document.agent_choice is AgentChoice.BEST_FIT


def test_an_unknown_field_is_refused_with_the_nearest_name() -> None:
    (problem,) = problems_of("targt_share: 0.8")
    assert problem == FieldProblem("targt_share", "there is no such field", "did you mean 'target_share'?")
    assert problems_of("zzzzqqqq: 1")[0].fix == "remove it"


def test_all_problems_are_told_at_once() -> None:
    found = problems_of("target_share: 1.5\nlaw: magic\nacd_control: maybe\ncall_queues: billing\nnope: 1")
    assert {p.field for p in found} == {"target_share", "law", "acd_control", "call_queues", "nope"}


@pytest.mark.parametrize(
    ("text", "field", "fix"),
    [
        ("target_share: 80", "target_share", "write a number from 0.01 to 0.999"),
        ("target_share: .nan", "target_share", "write a number from 0.01 to 0.999"),
        ("target_s: '20'", "target_s", "write a number from 0.01 to 3600"),
        ("target_s: true", "target_s", "write a number from 0.01 to 3600"),
        ("nowcast_kappa_calls: .inf", "nowcast_kappa_calls", "write a number from 0 to 1e+06"),
        ("hysteresis_agents: 1.5", "hysteresis_agents", "write a whole number from 0 to 1e+06"),
        ("reserve_min: -1", "reserve_min", "write a whole number from 0 to 1e+06"),
        ("recall_enabled: 1", "recall_enabled", "write true or false"),
        ("recall_enabled:", "recall_enabled", "write true or false"),
        ("law: adaptive", "law", "write one of service_level_to_go, static_reserve, greedy, no_blending"),
        ("agent_choice: random", "agent_choice", "write one of longest_idle, least_occupied, best_fit"),
        ("call_queues: [a, a]", "call_queues", "write a list such as 'call_queues: [billing, support]'"),
        ('call_queues: ["a\\n"]', "call_queues", "write a list such as 'call_queues: [billing, support]'"),
        ("call_queues: [1]", "call_queues", "write a list such as 'call_queues: [billing, support]'"),
        ("required_min: 0.99", "required_min", "lower it, or raise required_max"),
        ("notice_s: 18", "notice_s", "write less than 18, or recall_enabled: false"),
        ("target_s: 20\ntarget_s: 30", "target_s", "keep one of them"),
        ('{"z": 1, "z": 2}', "z", "keep one of them"),
    ],
)
def test_an_error_names_the_field_and_the_fix(text: str, field: str, fix: str) -> None:
    (problem,) = problems_of(text)
    assert (problem.field, problem.fix) == (field, fix)


@pytest.mark.parametrize("text", ["- a\n- b", "just words", "42", "a: [", '{"a": ', "\x00", "{" * 5000])
def test_a_text_that_is_no_document_is_refused_as_a_whole(text: str) -> None:
    assert problems_of(text)[0].field == "(document)"


def test_the_message_of_the_error_reads_alone() -> None:
    with pytest.raises(PolicyError, match=r"margin: 2\.0 is out of range; write a number from 0 to 0\.5"):
        PolicyDocument.from_mapping({"margin": 2})


def test_a_document_built_in_code_is_checked_too() -> None:
    with pytest.raises(PolicyError, match="stale_after_s"):
        PolicyDocument(stale_after_s=-1.0)


def test_a_long_notice_is_fine_when_nobody_is_recalled() -> None:
    assert PolicyDocument.parse("notice_s: 60\nrecall_enabled: false").notice_s == 60.0


def test_every_law_can_be_named_and_every_field_explains_itself() -> None:
    assert set(LAW_NAMES) == set(LAWS)
    assert all(f.metadata.get("about") for f in fields(PolicyDocument))


@given(
    st.builds(
        PolicyDocument,
        law=st.sampled_from(LAW_NAMES),
        call_queues=st.lists(
            st.text(min_size=1).filter(lambda name: name.isprintable() and name == name.strip()),
            unique=True,
            max_size=4,
        ).map(tuple),
        target_share=st.floats(0.01, 0.999),
        z=st.floats(0.0, 5.0),
        nowcast_kappa_calls=st.floats(0.0, 1e6),
        service_level_formula=st.sampled_from(ServiceLevelFormula),
        agent_choice=st.sampled_from(AgentChoice),
        recall_on_stale=st.booleans(),
        interruptions_per_agent_hour=st.integers(0, 3600),
    )
)
def test_yaml_round_trip(document: PolicyDocument) -> None:
    assert PolicyDocument.parse(document.to_yaml()) == document
    assert PolicyDocument.parse(json.dumps(document.to_mapping())) == document


@given(st.dictionaries(st.text(max_size=12), st.none() | st.booleans() | st.floats() | st.text(max_size=5)))
def test_any_mapping_gives_a_document_or_a_policy_error(values: dict[str, Any]) -> None:
    try:
        document = PolicyDocument.from_mapping(values)
    except PolicyError as error:
        problems = error.problems
    else:
        problems = ()
        assert document.to_mapping().keys() >= values.keys()
    assert bool(problems) == bool(set(values) - set(PolicyDocument().to_mapping()))


def test_diff_names_each_changed_field_once() -> None:
    before = PolicyDocument()
    after = replace(before, margin=0.03, law="greedy")
    assert diff(before, after) == (("law", "service_level_to_go", "greedy"), ("margin", 0.02, 0.03))
    assert diff(before, before) == ()


@pytest.mark.parametrize(("age", "stale"), [(0.0, False), (10.0, False), (10.01, True), (None, True)])
def test_staleness_has_a_sharp_edge(age: float | None, stale: bool) -> None:
    assert PolicyDocument().is_stale(age) is stale
    assert PolicyDocument().is_stale(float("nan"))
