"""The push side of the routing loop: which idle agents are asked to take a task, and in which order.

A pass looks at the idle agents of one group, ranks them and lets the store commit one claim after the other; the
store refuses what the gate, the reserve or the telephony does not allow, and says why. An agent for whom nothing was
found is asked again only for work that reached one of its shelves since, and of those only as many as there are
tasks; or when a slow poll comes round (a lost hint heals).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from router.dispatch.agents import walk
from router.dispatch.lane import LOOP, Lane
from router.domain.model import Agent, ClaimMode, NoTask
from router.domain.ports import Claim, Clock, Store
from router.domain.routing import agent_anchors
from router.policies.agent_choice import rank_agents

IDLE_LIMIT = 1000
"""Idle agents that one pass looks at."""
_AT_ONCE = 16
"""Claims under way at once: they share a pipeline."""
_POLL_S = 15.0
_FRESH_S = 1.0

_GROUP_WIDE = frozenset(
    {NoTask.GATE_CLOSED, NoTask.GATE_EXPIRED, NoTask.ALLOWANCE_REACHED, NoTask.RESERVE_HELD}
)
"""Refusals that hold for every agent of the group."""


class PassRules(NamedTuple):
    """What one pass must respect beside the store's own checks.

    room: claims that can succeed at most. min_idle_ms: how long an agent must have been idle. task_ms: an agent whose
    break or shift ends sooner than this is left alone.
    """

    room: int
    min_idle_ms: int = 0
    task_ms: int = 0
    agent_choice: str = "longest_idle"
    why: str = ""


class Matcher:
    """The matching of one group, run by its leader."""

    def __init__(
        self, store: Store, clock: Clock, site: str, group: str, actor: str, lane: Lane = LOOP
    ) -> None:
        self._store = store
        self._lane = lane
        self._clock = clock
        self._site = site
        self._group = group
        self._actor = actor
        self.handed = 0
        """Tasks handed out since the beginning."""
        self._tick = 0
        self._shelf_changed: dict[str, int] = {}
        self._arrived: dict[str, int] = {}
        self._nothing_for: dict[str, tuple[int, float]] = {}
        self._idle: list[Agent] = []
        self._idle_read: float | None = None

    # -- hints -----------------------------------------------------------------------------------------
    def work_arrived(self, anchor: str) -> None:
        """A task was placed on a shelf: only agents with this anchor are worth asking. ('': on any.)"""
        if not anchor:
            return self.forget()
        self._tick += 1
        self._shelf_changed[anchor] = self._tick
        self._arrived[anchor] = self._arrived.get(anchor, 0) + 1

    def agents_changed(self, agent: str = "") -> None:
        """The idle index changed; read it again."""
        self._idle_read = None
        if agent:
            self._nothing_for.pop(agent, None)

    def forget(self) -> None:
        """Hints may have been lost: ask everybody again."""
        self._nothing_for.clear()
        self._shelf_changed.clear()
        self._arrived.clear()
        self._idle_read = None

    # -- a pass ----------------------------------------------------------------------------------------
    async def push(self, rules: PassRules) -> int | None:
        """Offer tasks to idle agents. Answers when (ms) the next agent will have been idle long enough, or None."""
        if rules.room <= 0:
            return None
        now_ms = self._clock.now_ms()
        idle = await self._idle_agents()
        early = [a.idle_since_ms + rules.min_idle_ms for a in idle]
        later = [at for at in early if at > now_ms]
        ready = [
            a for a, at in zip(idle, early, strict=True) if at <= now_ms and self._may_ask(a, rules, now_ms)
        ]
        await self._ask(rank_agents(ready, {}, now_ms, rules.agent_choice), rules)
        return min(later, default=None)

    async def _idle_agents(self) -> list[Agent]:
        now = self._clock.monotonic()
        if self._idle_read is None or now - self._idle_read > _FRESH_S:
            self._idle_read = now
            self._idle = await self._store.idle_agents(self._site, self._group, IDLE_LIMIT)
        return self._idle

    def _may_ask(self, agent: Agent, rules: PassRules, now_ms: int) -> bool:
        if agent.leave_ms and now_ms + rules.task_ms > agent.leave_ms:
            return False
        return self._is_fresh(agent) or self._shelf_with_news(agent) is not None

    def _is_fresh(self, agent: Agent) -> bool:
        """Whether the agent was not told lately that there is nothing for it."""
        nothing = self._nothing_for.get(agent.profile.id)
        return nothing is None or self._clock.monotonic() - nothing[1] > _POLL_S

    def _shelf_with_news(self, agent: Agent) -> str | None:
        """A shelf of the agent's that got work since it was told that there is nothing."""
        tick = self._nothing_for[agent.profile.id][0]
        profile, changed = agent.profile, self._shelf_changed
        anchors = agent_anchors(profile.id, profile.skills, profile.teams)
        return next((a for a in anchors if changed.get(a, 0) > tick and self._arrived.get(a, 0) > 0), None)

    async def _ask(self, agents: Sequence[Agent], rules: PassRules) -> None:
        """Claim for the agents in order, a few at a time, until the room is used or the group is refused."""
        room, waiting, told_all = rules.room, list(agents), True
        began = self._tick
        while room > 0 and waiting:
            batch, waiting = self._next_batch(waiting, min(room, _AT_ONCE))
            if not batch:
                break
            tick = self._tick
            claims = await self._lane.all(*(self._claim(agent, rules.why) for agent, _ in batch))
            won = sum(1 for claim in claims if claim.task)
            room -= won
            self.handed += won
            self._note(batch, claims, tick)
            if any(claim.reason in _GROUP_WIDE for claim in claims):
                return
            told_all = told_all and all(claim.reason in (None, NoTask.NO_TASK) for claim in claims)
        # What arrived meanwhile may have come after the last claim looked.
        if room > 0 and told_all and self._tick == began:
            self._arrived.clear()

    def _next_batch(self, agents: list[Agent], size: int) -> tuple[list[tuple[Agent, str]], list[Agent]]:
        """The next agents to ask, each with the shelf whose news it is asked for, and those left for later."""
        batch: list[tuple[Agent, str]] = []
        left: list[Agent] = []
        asked: dict[str, int] = {}
        for i, agent in enumerate(agents):
            if len(batch) == size:
                return batch, left + agents[i:]
            shelf = "" if self._is_fresh(agent) else self._shelf_with_news(agent)
            if shelf is None:
                continue
            if shelf and asked.get(shelf, 0) >= self._arrived[shelf]:
                left.append(agent)
                continue
            asked[shelf] = asked.get(shelf, 0) + 1
            batch.append((agent, shelf))
        return batch, left

    async def _claim(self, agent: Agent, why: str) -> Claim:
        return await walk(self._store, self._site, agent.profile.id, ClaimMode.OFFER, self._actor, why)

    def _note(self, batch: Sequence[tuple[Agent, str]], claims: Sequence[Claim], tick: int) -> None:
        gone = set()
        for (agent, shelf), claim in zip(batch, claims, strict=True):
            id = agent.profile.id
            if claim.task and shelf:
                self._arrived[shelf] = max(0, self._arrived.get(shelf, 0) - 1)
            if claim.task and agent.profile.capacity > 1:
                self._idle_read = None  # it may stay in the idle index, and then no hint tells of it
            if claim.reason is NoTask.NO_TASK:
                self._nothing_for[id] = (tick, self._clock.monotonic())
            elif claim.reason not in _GROUP_WIDE:
                gone.add(id)
        self._idle = [agent for agent in self._idle if agent.profile.id not in gone]
