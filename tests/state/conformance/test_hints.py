"""Hints: what wakes whom. A lost hint costs latency only, so nothing here is needed for correctness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from router.domain.model import AgentState, CommandKind, TaskState
from router.domain.ports import Hint, TaskUpdate
from router.state.redis import RedisStore
from tests.support.builders import GROUP, MINUTE, profile, queue_spec
from tests.support.stage import Stage
from tests.support.stores import MEMORY, opened

_PATIENCE_S = 5.0


class Mailbox:
    """What one worker was told, in order."""

    def __init__(self) -> None:
        self.hints: list[Hint] = []
        self._arrived = asyncio.Event()

    def receive(self, hint: Hint) -> None:
        """The listener."""
        self.hints.append(hint)
        self._arrived.set()

    async def until(self, kind: str, fits: Callable[[Hint], bool] = lambda _: True) -> Hint:
        """The first hint of this kind that fits, once it is there."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                for hint in self.hints:
                    if hint.kind == kind and fits(hint):
                        return hint
                self._arrived.clear()
                await self._arrived.wait()

    def kinds(self, agent: str = "ann") -> list[str]:
        """The kinds of hints about the agent, so far."""
        return [hint.kind for hint in self.hints if hint.agent == agent]


async def settle(stage: Stage, mailbox: Mailbox) -> None:
    """Everything sent before has arrived: a document's hint came after it."""
    name = f"mark{len(mailbox.hints)}"
    await stage.store.put_document(stage.site, "mark", name, "", None, now_ms=stage.now)
    await mailbox.until("doc", lambda hint: hint.reason == f"mark/{name}")


@pytest.fixture
async def mailbox(stage: Stage) -> AsyncIterator[Mailbox]:
    """The hints for worker w1, from a moment on at which they flow."""
    box = Mailbox()
    stop = stage.store.listen("w1", box.receive)
    for attempt in range(500):
        await stage.store.put_document(stage.site, "mark", f"start{attempt}", "", None, now_ms=stage.now)
        try:
            async with asyncio.timeout(0.02):
                await box.until("doc")
            break
        except TimeoutError:
            continue
    yield box
    stop()


async def test_an_offer_is_pushed_with_all_that_the_desktop_needs(stage: Stage, mailbox: Mailbox) -> None:
    await stage.agent()
    await stage.add(payload=b"\xffform", labels={"a": "ü"})
    task = await stage.offer()
    hint = await mailbox.until("offer")
    assert (hint.site, hint.agent) == (stage.site, "ann")
    assert hint.task == task


async def test_an_offer_carries_the_checkpoint_of_the_work_done_before(
    stage: Stage, mailbox: Mailbox
) -> None:
    await stage.release(await stage.active(decline_exclusion_ms=0), b"half\xff")
    await stage.offer()
    hint = await mailbox.until(
        "offer", lambda hint: hint.task is not None and hint.task.checkpoint is not None
    )
    assert hint.task is not None
    assert hint.task.checkpoint is not None
    assert hint.task.checkpoint.data == b"half\xff"


async def test_a_call_rescinds_the_offer_on_the_desktop(stage: Stage, mailbox: Mailbox) -> None:
    await stage.agent(group=GROUP)
    await stage.gate()
    await stage.add()
    await stage.offer()
    await stage.report({"ann": AgentState.RINGING})
    hint = await mailbox.until("rescind")
    assert hint.task is not None
    assert (hint.agent, hint.task.id) == ("ann", "t1")


async def test_a_recall_tells_how_long_there_is(stage: Stage, mailbox: Mailbox) -> None:
    task = await stage.active()
    await stage.recalled(task, 7_000)
    hint = await mailbox.until("recall")
    assert hint.task is not None
    assert (hint.agent, hint.task.state, hint.notice_ms) == ("ann", TaskState.RECALLING, 7_000)


async def test_what_is_taken_away_is_revoked(stage: Stage, mailbox: Mailbox) -> None:
    task = await stage.active()
    await stage.store.force(stage.site, "t1", task.fence, "storm", "sue", now_ms=stage.now)
    hint = await mailbox.until("revoke")
    assert hint.task is not None
    assert (hint.agent, hint.task.id, hint.reason) == ("ann", "t1", "storm")


