"""Profiles, sessions, and who is idle."""

from __future__ import annotations

import asyncio

import pytest

from router.domain.errors import AlreadyExists, EtagMismatch, NotFound, WrongState
from router.domain.model import AgentState, NoTask
from tests.support.builders import GROUP, HOUR, MINUTE, profile
from tests.support.stage import Stage


async def idle(stage: Stage, group: str = GROUP) -> list[str]:
    return [agent.profile.id for agent in await stage.store.idle_agents(stage.site, group, 100)]


async def test_a_profile_comes_back_unchanged(stage: Stage) -> None:
    wanted = profile(
        "ann",
        display_name="Änne | Ärmel",
        skills={"claims": 5, "a@b": 1},
        teams=("north", "south"),
        blending_group=GROUP,
        capacity=3,
        auto_accept=True,
    )
    agent = await stage.put_profile(wanted)
    assert agent.profile == wanted
    assert (agent.state, agent.connected, agent.ready, agent.held) == (AgentState.OFFLINE, False, False, ())
    assert await stage.read_agent() == agent


async def test_a_profile_is_created_once(stage: Stage) -> None:
    agent = await stage.put_profile(profile(), 0)
    await stage.refuses(AlreadyExists, stage.put_profile(profile(capacity=2), 0))
    replaced = await stage.put_profile(profile(capacity=2), agent.revision)
    assert replaced.profile.capacity == 2
    await stage.refuses(EtagMismatch, stage.put_profile(profile(capacity=3), agent.revision))
    assert (await stage.put_profile(profile(capacity=4))).profile.capacity == 4


async def test_a_new_profile_leaves_the_live_state_alone(stage: Stage) -> None:
    await stage.agent(group=GROUP)
    await stage.gate()
    await stage.add()
    await stage.offer()
    before = await stage.read_agent()
    after = await stage.put_profile(profile("ann", skills={}, blending_group=GROUP))
    assert (after.state, after.session, after.held) == (before.state, before.session, before.held)
    assert after.profile.skills == {}


async def test_new_skills_count_at_the_next_claim(stage: Stage) -> None:
    await stage.agent(skills={})
    await stage.add()
    assert await stage.refusal() is NoTask.NO_TASK
    await stage.put_profile(profile(skills={"claims": 2}))
    assert (await stage.offer()).id == "t1"


async def test_nobody_changes_groups_with_work_in_hand(stage: Stage) -> None:
    task = await stage.active()
    await stage.refuses(WrongState, stage.put_profile(profile(blending_group=GROUP)))
    await stage.complete(task)
    assert (await stage.put_profile(profile(blending_group=GROUP))).profile.blending_group == GROUP


async def test_an_agent_is_forgotten_only_when_gone_and_empty_handed(stage: Stage) -> None:
    task = await stage.active()
    await stage.disconnect()
    delete = stage.store.delete_profile
    await stage.refuses(WrongState, delete(stage.site, "ann", now_ms=stage.now))
    await stage.complete(task)
    await stage.connect()
    await stage.refuses(WrongState, delete(stage.site, "ann", now_ms=stage.now))
    await stage.disconnect()
    await delete(stage.site, "ann", now_ms=stage.now)
    with pytest.raises(NotFound):
        await stage.read_agent()
    await stage.refuses(NotFound, stage.connect())


async def test_a_session_makes_an_agent_reachable(stage: Stage) -> None:
    await stage.put_profile(profile())
    agent = await stage.store.connect(stage.site, "ann", "w7", "s1", True, now_ms=stage.now)
    assert (agent.worker, agent.session, agent.ready) == ("w7", "s1", True)
    assert await stage.store.sessions_of(stage.site, "w7") == [("ann", "s1")]
    assert await stage.store.sessions_of(stage.site, "w8") == []
    await stage.store.disconnect(stage.site, "ann", "s1", now_ms=stage.now)
    assert not (await stage.read_agent()).connected
    assert await stage.store.sessions_of(stage.site, "w7") == []


async def test_the_sessions_of_one_worker_are_found_among_many_agents(stage: Stage) -> None:
    names = [f"agent{n:03d}" for n in range(450)]
    await asyncio.gather(*(stage.put_profile(profile(name)) for name in names))
    for name in (names[0], names[-1]):
        await stage.store.connect(stage.site, name, "w7", f"of {name}", True, now_ms=stage.now)
    assert await stage.store.sessions_of(stage.site, "w7") == [
        (name, f"of {name}") for name in (names[0], names[-1])
    ]


async def test_a_newer_session_replaces_the_older_whose_end_then_means_nothing(stage: Stage) -> None:
    await stage.put_profile(profile())
    connect, disconnect = stage.store.connect, stage.store.disconnect
    await connect(stage.site, "ann", "w1", "old", True, now_ms=stage.now)
    await connect(stage.site, "ann", "w2", "new", True, now_ms=stage.now)
    before = await stage.dump()
    await disconnect(stage.site, "ann", "old", now_ms=stage.now)
    assert await stage.dump() == before
    assert (await stage.read_agent()).worker == "w2"
    await stage.refuses(WrongState, stage.store.set_ready(stage.site, "ann", "old", False, now_ms=stage.now))


