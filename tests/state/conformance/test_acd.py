"""ACD control: an agent is taken out of the call distribution before the offer is shown, and put back after."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from router.domain.errors import NotFound, WrongState
from router.domain.model import AcdCommand, AgentState, CommandKind, Task, TaskState
from tests.support.builders import GROUP, MINUTE, SECOND, SOURCE
from tests.support.stage import Stage


async def hidden_offer(stage: Stage, **fields: Any) -> Task:
    """Task t1 offered to ann, waiting for the ACD's word."""
    await stage.agent("ann", group=GROUP, **fields)
    await stage.gate(acd_control=True)
    await stage.add(offer_timeout_ms=20 * SECOND)
    return await stage.offer("ann")


async def standing(stage: Stage) -> list[AcdCommand]:
    return await stage.store.commands(stage.site, SOURCE)


async def answer(stage: Stage, ok: bool = True) -> Task | None:
    [command] = await standing(stage)
    error = "" if ok else "agent busy"
    return await stage.store.command_result(
        stage.site, command.id, command.agent, ok, error, now_ms=stage.now
    )


async def test_an_offer_stays_hidden_until_the_acd_confirms(stage: Stage) -> None:
    task = await hidden_offer(stage)
    assert not task.shown
    [command] = await standing(stage)
    assert (command.kind, command.agent, command.task) == (CommandKind.RESERVE, "ann", "t1")
    assert (command.source, command.fence, command.at_ms) == (SOURCE, task.fence, stage.now)
    await stage.refuses(WrongState, stage.store.accept(stage.site, "t1", "ann", task.fence, now_ms=stage.now))


async def test_the_acds_yes_shows_the_offer_and_starts_its_time_again(stage: Stage) -> None:
    await hidden_offer(stage)
    stage.later(5 * SECOND)
    shown = await answer(stage)
    assert shown is not None
    assert (shown.state, shown.shown, shown.deadline_ms) == (TaskState.OFFERED, True, stage.now + 20 * SECOND)
    assert await standing(stage) == []
    await stage.report({"ann": AgentState.RESERVED})
    assert (await stage.accept(shown)).state is TaskState.ACTIVE


async def test_the_acds_no_rescinds_the_offer(stage: Stage) -> None:
    await hidden_offer(stage)
    task = await answer(stage, ok=False)
    assert task is not None
    assert (task.state, task.agent) == (TaskState.QUEUED, "")
    assert (await stage.read_agent()).held == ()
    assert await standing(stage) == []


async def test_an_answer_to_a_command_that_no_longer_stands_changes_nothing(stage: Stage) -> None:
    await hidden_offer(stage)
    before = await stage.dump()
    for ok in (True, False):
        result = stage.store.command_result
        assert await result(stage.site, "old", "ann", ok, "", now_ms=stage.now) is None
    assert await stage.dump() == before


async def test_a_late_yes_does_not_bring_a_rescinded_offer_back(stage: Stage) -> None:
    task = await hidden_offer(stage)
    [command] = await standing(stage)
    await stage.store.rescind(stage.site, "t1", task.fence, "calls", "router", now_ms=stage.now)
    await stage.store.command_result(stage.site, command.id, "ann", True, "", now_ms=stage.now)
    assert await stage.state() is TaskState.QUEUED


async def test_the_router_may_show_an_offer_itself(stage: Stage) -> None:
    task = await hidden_offer(stage)
    change = await stage.store.show(stage.site, "t1", task.fence, now_ms=stage.now)
    assert change.task.shown
    before = await stage.dump()
    assert (await stage.store.show(stage.site, "t1", task.fence, now_ms=stage.now)).task == change.task
    assert await stage.dump() == before


async def test_auto_accept_waits_for_the_acd_too(stage: Stage) -> None:
    task = await hidden_offer(stage, auto_accept=True)
    assert (task.state, task.shown) == (TaskState.OFFERED, False)
    accepted = await answer(stage)
    assert accepted is not None
    assert accepted.state is TaskState.ACTIVE


async def test_a_pull_reserves_but_hides_nothing(stage: Stage) -> None:
    await stage.agent("ann", group=GROUP)
    await stage.gate(acd_control=True)
    await stage.add()
    task = await stage.pull("ann")
    assert (task.state, task.shown) == (TaskState.ACTIVE, True)
    assert [command.kind for command in await standing(stage)] == [CommandKind.RESERVE]


async def test_after_the_last_task_the_agent_is_put_back(stage: Stage) -> None:
    await hidden_offer(stage)
    shown = await answer(stage)
    assert shown is not None
    await stage.report({"ann": AgentState.RESERVED})
    active = await stage.accept(shown)
    stage.later(MINUTE)
    change = await stage.store.complete(stage.site, "t1", "ann", active.fence, b"", "ok", now_ms=stage.now)
    assert change.command is not None
    assert (change.command.kind, change.command.agent) == (CommandKind.RELEASE, "ann")
    assert await standing(stage) == [change.command]
    await answer(stage)
    assert await standing(stage) == []


async def test_an_agent_whose_task_went_before_it_was_reported_as_reserved_is_put_back(stage: Stage) -> None:
    await hidden_offer(stage)
    shown = await answer(stage)
    assert shown is not None
    await stage.store.decline(stage.site, "t1", "ann", shown.fence, "no", now_ms=stage.now)
    assert await standing(stage) == []
    await stage.report({"ann": AgentState.RESERVED})
    assert [command.kind for command in await standing(stage)] == [CommandKind.RELEASE]


async def test_an_offer_that_ends_before_the_acd_answered_is_released_too(stage: Stage) -> None:
    task = await hidden_offer(stage)
    change = await stage.store.rescind(stage.site, "t1", task.fence, "calls", "router", now_ms=stage.now)
    assert change.command is not None
    assert [command.kind for command in await standing(stage)] == [CommandKind.RELEASE]


async def test_without_acd_control_nothing_is_asked_of_the_acd(stage: Stage) -> None:
    await stage.agent("ann", group=GROUP)
    await stage.gate()
    await stage.add()
    task = await stage.offer("ann")
    assert task.shown
    await stage.complete(await stage.accept(task))
    assert await standing(stage) == []


async def test_a_newer_command_replaces_the_older(stage: Stage) -> None:
    await stage.agent("ann", group=GROUP)
    first = AcdCommand("c1", CommandKind.RESERVE, "ann", SOURCE, "t1", 1, stage.now)
    second = replace(first, id="c2", kind=CommandKind.RELEASE)
    for command in (first, second):
        await stage.store.put_command(stage.site, command, now_ms=stage.now)
    assert await standing(stage) == [second]
    assert await stage.store.commands(stage.site, "another") == []


async def test_no_command_stands_for_an_agent_that_is_not_there(stage: Stage) -> None:
    command = AcdCommand("c1", CommandKind.RESERVE, "nobody", SOURCE, "t1", 1, stage.now)
    await stage.refuses(NotFound, stage.store.put_command(stage.site, command, now_ms=stage.now))
