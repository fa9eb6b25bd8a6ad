"""The three ways in: one by one, in batches, over a stream; nothing twice, nothing lost, and a watch sees it all."""

from __future__ import annotations

import asyncio

from clients import Submission, Submitted
from clients.errors import NotFoundError
from clients.values import new_request_id
from router.v1 import common_pb2
from tests.e2e.floor import COMPLETED, Floor

MANY = 300


def submissions(prefix: str) -> list[Submission]:
    """Many tasks, each with a request id of its own."""
    return [
        Submission(common_pb2.Task(work_type="claims", reference=f"{prefix}-{i}"), "", new_request_id())
        for i in range(MANY)
    ]


def named(answers: list[Submitted]) -> list[str]:
    """The names, in the order of the submissions."""
    assert [answer.error for answer in answers if answer.error] == []
    return [answer.name for answer in sorted(answers, key=lambda answer: answer.index)]


async def test_batches_and_streams_store_each_task_once(floor: Floor) -> None:
    await floor.work_type()
    batch, stream = submissions("batch"), submissions("stream")
    first = named([answer async for answer in floor.erp.submit_many(batch, batch_size=100)])
    second = named([answer async for answer in floor.erp.submit_stream(stream)])
    assert len({*first, *second}) == 2 * MANY
    # The same again, the other way round: nothing new.
    assert named([answer async for answer in floor.erp.submit_stream(batch)]) == first
    assert named([answer async for answer in floor.erp.submit_many(stream)]) == second
    found = [task.name async for task in floor.erp.list_tasks("state = QUEUED", page_size=250)]
    assert sorted(found) == sorted([*first, *second])


async def test_an_item_that_fails_does_not_hold_up_the_others(floor: Floor) -> None:
    await floor.work_type()
    items = [
        common_pb2.Task(work_type="claims"),
        common_pb2.Task(work_type="none"),
        common_pb2.Task(work_type="claims"),
    ]
    for answers in (
        [answer async for answer in floor.erp.submit_many(items)],
        [answer async for answer in floor.erp.submit_stream(items)],
    ):
        good, bad, also_good = sorted(answers, key=lambda answer: answer.index)
        assert good.name
        assert also_good.name
        assert isinstance(bad.error, NotFoundError)
        assert bad.error.reason == "WORK_TYPE_NOT_FOUND"


async def test_a_task_with_an_id_of_the_submitters_own(floor: Floor) -> None:
    await floor.work_type()
    own = Submission(common_pb2.Task(work_type="claims"), "claim-1")
    other = Submission(common_pb2.Task(work_type="claims"))
    names = named([answer async for answer in floor.erp.submit_many([own, other])])
    assert names[0] == f"sites/{floor.site}/tasks/claim-1"


async def test_a_watch_sees_each_step_in_order(floor: Floor) -> None:
    await floor.work_type()
    await floor.hire("ann")
    task = await floor.submit()
    waiting = asyncio.create_task(floor.erp.wait_until_done(task.name, timeout_s=30))
    seen: list[str] = []

    async def watch() -> None:
        async for change in floor.erp.watch([task.name]):
            seen.append(change.event.transition.operation)
            if seen[-1] == "complete":
                return

    watching = asyncio.create_task(watch())
    puller = floor.puller("ann")
    # A watch begins with what happens after it stands; so steps are made until it has seen one.
    while not seen:
        await floor.boss.reprioritize(task.name, len(seen) + 1)
        await asyncio.sleep(0.05)
    lease = await puller.get_next(wait_s=10)
    assert isinstance(lease, common_pb2.Lease)
    await puller.checkpoint(lease, b"half")
    await puller.complete(lease, outcome="paid")
    assert (await waiting).state == COMPLETED
    await asyncio.wait_for(watching, 20)
    assert seen[-3:] == ["pull", "checkpoint", "complete"]
    assert set(seen[:-3]) == {"update"}
