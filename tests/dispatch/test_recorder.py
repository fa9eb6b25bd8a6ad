"""The recorder: cheap to tell, bounded, and never in anybody's way."""

from __future__ import annotations

import random

import pytest

from router.dispatch.recorder import FOLLOWER, OFF, Recorder
from router.dispatch.recording import CONTEXT_MS, Context, Encoder, Recorded, pack, read_recording, unpack
from router.domain.errors import StoreUnavailable
from router.domain.model import AgentReport, AgentState
from router.domain.telephony import CallQueueReport, ForecastInterval, ReportBatch
from router.policies.blending import ForecastInterval as Interval
from router.policies.blending import PolicyDocument, Snapshot
from router.state.memory import MemoryStore
from tests.support.builders import HOUR, T0, new_task
from tests.support.stores import FixedClock

SITE = "default"


class Failing(MemoryStore):
    """A store that takes no recording for a while."""

    down = True

    async def record(self, *args: object, **more: object) -> str:
        if self.down:
            raise StoreUnavailable("the store does not answer")
        return await super().record(*args, **more)  # type: ignore[arg-type]


def recorder_on(store: MemoryStore, worker: str = "w1", keep_ms: int = HOUR) -> Recorder:
    return Recorder(store, FixedClock(), worker, keep_ms)


async def read(store: MemoryStore) -> list[Recorded]:
    return [entry async for entry in read_recording(store, SITE)]


def report(*agents: AgentReport, offered: int = 1, **more: object) -> ReportBatch:
    queue = CallQueueReport("main", "blue", offered=offered, **more)  # type: ignore[arg-type]
    return ReportBatch("acd", "1", 1, False, agents, [queue])


async def test_what_is_noted_is_in_the_recording_after_the_flush() -> None:
    store = MemoryStore(FixedClock())
    recorder = recorder_on(store)
    recorder.note(SITE, "submit", T0, new_task("t1"))
    assert await read(store) == []
    await recorder.flush(SITE)
    (entry,) = await read(store)
    assert (entry.worker, entry.kind, entry.at_ms, entry.fields[0]) == ("w1", "submit", T0, "t1")
    await recorder.flush(SITE)
    assert len(await store.recording(SITE, "", 10)) == 1


async def test_a_recorder_that_is_off_keeps_nothing() -> None:
    store = MemoryStore(FixedClock())
    for recorder in (OFF, recorder_on(store, keep_ms=0)):
        recorder.note(SITE, "submit", T0, new_task("t1"))
        await recorder.flush(SITE)
        assert not recorder.on
    assert await read(store) == []
    assert await store.sites() == []


async def test_a_failing_store_costs_nothing_but_a_wait() -> None:
    store = Failing(FixedClock())
    recorder = recorder_on(store)
    recorder.note(SITE, "submit", T0, new_task("t1"))
    await recorder.flush(SITE)
    recorder.note(SITE, "submit", T0 + 1000, new_task("t2"))
    await recorder.flush(SITE)
    store.down = False
    await recorder.flush(SITE)
    assert [entry.fields[0] for entry in await read(store)] == ["t1", "t2"]


async def test_what_waits_too_long_is_dropped_and_said() -> None:
    store = Failing(FixedClock())
    recorder = recorder_on(store)
    for second in range(40):
        recorder.note(SITE, "submit", T0 + second, new_task(f"t{second}"))
        await recorder.flush(SITE)
    store.down = False
    await recorder.flush(SITE)
    await recorder.flush(SITE)
    entries = await read(store)
    assert [entry.fields for entry in entries if entry.kind == "lost"] == [[10]]
    assert next(entry.fields[0] for entry in entries if entry.kind == "submit") == "t10"


async def test_notes_of_one_second_are_bounded() -> None:
    store = MemoryStore(FixedClock())
    recorder = recorder_on(store)
    for number in range(20_005):
        recorder.note(SITE, "event", T0 + number, "offer", "t1", "claims", "ann", "")
    await recorder.flush(SITE)
    await recorder.flush(SITE)
    entries = await read(store)
    assert sum(entry.kind == "event" for entry in entries) == 20_000
    assert [entry.fields for entry in entries if entry.kind == "lost"] == [[5]]
    assert len(await store.recording(SITE, "", 100)) == 11


