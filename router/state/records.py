"""How both stores write down what they know: msgpack maps with short names, and their meaning.

A record is a flat ``dict`` of integers and texts; a field that would be zero or empty is left out. The words
are listed in docs/redis-schema.md. Nothing here does I/O: each function turns a record into a domain value or
back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any

import msgpack

from router.domain.model import (
    AcdCommand,
    Agent,
    AgentProfile,
    AgentState,
    Checkpoint,
    CommandKind,
    Document,
    Feed,
    Gate,
    GateMode,
    GroupFigures,
    Task,
    TaskSpec,
    TaskState,
    TaskTransition,
)
from router.domain.ports import CallQueueRecord, Event, Hint, NewTask
from router.domain.routing import (
    FRONT,
    FRONT_URGENCY,
    Curve,
    QueueSpec,
    RoutePlan,
    decode_levels,
    encode_levels,
)

Record = dict[str, Any]

VERSION = 1
"""Schema number: ``v`` of task and agent records, ``schema`` of a site's ``meta``."""
FRONT_MARK = "!"
"""Ends the id of a queue's front twin."""
RESUME_PREFIX = "resume:"
MOST_MOVED = 16
"""Agents that moved in one transition and are told of one by one; of more, only that the index is to be read."""
HISTORY_KEPT = 32
DECLINES_KEPT = 32
RECALL_TIMES_KEPT = 16
RECALL_WINDOW_MS = 3_600_000
EVENTS_KEPT = 200_000
EVENT_FIELDS = 8
"""What an event tells of an arrow; the figures behind a decision are in the task's history only."""


# -- msgpack -----------------------------------------------------------------------------------------------
def pack(value: Any) -> bytes:
    """``value`` as msgpack of the old kind (texts and bytes alike), as cmsgpack in Lua has it."""
    packed: bytes = msgpack.packb(value, use_bin_type=False, unicode_errors="surrogateescape")
    return packed


def unpack(blob: bytes) -> Any:
    """The inverse of :func:`pack`; bytes come back as text that :func:`as_bytes` turns back."""
    return msgpack.unpackb(blob, raw=False, unicode_errors="surrogateescape", strict_map_key=False)


def as_bytes(value: str | bytes) -> bytes:
    """Bytes from what :func:`unpack` made of them."""
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def unpack_first(blob: bytes) -> Any:
    """The first of several values that were packed one after the other: a task's record without its arrows."""
    return _reader(blob).unpack()


def unpack_task(blob: bytes) -> tuple[Record, list[list[Any]]]:
    """A task's record, and its arrows, which stand behind it. The arrow of a submit is kept only with others."""
    record, *arrows = _reader(blob)
    return record, arrows or [submit_arrow(record)]


def submit_arrow(record: Mapping[str, Any]) -> list[Any]:
    """The first arrow of a task that has taken no other."""
    return [record["c"], "", record["s"], "submit", f"submitter:{record.get('sub', '')}", "", "", 0]


def _reader(blob: bytes) -> msgpack.Unpacker:
    reader = msgpack.Unpacker(raw=False, unicode_errors="surrogateescape", strict_map_key=False)
    reader.feed(blob)
    return reader


def without_zeros(record: Mapping[str, Any]) -> Record:
    """The record without its zero and empty fields."""
    return {name: value for name, value in record.items() if value}


# -- what the submitter said -------------------------------------------------------------------------------
SPEC_NAMES = {
    "work_type": "wt",
    "reference": "ref",
    "priority": "p",
    "due_ms": "due",
    "schedule_ms": "sc",
    "expire_ms": "xp",
    "required_skills": "sk",
    "preferred_agent": "pa",
    "preferred_team": "pt",
    "preference_wait_ms": "pw",
    "excluded_agents": "ex",
    "payload": "pl",
    "payload_type": "ty",
    "customer_reference": "cr",
    "labels": "lb",
    "interruptible": "iv",
    "expected_handling_ms": "eh",
    "traceparent": "tp",
}
_PLAIN_SPEC = TaskSpec(work_type="")
_SPEC_FIELDS = tuple(
    (item.name, SPEC_NAMES[item.name], getattr(_PLAIN_SPEC, item.name)) for item in fields(TaskSpec)
)
"""Name, short name and default of each field."""


