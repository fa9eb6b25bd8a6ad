"""TaskService over a real socket."""

from __future__ import annotations

import uuid

import grpc
import pytest
from google.protobuf import field_mask_pb2

from router.v1 import agents_pb2, common_pb2, tasks_pb2
from tests.rpc.refusals import refused


async def test_a_submit_is_stored_and_a_repeat_answers_with_the_first_task(world):
    await world.furnish()
    request = tasks_pb2.SubmitTaskRequest(
        task=common_pb2.Task(work_type="claims", payload=b"{}", reference="c-1"), request_id=str(uuid.uuid4())
    )
    first = await world.tasks("SubmitTask", request)
    again = await world.tasks("SubmitTask", request)
    assert first.name == again.name
    assert first.state == common_pb2.TASK_STATE_QUEUED
    assert first.priority == 50
    assert first.work_type == "sites/default/workTypes/claims"
    assert first.submitter == "erp"
    seen = await world.tasks(
        "GetTask", tasks_pb2.GetTaskRequest(name=first.name, view=common_pb2.TASK_VIEW_FULL)
    )
    assert [step.operation for step in seen.history] == ["submit"]


async def test_each_fault_of_a_submit_is_named_with_its_field(world):
    task = common_pb2.Task(work_type="a/b", priority=101, payload=b"x" * 70_000, excluded_agents=["alice"])
    task.required_skills.add(skill="forms", min_level=9)
    code, info, fields = await refused(
        world.tasks("SubmitTask", tasks_pb2.SubmitTaskRequest(task=task, request_id="seven", task_id="-"))
    )
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert (info.reason, info.domain) == ("INVALID_ARGUMENT", "router.v1")
    assert set(fields) == {
        "request_id",
        "task_id",
        "task.work_type",
        "task.priority",
        "task.payload",
        "task.excluded_agents[0]",
        "task.required_skills[0].min_level",
    }


async def test_an_unknown_work_type_is_not_found(world):
    code, info, _ = await refused(world.submit())
    assert code is grpc.StatusCode.NOT_FOUND
    assert info.reason == "WORK_TYPE_NOT_FOUND"


async def test_a_batch_answers_item_by_item(world):
    await world.furnish()
    requests = [
        tasks_pb2.SubmitTaskRequest(task=common_pb2.Task(work_type="claims")),
        tasks_pb2.SubmitTaskRequest(task=common_pb2.Task(work_type="claims", priority=500)),
        tasks_pb2.SubmitTaskRequest(task=common_pb2.Task(work_type="nothing")),
    ]
    answer = await world.tasks("BatchSubmitTasks", tasks_pb2.BatchSubmitTasksRequest(requests=requests))
    assert [r.status.code for r in answer.results] == [0, 3, 5]
    assert answer.results[1].status.field == "task.priority"
    assert answer.results[0].name


async def test_a_stream_of_submits_answers_each_by_its_correlation_id(world):
    from router.v1 import tasks_pb2_grpc

    await world.furnish()

    async def requests():
        for i in range(250):
            task = common_pb2.Task(work_type="claims", reference=f"r{i}")
            yield tasks_pb2.SubmitTasksRequest(
                correlation_id=str(i), request=tasks_pb2.SubmitTaskRequest(task=task)
            )

    stream = tasks_pb2_grpc.TaskServiceStub(world.channel).SubmitTasks(
        requests(), metadata=world.token("submitter", "erp")
    )
    answers = [answer async for answer in stream]
    assert {a.correlation_id for a in answers} == {str(i) for i in range(250)}
    assert all(a.result.status.code == 0 for a in answers)


