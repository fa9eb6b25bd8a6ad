"""Snapshots, memories and decisions are written down and read back exactly."""

from __future__ import annotations

import json
from dataclasses import fields

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.policies.blending import (
    ForecastInterval,
    GateDecision,
    Memory,
    Nowcast,
    PolicyDocument,
    Snapshot,
    build_policy,
)
from router.policies.blending.handling import Handling
from router.policies.blending.records import FrozenMap, Record
from router.policies.blending.registry import BUILT_IN_LAWS

numbers = st.floats(allow_nan=False)
names = st.text(max_size=8)
intervals = st.builds(ForecastInterval, st.integers(), st.integers(), numbers, st.none() | numbers)
snapshots = st.builds(
    Snapshot,
    waiting_ages_s=st.lists(numbers, max_size=3).map(tuple),
    forecast=st.lists(intervals, max_size=3).map(tuple),
    aht_s=st.none() | numbers,
    feed_age_s=st.none() | numbers,
    last_recall_ms=st.none() | st.integers(),
)
memories = st.builds(
    Memory,
    nowcast=st.none() | st.builds(Nowcast, st.integers(), st.integers(), numbers, numbers, numbers, numbers),
    handling=st.none() | st.builds(Handling, st.integers(), st.integers(), st.integers(), numbers),
    law=names,
    own=st.dictionaries(names, numbers, max_size=3).map(FrozenMap),
)
gates = st.builds(
    GateDecision,
    required_service_level=numbers,
    rate_per_s=numbers,
    recall_age_s=st.none() | numbers,
    tasks_ahead=st.none() | numbers,
    explanation=st.dictionaries(names, numbers | names, max_size=3),
)


@given(snapshots | memories | gates)
def test_what_is_written_as_json_is_read_back_exactly(record: Record) -> None:
    again = type(record).from_mapping(json.loads(json.dumps(record.to_mapping())))
    assert again == record
    assert json.dumps(again.to_mapping()) == json.dumps(record.to_mapping())


@given(snapshots.filter(lambda s: all(abs(n) < 2**63 for n in (s.now_ms, s.window_end_ms, s.idle))))
def test_numbers_keep_their_kind(snapshot: Snapshot) -> None:
    kinds = {f.name: type(getattr(snapshot, f.name)) for f in fields(Snapshot)}
    again = Snapshot.from_mapping(json.loads(json.dumps(snapshot.to_mapping())))
    assert {f.name: type(getattr(again, f.name)) for f in fields(Snapshot)} == kinds


def look(at_ms: int, answered: int = 0) -> Snapshot:
    return Snapshot(
        now_ms=at_ms,
        idle=4,
        on_call=27,
        logged_in=40,
        on_tasks=9,
        window_end_ms=36_000_000,
        waiting_ages_s=(0.1, 3.3),
        answered=answered,
        answered_in_target=answered * 4 // 5,
        arrivals=answered,
        forecast=(ForecastInterval(0, 36_000_000, 4444.4, 40.0),),
        task_s=299.9,
    )


@pytest.mark.parametrize("law", BUILT_IN_LAWS)
def test_a_decision_on_what_was_read_back_is_the_same_to_the_last_bit(law: str) -> None:
    policy = build_policy(PolicyDocument(law=law))
    straight, written = Memory(), Memory()
    for step in range(20):
        snapshot = look(30_000 * step, 7 * step)
        gate, straight = policy.decide(snapshot, straight)
        stored = msgpack.unpackb(msgpack.packb([snapshot.to_mapping(), written.to_mapping()]))
        again, written = policy.decide(Snapshot.from_mapping(stored[0]), Memory.from_mapping(stored[1]))
        assert json.dumps(again.to_mapping()) == json.dumps(gate.to_mapping())
        assert GateDecision.from_mapping(gate.to_mapping()) == gate
        assert written == straight


def test_records_of_a_neighbouring_version_can_be_read() -> None:
    values = look(0).to_mapping()
    del values["short_abandoned"]
    assert Snapshot.from_mapping({**values, "moon_phase": 0.5}) == look(0)
    assert Memory.from_mapping({}) == Memory()
    del values["now_ms"]
    with pytest.raises(TypeError, match="now_ms"):
        Snapshot.from_mapping(values)