def pack_spec(spec: TaskSpec) -> bytes:
    """A task's spec as one blob that no script reads; fields at their defaults are left out."""
    body = {}
    for name, short, plain in _SPEC_FIELDS:
        value = getattr(spec, name)
        if value != plain:
            body[short] = dict(sorted(value.items())) if isinstance(value, Mapping) else value
    return pack(body)


def unpack_spec(blob: bytes) -> TaskSpec:
    """The inverse of :func:`pack_spec`."""
    body = unpack(blob)
    values = {name: body[short] for name, short in SPEC_NAMES.items() if short in body}
    if "payload" in values:
        values["payload"] = as_bytes(values["payload"])
    if "excluded_agents" in values:
        values["excluded_agents"] = tuple(values["excluded_agents"])
    return TaskSpec(**values)


def spec_from_record(record: Mapping[str, Any]) -> TaskSpec:
    """As much of the spec as a task's routing record tells: what hints without a spec blob carry."""
    return TaskSpec(
        work_type=record["wt"],
        reference=record.get("ref", ""),
        priority=record.get("p", 0),
        schedule_ms=record.get("sc"),
        expire_ms=record.get("xp"),
        excluded_agents=tuple(record.get("ex", "").split()),
        interruptible=bool(record.get("iv")),
        expected_handling_ms=record.get("eh", 0),
    )


# -- tasks -------------------------------------------------------------------------------------------------
def spec_fields(spec: TaskSpec) -> Record:
    """The routing fields that follow from a compiled spec; zero and empty ones erase on update."""
    return {
        "p": spec.priority,
        "iv": int(bool(spec.interruptible)),
        "eh": spec.expected_handling_ms or 0,
        "ex": " ".join(spec.excluded_agents),
        "xp": spec.expire_ms or 0,
        "sc": spec.schedule_ms or 0,
    }


def plan_fields(plan: RoutePlan) -> Record:
    """The routing fields that follow from a plan."""
    return {"o": plan.origin_ms, "pl": plan_text(plan)}


def new_task_record(new: NewTask) -> Record:
    """A submitted task's record but for ``s``, ``c`` and ``ch``, which the transition itself sets."""
    return without_zeros(
        {
            "v": VERSION,
            "wt": new.spec.work_type,
            "ref": new.spec.reference,
            "sub": new.submitter,
            "rq": new.request_id,
            "fp": new.fingerprint if new.request_id or new.spec.reference else "",
            "of": new.offer_timeout_ms,
            "ls": new.lease_ms,
            "ma": new.max_attempts,
            "dx": new.decline_exclusion_ms,
            "rs": new.resume_window_ms,
            "rev": 1,
            **spec_fields(new.spec),
            **plan_fields(new.plan),
        }
    )


def task_from(
    id: str,
    record: Mapping[str, Any],
    spec: bytes | TaskSpec | None = None,
    checkpoint: Iterable[Any] | None = None,
    result: Mapping[str, Any] | None = None,
) -> Task:
    """A task from its record, its spec (packed or not), and the unpacked checkpoint and result if any."""
    if spec is None:
        spec = spec_from_record(record)
    get = record.get
    return Task(
        id=id,
        spec=unpack_spec(spec) if isinstance(spec, bytes) else spec,
        state=TaskState(record["s"]),
        priority=get("p", 0),
        create_ms=get("c", 0),
        change_ms=get("ch", 0),
        revision=get("rev", 0),
        submitter=get("sub", ""),
        queue=get("q", ""),
        origin_ms=get("o", 0),
        agent=get("ag", ""),
        fence=get("f", 0),
        deadline_ms=get("dl", 0),
        shown=not get("hid"),
        offer_ms=get("oa", 0),
        accept_ms=get("aa", 0),
        attempts=get("at", 0),
        recalls=get("nr", 0),
        declines=get("nd", 0),
        interruptible=bool(get("iv")),
        expected_handling_ms=get("eh", 0),
        declined_by=decode_until(get("dec", "")),
        resume_agent=get("rt", ""),
        end_ms=get("ee", 0),
        end_reason=get("er", ""),
        checkpoint=checkpoint_from(checkpoint),
        result=as_bytes(result.get("r", b"")) if result else b"",
        outcome=result.get("oc", "") if result else "",
        why=get("why", ""),
        policy_version=get("pv", 0),
    )


