"""One atomic change of a site: what it touched, what it recorded and whom it wakes.

The functions of the neighbouring modules first check everything (and raise), then change records through a
:class:`Transition`; :meth:`Transition.commit` brings revisions, indexes and counters in step and lets the hints out.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from sortedcontainers import SortedList

from router.domain.model import AcdCommand, Agent, AgentState, Task, TaskState
from router.domain.ports import Change, Hint
from router.state import records
from router.state.memory.site import AgentPlaces, Site, bump
from router.state.records import Record

QUEUED = TaskState.QUEUED.value
_DECIDED = frozenset({"offer", "recall", "rescind", "force"})
"""Arrows that keep why they were taken."""
_NOT_FOR_CALLS = frozenset({AgentState.RESERVED, AgentState.OFFLINE})
_BUSY_STATES = frozenset({AgentState.RINGING, AgentState.ON_CALL, AgentState.AFTER_CALL})

Send = Callable[[str, Hint], None]
"""(worker or '' for everyone of the site, hint) -> out it goes."""


class Transition:
    """A change of ``site`` at ``now``. Nothing is written before the first call that says so."""

    def __init__(self, site: Site, now: int, send: Send | None) -> None:
        self.site = site
        self.now = now
        self.command: AcdCommand | None = None
        self.why = ""
        """The figures behind what is done here; ``version``: of the policy that decided (None: the hand-over's)."""
        self.version: int | None = None
        self._send = send
        self._tasks: dict[str, None] = {}
        self._agents: dict[str, None] = {}
        self._hints: list[tuple[str, Hint, str]] = []
        """(worker or '' for everyone, hint, the task to tell with it as it is after the commit, or '')."""
        self._work: Counter[str] = Counter()
        self._late: list[Hint] = []
        self.offering = False
        """Whether a leader takes agents out of the idle index: then nobody else need hear of it."""

    # -- writing -------------------------------------------------------------------------------------------
    def touch(self, task: str) -> Record:
        """The record of a task that this transition changes."""
        self._tasks[task] = None
        return self.site.tasks[task]

    def touch_agent(self, agent: str) -> Record:
        """The record of an agent that this transition changes."""
        self._agents[agent] = None
        record: Record = self.site.agents[agent]
        return record

    def arrow(
        self, task: str, name: str, target: TaskState, actor: str, reason: str = "", agent: str = ""
    ) -> None:
        """Move the task's state and record the arrow; ``agent`` is its holder before or after."""
        record = self.touch(task)
        source = record.get("s", "")
        self._move_counts(record, source, target.value)
        record["s"] = target.value
        self.total(records.TOTALS[name])
        entry = [self.now, source, target.value, name, actor, reason, agent, record.get("f", 0)]
        if self.why and name in _DECIDED:
            entry += [self.why, record.get("pv", 0) if self.version is None else self.version]
        self._remember(task, record, entry)

    def total(self, name: str) -> None:
        """Move a monotone counter."""
        totals = self.site.totals
        totals[name] = totals.get(name, 0) + 1

    def next_number(self, name: str) -> int:
        """The next value of one of the site's own counters (``fence``, ``command``)."""
        meta = self.site.meta
        meta[name] = meta.get(name, 0) + 1
        return meta[name]

    def _move_counts(self, record: Record, source: str, target: str) -> None:
        if source == target:
            return
        count, work_type = self.site.count, record["wt"]
        if source:
            count(f"{work_type}|{source}", -1)
        count(f"{work_type}|{target}", 1)
        if source == QUEUED:
            count(f"p|{record.get('p', 0)}", -1)
        if target == QUEUED:
            count(f"p|{record.get('p', 0)}", 1)

    def _remember(self, task: str, record: Record, entry: list[Any]) -> None:
        kept = self.site.history.get(task)
        if kept is None:
            kept = self.site.history[task] = deque(maxlen=records.HISTORY_KEPT)
        kept.append(entry)
        record["hn"] = len(kept)
        self.site.event_count += 1
        event = [task, record["wt"], record.get("sub", ""), *entry[: records.EVENT_FIELDS]]
        self.site.events.append((self.site.event_count, event))

    # -- hints ---------------------------------------------------------------------------------------------
    def tell_worker(self, kind: str, agent: str, task: str, reason: str = "", notice_ms: int = 0) -> None:
        """A hint about a task for the worker that holds the agent's session, if there is one."""
        if self._send is None:
            return
        record = self.site.agents.get(agent)
        if record and record.get("ss"):
            group = record.get("gr", "")
            hint = Hint(kind, self.site.name, agent, group, reason=reason, notice_ms=notice_ms)
            self._hints.append((record.get("wk", ""), hint, task))

    def tell_agent_worker(self, worker: str, agent: str, reason: str = "", session: str = "") -> None:
        """An ``agent`` hint: look at this agent again."""
        if self._send is not None:
            group = self.site.agents[agent].get("gr", "")
            hint = Hint("agent", self.site.name, agent, group, session, reason=reason)
            self._hints.append((worker, hint, ""))

    def tell_site(self, kind: str, **pieces: Any) -> None:
        """A hint for everyone of the site, with these of its fields."""
        if self._send is not None:
            self._hints.append(("", Hint(kind, self.site.name, **pieces), ""))

    def tell_late(self, kind: str, **pieces: Any) -> None:
        """A hint for everyone that goes out after all others, with these of its fields."""
        if self._send is not None:
            self._late.append(Hint(kind, self.site.name, **pieces))

    def work(self, anchor: str) -> None:
        """A task waits at this anchor now."""
        self._work[anchor] += 1

    def stand(self, agent: str, record: Record) -> None:
        """Let a command stand for the agent, in place of an older one, and tell the ACD link."""
        self.site.commands[agent] = record
        group = self.site.agents[agent].get("gr", "")
        command = records.command_from(agent, record)
        self.tell_site("command", agent=agent, group=group, source=command.source, command=command)

    # -- the end -------------------------------------------------------------------------------------------
    def commit(self) -> None:
        """Bring revisions, indexes and counters in step; then let the hints out."""
        for task in self._tasks:
            self._save_task(task)
        moved = [(agent, before) for agent in self._agents if (before := self._save_agent(agent)) is not None]
        if self._send is not None:
            self._let_hints_out(moved)

    def change(self, task: str) -> Change:
        """Commit, and the answer of a transition about one task."""
        self.commit()
        return Change(self.site.task_value(task), self.command)

    def task(self, task: str) -> Task:
        """Commit, and the task after it."""
        self.commit()
        return self.site.task_value(task)

    def agent(self, agent: str) -> Agent:
        """Commit, and the agent after it."""
        self.commit()
        return self.site.agent_value(agent)

    def _save_task(self, task: str) -> None:
        self.site.task_values.pop(task, None)
        record = self.site.tasks.get(task)
        if record is None:
            return
        record["rev"] = record.get("rev", 0) + 1
        record["ch"] = self.now
        drop_zeros(record)

    def _save_agent(self, agent: str) -> AgentPlaces | None:
        """Where the agent stood before, if the idle index or what it says of the agent has changed."""
        site, record = self.site, self.site.agents.get(agent)
        site.agent_values.pop(agent, None)
        if record is not None:
            self._account_time(record)
            drop_zeros(record)
        before = site.places.get(agent, _NOWHERE)
        after = _places(agent, record) if record is not None else _NOWHERE
        if before == after:
            return None
        _move_places(site, agent, before, after)
        moved = (before.group, before.idle) != (after.group, after.idle) or before.traits != after.traits
        return before if moved else None

    def _account_time(self, record: Record) -> None:
        busy = bool(record.get("on")) or record["st"] in _BUSY_STATES
        if busy and not record.get("bs"):
            record["bs"] = self.now
        elif not busy and record.get("bs"):
            record["bz"] = record.get("bz", 0) + self.now - record.pop("bs")
        if record.get("on") or record["st"] in _NOT_FOR_CALLS:
            record.pop("fr", None)
        else:
            record.setdefault("fr", self.now)

    def _let_hints_out(self, moved: list[tuple[str, AgentPlaces]]) -> None:
        assert self._send is not None
        send, site = self._send, self.site
        for worker, hint, task in self._hints:
            told = hint._replace(task=site.task_value(task)) if task in site.tasks else hint
            send(worker, told)
        for anchor, count in self._work.items():
            send("", Hint("work", site.name, anchor=anchor, at_ms=self.now, arrived=count))
        if len(moved) > records.MOST_MOVED:
            send("", Hint("idle", site.name))
        else:
            for agent, before in moved:
                self._tell_moved(agent, before)
        for hint in self._late:
            send("", hint)

    def _tell_moved(self, agent: str, before: AgentPlaces) -> None:
        """An agent came into the idle index, changed in it, or left it otherwise than by a leader's offer."""
        assert self._send is not None
        site, after = self.site, self.site.places.get(agent, _NOWHERE)
        if before.idle and (before.group != after.group or not (after.idle or self.offering)):
            self._send("", Hint("busy", site.name, agent, before.group, at_ms=self.now))
        if after.idle:
            about, queued = site.agent_value(agent), site.queued
            self._send(
                "", Hint("idle", site.name, agent, after.group, about=about, at_ms=self.now, queued=queued)
            )


_NOWHERE = AgentPlaces()


def drop_zeros(record: Record) -> None:
    """Forget fields that are zero or empty."""
    if not all(record.values()):
        for name in [name for name, value in record.items() if not value]:
            del record[name]


def _counted(state: AgentState, busy: bool) -> tuple[str, ...]:
    """The counters of its group in which an agent counts."""
    counters = [f"n_{state}"]
    if state is AgentState.AVAILABLE and not busy:
        counters.append("idle")
    if busy:
        counters.append("ont")
    return tuple(counters)


_COUNTED = {(state.value, busy): _counted(state, busy) for state in AgentState for busy in (False, True)}


def _places(agent: str, record: Record) -> AgentPlaces:
    """Where the agent belongs, from its record alone (invariants 8 and 9)."""
    get = record.get
    group, state, held = get("gr", ""), record["st"], get("on", "")
    open_to_work = get("ss") and get("rd") and not get("dr") and (not group or state == AgentState.AVAILABLE)
    idle = bool(open_to_work) and len(held.split()) < get("cap", 0)
    traits = (get("sk", ""), get("tm", ""), get("lv", 0), get("cap", 0)) if idle else ()
    return AgentPlaces(
        group=group,
        counted=_COUNTED[state, bool(held)] if group else (),
        idle=(get("is", 0), agent) if idle else None,
        busy=bool(held),
        traits=traits,
    )


def _move_places(site: Site, agent: str, before: AgentPlaces, after: AgentPlaces) -> None:
    if (before.group, before.counted) != (after.group, after.counted):
        for counter in before.counted:
            _count_group(site, before.group, counter, -1)
        for counter in after.counted:
            _count_group(site, after.group, counter, 1)
    if (before.group, before.idle) != (after.group, after.idle):
        _swap(site.idle, before.group, before.idle, after.group, after.idle)
    if (before.group, before.busy) != (after.group, after.busy):
        _swap(
            site.busy,
            before.group,
            agent if before.busy else None,
            after.group,
            agent if after.busy else None,
        )
    if after is _NOWHERE:
        site.places.pop(agent, None)
    else:
        site.places[agent] = after


def _count_group(site: Site, group: str, counter: str, by: int) -> None:
    figures = site.groups.setdefault(group, {})
    bump(figures, counter, by)
    site.figure_values.pop(group, None)
    if not figures:
        del site.groups[group]


def _swap(index: dict[str, SortedList], old_group: str, old: Any, new_group: str, new: Any) -> None:
    if old is not None:
        index[old_group].remove(old)
        if not index[old_group]:
            del index[old_group]
    if new is not None:
        index.setdefault(new_group, SortedList()).add(new)
