"""What one site holds, in the shapes that make a claim cheap.

The hashes are dicts of the records that :mod:`router.state.records` describes. Where the Redis store has one sorted
set with composed members, this one nests: ``queues of tasks`` by queue id, ``shelves of heads`` by anchor and
family. :meth:`Site.dump` writes both down in the same words, so that the two stores can be compared.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sortedcontainers import SortedDict, SortedList

from router.domain.errors import NotFound
from router.domain.model import Agent, Gate, GroupFigures, Task, TaskSpec
from router.domain.routing import FRONT, FRONT_URGENCY, Curve, agent_anchors, decode_levels, order_key
from router.state import records
from router.state.records import Record


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue's definition, read once: what the walk compares."""

    work_type: str
    requirement: tuple[tuple[str, int], ...]
    agent: str
    team: str
    interruptible: bool
    anchor: str
    family: str
    base: str
    curve: Curve | None

    def urgency(self, age_ms: int) -> float:
        """How urgent a task of this queue is at this age; a front queue comes before all others."""
        return FRONT_URGENCY if self.curve is None else self.curve.at(age_ms)


@dataclass(frozen=True, slots=True)
class AgentTraits:
    """What an agent's profile says, read once."""

    skills: Mapping[str, int]
    teams: frozenset[str]
    anchors: tuple[str, ...]


class AgentPlaces(NamedTuple):
    """Where an agent stands in the indexes and counters, so that the next save knows what to take out."""

    group: str = ""
    counted: tuple[str, ...] = ()
    idle: tuple[int, str] | None = None
    busy: bool = False
    traits: tuple[str | int, ...] = ()
    """What the idle index's readers know of the agent beside its place: skills, teams, when it leaves, capacity."""


