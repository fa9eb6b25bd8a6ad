"""Reading without changing: plain commands, several in one trip where they belong together.

A look is not one instant: what it reads in two trips may have changed between them. Only transitions decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from router.domain.errors import InvalidInput, NotFound, WrongState
from router.domain.model import (
    AcdCommand,
    Agent,
    Document,
    Feed,
    Gate,
    GroupFigures,
    Task,
    TaskState,
    TaskTransition,
)
from router.domain.ports import Backlog, CallQueueRecord, Event, Page, QueueFigures, RecordedChunk
from router.domain.routing import FRONT, ORIGIN_SHIFT
from router.state import records
from router.state.redis.client import Connections
from router.state.redis.keys import SITES, below, key

T = TypeVar("T")
_TASK_PARTS = ("tasks", "specs", "checkpoints", "results")
_CURSOR = re.compile(r"q.+|[de]-?\d{1,16}\|.+", re.DOTALL)
_SECTIONS = "qde"
"""The order in which tasks are listed: those in the queue, those with a deadline, the ended ones."""
_SCAN = 200
"""Members read per trip while a listing looks for tasks in the states asked for, or a look reads all agents."""
_MANY = 500
"""Fields that one command reads of a hash: so the store is never busy for long with one look."""
_ENDED = frozenset({TaskState.COMPLETED, TaskState.CANCELED, TaskState.EXPIRED, TaskState.DEAD_LETTER})


def task_of(id: str, record: dict[str, Any], parts: Sequence[bytes | None]) -> Task:
    """A task from its record and its packed spec, checkpoint and result."""
    spec, checkpoint, result = parts
    return records.task_from(
        id,
        record,
        spec,
        records.unpack(checkpoint) if checkpoint else None,
        records.unpack(result) if result else None,
    )


def text(value: bytes) -> str:
    """A field's name or a plain value as text."""
    return value.decode("utf-8", "surrogateescape")


