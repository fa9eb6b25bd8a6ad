"""Shadow, comparison, replay and simulation over a real socket; runs are processes of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from router.domain.model import AgentProfile
from router.simulation.days import GROUP
from router.v1 import supervision_pb2 as pb
from router.v1 import supervision_pb2_grpc
from tests.rpc.refusals import refused
from tests.support.recorded import recorded_hours
from tests.support.wait import wait_until

SITE = "default"
POLICY = f"sites/{SITE}/policies/{GROUP}"
CANDIDATE = "law: no_blending\nacd_control: true\n"


async def remember(world: Any) -> None:
    """Let the router's store hold what was recorded of a simulated hour, and its agents."""
    day, _, chunks = recorded_hours()
    store = world.app.store
    for chunk in chunks:
        await store.record(SITE, chunk.body, 3_600_000, 100_000)
    for agent in day.groups[0].agents:
        await store.put_profile(SITE, AgentProfile(agent.id, blending_group=GROUP), None)


def answers(world: Any, method: str, request: Any) -> Any:
    stub = supervision_pb2_grpc.SupervisionServiceStub(world.channel)
    return getattr(stub, method)(request, metadata=world.token("supervisor", "bob"), timeout=60)


async def all_of(call: AsyncIterator[Any]) -> list[Any]:
    return [answer async for answer in call]


async def test_a_recording_comes_out_again(world):
    await remember(world)
    *progress, last = await all_of(answers(world, "ReplayPolicy", pb.ReplayPolicyRequest(name=POLICY)))
    assert last.result.decisions == last.result.decisions_identical > 100
    assert last.result.plans == last.result.plans_identical > 0
    assert not last.result.HasField("first_difference")
    shares = [answer.progress.share for answer in progress]
    assert shares
    assert shares == sorted(shares)


async def test_a_candidate_is_simulated_beside_the_active_policy(world):
    await remember(world)
    request = pb.SimulatePolicyRequest(name=POLICY, document=CANDIDATE)
    *progress, last = await all_of(answers(world, "SimulatePolicy", request))
    played = recorded_hours()[1].total
    assert next(answer.progress.stage for answer in progress) == "the day without blending"
    result = last.result
    assert (result.calls, result.agents, result.active_version) == (
        played.calls.offered,
        len(recorded_hours()[0].groups[0].agents),
        1,
    )
    assert result.recorded.tasks_done == played.work.done
    assert result.recorded.service_level == pytest.approx(played.service_level)
    assert result.candidate.tasks_done == 0
    assert result.candidate.service_level == pytest.approx(result.service_level_without)
    assert result.trustworthy
    assert not result.recorded.HasField("recovered_share")


async def stored(world: Any, document: str) -> pb.Policy:
    policy = pb.Policy(name=POLICY, document=document)
    return await world.boss("UpdatePolicy", pb.UpdatePolicyRequest(policy=policy))


async def test_what_was_simulated_from_a_file_is_activated_without_a_warning(world):
    await remember(world)
    before = world.app.router.clock.now_ms() // 1000
    await all_of(answers(world, "SimulatePolicy", pb.SimulatePolicyRequest(name=POLICY, document=CANDIDATE)))
    await stored(world, CANDIDATE)
    active = await world.boss("ActivatePolicy", pb.ActivatePolicyRequest(name=POLICY, version=1))
    assert not active.warnings
    assert active.trial == pb.POLICY_TRIAL_SIMULATED
    assert active.try_time.seconds >= before


async def test_a_replay_leaves_its_mark_on_the_versions_that_were_recorded(world):
    await remember(world)
    for n in (1, 2):
        await stored(world, f"{CANDIDATE}static_reserve: {n}\n")
    await all_of(answers(world, "ReplayPolicy", pb.ReplayPolicyRequest(name=POLICY)))
    listed = await world.boss("ListPolicyVersions", pb.ListPolicyVersionsRequest(name=POLICY))
    assert [(policy.version, policy.trial) for policy in listed.policies] == [
        (2, pb.POLICY_TRIAL_UNSPECIFIED),
        (1, pb.POLICY_TRIAL_REPLAYED),
    ]