def checkpoint_from(value: Iterable[Any] | None) -> Checkpoint | None:
    """A checkpoint from its stored ``[sequence, at, data]``."""
    if value is None:
        return None
    sequence, at_ms, data = value
    return Checkpoint(data=as_bytes(data), sequence=sequence, at_ms=at_ms)


def decode_until(text: str) -> dict[str, int]:
    """``agent:until agent:until`` as a mapping, in the order written."""
    if not text:
        return {}
    pairs = (item.rsplit(":", 1) for item in text.split())
    return {agent: int(until) for agent, until in pairs}


def encode_until(until: Mapping[str, int]) -> str:
    """The inverse of :func:`decode_until`."""
    return " ".join(f"{agent}:{at}" for agent, at in until.items())


# -- plans and queues --------------------------------------------------------------------------------------
def plan_text(plan: RoutePlan) -> str:
    """``at:queue at:queue``: when a task starts to wait where."""
    return " ".join(f"{step.at_ms}:{queue_id(step.queue)}" for step in plan.steps)


def decode_plan(text: str) -> list[tuple[int, str]]:
    """(time, base queue id) of each step of :func:`plan_text`."""
    pairs = (item.split(":", 1) for item in text.split())
    return [(int(at), qid) for at, qid in pairs]


def plan_queues(plan: RoutePlan) -> dict[str, Record]:
    """The definitions of the queues that a plan names, by id."""
    return {queue_id(step.queue): queue_record(step.queue) for step in plan.steps}


@lru_cache(maxsize=4096)
def queue_id(queue: QueueSpec) -> str:
    """A queue's id; remembered, since a digest costs more than all else in a submit."""
    return queue.id


@lru_cache(maxsize=4096)
def queue_record(queue: QueueSpec) -> Record:
    """A queue's definition, not to be changed; ``iv`` is there even when 0."""
    texts = {
        "wt": queue.work_type,
        "rq": encode_levels(queue.requirement),
        "ag": queue.agent,
        "tm": queue.team,
        "fm": queue.family,
        "cu": queue.curve.encode(),
        "an": queue.anchor,
    }
    return {**without_zeros(texts), "iv": int(queue.interruptible)}


def queue_from(record: Mapping[str, Any]) -> QueueSpec:
    """A queue's value from its definition; one without a curve (a resume queue) has the front's."""
    curve = record.get("cu", "")
    return QueueSpec(
        work_type=record["wt"],
        requirement=tuple(sorted(decode_levels(record.get("rq", "")).items())),
        curve=Curve.decode(curve) if curve else Curve(((0, FRONT_URGENCY),)),
        interruptible=bool(record.get("iv")),
        agent=record.get("ag", ""),
        team=record.get("tm", ""),
    )


def base_queue(qid: str) -> str:
    """The queue whose front twin ``qid`` is, or ``qid`` itself."""
    return qid.removesuffix(FRONT_MARK)


def resume_queue(work_type: str, agent: str, interruptible: bool) -> str:
    """The queue in which a recalled task waits a moment for the agent that it was taken from."""
    return f"{RESUME_PREFIX}{work_type}:{agent}:{int(interruptible)}"


def is_derived(qid: str) -> bool:
    """Whether the queue's definition follows from its id and is stored nowhere."""
    return qid.endswith(FRONT_MARK) or qid.startswith(RESUME_PREFIX)


def derived_definition(qid: str, queues: Mapping[str, Record]) -> Record:
    """The definition of any queue: stored, front twin or resume queue. KeyError without its base."""
    if qid.startswith(RESUME_PREFIX):
        _, work_type, agent, flag = qid.split(":")
        return {"wt": work_type, "ag": agent, "an": f"a:{agent}", "fm": FRONT, "iv": int(flag)}
    if qid.endswith(FRONT_MARK):
        return {**queues[base_queue(qid)], "fm": FRONT}
    return queues[qid]


# -- agents ------------------------------------------------------------------------------------------------
def pack_profile(profile: AgentProfile) -> bytes:
    """The part of a profile that no transition needs."""
    return pack(without_zeros({"dn": profile.display_name}))


