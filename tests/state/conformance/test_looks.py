"""Reading: pages, queues, places in line, backlog, history, events, documents."""

from __future__ import annotations

import asyncio

import pytest

from router.domain.errors import AlreadyExists, EtagMismatch, NotFound, WrongState
from router.domain.lifecycle import TRANSITIONS
from router.domain.model import TaskState
from router.domain.ports import Event
from tests.support.builders import FLAT, HOUR, MINUTE, T0, new_task, plan, queue_spec
from tests.support.stage import Stage
from tests.support.stores import fresh_site


async def listed(stage: Stage, *states: TaskState, limit: int = 3) -> list[str]:
    """All pages of the tasks in these states."""
    seen, cursor = [], ""
    for _ in range(100):
        page = await stage.store.tasks(stage.site, frozenset(states), cursor, limit)
        assert len(page.tasks) <= limit
        seen += [task.id for task in page.tasks]
        cursor = page.cursor
        if not cursor:
            return seen
    raise AssertionError("pages without end")


async def test_waiting_tasks_are_listed_by_place_in_line(stage: Stage) -> None:
    for n in (5, 2, 7, 1, 3, 4, 6):
        await stage.add(f"t{n}", origin_ms=T0 + n)
    assert await listed(stage, TaskState.QUEUED) == [f"t{n}" for n in range(1, 8)]


async def test_tasks_are_listed_by_state(stage: Stage) -> None:
    await stage.agent("ann", capacity=5)
    for n in range(1, 7):
        await stage.add(f"t{n}", lease_ms=n * MINUTE)
    await stage.complete(await stage.pull(task="t1"))
    await stage.pull(task="t3")
    await stage.pull(task="t2")
    await stage.offer(task="t4")
    await stage.cancel("t5")
    await stage.add("t7", schedule_ms=T0 + HOUR)
    assert await listed(stage, TaskState.COMPLETED) == ["t1"]
    assert await listed(stage, TaskState.ACTIVE) == ["t2", "t3"]
    assert await listed(stage, TaskState.OFFERED) == ["t4"]
    assert await listed(stage, TaskState.SCHEDULED) == ["t7"]
    assert set(await listed(stage, TaskState.CANCELED, TaskState.QUEUED)) == {"t5", "t6"}
    assert sorted(await listed(stage, *TaskState, limit=2)) == [f"t{n}" for n in range(1, 8)]


async def test_no_page_of_nothing(stage: Stage) -> None:
    assert await listed(stage, *TaskState) == []


async def test_a_place_in_line(stage: Stage) -> None:
    for n in range(4):
        await stage.add(f"t{n}", origin_ms=T0 + n)
    await stage.add("elsewhere", curve=FLAT, origin_ms=T0 - 1)
    position = stage.store.position
    assert [await position(stage.site, f"t{n}") for n in range(4)] == [0, 1, 2, 3]
    assert await position(stage.site, "elsewhere") == 0
    await stage.cancel("t0")
    assert await position(stage.site, "t3") == 2
    with pytest.raises(WrongState):
        await position(stage.site, "t0")
    with pytest.raises(NotFound):
        await position(stage.site, "t9")


async def test_queues_show_their_depth_and_head(stage: Stage) -> None:
    await stage.agent()
    for n in range(3):
        await stage.add(f"t{n}", origin_ms=T0 - n)
        stage.later(1)
    flat = queue_spec(curve=FLAT)
    await stage.submit(new_task("f", route=plan(T0, flat)))
    await stage.store.pause(stage.site, f"q:{flat.id}", True, "fire", "sue", now_ms=stage.now)
    figures, cursor = await stage.store.queues(stage.site, "", 100)
    assert cursor == ""
    by_id = {queue.id: queue for queue in figures}
    assert by_id.keys() == {queue_spec().id, flat.id}
    claims = by_id[queue_spec().id]
    assert (claims.depth, claims.head, claims.head_create_ms) == (3, "t2", T0 + 2)
    assert claims.spec == queue_spec()
    assert (claims.front, claims.paused) == (False, False)
    assert by_id[flat.id].paused


async def test_queues_come_in_pages(stage: Stage) -> None:
    await stage.submit(*(new_task(f"t{n}", work_type=f"w{n}") for n in range(7)))
    seen, cursor = [], ""
    for _ in range(10):
        page, cursor = await stage.store.queues(stage.site, cursor, 3)
        seen += [queue.id for queue in page]
        if not cursor:
            break
    assert sorted(seen) == sorted(queue_spec(f"w{n}").id for n in range(7))


