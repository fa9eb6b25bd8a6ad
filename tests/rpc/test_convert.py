"""Each value survives the way over the wire and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.domain.errors import InvalidInput
from router.domain.model import (
    Agent,
    AgentProfile,
    AgentReport,
    AgentState,
    RelaxationStep,
    Task,
    TaskSpec,
    TaskState,
    UrgencySpec,
    WorkType,
)
from router.domain.telephony import CallQueueReport, ForecastInterval
from router.rpc.convert import agents, tasks, telephony
from router.rpc.convert.times import duration, set_duration, set_time, timestamp
from router.rpc.validate import DAY_MS, Check
from router.v1 import common_pb2, tasks_pb2, telephony_pb2

SITE = "hq"
ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,20}", fullmatch=True)
moments = st.integers(1, 4_000_000_000_000)
levels = st.dictionaries(ids, st.integers(1, 5), max_size=4)
words = st.text(max_size=40).filter(lambda t: "\0" not in t)
spans = st.integers(1000, DAY_MS)

specs = st.builds(
    TaskSpec,
    work_type=ids,
    reference=words,
    priority=st.integers(0, 100),
    due_ms=st.none() | moments,
    schedule_ms=st.none() | moments,
    expire_ms=st.none() | moments,
    required_skills=levels.filter(bool),
    preferred_agent=st.just("") | ids,
    preferred_team=st.just("") | ids,
    preference_wait_ms=spans,
    excluded_agents=st.lists(ids, max_size=3).map(tuple),
    payload=st.binary(max_size=50),
    payload_type=words,
    customer_reference=words,
    labels=st.dictionaries(words.filter(bool), words, max_size=3),
    interruptible=st.booleans(),
    expected_handling_ms=spans,
)


def over_the_wire(message):
    return type(message).FromString(message.SerializeToString())


@given(specs)
@settings(max_examples=100, deadline=None)
def test_a_task_comes_back_as_it_was_submitted(spec):
    task = Task(
        "t1",
        spec,
        TaskState.QUEUED,
        spec.priority,
        1,
        1,
        1,
        interruptible=spec.interruptible,
        expected_handling_ms=spec.expected_handling_ms,
    )
    check = Check(SITE)
    back = tasks.spec_in(over_the_wire(tasks.task_out(SITE, task)), check)
    check.done()
    assert back == spec


def test_what_a_submitter_leaves_out_is_left_to_the_work_type():
    check = Check(SITE)
    spec = tasks.spec_in(common_pb2.Task(work_type="claims"), check)
    check.done()
    assert spec == TaskSpec("claims")


curves = st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9)), min_size=1, max_size=4).map(tuple)
urgencies = st.one_of(
    st.builds(UrgencySpec, st.just("strict_priority"), spans),
    st.builds(UrgencySpec, st.just("earliest_due"), spans, rate_per_minute=st.floats(0.01, 9)),
    st.builds(UrgencySpec, st.just("linear_aging"), spans, st.floats(0, 9), st.floats(0.01, 9)),
    st.builds(UrgencySpec, st.just("curve"), spans, points=curves),
)
work_types = st.builds(
    WorkType,
    id=ids,
    required_skills=levels,
    urgency=urgencies,
    service_goal_ms=spans,
    expected_handling_ms=spans,
    interruptible=st.booleans(),
    offer_timeout_ms=st.integers(500, 3_600_000),
    lease_ms=spans,
    max_attempts=st.integers(1, 100),
    relaxation=st.lists(
        st.builds(RelaxationStep, spans, st.integers(0, 4), st.lists(ids, max_size=2).map(tuple)), max_size=3
    ).map(tuple),
    decline_exclusion_ms=st.integers(0, DAY_MS),
    resume_window_ms=st.integers(0, DAY_MS),
    display_name=words,
    guidance=words,
)


@given(work_types)
@settings(max_examples=100, deadline=None)
def test_a_work_type_comes_back(work_type):
    check = Check(SITE)
    message = over_the_wire(tasks.work_type_out(SITE, work_type, 3))
    assert tasks.work_type_in(work_type.id, message, check) == work_type
    check.done()
    assert check.etag(message.etag) == 3


def test_a_mask_names_what_is_cleared():
    check = Check(SITE)
    current = tasks.work_type_out(SITE, WorkType("w", {"a": 1}, guidance="read"), 1)
    changed = tasks.merged(current, tasks_pb2.WorkType(), ["guidance", "required_skills"], check)
    check.done()
    assert tasks.work_type_in("w", changed, check) == WorkType("w")


profiles = st.builds(
    AgentProfile,
    id=ids,
    display_name=words,
    skills=levels,
    teams=st.lists(ids, max_size=3).map(tuple),
    blending_group=st.just("") | ids,
    capacity=st.integers(1, 9),
    auto_accept=st.booleans(),
)


@given(profiles)
@settings(max_examples=60, deadline=None)
def test_a_profile_comes_back(profile):
    check = Check(SITE)
    message = over_the_wire(agents.agent_out(SITE, Agent(profile, 7)))
    assert agents.profile_in(profile.id, message, check) == profile
    check.done()


def test_every_state_and_reason_has_a_number_of_its_own():
    assert len(set(tasks.STATES.values())) == len(TaskState)
    assert {agents.STATES_IN[number] for number in agents.STATES.values()} == set(AgentState)
    assert len(set(agents.NO_TASK_REASONS.values())) == len(agents.NO_TASK_REASONS)
    assert set(agents.NO_TASK_REASONS) <= set(agents.NO_TASK_SENTENCES)


def test_an_agent_leaves_at_the_earlier_of_break_and_end_of_shift():
    message = telephony_pb2.AgentStateReport(
        agent="alice",
        state=common_pb2.AGENT_STATE_ON_CALL,
        reason="x",
        shift_end_time=timestamp(9_000),
        break_start_time=timestamp(5_000),
    )
    check = Check(SITE)
    clock = telephony.AcdClock(8_000, 0)
    assert telephony.agent_in("a", message, clock, check) == AgentReport(
        "alice", AgentState.ON_CALL, "x", 5_000
    )
    check.done()


def test_the_acds_own_times_are_related_to_the_routers_clock():
    """The ACD's clock is an hour and 100 ms of the way behind ours."""
    agent = telephony_pb2.AgentStateReport(
        agent="alice", state=common_pb2.AGENT_STATE_AVAILABLE, state_time=timestamp(40_000)
    )
    queue = telephony_pb2.CallQueueReport(
        call_queue="cards",
        blending_group="bank",
        calls_waiting=1,
        oldest_wait=duration(5_000),
        waiting_ages=[duration(5_000)],
        figures_time=timestamp(48_000),
    )
    report = telephony_pb2.ReportRequest(
        sequence=1,
        report_time=timestamp(50_000),
        changes=telephony_pb2.ReportRequest.Changes(agents=[agent], call_queues=[queue]),
    )
    check = Check(SITE)
    batch = telephony.batch_in(report, "pbx", "1", 3_650_100, check)
    check.done()
    assert batch.agents[0].since_ms == 3_640_100
    assert (batch.queues[0].oldest_wait_ms, batch.queues[0].waiting_ages_ms) == (7_000, (7_000,))