def profile_fields(profile: AgentProfile) -> Record:
    """The part of a profile that transitions read; zero and empty fields erase."""
    return {
        "gr": profile.blending_group,
        "cap": profile.capacity,
        "aa": int(profile.auto_accept),
        "sk": encode_levels(profile.skills),
        "tm": " ".join(profile.teams),
    }


def profile_from(id: str, record: Mapping[str, Any], blob: bytes) -> AgentProfile:
    """The profile from both of its parts."""
    return AgentProfile(
        id=id,
        display_name=unpack(blob).get("dn", "") if blob else "",
        skills=decode_levels(record.get("sk", "")),
        teams=tuple(record.get("tm", "").split()),
        blending_group=record.get("gr", ""),
        capacity=record.get("cap", 0),
        auto_accept=bool(record.get("aa")),
    )


def agent_from(id: str, record: Mapping[str, Any], profile: bytes) -> Agent:
    """An agent from its record and the packed rest of its profile."""
    get = record.get
    return Agent(
        profile=profile_from(id, record, profile),
        revision=get("rev", 0),
        state=AgentState(get("st", AgentState.OFFLINE)),
        state_ms=get("sm", 0),
        reason=get("rsn", ""),
        source=get("src", ""),
        worker=get("wk", ""),
        session=get("ss", ""),
        ready=bool(get("rd")),
        draining=bool(get("dr")),
        drain_reason=get("drr", ""),
        held=tuple(get("on", "").split()),
        parked=tuple(get("pk", "").split()),
        idle_since_ms=get("is", 0),
        recall_times_ms=tuple(int(at) for at in get("rc", "").split()),
        leave_ms=get("lv", 0),
        free_ms=get("fr", 0),
        busy_ms=get("bz", 0),
        login_ms=get("li", 0),
    )


# -- gates, feeds, commands, groups, documents -------------------------------------------------------------
def gate_record(gate: Gate) -> Record:
    """A gate's record; the mode is always there, the group is the field's name."""
    return without_zeros(
        {
            "mo": str(gate.mode),
            "op": int(gate.open),
            "al": gate.allowance,
            "re": gate.reserve,
            "rf": gate.reserve_firm,
            "vu": gate.valid_until_ms,
            "sa": gate.stale_after_ms,
            "mi": gate.min_idle_ms,
            "ac": int(gate.acd_control),
            "pv": gate.policy_version,
            "te": gate.term,
            "rsn": gate.reason,
            "ar": int(gate.armed),
            "mu": gate.manual_until_ms,
        }
    )


def gate_from(group: str, record: Mapping[str, Any] | None) -> Gate:
    """A gate from its record; where none was ever set, a closed one with the usual constants."""
    if record is None:
        return Gate(group=group)
    get = record.get
    return Gate(
        group=group,
        mode=GateMode(record["mo"]),
        open=bool(get("op")),
        allowance=get("al", 0),
        reserve=get("re", 0),
        reserve_firm=get("rf", 0),
        valid_until_ms=get("vu", 0),
        stale_after_ms=get("sa", 0),
        min_idle_ms=get("mi", 0),
        acd_control=bool(get("ac")),
        policy_version=get("pv", 0),
        term=get("te", 0),
        reason=get("rsn", ""),
        armed=bool(get("ar")),
        manual_until_ms=get("mu", 0),
    )


def feed_from(source: str, record: Mapping[str, Any]) -> Feed:
    """A telephony source from its record."""
    return Feed(source, record.get("ep", ""), record.get("sq", 0), record.get("at", 0))


def call_queue_from(id: str, record: Mapping[str, Any]) -> CallQueueRecord:
    """The latest figures of a call queue from its record."""
    return CallQueueRecord(id, record.get("src", ""), record.get("at", 0), record.get("b", ""))


def command_record(command: AcdCommand) -> Record:
    """A standing command's record; the agent is the field's name."""
    return without_zeros(
        {
            "id": command.id,
            "kind": str(command.kind),
            "src": command.source,
            "task": command.task,
            "f": command.fence,
            "at": command.at_ms,
        }
    )


def command_from(agent: str, record: Mapping[str, Any]) -> AcdCommand:
    """A standing command from its record."""
    return AcdCommand(
        id=record["id"],
        kind=CommandKind(record["kind"]),
        agent=agent,
        source=record.get("src", ""),
        task=record.get("task", ""),
        fence=record.get("f", 0),
        at_ms=record.get("at", 0),
    )