async def test_the_front_shows_as_a_queue_of_its_own(stage: Stage) -> None:
    await stage.agent()
    await stage.add()
    await stage.decline(await stage.offer())
    [figures], _ = await stage.store.queues(stage.site, "", 100)
    assert (figures.front, figures.depth, figures.head) == (True, 1, "t1")


async def test_empty_queues_leave_nothing_behind(stage: Stage) -> None:
    await stage.add()
    await stage.cancel()
    assert await stage.store.queues(stage.site, "", 100) == ([], "")
    content = await stage.dump()
    assert not {"queues", "qrefs", "heads", "queue"} & content.keys()


async def test_pauses_are_listed_with_their_reasons(stage: Stage) -> None:
    pause = stage.store.pause
    await pause(stage.site, "wt:claims", True, "fire", "sue", now_ms=stage.now)
    await pause(stage.site, "q:abc", True, "", "sue", now_ms=stage.now)
    assert await stage.store.paused(stage.site) == {"wt:claims": "fire", "q:abc": ""}
    for target in ("wt:claims", "q:abc", "q:never"):
        await pause(stage.site, target, False, "", "sue", now_ms=stage.now)
    assert await stage.store.paused(stage.site) == {}


async def test_the_backlog_is_counted(stage: Stage) -> None:
    await stage.agent("ann", capacity=9)
    await stage.add("t1", priority=10)
    await stage.add("t2", priority=10)
    await stage.add("t3", priority=90)
    await stage.add("t4", priority=90, work_type="refunds")
    await stage.complete(await stage.pull(task="t1"))
    await stage.offer(task="t3")
    backlog = await stage.store.backlog(stage.site)
    assert {key: n for key, n in backlog.by_work_type.items() if n} == {
        ("claims", TaskState.COMPLETED): 1,
        ("claims", TaskState.QUEUED): 1,
        ("claims", TaskState.OFFERED): 1,
        ("refunds", TaskState.QUEUED): 1,
    }
    assert {key: n for key, n in backlog.by_priority.items() if n} == {10: 1, 90: 1}
    totals = backlog.totals
    assert (totals["submitted"], totals["pulled"], totals["offered"], totals["completed"]) == (4, 1, 1, 1)


async def test_history_tells_who_when_and_why(stage: Stage) -> None:
    await stage.agent()
    await stage.add()
    stage.later(MINUTE)
    task = await stage.offer(actor="router")
    await stage.decline(task)
    history = await stage.store.history(stage.site, "t1")
    assert [(step.name, step.source, step.target) for step in history] == [
        ("submit", "", "QUEUED"),
        ("offer", "QUEUED", "OFFERED"),
        ("decline", "OFFERED", "QUEUED"),
    ]
    last = history[-1]
    assert (last.at_ms, last.agent, last.fence, last.reason) == (stage.now, "ann", task.fence, "no")
    assert history[1].actor == "router"
    with pytest.raises(NotFound):
        await stage.store.history(stage.site, "t9")


async def test_the_latest_steps_of_a_long_history_are_kept(stage: Stage) -> None:
    await stage.agent()
    await stage.add(decline_exclusion_ms=0)
    for _ in range(25):
        await stage.decline(await stage.offer())
    history = await stage.store.history(stage.site, "t1")
    assert len(history) == 32
    assert [step.name for step in history[-2:]] == ["offer", "decline"]
    assert history[-1].source == history[-2].target


async def read_events(stage: Stage, after: str = "", limit: int = 100) -> list[Event]:
    return await stage.store.events(stage.site, after, limit)


async def test_events_come_in_the_order_of_commits(stage: Stage) -> None:
    assert await stage.store.last_event(stage.site) == "0-0"
    await stage.agent()
    await stage.add("t1")
    await stage.add("t2")
    await stage.complete(await stage.pull(task="t2"))
    events = await read_events(stage)
    assert [(event.task, event.transition.name) for event in events] == [
        ("t1", "submit"),
        ("t2", "submit"),
        ("t2", "pull"),
        ("t2", "complete"),
    ]
    assert {event.work_type for event in events} == {"claims"}
    assert {event.submitter for event in events} == {"crm"}
    assert await stage.store.last_event(stage.site) == events[-1].id
    first = await read_events(stage, limit=1)
    assert first == events[:1]
    assert await read_events(stage, events[1].id) == events[2:]
    assert await read_events(stage, events[-1].id) == []


