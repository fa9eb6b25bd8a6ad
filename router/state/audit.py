"""The invariants of a site (DESIGN section 6), checked on a dump of everything that it holds.

One function per invariant; each yields a line per violation. Invariants that speak of change (3, 6, 11 and 12) are
checked as far as one dump can tell, and fully by :func:`audit_step`, which sees the dump before a transition too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from router.domain.model import (
    ENDED_STATES,
    HELD_STATES,
    OFFERABLE_STATES,
    TERMINAL_STATES,
    AgentState,
    TaskState,
)
from router.domain.ports import Audit
from router.domain.routing import order_key
from router.state import records
from router.state.records import Record

S = TaskState
Dump = Mapping[str, Any]
_TIMED = HELD_STATES | {S.SCHEDULED, S.PARKED}
"""States whose next event is a deadline, not a place in line."""

KEYS = frozenset(
    {
        *("tasks", "specs", "checkpoints", "results", "history", "queues", "qrefs"),
        *("agents", "profiles", "groups", "gates", "feeds", "commands", "callqueues", "leads", "docs"),
        *("requests", "refs", "paused", "counts", "totals", "meta"),
        *("queue", "heads", "idle", "busy", "due", "ended", "workers", "events"),
        "recording",
    }
)
"""Every key that a site may have."""


class View:
    """A dump with the look-ups that several checks need."""

    def __init__(self, dump: Dump) -> None:
        self.dump = dump
        self.tasks: dict[str, Record] = dump.get("tasks") or {}
        self.agents: dict[str, Record] = dump.get("agents") or {}
        self.queued: dict[str, list[str]] = _group_members(dump.get("queue") or [])
        """Task -> the queue members that name it."""
        self.holders = _named_by(self.agents, "on")
        self.owners = _named_by(self.agents, "pk")
        self.due = _scores(dump.get("due") or [])
        self.ended = _scores(dump.get("ended") or [])

    def part(self, key: str) -> dict[str, Any]:
        """One of the dump's hashes."""
        return self.dump.get(key) or {}

    def in_states(self, states: Iterable[TaskState]) -> Iterator[tuple[str, Record]]:
        """Tasks in one of these states."""
        wanted = frozenset(states)
        return ((task, record) for task, record in self.tasks.items() if record["s"] in wanted)


Check = Callable[[View], Iterator[str]]


# -- 1 to 4: where tasks are -----------------------------------------------------------------------------------
def one_place(view: View) -> Iterator[str]:
    """A task is in exactly one place: one queue, one offer or lease, one park, the schedule, or ended."""
    named = set(view.queued) | set(view.holders) | set(view.owners) | set(view.ended)
    for task in sorted(named - view.tasks.keys()):
        yield f"task {task} does not exist, but {_places_text(view, task)}"
    for task, record in view.tasks.items():
        expected, found = _expected_places(record), _places(view, task)
        if expected != found:
            yield f"task {task} is {record['s']}, but {_places_text(view, task)}"


def _expected_places(record: Record) -> list[str]:
    state = TaskState(record["s"])
    if state is S.QUEUED:
        return [f"queue {record.get('q')}"]
    if state in HELD_STATES:
        return [f"held by {record.get('ag')}"]
    if state is S.PARKED:
        return [f"parked by {record.get('ag')}"]
    return ["ended"] if state in ENDED_STATES else []


def _places(view: View, task: str) -> list[str]:
    return [
        *(f"queue {_queue_of(member)}" for member in view.queued.get(task, ())),
        *(f"held by {agent}" for agent in view.holders.get(task, ())),
        *(f"parked by {agent}" for agent in view.owners.get(task, ())),
        *(["ended"] if task in view.ended else []),
    ]


def _places_text(view: View, task: str) -> str:
    places = _places(view, task)
    return "its places are " + ", ".join(places) if places else "it has no place"


def offers_and_leases(view: View) -> Iterator[str]:
    """OFFERED <=> the agent's offer names it; ACTIVE <=> a lease with a deadline exists."""
    for task, record in view.in_states(HELD_STATES):
        if record.get("ag") not in view.agents:
            yield f"task {task} is {record['s']} by {record.get('ag')}, who does not exist"
        if not record.get("dl"):
            yield f"task {task} is {record['s']} without a deadline"
        if record["s"] != S.OFFERED and record.get("hid"):
            yield f"task {task} is {record['s']} and hidden"
    for task, record in view.tasks.items():
        state = TaskState(record["s"])
        if record.get("ag") and state not in HELD_STATES | {S.PARKED, S.COMPLETED}:
            yield f"task {task} is {state}, but names agent {record['ag']}"
        if record.get("q") and state is not S.QUEUED:
            yield f"task {task} is {state}, but names queue {record['q']}"


