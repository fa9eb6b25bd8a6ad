"""A replay of a recording gives the recorded decisions again, bit by bit, and says so when it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from router.dispatch.recording import Recorded, unpack
from router.domain.ports import RecordedChunk
from router.policies.blending.registry import BUILT_IN_LAWS
from router.simulation.days import GROUP
from router.simulation.replay import ReplayResult, in_words, replay
from router.simulation.timeline import run_now
from tests.support.recorded import recorded_hours


@pytest.fixture(scope="module")
def chunks() -> list[RecordedChunk]:
    """An hour of a thinned real day, played by the real controller, and recorded."""
    return list(recorded_hours("service_level_to_go", 10.0, 11.0)[2])


@pytest.fixture(scope="module")
def entries(chunks: list[RecordedChunk]) -> list[Recorded]:
    return [entry for chunk in chunks for entry in unpack(chunk.body)]


def replayed(entries: Sequence[Recorded]) -> ReplayResult:
    async def each() -> AsyncIterator[Recorded]:
        for entry in entries:
            yield entry

    return run_now(replay(each(), GROUP))


def tampered(entries: Sequence[Recorded], kind: str, place: int, **changes: object) -> list[Recorded]:
    """The entries with fields of one mapping in the first entry of a kind changed."""
    at = next(i for i, entry in enumerate(entries) if entry.kind == kind and entry.fields[place])
    fields = list(entries[at].fields)
    fields[place] = {**fields[place], **changes}
    return [*entries[:at], replace(entries[at], fields=fields), *entries[at + 1 :]]


def test_a_replay_gives_every_decision_again_bit_by_bit(entries: list[Recorded]) -> None:
    result = replayed(entries)
    counted = Counter(entry.kind for entry in entries)
    assert result.decisions == result.decisions_identical == counted["decision"] > 30
    assert result.plans == result.plans_identical == counted["recalls"] > 0
    assert (result.skipped, result.first) == (0, None)
    assert result.identical


@pytest.mark.parametrize("law", BUILT_IN_LAWS)
def test_every_law_comes_out_again_bit_by_bit(law: str) -> None:
    chunks = recorded_hours(law, 10.0, 10.25)[2]
    result = replayed([entry for chunk in chunks for entry in unpack(chunk.body)])
    assert result.identical, in_words(result)
    assert result.decisions > 25


def test_chunks_read_back_what_was_noted(entries: list[Recorded]) -> None:
    counted = Counter(entry.kind for entry in entries)
    assert {
        "report",
        "window",
        "submit",
        "event",
        "policy",
        "forecast",
        "decision",
        "recalls",
        "pushes",
    } <= set(counted)
    times = [entry.at_ms for entry in entries if entry.kind == "decision"]
    assert times == sorted(times)


def test_what_has_gone_from_the_beginning_is_left_out_and_said(chunks: list[RecordedChunk]) -> None:
    kept = [entry for chunk in chunks[len(chunks) // 2 :] for entry in unpack(chunk.body)]
    result = replayed(kept)
    assert result.skipped > 0
    assert result.decisions == result.decisions_identical > 30
    assert "left out" in in_words(result)[1]


def test_a_figure_that_differs_is_told(entries: list[Recorded]) -> None:
    result = replayed(tampered(entries, "decision", -1, allowance=99))
    assert result.decisions - result.decisions_identical == 1
    assert result.first is not None
    assert [field.field for field in result.first.fields] == ["allowance"]
    assert result.first.fields[0].recorded == "99"
    assert "allowance: recorded 99, replayed" in "\n".join(in_words(result))


def test_a_snapshot_that_was_changed_is_found_out(entries: list[Recorded]) -> None:
    result = replayed(tampered(entries, "decision", 4, logged_in=500))
    assert not result.identical
    assert result.first is not None
    assert result.first.what == "decision"


def test_a_memory_that_does_not_follow_is_found_out(entries: list[Recorded]) -> None:
    first = next(i for i, entry in enumerate(entries) if entry.kind == "decision")
    changed = [*entries[: first + 1], *tampered(entries[first + 1 :], "decision", 5, law="another")]
    result = replayed(changed)
    assert result.first is not None
    assert result.first.what == "memory"


def test_a_recall_plan_that_differs_is_told(entries: list[Recorded]) -> None:
    result = replayed(tampered(entries, "recalls", -1, missing=7))
    assert result.plans - result.plans_identical == 1
    assert result.first is not None
    assert (result.first.what, result.first.fields[0].field) == ("recalls", "missing")


def test_without_a_recording_nothing_is_identical() -> None:
    result = replayed([])
    assert not result.identical
    assert "nothing of group" in in_words(result)[0]


def test_a_chunk_of_another_version_is_refused(chunks: list[RecordedChunk]) -> None:
    with pytest.raises(ValueError, match="another version"):
        unpack(b"\x09" + chunks[0].body[1:])
    with pytest.raises(ValueError, match="damaged"):
        unpack(chunks[0].body[:20])