async def test_without_a_recording_the_refusal_tells_what_to_do(world):
    for method, request in (
        ("ReplayPolicy", pb.ReplayPolicyRequest(name=POLICY)),
        ("SimulatePolicy", pb.SimulatePolicyRequest(name=POLICY, document=CANDIDATE)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await all_of(answers(world, method, request))
        assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "--recording-hours" in error.value.details()


async def test_what_cannot_be_run_is_named(world):
    cases = [
        ("SimulatePolicy", pb.SimulatePolicyRequest(name=POLICY), "candidate"),
        (
            "SimulatePolicy",
            pb.SimulatePolicyRequest(name=POLICY, document="target_share: 7\n"),
            "document.target_share",
        ),
        ("SimulatePolicy", pb.SimulatePolicyRequest(name=POLICY, version=-1), "version"),
    ]
    for method, request, field in cases:
        code, _, fields = await refused(all_of(answers(world, method, request)))
        assert code is grpc.StatusCode.INVALID_ARGUMENT, field
        assert field in fields
    short = pb.ReplayPolicyRequest(name=POLICY)
    short.span.seconds = 1
    code, _, fields = await refused(all_of(answers(world, "ReplayPolicy", short)))
    assert (code, set(fields)) == (grpc.StatusCode.INVALID_ARGUMENT, {"span"})
    missing = pb.SimulatePolicyRequest(name=POLICY, version=9)
    code, _, _ = await refused(all_of(answers(world, "SimulatePolicy", missing)))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_one_run_at_a_time_and_a_call_that_is_left_ends_its_run(world):
    await remember(world)
    first = answers(world, "SimulatePolicy", pb.SimulatePolicyRequest(name=POLICY, document=CANDIDATE))
    assert (await first.read()).HasField("progress")
    code, info, _ = await refused(all_of(answers(world, "ReplayPolicy", pb.ReplayPolicyRequest(name=POLICY))))
    assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SIMULATION_RUNNING")
    first.cancel()

    async def free() -> bool:
        try:
            await all_of(answers(world, "ReplayPolicy", pb.ReplayPolicyRequest(name=POLICY)))
        except grpc.aio.AioRpcError:
            return False
        return True

    await wait_until(free, "the run of a call that was left should end", 10)


async def test_a_shadow_is_set_compared_and_ended(world):
    policy = pb.Policy(name=POLICY, document=CANDIDATE)
    await world.boss("UpdatePolicy", pb.UpdatePolicyRequest(policy=policy))
    none = pb.GetPolicyComparisonRequest(name=POLICY)
    code, info, _ = await refused(world.boss("GetPolicyComparison", none))
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_SHADOW")
    shadowed = await world.boss("SetShadowPolicy", pb.SetShadowPolicyRequest(name=POLICY, version=1))
    assert (shadowed.active_version, shadowed.shadow_version) == (0, 1)
    await world.app.store.put_profile(SITE, AgentProfile("alice", blending_group=GROUP), None)

    async def compared() -> bool:
        try:
            found = await world.boss("GetPolicyComparison", none)
        except grpc.aio.AioRpcError:
            return False
        return found.decisions > 0

    async def tried() -> bool:
        shadow = await world.boss("GetPolicy", pb.GetPolicyRequest(name=POLICY, version=1))
        return shadow.trial == pb.POLICY_TRIAL_SHADOWED

    await wait_until(compared, "the shadow should be compared", 10)
    found = await world.boss("GetPolicyComparison", none)
    assert (found.active_version, found.shadow_version) == (0, 1)
    assert found.HasField("equal_share")
    assert len(found.latest) == min(20, found.decisions)
    await wait_until(tried, "a shadow that has decided was tried", 10)
    assert not (await world.boss("ActivatePolicy", pb.ActivatePolicyRequest(name=POLICY, version=1))).warnings
    await world.boss("ActivatePolicy", pb.ActivatePolicyRequest(name=POLICY, version=0))
    await world.boss("SetShadowPolicy", pb.SetShadowPolicyRequest(name=POLICY, version=1))
    ended = await world.boss("SetShadowPolicy", pb.SetShadowPolicyRequest(name=POLICY))
    assert not ended.HasField("shadow_version")
    unknown = pb.SetShadowPolicyRequest(name=POLICY, version=7)
    code, _, _ = await refused(world.boss("SetShadowPolicy", unknown))
    assert code is grpc.StatusCode.NOT_FOUND
    await asyncio.sleep(0)