async def test_a_cancel_reaches_the_holder(stage: Stage, mailbox: Mailbox) -> None:
    await stage.active()
    await stage.cancel()
    assert (await mailbox.until("revoke")).agent == "ann"


async def test_an_older_session_is_told_that_it_was_replaced(stage: Stage, mailbox: Mailbox) -> None:
    await stage.agent()
    await stage.store.connect(stage.site, "ann", "w2", "newer", True, now_ms=stage.now)
    hint = await mailbox.until("agent", lambda hint: hint.reason == "SESSION_REPLACED")
    assert (hint.agent, hint.source) == ("ann", "s-ann")


async def test_new_work_wakes_with_its_anchor(stage: Stage, mailbox: Mailbox) -> None:
    await stage.add()
    assert (await mailbox.until("work")).anchor == queue_spec().anchor


async def test_a_gate_that_changes_wakes(stage: Stage, mailbox: Mailbox) -> None:
    await stage.gate()
    assert (await mailbox.until("gate")).group == GROUP


async def test_a_report_wakes_the_groups_leader(stage: Stage, mailbox: Mailbox) -> None:
    await stage.agent(group=GROUP)
    assert GROUP in (await mailbox.until("report", lambda hint: bool(hint.group))).group.split()


async def test_a_command_reaches_the_acds_link(stage: Stage, mailbox: Mailbox) -> None:
    await stage.agent(group=GROUP)
    await stage.gate(acd_control=True)
    await stage.add()
    await stage.offer()
    hint = await mailbox.until("command")
    assert hint.command is not None
    assert (hint.command.kind, hint.command.agent) == (CommandKind.RESERVE, "ann")
    await settle(stage, mailbox)
    assert "offer" not in mailbox.kinds()  # hidden until the ACD has confirmed
    await stage.store.command_result(stage.site, hint.command.id, "ann", True, "", now_ms=stage.now)
    await mailbox.until("offer")


async def test_other_workers_hear_nothing_of_an_agents_desktop(stage: Stage, mailbox: Mailbox) -> None:
    await stage.put_profile(profile())
    await stage.store.connect(stage.site, "ann", "w2", "s", True, now_ms=stage.now)
    await stage.add()
    await stage.offer()
    await settle(stage, mailbox)
    assert not {"offer", "rescind", "recall", "revoke"} & set(mailbox.kinds())


async def test_a_refused_transition_sends_nothing(stage: Stage, mailbox: Mailbox) -> None:
    await stage.agent()
    await settle(stage, mailbox)
    before = len(mailbox.hints)
    assert (await stage.claim()).task is None
    await settle(stage, mailbox)
    assert [hint.kind for hint in mailbox.hints[before:]] == ["doc"]


async def test_an_offer_that_ends_is_withdrawn_and_a_lease_revoked(stage: Stage, mailbox: Mailbox) -> None:
    await stage.agent()
    await stage.add()
    await stage.offer()
    await stage.cancel()
    assert (await mailbox.until("rescind")).reason == "CANCELED"
    await stage.active("t2")
    await stage.cancel("t2")
    assert (await mailbox.until("revoke")).reason == "CANCELED"


async def test_an_offer_that_is_moved_is_withdrawn(stage: Stage, mailbox: Mailbox) -> None:
    await stage.agent()
    await stage.add()
    await stage.offer()
    await stage.store.update(stage.site, "t1", TaskUpdate(take_back=True), "sue", now_ms=stage.now)
    assert (await mailbox.until("rescind")).reason == "TAKEN_BACK"


async def test_an_agent_is_told_that_its_parked_task_is_gone(stage: Stage, mailbox: Mailbox) -> None:
    await stage.park(await stage.active("t1"))
    await stage.cancel("t1")
    hint = await mailbox.until("revoke")
    assert hint.task is not None
    assert (hint.agent, hint.task.id, hint.reason) == ("ann", "t1", "CANCELED")
    await stage.park(await stage.active("t2"), for_ms=MINUTE)
    stage.later(MINUTE)
    await stage.advance("t2")
    await mailbox.until("revoke", lambda hint: hint.reason == "PARK_OVER")
    await stage.park(await stage.active("t3", expire_ms=stage.now + MINUTE))
    stage.later(MINUTE)
    await stage.advance("t3")
    await mailbox.until("revoke", lambda hint: hint.reason == "EXPIRED")


