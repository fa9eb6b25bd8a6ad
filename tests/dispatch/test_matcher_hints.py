"""Hints that come while a pass is under way are not lost."""

from __future__ import annotations

from typing import Any, cast

from router.dispatch.clock import SystemClock
from router.dispatch.matcher import Matcher, PassRules
from router.domain.model import Agent, AgentProfile, ClaimMode, NoTask
from router.domain.ports import Claim, Store
from router.domain.routing import agent_anchors


class EmptyStore:
    """One idle agent and no work; work arrives while the first claim is on its way back."""

    def __init__(self) -> None:
        self.agent = Agent(AgentProfile("ann"), 1)
        self.asked = 0
        self.matcher: Matcher | None = None

    async def idle_agents(self, site: str, group: str, limit: int) -> list[Agent]:
        """Always the same."""
        return [self.agent]

    async def claim(self, site: str, agent: str, mode: ClaimMode, **more: Any) -> Claim:
        """Nothing; but something comes right after the look."""
        self.asked += 1
        if self.asked == 1 and self.matcher:
            self.matcher.work_arrived(agent_anchors("ann", {}, ())[-1])
        return Claim(None, NoTask.NO_TASK)


async def test_work_that_arrives_during_a_pass_is_asked_for_and_not_twice() -> None:
    store = EmptyStore()
    matcher = store.matcher = Matcher(cast(Store, store), SystemClock(), "default", "-", "router")
    await matcher.push(PassRules(room=10))
    assert store.asked == 2
    await matcher.push(PassRules(room=10))
    assert store.asked == 2, "nothing has come since"
