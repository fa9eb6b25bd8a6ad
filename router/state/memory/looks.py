"""Looks that change nothing: lists, figures, places in line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from sortedcontainers import SortedList

from router.domain.errors import InvalidInput, WrongState
from router.domain.model import ENDED_STATES, Agent, TaskState
from router.domain.ports import Backlog, Event, Page, QueueFigures, RecordedChunk
from router.domain.routing import FRONT, order_key
from router.state import records
from router.state.memory.eligibility import is_paused
from router.state.memory.site import Site

S = TaskState


# -- agents ------------------------------------------------------------------------------------------------
def agents(site: Site, cursor: str, limit: int) -> tuple[list[Agent], str]:
    """Agents by id after ``cursor``."""
    names = list(islice(site.agents.irange(cursor, None, (not cursor, True)), limit + 1))
    more = len(names) > limit
    names = names[:limit]
    return [site.agent_value(name) for name in names], names[-1] if more and names else ""


def idle_agents(site: Site, group: str, limit: int) -> list[Agent]:
    """The idle index of a group ('' or '-': agents without one), longest idle first."""
    members = site.idle.get(_group(group), ())
    return [site.agent_value(agent) for _, agent in islice(iter(members), limit)]


def holding(site: Site, group: str, limit: int) -> list[Agent]:
    """Agents of a group who hold an offer or a lease, by id."""
    return [site.agent_value(agent) for agent in islice(iter(site.busy.get(_group(group), ())), limit)]


def sessions_of(site: Site, worker: str) -> list[tuple[str, str]]:
    """(agent, session) of the sessions that the worker holds."""
    held = ((agent, record) for agent, record in site.agents.items() if record.get("wk") == worker)
    return [(agent, record["ss"]) for agent, record in held if record.get("ss")]


def _group(name: str) -> str:
    return "" if name == "-" else name


# -- tasks -------------------------------------------------------------------------------------------------
def tasks(site: Site, states: frozenset[TaskState], cursor: str, limit: int) -> Page:
    """Tasks in the given states: the queued by place, others by deadline, the ended by their end."""
    found: list[tuple[str, str]] = []
    sections = list(_SECTIONS)
    if cursor and cursor[0] not in _SECTIONS:
        raise InvalidInput([("page_token", "this is not a cursor of this list")])
    for section in sections[sections.index(cursor[0]) if cursor else 0 :]:
        after = cursor[1:] if cursor and section == cursor[0] else ""
        walk = _SECTIONS[section]
        for place, task in walk(site, states, after):
            if len(found) == limit:
                return _page(site, found, found[-1][0] if found else cursor)
            found.append((section + place, task))
    return _page(site, found, "")


def _page(site: Site, found: list[tuple[str, str]], cursor: str) -> Page:
    return Page([site.task_value(task) for _, task in found], cursor)


_Walk = Callable[[Site, frozenset[TaskState], str], Iterator[tuple[str, str]]]


def _queued(site: Site, states: frozenset[TaskState], after: str) -> Iterator[tuple[str, str]]:
    if S.QUEUED not in states:
        return
    for qid in sorted(site.lines, key=lambda qid: qid + "|"):
        for origin, task in site.lines[qid]:
            place = f"{qid}|{order_key(origin)}|{task}"
            if place > after:
                yield place, task


def _by_deadline(site: Site, states: frozenset[TaskState], after: str) -> Iterator[tuple[str, str]]:
    return _scored(site, site.due, states - ENDED_STATES - {S.QUEUED}, after)


def _by_end(site: Site, states: frozenset[TaskState], after: str) -> Iterator[tuple[str, str]]:
    return _scored(site, site.ended, states & ENDED_STATES, after)


def _scored(
    site: Site, index: SortedList, states: frozenset[TaskState], after: str
) -> Iterator[tuple[str, str]]:
    if not states:
        return
    start = None
    if after:
        score, _, task = after.partition("|")
        if not score.lstrip("-").isdigit():
            raise InvalidInput([("page_token", "this is not a cursor of this list")])
        start = (int(score), task)
    for score, task in index.irange(start, None, (False, True)):
        if site.tasks[task]["s"] in states:
            yield f"{score}|{task}", task


_SECTIONS: dict[str, _Walk] = {"q": _queued, "d": _by_deadline, "e": _by_end}


def position(site: Site, task: str) -> int:
    """How many tasks of its queue stand before a QUEUED task."""
    record = site.record_of(task)
    if record["s"] != S.QUEUED:
        raise WrongState(f"task {task} is {record['s']}, it stands in no queue")
    return int(site.lines[record["q"]].index((record.get("o", 0), task)))


# -- queues and counts -------------------------------------------------------------------------------------
def queues(site: Site, cursor: str, limit: int) -> tuple[list[QueueFigures], str]:
    """Non-empty queues by id after ``cursor``."""
    names = sorted(qid for qid in site.lines if qid > cursor)
    chosen = names[:limit]
    return [_queue_figures(site, qid) for qid in chosen], chosen[-1] if len(names) > limit and chosen else ""


def _queue_figures(site: Site, qid: str) -> QueueFigures:
    definition = records.derived_definition(qid, site.queues)
    line = site.lines[qid]
    head = line[0][1]
    return QueueFigures(
        id=qid,
        spec=records.queue_from(definition),
        front=definition["fm"] == FRONT,
        depth=len(line),
        head=head,
        head_create_ms=site.tasks[head].get("c", 0),
        paused=is_paused(site, site.queue_info(qid)),
    )


def backlog(site: Site) -> Backlog:
    """Counts for supervisors."""
    by_work_type: dict[tuple[str, TaskState], int] = {}
    by_priority: dict[int, int] = {}
    for name, count in site.counts.items():
        kind, _, value = name.rpartition("|")
        if value in S.__members__:
            by_work_type[kind, TaskState(value)] = count
        else:
            by_priority[int(value)] = count
    return Backlog(by_work_type, by_priority, dict(site.totals))


# -- events ------------------------------------------------------------------------------------------------
def events(site: Site, after: str, limit: int) -> list[Event]:
    """Events after a stream position."""
    if after == "$":
        return []
    last = int(after.partition("-")[0]) if after else 0
    if last >= site.event_count:
        return []
    first_kept = site.event_count - len(site.events) + 1
    skip = max(0, last + 1 - first_kept)
    chosen = [site.events[index] for index in range(skip, min(len(site.events), skip + limit))]
    return [records.event_from(f"{number}-0", entry) for number, entry in chosen]


def recording(site: Site, after: str, limit: int) -> list[RecordedChunk]:
    """Chunks after a position of the recording."""
    last = tuple(int(part) for part in after.split("-")) if after else (-1, 0)
    later = (entry for entry in site.recording if entry[:2] > last)
    return [RecordedChunk(f"{time}-{number}", chunk) for time, number, chunk in islice(later, limit)]
