"""The words of a recording: what a router process saw and decided, as entries of compact chunks.

A chunk is a version byte and compressed JSON: ``{"w": worker, "t": ms, "e": [[kind, ms after t, ...], ...]}``. Floats
keep all their digits, so that a decision can be made again from its entry, bit by bit. Every kind:

``report``    source, snapshot, [[agent, state, age of the state in ms, announced leave in ms (if that is new)]...],
              [[queue, offered, answered, in target, abandoned, short abandoned, waiting, AHT in ms]...]: an applied
              report; queues that have not changed are left out
``window``    call queue, group, start ms, end ms, [[start ms, length ms, calls, staff]...]: its service-level window
              and forecast, when they change
``submit``    task, work type, priority, due ms, expected ms, interruptible
``event``     arrow, task, work type, agent, reason: one step of a task's life
``policy``    group, version, document: before the first decision under it, and again every CONTEXT_MS
``forecast``  name, [[start ms, end ms, calls, staff]...]: what snapshots refer to by this name; repeated alike
``decision``  group, version, term, number, snapshot, memory before, decision
``recalls``   group, version, term, number of the decision in force, snapshot, candidates, sent in the last second, plan
``pushes``    group, version, term, number of the decision in force, offers made, room, idle agents, agents on tasks
``shadow``    group, version, term, number, decision (or the text of an error): of a policy that decides beside
``beside``    group, version, term, number, recalls of the plan in force, [agent...] that the shadow would have recalled
``lost``      entries that were dropped because the store did not take them
"""

from __future__ import annotations

import json
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from router.domain.model import AgentReport
from router.domain.ports import NewTask, Store
from router.domain.telephony import CallQueueReport, ReportBatch
from router.policies.blending import (
    Candidate,
    ForecastInterval,
    GateDecision,
    Memory,
    PolicyDocument,
    RecallPlan,
    Snapshot,
)

CONTEXT_MS = 900_000
"""Policies and forecasts are written again so often, so that what is kept can be read without what has gone."""
_FORMAT = b"\x01"
_CHUNKS = 500
"""Chunks read at once."""
_DICTIONARY = (
    b'{"start_ms":,"end_ms":,"calls":,"staff":,"agent_id":"","task_id":"","started_ms":,"interruptible":true,'
    b'"expected_remaining_s":,"accepted":true,"last_checkpoint_ms":null,"recalls_last_hour":0,"missing":0,'
    b'"next_check_ms":null,"action":"RECALL","reason":"CALL_WAITING"["event",,"submit","offer","accept","complete",'
    b'"checkpoint","recall","release","rescind","claims","CALL_WAITING"],["pushes",,"beside",,"submit",,"shadow",,'
    b'"window",["forecast",["policy",["decision",0,"front",1,1,{"now_ms":17,"idle":,"on_call":,"logged_in":,"on_tasks":,'
    b'"window_end_ms":17,"waiting_ages_s":[],"answered":,"answered_in_target":,"abandoned":,"short_abandoned":0,'
    b'"arrivals":,"forecast":"","aht_s":2,"task_s":,"recall_reaction_s":,"work_lost_s":,"feed_age_s":0.,"returning":0,'
    b'"last_recall_ms":17},{"nowcast":{"at_ms":17,"arrivals":,"observed":,"forecast":,"calls":,"seconds":},"handling":'
    b'{"at_ms":17,"on_call":,"answered":,"busy_s":,"ended":},"law":"service_level_to_go","own":{}},{"open":true,'
    b'"allowance":,"reserve":,"reserve_firm":,"armed":true,"required_service_level":0.,"rate_per_s":0.,"recall_age_s":8.,'
    b'"recall_all":false,"tasks_ahead":,"explanation":{"law":"service_level_to_go","reason":"open","agents_logged_in":,'
    b'"agents_idle":,"agents_on_call":,"agents_on_tasks":,"calls_waiting":0.0,"calls_to_go":,"calls_per_hour":,'
    b'"load_erlangs":,"nowcast_ratio":1.,"required_service_level":0.,"aht_s":2,"task_s":2,"recall_reaction_s":9.,'
    b'"work_lost_s":2,"service_level_so_far":0.,"reserve_without_recall":,"reserve_interruptible":,"reserve_firm":,'
    b'"hysteresis_agents":0.0,"target_reachable_without_recall":"yes","recall":"armed","idle_without_recall":,'
    b'"cost_with_recall":,"every agent is needed for calls","recall":"not armed"}}],["report",0,"acd",0,[["agent",'
    b'"AVAILABLE",0],["","RESERVED",0],["","AFTER_CALL",0],["","RINGING",0],["","ON_CALL",0]],[["calls",'
)
"""What chunks have in common, known to both sides; a change of it is a new _FORMAT."""