_COUNTERS = tuple((state, f"n_{state}") for state in AgentState)


def figures_from(group: str, record: Mapping[str, Any]) -> GroupFigures:
    """A group's counters: ``n_<STATE>``, ``idle`` and ``ont``."""
    by_state = {state: record[name] for state, name in _COUNTERS if record.get(name)}
    return GroupFigures(group, by_state, record.get("idle", 0), record.get("ont", 0))


def document_record(etag: int, body: str) -> Record:
    """A document's record; its kind and id are the field's name, ``kind/id``."""
    return {"e": etag, "b": body}


def document_from(name: str, record: Mapping[str, Any]) -> Document:
    """A document from the field ``kind/id`` and its record."""
    kind, _, id = name.partition("/")
    return Document(kind=kind, id=id, etag=record["e"], body=record["b"])


# -- counters ----------------------------------------------------------------------------------------------
TOTALS = {
    "submit": "submitted",
    "schedule": "scheduled",
    "relax": "relaxed",
    "offer": "offered",
    "pull": "pulled",
    "accept": "accepted",
    "decline": "declined",
    "rescind": "rescinded",
    "offer_timeout": "offer_timeout",
    "checkpoint": "checkpointed",
    "extend": "extended",
    "complete": "completed",
    "release": "released",
    "park": "parked",
    "resume": "resumed",
    "unpark": "unparked",
    "recall": "recalled",
    "force": "forced",
    "lease_timeout": "lease_timeout",
    "cancel": "canceled",
    "expire": "expired",
    "update": "updated",
    "revive": "revived",
}
"""The monotone counter that each arrow moves."""


def tally(steps: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """What there is now, and how often each thing has happened, from ``<work type>|<from>|<to>|<name>`` counts.

    ``p|<priority>`` counts what is QUEUED and is taken as it is.
    """
    counts: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for step, n in steps.items():
        work_type, *rest = step.split("|")
        if len(rest) == 1:
            counts[step] = n
            continue
        source, target, name = rest
        counts[f"{work_type}|{source}"] -= n
        counts[f"{work_type}|{target}"] += n
        if name in TOTALS:
            totals[TOTALS[name]] += n
        if target == TaskState.DEAD_LETTER and source != target:
            totals["dead"] += n
    return {name: n for name, n in counts.items() if n and not name.endswith("|")}, dict(totals)


# -- history and events ------------------------------------------------------------------------------------
def transition_from(entry: Iterable[Any]) -> TaskTransition:
    """One arrow from ``[at, source, target, name, actor, reason, agent, fence]`` (``why, policy version`` if kept)."""
    return TaskTransition(*entry)


def event_from(id: str, entry: Iterable[Any]) -> Event:
    """One event from its stream entry ``[task, work type, submitter, *history entry]``."""
    task, work_type, submitter, *transition = entry
    return Event(id, task, transition_from(transition), work_type, submitter)


# -- hints -------------------------------------------------------------------------------------------------
def hint_from(message: Mapping[str, Any], answer: Task | None = None) -> Hint:
    """A hint from its message.

    ``t`` and ``tid`` are the task's record and id, ``sp`` its spec, ``cp`` its checkpoint; without ``t`` it is the
    task of the ``answer`` with which the message came. ``cmd`` is a command's record and ``a`` an agent's, for ``ag``.
    """
    get = message.get
    agent = get("ag", "")
    task = None
    if get("t"):
        spec = get("sp")
        if isinstance(spec, str):
            spec = as_bytes(spec)
        task = task_from(message["tid"], message["t"], spec, get("cp"))
    elif get("tid"):
        task = answer
    about = get("a")
    return Hint(
        kind=message["k"],
        site=message["si"],
        agent=agent,
        group=get("gr", ""),
        source=get("src", ""),
        task=task,
        reason=get("r", ""),
        command=command_from(agent, message["cmd"]) if get("cmd") else None,
        anchor=get("an", ""),
        notice_ms=get("nm", 0),
        about=agent_from(agent, about, b"") if about else None,
        at_ms=get("at", 0),
        queued=get("q"),
        arrived=get("n", 1),
    )