async def test_who_may_be_asked_is_told_with_all_that_a_leader_needs(stage: Stage, mailbox: Mailbox) -> None:
    agent = await stage.agent(skills={"claims": 3})
    hint = await mailbox.until("idle", lambda hint: hint.agent == "ann")
    assert hint.about is not None
    assert hint.about.profile.skills == agent.profile.skills
    assert (hint.about.idle_since_ms, hint.at_ms, hint.queued) == (agent.idle_since_ms, stage.now, 0)


async def test_an_idle_hint_tells_how_much_is_queued(stage: Stage, mailbox: Mailbox) -> None:
    await stage.add()
    await stage.agent()
    assert (await mailbox.until("idle", lambda hint: hint.agent == "ann")).queued == 1


async def test_leaving_the_idle_index_is_told_unless_an_offer_did_it(stage: Stage, mailbox: Mailbox) -> None:
    await stage.agent()
    await stage.add("t1")
    await stage.offer()
    await settle(stage, mailbox)
    assert "busy" not in mailbox.kinds()
    await stage.agent("bob")
    await stage.store.set_ready(stage.site, "bob", "s-bob", False, now_ms=stage.now)
    assert (await mailbox.until("busy")).agent == "bob"


async def test_a_change_of_skills_or_leave_is_told_while_idle(stage: Stage, mailbox: Mailbox) -> None:
    await stage.agent()
    await stage.put_profile(profile("ann", skills={"claims": 5}))
    await mailbox.until("idle", lambda hint: bool(hint.about and hint.about.profile.skills == {"claims": 5}))


async def test_an_agent_that_changes_groups_leaves_one_and_comes_into_the_other(
    stage: Stage, mailbox: Mailbox
) -> None:
    await stage.agent()
    await stage.put_profile(profile("ann", blending_group=GROUP))
    assert (await mailbox.until("busy")).group == ""


async def test_of_many_agents_at_once_no_one_is_named(stage: Stage, mailbox: Mailbox) -> None:
    names = [f"agent{n:02d}" for n in range(20)]
    for name in names:
        await stage.agent(name, group=GROUP)
    await settle(stage, mailbox)
    before = len(mailbox.hints)
    await stage.report(dict.fromkeys(names, AgentState.ON_CALL))
    await settle(stage, mailbox)
    kinds = [hint.kind for hint in mailbox.hints[before:] if hint.kind in ("idle", "busy")]
    assert kinds == ["idle"]


async def test_what_comes_with_an_answer_comes_once_and_others_hear_it_too(
    stage: Stage, mailbox: Mailbox, store_kind: str, store_url: str | None
) -> None:
    if store_kind == MEMORY:
        pytest.skip("a store in memory has one process")
    async with opened(store_url) as elsewhere:
        other = Mailbox()
        stop = elsewhere.listen("w2", other.receive)
        assert isinstance(elsewhere, RedisStore)
        await elsewhere.listening()
        await stage.agent()
        await stage.add("t1")
        await stage.offer()
        await settle(stage, mailbox)
        await other.until("work")
        await stage.add("t2")
        await other.until("work", lambda hint: other.hints.count(hint) == 2)
        stop()
    assert [hint.kind for hint in mailbox.hints if hint.kind in ("work", "offer")] == [
        "work",
        "offer",
        "work",
    ]
    assert "offer" not in other.kinds()


async def test_a_caller_that_gives_up_takes_no_hint_with_it(stage: Stage, mailbox: Mailbox) -> None:
    await stage.agent()
    await stage.add()
    await stage.offer()
    giving_up = asyncio.create_task(stage.cancel())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    giving_up.cancel()
    await asyncio.gather(giving_up, return_exceptions=True)
    await mailbox.until("rescind")
