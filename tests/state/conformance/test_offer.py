"""The life of an offer: accepted, declined, rescinded, timed out."""

from __future__ import annotations

from typing import Any

import pytest

from router.domain.errors import NotFound, NotHolder, Superseded, WrongState
from router.domain.model import NoTask, Task, TaskState
from tests.support.builders import HOUR, MINUTE, SECOND, T0
from tests.support.stage import Stage


async def offered(stage: Stage, **fields: Any) -> Task:
    """Task t1, offered to ann; bob is there too."""
    await stage.agent("ann")
    await stage.agent("bob")
    await stage.add("t1", **fields)
    return await stage.offer("ann")


async def test_accept_starts_a_lease(stage: Stage) -> None:
    task = await offered(stage, lease_ms=MINUTE)
    stage.later(SECOND)
    accepted = await stage.accept(task)
    assert (accepted.state, accepted.fence, accepted.agent) == (TaskState.ACTIVE, task.fence, "ann")
    assert (accepted.accept_ms, accepted.deadline_ms) == (stage.now, stage.now + MINUTE)


async def test_a_repeated_accept_answers_the_same(stage: Stage) -> None:
    task = await offered(stage)
    accepted = await stage.accept(task)
    before = await stage.dump()
    stage.later(SECOND)
    assert await stage.accept(task) == accepted
    assert await stage.dump() == before


async def test_an_old_fence_is_superseded(stage: Stage) -> None:
    first = await offered(stage)
    await stage.decline(first)
    second = await stage.offer("bob")
    store, site, now = stage.store, stage.site, stage.now
    for attempt in (
        store.accept(site, "t1", "ann", first.fence, now_ms=now),
        store.decline(site, "t1", "ann", first.fence, "no", now_ms=now),
        store.rescind(site, "t1", first.fence, "no", "router", now_ms=now),
        store.show(site, "t1", first.fence, now_ms=now),
        store.accept(site, "t1", "bob", first.fence, now_ms=now),
        store.accept(site, "t1", "bob", second.fence + 1, now_ms=now),
    ):
        await stage.refuses(Superseded, attempt)
    await stage.accept(second)


async def test_another_agent_does_not_answer_for_the_holder(stage: Stage) -> None:
    task = await offered(stage)
    store, site, now = stage.store, stage.site, stage.now
    await stage.refuses(NotHolder, store.accept(site, "t1", "bob", task.fence, now_ms=now))
    await stage.refuses(NotHolder, store.decline(site, "t1", "bob", task.fence, "no", now_ms=now))


async def test_nobody_answers_for_a_task_that_is_not_there(stage: Stage) -> None:
    await stage.agent()
    store, site, now = stage.store, stage.site, stage.now
    await stage.refuses(NotFound, store.accept(site, "t9", "ann", 1, now_ms=now))
    await stage.refuses(NotFound, store.decline(site, "t9", "ann", 1, "", now_ms=now))
    await stage.refuses(NotFound, store.rescind(site, "t9", 1, "", "router", now_ms=now))
    await stage.refuses(NotFound, store.complete(site, "t9", "ann", 1, b"", "", now_ms=now))
    await stage.refuses(NotFound, store.cancel(site, "t9", "", "crm", now_ms=now))
    assert await stage.advance("t9") is None


async def test_an_offer_ends_exactly_at_its_deadline(stage: Stage) -> None:
    task = await offered(stage, offer_timeout_ms=20 * SECOND)
    stage.later(20 * SECOND)
    error = await stage.refuses(
        WrongState, stage.store.accept(stage.site, "t1", "ann", task.fence, now_ms=stage.now)
    )
    assert error.reason == "OFFER_EXPIRED"


async def test_an_offer_can_be_accepted_until_its_deadline(stage: Stage) -> None:
    task = await offered(stage, offer_timeout_ms=20 * SECOND)
    stage.later(20 * SECOND - 1)
    assert await stage.due() == []
    assert (await stage.accept(task)).state is TaskState.ACTIVE


