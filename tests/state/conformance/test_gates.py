"""Leaders and gates: a fenced lease, and what a supervisor decides by hand."""

from __future__ import annotations

from router.domain.errors import Superseded
from router.domain.model import AgentState, Gate, GateMode, NoTask
from router.domain.ports import NewTask
from tests.support.builders import GROUP, HOUR, MINUTE, SECOND, gate, new_task
from tests.support.stage import Stage


async def by_hand(stage: Stage, mode: GateMode, until_ms: int = 0) -> Gate:
    return await stage.store.set_gate_mode(
        stage.site, GROUP, mode, until_ms, "storm", "sue", now_ms=stage.now
    )


async def test_one_worker_leads_at_a_time(stage: Stage) -> None:
    term = await stage.lead(worker="w1", ttl_ms=10 * SECOND)
    assert term > 0
    assert await stage.lead(worker="w2", ttl_ms=10 * SECOND) == 0
    stage.later(9 * SECOND)
    assert await stage.lead(worker="w1", ttl_ms=10 * SECOND) == term
    stage.later(9 * SECOND)
    assert await stage.lead(worker="w2", ttl_ms=10 * SECOND) == 0


async def test_a_leader_that_falls_silent_is_followed_by_another_term(stage: Stage) -> None:
    term = await stage.lead(worker="w1", ttl_ms=10 * SECOND)
    stage.later(10 * SECOND)
    next_term = await stage.lead(worker="w2", ttl_ms=10 * SECOND)
    assert next_term > term
    assert await stage.lead(worker="w1", ttl_ms=10 * SECOND) == 0


async def test_a_leader_that_lapsed_comes_back_with_a_new_term(stage: Stage) -> None:
    term = await stage.lead(worker="w1", ttl_ms=SECOND)
    stage.later(MINUTE)
    assert await stage.lead(worker="w1", ttl_ms=SECOND) > term


async def test_groups_have_their_own_leaders(stage: Stage) -> None:
    assert await stage.lead("red", "w1") > 0
    assert await stage.lead("green", "w2") > 0


async def test_a_gate_comes_back_as_written(stage: Stage) -> None:
    written = await stage.gate(reserve=2, reserve_firm=3, acd_control=True, armed=True, reason="dip")
    assert written == await stage.store.gate(stage.site, GROUP)
    assert (written.open, written.allowance, written.reserve, written.reserve_firm) == (True, 5, 2, 3)
    assert (written.acd_control, written.armed, written.reason) == (True, True, "dip")
    assert written.policy_version == 7


async def test_where_no_gate_was_set_it_is_closed(stage: Stage) -> None:
    missing = await stage.store.gate(stage.site, "unheard-of")
    assert not missing.open
    assert missing.valid_until_ms == 0


async def test_an_old_leader_writes_no_gate(stage: Stage) -> None:
    old = await stage.lead(worker="w1", ttl_ms=SECOND)
    stage.later(MINUTE)
    new = await stage.lead(worker="w2", ttl_ms=HOUR)
    for term in (old, 0, new + 1):
        attempt = stage.store.set_gate(stage.site, gate(term=term), now_ms=stage.now)
        await stage.refuses(Superseded, attempt)
    await stage.store.set_gate(stage.site, gate(term=new), now_ms=stage.now)


async def test_a_lapsed_leader_writes_no_gate_even_when_nobody_followed(stage: Stage) -> None:
    term = await stage.lead(worker="w1", ttl_ms=SECOND)
    stage.later(SECOND)
    attempt = stage.store.set_gate(stage.site, gate(term=term), now_ms=stage.now)
    await stage.refuses(Superseded, attempt)


async def test_the_hand_of_a_supervisor_stays_over_the_law(stage: Stage) -> None:
    await stage.agent(group=GROUP)
    await stage.gate()
    await stage.add()
    closed = await by_hand(stage, GateMode.CLOSED)
    assert closed.mode is GateMode.CLOSED
    await stage.gate(open=True)
    assert (await stage.store.gate(stage.site, GROUP)).mode is GateMode.CLOSED
    assert await stage.refusal() is NoTask.GATE_CLOSED
    await by_hand(stage, GateMode.AUTO)
    await stage.gate(open=True)
    assert (await stage.offer()).id == "t1"


async def test_the_hand_of_a_supervisor_holds_as_long_as_was_said(stage: Stage) -> None:
    await stage.agent(group=GROUP)
    await stage.gate()
    await stage.add()
    await by_hand(stage, GateMode.CLOSED, stage.now + MINUTE)
    stage.later(MINUTE - 1)
    await stage.gate(open=True)
    assert await stage.refusal() is NoTask.GATE_CLOSED
    stage.later(1)
    await stage.gate(open=True)
    assert (await stage.store.gate(stage.site, GROUP)).mode is GateMode.AUTO
    assert (await stage.offer()).id == "t1"


async def test_opened_by_hand_it_lets_agents_in_although_the_law_would_not(stage: Stage) -> None:
    await stage.agent(group=GROUP)
    await stage.gate(open=False)
    await stage.add()
    assert await stage.refusal() is NoTask.GATE_CLOSED
    await by_hand(stage, GateMode.OPEN)
    await stage.gate(open=False)
    assert (await stage.offer()).id == "t1"


async def test_opened_by_hand_it_still_fails_closed(stage: Stage) -> None:
    await stage.agent(group=GROUP)
    await stage.gate(stale_after_ms=10 * SECOND)
    await by_hand(stage, GateMode.OPEN)
    await stage.add()
    stage.later(11 * SECOND)
    assert await stage.refusal() is NoTask.FEED_STALE
    stage.later(2 * HOUR)
    await stage.report({"ann": AgentState.AVAILABLE})
    assert await stage.refusal() is NoTask.GATE_EXPIRED


async def test_each_hand_over_notes_the_policy_version(stage: Stage) -> None:
    await stage.agent(group=GROUP)
    await stage.gate(policy_version=12)
    await stage.add()
    assert (await stage.offer()).policy_version == 12


async def test_a_smaller_allowance_takes_nothing_away_by_itself(stage: Stage) -> None:
    await stage.agent(group=GROUP)
    await stage.gate()
    tasks: list[NewTask] = [new_task("t1")]
    await stage.submit(*tasks)
    task = await stage.pull()
    await stage.gate(allowance=0, open=False)
    assert (await stage.task()).fence == task.fence
    await stage.complete(task)