Entry = list[Any]
Note = tuple[str, int, tuple[Any, ...]]
"""What a recorder was told: the kind, when (ms), and the values as they were."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One entry of a recording: who wrote it, what it is, when it was (ms), and its fields."""

    worker: str
    kind: str
    at_ms: int
    fields: Sequence[Any]


def pack(worker: str, entries: Sequence[Entry]) -> bytes:
    """A chunk of entries whose second field is their time in ms."""
    base_ms = int(entries[0][1])
    timed = [[kind, at_ms - base_ms, *fields] for kind, at_ms, *fields in entries]
    text = json.dumps({"w": worker, "t": base_ms, "e": timed}, separators=(",", ":"), ensure_ascii=False)
    squeezer = zlib.compressobj(6, zdict=_DICTIONARY)
    return _FORMAT + squeezer.compress(text.encode()) + squeezer.flush()


def unpack(chunk: bytes) -> list[Recorded]:
    """The entries of a chunk. Raises ValueError for one of another format."""
    if chunk[:1] != _FORMAT:
        raise ValueError(f"a chunk of format {chunk[:1].hex()} was recorded by another version of the router")
    try:
        read = json.loads(zlib.decompressobj(zdict=_DICTIONARY).decompress(chunk[1:]))
    except (zlib.error, ValueError) as error:
        raise ValueError(f"a chunk of the recording is damaged: {error}") from error
    worker, base_ms = read["w"], read["t"]
    return [Recorded(worker, kind, base_ms + after, fields) for kind, after, *fields in read["e"]]


async def read_recording(store: Store, site: str, since_ms: int = 0) -> AsyncIterator[Recorded]:
    """The entries kept of a site, in the order in which they were written, from the chunks since ``since_ms``."""
    after = f"{since_ms - 1}-0" if since_ms > 0 else ""
    while chunks := await store.recording(site, after, _CHUNKS):
        for chunk in chunks:
            for entry in unpack(chunk.body):
                yield entry
        after = chunks[-1].id


