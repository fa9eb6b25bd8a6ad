"""What is derived from a recording is what was recorded, and a day played again comes close to the day itself."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from router.dispatch.recording import Recorded, unpack
from router.policies.blending import PolicyDocument
from router.simulation.counterfactual import compare
from router.simulation.days import GROUP
from router.simulation.played import counterfactual_from
from router.simulation.recorded_day import RecordedDay, TooLittleRecorded, recorded_day
from tests.support.recorded import recorded_hours

AGENTS = {agent.id: agent.skills for agent in recorded_hours()[0].groups[0].agents}


@pytest.fixture(scope="module")
def entries() -> list[Recorded]:
    return [entry for chunk in recorded_hours()[2] for entry in unpack(chunk.body)]


@pytest.fixture(scope="module")
def derived(entries: list[Recorded]) -> RecordedDay:
    played = recorded_hours()[1]
    return recorded_day(entries, GROUP, AGENTS, {"claims": played.queued})


def test_what_happened_is_counted_as_it_was(derived: RecordedDay) -> None:
    played = recorded_hours()[1].total
    actual = derived.actual
    assert (actual.offered, actual.answered, actual.in_target, actual.abandoned) == (
        played.calls.offered,
        played.calls.answered,
        played.calls.in_target,
        played.calls.abandoned,
    )
    assert actual.service_level == played.service_level
    assert (actual.done, actual.recalls) == (played.work.done, played.work.recalls)
    assert actual.work_s / 3600 == pytest.approx(played.recovered_hours, rel=0.03)


def test_every_call_comes_when_it_came_and_takes_as_long(derived: RecordedDay) -> None:
    true = recorded_hours()[0].groups[0].queues[0].calls
    calls = derived.day.groups[0].queues[0].calls
    assert [call.number for call in calls] == list(range(len(true)))
    assert [call.arrives_at for call in calls] == pytest.approx([call.arrives_at for call in true], abs=0.01)
    mean_s = sum(call.talk_s + call.after_s for call in calls) / len(calls)
    assert mean_s == pytest.approx(sum(call.talk_s + call.after_s for call in true) / len(true), rel=0.05)


def test_every_agent_is_there_as_long_as_it_was(derived: RecordedDay) -> None:
    true = {agent.id: agent.shift for agent in recorded_hours()[0].groups[0].agents}
    shifts = [agent.shift for agent in derived.day.groups[0].agents]
    assert {shift.agent for shift in shifts} == set(true)
    for shift in shifts:
        # Whoever begins with a break comes after it.
        breaks = true[shift.agent].breaks
        late = breaks[0][1:] if breaks and breaks[0][0] == true[shift.agent].start else ()
        assert shift.start == pytest.approx(*late or (true[shift.agent].start,), abs=0.01)
        assert shift.end == pytest.approx(true[shift.agent].end, abs=0.01)
        flat = [moment for span in shift.breaks for moment in span]
        assert flat == pytest.approx(
            [moment for span in breaks[1 if late else 0 :] for moment in span], abs=0.01
        )


def test_work_comes_as_it_came_and_takes_what_was_measured(derived: RecordedDay) -> None:
    (work,) = derived.day.work
    submitted = recorded_hours()[1].submitted
    assert work.id == "claims"
    assert len(work.arrivals_s) + work.waiting == submitted
    assert work.time.mean == pytest.approx(300, rel=0.25)
    assert derived.day.desktops.back_s == pytest.approx(10, abs=1)


def test_the_policy_in_force_and_its_version_are_known(derived: RecordedDay) -> None:
    assert (derived.version, derived.document.law) == (1, "static_reserve")
    assert derived.document.acd_control


def test_the_simulated_policy_in_force_comes_close_to_what_happened(derived: RecordedDay) -> None:
    stages: list[tuple[float, str]] = []
    played = recorded_hours()[1].total
    candidate = PolicyDocument(law="no_blending", acd_control=True)
    found = compare(derived, candidate, lambda share, stage: stages.append((share, stage)))
    assert found.trustworthy
    assert abs(found.level_error) <= 0.03
    assert abs(found.work_error) <= 0.15
    assert (found.candidate.done, found.candidate.recovered_hours) == (0, 0.0)
    assert found.candidate.service_level == pytest.approx(found.without_blending, abs=0.01)
    assert found.without_blending == pytest.approx(played.service_level_without, abs=0.02)
    assert [share for share, _ in stages] == sorted(share for share, _ in stages)
    assert stages[-1][0] == 1.0


def test_the_same_day_twice_is_the_same_to_the_bit(derived: RecordedDay) -> None:
    candidate = PolicyDocument(law="greedy", acd_control=True)
    once, again = compare(derived, candidate), compare(derived, candidate)
    assert once == again
    assert once.candidate.done > once.active.done


def test_a_result_survives_the_way_between_processes(derived: RecordedDay) -> None:
    found = compare(derived, derived.document)
    assert counterfactual_from(asdict(found)) == found
    assert found.active == found.candidate


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (frozenset[str](), "nothing is recorded"),
        (frozenset({"report", "window"}), "no decision"),
        (frozenset({"policy", "forecast", "decision", "window"}), "only 0 calls"),
    ],
)
def test_too_little_is_told_with_what_to_do(entries: list[Recorded], kept: frozenset[str], told: str) -> None:
    with pytest.raises(TooLittleRecorded, match=told) as refused:
        recorded_day([entry for entry in entries if entry.kind in kept], GROUP, AGENTS)
    assert "workrouter simulate" in str(refused.value)


def test_a_group_that_is_not_recorded_is_refused(entries: list[Recorded]) -> None:
    with pytest.raises(TooLittleRecorded, match="no decision of group 'other'"):
        recorded_day(entries, "other", {})
