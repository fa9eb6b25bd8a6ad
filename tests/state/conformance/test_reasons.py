"""What is kept of why something was done, and what may be done twice."""

from __future__ import annotations

from dataclasses import replace

from router.domain.errors import EtagMismatch
from router.domain.model import AgentReport, AgentState, ClaimMode, NoTask, TaskState
from router.domain.ports import TaskUpdate
from tests.support.builders import HOUR, MINUTE
from tests.support.stage import Stage

DAY = 24 * HOUR


async def last_step(stage: Stage, id: str = "t1") -> tuple[str, str, str]:
    """Name, actor and reason of the task's latest arrow."""
    step = (await stage.store.history(stage.site, id))[-1]
    return step.name, step.actor, step.reason


async def dead(stage: Stage) -> None:
    """A task that failed as often as it may."""
    await stage.active(max_attempts=1)
    stage.later(HOUR)
    await stage.advance()
    assert await stage.state() is TaskState.DEAD_LETTER


# -- a pull that is repeated ---------------------------------------------------------------------------------
async def test_a_pull_done_once_is_answered_with_the_lease_that_it_got(stage: Stage) -> None:
    await stage.agent(capacity=2)
    await stage.add("t1")
    await stage.add("t2")
    first = await stage.pull(why="pulled, request 1", once=True)
    before = await stage.dump()
    assert await stage.pull(why="pulled, request 1", once=True) == first
    assert await stage.dump() == before
    other = await stage.pull(why="pulled, request 2", once=True)
    assert {first.id, other.id} == {"t1", "t2"}


async def test_the_lease_is_the_answer_however_the_agent_stands_now(stage: Stage) -> None:
    task = await stage.active()
    await stage.agent("bob")
    await stage.add("t2")
    lease = await stage.pull("bob", why="request 1", once=True)
    await stage.store.set_draining(stage.site, "bob", True, now_ms=stage.now)
    assert (await stage.pull("bob", why="request 1", once=True)).fence == lease.fence
    assert await stage.refusal("bob", ClaimMode.LEASE, why="request 2", once=True) is NoTask.DRAINING
    assert task.agent == "ann"


async def test_a_pull_whose_task_is_gone_gets_another(stage: Stage) -> None:
    await stage.agent()
    await stage.add("t1")
    await stage.complete(await stage.pull(why="request 1", once=True))
    await stage.add("t2")
    assert (await stage.pull(why="request 1", once=True)).id == "t2"


async def test_an_offer_is_no_answer_to_a_pull(stage: Stage) -> None:
    await stage.agent(capacity=2)
    await stage.add("t1")
    await stage.offer(why="the same words")
    await stage.add("t2")
    assert (await stage.pull(why="the same words", once=True)).id == "t2"


# -- reasons -----------------------------------------------------------------------------------------------
async def test_the_reason_of_an_update_is_kept(stage: Stage) -> None:
    task = await stage.add()
    spec = replace(task.spec, priority=90)
    change = TaskUpdate(spec=spec, reason="the customer called")
    await stage.store.update(stage.site, "t1", change, "supervisor:sue", now_ms=stage.now)
    assert await last_step(stage) == ("update", "supervisor:sue", "the customer called")


async def test_the_reason_of_a_reassignment_is_kept_and_without_one_the_word(stage: Stage) -> None:
    for reason, kept in (("she knows him", "she knows him"), ("", "TAKEN_BACK")):
        task = await stage.active(f"t{len(reason)}")
        change = TaskUpdate(take_back=True, reason=reason)
        await stage.store.update(stage.site, task.id, change, "sue", now_ms=stage.now)
        assert await last_step(stage, task.id) == ("update", "sue", kept)


async def test_the_reason_of_a_revival_is_kept(stage: Stage) -> None:
    await dead(stage)
    await stage.store.revive(stage.site, "t1", "sue", "the host is back", now_ms=stage.now)
    assert await last_step(stage) == ("revive", "sue", "the host is back")


async def test_a_revival_holds_to_its_revision(stage: Stage) -> None:
    await dead(stage)
    revision = (await stage.task()).revision
    revive = stage.store.revive
    await stage.refuses(EtagMismatch, revive(stage.site, "t1", "sue", "", revision - 1, now_ms=stage.now))
    await revive(stage.site, "t1", "sue", "", revision, now_ms=stage.now)
    assert await stage.state() is TaskState.QUEUED


async def test_a_profile_is_deleted_at_its_etag_only(stage: Stage) -> None:
    agent = await stage.agent()
    await stage.disconnect()
    delete = stage.store.delete_profile
    await stage.refuses(EtagMismatch, delete(stage.site, "ann", agent.revision + 1, now_ms=stage.now))
    await delete(stage.site, "ann", agent.revision, now_ms=stage.now)


async def test_why_an_agent_is_drained_is_kept_as_long_as_it_lasts(stage: Stage) -> None:
    await stage.agent()
    drain = stage.store.set_draining
    agent = await drain(stage.site, "ann", True, "meeting", now_ms=stage.now)
    assert (agent.draining, agent.drain_reason) == (True, "meeting")
    agent = await drain(stage.site, "ann", False, "ignored", now_ms=stage.now)
    assert (agent.draining, agent.drain_reason) == (False, "")


# -- reports -----------------------------------------------------------------------------------------------
async def test_a_state_counts_from_when_it_began(stage: Stage) -> None:
    await stage.agent()
    began = {
        stage.now - MINUTE: stage.now - MINUTE,
        stage.now + MINUTE: stage.now,
        stage.now - 3 * DAY: stage.now - DAY,
        0: stage.now,
    }
    for sequence, (since, counted) in enumerate(began.items(), 1):
        offline = [AgentReport("ann", AgentState.OFFLINE)]
        await stage.raw_report(2 * sequence, offline, snapshot=True)
        available = [AgentReport("ann", AgentState.AVAILABLE, since_ms=since)]
        await stage.raw_report(2 * sequence + 1, available, snapshot=False)
        agent = await stage.read_agent()
        assert (agent.state_ms, agent.idle_since_ms) == (counted, counted)


async def test_agents_without_a_profile_are_told(stage: Stage) -> None:
    await stage.agent()
    states = dict.fromkeys(("ann", "zoe", "yan"), AgentState.AVAILABLE)
    assert (await stage.report(states)).unknown == ("zoe", "yan")
    many = {f"a{number:03d}": AgentState.AVAILABLE for number in range(250)}
    assert (await stage.report(many)).unknown == tuple(many)