async def test_a_declined_task_goes_to_the_front_for_others(stage: Stage) -> None:
    task = await offered(stage, decline_exclusion_ms=MINUTE)
    await stage.add("t0", origin_ms=T0 - HOUR)
    declined = await stage.decline(task)
    assert (declined.state, declined.agent, declined.declines) == (TaskState.QUEUED, "", 1)
    assert declined.declined_by == {"ann": T0 + MINUTE}
    assert (await stage.read_agent()).held == ()
    assert (await stage.pull("bob")).id == "t1"


async def test_a_decline_is_no_dead_end(stage: Stage) -> None:
    task = await offered(stage, decline_exclusion_ms=MINUTE)
    await stage.decline(task)
    stage.later(MINUTE - 1)
    assert await stage.refusal("ann") is NoTask.NO_TASK
    assert await stage.refusal("ann", task="t1") is NoTask.EXCLUDED
    stage.later(1)
    assert (await stage.offer("ann")).id == "t1"


async def test_a_rescinded_task_goes_to_the_front_and_excludes_nobody(stage: Stage) -> None:
    task = await offered(stage)
    await stage.add("t0", origin_ms=T0 - HOUR)
    change = await stage.store.rescind(stage.site, "t1", task.fence, "calls", "router", now_ms=stage.now)
    assert (change.task.state, change.task.agent, change.task.declines) == (TaskState.QUEUED, "", 0)
    assert (await stage.offer("ann")).id == "t1"


async def test_an_unanswered_offer_times_out_to_the_front(stage: Stage) -> None:
    await offered(stage, offer_timeout_ms=20 * SECOND)
    await stage.add("t0", origin_ms=T0 - HOUR)
    assert await stage.advance() is None
    stage.later(20 * SECOND)
    assert await stage.due() == ["t1"]
    timed_out = await stage.advance()
    assert timed_out is not None
    assert (timed_out.state, timed_out.agent, timed_out.declines) == (TaskState.QUEUED, "", 0)
    assert await stage.advance() is None
    assert (await stage.offer("ann")).id == "t0"  # not asked again at once
    assert (await stage.offer("bob")).id == "t1"


@pytest.mark.parametrize("end", ["accept", "decline"])
async def test_only_an_offer_can_be_answered(stage: Stage, end: str) -> None:
    task = await offered(stage)
    await stage.complete(await stage.accept(task))
    store, site, now = stage.store, stage.site, stage.now
    attempt = (
        store.accept(site, "t1", "ann", task.fence, now_ms=now)
        if end == "accept"
        else store.decline(site, "t1", "ann", task.fence, "no", now_ms=now)
    )
    await stage.refuses(WrongState, attempt)


async def test_an_offer_is_not_work_yet(stage: Stage) -> None:
    task = await offered(stage)
    store, site, now = stage.store, stage.site, stage.now
    for attempt in (
        store.checkpoint(site, "t1", "ann", task.fence, b"x", now_ms=now),
        store.extend(site, "t1", "ann", task.fence, 0, now_ms=now),
        store.complete(site, "t1", "ann", task.fence, b"x", "ok", now_ms=now),
        store.release(site, "t1", "ann", task.fence, "no", None, now_ms=now),
        store.park(site, "t1", "ann", task.fence, now + HOUR, now_ms=now),
        store.resume(site, "t1", "ann", task.fence, now_ms=now),
        store.force(site, "t1", task.fence, "no", "router", now_ms=now),
    ):
        await stage.refuses(WrongState, attempt)


async def test_a_front_task_keeps_its_place_by_origin_among_the_front(stage: Stage) -> None:
    await stage.agent("ann", capacity=3)
    await stage.agent("bob")
    for id, origin in (("t1", T0 - 3), ("t2", T0 - 2), ("t3", T0 - 1)):
        await stage.add(id, origin_ms=origin)
    tasks = [await stage.offer("ann") for _ in range(3)]
    for task in reversed(tasks):
        await stage.decline(task)
    assert (await stage.pull("bob")).id == "t1"