class Site:
    """The structures of one site and the few moves that keep two of them in step."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tasks: dict[str, Record] = {}
        self.specs: dict[str, TaskSpec] = {}
        self.checkpoints: dict[str, tuple[int, int, bytes]] = {}
        self.results: dict[str, Record] = {}
        self.task_values: dict[str, Task] = {}
        """Tasks as values, made when first asked for after a change: its hint, its answer and looks share one."""
        self.history: dict[str, deque[list[Any]]] = {}
        self.events: deque[tuple[int, list[Any]]] = deque(maxlen=records.EVENTS_KEPT)
        self.event_count = 0
        self.recording: deque[tuple[int, int, bytes]] = deque()
        """(time and number that make its id, chunk)."""
        self.recorded = (0, 0)
        """Time and number of the last chunk."""

        self.queues: dict[str, Record] = {}
        self.qrefs: dict[str, int] = {}
        self.queued = 0
        """Tasks in all lines."""
        self.lines: dict[str, SortedList] = {}
        """Queue id -> its tasks as (origin, task id)."""
        self.headof: dict[str, tuple[str, str, int]] = {}
        """Queue id -> (anchor, family, origin) under which the queue's head stands on a shelf."""
        self.shelves: dict[str, dict[str, SortedList]] = {}
        """Anchor -> family -> heads as (origin, queue id)."""
        self._queue_infos: dict[str, QueueInfo] = {}

        self.due: SortedList = SortedList()
        self.next_due_ms: int | None = None
        """The earliest deadline: a simulator asks after each event."""
        self.ended: SortedList = SortedList()
        self.requests: dict[str, str] = {}
        self.refs: dict[str, str] = {}

        self.agents: SortedDict = SortedDict()
        self.profiles: dict[str, bytes] = {}
        self.traits: dict[str, AgentTraits] = {}
        self.places: dict[str, AgentPlaces] = {}
        self.agent_values: dict[str, Agent] = {}
        """Agents as values, made when first asked for after a change: each look reads many that did not change."""
        self.idle: dict[str, SortedList] = {}
        """Group ('' for dedicated agents) -> (idle since, agent)."""
        self.busy: dict[str, SortedList] = {}
        """Group -> agents who hold something."""
        self.groups: dict[str, Record] = {}
        self.figure_values: dict[str, GroupFigures] = {}
        """Groups' counters as values, made when first asked for after a change."""
        self.gates: dict[str, Record] = {}
        self.gate_values: dict[str, tuple[Record, Gate]] = {}
        """Gates as values, each with the record that it was made of: a new gate is a new record."""
        self.leads: dict[str, Record] = {}
        self.feeds: dict[str, Record] = {}
        self.commands: dict[str, Record] = {}
        self.callqueues: dict[str, Record] = {}
        self.workers: dict[str, int] = {}

        self.docs: dict[str, Record] = {}
        self.paused: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.totals: dict[str, int] = {}
        self.meta: dict[str, int] = {}

    # -- looks ---------------------------------------------------------------------------------------------
    def record_of(self, task: str) -> Record:
        """A task's record; NotFound otherwise."""
        record = self.tasks.get(task)
        if record is None:
            raise NotFound(f"task {task} does not exist")
        return record

    def agent_record_of(self, agent: str) -> Record:
        """An agent's record; NotFound otherwise."""
        record: Record | None = self.agents.get(agent)
        if record is None:
            raise NotFound(f"agent {agent} does not exist")
        return record

    def task_value(self, task: str) -> Task:
        """The task with everything that belongs to it."""
        value = self.task_values.get(task)
        if value is None:
            value = self.task_values[task] = records.task_from(
                task, self.tasks[task], self.specs[task], self.checkpoints.get(task), self.results.get(task)
            )
        return value

    def agent_value(self, agent: str) -> Agent:
        """The agent with its profile; NotFound if there is none."""
        value = self.agent_values.get(agent)
        if value is None:
            record = self.agent_record_of(agent)
            value = self.agent_values[agent] = records.agent_from(
                agent, record, self.profiles.get(agent, b"")
            )
        return value

    def group_value(self, group: str) -> GroupFigures:
        """The counters of a group that has agents."""
        value = self.figure_values.get(group)
        if value is None:
            value = self.figure_values[group] = records.figures_from(group, self.groups[group])
        return value

    def gate_value(self, group: str) -> Gate:
        """The group's gate; a closed one where none was ever set."""
        record = self.gates.get(group)
        if record is None:
            return Gate(group)
        made = self.gate_values.get(group)
        if made is None or made[0] is not record:
            made = self.gate_values[group] = (record, records.gate_from(group, record))
        return made[1]

    def queue_info(self, qid: str) -> QueueInfo:
        """What the definition of a queue says, derived queues included."""
        info = self._queue_infos.get(qid)
        if info is None:
            info = _read_queue(qid, records.derived_definition(qid, self.queues))
            if not qid.startswith(records.RESUME_PREFIX):
                self._queue_infos[qid] = info
        return info

    # -- moves ---------------------------------------------------------------------------------------------
    def refresh_head(self, qid: str) -> None:
        """Let the shelf show the queue's real head (invariant 7)."""
        line = self.lines.get(qid)
        place = None
        if line:
            info = self.queue_info(qid)
            place = (info.anchor, info.family, line[0][0])
        before = self.headof.get(qid)
        if before == place:
            return
        if before is not None:
            self._take_head(qid, *before)
        if place is not None:
            self._put_head(qid, *place)

    def _take_head(self, qid: str, anchor: str, family: str, origin: int) -> None:
        families = self.shelves[anchor]
        families[family].remove((origin, qid))
        if not families[family]:
            del families[family]
        if not families:
            del self.shelves[anchor]
        del self.headof[qid]

    def _put_head(self, qid: str, anchor: str, family: str, origin: int) -> None:
        self.shelves.setdefault(anchor, {}).setdefault(family, SortedList()).add((origin, qid))
        self.headof[qid] = (anchor, family, origin)

    def join_line(self, qid: str, origin: int, task: str) -> None:
        """Put a task into a queue."""
        line = self.lines.get(qid)
        if line is None:
            line = self.lines[qid] = SortedList()
        line.add((origin, task))
        self.queued += 1
        self.refresh_head(qid)

    def leave_line(self, qid: str, origin: int, task: str) -> None:
        """Take a task out of its queue."""
        line = self.lines[qid]
        line.remove((origin, task))
        self.queued -= 1
        if not line:
            del self.lines[qid]
        self.refresh_head(qid)

    def refer(self, plan: str, definitions: Mapping[str, Record]) -> None:
        """Count a task that names these queues in its plan; store definitions that are new."""
        for qid in _plan_queues(plan):
            if qid not in self.queues:
                self.queues[qid] = dict(definitions[qid])
            self.qrefs[qid] = self.qrefs.get(qid, 0) + 1

    def unrefer(self, plan: str) -> None:
        """The inverse of :meth:`refer`: a queue that no live task names is forgotten."""
        for qid in _plan_queues(plan):
            self.qrefs[qid] -= 1
            if self.qrefs[qid] == 0:
                del self.qrefs[qid], self.queues[qid]
                self._queue_infos.pop(qid, None)
                self._queue_infos.pop(qid + records.FRONT_MARK, None)

    def set_deadline(self, task: str, record: Record, at_ms: int) -> None:
        """Let the task fall due at ``at_ms`` (0: not at all)."""
        before = record.get("dl", 0)
        if before == at_ms:
            return
        if before:
            self.due.remove((before, task))
        if at_ms:
            self.due.add((at_ms, task))
        self.next_due_ms = self.due[0][0] if self.due else None
        record["dl"] = at_ms

    def count(self, name: str, by: int) -> None:
        """Move one of the live counters; a counter at 0 is not kept."""
        bump(self.counts, name, by)

    def read_traits(self, agent: str, record: Record) -> None:
        """Remember what the agent's profile fields say."""
        skills = decode_levels(record.get("sk", ""))
        teams = record.get("tm", "").split()
        self.traits[agent] = AgentTraits(skills, frozenset(teams), tuple(agent_anchors(agent, skills, teams)))

    # -- the whole -----------------------------------------------------------------------------------------
    def dump(self) -> dict[str, Any]:
        """Everything, in the words of the Redis store's keys."""
        return {
            "tasks": _copies(self.tasks),
            "specs": {task: _as_text(records.pack_spec(spec)) for task, spec in self.specs.items()},
            "checkpoints": {
                task: [sequence, at, _as_text(data)]
                for task, (sequence, at, data) in self.checkpoints.items()
            },
            "results": {
                task: {name: _as_text(value) for name, value in result.items()}
                for task, result in self.results.items()
            },
            "history": {task: [list(entry) for entry in kept] for task, kept in self.history.items()},
            "queues": _copies(self.queues),
            "qrefs": dict(self.qrefs),
            "agents": _copies(self.agents),
            "profiles": {agent: _as_text(blob) for agent, blob in self.profiles.items()},
            "groups": _copies(self.groups),
            "gates": _copies(self.gates),
            "feeds": _copies(self.feeds),
            "commands": _copies(self.commands),
            "callqueues": _copies(self.callqueues),
            "leads": _copies(self.leads),
            "docs": _copies(self.docs),
            "requests": dict(self.requests),
            "refs": dict(self.refs),
            "paused": dict(self.paused),
            "counts": dict(self.counts),
            "totals": dict(self.totals),
            "meta": dict(self.meta),
            "queue": sorted(
                f"{qid}|{order_key(origin)}|{task}"
                for qid, line in self.lines.items()
                for origin, task in line
            ),
            "heads": sorted(
                f"{anchor}|{family}|{order_key(origin)}|{qid}"
                for anchor, families in self.shelves.items()
                for family, heads in families.items()
                for origin, qid in heads
            ),
            "idle": sorted(
                f"{group or '-'}|{order_key(since)}|{agent}"
                for group, members in self.idle.items()
                for since, agent in members
            ),
            "busy": sorted(
                f"{group or '-'}|{agent}" for group, members in self.busy.items() for agent in members
            ),
            "due": _scored(self.due),
            "ended": _scored(self.ended),
            "workers": [[worker, at] for worker, at in sorted(self.workers.items())],
            "events": [list(entry) for _, entry in self.events],
            "recording": [[f"{time}-{number}", _as_text(chunk)] for time, number, chunk in self.recording],
        }


def bump(counters: dict[str, int], name: str, by: int) -> None:
    """Add to a counter and drop it at 0."""
    value = counters.get(name, 0) + by
    if value:
        counters[name] = value
    else:
        counters.pop(name, None)


def _read_queue(qid: str, definition: Record) -> QueueInfo:
    front = definition["fm"] == FRONT
    return QueueInfo(
        work_type=definition["wt"],
        requirement=tuple(decode_levels(definition.get("rq", "")).items()),
        agent=definition.get("ag", ""),
        team=definition.get("tm", ""),
        interruptible=bool(definition["iv"]),
        anchor=definition["an"],
        family=definition["fm"],
        base=records.base_queue(qid),
        curve=None if front else Curve.decode(definition["cu"]),
    )


def _plan_queues(plan: str) -> dict[str, None]:
    return dict.fromkeys(qid for _, qid in records.decode_plan(plan))


def _copies(kept: Mapping[str, Record]) -> dict[str, Record]:
    return {name: dict(record) for name, record in kept.items()}


def _scored(members: SortedList) -> list[list[Any]]:
    return sorted([member, score] for score, member in members)


def _as_text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
