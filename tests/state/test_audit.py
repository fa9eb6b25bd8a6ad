"""The audit: silent on a sound site, and one clear line for each way to break an invariant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from router.domain.model import AgentReport, AgentState, ClaimMode
from router.state.audit import CHECKS, audit, audit_step
from router.state.memory import MemoryStore
from tests.support.builders import GROUP, MINUTE, SECOND, SOURCE, T0, gate, new_task, profile
from tests.support.stores import FixedClock

SITE = "main"
Dump = dict[str, Any]


async def busy_site() -> MemoryStore:
    """Tasks in many states: offered, active, parked, completed, queued, front and scheduled; two agents."""
    store = MemoryStore(FixedClock())
    for name, group in (("ann", GROUP), ("bob", "")):
        await store.put_profile(SITE, profile(name, blending_group=group, capacity=2), 0, T0)
        await store.connect(SITE, name, "w1", f"session-{name}", True, T0)
    await _open_gate(store)
    await store.submit(SITE, [new_task(f"t{n}", origin_ms=T0 + n, reference=f"r{n}") for n in range(6)], T0)
    await store.submit(SITE, [new_task("later", schedule_ms=T0 + MINUTE, request_id="q1")], T0)
    await store.claim(SITE, "ann", ClaimMode.OFFER, task="t0", now_ms=T0)
    await _lease(store, "t1")
    await store.park(SITE, "t1", "bob", await _fence(store, "t1"), T0 + MINUTE, T0)
    await _lease(store, "t2")
    await store.complete(SITE, "t2", "bob", await _fence(store, "t2"), b"done", "ok", T0)
    await _lease(store, "t3")
    await store.checkpoint(SITE, "t3", "bob", await _fence(store, "t3"), b"half", T0)
    await store.force(SITE, "t3", await _fence(store, "t3"), "test", "test", T0)
    await _lease(store, "t4")
    return store


async def _open_gate(store: MemoryStore) -> None:
    reports = [AgentReport("ann", AgentState.AVAILABLE)]
    await store.report(SITE, SOURCE, "1", 1, reports, snapshot=True, now_ms=T0)
    term = await store.lead(SITE, GROUP, "w1", MINUTE, T0)
    await store.set_gate(SITE, gate(term=term), T0)


async def _lease(store: MemoryStore, task: str) -> None:
    claim = await store.claim(SITE, "bob", ClaimMode.LEASE, task=task, now_ms=T0)
    assert claim.task is not None


async def _fence(store: MemoryStore, task: str) -> int:
    return (await store.task(SITE, task)).fence


async def test_a_sound_site_has_no_violations() -> None:
    store = await busy_site()
    found = await store.audit(SITE, T0)
    assert found.violations == ()
    assert (found.tasks, found.agents) == (7, 2)


async def test_an_empty_site_is_sound() -> None:
    assert audit({}, T0).violations == ()


def put(*path: Any) -> Callable[[Dump], None]:
    """Set the value at the end of ``path`` to the last item."""

    def spoil(dump: Dump) -> None:
        *way, name, value = path
        for step in way:
            dump = dump[step]
        dump[name] = value

    return spoil


def drop(*path: Any) -> Callable[[Dump], None]:
    """Take away what ``path`` leads to."""

    def spoil(dump: Dump) -> None:
        *way, name = path
        for step in way:
            dump = dump[step]
        del dump[name]

    return spoil


def lose(key: str, word: str) -> Callable[[Dump], None]:
    """Take the members that contain ``word`` out of an index."""

    def spoil(dump: Dump) -> None:
        dump[key] = [member for member in dump[key] if word not in member]

    return spoil


def gain(key: str, member: Any) -> Callable[[Dump], None]:
    """Put a member into an index."""

    def spoil(dump: Dump) -> None:
        dump[key] = sorted([*dump[key], member])

    return spoil


FAULTS: list[tuple[int, str, Callable[[Dump], None]]] = [
    (1, "a queued task stands in no queue", lose("queue", "|t5")),
    (1, "an agent does not know its task", put("agents", "bob", "on", "")),
    (1, "a task is with two agents", put("agents", "ann", "on", "t0 t4")),
    (1, "an agent holds a task that is not there", put("agents", "ann", "on", "t0 ghost")),
    (1, "a parked task is nobody's", drop("agents", "bob", "pk")),
    (1, "an ended task is not in the index", lose("ended", "t2")),
    (2, "a lease without a deadline", drop("tasks", "t4", "dl")),
    (2, "a queued task with a holder", put("tasks", "t5", "ag", "ann")),
    (2, "a held task that names a queue", put("tasks", "t4", "q", "q1")),
    (2, "an active task that is hidden", put("tasks", "t4", "hid", 1)),
    (3, "a fence above the counter", put("meta", "fence", 1)),
    (3, "two tasks under one fence", put("tasks", "t0", "f", 2)),
    (3, "a lease without a fence", drop("tasks", "t4", "f")),
    (3, "a fence that fell", put("history", "t4", 0, 7, 9)),
    (4, "more tasks than the capacity", put("agents", "bob", "cap", 0)),
    (5, "an offer to an agent on a call", put("agents", "ann", "st", "ON_CALL")),
    (6, "tasks without a gate", drop("gates", GROUP)),
    (7, "a missing head", put("heads", [])),
    (7, "the head of a queue that is empty", gain("heads", "*|front|4505299627370496|q9")),
    (7, "a place in line that is not the origin's", put("tasks", "t5", "o", 1)),
    (8, "an idle agent who is not idle", gain("idle", "-|4505299627370496|eve")),
    (8, "an idle agent who is overlooked", put("agents", "bob", "rd", 0)),
    (8, "a busy agent who is overlooked", put("busy", [])),
    (9, "a wrong count of tasks", put("counts", "claims|QUEUED", 17)),
    (9, "a wrong count of agents", put("groups", GROUP, "ont", 3)),
    (9, "a queue counted too often", put("groups", "red", {"idle": 1})),
    (10, "a scheduled task that is never due", lose("due", "later")),
    (10, "a task that falls due unseen", gain("due", ["t2", T0])),
    (10, "a waiting task that outlives its expiry", put("tasks", "t5", "xp", T0 + SECOND)),
    (11, "a task changed after its end", put("tasks", "t2", "ch", T0 + SECOND)),
    (11, "a live task with an end", put("tasks", "t4", "ee", T0)),
    (12, "an agent seen by a report yet to come", put("agents", "ann", "sn", "1:9")),
    (12, "a report without a feed", put("feeds", {})),
    (13, "an unknown key", put("surprise", {"x": 1})),
    (13, "a spec without a task", put("specs", "ghost", "")),
    (13, "a task without a spec", drop("specs", "t5")),
    (13, "a checkpoint without a task", put("checkpoints", "ghost", [1, 2, ""])),
    (13, "a reference to nothing", put("refs", "crm|x", "ghost")),
    (13, "a request of nobody's", put("requests", "crm|x", "t4")),
    (13, "a reference to another task", put("refs", "crm|r0", "t4")),
    (13, "a command for nobody", put("commands", {"ghost": {"id": "c1"}})),
    (13, "a queue that nobody counts", put("queues", "ghost", {"iv": 1})),
]


@pytest.mark.parametrize(("number", "spoil"), [pytest.param(n, f, id=text) for n, text, f in FAULTS])
async def test_each_fault_is_named(number: int, spoil: Callable[[Dump], None]) -> None:
    dump = (await busy_site()).dump(SITE)
    spoil(dump)
    lines = audit(dump, T0).violations
    assert any(line.startswith(f"invariant {number}: ") for line in lines), lines


def test_every_invariant_has_a_fault() -> None:
    assert {number for number, _, _ in FAULTS} == set(CHECKS) == set(range(1, 14))


STEP_FAULTS: list[tuple[int, str, Callable[[Dump], None]]] = [
    (3, "a fence fell", put("tasks", "t0", "f", 0)),
    (6, "more agents than the allowance", put("agents", "bob", "gr", GROUP)),
    (11, "a completed task changed", put("tasks", "t2", "p", 99)),
    (12, "a feed fell back", put("feeds", SOURCE, "sq", 0)),
]


@pytest.mark.parametrize(("number", "spoil"), [pytest.param(n, f, id=text) for n, text, f in STEP_FAULTS])
async def test_each_wrong_step_is_named(number: int, spoil: Callable[[Dump], None]) -> None:
    store = await busy_site()
    before, after = store.dump(SITE), store.dump(SITE)
    assert audit_step(before, after) == []
    after["gates"][GROUP]["al"] = 1
    spoil(after)
    lines = audit_step(before, after)
    assert [line.split(":")[0] for line in lines] == [f"invariant {number}"]