async def test_one_process_follows_the_events() -> None:
    store = MemoryStore(FixedClock())
    first, second = recorder_on(store, "w1"), recorder_on(store, "w2")
    for recorder in (first, second):
        await recorder.flush(SITE)
    await store.submit(SITE, [new_task("t1")])
    for recorder in (first, second):
        await recorder.flush(SITE)
    assert [(e.worker, e.kind, e.fields[:2]) for e in await read(store)] == [
        ("w1", "event", ["submit", "t1"])
    ]
    assert await store.lead(SITE, FOLLOWER, "w2", HOUR) == 0


# -- what is written ---------------------------------------------------------------------------------------
def entries_of(*batches: tuple[int, ReportBatch]) -> list[list[object]]:
    return Encoder().entries([("report", at_ms, (batch,)) for at_ms, batch in batches])


def test_a_report_without_news_is_not_written() -> None:
    ann = AgentReport("ann", AgentState.AVAILABLE, since_ms=T0 - 300)
    written = entries_of((T0, report(ann)), (T0 + 1000, report()), (T0 + 2000, report(offered=2)))
    assert [entry[0] for entry in written] == ["window", "report", "report"]
    assert written[1][4] == [["ann", "AVAILABLE", 300]]
    assert written[2][4:] == [[], [["main", 2, 0, 0, 0, 0, 0, 0]]]


def test_an_announced_leave_is_written_when_it_is_new() -> None:
    ann = [AgentReport("ann", AgentState.AVAILABLE, leave_ms=leave) for leave in (T0 + 9, T0 + 9, T0 + 10)]
    written = entries_of(*((T0 + i, report(one)) for i, one in enumerate(ann)))
    rows = [entry[4][0] for entry in written if entry[0] == "report"]
    assert [row[3:] for row in rows] == [[T0 + 9], [], [T0 + 10]]


def test_a_forecast_is_written_when_it_changes_and_again_after_a_while() -> None:
    forecast = (ForecastInterval(T0, HOUR, 120.5, 9.0),)
    same, other = report(forecast=forecast), report(forecast=())
    written = entries_of((T0, same), (T0 + 1, same), (T0 + 2, other), (T0 + CONTEXT_MS + 2, other))
    windows = [entry for entry in written if entry[0] == "window"]
    assert [entry[1] for entry in windows] == [T0, T0 + 2, T0 + CONTEXT_MS + 2]
    assert windows[0][-1] == [[T0, HOUR, 120.5, 9.0]]


def test_snapshots_come_back_exactly_with_the_forecast_that_they_name() -> None:
    draw = random.Random(5)
    snapshot = Snapshot(
        T0, 3, 4, 7, 0, T0 + HOUR, aht_s=draw.random() * 300, forecast=(Interval(T0, T0 + 9, 1 / 3),)
    )
    policy = PolicyDocument(target_s=30.0)
    from router.policies.blending import GateDecision, Memory

    decision = GateDecision(
        True, 1, 2, 3, True, 1 / 7, draw.random(), explanation={"reason": "offen für Aufgaben"}
    )
    notes = [
        ("policy", T0, ("blue", 3, policy)),
        ("decision", T0, (("blue", 3, 1, 1), snapshot, Memory(), decision)),
    ]
    context = Context()
    for entry in unpack(pack("w1", Encoder().entries(notes))):
        context.read(entry)
    assert context.document("blue", 3) == policy
    assert entry.kind == "decision"
    assert context.snapshot(entry.fields[4]) == snapshot
    assert Memory.from_mapping(entry.fields[5]) == Memory()
    assert GateDecision.from_mapping(entry.fields[6]) == decision


def test_a_snapshot_whose_forecast_is_not_kept_cannot_be_read() -> None:
    assert Context().snapshot({"forecast": "0f0f"}) is None
    assert Context().document("blue", 1) is None


@pytest.mark.parametrize("count", [1, 500])
def test_a_chunk_is_compact(count: int) -> None:
    ann = [
        AgentReport(f"agent-{i % 40:02d}", list(AgentState)[i % 6], since_ms=T0 + i * 900 - 7)
        for i in range(count)
    ]
    entries = entries_of(*((T0 + i * 900, report(one, offered=i)) for i, one in enumerate(ann)))
    assert len(pack("worker-1", entries)) / count < (200 if count == 1 else 40)