async def test_a_filter_and_pages_find_what_was_asked_for(world):
    await world.furnish()
    for i in range(5):
        await world.submit(reference=f"r{i}", priority=10 * i, labels={"kind": "odd" if i % 2 else "even"})
    wanted = 'state = QUEUED AND work_type = "claims" AND priority >= 20'
    page = await world.tasks("ListTasks", tasks_pb2.ListTasksRequest(filter=wanted))
    assert sorted(task.reference for task in page.tasks) == ["r2", "r3", "r4"]
    odd = await world.tasks("ListTasks", tasks_pb2.ListTasksRequest(filter="labels.kind = odd"))
    assert sorted(task.reference for task in odd.tasks) == ["r1", "r3"]

    seen, token = [], ""
    while True:
        request = tasks_pb2.ListTasksRequest(page_size=2, page_token=token)
        page = await world.tasks("ListTasks", request)
        seen += [task.reference for task in page.tasks]
        token = page.next_page_token
        if not token:
            break
    assert sorted(seen) == [f"r{i}" for i in range(5)]


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        ("colour = red", "colour"),
        ("state = ASLEEP", "ASLEEP"),
        ("priority >= high", "high"),
        ("state = QUEUED state = OFFERED", "AND"),
        ("state = QUEUED AND", "after it"),
        ("work_type < claims", "compared"),
        ('create_time > "yesterday"', "yesterday"),
    ],
)
async def test_a_filter_that_cannot_be_read_says_what_is_wrong(world, wanted, word):
    code, _, fields = await refused(world.tasks("ListTasks", tasks_pb2.ListTasksRequest(filter=wanted)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert word in fields["filter"]


async def test_a_page_token_fits_its_own_question_only(world):
    await world.furnish()
    for _ in range(3):
        await world.submit()
    page = await world.tasks("ListTasks", tasks_pb2.ListTasksRequest(page_size=1))
    assert page.next_page_token
    code, _, fields = await refused(
        world.tasks(
            "ListTasks",
            tasks_pb2.ListTasksRequest(filter="state = QUEUED", page_token=page.next_page_token),
        )
    )
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "page_token" in fields


async def test_an_update_takes_the_fields_of_its_mask_and_holds_to_its_etag(world):
    await world.furnish()
    task = await world.submit(payload=b"old")
    change = common_pb2.Task(name=task.name, priority=90, payload=b"new", etag=task.etag)
    request = tasks_pb2.UpdateTaskRequest(
        task=change, update_mask=field_mask_pb2.FieldMask(paths=["priority"])
    )
    changed = await world.tasks("UpdateTask", request)
    assert (changed.priority, changed.payload) == (90, b"old")
    code, info, _ = await refused(world.tasks("UpdateTask", request))
    assert (code, info.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    request.update_mask.paths[:] = ["reference"]
    code, _, fields = await refused(world.tasks("UpdateTask", request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "task.update_mask" in fields or "update_mask" in fields


async def test_cancel_answers_the_same_twice(world):
    await world.furnish()
    task = await world.submit()
    request = tasks_pb2.CancelTaskRequest(name=task.name, reason="not needed")
    first = await world.tasks("CancelTask", request)
    again = await world.tasks("CancelTask", request)
    assert first.state == again.state == common_pb2.TASK_STATE_CANCELED
    assert first.end_reason == "not needed"


async def test_a_watch_tells_each_transition_and_goes_on_from_its_token(world):
    from router.v1 import tasks_pb2_grpc

    await world.furnish()
    stub = tasks_pb2_grpc.TaskServiceStub(world.channel)
    task = await world.submit()
    watch = stub.WatchTasks(
        tasks_pb2.WatchTasksRequest(resume_token="0-0"), metadata=world.token("submitter", "erp")
    )
    first = await watch.read()
    assert (first.event.task, first.event.transition.operation) == (task.name, "submit")
    watch.cancel()
    await world.tasks("CancelTask", tasks_pb2.CancelTaskRequest(name=task.name))
    watch = stub.WatchTasks(
        tasks_pb2.WatchTasksRequest(resume_token=first.resume_token), metadata=world.token("submitter", "erp")
    )
    assert (await watch.read()).event.transition.operation == "cancel"
    watch.cancel()


async def test_no_submitter_sees_anothers_task_and_no_site_anothers(world):
    await world.furnish()
    task = await world.submit()
    code, _, _ = await refused(world.tasks("GetTask", tasks_pb2.GetTaskRequest(name=task.name), id="crm"))
    assert code is grpc.StatusCode.NOT_FOUND
    code, _, _ = await refused(world.tasks("GetTask", tasks_pb2.GetTaskRequest(name=task.name), site="other"))
    assert code is grpc.StatusCode.NOT_FOUND
    code, info, _ = await refused(
        world.tasks("ListTasks", tasks_pb2.ListTasksRequest(parent="sites/default"), site="other")
    )
    assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "OTHER_SITE")


async def test_work_types_are_made_changed_and_removed(world):
    await world.furnish()
    name = "sites/default/workTypes/claims"
    made = await world.tasks("GetWorkType", tasks_pb2.GetWorkTypeRequest(name=name))
    assert made.service_goal.seconds == 86_400
    change = tasks_pb2.WorkType(name=name, max_attempts=9, etag=made.etag)
    changed = await world.tasks("UpdateWorkType", tasks_pb2.UpdateWorkTypeRequest(work_type=change))
    assert changed.max_attempts == 9
    assert changed.required_skills == made.required_skills
    code, info, _ = await refused(
        world.tasks("UpdateWorkType", tasks_pb2.UpdateWorkTypeRequest(work_type=change))
    )
    assert (code, info.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    listed = await world.tasks("ListWorkTypes", tasks_pb2.ListWorkTypesRequest())
    assert [work_type.name for work_type in listed.work_types] == [name]
    await world.tasks("DeleteWorkType", tasks_pb2.DeleteWorkTypeRequest(name=name))
    code, _, _ = await refused(world.tasks("GetWorkType", tasks_pb2.GetWorkTypeRequest(name=name)))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_a_create_is_repeatable_with_a_request_id(world):
    request = agents_pb2.CreateAgentRequest(agent_id="eve", agent=common_pb2.Agent(capacity=2))
    request.request_id = str(uuid.uuid4())
    first = await world.agents("CreateAgent", request, role="supervisor")
    assert await world.agents("CreateAgent", request, role="supervisor") == first
    request.agent.capacity = 3
    code, _, _ = await refused(world.agents("CreateAgent", request, role="supervisor"))
    assert code is grpc.StatusCode.ALREADY_EXISTS


async def test_a_batch_may_name_its_tasks(world):
    await world.furnish()
    requests = [
        tasks_pb2.SubmitTaskRequest(task=common_pb2.Task(work_type="claims"), task_id=id)
        for id in ("a", "", "a")
    ]
    answer = await world.tasks("BatchSubmitTasks", tasks_pb2.BatchSubmitTasksRequest(requests=requests))
    assert [r.status.code for r in answer.results] == [0, 0, 6]
    assert answer.results[0].name == "sites/default/tasks/a"


async def test_a_work_type_keeps_its_name_for_screens(world):
    work_type = tasks_pb2.WorkType(display_name="Schadenfälle")
    request = tasks_pb2.CreateWorkTypeRequest(work_type_id="claims", work_type=work_type)
    assert (await world.tasks("CreateWorkType", request)).display_name == "Schadenfälle"
    name = "sites/default/workTypes/claims"
    change = tasks_pb2.WorkType(name=name, guidance="read it")
    await world.tasks("UpdateWorkType", tasks_pb2.UpdateWorkTypeRequest(work_type=change))
    seen = await world.tasks("GetWorkType", tasks_pb2.GetWorkTypeRequest(name=name))
    assert (seen.display_name, seen.guidance) == ("Schadenfälle", "read it")


@pytest.mark.parametrize(
    ("token", "code"),
    [("yesterday", grpc.StatusCode.INVALID_ARGUMENT), ("5-0", grpc.StatusCode.OUT_OF_RANGE)],
)
async def test_a_watch_refuses_a_token_that_it_cannot_go_on_from(world, token, code):
    from router.v1 import tasks_pb2_grpc

    stub = tasks_pb2_grpc.TaskServiceStub(world.channel)
    request = tasks_pb2.WatchTasksRequest(resume_token=token)
    watch = stub.WatchTasks(request, metadata=world.token("submitter", "erp"))
    assert (await refused(watch.read()))[0] is code
