"""The push side of the routing loop: which idle agents are asked to take a task, and in which order.

A pass asks the best of the idle agents that may have something to do and lets the store commit one claim after the
other; the store refuses what the gate, the reserve or the telephony does not allow, and says why. An agent for whom
nothing was found is asked again only for work that reached one of its shelves since, and of those only as many as
there are tasks; or when a slow poll comes round (a lost hint heals).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from router.dispatch.agents import walk
from router.dispatch.bench import Bench
from router.dispatch.lane import LOOP, Lane
from router.domain.model import Agent, ClaimMode, NoTask
from router.domain.ports import Claim, Clock, Store
from router.domain.routing import agent_anchors

IDLE_LIMIT = 10_000
"""Idle agents that one group's leader knows."""
_AT_ONCE = 32
"""Claims under way at once: they share a pipeline."""
POLL_S = 15.0
"""How often the idle index is read and everybody asked, in case that a hint was lost."""
_REFUSED_S = 1.0
"""After an agent was refused although it seemed idle, the index is read so soon."""
_TOO_SOON_MS = 20

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
        self._bench = Bench(clock)
        self._read_due_s = 0.0
        self._tick = 0
        self._news: dict[str, tuple[int, int]] = {}
        """Shelf -> tasks that reached it and for which nobody was found yet, and the tick of the latest."""
        self._queued = 0
        """Tasks that the site has queued, as far as was told: no more agents are asked at once."""
        self._coming: list[Counter[str]] = []
        self._latest_ms: dict[str, float] = {}
        """Shelf -> when work reached it last, by the store's clock."""
        self._moved: dict[str, Agent | None] | None = None
        """What hints say of agents while the index is being read."""

    # -- hints -----------------------------------------------------------------------------------------
    def work_arrived(self, anchor: str, at_ms: float = 0, count: int = 1) -> bool:
        """Tasks were placed on a shelf: only agents with this anchor are worth asking. ('': on any.)

        Whether that is news.
        """
        if not anchor:
            self.forget()
            return True
        self._latest_ms[anchor] = max(at_ms, self._latest_ms.get(anchor, 0))
        for coming in self._coming:
            known = min(count, coming[anchor])
            coming[anchor] -= known
            count -= known
        self._note_news(anchor, count)
        return count > 0

    @contextmanager
    def work_coming(self, anchors: Mapping[str, int]) -> Iterator[None]:
        """Within this, tasks are on their way to these shelves, on the same connection: claims may follow them at once.

        What is told of them when they arrive is no news then.
        """
        coming = Counter(anchors)
        for anchor, count in anchors.items():
            self._note_news(anchor, count)
        self._coming.append(coming)
        try:
            yield
        finally:
            self._coming = [each for each in self._coming if each is not coming]

    def _note_news(self, anchor: str, count: int) -> None:
        if count > 0:
            self._tick += 1
            self._queued += count
            waiting, _ = self._news.get(anchor, (0, 0))
            self._news[anchor] = (waiting + count, self._tick)

    def agent_idle(self, agent: Agent, at_ms: float = 0, queued: int | None = None) -> bool:
        """The agent may be asked. ``queued``: tasks that the site had queued at ``at_ms``.

        Whether there may be something for it.
        """
        known = queued == 0 and not self._arrived_since(agent, at_ms)
        self._bench.sit_down(agent, self._tick if known else -1)
        if self._moved is not None:
            self._moved[agent.profile.id] = agent
        return not known

    def agent_busy(self, agent: str) -> None:
        """The agent may not be asked any more."""
        self._bench.leave(agent)
        if self._moved is not None:
            self._moved[agent] = None

    def agents_changed(self) -> None:
        """The idle index changed; read it again."""
        self._read_due_s = 0.0

    def forget(self) -> None:
        """Hints may have been lost: ask everybody again."""
        self._news.clear()
        self._bench.forget()
        self.agents_changed()

    def _arrived_since(self, agent: Agent, at_ms: float) -> bool:
        """Whether work reached a shelf of the agent's at that time or later; both by the store's clock."""
        profile = agent.profile
        shelves = agent_anchors(profile.id, profile.skills, profile.teams)
        return any(self._latest_ms.get(shelf, -1) >= at_ms for shelf in shelves)

    # -- a pass ----------------------------------------------------------------------------------------
    async def push(self, rules: PassRules) -> int | None:
        """Offer tasks to idle agents. Answers when (ms) the next agent will have been idle long enough, or None."""
        if rules.room <= 0:
            return None
        await self._read()
        self._bench.forget(POLL_S)
        next_ms = self._bench.arrange(rules.agent_choice, rules.min_idle_ms)
        await self._ask(rules)
        return next_ms

    async def _read(self) -> None:
        """Read the idle index after hints that did not tell who moved, and now and then in case that one was lost."""
        if self._clock.monotonic() < self._read_due_s:
            return
        self._read_due_s = self._clock.monotonic() + POLL_S
        self._moved = {}
        try:
            found = await self._store.idle_agents(self._site, self._group, IDLE_LIMIT)
            idle = {agent.profile.id: agent for agent in found} | self._moved
        finally:
            self._moved = None
        self._bench.fill(agent for agent in idle.values() if agent is not None)

    async def _ask(self, rules: PassRules) -> None:
        """Claim for the agents in order, a few at a time, until the room is used or the group is refused."""
        room, told_all, began = rules.room, True, self._tick
        while room > 0:
            batch = self._next_batch(min(room, _AT_ONCE, max(1, self._queued)), rules)
            if not batch:
                break
            tick = self._tick
            claims = await self._lane.all(*(self._claim(agent, rules.why) for agent in batch))
            won = sum(1 for claim in claims if claim.task)
            room -= won
            self.handed += won
            self._note(batch, claims, tick)
            if any(claim.reason in _GROUP_WIDE for claim in claims):
                return
            told_all = told_all and all(claim.reason in (None, NoTask.NO_TASK) for claim in claims)
        # What arrived meanwhile may have come after the last claim looked.
        if room > 0 and told_all and self._tick == began:
            self._news.clear()

    def _next_batch(self, size: int, rules: PassRules) -> list[Agent]:
        """The next agents to ask."""
        leaving_ms = self._clock.now_ms() + rules.task_ms
        return self._bench.next(size, self._news, lambda agent: not 0 < agent.leave_ms < leaving_ms)

    async def _claim(self, agent: Agent, why: str) -> Claim:
        return await walk(self._store, self._site, agent.profile.id, ClaimMode.OFFER, self._actor, why)

    def _note(self, batch: Sequence[Agent], claims: Sequence[Claim], tick: int) -> None:
        self._queued = next((claim.queued for claim in reversed(claims) if claim.queued is not None), 0)
        if self._queued == 0 and any(claim.reason is NoTask.NO_TASK for claim in claims):
            self._bench.nothing_for_fresh(tick)
        for agent, claim in zip(batch, claims, strict=True):
            if claim.task:
                self._found_for(claim.anchor)
                if agent.profile.capacity == 1:  # others are asked again: they may have room for more
                    self._bench.took(agent)
            elif claim.reason is NoTask.NO_TASK:
                self._bench.told_nothing(agent, tick)
            elif claim.reason is NoTask.TOO_SOON:
                self._bench.rest(agent, self._clock.now_ms() + _TOO_SOON_MS)
            elif claim.reason not in _GROUP_WIDE:
                self._bench.took(agent)
                self._read_due_s = min(self._read_due_s, self._clock.monotonic() + _REFUSED_S)

    def _found_for(self, shelf: str) -> None:
        """One of the tasks that reached the shelf has somebody."""
        waiting, tick = self._news.get(shelf, (0, 0))
        if waiting > 1:
            self._news[shelf] = (waiting - 1, tick)
        else:
            self._news.pop(shelf, None)