def fences_grow(view: View) -> Iterator[str]:
    """Every hand-over has a fence of its own, and none is above the site's counter."""
    counter = view.part("meta").get("fence", 0)
    seen: dict[int, str] = {}
    for task, record in view.tasks.items():
        fence = record.get("f", 0)
        if fence > counter:
            yield f"task {task} has fence {fence}, above the site's counter {counter}"
        if fence and seen.setdefault(fence, task) != task:
            yield f"tasks {seen[fence]} and {task} have the same fence {fence}"
        if not fence and record["s"] in HELD_STATES | {S.PARKED}:
            yield f"task {task} is {record['s']} without a fence"
    for task, entries in view.part("history").items():
        fences = [entry[7] for entry in entries]
        if fences != sorted(fences):
            yield f"the fences in the history of task {task} fall: {fences}"


def capacity(view: View) -> Iterator[str]:
    """An agent's open offers plus leases never exceed its capacity."""
    for agent, record in view.agents.items():
        held = len(_words(record, "on"))
        if held > record.get("cap", 0):
            yield f"agent {agent} holds {held} tasks, its capacity is {record.get('cap', 0)}"


# -- 5 and 6: availability and the gate ------------------------------------------------------------------------
def offers_need_availability(view: View) -> Iterator[str]:
    """No offer exists for an agent of a blending group that is not available."""
    for task, record in view.in_states({S.OFFERED}):
        agent = view.agents.get(record.get("ag", ""), {})
        if agent.get("gr") and agent["st"] not in OFFERABLE_STATES:
            yield f"task {task} is offered to agent {record['ag']}, who is {agent['st']}"


def allowance(view: View) -> Iterator[str]:
    """Agents hold tasks under a gate. How many there were at the hand-over, one dump cannot tell."""
    gates = view.part("gates")
    for group, count in sorted(_agents_on_tasks(view).items()):
        if group not in gates:
            yield f"{count} agents of group {group} hold tasks, but it has no gate"


def _agents_on_tasks(view: View) -> Counter[str]:
    return Counter(record["gr"] for record in view.agents.values() if record.get("gr") and record.get("on"))


# -- 7 to 9: indexes and counters ------------------------------------------------------------------------------
def heads(view: View) -> Iterator[str]:
    """A queue's head entry equals its real head."""
    expected = _expected_heads(view)
    yield from _difference("heads", Counter(expected.values()), Counter(view.dump.get("heads") or []))
    for member in view.dump.get("queue") or []:
        qid, key, task = member.split("|")
        record = view.tasks.get(task, {})
        if record and key != order_key(record.get("o", 0)):
            yield f"task {task} stands in queue {qid} by {key}, its origin is {record.get('o', 0)}"


def _expected_heads(view: View) -> dict[str, str]:
    expected: dict[str, str] = {}
    for member in sorted(view.dump.get("queue") or []):
        qid, key, _ = member.split("|")
        if qid not in expected:
            definition = _definition(view, qid)
            expected[qid] = f"{definition.get('an')}|{definition.get('fm')}|{key}|{qid}"
    return expected


def _definition(view: View, qid: str) -> Record:
    try:
        return records.derived_definition(qid, view.part("queues"))
    except KeyError:
        return {}


def agent_indexes(view: View) -> Iterator[str]:
    """The idle index holds exactly the available, connected agents with spare capacity; `busy` the holders."""
    idle = Counter(
        f"{record.get('gr') or '-'}|{order_key(record.get('is', 0))}|{agent}"
        for agent, record in view.agents.items()
        if _is_open(record)
    )
    busy = Counter(
        f"{record.get('gr') or '-'}|{agent}" for agent, record in view.agents.items() if record.get("on")
    )
    yield from _difference("idle", idle, Counter(view.dump.get("idle") or []))
    yield from _difference("busy", busy, Counter(view.dump.get("busy") or []))


def _is_open(record: Record) -> bool:
    ready = record.get("ss") and record.get("rd") and not record.get("dr")
    available = record["st"] == AgentState.AVAILABLE or not record.get("gr")
    return bool(ready and available) and len(_words(record, "on")) < record.get("cap", 0)


