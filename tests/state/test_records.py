"""Records: what is written comes back the same, and nothing empty is kept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.model import (
    AcdCommand,
    AgentProfile,
    AgentState,
    Checkpoint,
    CommandKind,
    Gate,
    GateMode,
    TaskSpec,
    TaskState,
)
from router.domain.ports import NewTask
from router.domain.routing import FRONT, Curve, PlanStep, QueueSpec, RoutePlan
from router.state import records

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,20}", fullmatch=True)
TIMES = st.integers(min_value=1, max_value=1 << 50)
LEVELS = st.dictionaries(IDS, st.integers(1, 5), max_size=4)
TEXTS = st.text(max_size=20)

SPECS = st.builds(
    TaskSpec,
    work_type=IDS,
    reference=TEXTS,
    priority=st.integers(0, 100),
    due_ms=st.none() | TIMES,
    schedule_ms=st.none() | TIMES,
    expire_ms=st.none() | TIMES,
    required_skills=st.none() | LEVELS,
    preferred_agent=IDS,
    excluded_agents=st.lists(IDS, max_size=3).map(tuple),
    payload=st.binary(max_size=40),
    labels=st.dictionaries(TEXTS, TEXTS, max_size=3),
    interruptible=st.none() | st.booleans(),
    expected_handling_ms=st.none() | st.integers(0, 1 << 40),
)
CURVES = st.sampled_from([Curve(((0, 1.5),)), Curve(((-5, 0.1), (7, 1 / 3), (1 << 45, 1e12)))])
QUEUES = st.builds(
    QueueSpec,
    work_type=IDS,
    requirement=LEVELS.map(lambda levels: tuple(sorted(levels.items()))),
    curve=CURVES,
    interruptible=st.booleans(),
    agent=st.just("") | IDS,
    team=st.just("") | IDS,
)


@given(SPECS)
def test_a_spec_survives_packing(spec: TaskSpec) -> None:
    assert records.unpack_spec(records.pack_spec(spec)) == spec


def test_an_explicit_nothing_is_not_taken_for_the_default() -> None:
    spec = TaskSpec("claims", priority=0, preference_wait_ms=0, required_skills={}, interruptible=False)
    assert records.unpack_spec(records.pack_spec(spec)) == spec


@given(st.binary(max_size=200))
def test_bytes_pass_through_the_texts_of_a_script(data: bytes) -> None:
    assert records.as_bytes(records.unpack(records.pack(data))) == data


def test_a_record_and_the_arrows_behind_it_come_back_in_order() -> None:
    record, arrows = {"s": "OFFERED", "c": 1}, [[1, "", "QUEUED"], [2, "QUEUED", "OFFERED"]]
    blob = records.pack(record) + b"".join(records.pack(arrow) for arrow in arrows)
    assert records.unpack_task(blob) == (record, arrows)
    assert records.unpack_first(blob) == record


def test_a_record_without_arrows_tells_the_one_of_its_submit() -> None:
    blob = records.pack({"s": "SCHEDULED", "c": 7, "sub": "crm"})
    arrow = [7, "", "SCHEDULED", "submit", "submitter:crm", "", "", 0]
    assert records.unpack_task(blob)[1] == [arrow]


@given(QUEUES)
def test_a_queue_survives_its_record(queue: QueueSpec) -> None:
    record = records.queue_record(queue)
    assert records.queue_from(record) == queue
    assert (record["an"], record["fm"]) == (queue.anchor, queue.family)


@given(QUEUES)
def test_a_front_twin_is_its_queue_in_the_front_family(queue: QueueSpec) -> None:
    stored = {queue.id: records.queue_record(queue)}
    twin = records.derived_definition(queue.id + records.FRONT_MARK, stored)
    assert twin == {**stored[queue.id], "fm": FRONT}
    assert records.base_queue(queue.id + records.FRONT_MARK) == queue.id


def test_a_resume_queue_is_meant_for_one_agent_and_asks_nothing() -> None:
    qid = records.resume_queue("claims", "ann", interruptible=True)
    definition = records.derived_definition(qid, {})
    assert records.is_derived(qid)
    assert definition == {"wt": "claims", "ag": "ann", "an": "a:ann", "fm": FRONT, "iv": 1}
    assert records.queue_from(definition).agent == "ann"


def test_an_unknown_base_queue_is_an_error() -> None:
    with pytest.raises(KeyError):
        records.derived_definition("nowhere!", {})


def new_task(spec: TaskSpec, *, origin_ms: int = 5) -> NewTask:
    home = QueueSpec(spec.work_type, (("claims", 2),), Curve(((0, 1.0),)), True)
    return NewTask("t1", spec, RoutePlan(origin_ms, (PlanStep(3, home), PlanStep(9, home))), "crm")


@given(SPECS)
def test_a_new_tasks_record_holds_nothing_empty(spec: TaskSpec) -> None:
    record = records.new_task_record(new_task(spec, origin_ms=0))
    assert all(record.values())
    assert "o" not in record


def test_a_plan_is_written_as_its_steps() -> None:
    plan = new_task(TaskSpec("claims")).plan
    home = plan.steps[0].queue
    assert records.decode_plan(records.plan_text(plan)) == [(3, home.id), (9, home.id)]
    assert list(records.plan_queues(plan)) == [home.id]


def test_a_task_is_told_with_all_that_belongs_to_it() -> None:
    spec = TaskSpec("claims", payload=b"\xff\x00", interruptible=True)
    record = records.new_task_record(new_task(spec))
    record.update(s="ACTIVE", c=1, ch=2, ag="ann", f=4, dl=9, dec="bob:7 eve:8", why="{}")
    task = records.task_from(
        "t1", record, records.pack_spec(spec), [2, 6, "saved"], {"r": "done", "oc": "ok"}
    )
    assert (task.state, task.agent, task.fence, task.deadline_ms) == (TaskState.ACTIVE, "ann", 4, 9)
    assert task.spec == spec
    assert task.checkpoint == Checkpoint(b"saved", 2, 6)
    assert (task.result, task.outcome) == (b"done", "ok")
    assert task.declined_by == {"bob": 7, "eve": 8}
    assert task.shown


def test_a_task_without_its_spec_tells_what_its_record_knows() -> None:
    spec = TaskSpec("claims", reference="r1", priority=3, excluded_agents=("bob",), interruptible=False)
    record = {**records.new_task_record(new_task(spec)), "s": "QUEUED"}
    thin = records.task_from("t1", record).spec
    assert (thin.work_type, thin.reference, thin.priority) == ("claims", "r1", 3)
    assert (thin.excluded_agents, thin.interruptible) == (("bob",), False)


@given(st.dictionaries(IDS, TIMES, max_size=5))
def test_exclusions_keep_their_order(until: dict[str, int]) -> None:
    assert list(records.decode_until(records.encode_until(until)).items()) == list(until.items())


def test_an_agent_is_told_from_record_and_profile() -> None:
    profile = AgentProfile("ann", "Ann Ä", {"claims": 3}, ("north", "south"), "blue", 2, True)
    record = records.without_zeros(
        {**records.profile_fields(profile), "st": "ON_CALL", "rev": 4, "on": "t1 t2", "rc": "5 6", "ss": "s"}
    )
    agent = records.agent_from("ann", record, records.pack_profile(profile))
    assert agent.profile == profile
    assert (agent.state, agent.revision, agent.connected) == (AgentState.ON_CALL, 4, True)
    assert (agent.held, agent.recall_times_ms) == (("t1", "t2"), (5, 6))


@pytest.mark.parametrize(
    "gate",
    [
        Gate("blue"),
        Gate("blue", GateMode.OPEN, True, 3, 1, 2, 99, 0, 0, True, 7, 5, "busy", True, 100),
    ],
)
def test_a_gate_survives_its_record(gate: Gate) -> None:
    assert records.gate_from("blue", records.gate_record(gate)) == gate


def test_where_no_gate_was_set_it_is_closed() -> None:
    gate = records.gate_from("blue", None)
    assert not gate.open
    assert gate.valid_until_ms == 0


def test_a_command_survives_its_record() -> None:
    command = AcdCommand("c1", CommandKind.RESERVE, "ann", "acd", "t1", 4, 9)
    assert records.command_from("ann", records.command_record(command)) == command


def test_a_groups_counters_become_figures() -> None:
    figures = records.figures_from("blue", {"n_AVAILABLE": 2, "n_ON_CALL": 1, "idle": 1, "ont": 1})
    assert figures.by_state == {AgentState.AVAILABLE: 2, AgentState.ON_CALL: 1}
    assert (figures.idle, figures.on_tasks) == (1, 1)


def test_a_document_keeps_kind_and_id_apart() -> None:
    document = records.document_from("policy/blue/7", records.document_record(2, "{}"))
    assert (document.kind, document.id, document.etag, document.body) == ("policy", "blue/7", 2, "{}")


def test_a_hint_is_told_from_its_message() -> None:
    spec = TaskSpec("claims", payload=b"\xfe")
    record = {**records.new_task_record(new_task(spec)), "s": "OFFERED", "ag": "ann", "f": 1}
    message: dict[str, Any] = {
        **{"k": "offer", "si": "main", "ag": "ann", "gr": "blue", "nm": 5, "r": "why"},
        **{"tid": "t1", "t": record, "sp": records.pack_spec(spec), "cp": [1, 2, "data"]},
    }
    hint = records.hint_from(records.unpack(records.pack(message)))
    assert hint.task is not None
    assert hint.task.spec == spec
    assert hint.task.checkpoint == Checkpoint(b"data", 1, 2)
    assert (hint.kind, hint.agent, hint.group, hint.notice_ms) == ("offer", "ann", "blue", 5)


def test_a_command_hint_carries_the_command() -> None:
    command = AcdCommand("c1", CommandKind.RELEASE, "ann", "acd", "t1", 4, 9)
    message = {
        "k": "command",
        "si": "main",
        "ag": "ann",
        "src": "acd",
        "cmd": records.command_record(command),
    }
    assert records.hint_from(message).command == command


def test_what_there_is_follows_from_the_steps() -> None:
    steps = {
        "claims||QUEUED|submit": 5,
        "claims|QUEUED|ACTIVE|pull": 3,
        "claims|ACTIVE|ACTIVE|extend": 2,
        "claims|ACTIVE|COMPLETED|complete": 1,
        "claims|ACTIVE|DEAD_LETTER|lease_timeout": 1,
        "claims|COMPLETED||purge": 1,
        "p|50": 2,
    }
    counts, totals = records.tally(steps)
    assert counts == {"claims|QUEUED": 2, "claims|ACTIVE": 1, "claims|DEAD_LETTER": 1, "p|50": 2}
    assert totals == {
        **{"submitted": 5, "pulled": 3, "extended": 2, "completed": 1, "lease_timeout": 1},
        "dead": 1,
    }
