"""A leak checker: what a site may still hold when all its work has ended and been purged."""

from __future__ import annotations

from router.domain.model import TERMINAL_STATES
from tests.support.builders import HOUR
from tests.support.stage import Stage

STANDING_KEYS = frozenset(
    {
        *("agents", "profiles", "groups", "idle", "workers"),
        *("feeds", "callqueues"),
        *("gates", "leads", "docs", "paused"),
        *("totals", "meta", "events", "recording"),
    }
)
"""Keys that people, telephony and upkeep own: bounded by them, not by the work done. All others belong to work."""

_DAY = 24 * HOUR


async def end_everything(stage: Stage) -> None:
    """Cancel every open task, answer every ACD command, forget all that ended."""
    for id in await open_tasks(stage):
        await stage.store.cancel(stage.site, id, "end of test", "test", now_ms=stage.now)
    for feed in await stage.store.feeds(stage.site):
        for command in await stage.store.commands(stage.site, feed.source):
            await stage.store.command_result(
                stage.site, command.id, command.agent, True, "", now_ms=stage.now
            )
    stage.later(60 * _DAY)
    while await stage.store.purge(stage.site, stage.now, 100, now_ms=stage.now):
        pass


async def open_tasks(stage: Stage) -> list[str]:
    """Tasks that have not ended for good, read from the dump."""
    ended = {str(state) for state in TERMINAL_STATES}
    return [id for id, record in (await stage.dump()).get("tasks", {}).items() if record["s"] not in ended]


async def assert_no_leaks(stage: Stage) -> None:
    """End all work; then no key of work may be left, and no agent may hold anything."""
    await end_everything(stage)
    await stage.assert_sound()
    content = await stage.dump()
    leaked = {key: content[key] for key in content if key not in STANDING_KEYS}
    assert not leaked, f"left behind: {leaked}"
    for id, record in content.get("agents", {}).items():
        assert not record.get("on"), f"{id} still holds {record['on']}"
        assert not record.get("pk"), f"{id} still has parked {record['pk']}"