async def test_every_event_is_an_arrow_of_the_lifecycle(stage: Stage) -> None:
    await stage.agent("ann", auto_accept=True)
    await stage.add("t1", schedule_ms=T0 + MINUTE, max_attempts=1, lease_ms=MINUTE)
    stage.later(MINUTE)
    await stage.sweep()
    await stage.recalled(await stage.offer())
    await stage.release(await stage.task())
    await stage.park(await stage.pull(), MINUTE)
    stage.later(MINUTE)
    await stage.sweep()
    await stage.pull()
    stage.later(MINUTE)
    await stage.sweep()
    await stage.store.revive(stage.site, "t1", "sue", now_ms=stage.now)
    await stage.cancel()
    state = ""
    for event in await read_events(stage):
        step = event.transition
        assert step.source == state
        if step.name != "submit":
            sources, targets = TRANSITIONS[step.name]
            assert step.source in sources
            assert step.target in targets
        state = step.target
    assert state == TaskState.CANCELED


# -- documents ---------------------------------------------------------------------------------------------
async def test_documents_have_etags(stage: Stage) -> None:
    put, site = stage.store.put_document, stage.site
    first = await put(site, "work_type", "claims", "{}", 0, now_ms=stage.now)
    assert await stage.store.document(site, "work_type", "claims") == first
    await stage.refuses(AlreadyExists, put(site, "work_type", "claims", "other", 0, now_ms=stage.now))
    second = await put(site, "work_type", "claims", '{"ü": 1}', first.etag, now_ms=stage.now)
    assert (second.body, second.etag > first.etag) == ('{"ü": 1}', True)
    await stage.refuses(EtagMismatch, put(site, "work_type", "claims", "x", first.etag, now_ms=stage.now))
    third = await put(site, "work_type", "claims", "x", None, now_ms=stage.now)
    assert third.etag > second.etag
    await stage.refuses(EtagMismatch, stage.store.delete_document(site, "work_type", "claims", second.etag))
    await stage.store.delete_document(site, "work_type", "claims", third.etag)
    with pytest.raises(NotFound):
        await stage.store.document(site, "work_type", "claims")


async def test_documents_are_listed_by_kind_and_id(stage: Stage) -> None:
    for kind, id in (("policy", "b"), ("work_type", "x"), ("policy", "a"), ("policy_2", "c")):
        await stage.store.put_document(stage.site, kind, id, "{}", None, now_ms=stage.now)
    assert [document.id for document in await stage.store.documents(stage.site, "policy")] == ["a", "b"]
    assert await stage.store.documents(stage.site, "nothing") == []


# -- the store itself --------------------------------------------------------------------------------------
async def test_sites_are_known_by_what_they_hold(stage: Stage) -> None:
    await stage.add()
    assert stage.site in await stage.store.sites()
    assert fresh_site() not in await stage.store.sites()


async def test_the_store_answers_and_has_a_clock(stage: Stage) -> None:
    await stage.store.ping()
    assert await stage.store.now() > 1_600_000_000_000


async def test_an_empty_site_is_empty_in_every_look(stage: Stage) -> None:
    store, site = stage.store, stage.site
    looks = await asyncio.gather(
        store.groups(site), store.feeds(site), store.sessions_of(site, "w1"), store.documents(site, "x"),
        store.commands(site, "acd"), store.idle_agents(site, "g", 5), store.events(site, "", 10),
        store.call_queues(site),
    )  # fmt: skip
    assert looks == [[]] * 8
    assert await store.agents(site, "", 10) == ([], "")
    assert (await store.backlog(site)).by_work_type == {}
    assert await stage.dump() == {}


async def test_named_tasks_come_in_the_order_asked_for_without_those_that_are_not_there(stage: Stage) -> None:
    for name in ("t1", "t2", "t3"):
        await stage.add(name)
    found = await stage.store.tasks_named(stage.site, ["t3", "gone", "t1"])
    assert [task.id for task in found] == ["t3", "t1"]
    assert found[1] == await stage.store.task(stage.site, "t1")
    assert await stage.store.tasks_named(stage.site, []) == []