def test_a_call_queue_with_its_forecast_is_understood():
    message = telephony_pb2.CallQueueReport(
        call_queue="cards",
        blending_group="bank",
        calls_waiting=2,
        oldest_wait=duration(7_500),
        waiting_ages=[duration(7_500), duration(1_000)],
        offered=10,
        answered=8,
        answered_in_target=6,
        abandoned=1,
        short_abandoned=1,
        average_handling_time=duration(240_000),
        window_start_time=timestamp(60_000),
        forecast=[
            telephony_pb2.ForecastInterval(start_time=timestamp(60_000), calls=5, staff=3),
            telephony_pb2.ForecastInterval(start_time=timestamp(120_000), calls=6, staff=4),
        ],
    )
    check = Check(SITE)
    clock = telephony.AcdClock(60_000, 0)
    assert telephony.queue_in("q", over_the_wire(message), clock, check) == CallQueueReport(
        id="cards",
        group="bank",
        calls_waiting=2,
        oldest_wait_ms=7_500,
        waiting_ages_ms=(7_500, 1_000),
        offered=10,
        answered=8,
        answered_in_target=6,
        abandoned=1,
        short_abandoned=1,
        window_start_ms=60_000,
        window_end_ms=180_000,
        aht_ms=240_000,
        forecast=(ForecastInterval(60_000, 60_000, 5, 3), ForecastInterval(120_000, 60_000, 6, 4)),
    )
    check.done()


def test_a_call_queue_that_another_version_wrote_is_read_as_far_as_it_is_known():
    mine = CallQueueReport("cards", offered=3, forecast=(ForecastInterval(60_000, 60_000, 5),))
    assert CallQueueReport.from_text("cards", mine.to_text()) == mine
    assert CallQueueReport.from_text("cards", '{"offered":3,"mood":"good"}') == CallQueueReport(
        "cards", offered=3
    )


@given(st.integers(-DAY_MS, DAY_MS))
def test_a_duration_keeps_its_milliseconds(ms):
    assert duration(ms).ToMilliseconds() == ms


@given(st.integers(0, 4_000_000_000_000))
def test_a_time_written_in_place_is_the_one_that_is_made(ms):
    message = common_pb2.Task()
    set_time(message.due_time, ms)
    assert message == common_pb2.Task(due_time=timestamp(ms))
    assert message.HasField("due_time") == bool(ms)
    set_duration(message.preference_wait, ms)
    assert message.preference_wait == duration(ms)
    assert message.HasField("preference_wait")


def test_every_field_of_a_submit_is_checked_where_it_is_set():
    task = common_pb2.Task(
        work_type="a/b",
        reference="r" * 200,
        priority=101,
        due_time=timestamp(-5),
        required_skills=[common_pb2.SkillRequirement(skill="//", min_level=9)],
        preferred_agent="alice",
        preferred_team="/",
        preference_wait=duration(-1),
        excluded_agents=["bea"],
        payload=bytes(70_000),
        labels={"k": "v" * 300},
        expected_handling_time=duration(1),
        outcome="only the router says this",
    )
    check = Check(SITE, "task.")
    tasks.spec_in(task, check)
    with pytest.raises(InvalidInput) as caught:
        check.done()
    assert {field for field, _ in caught.value.violations} == {
        "task.work_type",
        "task.reference",
        "task.priority",
        "task.due_time",
        "task.required_skills[0].skill",
        "task.required_skills[0].min_level",
        "task.preferred_agent",
        "task.preferred_team",
        "task.preference_wait",
        "task.excluded_agents[0]",
        "task.payload",
        "task.labels[k]",
        "task.expected_handling_time",
    }


def test_a_task_without_a_work_type_is_refused():
    check = Check(SITE, "task.")
    tasks.spec_in(common_pb2.Task(reference="r"), check)
    with pytest.raises(InvalidInput, match="work_type"):
        check.done()
