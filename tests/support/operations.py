"""Random operations on a store, as data: the same one can be applied to several stores and the answers compared.

A :class:`World` knows what a site holds (from a dump) and proposes the next operation: mostly one that could succeed,
now and then one that must be refused (an old fence, another agent, a repeated sequence number). Where the chances come
from is left to the caller: Hypothesis, which can shrink a failure, or a seeded generator, which is quick.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Protocol, TypeVar

from router.domain.errors import RouterError
from router.domain.model import (
    AcdCommand,
    AgentReport,
    AgentState,
    ClaimMode,
    CommandKind,
    GateMode,
    ReportOutcome,
    TaskState,
)
from router.domain.ports import Backlog, Claim, Event, NewTask, TaskUpdate
from router.domain.routing import QueueSpec, RoutePlan
from tests.support import builders
from tests.support.builders import AGING, FAST_AGING, FLAT, HOUR, MINUTE, SECOND, T0, plan, queue_spec
from tests.support.stage import DumpStore

T = TypeVar("T")

TASKS = tuple(f"t{n}" for n in range(10))
AGENTS = ("ann", "bob", "cyd", "dan", "eve")
GROUPS = ("blue", "red", "")
SOURCES = ("acd", "acd2")
WORKERS = ("w1", "w2")
SKILLS = ("claims", "french")
TIME_STEPS = (1, 499, 5 * SECOND, 10 * SECOND, 20 * SECOND, MINUTE, 2 * MINUTE, 11 * MINUTE, 2 * HOUR)
CURVES = (AGING, FAST_AGING, FLAT)
LOOKS = (
    "agents", "idle", "holding", "commands", "feeds", "gate", "groups", "paused", "queues", "task", "reference",
    "tasks", "history", "position", "backlog", "documents", "due", "call_queues", "sessions", "events",
    "recording",
)  # fmt: skip

HELD = frozenset({"OFFERED", "ACTIVE", "RECALLING"})
WORKED = frozenset({"ACTIVE", "RECALLING"})


class Chance(Protocol):
    """Where the world's choices come from."""

    def pick(self, items: Sequence[T]) -> T:
        """One of the items; the first is the simplest."""

    def often(self) -> bool:
        """True most of the time."""


