"""Which task an agent is handed, and every reason for handing it none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from router.domain.errors import NotFound
from router.domain.model import AgentState, ClaimMode, GateMode, NoTask, TaskState
from tests.support.builders import (
    AGING,
    FAST_AGING,
    FLAT,
    GROUP,
    HOUR,
    MINUTE,
    NO_SKILLS,
    SECOND,
    T0,
    new_task,
    plan,
    profile,
    queue_spec,
)
from tests.support.stage import Stage, handed

OFFER, LEASE = ClaimMode.OFFER, ClaimMode.LEASE


# -- what a claim does -------------------------------------------------------------------------------------
async def test_an_offer_names_its_holder_fence_and_deadline(stage: Stage) -> None:
    await stage.agent()
    await stage.add(offer_timeout_ms=20 * SECOND)
    stage.later(SECOND)
    task = await stage.offer(why="longest idle")
    assert (task.state, task.agent, task.queue) == (TaskState.OFFERED, "ann", "")
    assert (task.offer_ms, task.deadline_ms) == (stage.now, stage.now + 20 * SECOND)
    assert task.fence > 0
    assert task.shown
    assert task.why == "longest idle"
    assert (await stage.read_agent()).held == ("t1",)
    assert await stage.task() == task


async def test_a_pull_leases_at_once(stage: Stage) -> None:
    await stage.agent()
    await stage.add(lease_ms=MINUTE)
    task = await stage.pull()
    assert (task.state, task.agent) == (TaskState.ACTIVE, "ann")
    assert (task.accept_ms, task.deadline_ms) == (T0, T0 + MINUTE)
    assert (await stage.read_agent()).held == ("t1",)


async def test_a_pull_is_presence_enough_for_a_dedicated_agent(stage: Stage) -> None:
    await stage.agent(connect=False)
    await stage.add()
    assert (await stage.pull()).state is TaskState.ACTIVE


async def test_auto_accept_turns_an_offer_into_a_lease(stage: Stage) -> None:
    await stage.agent(auto_accept=True)
    await stage.add(lease_ms=MINUTE)
    task = await stage.offer()
    assert (task.state, task.deadline_ms) == (TaskState.ACTIVE, T0 + MINUTE)
    names = [step.name for step in await stage.store.history(stage.site, "t1")]
    assert names[-2:] == ["offer", "accept"]


async def test_fences_grow_with_every_hand_over(stage: Stage) -> None:
    await stage.agent()
    await stage.add("t1")
    await stage.add("t2")
    fences = []
    for id in ("t1", "t2", "t1"):
        task = await stage.offer(task=id)
        fences.append(task.fence)
        await stage.store.rescind(stage.site, id, task.fence, "test", "router", now_ms=stage.now)
    assert fences == sorted(set(fences))


async def test_of_two_agents_one_wins_the_last_task(stage: Stage) -> None:
    for id in ("ann", "bob"):
        await stage.agent(id)
    await stage.add()
    claims = await asyncio.gather(stage.claim("ann"), stage.claim("bob"))
    [winner] = [claim.task for claim in claims if claim.task]
    [loser] = [claim for claim in claims if not claim.task]
    assert loser.reason is NoTask.NO_TASK
    assert (await stage.task()).agent == winner.agent


async def test_the_loser_of_a_named_task_is_told_that_it_is_gone(stage: Stage) -> None:
    for id in ("ann", "bob"):
        await stage.agent(id)
    await stage.add()
    await stage.pull("ann", task="t1")
    assert await stage.refusal("bob", LEASE, task="t1") is NoTask.NOT_QUEUED


# -- order -------------------------------------------------------------------------------------------------
async def order_of_claims(stage: Stage, agent: str = "ann") -> list[str]:
    """Hand out and complete until nothing is left."""
    order = []
    while (claim := await stage.claim(agent, LEASE)).task:
        order.append(claim.task.id)
        await stage.complete(claim.task)
    assert claim.reason is NoTask.NO_TASK
    return order


async def test_a_queue_is_served_by_origin_not_by_arrival(stage: Stage) -> None:
    await stage.agent()
    for id, age in (("young", 1), ("old", 3), ("middle", 2)):
        await stage.add(id, origin_ms=T0 - age * MINUTE)
    assert await order_of_claims(stage) == ["old", "middle", "young"]


async def test_origins_before_the_epoch_sort_too(stage: Stage) -> None:
    await stage.agent()
    for id, origin in (("zero", 0), ("minus", -(10**14)), ("plus", 10**14), ("minus2", -(10**13))):
        await stage.add(id, origin_ms=origin, curve=FLAT)
    assert await order_of_claims(stage) == ["minus", "minus2", "zero", "plus"]


async def test_queues_compete_by_urgency_at_the_moment_of_the_claim(stage: Stage) -> None:
    await stage.agent()
    await stage.add("slow", curve=AGING, origin_ms=T0 - 30 * MINUTE)
    await stage.add("fast", curve=FAST_AGING, origin_ms=T0)
    assert (await stage.pull()).id == "slow"  # 30 points against 0


async def test_the_faster_curve_overtakes(stage: Stage) -> None:
    await stage.agent()
    await stage.add("slow", curve=AGING, origin_ms=T0 - 30 * MINUTE)
    await stage.add("fast", curve=FAST_AGING, origin_ms=T0)
    stage.later(4 * MINUTE)
    assert (await stage.pull()).id == "fast"  # 40 points against 34


async def test_a_flat_curve_waits_until_the_others_are_younger(stage: Stage) -> None:
    await stage.agent()
    await stage.add("flat", curve=FLAT)
    await stage.add("four", origin_ms=T0 - 4 * MINUTE)
    await stage.add("six", origin_ms=T0 - 6 * MINUTE)
    assert await order_of_claims(stage) == ["six", "flat", "four"]


async def test_queues_of_one_family_on_different_shelves_compare(stage: Stage) -> None:
    await stage.agent(skills={"claims": 5, "french": 5}, teams=("north",))
    await stage.add("a", skills={"claims": 1}, origin_ms=T0 - 1)
    await stage.add("b", skills={"claims": 5}, origin_ms=T0 - 4)
    await stage.add("c", skills={"french": 2}, origin_ms=T0 - 2)
    await stage.add("d", skills=NO_SKILLS, origin_ms=T0 - 3)
    own = queue_spec(agent="ann")
    await stage.submit(new_task("e", route=plan(T0 - 5, own)))
    team = queue_spec(team="north")
    await stage.submit(new_task("f", route=plan(T0 - 6, team)))
    assert await order_of_claims(stage) == list("febdca")


async def test_equal_urgency_goes_to_the_earlier_origin(stage: Stage) -> None:
    await stage.agent()
    await stage.add("later", curve=FLAT, origin_ms=T0)
    other = queue_spec("refunds", curve=FLAT)
    await stage.submit(new_task("earlier", work_type="refunds", route=plan(T0 - 1, other)))
    assert await order_of_claims(stage) == ["earlier", "later"]


async def test_what_came_back_goes_before_everything(stage: Stage) -> None:
    await stage.agent("ann")
    await stage.agent("bob")
    await stage.add("back", curve=FLAT)
    await stage.decline(await stage.offer("ann"))
    await stage.add("urgent", curve=FAST_AGING, origin_ms=T0 - 100 * HOUR)
    assert (await stage.pull("bob")).id == "back"


# -- who may have what -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("has", "needs", "fits"),
    [
        ({"claims": 2}, {"claims": 2}, True),
        ({"claims": 1}, {"claims": 2}, False),
        ({"claims": 5}, {"claims": 2}, True),
        ({}, {"claims": 1}, False),
        ({}, {}, True),
        ({"claims": 3, "french": 1}, {"claims": 3, "french": 2}, False),
        ({"claims": 3, "french": 2}, {"claims": 3, "french": 2}, True),
        ({"claims": 3}, {"claims": 3, "french": 1}, False),
        ({"a.b+c@d-e_f": 1}, {"a.b+c@d-e_f": 1}, True),
    ],
)
async def test_every_minimum_level_counts(
    stage: Stage, has: dict[str, int], needs: dict[str, int], fits: bool
) -> None:
    await stage.agent(skills=has)
    await stage.add(skills=needs)
    if fits:
        assert (await stage.pull()).id == "t1"
    else:
        assert await stage.refusal("ann", LEASE) is NoTask.NO_TASK
        assert await stage.refusal("ann", LEASE, task="t1") is NoTask.NOT_QUALIFIED


async def test_an_unqualified_task_does_not_block_the_next(stage: Stage) -> None:
    await stage.agent(skills={"claims": 5})
    await stage.add("both", skills={"claims": 5, "french": 1}, origin_ms=T0 - HOUR)
    await stage.add("mine", skills={"claims": 5})
    assert (await stage.pull()).id == "mine"


async def test_a_task_for_one_agent_is_for_that_agent(stage: Stage) -> None:
    await stage.agent("ann")
    await stage.agent("bob")
    await stage.submit(new_task(route=plan(T0, queue_spec(agent="bob"))))
    assert await stage.refusal("ann", LEASE) is NoTask.NO_TASK
    assert await stage.refusal("ann", LEASE, task="t1") is NoTask.NOT_QUALIFIED
    assert (await stage.pull("bob")).id == "t1"


async def test_a_task_for_a_team_needs_a_member_with_the_skill(stage: Stage) -> None:
    await stage.agent("ann")
    await stage.agent("bob", teams=("north",), skills={"claims": 1})
    await stage.agent("cyd", teams=("south", "north"))
    await stage.submit(new_task(route=plan(T0, queue_spec(team="north"))))
    assert await stage.refusal("ann", LEASE) is NoTask.NO_TASK
    assert await stage.refusal("bob", LEASE) is NoTask.NO_TASK
    assert (await stage.pull("cyd")).id == "t1"


async def test_an_agent_that_the_task_excludes_gets_another(stage: Stage) -> None:
    await stage.agent("ann")
    await stage.add("t1", excluded_agents=("ann", "bob"))
    await stage.add("t2", origin_ms=T0 + 1)
    assert await stage.refusal("ann", task="t1") is NoTask.EXCLUDED
    assert (await stage.pull("ann")).id == "t2"


async def test_an_id_that_only_looks_like_an_excluded_one_is_not(stage: Stage) -> None:
    await stage.agent("an")
    await stage.agent("a.n")
    await stage.add("t1", excluded_agents=("ann", "a-n"))
    await stage.add("t2", excluded_agents=("ann", "a-n"))
    await stage.pull("an")
    await stage.pull("a.n")


async def test_a_paused_work_type_is_skipped(stage: Stage) -> None:
    await stage.agent()
    await stage.add("t1")
    refunds = queue_spec("refunds")
    await stage.submit(new_task("t2", work_type="refunds", route=plan(T0 + 1, refunds)))
    await stage.store.pause(stage.site, "wt:claims", True, "fire", "sue", now_ms=stage.now)
    assert await stage.refusal("ann", task="t1") is NoTask.PAUSED
    assert (await stage.offer()).id == "t2"


async def test_a_paused_queue_is_skipped_until_it_goes_on(stage: Stage) -> None:
    await stage.agent()
    task = await stage.add("t1")
    target = f"q:{task.queue}"
    await stage.store.pause(stage.site, target, True, "fire", "sue", now_ms=stage.now)
    assert await stage.refusal() is NoTask.NO_TASK
    await stage.store.pause(stage.site, target, False, "", "sue", now_ms=stage.now)
    assert (await stage.offer()).id == "t1"


async def test_a_pause_holds_back_what_returned_to_the_front_as_well(stage: Stage) -> None:
    await stage.agent("ann")
    await stage.agent("bob")
    task = await stage.add("t1")
    await stage.decline(await stage.offer("ann"))
    await stage.store.pause(stage.site, f"q:{task.queue}", True, "fire", "sue", now_ms=stage.now)
    assert await stage.refusal("bob") is NoTask.NO_TASK


async def test_a_named_task_must_wait_in_a_queue(stage: Stage) -> None:
    await stage.agent()
    await stage.add("t1", schedule_ms=T0 + HOUR)
    assert await stage.refusal("ann", LEASE, task="t1") is NoTask.NOT_QUEUED
    await stage.refuses(NotFound, stage.claim("ann", LEASE, task="unknown"))


# -- the agent's own conditions, in their order ------------------------------------------------------------
async def test_reasons_come_in_the_order_of_the_contract(stage: Stage) -> None:
    """All obstacles stand; they are taken away one by one, and the next in order is named each time."""
    site, store = stage.site, stage.store
    await stage.add("held", skills=NO_SKILLS)
    await stage.add("t1")
    assert await stage.refusal() is NoTask.UNKNOWN_AGENT

    await stage.put_profile(profile("ann", blending_group=GROUP))
    await stage.put_profile(profile("zed", blending_group=GROUP))
    await store.set_draining(site, "ann", True, now_ms=stage.now)
    await stage.report({"ann": AgentState.ON_CALL, "zed": AgentState.AVAILABLE})
    assert await stage.refusal() is NoTask.NOT_CONNECTED

    await stage.connect("ann", ready=False)
    assert await stage.refusal() is NoTask.NOT_READY

    await store.set_ready(site, "ann", "s-ann", True, now_ms=stage.now)
    assert await stage.refusal() is NoTask.DRAINING

    await store.set_draining(site, "ann", False, now_ms=stage.now)
    assert await stage.refusal() is NoTask.NOT_AVAILABLE

    await stage.report({"ann": AgentState.AVAILABLE})
    await stage.gate(valid_until_ms=stage.now + 1)
    await stage.pull("ann", task="held")
    stage.later(2 * HOUR)
    assert await stage.refusal() is NoTask.NO_CAPACITY

    await stage.put_profile(profile("ann", blending_group=GROUP, capacity=2))
    assert await stage.refusal() is NoTask.FEED_STALE

    await stage.report({})
    assert await stage.refusal() is NoTask.GATE_EXPIRED

    tight: dict[str, Any] = {"min_idle_ms": 3 * HOUR, "allowance": 0, "reserve": 2, "reserve_firm": 2}
    await stage.gate(open=False, **tight)
    assert await stage.refusal() is NoTask.GATE_CLOSED

    await stage.gate(**tight)
    assert await stage.refusal() is NoTask.TOO_SOON

    await stage.complete(await stage.task("held"))
    await stage.gate(**(tight | {"min_idle_ms": 0}))
    assert await stage.refusal() is NoTask.ALLOWANCE_REACHED

    await stage.gate(**(tight | {"min_idle_ms": 0, "allowance": 1}))
    assert await stage.refusal() is NoTask.RESERVE_HELD

    await stage.gate(allowance=1, reserve=1, reserve_firm=1)
    assert (await stage.offer()).id == "t1"


@pytest.mark.parametrize("state", sorted(set(AgentState) - {AgentState.AVAILABLE}))
async def test_only_available_agents_of_a_group_are_handed_tasks(stage: Stage, state: AgentState) -> None:
    await stage.agent(group=GROUP)
    await stage.gate()
    await stage.add()
    await stage.report({"ann": state})
    assert await stage.refusal() is NoTask.NOT_AVAILABLE
    assert await stage.refusal("ann", LEASE) is NoTask.NOT_AVAILABLE


async def test_a_group_agent_may_pull_without_a_session(stage: Stage) -> None:
    await stage.agent(group=GROUP, connect=False)
    await stage.gate()
    await stage.add()
    assert await stage.refusal("ann", OFFER) is NoTask.NOT_CONNECTED
    assert (await stage.pull()).state is TaskState.ACTIVE


@pytest.mark.parametrize("mode", list(ClaimMode))
async def test_offers_and_leases_fill_the_capacity(stage: Stage, mode: ClaimMode) -> None:
    await stage.agent(capacity=2)
    for id in ("t1", "t2", "t3"):
        await stage.add(id)
    handed(await stage.claim("ann", mode))
    handed(await stage.claim("ann", mode))
    assert await stage.refusal("ann", mode) is NoTask.NO_CAPACITY
    assert len((await stage.read_agent()).held) == 2


async def test_a_silent_feed_fails_closed(stage: Stage) -> None:
    await stage.agent(group=GROUP)
    await stage.gate(stale_after_ms=10 * SECOND)
    await stage.add()
    stage.later(10 * SECOND + 1)
    assert await stage.refusal() is NoTask.FEED_STALE
    assert await stage.refusal("ann", LEASE) is NoTask.FEED_STALE
    await stage.report({})
    assert (await stage.offer()).id == "t1"


async def test_a_gate_that_is_not_renewed_closes(stage: Stage) -> None:
    await stage.agent(group=GROUP)
    await stage.gate(valid_until_ms=T0 + SECOND)
    await stage.add()
    stage.later(SECOND)
    assert await stage.refusal() is NoTask.GATE_EXPIRED


async def test_a_group_without_a_gate_gets_nothing(stage: Stage) -> None:
    await stage.agent(group=GROUP)
    await stage.add()
    assert await stage.refusal() in {NoTask.GATE_EXPIRED, NoTask.GATE_CLOSED, NoTask.FEED_STALE}


async def test_closed_by_hand_is_closed_at_once(stage: Stage) -> None:
    await stage.agent(group=GROUP)
    await stage.gate()
    await stage.add()
    await stage.store.set_gate_mode(stage.site, GROUP, GateMode.CLOSED, 0, "storm", "sue", now_ms=stage.now)
    assert await stage.refusal() is NoTask.GATE_CLOSED


async def test_the_minimum_idle_time_runs_from_becoming_available(stage: Stage) -> None:
    await stage.agent(group=GROUP)
    await stage.gate(min_idle_ms=5 * SECOND)
    await stage.add()
    stage.later(5 * SECOND - 1)
    assert await stage.refusal() is NoTask.TOO_SOON
    stage.later(1)
    assert (await stage.offer()).id == "t1"


async def test_the_minimum_idle_time_starts_again_after_a_task(stage: Stage) -> None:
    await stage.agent(group=GROUP)
    await stage.gate(min_idle_ms=5 * SECOND)
    await stage.add("t1")
    await stage.add("t2")
    stage.later(MINUTE)
    await stage.complete(await stage.pull())
    assert await stage.refusal() is NoTask.TOO_SOON
    stage.later(5 * SECOND)
    await stage.pull()


async def test_the_allowance_counts_agents_with_offers_or_leases(stage: Stage) -> None:
    for id in ("ann", "bob", "cyd"):
        await stage.agent(id, group=GROUP)
    await stage.gate(allowance=2)
    for id in ("t1", "t2", "t3"):
        await stage.add(id)
    offered = await stage.offer("ann")
    await stage.pull("bob")
    assert await stage.refusal("cyd") is NoTask.ALLOWANCE_REACHED
    await stage.decline(offered)
    await stage.offer("cyd")


async def test_an_agent_on_a_task_takes_no_second_place_of_the_allowance(stage: Stage) -> None:
    await stage.agent("ann", group=GROUP, capacity=2)
    await stage.agent("bob", group=GROUP)
    await stage.gate(allowance=1)
    for id in ("t1", "t2", "t3"):
        await stage.add(id)
    await stage.pull("ann")
    await stage.pull("ann")
    assert await stage.refusal("bob") is NoTask.ALLOWANCE_REACHED


async def test_dedicated_agents_need_no_gate_and_use_no_allowance(stage: Stage) -> None:
    await stage.agent("ann", group=GROUP)
    await stage.agent("dan")
    await stage.gate(allowance=1)
    await stage.add("t1")
    await stage.add("t2")
    await stage.pull("dan")
    await stage.pull("ann")


async def test_the_reserve_keeps_idle_agents_for_calls(stage: Stage) -> None:
    for id in ("ann", "bob", "cyd"):
        await stage.agent(id, group=GROUP)
    await stage.gate(reserve=2, reserve_firm=2)
    await stage.add("t1")
    await stage.add("t2")
    await stage.pull("ann")
    assert await stage.refusal("bob") is NoTask.RESERVE_HELD


async def test_an_agent_on_a_task_takes_nobody_from_the_reserve(stage: Stage) -> None:
    await stage.agent("ann", group=GROUP, capacity=3)
    await stage.gate(reserve=0, reserve_firm=0)
    await stage.add("t1")
    await stage.add("t2", interruptible=False)
    await stage.pull("ann")
    await stage.pull("ann")


async def test_the_firm_reserve_keeps_them_from_work_that_cannot_be_interrupted(stage: Stage) -> None:
    await stage.agent("ann", group=GROUP)
    await stage.agent("bob", group=GROUP)
    await stage.gate(reserve=0, reserve_firm=2)
    await stage.add("firm", interruptible=False, origin_ms=T0 - HOUR)
    assert await stage.refusal("ann") is NoTask.RESERVE_HELD
    await stage.add("soft")
    assert (await stage.pull("ann")).id == "soft"
    await stage.gate(reserve=0, reserve_firm=0)
    assert (await stage.pull("bob")).id == "firm"


# -- bounded walks -----------------------------------------------------------------------------------------
async def test_a_long_walk_goes_on_where_it_stopped(stage: Stage) -> None:
    """Two hundred tasks that exclude the agent stand before the one that does not."""
    await stage.agent()
    walls = [new_task(f"wall{n:03}", origin_ms=T0 - HOUR + n, excluded_agents=("ann",)) for n in range(200)]
    await stage.submit(*walls[:100])
    await stage.submit(*walls[100:])
    await stage.add("mine")
    claim = await stage.claim("ann", LEASE)
    for _ in range(60):
        if claim.reason is not NoTask.MORE:
            break
        assert claim.cursor
        claim = await stage.claim("ann", LEASE, cursor=claim.cursor)
    assert handed(claim).id == "mine"


async def test_a_walk_over_many_queues_goes_on_where_it_stopped(stage: Stage) -> None:
    """A hundred queues on the agent's shelf need a second skill that it lacks."""
    await stage.agent(skills={"claims": 5})
    for start in (0, 60):
        await stage.submit(
            *(
                new_task(f"t{n:03}", skills={"claims": 5, f"x{n:03}": 1}, origin_ms=T0 - HOUR + n)
                for n in range(start, start + 60)
            )
        )
    await stage.add("mine", skills={"claims": 5})
    claim = await stage.claim("ann", LEASE)
    assert claim.reason == "MORE"
    for _ in range(20):
        if claim.reason is not NoTask.MORE:
            break
        claim = await stage.claim("ann", LEASE, cursor=claim.cursor)
    assert handed(claim).id == "mine"


async def test_a_walk_that_finds_nothing_ends(stage: Stage) -> None:
    await stage.agent()
    await stage.submit(*(new_task(f"t{n}", excluded_agents=("ann",)) for n in range(90)))
    claim = await stage.claim("ann", LEASE)
    for _ in range(30):
        if claim.reason is not NoTask.MORE:
            break
        claim = await stage.claim("ann", LEASE, cursor=claim.cursor)
    assert claim.reason is NoTask.NO_TASK