class Looks:
    """The reading half of the store."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    # -- tasks ---------------------------------------------------------------------------------------------
    async def task(self, site: str, task: str) -> Task:
        """One task with checkpoint and result; NotFound otherwise."""
        found = await self._tasks(site, [task])
        if not found:
            raise NotFound(f"task {task} does not exist")
        return found[0]

    async def tasks_named(self, site: str, ids: Sequence[str]) -> list[Task]:
        """Those of the tasks that exist, in the order asked for."""
        return await self._tasks(site, ids)

    async def task_by_reference(self, site: str, submitter: str, reference: str) -> Task:
        """The task that a submitter gave this reference."""
        id = await self._connections.send("HGET", key(site, "refs"), f"{submitter}|{reference}")
        if id is None:
            raise NotFound(f"no task has the reference {reference}")
        return await self.task(site, text(id))

    async def tasks(self, site: str, states: frozenset[TaskState], cursor: str, limit: int) -> Page:
        """Tasks in the given states, section by section: queue, deadlines, ended."""
        found: list[tuple[str, Task]] = []
        if cursor and not _CURSOR.fullmatch(cursor):
            raise InvalidInput([("page_token", "this is not a cursor of this list")])
        kind, after = cursor[:1] or _SECTIONS[0], cursor[1:]
        for section in self._sections(states):
            if _SECTIONS.index(section) < _SECTIONS.index(kind):
                continue
            room = limit + 1 - len(found)
            found += await self._section(site, section, states, after if section == kind else "", room)
            if len(found) > limit:
                return Page([task for _, task in found[:limit]], found[limit - 1][0])
        return Page([task for _, task in found])

    async def history(self, site: str, task: str) -> list[TaskTransition]:
        """The arrows that a task took, oldest first (the latest 32)."""
        blob = await self._connections.send("HGET", key(site, "tasks"), task)
        if blob is None:
            raise NotFound(f"task {task} does not exist")
        return [records.transition_from(arrow) for arrow in records.unpack_task(blob)[1]]

    async def position(self, site: str, task: str) -> int:
        """How many tasks of its queue stand before a QUEUED task."""
        found = await self.task(site, task)
        if found.state != TaskState.QUEUED:
            raise WrongState(f"task {task} does not wait in a queue")
        member = f"{found.queue}|{found.origin_ms + ORIGIN_SHIFT:016d}|{task}"
        return int(
            await self._connections.send("ZLEXCOUNT", key(site, "queue"), f"[{found.queue}|", f"({member}")
        )

    # -- agents --------------------------------------------------------------------------------------------
    async def agent(self, site: str, agent: str) -> Agent:
        """One agent; NotFound otherwise."""
        found = await self._agents(site, [agent])
        if not found:
            raise NotFound(f"agent {agent} does not exist")
        return found[0]

    async def agents(self, site: str, cursor: str, limit: int) -> tuple[list[Agent], str]:
        """Agents in the order of their ids from ``cursor`` on, and the next cursor ('' at the end)."""
        names = sorted(map(text, await self._connections.send("HKEYS", key(site, "agents"))))
        names = [name for name in names if name > cursor]
        page = names[:limit]
        return await self._agents(site, page), page[-1] if len(names) > limit else ""

    async def idle_agents(self, site: str, group: str, limit: int) -> list[Agent]:
        """The idle index of a group, longest idle first."""
        return await self._members(site, "idle", group, limit)

    async def holding(self, site: str, group: str, limit: int) -> list[Agent]:
        """Agents of a group with an open offer or a lease."""
        return await self._members(site, "busy", group, limit)

    async def sessions_of(self, site: str, worker: str) -> list[tuple[str, str]]:
        """(agent, session) of the sessions that the worker holds, to reap a worker that died."""
        found = await self._scan(site, "agents", records.unpack)
        return sorted((id, a["ss"]) for id, a in found.items() if a.get("wk") == worker and a.get("ss"))

    # -- telephony, gates, figures -------------------------------------------------------------------------
    async def commands(self, site: str, source: str) -> list[AcdCommand]:
        """Standing commands of a source, oldest first."""
        found = await self._hash(site, "commands", records.unpack)
        standing = [records.command_from(agent, record) for agent, record in found.items()]
        ours = [command for command in standing if command.source == source]
        return sorted(ours, key=lambda command: (command.at_ms, command.agent))

    async def call_queues(self, site: str) -> list[CallQueueRecord]:
        """The latest figures of every call queue, as reported."""
        found = await self._hash(site, "callqueues", records.unpack)
        return [
            CallQueueRecord(id, record.get("src", ""), record.get("at", 0), record.get("b", ""))
            for id, record in sorted(found.items())
        ]

    async def feeds(self, site: str) -> list[Feed]:
        """Every telephony source that has reported."""
        found = await self._hash(site, "feeds", records.unpack)
        return [records.feed_from(source, record) for source, record in sorted(found.items())]

    async def gate(self, site: str, group: str) -> Gate:
        """The gate as stored (a closed one where none was ever set)."""
        blob = await self._connections.send("HGET", key(site, "gates"), group)
        return records.gate_from(group, records.unpack(blob) if blob else None)

    async def groups(self, site: str) -> list[GroupFigures]:
        """Every blending group that has agents."""
        found = await self._hash(site, "groups", records.unpack)
        return [records.figures_from(group, record) for group, record in sorted(found.items())]

    async def paused(self, site: str) -> dict[str, str]:
        """Paused targets and the reasons given."""
        return dict(sorted((await self._hash(site, "paused", text)).items()))

    async def queues(self, site: str, cursor: str, limit: int) -> tuple[list[QueueFigures], str]:
        """Non-empty queues and their heads, by id."""
        heads = map(text, await self._connections.send("ZRANGE", key(site, "heads"), 0, -1))
        names = sorted(name for name in (head.rpartition("|")[2] for head in heads) if name > cursor)
        page = names[:limit]
        paused = await self.paused(site)
        found = [await self._queue_figures(site, qid, paused) for qid in page]
        return [figures for figures in found if figures], page[-1] if len(names) > limit else ""

    async def backlog(self, site: str) -> Backlog:
        """Counts for supervisors."""
        counts, totals = records.tally(await self._hash(site, "counts", int))
        by_type: dict[tuple[str, TaskState], int] = {}
        by_priority: dict[int, int] = {}
        for name, n in sorted(counts.items()):
            what, _, state = name.partition("|")
            if what == "p" and state not in TaskState.__members__:
                by_priority[int(state)] = n
            else:
                by_type[what, TaskState(state)] = n
        return Backlog(by_type, by_priority, dict(sorted(totals.items())))

    # -- events, documents, the store itself ---------------------------------------------------------------
    async def events(self, site: str, after: str, limit: int) -> list[Event]:
        """Events after a stream position ('' from the oldest kept, '$' none but tells nothing)."""
        if after == "$":
            return []
        low = f"({after}" if after else "-"
        entries = await self._connections.send("XRANGE", key(site, "events"), low, "+", "COUNT", limit)
        return [records.event_from(text(id), records.unpack(body)) for id, body in map(stream_entry, entries)]

    async def recording(self, site: str, after: str, limit: int) -> list[RecordedChunk]:
        """Chunks of the recording after an id ('' from the oldest kept)."""
        low = f"({after}" if after else "-"
        entries = await self._connections.send("XRANGE", key(site, "recording"), low, "+", "COUNT", limit)
        return [RecordedChunk(text(id), body) for id, body in map(stream_entry, entries)]

    async def last_event(self, site: str) -> str:
        """The position of the newest event ('0-0' where there is none)."""
        entries = await self._connections.send("XREVRANGE", key(site, "events"), "+", "-", "COUNT", 1)
        return text(stream_entry(entries[0])[0]) if entries else "0-0"

    async def document(self, site: str, kind: str, id: str) -> Document:
        """One document; NotFound otherwise."""
        name = f"{kind}/{id}"
        blob = await self._connections.send("HGET", key(site, "docs"), name)
        if blob is None:
            raise NotFound(f"{kind} {id} does not exist")
        return records.document_from(name, records.unpack(blob))

    async def documents(self, site: str, kind: str) -> list[Document]:
        """All documents of a kind, by id."""
        found = await self._hash(site, "docs", records.unpack)
        return [
            records.document_from(name, record)
            for name, record in sorted(found.items())
            if name.startswith(f"{kind}/")
        ]

    async def sites(self) -> list[str]:
        """Sites that hold anything."""
        return sorted(map(text, await self._connections.send("SMEMBERS", SITES)))

    # -- helpers -------------------------------------------------------------------------------------------
    async def _hash(self, site: str, name: str, decode: Callable[[bytes], T]) -> dict[str, T]:
        found = pairs(await self._connections.send("HGETALL", key(site, name)))
        return {text(field): decode(value) for field, value in found}

    async def _scan(self, site: str, name: str, decode: Callable[[bytes], T]) -> dict[str, T]:
        """As :meth:`_hash`, in several short trips: for a hash so long that the store would stand still."""
        found: dict[str, T] = {}
        cursor = 0
        while True:
            answer = await self._connections.send("HSCAN", key(site, name), cursor, "COUNT", _SCAN)
            found.update((text(field), decode(value)) for field, value in pairs(answer[1]))
            cursor = int(answer[0])
            if cursor == 0:
                return found

    async def _tasks(self, site: str, ids: Sequence[str]) -> list[Task]:
        """The tasks of these ids that exist, in their order."""
        return [
            task_of(id, records.unpack_first(record), rest)
            for id, record, *rest in await self._fields(site, _TASK_PARTS, ids)
            if record is not None
        ]

    async def _agents(self, site: str, ids: Sequence[str]) -> list[Agent]:
        return [
            records.agent_from(id, records.unpack(record), profile or b"")
            for id, record, profile in await self._fields(site, ("agents", "profiles"), ids)
            if record is not None
        ]

    async def _fields(self, site: str, names: Sequence[str], ids: Sequence[str]) -> list[tuple[Any, ...]]:
        """Each id with its field of each of the hashes; long lists in several commands, none of which is long."""
        parts = [ids[i : i + _MANY] for i in range(0, len(ids), _MANY)]
        found = await self._connections.send_all(
            [("HMGET", key(site, name), *part) for part in parts for name in names]
        )
        rows: list[tuple[Any, ...]] = []
        for i, part in enumerate(parts):
            rows += zip(part, *found[i * len(names) : (i + 1) * len(names)], strict=True)
        return rows

    async def _members(self, site: str, index: str, group: str, limit: int) -> list[Agent]:
        low, high = below(group or "-")
        members = await self._connections.send("ZRANGEBYLEX", key(site, index), low, high, "LIMIT", 0, limit)
        return await self._agents(site, [text(member).rpartition("|")[2] for member in members])

    async def _queue_figures(self, site: str, qid: str, paused: dict[str, str]) -> QueueFigures | None:
        low, high = below(qid)
        queue, base = key(site, "queue"), records.base_queue(qid)
        depth, first, definition = await self._connections.send_all(
            [
                ("ZLEXCOUNT", queue, low, high),
                ("ZRANGEBYLEX", queue, low, high, "LIMIT", 0, 1),
                ("HGET", key(site, "queues"), base),
            ]
        )
        if not first or (definition is None and not base.startswith(records.RESUME_PREFIX)):
            return None
        stored = {base: records.unpack(definition)} if definition else {}
        spec = records.derived_definition(qid, stored)
        head = text(first[0]).rpartition("|")[2]
        created = [task.create_ms for task in await self._tasks(site, [head])]
        stopped = f"q:{base}" in paused or f"wt:{spec['wt']}" in paused
        return QueueFigures(
            id=qid,
            spec=records.queue_from(spec),
            front=spec["fm"] == FRONT,
            depth=depth,
            head=head,
            head_create_ms=created[0] if created else 0,
            paused=stopped,
        )

    # -- listing tasks -------------------------------------------------------------------------------------
    @staticmethod
    def _sections(states: frozenset[TaskState]) -> list[str]:
        """Where tasks of these states are found: q(ueue), d(ue), e(nded)."""
        waiting = states - _ENDED - {TaskState.QUEUED}
        wanted = (("q", TaskState.QUEUED in states), ("d", bool(waiting)), ("e", bool(states & _ENDED)))
        return [section for section, present in wanted if present]

    async def _section(
        self, site: str, section: str, states: frozenset[TaskState], after: str, limit: int
    ) -> list[tuple[str, Task]]:
        """Up to ``limit`` tasks of a section after a position, each with its cursor."""
        wanted = {"q": {TaskState.QUEUED}, "d": states - _ENDED - {TaskState.QUEUED}, "e": states & _ENDED}[
            section
        ]
        found: list[tuple[str, Task]] = []
        while len(found) < limit:
            places = await self._places(site, section, after)
            tasks = {task.id: task for task in await self._tasks(site, [id for id, _ in places])}
            found += [
                (section + place, tasks[id])
                for id, place in places
                if id in tasks and tasks[id].state in wanted
            ]
            if len(places) < _SCAN:
                break
            after = places[-1][1]
        return found[:limit]

    async def _places(self, site: str, section: str, after: str) -> list[tuple[str, str]]:
        """The next (task, position) of a section."""
        if section == "q":
            low = f"({after}" if after else "-"
            members = await self._connections.send(
                "ZRANGEBYLEX", key(site, "queue"), low, "+", "LIMIT", 0, _SCAN
            )
            return [(member.rpartition("|")[2], member) for member in map(text, members)]
        return await self._timed_places(site, "due" if section == "d" else "ended", after)

    async def _timed_places(self, site: str, index: str, after: str) -> list[tuple[str, str]]:
        """Members after ``score|member``; members of one score are skipped over up to that one."""
        score, _, last = after.partition("|")
        found: list[tuple[str, str]] = []
        offset = 0
        while len(found) < _SCAN:
            answer = await self._connections.send(
                "ZRANGEBYSCORE",
                key(site, index),
                score or "-inf",
                "+inf",
                "WITHSCORES",
                "LIMIT",
                offset,
                _SCAN,
            )
            rows = [(text(member), f"{float(at):.0f}") for member, at in pairs(answer)]
            found += [
                (member, f"{at}|{member}") for member, at in rows if not (at == score and member <= last)
            ]
            if len(rows) < _SCAN:
                break
            offset += _SCAN
        return found[:_SCAN]


def pairs(answer: Any) -> list[tuple[bytes, Any]]:
    """Field and value pairs, however the client has shaped the answer."""
    if isinstance(answer, dict):
        return list(answer.items())
    items = list(answer)
    if items and isinstance(items[0], (tuple, list)):
        return [(pair[0], pair[1]) for pair in items]
    return list(zip(items[::2], items[1::2], strict=True))


def stream_entry(entry: Any) -> tuple[bytes, bytes]:
    """(id, body) of a stream entry; its one field is ``e``."""
    id, fields = entry
    return id, pairs(fields)[0][1]
