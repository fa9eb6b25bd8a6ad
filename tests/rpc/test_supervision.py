"""SupervisionService over a real socket."""

from __future__ import annotations

import grpc

from router.v1 import agents_pb2, common_pb2, supervision_pb2, tasks_pb2
from tests.rpc.refusals import refused

POLICY = "sites/default/policies/cards"
GROUP = "sites/default/blendingGroups/cards"


async def test_a_policy_is_stored_activated_and_rolled_back(world):
    default = await world.boss("GetPolicy", supervision_pb2.GetPolicyRequest(name=POLICY))
    assert (default.version, default.metadata.target_share) == (0, 0.8)
    policy = supervision_pb2.Policy(name=POLICY, document="target_share: 0.9\n", comment="tighter")
    stored = await world.boss("UpdatePolicy", supervision_pb2.UpdatePolicyRequest(policy=policy))
    assert (stored.version, stored.active_version, stored.comment) == (1, 0, "tighter")
    assert stored.author == "supervisor:bob"
    request = supervision_pb2.ActivatePolicyRequest(name=POLICY, version=1, etag=stored.etag)
    active = await world.boss("ActivatePolicy", request)
    assert (active.active_version, active.metadata.target_share) == (1, 0.9)
    request.version = 0
    code, info, _ = await refused(world.boss("ActivatePolicy", request))
    assert (code, info.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    back = await world.boss("RollbackPolicy", supervision_pb2.RollbackPolicyRequest(name=POLICY))
    assert back.active_version == 0
    listed = await world.boss("ListPolicyVersions", supervision_pb2.ListPolicyVersionsRequest(name=POLICY))
    assert [(p.version, p.document) for p in listed.policies] == [(1, "")]


async def test_a_version_that_was_never_tried_is_active_with_a_warning(world):
    policy = supervision_pb2.Policy(name=POLICY, document="target_share: 0.9\n")
    stored = await world.boss("UpdatePolicy", supervision_pb2.UpdatePolicyRequest(policy=policy))
    assert not stored.warnings
    request = supervision_pb2.ActivatePolicyRequest(name=POLICY, version=1)
    for _ in range(2):
        active = await world.boss("ActivatePolicy", request)
        assert active.active_version == 1
        assert [warning.split(";")[0] for warning in active.warnings] == [
            "version 1 was never simulated, replayed or shadowed"
        ]
    request.version = 0
    assert not (await world.boss("ActivatePolicy", request)).warnings
    back = await world.boss("RollbackPolicy", supervision_pb2.RollbackPolicyRequest(name=POLICY))
    assert (back.active_version, list(back.warnings)) == (1, [])


async def test_a_faulty_policy_is_told_field_by_field(world):
    request = supervision_pb2.ValidatePolicyRequest(name=POLICY, document="target_share: 7\ncolour: red\n")
    answer = await world.boss("ValidatePolicy", request)
    assert not answer.valid
    assert {problem.path for problem in answer.problems} == {"target_share", "colour"}
    policy = supervision_pb2.Policy(name=POLICY, document=request.document)
    code, _, fields = await refused(
        world.boss("UpdatePolicy", supervision_pb2.UpdatePolicyRequest(policy=policy))
    )
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "policy.document.target_share" in fields


async def test_a_gate_is_set_by_hand_with_a_reason(world):
    request = supervision_pb2.SetGateRequest(blending_group=GROUP, mode=supervision_pb2.GATE_MODE_CLOSED)
    code, _, fields = await refused(world.boss("SetGate", request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(fields) == {"reason"}
    request.reason = "fire drill"
    code, _, _ = await refused(world.boss("SetGate", request))
    assert code is grpc.StatusCode.NOT_FOUND
    policy = supervision_pb2.Policy(name=POLICY, document="target_share: 0.9\n")
    await world.boss("UpdatePolicy", supervision_pb2.UpdatePolicyRequest(policy=policy))
    gate = await world.boss("SetGate", request)
    assert (gate.mode, gate.open) == (supervision_pb2.GATE_MODE_CLOSED, False)
    assert gate.reason == "fire drill (supervisor:bob)"
    groups = await world.boss("ListBlendingGroups", supervision_pb2.ListBlendingGroupsRequest())
    assert [(g.name, g.agents) for g in groups.blending_groups] == [(GROUP, 0)]


async def test_figures_count_what_is_there(world):
    await world.furnish()
    await world.submit(priority=70)
    figures = await world.boss("GetFigures", supervision_pb2.GetFiguresRequest())
    assert [(w.work_type, [(s.state, s.tasks) for s in w.states]) for w in figures.work_types] == [
        ("sites/default/workTypes/claims", [(common_pb2.TASK_STATE_QUEUED, 1)])
    ]
    assert [(p.priority, p.tasks) for p in figures.priorities] == [(70, 1)]
    assert figures.counters.submitted == 1
    assert [(a.state, a.agents) for a in figures.dedicated_agents] == [(common_pb2.AGENT_STATE_OFFLINE, 1)]


async def test_figures_are_streamed(world):
    from router.v1 import supervision_pb2_grpc

    stub = supervision_pb2_grpc.SupervisionServiceStub(world.channel)
    request = supervision_pb2.WatchFiguresRequest()
    request.interval.FromMilliseconds(200)
    stream = stub.WatchFigures(request, metadata=world.token("supervisor", "bob"))
    first, second = await stream.read(), await stream.read()
    assert second.figures.read_time.ToMilliseconds() > first.figures.read_time.ToMilliseconds()
    stream.cancel()


async def test_a_paused_work_type_is_shown_and_resumed(world):
    await world.furnish()
    task = await world.submit()
    name = "sites/default/workTypes/claims"
    paused = await world.boss("PauseQueue", supervision_pb2.PauseQueueRequest(name=name, reason="fault"))
    assert [(q.work_type, q.paused, q.head_task) for q in paused.queues] == [(name, True, task.name)]
    listed = await world.boss("ListQueues", supervision_pb2.ListQueuesRequest(filter="paused = true"))
    assert len(listed.queues) == 1
    why = await world.boss("ExplainTask", supervision_pb2.ExplainTaskRequest(name=task.name))
    assert why.explanation.verdict == supervision_pb2.VERDICT_PAUSED
    resumed = await world.boss("ResumeQueue", supervision_pb2.ResumeQueueRequest(name=name))
    assert [q.paused for q in resumed.queues] == [False]


async def test_explain_names_the_nearest_condition(world):
    await world.furnish()
    task = await world.submit()
    why = await world.boss("ExplainTask", supervision_pb2.ExplainTaskRequest(name=task.name))
    assert why.explanation.verdict == supervision_pb2.VERDICT_NOT_CONNECTED
    assert not why.explanation.nearest.holds
    assert [c.agent for c in why.candidates] == ["sites/default/agents/alice"]
    request = supervision_pb2.ExplainAgentRequest(name="sites/default/agents/alice")
    agent = await world.boss("ExplainAgent", request)
    assert agent.explanation.summary


async def test_a_priority_is_changed_and_a_task_reassigned(world):
    await world.furnish()
    task = await world.submit()
    request = supervision_pb2.ReprioritizeTaskRequest(name=task.name, priority=99)
    changed = await world.boss("ReprioritizeTask", request)
    assert changed.priority == 99
    request.etag = task.etag
    code, info, _ = await refused(world.boss("ReprioritizeTask", request))
    assert (code, info.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    request = supervision_pb2.ReassignTaskRequest(name=task.name, agent="sites/default/agents/alice")
    assert (await world.boss("ReassignTask", request)).preferred_agent == "sites/default/agents/alice"


async def test_a_pause_is_told_with_who_and_why(world):
    await world.furnish()
    await world.submit()
    name = "sites/default/workTypes/claims"
    paused = await world.boss("PauseQueue", supervision_pb2.PauseQueueRequest(name=name, reason="host down"))
    assert [q.pause_reason for q in paused.queues] == ["host down (supervisor:bob)"]
    listed = await world.boss("ListQueues", supervision_pb2.ListQueuesRequest())
    assert [(q.paused, q.pause_reason) for q in listed.queues] == [(True, "host down (supervisor:bob)")]
    kind = await world.tasks("GetWorkType", tasks_pb2.GetWorkTypeRequest(name=name))
    kinds = await world.tasks("ListWorkTypes", tasks_pb2.ListWorkTypesRequest())
    assert (kind.paused, [k.paused for k in kinds.work_types]) == (True, [True])
    queue = listed.queues[0].name
    await world.boss("ResumeQueue", supervision_pb2.ResumeQueueRequest(name=name))
    await world.boss("PauseQueue", supervision_pb2.PauseQueueRequest(name=queue))
    listed = await world.boss("ListQueues", supervision_pb2.ListQueuesRequest())
    assert [q.pause_reason for q in listed.queues] == ["by supervisor:bob"]


async def test_an_agent_is_explained_for_a_task_with_what_the_decision_rests_on(world):
    await world.furnish()
    task = await world.submit(priority=70)
    request = supervision_pb2.ExplainAgentRequest(name="sites/default/agents/alice", task=task.name)
    found = await world.boss("ExplainAgent", request)
    assert found.task == task.name
    assert found.explanation.verdict == supervision_pb2.VERDICT_NOT_CONNECTED
    assert found.no_task_reason == agents_pb2.NO_TASK_REASON_UNSPECIFIED
    decision = found.explanation.decision
    assert round(decision.urgency) == 700
    assert (decision.tasks_ahead, decision.agent_choice) == (0, "longest_idle")
    assert not decision.HasField("gate")


async def test_the_reasons_of_a_supervisor_are_in_the_history(world):
    await world.furnish()
    task = await world.submit()
    request = supervision_pb2.ReprioritizeTaskRequest(name=task.name, priority=99, reason="he called again")
    await world.boss("ReprioritizeTask", request)
    alice = "sites/default/agents/alice"
    await world.boss(
        "ReassignTask", supervision_pb2.ReassignTaskRequest(name=task.name, agent=alice, reason="knows him")
    )
    seen = await world.tasks(
        "GetTask", tasks_pb2.GetTaskRequest(name=task.name, view=common_pb2.TASK_VIEW_FULL)
    )
    assert [(step.actor, step.reason) for step in seen.history[1:]] == [
        ("supervisor:bob", "he called again"),
        ("supervisor:bob", "knows him"),
    ]


async def test_a_recall_says_whom_it_did_not_reach_and_why(world):
    await world.furnish()
    policy = supervision_pb2.Policy(name=POLICY, document="target_share: 0.9\n")
    await world.boss("UpdatePolicy", supervision_pb2.UpdatePolicyRequest(policy=policy))
    request = supervision_pb2.RecallAgentsRequest(blending_group=GROUP, count=2)
    answer = await world.boss("RecallAgents", request)
    assert [(no.agent, no.reason) for no in answer.not_recalled] == [("", "NOBODY_LEFT")]
    names = supervision_pb2.AgentSelection(names=["sites/default/agents/alice"])
    request = supervision_pb2.RecallAgentsRequest(blending_group=GROUP, agents=names)
    answer = await world.boss("RecallAgents", request)
    assert [(no.reason, no.detail) for no in answer.not_recalled] == [
        ("NOT_IN_GROUP", "Agent alice is not in group cards.")
    ]


async def test_figures_of_a_group_that_is_none_are_not_found(world):
    request = supervision_pb2.GetFiguresRequest(blending_groups=[GROUP])
    code, _, _ = await refused(world.boss("GetFigures", request))
    assert code is grpc.StatusCode.NOT_FOUND