def counters(view: View) -> Iterator[str]:
    """Counters equal what a full scan counts."""
    by_state = Counter(f"{record['wt']}|{record['s']}" for record in view.tasks.values())
    by_priority = Counter(f"p|{record.get('p', 0)}" for _, record in view.in_states({S.QUEUED}))
    yield from _difference("counts", by_state + by_priority, Counter(view.part("counts")))
    groups = _expected_groups(view)
    for group in sorted(groups.keys() | view.part("groups").keys()):
        shown = Counter(view.part("groups").get(group, {}))
        yield from _difference(f"groups[{group}]", groups.get(group, Counter()), shown)
    references: Counter[str] = Counter()
    for record in view.tasks.values():
        if record["s"] not in TERMINAL_STATES:
            references.update({qid for _, qid in records.decode_plan(record.get("pl", ""))})
    yield from _difference("qrefs", references, Counter(view.part("qrefs")))


def _expected_groups(view: View) -> dict[str, Counter[str]]:
    groups: dict[str, Counter[str]] = {}
    for record in view.agents.values():
        if record.get("gr"):
            held = bool(record.get("on"))
            words = [f"n_{record['st']}"]
            words += ["idle"] if record["st"] == AgentState.AVAILABLE and not held else []
            words += ["ont"] if held else []
            groups.setdefault(record["gr"], Counter()).update(words)
    return groups


# -- 10 to 13: time, ends, reports, owners ---------------------------------------------------------------------
def next_event(view: View) -> Iterator[str]:
    """Every task that has not ended has a next event: a queue place, a deadline or a scheduled time."""
    for task, record in view.tasks.items():
        state, deadline = TaskState(record["s"]), record.get("dl", 0)
        if deadline != view.due.get(task, 0):
            yield f"task {task} has the deadline {deadline}, the due index says {view.due.get(task, 0)}"
        if state in _TIMED and not deadline:
            yield f"task {task} is {state} and nothing ever happens to it"
        if state in ENDED_STATES and deadline:
            yield f"task {task} is {state} and still has a deadline"
        if state not in HELD_STATES | ENDED_STATES and not _is_soon_enough(record):
            yield f"task {task} is {state} until {deadline}, later than its expiry or resume window"
    for task in sorted(view.due.keys() - view.tasks.keys()):
        yield f"task {task} is due, but does not exist"


def _is_soon_enough(record: Record) -> bool:
    limits = [record[name] for name in ("xp", "ru") if record.get(name)]
    return not limits or 0 < record.get("dl", 0) <= max(min(limits), record.get("ch", 0))


def ends_are_final(view: View) -> Iterator[str]:
    """An ended task has not changed since its end, and stands in the index by it."""
    for task, record in view.in_states(ENDED_STATES):
        if record.get("ee", 0) != view.ended.get(task, 0):
            yield f"task {task} ended at {record.get('ee', 0)}, the index says {view.ended.get(task, 0)}"
        if record.get("ch", 0) != record.get("ee", 0):
            yield f"task {task} ended at {record.get('ee', 0)} and changed at {record.get('ch', 0)}"
    for task, record in view.tasks.items():
        if record.get("ee") and record["s"] not in ENDED_STATES:
            yield f"task {task} is {record['s']}, but has an end"


def reports_move_on(view: View) -> Iterator[str]:
    """No agent bears the mark of a snapshot that its source's feed has not come to."""
    feeds = view.part("feeds")
    for agent, record in view.agents.items():
        epoch, _, sequence = record.get("sn", "").rpartition(":")
        feed = feeds.get(record.get("src", ""))
        if record.get("src") and feed is None:
            yield f"agent {agent} was reported by {record['src']}, which has no feed"
        elif feed and sequence and epoch == feed.get("ep", "") and int(sequence) > feed.get("sq", 0):
            yield f"agent {agent} was seen by report {sequence}, feed {record['src']} is at {feed.get('sq', 0)}"


def owners(view: View) -> Iterator[str]:
    """Every key is known, and every field belongs to something that is there."""
    for key in sorted(view.dump.keys() - KEYS):
        yield f"key {key} is not one of the schema's"
    yield from _same_fields("specs", view.part("specs"), "tasks", view.tasks)
    yield from _same_fields("history", view.part("history"), "tasks", view.tasks)
    yield from _same_fields("profiles", view.part("profiles"), "agents", view.agents)
    yield from _same_fields("queues", view.part("queues"), "qrefs", view.part("qrefs"))
    for key in ("checkpoints", "results"):
        yield from _strays(key, view.part(key), "tasks", view.tasks)
    yield from _strays("commands", view.part("commands"), "agents", view.agents)
    for key, field in (("refs", "ref"), ("requests", "rq")):
        owned = {_name(record, field): task for task, record in view.tasks.items() if field in record}
        yield from _same_fields(key, view.part(key), "tasks by name", owned)
        for name, task in view.part(key).items():
            if owned.get(name, task) != task:
                yield f"{key}[{name}] names task {task}, not {owned[name]}"