class Seeded:
    """Choices of a seeded generator."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return self._random.choice(items)

    def often(self) -> bool:
        """True in seven of eight cases."""
        return self._random.random() < 0.875


@dataclass(frozen=True)
class Operation:
    """One call of a store's method, without site and time."""

    name: str
    args: tuple[Any, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    timed: bool = True
    """Whether the method takes ``now_ms``."""

    def __str__(self) -> str:
        named = (f"{key}={value!r}" for key, value in self.more.items())
        return f"{self.name}({', '.join([*map(repr, self.args), *named])})"


@dataclass(frozen=True)
class Answer:
    """What a store said: a comparable value, or the refusal's kind and reason."""

    value: Any = None
    refusal: str = ""

    @property
    def idle(self) -> bool:
        """Whether the operation must have left everything as it was."""
        return bool(self.refusal) or (isinstance(self.value, tuple) and self.value[:1] == ("nothing",))


async def perform(store: DumpStore, site: str, operation: Operation, now_ms: int) -> Answer:
    """Apply the operation; a refusal is an answer, any other exception is a fault."""
    method: Callable[..., Any] = getattr(store, operation.name)
    clock = {"now_ms": now_ms} if operation.timed else {}
    try:
        return Answer(
            comparable(operation.name, await method(site, *operation.args, **operation.more, **clock))
        )
    except RouterError as error:
        return Answer(refusal=f"{type(error).__name__}/{error.reason}")


def comparable(name: str, value: Any) -> Any:
    """The answer without what stores may choose freely: cursors, stream positions, order of errors' words."""
    if isinstance(value, Claim):
        return ("nothing", value.reason, bool(value.cursor)) if value.task is None else value
    if name == "advance" and value is None:
        return ("nothing",)
    if name == "report" and value.outcome is not ReportOutcome.APPLIED:
        return ("nothing", value)
    if name == "submit":
        return [f"{type(item).__name__}" if isinstance(item, Exception) else item for item in value]
    if name == "events":
        return [replace(item, id="") for item in value if isinstance(item, Event)]
    if name == "tasks":
        return (tuple(value.tasks), bool(value.cursor))
    return plain_mapping(value)


def plain_mapping(value: Any) -> Any:
    """Counters without their zeros."""
    if isinstance(value, Backlog):
        return [
            {k: n for k, n in m.items() if n} for m in (value.by_work_type, value.by_priority, value.totals)
        ]
    return value


def needs(*states: str) -> Callable[[Callable[[World], Operation]], Callable[[World], Operation]]:
    """Where no task is in one of the states, mostly do something that leads there instead."""

    def wrap(make: Callable[[World], Operation]) -> Callable[[World], Operation]:
        @wraps(make)
        def wrapped(world: World) -> Operation:
            there = any(record["s"] in states for record in world.records("tasks").values())
            return make(world) if there or not world.chance.often() else world.progress()

        return wrapped

    return wrap


@dataclass
class World:
    """What a site holds, read from its dump, and what could be done next."""

    chance: Chance
    now: int = T0
    content: Mapping[str, Any] = field(default_factory=dict)
    submitted: int = 0

    # -- what there is ---------------------------------------------------------------------------------
    def records(self, key: str) -> Mapping[str, Any]:
        """The decoded records of a hash."""
        found: Mapping[str, Any] = self.content.get(key, {})
        return found

    def task_in(self, states: frozenset[str]) -> str:
        """A task in one of the states, if there is one; sometimes any."""
        if self.chance.often():
            fitting = sorted(id for id, record in self.records("tasks").items() if record["s"] in states)
            if fitting:
                return self.chance.pick(fitting)
        return self.chance.pick(sorted(self.records("tasks")) or TASKS)

    def fence(self, task: str) -> int:
        """The task's fence, sometimes another one."""
        live = int(self.records("tasks").get(task, {}).get("f", 0))
        return live if self.chance.often() else max(0, live + self.chance.pick((-1, 1)))

    def holder(self, task: str) -> str:
        """The task's holder, sometimes another agent."""
        holder = str(self.records("tasks").get(task, {}).get("ag", ""))
        return holder if holder and self.chance.often() else self.chance.pick(AGENTS)

    def session(self, agent: str) -> str:
        """The agent's session, sometimes another one."""
        live = str(self.records("agents").get(agent, {}).get("ss", ""))
        return live if live and self.chance.often() else self.chance.pick(("s1", "s2"))

    def term(self, group: str) -> int:
        """The group's term, sometimes another one."""
        live = int(self.records("leads").get(group, {}).get("term", 0))
        return live if self.chance.often() else live + self.chance.pick((-1, 1))

    # -- values ----------------------------------------------------------------------------------------
    def queue(self) -> QueueSpec:
        """A queue of a small set."""
        pick = self.chance.pick
        skills = pick(({"claims": 1}, {"claims": 3}, {}, {"claims": 2, "french": 1}, {"french": 2}))
        return queue_spec(
            pick(("claims", "refunds")),
            skills,
            curve=pick(CURVES),
            interruptible=pick((True, True, False)),
            agent=pick(("", "", "", "", "", "ann", "cyd")),
            team=pick(("", "", "", "", "", "north")),
        )

    def route(self, first: QueueSpec) -> RoutePlan:
        """A plan of one to three steps that starts in ``first``."""
        steps = self.chance.pick((0, 0, 1, 2))
        later = []
        for n in range(1, steps + 1):
            at = self.now + n * self.chance.pick((20 * SECOND, MINUTE, 5 * MINUTE))
            other = self.queue()
            later.append((at, replace(other, work_type=first.work_type, interruptible=first.interruptible)))
        later.sort(key=lambda step: step[0])
        times = [at for at, _ in later]
        if len(set(times)) < len(times):
            later = later[:1]
        return plan(self.now - self.chance.pick((0, 0, MINUTE, 10 * MINUTE, -MINUTE)), first, *later)

    def new_task(self) -> NewTask:
        """A task to submit, with every option of the contract."""
        pick = self.chance.pick
        queue = self.queue()
        free = [id for id in TASKS if id not in self.records("tasks")]
        id = pick(free) if free and self.chance.often() else pick(TASKS)
        request = pick(("", "", "r1", "r2"))
        reference = pick(("", "", "ref1", "ref2"))
        return builders.new_task(
            id,
            work_type=queue.work_type,
            skills=dict(queue.requirement),
            route=self.route(queue),
            interruptible=queue.interruptible,
            submitter=pick(("crm", "erp")),
            request_id=request,
            reference=reference,
            fingerprint=pick(("same", "same", f"print-{id}")),
            priority=pick((50, 10, 90)),
            payload=pick((b"", b"\x00\xff", b"form")),
            labels=pick(({}, {"k": "ü"})),
            schedule_ms=pick((None, None, None, self.now + MINUTE, self.now - 1)),
            expire_ms=pick((None, None, None, self.now + 2 * MINUTE, self.now + 2 * HOUR)),
            excluded_agents=pick(((), (), (), ("ann",), ("bob", "cyd"))),
            offer_timeout_ms=pick((20 * SECOND, 5 * SECOND)),
            lease_ms=pick((2 * MINUTE, 20 * SECOND, HOUR)),
            max_attempts=pick((5, 1, 1)),
            decline_exclusion_ms=pick((MINUTE, 0, HOUR)),
            resume_window_ms=pick((MINUTE, 0, 10 * MINUTE)),
        )

    # -- what leads somewhere ----------------------------------------------------------------------------------
    def progress(self) -> Operation:
        """The next thing that brings work into someone's hands."""
        if all(record["s"] != "QUEUED" for record in self.records("tasks").values()):
            return self.submit()
        agent = self.chance.pick(AGENTS)
        missing = self.missing(agent)
        return missing or Operation("claim", (agent, self.chance.pick(tuple(ClaimMode))))

    def missing(self, agent: str) -> Operation | None:
        """What an agent needs first before it can be handed anything."""
        record = self.records("agents").get(agent)
        if record is None:
            return self.put_profile(agent)
        if not record.get("ss"):
            return Operation("connect", (agent, "w1", "s1", True))
        if not record.get("rd"):
            return Operation("set_ready", (agent, record["ss"], True))
        if record.get("dr"):
            return Operation("set_draining", (agent, False))
        return self.missing_at_the_acd(agent, record) if record.get("gr") else None

    def missing_at_the_acd(self, agent: str, record: Mapping[str, Any]) -> Operation | None:
        """The same for an agent of a blending group: its state, and its group's gate."""
        if agent in self.records("commands"):
            return self.command_result(agent)
        source = record.get("src") or SOURCES[0]
        feed = self.records("feeds").get(source, {})
        gate = self.records("gates").get(record["gr"], {})
        silent = self.now - feed.get("at", 0) > gate.get("sa", 0)
        if record.get("st") != "AVAILABLE" or silent:
            report = AgentReport(agent, AgentState.AVAILABLE)
            sequence = int(feed.get("sq", 0)) + 1
            return Operation(
                "report", (source, feed.get("ep", "1"), sequence, [report]), {"snapshot": not feed}
            )
        if not gate.get("op") or self.now >= gate.get("vu", 0):
            return self.missing_at_the_gate(record["gr"], gate)
        return None

    def missing_at_the_gate(self, group: str, gate: Mapping[str, Any]) -> Operation:
        """A leader, the law's turn, an open gate."""
        lead = self.records("leads").get(group, {})
        if self.now >= lead.get("until", 0):
            return Operation("lead", (group, "w1", HOUR))
        if gate.get("mo", "AUTO") != "AUTO":
            return Operation("set_gate_mode", (group, GateMode.AUTO, 0, "", "sue"))
        return Operation("set_gate", (builders.gate(group, now_ms=self.now, term=lead["term"]),))

    # -- operations on tasks ---------------------------------------------------------------------------
    def submit(self) -> Operation:
        """One to three tasks in one call."""
        count = self.chance.pick((1, 1, 1, 2, 3))
        return Operation("submit", ([self.new_task() for _ in range(count)],))

    def claim(self, mode: ClaimMode | None = None) -> Operation:
        """An agent asks for work, or is to be given some."""
        pick = self.chance.pick
        agent = pick(AGENTS)
        missing = self.missing(agent)
        if missing and self.chance.often():
            return missing
        more: dict[str, Any] = {"actor": "router", "why": pick(("", "because"))}
        if not self.chance.often():
            more["once"] = True
        if not self.chance.often():
            more["task"] = self.task_in(frozenset({"QUEUED"}))
        return Operation("claim", (agent, mode or pick(tuple(ClaimMode))), more)

    @needs("OFFERED")
    def accept(self) -> Operation:
        """The holder accepts."""
        task = self.task_in(frozenset({"OFFERED"}))
        return Operation("accept", (task, self.holder(task), self.fence(task)))

    @needs("OFFERED")
    def decline(self) -> Operation:
        """The holder declines."""
        task = self.task_in(frozenset({"OFFERED"}))
        return Operation("decline", (task, self.holder(task), self.fence(task), "no"))

    @needs("OFFERED")
    def rescind(self) -> Operation:
        """The router takes an offer back."""
        task = self.task_in(frozenset({"OFFERED"}))
        return Operation("rescind", (task, self.fence(task), "calls", "router"), self.decision())

    @needs("OFFERED")
    def show(self) -> Operation:
        """A hidden offer is shown."""
        task = self.task_in(frozenset({"OFFERED"}))
        return Operation("show", (task, self.fence(task)))

    @needs("ACTIVE", "RECALLING")
    def checkpoint(self) -> Operation:
        """The holder saves progress."""
        task = self.task_in(WORKED)
        data = self.chance.pick((b"half", b"", b"\xff\x00"))
        return Operation("checkpoint", (task, self.holder(task), self.fence(task), data))

    @needs("ACTIVE", "RECALLING")
    def extend(self) -> Operation:
        """The holder asks for more time."""
        task = self.task_in(WORKED)
        return Operation(
            "extend", (task, self.holder(task), self.fence(task), self.chance.pick((0, MINUTE, HOUR)))
        )

    @needs("ACTIVE", "RECALLING")
    def complete(self) -> Operation:
        """The holder has done it (or says so again)."""
        states = WORKED if self.chance.often() else frozenset({"COMPLETED"})
        task = self.task_in(states)
        result = self.chance.pick((b"done", b"", b"\xff"))
        return Operation(
            "complete", (task, self.holder(task), self.fence(task), result, self.chance.pick(("ok", "")))
        )

    @needs("ACTIVE", "RECALLING")
    def release(self) -> Operation:
        """The holder hands it back."""
        task = self.task_in(WORKED)
        data = self.chance.pick((None, b"last"))
        return Operation("release", (task, self.holder(task), self.fence(task), "given back", data))

    @needs("ACTIVE", "RECALLING")
    def park(self) -> Operation:
        """The holder sets it aside."""
        task = self.task_in(WORKED)
        until = self.now + self.chance.pick((MINUTE, HOUR, -1))
        return Operation("park", (task, self.holder(task), self.fence(task), until))

    @needs("PARKED")
    def resume(self) -> Operation:
        """The owner takes a parked task up again."""
        task = self.task_in(frozenset({"PARKED"}))
        return Operation("resume", (task, self.holder(task), self.fence(task)))

    @needs("ACTIVE", "OFFERED")
    def recall(self) -> Operation:
        """The router wants a task back."""
        task = self.task_in(HELD)
        notice = self.chance.pick((10 * SECOND, 0))
        return Operation("recall", (task, self.fence(task), notice, "calls", "router"), self.decision())

    def decision(self) -> Mapping[str, Any]:
        """The decision behind a recall, if it was a policy's."""
        return {} if self.chance.often() else {"why": "a call had waited 8.2 s", "policy_version": 0}

    @needs("ACTIVE", "RECALLING")
    def force(self) -> Operation:
        """The router takes a task back."""
        task = self.task_in(WORKED)
        return Operation("force", (task, self.fence(task), "storm", "router"))

    def cancel(self) -> Operation:
        """The submitter wants a task no more."""
        task = self.task_in(frozenset(TaskState))
        more = {} if self.chance.often() else {"revision": 1}
        return Operation("cancel", (task, "not needed", "crm"), more)

    def update(self) -> Operation:
        """The submitter or a supervisor changes a task."""
        task = self.task_in(frozenset(TaskState) - {"COMPLETED", "CANCELED", "EXPIRED"})
        new = self.new_task()
        record = self.records("tasks").get(task, {})
        change = TaskUpdate(
            spec=self.chance.pick((None, replace(new.spec, work_type=record.get("wt", "claims")))),
            plan=self.chance.pick((None, new.plan)),
            revision=None if self.chance.often() else record.get("rev", 0) + self.chance.pick((0, -1, 1)),
            take_back=not self.chance.often(),
        )
        return Operation("update", (task, change, "sue"))

    @needs("DEAD_LETTER")
    def revive(self) -> Operation:
        """A supervisor gives a dead letter another chance."""
        return Operation(
            "revive", (self.task_in(frozenset({"DEAD_LETTER"})), "sue", self.chance.pick(("", "again")))
        )

    def advance(self) -> Operation:
        """The sweeper looks at a task: at one that is due, sometimes at any."""
        due = [item[0] for item in self.content.get("due", []) if item[1] <= self.now]
        if due and self.chance.often():
            return Operation("advance", (self.chance.pick(sorted(due)),))
        if self.chance.often():
            return self.progress()
        return Operation("advance", (self.task_in(frozenset({"QUEUED", "OFFERED", "ACTIVE", "PARKED"})),))

    def purge(self) -> Operation:
        """Old ends are forgotten."""
        before = self.now - self.chance.pick((0, MINUTE, HOUR))
        return Operation("purge", (before, self.chance.pick((100, 1))))

    # -- operations on agents --------------------------------------------------------------------------
    def put_profile(self, agent: str = "") -> Operation:
        """A supervisor creates or changes an agent."""
        pick = self.chance.pick
        id = agent or pick(AGENTS)
        profile = builders.profile(
            id,
            display_name=pick(("", "Äda")),
            skills=pick(
                ({"claims": 5, "french": 5}, {"claims": 5, "french": 2}, {"claims": 3}, {"french": 1}, {})
            ),
            teams=pick(((), ("north",), ("north", "south"))),
            blending_group=pick(GROUPS),
            capacity=pick((1, 2, 3)),
            auto_accept=pick((False, False, True)),
        )
        return Operation("put_profile", (profile, pick((None, None, None, 0, 1, 2))))

    def delete_profile(self) -> Operation:
        """A supervisor removes an agent."""
        gone = [id for id, record in self.records("agents").items() if not record.get("ss")]
        etag = self.chance.pick((None, 1))
        return Operation("delete_profile", (self.chance.pick(sorted(gone) or AGENTS), etag))

    def connect(self) -> Operation:
        """A desktop connects, or connects again."""
        pick = self.chance.pick
        return Operation("connect", (pick(AGENTS), pick(WORKERS), pick(("s1", "s2")), self.chance.often()))

    def disconnect(self) -> Operation:
        """A desktop is gone."""
        agent = self.chance.pick(AGENTS)
        return Operation("disconnect", (agent, self.session(agent)))

    def set_ready(self) -> Operation:
        """A desktop says whether it wants work."""
        agent = self.chance.pick(AGENTS)
        return Operation("set_ready", (agent, self.session(agent), self.chance.often()))

    def set_draining(self) -> Operation:
        """A supervisor lets an agent finish, or calls it back."""
        pick = self.chance.pick
        return Operation("set_draining", (pick(AGENTS), pick((True, False)), pick(("", "meeting"))))

    def beat(self) -> Operation:
        """A worker lives."""
        return Operation("beat", (self.chance.pick(WORKERS),))

    # -- telephony -------------------------------------------------------------------------------------
    def report(self) -> Operation:
        """An ACD reports: in order, or late, twice, from a former or a new life."""
        pick, often = self.chance.pick, self.chance.often
        source = SOURCES[0] if often() else SOURCES[1]
        feed = self.records("feeds").get(source, {})
        epoch = int(feed.get("ep") or 1)
        sequence = int(feed.get("sq", 0)) + (1 if often() else pick((0, -1, 5)))
        snapshot = not feed or not often()
        if not often():
            epoch = max(1, epoch + pick((1, -1)))
            snapshot = often()
        more: dict[str, Any] = {"snapshot": snapshot, "last": often()}
        more["recall_notice_ms"] = pick((10 * SECOND, 10 * SECOND, 0))
        if not often():
            more["call_queues"] = {pick(("sales", "service")): pick(("{}", '{"waiting": 3}'))}
        return Operation("report", (source, str(epoch), max(0, sequence), self.reports()), more)

    def reports(self) -> list[AgentReport]:
        """States of some agents (none: a heartbeat)."""
        pick = self.chance.pick
        states = (AgentState.AVAILABLE,) * 9 + tuple(AgentState)
        since = pick((0, 0, self.now - MINUTE, self.now + MINUTE, self.now - 30 * HOUR))
        named = pick((AGENTS[:1], AGENTS[1:2], AGENTS[:3], AGENTS, (), ("nobody", "dan")))
        return [
            AgentReport(agent, pick(states), pick(("", "lunch")), pick((0, 0, self.now + HOUR)), since)
            for agent in named
        ]

    def put_command(self) -> Operation:
        """A command stands for an agent."""
        pick = self.chance.pick
        agent = pick(AGENTS)
        task = self.task_in(HELD)
        kind = pick(tuple(CommandKind))
        command = AcdCommand(pick(("x1", "x2")), kind, agent, SOURCES[0], task, self.fence(task), self.now)
        return Operation("put_command", (command,))

    def command_result(self, agent: str = "") -> Operation:
        """The ACD answers a command."""
        standing = self.records("commands")
        agent = agent or self.chance.pick(sorted(standing) or AGENTS)
        live = str(standing.get(agent, {}).get("id", "x1"))
        id = live if self.chance.often() else "other"
        ok = self.chance.pick((True, True, False))
        return Operation("command_result", (id, agent, ok, "" if ok else "busy"))

    # -- gates -----------------------------------------------------------------------------------------
    def lead(self) -> Operation:
        """A worker wants to lead a group."""
        pick = self.chance.pick
        return Operation("lead", (pick(GROUPS[:2]), pick(WORKERS), pick((HOUR, 10 * SECOND))))

    def set_gate(self) -> Operation:
        """A leader writes a gate."""
        pick = self.chance.pick
        group = pick(GROUPS[:2])
        gate = builders.gate(
            group,
            open=self.chance.often(),
            allowance=pick((5, 5, 2, 1, 0)),
            reserve=pick((0, 0, 1)),
            reserve_firm=pick((0, 0, 2)),
            valid_until_ms=self.now + pick((HOUR, HOUR, SECOND)),
            stale_after_ms=pick((HOUR, HOUR, 10 * SECOND)),
            min_idle_ms=pick((0, 0, 5 * SECOND)),
            acd_control=pick((False, False, True)),
            policy_version=pick((1, 2)),
            term=self.term(group),
            reason=pick(("", "dip")),
            armed=pick((False, True)),
        )
        return Operation("set_gate", (gate,))

    def set_gate_mode(self) -> Operation:
        """A supervisor decides by hand, or lets the law decide again."""
        pick = self.chance.pick
        mode = pick((GateMode.AUTO, GateMode.OPEN, GateMode.CLOSED))
        return Operation(
            "set_gate_mode", (pick(GROUPS[:2]), mode, pick((0, self.now + MINUTE)), "storm", "sue")
        )

    def pause(self) -> Operation:
        """A supervisor stops or starts a work type or a queue."""
        pick = self.chance.pick
        queues = sorted(self.records("queues"))
        target = (
            f"q:{pick(queues)}" if queues and self.chance.often() else f"wt:{pick(('claims', 'refunds'))}"
        )
        return Operation("pause", (target, pick((False, False, False, True)), "fire", "sue"))

    def put_document(self) -> Operation:
        """A document is written."""
        pick = self.chance.pick
        return Operation(
            "put_document",
            (pick(("policy", "work_type")), pick(("a", "b")), pick(("{}", "ü")), pick((None, 0, 1))),
        )

    def record(self) -> Operation:
        """A worker writes down what it saw."""
        pick = self.chance.pick
        return Operation("record", (pick((b"abc", b"\xff\x00")), pick((HOUR, SECOND)), pick((100, 2))))

    def delete_document(self) -> Operation:
        """A document is removed."""
        pick = self.chance.pick
        return Operation(
            "delete_document", (pick(("policy", "work_type")), pick(("a", "b")), pick((None, 1))), timed=False
        )

    # -- looks -----------------------------------------------------------------------------------------
    def look(self) -> Operation:
        """One of the reading methods."""
        pick = self.chance.pick
        task = self.task_in(frozenset(TaskState))
        name = pick(LOOKS)
        limit = pick((100, 2))
        untimed: dict[str, tuple[str, tuple[Any, ...]]] = {
            "agents": ("agents", ("", limit)),
            "idle": ("idle_agents", (pick(GROUPS[:2]), limit)),
            "holding": ("holding", (pick(GROUPS[:2]), limit)),
            "commands": ("commands", (pick(SOURCES),)),
            "feeds": ("feeds", ()),
            "gate": ("gate", (pick(GROUPS[:2]),)),
            "groups": ("groups", ()),
            "paused": ("paused", ()),
            "queues": ("queues", ("", limit)),
            "task": ("task", (task,)),
            "reference": ("task_by_reference", (pick(("crm", "erp")), pick(("ref1", "ref2")))),
            "tasks": ("tasks", (self.some_states(), "", limit)),
            "history": ("history", (task,)),
            "position": ("position", (task,)),
            "backlog": ("backlog", ()),
            "documents": ("documents", (pick(("policy", "work_type")),)),
            "call_queues": ("call_queues", ()),
            "sessions": ("sessions_of", (pick(WORKERS),)),
            "events": ("events", ("", limit)),
            "recording": ("recording", ("", limit)),
        }
        if name == "due":
            return Operation("due", (limit,))
        method, args = untimed[name]
        return Operation(method, args, timed=False)

    def some_states(self) -> frozenset[TaskState]:
        """States to list."""
        waiting = frozenset({TaskState.QUEUED, TaskState.SCHEDULED})
        ended = frozenset({TaskState.COMPLETED, TaskState.CANCELED})
        return self.chance.pick((frozenset(TaskState), waiting, ended, waiting | ended))

    def tick(self) -> int:
        """Let some time pass; the new time."""
        self.now += self.chance.pick(TIME_STEPS)
        return self.now


MUTATIONS = (
    "submit", "claim", "accept", "decline", "rescind", "show", "checkpoint", "extend", "complete", "release", "park",
    "resume", "recall", "force", "cancel", "update", "revive", "advance", "purge", "put_profile", "delete_profile",
    "connect", "disconnect", "set_ready", "set_draining", "beat", "report", "put_command", "command_result", "lead",
    "set_gate", "set_gate_mode", "pause", "put_document", "delete_document", "record",
)  # fmt: skip
COMMON = (
    "submit",
    "claim",
    "claim",
    "claim",
    "accept",
    "complete",
    "advance",
    "report",
    "recall",
    "tick",
    "set_gate",
)
"""More of what leads somewhere, for tapes."""


def opening(now_ms: int) -> list[Operation]:
    """A site at work: blended and dedicated agents, connected and available, an open gate."""
    profiles = [
        builders.profile("ann", blending_group="blue", teams=("north",)),
        builders.profile(
            "bob", blending_group="blue", capacity=2, auto_accept=True, skills={"claims": 5, "french": 3}
        ),
        builders.profile("cyd", capacity=2, skills={"claims": 3, "french": 2}),
        builders.profile("dan", blending_group="red"),
    ]
    blended = [profile.id for profile in profiles if profile.blending_group]
    available = [AgentReport(id, AgentState.AVAILABLE) for id in blended]
    return [
        *(Operation("put_profile", (profile, 0)) for profile in profiles),
        *(Operation("connect", (profile.id, "w1", "s1", True)) for profile in profiles),
        Operation("report", (SOURCES[0], "1", 1, available), {"snapshot": True}),
        *(Operation("lead", (group, "w1", 10 * HOUR)) for group in ("blue", "red")),
        *(Operation("set_gate", (builders.gate(group, now_ms=now_ms, term=1),)) for group in ("blue", "red")),
    ]