class Encoder:
    """Turns a site's notes into entries. Remembers what it has written, so that it is not written again and again."""

    def __init__(self) -> None:
        self._leaves: dict[str, int] = {}
        self._queues: dict[str, tuple[Any, ...]] = {}
        self._windows: dict[str, tuple[Any, ...]] = {}
        self._written: dict[tuple[Any, ...], int] = {}

    def entries(self, notes: Iterable[Note]) -> list[Entry]:
        """Entries with their times in ms."""
        return [entry for kind, at_ms, values in notes for entry in getattr(self, f"_{kind}")(at_ms, *values)]

    # -- what was seen ---------------------------------------------------------------------------------
    def _report(self, at_ms: int, batch: ReportBatch) -> Iterator[Entry]:
        queues = [row for queue in batch.queues if (row := self._queue_row(queue))]
        for queue in batch.queues:
            yield from self._window(at_ms, queue)
        if batch.agents or queues or batch.snapshot:
            agents = [self._agent_row(at_ms, report) for report in batch.agents]
            yield ["report", at_ms, batch.source, int(batch.snapshot), agents, queues]

    def _agent_row(self, at_ms: int, report: AgentReport) -> Entry:
        age_ms = max(0, at_ms - report.since_ms) if report.since_ms else 0
        row = [report.agent, report.state.value, age_ms]
        if self._leaves.get(report.agent, 0) != report.leave_ms:
            self._leaves[report.agent] = report.leave_ms
            row.append(report.leave_ms)
        return row

    def _queue_row(self, queue: CallQueueReport) -> Entry | None:
        counted = (queue.offered, queue.answered, queue.answered_in_target, queue.abandoned)
        row = (*counted, queue.short_abandoned, queue.calls_waiting, queue.aht_ms)
        if self._queues.get(queue.id) == row:
            return None
        self._queues[queue.id] = row
        return [queue.id, *row]

    def _window(self, at_ms: int, queue: CallQueueReport) -> Iterator[Entry]:
        window = (queue.group, queue.window_start_ms, queue.window_end_ms, queue.forecast)
        if self._is_due("window", queue.id, at_ms=at_ms, changed=self._windows.get(queue.id) != window):
            self._windows[queue.id] = window
            steps = [[s.start_ms, s.length_ms, s.calls, s.staff] for s in queue.forecast]
            yield ["window", at_ms, queue.id, *window[:3], steps]

    def _submit(self, at_ms: int, new: NewTask) -> Iterator[Entry]:
        spec = new.spec
        expected_ms, interruptible = spec.expected_handling_ms or 0, int(bool(spec.interruptible))
        yield [
            "submit",
            at_ms,
            new.id,
            spec.work_type,
            spec.priority,
            spec.due_ms or 0,
            expected_ms,
            interruptible,
        ]

    def _event(self, at_ms: int, *values: Any) -> Iterator[Entry]:
        yield ["event", at_ms, *values]

    def _lost(self, at_ms: int, number: int) -> Iterator[Entry]:
        yield ["lost", at_ms, number]

    # -- what was decided ------------------------------------------------------------------------------
    def _policy(self, at_ms: int, group: str, version: int, document: PolicyDocument) -> Iterator[Entry]:
        if self._is_due("policy", group, version, document, at_ms=at_ms):
            yield ["policy", at_ms, group, version, document.to_mapping()]

    def _decision(
        self, at_ms: int, key: tuple[Any, ...], snapshot: Snapshot, memory: Memory, decision: GateDecision
    ) -> Iterator[Entry]:
        yield from self._forecast(at_ms, snapshot.forecast)
        yield ["decision", at_ms, *key, _short(snapshot), memory.to_mapping(), decision.to_mapping()]

    def _recalls(
        self,
        at_ms: int,
        key: tuple[Any, ...],
        snapshot: Snapshot,
        candidates: Sequence[Candidate],
        sent: int,
        plan: RecallPlan,
    ) -> Iterator[Entry]:
        yield from self._forecast(at_ms, snapshot.forecast)
        rows = [candidate.to_mapping() for candidate in candidates]
        yield ["recalls", at_ms, *key, _short(snapshot), rows, sent, plan.to_mapping()]

    def _pushes(self, at_ms: int, key: tuple[Any, ...], *figures: int) -> Iterator[Entry]:
        yield ["pushes", at_ms, *key, *figures]

    def _shadow(self, at_ms: int, key: tuple[Any, ...], decided: GateDecision | str) -> Iterator[Entry]:
        yield ["shadow", at_ms, *key, decided if isinstance(decided, str) else decided.to_mapping()]

    def _beside(
        self, at_ms: int, key: tuple[Any, ...], active: int, agents: Sequence[str]
    ) -> Iterator[Entry]:
        yield ["beside", at_ms, *key, active, list(agents)]

    # -- what many entries refer to --------------------------------------------------------------------
    def _forecast(self, at_ms: int, forecast: tuple[ForecastInterval, ...]) -> Iterator[Entry]:
        if forecast and self._is_due("forecast", forecast, at_ms=at_ms):
            rows = [[step.start_ms, step.end_ms, step.calls, step.staff] for step in forecast]
            yield ["forecast", at_ms, _name(forecast), rows]

    def _is_due(self, *what: Any, at_ms: int, changed: bool = False) -> bool:
        """Whether this is to be written (again); what is due no more is forgotten."""
        if not changed and at_ms - self._written.get(what, -CONTEXT_MS) < CONTEXT_MS:
            return False
        self._written = {key: at for key, at in self._written.items() if at_ms - at < CONTEXT_MS}
        self._written[what] = at_ms
        return True


class Context:
    """What a reader must remember of a recording: policies and forecasts that later entries refer to."""

    def __init__(self) -> None:
        self._documents: dict[tuple[str, int], PolicyDocument] = {}
        self._forecasts: dict[str, tuple[ForecastInterval, ...]] = {"": ()}

    def read(self, entry: Recorded) -> None:
        """Take note of an entry."""
        if entry.kind == "policy":
            group, version, values = entry.fields
            self._documents[group, version] = PolicyDocument.from_mapping(values)
        elif entry.kind == "forecast":
            name, rows = entry.fields
            self._forecasts[name] = tuple(ForecastInterval(*row) for row in rows)

    def document(self, group: str, version: int) -> PolicyDocument | None:
        """The policy as it was recorded; None if that part of the recording has gone."""
        return self._documents.get((group, version))

    def snapshot(self, values: Mapping[str, Any]) -> Snapshot | None:
        """A snapshot with its forecast; None if that part of the recording has gone."""
        forecast = self._forecasts.get(values["forecast"])
        if forecast is None:
            return None
        return Snapshot.from_mapping({**values, "forecast": [step.to_mapping() for step in forecast]})


def _short(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot with the name of its forecast instead of the forecast."""
    return {**replace(snapshot, forecast=()).to_mapping(), "forecast": _name(snapshot.forecast)}


@lru_cache(maxsize=64)
def _name(forecast: tuple[ForecastInterval, ...]) -> str:
    """A name made of the content: any worker gives the same forecast the same one."""
    return blake2b(repr(forecast).encode(), digest_size=6).hexdigest() if forecast else ""