CHECKS: dict[int, Check] = {
    1: one_place,
    2: offers_and_leases,
    3: fences_grow,
    4: capacity,
    5: offers_need_availability,
    6: allowance,
    7: heads,
    8: agent_indexes,
    9: counters,
    10: next_event,
    11: ends_are_final,
    12: reports_move_on,
    13: owners,
}
"""The invariants by their numbers in DESIGN section 6."""


def audit(dump: Dump, now_ms: int) -> Audit:
    """Check every invariant on a dump; a line per violation, led by the invariant's number.

    ``now_ms`` is the moment of the dump; a sound site is sound at any time, so no check reads it.
    """
    view = View(dump)
    lines = [f"invariant {n}: {line}" for n, check in CHECKS.items() for line in check(view)]
    return Audit(violations=tuple(lines), tasks=len(view.tasks), agents=len(view.agents))


def audit_step(before: Dump, after: Dump) -> list[str]:
    """What one transition from ``before`` to ``after`` broke of the invariants that speak of change."""
    old, new = View(before), View(after)
    steps = {3: _fences_step, 6: _allowance_step, 11: _ends_step, 12: _feeds_step}
    return [f"invariant {n}: {line}" for n, check in steps.items() for line in check(old, new)]


def _fences_step(old: View, new: View) -> Iterator[str]:
    for task, record in new.tasks.items():
        was = old.tasks.get(task, {}).get("f", 0)
        if record.get("f", 0) < was:
            yield f"the fence of task {task} fell from {was} to {record.get('f', 0)}"


def _allowance_step(old: View, new: View) -> Iterator[str]:
    """More agents than before only up to the allowance; an allowance that shrank takes its time."""
    were, gates = _agents_on_tasks(old), new.part("gates")
    for group, count in _agents_on_tasks(new).items():
        allowed = gates.get(group, {}).get("al", 0)
        if count > max(allowed, were[group]):
            yield f"{count} agents of group {group} hold tasks, its allowance is {allowed}"


def _ends_step(old: View, new: View) -> Iterator[str]:
    for task, record in old.in_states(TERMINAL_STATES):
        if task in new.tasks and new.tasks[task] != record:
            yield f"task {task} changed after it was {record['s']}"


def _feeds_step(old: View, new: View) -> Iterator[str]:
    feeds = new.part("feeds")
    for source, was in old.part("feeds").items():
        now = feeds.get(source, {})
        if now.get("ep") == was.get("ep") and now.get("sq", 0) < was.get("sq", 0):
            yield f"feed {source} fell back from {was.get('sq', 0)} to {now.get('sq', 0)}"


# -- small things ----------------------------------------------------------------------------------------------
def _words(record: Record, name: str) -> list[str]:
    text: str = record.get(name, "")
    return text.split()


def _name(record: Record, field: str) -> str:
    """How a submitter's own name for a task is kept."""
    return f"{record.get('sub', '')}|{record[field]}"


def _queue_of(member: str) -> str:
    return member.split("|")[0]


def _group_members(members: Iterable[str]) -> dict[str, list[str]]:
    by_task: dict[str, list[str]] = {}
    for member in members:
        by_task.setdefault(member.split("|")[2], []).append(member)
    return by_task


def _named_by(agents: Mapping[str, Record], name: str) -> dict[str, list[str]]:
    by_task: dict[str, list[str]] = {}
    for agent, record in agents.items():
        for task in _words(record, name):
            by_task.setdefault(task, []).append(agent)
    return by_task


def _scores(pairs: Iterable[Any]) -> dict[str, int]:
    return {member: int(score) for member, score in pairs}


def _difference(name: str, expected: Counter[str], found: Counter[str]) -> Iterator[str]:
    for field in sorted(expected.keys() | found.keys()):
        if expected[field] != found[field]:
            yield f"{name} says {found[field]} for {field}, a full scan finds {expected[field]}"


def _strays(key: str, fields: Iterable[str], owner: str, owned: Mapping[str, Any]) -> Iterator[str]:
    for field in sorted(set(fields) - owned.keys()):
        yield f"{key}[{field}] belongs to nothing in {owner}"


def _same_fields(key: str, fields: Mapping[str, Any], owner: str, owned: Mapping[str, Any]) -> Iterator[str]:
    yield from _strays(key, fields, owner, owned)
    for field in sorted(owned.keys() - fields.keys()):
        yield f"{owner}[{field}] has nothing in {key}"