async def test_work_outlives_a_session(stage: Stage) -> None:
    task = await stage.active()
    await stage.disconnect()
    assert (await stage.task()).agent == "ann"
    await stage.connect(session="another")
    assert (await stage.read_agent()).held == ("t1",)
    await stage.complete(task)


async def test_draining_lets_an_agent_finish(stage: Stage) -> None:
    task = await stage.active()
    await stage.add("t2")
    agent = await stage.store.set_draining(stage.site, "ann", True, now_ms=stage.now)
    assert agent.draining
    await stage.complete(task)
    assert await stage.refusal() is NoTask.DRAINING


async def test_agents_are_listed_in_pages(stage: Stage) -> None:
    for n in range(7):
        await stage.put_profile(profile(f"a{n}"))
    seen, cursor = [], ""
    for _ in range(10):
        page, cursor = await stage.store.agents(stage.site, cursor, 3)
        assert len(page) <= 3
        seen += [agent.profile.id for agent in page]
        if not cursor:
            break
    assert seen == [f"a{n}" for n in range(7)]


async def test_the_longest_idle_agent_comes_first(stage: Stage) -> None:
    for id in ("cyd", "ann", "bob"):
        await stage.agent(id, group=GROUP)
        stage.later(MINUTE)
    assert await idle(stage) == ["cyd", "ann", "bob"]
    await stage.gate()
    await stage.add()
    await stage.complete(await stage.pull("cyd"))
    assert await idle(stage) == ["ann", "bob", "cyd"]
    assert len(await stage.store.idle_agents(stage.site, GROUP, 2)) == 2


async def test_a_repeated_report_does_not_restart_the_idle_time(stage: Stage) -> None:
    await stage.agent("ann", group=GROUP)
    since = (await stage.read_agent()).idle_since_ms
    stage.later(MINUTE)
    await stage.report({"ann": AgentState.AVAILABLE})
    agent = await stage.read_agent()
    assert (agent.idle_since_ms, agent.state_ms) == (since, since)


async def test_only_available_connected_ready_agents_with_room_are_idle(stage: Stage) -> None:
    store, site = stage.store, stage.site
    await stage.gate()
    await stage.agent("ann", group=GROUP)
    await stage.agent("far", group=GROUP, connect=False)
    assert await idle(stage) == ["ann"]
    await stage.report({"ann": AgentState.ON_CALL})
    assert await idle(stage) == []
    await stage.report({"ann": AgentState.AVAILABLE})
    assert await idle(stage) == ["ann"]
    await store.set_ready(site, "ann", "s-ann", False, now_ms=stage.now)
    assert await idle(stage) == []
    await store.set_ready(site, "ann", "s-ann", True, now_ms=stage.now)
    await store.set_draining(site, "ann", True, now_ms=stage.now)
    assert await idle(stage) == []
    await store.set_draining(site, "ann", False, now_ms=stage.now)
    await stage.add()
    task = await stage.offer("ann")
    assert await idle(stage) == []
    await stage.decline(task)
    assert await idle(stage) == ["ann"]
    await stage.disconnect("ann")
    assert await idle(stage) == []


async def test_room_for_one_more_keeps_an_agent_in_the_index(stage: Stage) -> None:
    await stage.agent("ann", group=GROUP, capacity=2)
    await stage.gate()
    await stage.add()
    await stage.offer("ann")
    assert await idle(stage) == ["ann"]


async def test_groups_do_not_mix(stage: Stage) -> None:
    await stage.agent("ann", group="red")
    await stage.agent("bob", group="red-2")
    assert await idle(stage, "red") == ["ann"]
    assert await idle(stage, "red-2") == ["bob"]


async def test_who_holds_work_is_listed_by_group(stage: Stage) -> None:
    for id in ("ann", "bob"):
        await stage.agent(id, group=GROUP)
    await stage.gate()
    await stage.add("t1")
    await stage.add("t2")
    task = await stage.pull("bob")
    assert [agent.profile.id for agent in await stage.store.holding(stage.site, GROUP, 10)] == ["bob"]
    await stage.offer("ann")
    assert len(await stage.store.holding(stage.site, GROUP, 10)) == 2
    assert len(await stage.store.holding(stage.site, GROUP, 1)) == 1
    await stage.complete(task)
    assert [agent.profile.id for agent in await stage.store.holding(stage.site, GROUP, 10)] == ["ann"]


async def test_silent_workers_are_told_of(stage: Stage) -> None:
    beat = stage.store.beat
    assert await beat(stage.site, "w1", now_ms=stage.now) == []
    assert await beat(stage.site, "w2", now_ms=stage.now) == []
    stage.later(14_999)
    assert await beat(stage.site, "w2", now_ms=stage.now) == []
    stage.later(1)
    assert await beat(stage.site, "w2", now_ms=stage.now) == ["w1"]
    assert await beat(stage.site, "w1", now_ms=stage.now) == []
    stage.later(HOUR)
    assert await beat(stage.site, "w1", now_ms=stage.now) == ["w2"]
