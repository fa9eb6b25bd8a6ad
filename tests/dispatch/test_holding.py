"""What an agent does twice, late or from two streams at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from router.domain.errors import NotHolder, RouterError, Superseded, WrongState
from router.domain.model import AgentProfile, Task, TaskSpec, TaskState, WorkType
from tests.dispatch.scene import SITE, Scene, opened_scene
from tests.support.wait import wait_until


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """Two dedicated agents, nobody connected."""
    async with opened_scene() as scene:
        await scene.hire("ann", "bob", group="", capacity=2)
        yield scene


async def leased(scene: Scene, who: str = "ann") -> Task:
    await scene.submit()
    claim = await scene.router.agents.get_next(scene.agent(who))
    assert claim.task
    return claim.task


async def offered(scene: Scene, who: str = "ann") -> Task:
    await scene.sit_down(who)
    return await scene.until(await scene.submit(), TaskState.OFFERED)


# -- a pull --------------------------------------------------------------------------------------------------
async def test_a_pull_repeated_with_its_request_id_answers_the_same_lease(scene: Scene) -> None:
    await scene.submit()
    await scene.submit()
    agents, ann = scene.router.agents, scene.agent("ann")
    first = (await agents.get_next(ann, request_id="r1")).task
    assert first
    assert (await agents.get_next(ann, request_id="r1")).task == first
    assert (await agents.get_next(ann, 200, request_id="r1")).task == first
    other = (await agents.get_next(ann, request_id="r2")).task
    assert other
    assert other.id != first.id
    why = await scene.router.supervision.explain_task(scene.boss, first.id)
    assert "request r1" in why.summary


# -- acts that are repeated ----------------------------------------------------------------------------------
async def test_a_decline_is_repeated(scene: Scene) -> None:
    task = await offered(scene)
    agents, ann = scene.router.agents, scene.agent("ann")
    first = await agents.decline(ann, task.id, task.fence, "lunch")
    assert await agents.decline(ann, task.id, task.fence, "lunch") == first


async def test_a_release_and_a_park_are_repeated(scene: Scene) -> None:
    agents, ann = scene.router.agents, scene.agent("ann")
    task = await leased(scene)
    first = await agents.release(ann, task.id, task.fence, "no", b"half")
    assert await agents.release(ann, task.id, task.fence, "no", b"half") == first
    task = await leased(scene)
    first = await agents.park(ann, task.id, task.fence, None)
    assert await agents.park(ann, task.id, task.fence, None) == first


async def test_a_resume_is_repeated_until_the_task_moves_on(scene: Scene) -> None:
    agents, ann = scene.router.agents, scene.agent("ann")
    task = await leased(scene)
    await agents.park(ann, task.id, task.fence, None)
    first = await agents.resume(ann, task.id, task.fence)
    assert await agents.resume(ann, task.id, task.fence) == first
    await agents.park(ann, task.id, first.fence, None)
    await agents.resume(ann, task.id, first.fence)
    with pytest.raises(Superseded):
        await agents.resume(ann, task.id, task.fence)


async def test_what_comes_after_the_end_is_no_repeat(scene: Scene) -> None:
    agents, ann = scene.router.agents, scene.agent("ann")
    task = await leased(scene)
    await agents.checkpoint(ann, task.id, task.fence, b"half")
    await agents.release(ann, task.id, task.fence, "no", None)
    for act in (
        agents.checkpoint(ann, task.id, task.fence, b"half"),
        agents.complete(ann, task.id, task.fence, b"", ""),
        agents.park(ann, task.id, task.fence, None),
        agents.accept(ann, task.id, task.fence),
    ):
        with pytest.raises(WrongState):
            await act


# -- who comes too late --------------------------------------------------------------------------------------
async def test_who_lost_a_task_is_told_who_has_it(scene: Scene) -> None:
    task = await leased(scene)
    await scene.sit_down("bob")
    await scene.router.supervision.reassign(scene.boss, task.id, "bob", force=True, reason="urgent")
    with pytest.raises(Superseded) as caught:
        await scene.router.agents.complete(scene.agent("ann"), task.id, task.fence, b"", "")
    now = await scene.store.task(SITE, task.id)
    facts = {"state": "OFFERED", "holder": "bob", "current_fence": str(now.fence)}
    assert caught.value.metadata == facts
    assert "stop working on it" in caught.value.message


async def test_another_agents_task_is_refused_with_its_holder(scene: Scene) -> None:
    task = await leased(scene)
    with pytest.raises(NotHolder) as caught:
        await scene.router.agents.complete(scene.agent("bob"), task.id, task.fence, b"", "")
    assert caught.value.metadata["holder"] == "ann"


async def test_a_state_that_does_not_fit_is_named_with_those_that_would(scene: Scene) -> None:
    task = await offered(scene)
    with pytest.raises(WrongState, match="OFFERED with agent ann, it would have to be ACTIVE or RECALLING"):
        await scene.router.agents.complete(scene.agent("ann"), task.id, task.fence, b"", "")


# -- signs of life -------------------------------------------------------------------------------------------
async def test_a_sign_of_life_renews_every_lease_and_tells_the_recalls(scene: Scene) -> None:
    agents, ann = scene.router.agents, scene.agent("ann")
    one, two = await leased(scene), await leased(scene)
    await scene.store.recall(SITE, two.id, two.fence, 60_000, "CALL_WAITING", "router")
    renewal = await agents.renew(ann)
    assert [lease for lease, _ in renewal.answers] == [(one.id, one.fence)]
    ((recalled, step),) = renewal.recalled
    assert recalled.id == two.id
    assert step
    assert step.reason == "CALL_WAITING"


async def test_each_lease_named_in_a_sign_of_life_has_its_own_answer(scene: Scene) -> None:
    task = await leased(scene)
    renewal = await scene.router.agents.renew(scene.agent("ann"), [(task.id, task.fence), ("none", 1)])
    (_, good), (_, bad) = renewal.answers
    assert isinstance(good, Task)
    assert isinstance(bad, RouterError)


# -- sessions ------------------------------------------------------------------------------------------------
async def test_the_late_end_of_a_stream_does_not_end_the_next_one_of_the_same_desktop(scene: Scene) -> None:
    ann = scene.agent("ann")
    older = scene.router.hub.open_session(ann, True, "desk")
    await older.__aenter__()
    async with scene.router.hub.open_session(ann, True, "desk") as newer:
        await older.__aexit__(None, None, None)
        agent = await scene.store.agent(SITE, "ann")
        assert (agent.connected, agent.session) == (True, newer.id)
        assert newer.id.startswith("desk.")
    assert not (await scene.store.agent(SITE, "ann")).connected


async def test_a_snapshot_tells_why_a_task_is_recalled(scene: Scene) -> None:
    task = await leased(scene)
    await scene.store.recall(SITE, task.id, task.fence, 60_000, "the boss needs you", "supervisor:sue")
    (session,) = await scene.sit_down("ann")
    assert session.snapshot.recalls[task.id].reason == "the boss needs you"


# -- batches and sites -----------------------------------------------------------------------------------------
async def test_a_batch_may_name_its_tasks(scene: Scene) -> None:
    spec = TaskSpec("claims")
    answers = await scene.router.tasks.submit_many(
        scene.crm, [(spec, "", "a"), (spec, "", ""), (spec, "", "a")]
    )
    assert [getattr(a, "created", None) for a in answers] == [True, True, None]
    assert answers[0].task.id == "a"  # type: ignore[union-attr]
    assert isinstance(answers[2], RouterError)


async def test_the_first_task_of_a_new_site_does_not_wait_for_the_next_look(scene: Scene) -> None:
    from dataclasses import replace

    boss = replace(scene.boss, site="north")
    await scene.router.work_types.create(boss, WorkType("claims"))
    await scene.router.agents.create_agent(boss, AgentProfile("ann"))
    async with scene.router.hub.open_session(replace(scene.agent("ann"), site="north"), True):
        task = (await scene.router.tasks.submit(boss, TaskSpec("claims"))).task

        async def there() -> bool:
            return (await scene.store.task("north", task.id)).state is TaskState.OFFERED

        await wait_until(there, "the offer", 0.5)
