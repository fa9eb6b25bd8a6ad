"""What a desktop's session is told of its agent: with the display name, which hints do not carry."""

from __future__ import annotations

import asyncio

from router.dispatch.caller import AGENT, Caller
from router.dispatch.clock import SystemClock
from router.dispatch.hub import Hub, Push, Session
from router.domain.model import Agent, AgentProfile, AgentState
from router.domain.ports import Hint
from router.state.memory import MemoryStore
from tests.dispatch.scene import SITE, CountingIds


async def test_a_hint_about_the_agent_is_told_with_its_display_name_until_the_profile_changes() -> None:
    store = MemoryStore(SystemClock())
    await store.put_profile(SITE, AgentProfile("ann", display_name="Ann B."), 0)
    hub = Hub(store, CountingIds(), "w1")
    async with hub.open_session(Caller(SITE, AGENT, "ann"), True) as session:
        on_call = Agent(AgentProfile("ann"), 1, AgentState.ON_CALL)
        hub.deliver(Hint("agent", SITE, "ann", about=on_call))
        told = (await _next(session)).agent
        assert told is not None
        assert (told.profile.display_name, told.state) == ("Ann B.", AgentState.ON_CALL)
        hub.deliver(Hint("agent", SITE, "ann"))
        assert (await _next(session)).agent is None, "to be read: the profile may have changed"
        hub.deliver(Hint("agent", SITE, "ann", about=on_call))
        assert (await _next(session)).agent is None, "its name is not known any more"


async def _next(session: Session) -> Push:
    async with asyncio.timeout(5):
        return await anext(session)
