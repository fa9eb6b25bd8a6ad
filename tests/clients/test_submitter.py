"""Submitting one and many, paging, watching, waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc
import pytest

from clients import Connection, Submission, Submitter
from clients.errors import AlreadyExistsError, InvalidArgumentError, OutOfRangeError, UnavailableError
from router.v1 import common_pb2, tasks_pb2
from tests.clients.fake_router import SITE, FakeRouter, rich
from tests.support.wait import wait_until


def claims(count: int) -> list[common_pb2.Task]:
    return [common_pb2.Task(work_type="claims", priority=number % 100) for number in range(count)]


@pytest.fixture
def submitter(connection: Connection) -> Submitter:
    return Submitter(connection)


async def test_a_submit_carries_a_request_id_of_its_own(fake: FakeRouter, submitter: Submitter) -> None:
    first = await submitter.submit(claims(1)[0])
    second = await submitter.submit(claims(1)[0])
    again = await submitter.submit(claims(1)[0], request_id=next(iter(fake.tasks.requests)))
    assert first.name != second.name
    assert again.name == first.name


@pytest.mark.parametrize("way", ["submit_many", "submit_stream"])
async def test_many_are_answered_each(fake: FakeRouter, submitter: Submitter, way: str) -> None:
    bad = common_pb2.Status(code=3, message="no such work type", reason="X", field="task.work_type")
    fake.tasks.refuse = lambda request: bad if request.task.priority == 7 else None
    answers = [a async for a in getattr(submitter, way)(claims(50))]
    assert sorted(a.index for a in answers) == list(range(50))
    failed = [a for a in answers if a.error]
    assert [a.index for a in failed] == [7]
    assert isinstance(failed[0].error, InvalidArgumentError)
    assert len(fake.tasks.stored) == 49


async def test_batches_are_answered_in_order_and_kept_small(fake: FakeRouter, submitter: Submitter) -> None:
    async def items() -> AsyncIterator[common_pb2.Task | Submission]:
        for task in claims(25):
            yield task

    answers = [a.index async for a in submitter.submit_many(items(), batch_size=10)]
    assert answers == list(range(25))
    assert fake.calls == ["BatchSubmitTasks"] * 3


async def test_big_payloads_make_smaller_batches(fake: FakeRouter, submitter: Submitter) -> None:
    big = [common_pb2.Task(work_type="claims", payload=bytes(60_000)) for _ in range(80)]
    answers = [a async for a in submitter.submit_many(big)]
    assert not any(a.error for a in answers)
    assert fake.calls.count("BatchSubmitTasks") >= 3


async def test_a_broken_submit_stream_makes_no_task_twice(fake: FakeRouter, submitter: Submitter) -> None:
    fake.tasks.break_after = [3, 0, 5]
    answers = [a async for a in submitter.submit_stream(claims(40), window=8)]
    assert sorted(a.index for a in answers) == list(range(40))
    assert not any(a.error for a in answers)
    assert len(fake.tasks.stored) == 40


async def test_a_submit_stream_that_keeps_breaking_is_answered_with_the_error(
    fake: FakeRouter, submitter: Submitter
) -> None:
    fake.tasks.break_after = [0] * 50
    answers = [a async for a in submitter.submit_stream(claims(4))]
    assert [type(a.error) for a in answers] == [UnavailableError] * 4


async def test_what_the_callers_iterator_raises_is_raised(submitter: Submitter) -> None:
    def items() -> list[common_pb2.Task]:
        raise LookupError

    async def broken() -> AsyncIterator[common_pb2.Task | Submission]:
        yield common_pb2.Task(work_type="claims")
        items()

    with pytest.raises(LookupError):
        [a async for a in submitter.submit_stream(broken())]
    with pytest.raises(LookupError):
        [a async for a in submitter.submit_many(broken())]


async def test_lists_go_over_pages(fake: FakeRouter, submitter: Submitter) -> None:
    [a async for a in submitter.submit_many(claims(5))]
    names = [task.name async for task in submitter.list_tasks()]
    assert len(names) == len(set(names)) == 5
    assert fake.calls.count("ListTasks") == 3


async def test_update_and_cancel(submitter: Submitter) -> None:
    task = await submitter.submit(claims(1)[0])
    changed = await submitter.update(common_pb2.Task(name=task.name, priority=90), ["priority"])
    assert changed.priority == 90
    gone = await submitter.cancel(task.name, "not needed")
    assert (gone.state, gone.end_reason) == (common_pb2.TASK_STATE_CANCELED, "not needed")


async def test_a_broken_watch_goes_on_after_the_last_event(fake: FakeRouter, submitter: Submitter) -> None:
    [a async for a in submitter.submit_many(claims(6))]
    fake.tasks.break_after = [2, 3]
    seen = []
    async with aclosing(submitter.watch()) as changes:
        async for change in changes:
            seen.append(change.resume_token)
            if len(seen) == 6:
                break
    assert seen == ["1", "2", "3", "4", "5", "6"]
    assert fake.tasks.watch_from == ["", "2", "5"]


async def test_a_watch_that_may_have_missed_something_says_so(fake: FakeRouter, submitter: Submitter) -> None:
    fake.failures["WatchTasks"] = [rich(grpc.StatusCode.UNAVAILABLE, "draining", "DRAINING")]
    with pytest.raises(UnavailableError):
        [c async for c in submitter.watch()]
    fake.failures["WatchTasks"] = [rich(grpc.StatusCode.OUT_OF_RANGE, "old", "RESUME_TOKEN_TOO_OLD")]
    with pytest.raises(OutOfRangeError):
        [c async for c in submitter.watch(resume_token="1")]


async def test_waiting_for_the_end(fake: FakeRouter, submitter: Submitter) -> None:
    task = await submitter.submit(claims(1)[0])
    waiting = asyncio.create_task(submitter.wait_until_done(task.name, timeout_s=5))
    await wait_until(lambda: "WatchTasks" in fake.calls, "the watch is open")
    fake.tasks.end(task.name)
    assert (await waiting).state == common_pb2.TASK_STATE_COMPLETED


async def test_waiting_ends_in_time(submitter: Submitter) -> None:
    task = await submitter.submit(claims(1)[0])
    with pytest.raises(TimeoutError):
        await submitter.wait_until_done(task.name, timeout_s=0.3)


async def test_work_types_are_created_once_and_then_made_equal(
    fake: FakeRouter, submitter: Submitter
) -> None:
    kinds = submitter.work_types
    await kinds.apply("claims", tasks_pb2.WorkType(display_name="Claims"))
    await kinds.apply("claims", tasks_pb2.WorkType(display_name="All claims"))
    assert [k.display_name async for k in kinds.list()] == ["All claims"]
    assert fake.calls.count("CreateWorkType") == 1
    assert fake.tasks.work_types[f"{SITE}/workTypes/claims"].etag == "1"
    await kinds.delete("claims")
    fake.failures["CreateWorkType"] = [rich(grpc.StatusCode.ALREADY_EXISTS, "there", "ALREADY_EXISTS")]
    with pytest.raises(AlreadyExistsError):
        await kinds.create("claims", tasks_pb2.WorkType())
