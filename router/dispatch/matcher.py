"""The push side of the routing loop: which idle agents are asked to take a task, and in which order.

A pass asks the best of the idle agents that may have something to do and lets the store commit one claim after the
other; the store refuses what the gate, the reserve or the telephony does not allow, and says why. An agent for whom
nothing was found is asked again only for work that reached one of its shelves since, and of those only as many as
there are tasks; or when a slow poll comes round (a lost hint heals).
"""

from __future__ import annotations

import math
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
_FIRM_MS = 1000
"""An agent for whom there was only work that its group holds back now is asked again after so long."""
_WIDER = 4
_NOTHING_KNOWN = -1
_EARLIER_MS = 1000
"""A task created so long before the news of its shelf is none of it; the clocks of router and store differ by less."""

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


class News(NamedTuple):
    """Tasks that reached a shelf: how many, the tick of the latest, and since when (ms, store's clock)."""

    waiting: int
    tick: int
    since_ms: float


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
        self._news: dict[str, News] = {}
        """Shelf -> tasks that reached it and for which nobody was found yet."""
        self._queued = 0
        """Tasks that the site has queued, as far as was told: no more agents are asked at once."""
        self._coming: list[Counter[str]] = []
        self._came: Counter[str] | None = None
        """While claims are under way: tasks that were coming, are there, and may have been found by them."""
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
        announced = self._announced(anchor, count)
        if self._came is None:
            self._renew_news(anchor, announced, at_ms)
        else:
            self._came[anchor] += announced
        self._note_news(anchor, count - announced, at_ms)
        return count > announced or self._came is None

    def _announced(self, anchor: str, count: int) -> int:
        """How many of these tasks were known to be coming."""
        known = 0
        for coming in self._coming:
            these = min(count - known, coming[anchor])
            coming[anchor] -= these
            known += these
        return known

    @contextmanager
    def work_coming(self, anchors: Mapping[str, int]) -> Iterator[None]:
        """Within this, tasks are on their way to these shelves, on the same connection: claims may follow them at once.

        What is told of them when they arrive is news only if nobody was found for them.
        """
        coming = Counter(anchors)
        now_ms = self._clock.now_ms()
        for anchor, count in anchors.items():
            self._note_news(anchor, count, now_ms)
        self._coming.append(coming)
        try:
            yield
        finally:
            self._coming = [each for each in self._coming if each is not coming]

    def _note_news(self, anchor: str, count: int, at_ms: float) -> None:
        if count > 0:
            self._tick += 1
            self._queued += count
            before = self._news.get(anchor)
            since_ms = at_ms - _EARLIER_MS if before is None else before.since_ms
            self._news[anchor] = News(count + (before.waiting if before else 0), self._tick, since_ms)
            self._bench.work_reached(anchor, self._tick)

    def _renew_news(self, anchor: str, count: int, at_ms: float) -> None:
        """So many of the tasks that were announced are there and nobody was found: who was asked too early is again."""
        if count > 0:
            waiting = self._news[anchor].waiting if anchor in self._news else 0
            self._queued -= min(count, waiting)
            self._note_news(anchor, count, at_ms)
            self._news[anchor] = self._news[anchor]._replace(waiting=max(count, waiting))

    def agent_idle(self, agent: Agent, at_ms: float = 0, queued: int | None = None) -> bool:
        """The agent may be asked. ``queued``: tasks that the site had queued at ``at_ms``.

        Whether there may be something for it.
        """
        tick = self._known_for(agent, at_ms) if queued == 0 else _NOTHING_KNOWN
        self._bench.sit_down(agent, tick, at_ms)
        if self._moved is not None:
            self._moved[agent.profile.id] = agent
        return tick < self._tick

    def agent_busy(self, agent: str, at_ms: float = math.inf) -> None:
        """The agent may not be asked any more, as of ``at_ms`` by the store's clock."""
        self._bench.leave(agent, at_ms)
        if self._moved is not None:
            self._moved[agent] = self._bench.agent(agent)

    def agents_changed(self) -> None:
        """The idle index changed; read it again."""
        self._read_due_s = 0.0

    def forget(self) -> None:
        """Hints may have been lost: ask everybody again."""
        self._news.clear()
        self._bench.forget()
        self.agents_changed()

    def _known_for(self, agent: Agent, at_ms: float) -> int:
        """Up to which tick nothing is for an agent when at ``at_ms``, by the store's clock, nothing was queued."""
        tick, profile = self._tick, agent.profile
        for shelf in agent_anchors(profile.id, profile.skills, profile.teams):
            came = self._latest_ms.get(shelf, -1) >= at_ms
            if came or any(coming[shelf] for coming in self._coming):
                news = self._news.get(shelf)
                if news is not None:
                    tick = min(tick, news.tick - 1)
                elif came:
                    return _NOTHING_KNOWN
        return tick

    # -- a pass ----------------------------------------------------------------------------------------
    async def push(self, rules: PassRules) -> int | None:
        """Offer tasks to idle agents. Answers when (ms) the next agent will have been idle long enough, or None."""
        self._bench.forget(POLL_S)
        if rules.room <= 0:
            return None
        await self._read()
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
        except BaseException:
            self._read_due_s = 0.0
            raise
        finally:
            self._moved = None
        self._bench.fill(agent for agent in idle.values() if agent is not None)

    async def _ask(self, rules: PassRules) -> None:
        """Claim for the agents in order, a few at a time, until the room is used or the group is refused.

        As many as there are tasks are asked at once, and more each time that nobody was found.
        """
        room, told_all, began, wider = rules.room, True, self._tick, 1
        while room > 0:
            batch = self._next_batch(min(room, _AT_ONCE, wider * max(1, self._queued)), rules)
            if not batch:
                break
            claims = await self._claims(batch, rules.why)
            won = sum(1 for claim in claims if claim.task)
            room, wider = room - won, wider if won else wider * _WIDER
            self.handed += won
            if any(_is_of_the_group(claim) for claim in claims):
                return
            told_all = told_all and all(claim.reason in (None, NoTask.NO_TASK) for claim in claims)
        # What arrived meanwhile may have come after the last claim looked.
        if room > 0 and told_all and self._tick == began:
            self._news.clear()

    async def _claims(self, batch: Sequence[Agent], why: str) -> Sequence[Claim]:
        """A claim for each of these agents, and what it tells."""
        tick, self._came = self._tick, Counter()
        try:
            claims: Sequence[Claim] = await self._lane.all(*(self._claim(agent, why) for agent in batch))
        finally:
            came, self._came = self._came, None
        self._note(batch, claims, tick)
        came.subtract(claim.anchor for claim in claims if claim.task)
        for anchor, count in came.items():
            self._renew_news(anchor, count, self._latest_ms.get(anchor, 0.0))
        return claims

    def _next_batch(self, size: int, rules: PassRules) -> list[Agent]:
        """The next agents to ask."""
        leaving_ms = self._clock.now_ms() + rules.task_ms
        news = {shelf: (each.waiting, each.tick) for shelf, each in self._news.items()}
        return self._bench.next(size, news, lambda agent: not 0 < agent.leave_ms < leaving_ms)

    async def _claim(self, agent: Agent, why: str) -> Claim:
        return await walk(self._store, self._site, agent.profile.id, ClaimMode.OFFER, self._actor, why)

    def _note(self, batch: Sequence[Agent], claims: Sequence[Claim], tick: int) -> None:
        self._queued = next((claim.queued for claim in reversed(claims) if claim.queued is not None), 0)
        if self._queued == 0 and any(claim.reason is NoTask.NO_TASK for claim in claims):
            self._bench.nothing_for_fresh(tick)
        for agent, claim in zip(batch, claims, strict=True):
            if claim.task:
                self._found_for(claim.anchor, claim.task.create_ms)
                if agent.profile.capacity == 1:  # others are asked again: they may have room for more
                    self._bench.took(agent)
            elif claim.reason is NoTask.NO_TASK:
                self._bench.told_nothing(agent, tick)
            elif claim.reason is NoTask.TOO_SOON:
                self._bench.rest(agent, self._clock.now_ms() + _TOO_SOON_MS)
            elif claim.reason is NoTask.RESERVE_HELD and not _is_of_the_group(claim):
                self._bench.rest(agent, self._clock.now_ms() + _FIRM_MS)
            elif claim.reason not in _GROUP_WIDE:
                self._bench.took(agent)
                self._read_due_s = min(self._read_due_s, self._clock.monotonic() + _REFUSED_S)

    def _found_for(self, shelf: str, create_ms: int) -> None:
        """A task of the shelf has somebody. One that was there before the news is none of it."""
        news = self._news.get(shelf)
        if news is None or create_ms < news.since_ms:
            return
        if news.waiting > 1:
            self._news[shelf] = news._replace(waiting=news.waiting - 1)
        else:
            del self._news[shelf]


def _is_of_the_group(claim: Claim) -> bool:
    """Whether a refusal holds for every agent of the group; what a walk past the queues found is the agent's own."""
    return claim.reason in _GROUP_WIDE and claim.queued is None
