"""The idle agents of a group as its leader knows them: who is to be asked next, without looking at all of them.

An agent *rests* until it has been idle long enough, is *fresh* until it was asked, and *told* once it has heard that
there is nothing for it. Told agents are found by the shelves that they read, so that a task that arrives costs the
same with 50 idle agents as with 5,000.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from heapq import merge
from itertools import islice

from sortedcontainers import SortedList

from router.domain.model import Agent
from router.domain.ports import Clock
from router.domain.routing import agent_anchors
from router.policies.agent_choice import rank_of

Key = tuple[float | str, ...]
"""Rank of an agent and its id: sorts the best choice first."""


class Place(Enum):
    """Where an agent stands on the bench."""

    RESTING = auto()
    FRESH = auto()
    TOLD = auto()


@dataclass(slots=True)
class Seat:
    """One idle agent. ``tick``: nothing that had arrived by then is for it (-1: not known), ``told_s``: since when it
    is known. ``at_ms``: the hint with which it came, by the store's clock."""

    agent: Agent
    key: Key
    anchors: frozenset[str]
    ready_ms: int
    tick: int = -1
    told_s: float = 0.0
    at_ms: float = 0.0
    place: Place = Place.RESTING


class Bench:
    """Idle agents in the order of an agent choice. Ranks are those of the moment at which an agent sat down."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seats: dict[str, Seat] = {}
        self._resting: SortedList = SortedList()
        self._fresh: SortedList = SortedList()
        self._told: dict[str, SortedList] = {}
        """Shelf -> told agents that read it; only of shelves on which work has arrived."""
        self._told_at: deque[tuple[float, Seat]] = deque()
        self._latest: dict[str, int] = {}
        """Shelf -> the tick at which work reached it last."""
        self._choice = "longest_idle"
        self._min_idle_ms = 0

    def __len__(self) -> int:
        return len(self._seats)

    def agent(self, id: str) -> Agent | None:
        """The agent, if it sits here."""
        seat = self._seats.get(id)
        return seat.agent if seat else None

    # -- who sits here ---------------------------------------------------------------------------------
    def fill(self, agents: Iterable[Agent]) -> None:
        """These are the idle agents, read from the store; what was told to those who stay as they are stays known."""
        before = self._seats
        self._clear()
        for agent in agents:
            known = before.get(agent.profile.id)
            if known is not None and known.agent == agent:
                self._sit(agent, known.tick, known.told_s, known.at_ms)
            else:
                self._sit(agent)
        told = [(seat.told_s, seat) for seat in self._seats.values() if seat.tick >= 0]
        self._told_at = deque(sorted(told, key=lambda item: item[0]))

    def sit_down(self, agent: Agent, tick: int = -1, at_ms: float = 0.0) -> None:
        """An agent came, or has changed. ``tick``: it need not be asked for what had arrived by then."""
        self.leave(agent.profile.id)
        seat = self._sit(agent, tick, self._clock.monotonic(), at_ms)
        if tick >= 0:
            self._told_at.append((seat.told_s, seat))

    def work_reached(self, shelf: str, tick: int) -> None:
        """Work arrived at a shelf: who was told before, and rests now, is to be asked after its rest."""
        self._latest[shelf] = tick

    def leave(self, agent: str, at_ms: float = math.inf) -> None:
        """The agent is not idle any more, as of ``at_ms``; who came after that stays."""
        seat = self._seats.get(agent)
        if seat is not None and seat.at_ms <= at_ms:
            del self._seats[agent]
            self._take_out(seat)

    # -- what became of asking an agent; if it sat down anew meanwhile, that is no news of it ----------
    def took(self, agent: Agent) -> None:
        """It was given a task, or may be given none."""
        if self._asked(agent):
            self.leave(agent.profile.id)

    def rest(self, agent: Agent, ready_ms: int) -> None:
        """The store finds it too soon: not before then."""
        if seat := self._asked(agent):
            self._take_out(seat)
            seat.ready_ms = ready_ms
            self._put_resting(seat)

    def told_nothing(self, agent: Agent, tick: int) -> None:
        """There is nothing for it of all that had arrived by ``tick``."""
        if seat := self._asked(agent):
            self._take_out(seat)
            seat.tick, seat.told_s = tick, self._clock.monotonic()
            self._told_at.append((seat.told_s, seat))
            self._put_told(seat)

    def nothing_for_fresh(self, tick: int) -> None:
        """Nothing at all was queued of what had arrived by ``tick``: no fresh agent need be asked for that."""
        for key in list(self._fresh):
            self.told_nothing(self._seats[key[-1]].agent, tick)

    def _asked(self, agent: Agent) -> Seat | None:
        seat = self._seats.get(agent.profile.id)
        return seat if seat is not None and seat.agent is agent else None

    # -- time ------------------------------------------------------------------------------------------
    def forget(self, older_s: float = 0.0) -> None:
        """Ask those again who were told so long ago, or all of them: hints may have been lost."""
        before = self._clock.monotonic() - older_s
        while self._told_at and self._told_at[0][0] <= before:
            told_s, seat = self._told_at.popleft()
            if seat.told_s == told_s and self._seats.get(seat.agent.profile.id) is seat:
                self._take_out(seat)
                seat.tick = -1
                self._put(seat)

    def arrange(self, choice: str, min_idle_ms: int) -> int | None:
        """Let those be asked who have been idle long enough; answers when (ms) the next one will have been."""
        if (choice, min_idle_ms) != (self._choice, self._min_idle_ms):
            self._choice, self._min_idle_ms = choice, min_idle_ms
            self.fill([seat.agent for seat in self._seats.values()])
        now_ms = self._clock.now_ms()
        while self._resting and self._resting[0][0] <= now_ms:
            _, agent = self._resting.pop(0)
            seat = self._seats[agent]
            seat.ready_ms = 0
            self._put(seat)
        return self._resting[0][0] if self._resting else None

    # -- whom to ask -----------------------------------------------------------------------------------
    def next(
        self, count: int, news: Mapping[str, tuple[int, int]], able: Callable[[Agent], bool]
    ) -> list[Agent]:
        """The best ``count`` agents to ask: fresh ones, and told ones for what is new on their shelves.

        ``news``: shelf -> how many agents may be asked for it, and the tick of its latest arrival.
        """
        fresh = (self._seats[key[-1]] for key in self._fresh)
        sources: list[Iterator[Seat]] = [(seat for seat in fresh if able(seat.agent))]
        sources += [islice(self._readers(shelf, tick, able), most) for shelf, (most, tick) in news.items()]
        found: dict[str, Agent] = {}
        for seat in merge(*sources, key=lambda seat: seat.key):
            if len(found) == count:
                break
            found[seat.agent.profile.id] = seat.agent
        return list(found.values())

    def _readers(self, shelf: str, tick: int, able: Callable[[Agent], bool]) -> Iterator[Seat]:
        """Told agents that read the shelf and were told before something new came."""
        if shelf not in self._told:
            told = (seat for seat in self._seats.values() if seat.place is Place.TOLD)
            self._told[shelf] = SortedList(seat.key for seat in told if shelf in seat.anchors)
        seats = (self._seats[key[-1]] for key in self._told[shelf])
        return (seat for seat in seats if seat.tick < tick and able(seat.agent))

    # -- inside ----------------------------------------------------------------------------------------
    def _clear(self) -> None:
        self._seats = {}
        self._resting.clear()
        self._fresh.clear()
        for readers in self._told.values():
            readers.clear()

    def _sit(self, agent: Agent, tick: int = -1, told_s: float = 0.0, at_ms: float = 0.0) -> Seat:
        id, profile, now_ms = agent.profile.id, agent.profile, self._clock.now_ms()
        key: Key = (*rank_of(agent, now_ms, self._choice), id)
        anchors = frozenset(agent_anchors(id, profile.skills, profile.teams))
        ready_ms = agent.idle_since_ms + self._min_idle_ms
        rests_until_ms = ready_ms if ready_ms > now_ms else 0
        seat = self._seats[id] = Seat(agent, key, anchors, rests_until_ms, tick, told_s, at_ms)
        self._put(seat)
        return seat

    def _put(self, seat: Seat) -> None:
        if seat.ready_ms:
            self._put_resting(seat)
        elif seat.tick >= 0 and not any(self._latest.get(shelf, -1) > seat.tick for shelf in seat.anchors):
            self._put_told(seat)
        else:
            seat.place = Place.FRESH
            self._fresh.add(seat.key)

    def _put_resting(self, seat: Seat) -> None:
        seat.place = Place.RESTING
        self._resting.add((seat.ready_ms, seat.agent.profile.id))

    def _put_told(self, seat: Seat) -> None:
        seat.place = Place.TOLD
        for shelf in self._told.keys() & seat.anchors:
            self._told[shelf].add(seat.key)

    def _take_out(self, seat: Seat) -> None:
        """From the list in which the agent stands."""
        if seat.place is Place.RESTING:
            self._resting.discard((seat.ready_ms, seat.agent.profile.id))
        elif seat.place is Place.FRESH:
            self._fresh.discard(seat.key)
        else:
            for shelf in self._told.keys() & seat.anchors:
                self._told[shelf].discard(seat.key)
