"""The policy document: defaults of the law, errors that name field and fix, round trips, differences."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.policies.blending.document import AgentChoice, PolicyDocument, diff
from router.policies.blending.fields import FieldProblem, PolicyError
from router.policies.blending.registry import BUILT_IN_LAWS
from router.policies.blending.service_level import ServiceLevelFormula


def problems_of(text: str) -> tuple[FieldProblem, ...]:
    with pytest.raises(PolicyError) as raised:
        PolicyDocument.parse(text)
    return raised.value.problems


def test_an_empty_document_is_the_first_law_with_its_defaults() -> None:
    assert PolicyDocument.parse("") == PolicyDocument()
    assert PolicyDocument().law == BUILT_IN_LAWS[0]


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
        ("law: adaptive", "law", f"write one of {', '.join(BUILT_IN_LAWS)}"),
        ("agent_choice: random", "agent_choice", "write one of longest_idle, least_occupied, best_fit"),
        ("call_queues: [a, a]", "call_queues", "write a list such as 'call_queues: [billing, support]'"),
        ('call_queues: ["a\\n"]', "call_queues", "write a list such as 'call_queues: [billing, support]'"),
        ("call_queues: [1]", "call_queues", "write a list such as 'call_queues: [billing, support]'"),
        ("required_min: 0.99", "required_min", "lower it, or raise required_max"),
        ("notice_s: 18", "notice_s", "write less than 18, or recall_enabled: false"),
        ("target_s: 20\ntarget_s: 30", "target_s", "keep one of them"),
        ("parameters: 5", "parameters", "write names and values such as 'parameters: {threshold: 5}'"),
        ("parameters: {a: [1]}", "parameters.a", "write a number, a text, true or false"),
        ("parameters: {a: .nan}", "parameters.a", "write a number, a text, true or false"),
        ("parameters: {margin: 1}", "parameters.margin", "remove it"),
        (
            "law: adaptive_threshold\nparameters: {agents_per_cal: 1}",
            "parameters.agents_per_cal",
            "did you mean 'agents_per_call'?",
        ),
        (
            "law: adaptive_threshold\nparameters: {first_threshold: -1}",
            "parameters.first_threshold",
            "write a number from 0 to 1e+06",
        ),
        ("parameters: {a: 1, a: 2}", "a", "keep one of them"),
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


def test_every_field_explains_itself() -> None:
    assert all(f.metadata.get("about") for f in fields(PolicyDocument))


@given(
    st.builds(
        PolicyDocument,
        law=st.sampled_from(BUILT_IN_LAWS),
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
    before = PolicyDocument(law="static_reserve", margin=0.02)
    after = replace(before, margin=0.03, law="greedy")
    assert diff(before, after) == (("law", "static_reserve", "greedy"), ("margin", 0.02, 0.03))
    assert diff(before, before) == ()


@pytest.mark.parametrize(("age", "stale"), [(0.0, False), (10.0, False), (10.01, True), (None, True)])
def test_staleness_has_a_sharp_edge(age: float | None, stale: bool) -> None:
    assert PolicyDocument().is_stale(age) is stale
    assert PolicyDocument().is_stale(float("nan"))


def test_a_document_with_parameters_is_a_value_like_any_other() -> None:
    one = PolicyDocument.parse(
        "law: adaptive_threshold\nparameters: {first_threshold: 7, agents_per_call: 0.5}"
    )
    same = PolicyDocument(law="adaptive_threshold", parameters={"agents_per_call": 0.5, "first_threshold": 7})
    assert one == same
    assert hash(one) == hash(same)
    assert PolicyDocument.parse(one.to_yaml()) == one
    assert diff(replace(one, parameters={}), one) == (
        ("parameters.first_threshold", None, 7),
        ("parameters.agents_per_call", None, 0.5),
    )
