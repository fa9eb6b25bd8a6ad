"""What a submit stores, and how a repeated one is known."""

from __future__ import annotations

from typing import Any

import pytest

from router.domain.errors import AlreadyExists, NotFound
from router.domain.model import TaskState
from router.domain.ports import NewTask, Submitted
from tests.support.builders import HOUR, MINUTE, T0, new_task, queue_spec
from tests.support.stage import Stage
from tests.support.stores import fresh_site


def named(name: str) -> dict[str, Any]:
    return {name: "n"}


async def submit_again(stage: Stage, *tasks: NewTask) -> list[Submitted | Exception]:
    return await stage.store.submit(stage.site, tasks, now_ms=stage.now)


async def test_a_task_waits_in_the_first_queue_of_its_plan(stage: Stage) -> None:
    task = await stage.add("t1", priority=70, submitter="crm")
    assert (task.state, task.queue) == (TaskState.QUEUED, queue_spec().id)
    assert (task.priority, task.submitter, task.origin_ms, task.create_ms) == (70, "crm", T0, T0)
    assert task.revision >= 1
    assert (task.fence, task.agent, task.attempts) == (0, "", 0)
    assert await stage.task("t1") == task


async def test_what_the_submitter_said_comes_back_unchanged(stage: Stage) -> None:
    new = new_task(
        reference="4711/ä",
        payload=bytes(range(256)),
        payload_type="application/x",
        customer_reference="c|1",
        labels={"größe": "ü\n", "": ""},
        due_ms=T0 + HOUR,
        excluded_agents=("eve", "mallory"),
        preferred_agent="ann",
        traceparent="00-1-2-01",
    )
    task = await stage.submit(new)
    assert task.spec == new.spec
    assert (await stage.task()).spec == new.spec


async def test_an_empty_payload_and_empty_lists_come_back(stage: Stage) -> None:
    new = new_task(skills={}, payload=b"", labels={})
    await stage.submit(new)
    assert (await stage.task()).spec == new.spec


async def test_a_scheduled_task_waits_for_its_time(stage: Stage) -> None:
    task = await stage.add(schedule_ms=T0 + HOUR)
    assert task.state is TaskState.SCHEDULED
    assert await stage.due() == []
    assert await stage.advance() is None
    stage.later(HOUR)
    assert await stage.due() == ["t1"]
    advanced = await stage.advance()
    assert advanced is not None
    assert advanced.state is TaskState.QUEUED
    assert await stage.due() == []


async def test_a_scheduled_time_in_the_past_does_not_hold_a_task_back(stage: Stage) -> None:
    assert (await stage.add(schedule_ms=T0 - 1)).state is TaskState.QUEUED


async def test_a_repeated_request_answers_with_the_first_task(stage: Stage) -> None:
    first = await stage.submit(new_task("t1", request_id="r1", fingerprint="same"))
    before = await stage.dump()
    [again] = await submit_again(stage, new_task("t2", request_id="r1", fingerprint="same"))
    assert again == Submitted(first, created=False)
    assert await stage.dump() == before


async def test_a_repeated_reference_answers_with_the_first_task(stage: Stage) -> None:
    first = await stage.submit(new_task("t1", reference="case 7", fingerprint="same"))
    [again] = await submit_again(stage, new_task("t2", reference="case 7", fingerprint="same"))
    assert again == Submitted(first, created=False)


async def test_a_long_submit_knows_its_own_first_tasks(stage: Stage) -> None:
    tasks = [new_task(f"t{n:02d}", request_id=f"r{n % 60}", fingerprint="same") for n in range(61)]
    answers = await stage.store.submit(stage.site, tasks, now_ms=stage.now)
    assert [answer.task.id for answer in answers if isinstance(answer, Submitted) and answer.created] == [
        task.id for task in tasks[:60]
    ]
    assert isinstance(answers[60], Submitted)
    assert answers[60].task.id == "t00"


@pytest.mark.parametrize("name", ["request_id", "reference"])
async def test_a_reused_name_with_other_content_is_refused(stage: Stage, name: str) -> None:
    await stage.submit(new_task("t1", fingerprint="one", **named(name)))
    before = await stage.dump()
    [answer] = await submit_again(stage, new_task("t2", fingerprint="two", **named(name)))
    assert isinstance(answer, AlreadyExists)
    assert await stage.dump() == before


@pytest.mark.parametrize("name", ["request_id", "reference"])
async def test_another_submitter_may_use_the_same_name(stage: Stage, name: str) -> None:
    await stage.submit(new_task("t1", submitter="crm", fingerprint="one", **named(name)))
    task = await stage.submit(new_task("t2", submitter="erp", fingerprint="two", **named(name)))
    assert task.id == "t2"


async def test_one_name_twice_in_one_batch_makes_one_task(stage: Stage) -> None:
    first, second = await submit_again(
        stage,
        new_task("t1", request_id="r1", fingerprint="same"),
        new_task("t2", request_id="r1", fingerprint="same"),
    )
    assert isinstance(first, Submitted)
    assert isinstance(second, Submitted)
    assert (first.created, second.created) == (True, False)
    assert second.task.id == "t1"
    with pytest.raises(NotFound):
        await stage.task("t2")


async def test_one_refused_task_does_not_harm_the_rest_of_its_batch(stage: Stage) -> None:
    await stage.submit(new_task("t1", request_id="r1", fingerprint="one"))
    answers = await submit_again(
        stage,
        new_task("t2"),
        new_task("t3", request_id="r1", fingerprint="two"),
        new_task("t4"),
    )
    assert [type(answer) for answer in answers] == [Submitted, AlreadyExists, Submitted]
    assert [await stage.state(id) for id in ("t2", "t4")] == [TaskState.QUEUED] * 2


async def test_a_taken_id_is_refused(stage: Stage) -> None:
    first = await stage.add("t1")
    [answer] = await submit_again(stage, new_task("t1", priority=1, fingerprint="other"))
    assert isinstance(answer, AlreadyExists)
    assert await stage.task("t1") == first


async def test_a_hundred_at_once(stage: Stage) -> None:
    await stage.submit(*(new_task(f"t{n:03}", origin_ms=T0 + n * MINUTE) for n in range(100)))
    assert (await stage.store.backlog(stage.site)).by_work_type == {("claims", TaskState.QUEUED): 100}
    assert await stage.store.position(stage.site, "t042") == 42


async def test_a_task_is_found_by_its_submitters_reference(stage: Stage) -> None:
    task = await stage.add("t1", reference="case 7", submitter="crm")
    assert await stage.store.task_by_reference(stage.site, "crm", "case 7") == task
    for submitter, reference in (("erp", "case 7"), ("crm", "case 8")):
        with pytest.raises(NotFound):
            await stage.store.task_by_reference(stage.site, submitter, reference)


async def test_an_unknown_task_is_not_found(stage: Stage) -> None:
    with pytest.raises(NotFound):
        await stage.task("nothing")


async def test_no_site_sees_anothers_tasks(stage: Stage) -> None:
    other = Stage(stage.store, fresh_site())
    await stage.agent()
    await other.agent()
    await stage.add("t1", reference="case 7")
    with pytest.raises(NotFound):
        await other.task("t1")
    with pytest.raises(NotFound):
        await other.store.task_by_reference(other.site, "crm", "case 7")
    assert (await other.claim()).task is None
    task = await other.add("t1", reference="case 7", priority=3)
    assert task.priority == 3
    assert (await stage.task("t1")).priority == 50
