"""How many agents a half hour needs (Erlang C, or A), and a plan of shifts with breaks that covers it.

Times are simulated seconds after midnight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from callcenter.erlang import Ints, erlang_a_agents, erlang_c_agents
from callcenter.volumes import HALF_HOUR_S

SLOT_S = 900


@dataclass(frozen=True, slots=True)
class Shift:
    """One agent's working day: presence and breaks, as (start, end) in seconds after midnight.

    `queues` names the call queues that the agent serves; none named means all.
    """

    agent: str
    start: float
    end: float
    breaks: tuple[tuple[float, float], ...] = ()
    queues: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Demand:
    """What is expected of a call queue and promised to its callers: calls by half hour, AHT, `target` in `tau_s`."""

    half_hour_calls: Sequence[float]
    aht_s: float = 240.0
    target: float = 0.8
    tau_s: float = 20.0

    def requirement(self, patience_s: float = math.inf) -> Ints:
        """Return the agents that each half hour needs: by Erlang C, or by Erlang A with this mean patience."""
        loads = np.asarray(self.half_hour_calls, np.float64) * self.aht_s / HALF_HOUR_S
        if math.isinf(patience_s):
            return erlang_c_agents(loads, self.aht_s, self.target, self.tau_s)
        return erlang_a_agents(loads, self.aht_s, patience_s, self.target, self.tau_s)


def plan_shifts(
    half_hour_calls: Sequence[float],
    opens_at: float,
    closes_at: float,
    *,
    aht_s: float = 240.0,
    target: float = 0.8,
    tau_s: float = 20.0,
    patience_s: float = math.inf,
) -> list[Shift]:
    """Plan shifts whose agents, net of breaks, meet each half hour's requirement; deterministic.

    The requirement is Erlang C's; with a mean patience, Erlang A's. Raises ValueError for a day without half hours or
    too short for any shift.
    """
    demand = Demand(half_hour_calls, aht_s, target, tau_s)
    return _plan(demand.requirement(patience_s), opens_at, closes_at, "agent")


def plan_group_shifts(
    demands: Mapping[str, Demand],
    groups: Mapping[str, Sequence[str]],
    opens_at: float,
    closes_at: float,
    *,
    patience_s: float = math.inf,
) -> list[Shift]:
    """Plan the shifts of several skill groups, each of which serves the call queues named for it.

    A queue's calls are split evenly over the groups that serve it, and each group is planned as if it were alone with
    its share: with the calls of its queues together, their mean handling time, the highest target and the
    shortest answer time. What the groups gain by helping each other is not counted on.

    Raises ValueError for a queue that no group serves, a group that serves an unknown queue, and as `plan_shifts`.
    """
    servers = {queue: [group for group, served in groups.items() if queue in served] for queue in demands}
    if unserved := [queue for queue, by in servers.items() if not by]:
        raise ValueError(f"no group serves the call queue {unserved[0]!r}; name it for at least one")
    shifts: list[Shift] = []
    for group, served in groups.items():
        if unknown := [queue for queue in served if queue not in demands]:
            raise ValueError(f"group {group!r} serves {unknown[0]!r}, for which there is no demand")
        shares = [(demands[queue], 1.0 / len(servers[queue])) for queue in served]
        planned = _plan(_pooled(shares).requirement(patience_s), opens_at, closes_at, group)
        shifts += [replace(shift, queues=tuple(served)) for shift in planned]
    return shifts


def staffed(shifts: Sequence[Shift], at: float) -> int:
    """Return how many agents are planned to be present and not on a break at `at`."""
    return sum(s.start <= at < s.end and not any(b <= at < e for b, e in s.breaks) for s in shifts)


def _pooled(shares: Sequence[tuple[Demand, float]]) -> Demand:
    calls = np.sum([np.asarray(demand.half_hour_calls) * share for demand, share in shares], axis=0)
    work_s = sum(sum(demand.half_hour_calls) * share * demand.aht_s for demand, share in shares)
    return Demand(
        calls.tolist(),
        work_s / float(calls.sum()) if calls.any() else shares[0][0].aht_s,
        max(demand.target for demand, _ in shares),
        min(demand.tau_s for demand, _ in shares),
    )


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A kind of shift, in slots of a quarter of an hour after its start."""

    slots: int
    breaks: tuple[tuple[int, int], ...]


# A full day of 8.5 h with two short breaks and a lunch, and part time of 5 h with one short break.
_PATTERNS = (_Pattern(34, ((8, 1), (16, 2), (26, 1))), _Pattern(20, ((10, 1),)))
_BREAK_MOVES = (-2, -1, 0, 1, 2)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A shift of a pattern that starts in slot `start` of the day and whose breaks are moved by so many slots."""

    start: int
    pattern: _Pattern
    moved: int

    def breaks(self) -> list[tuple[int, int]]:
        """Return begin and end of each break, in slots of the day."""
        begins = [(self.start + after + self.moved, length) for after, length in self.pattern.breaks]
        return [(begin, begin + length) for begin, length in begins]

    def covers(self, slots: int) -> Ints:
        """Return 1 for each slot of the day that it covers, else 0."""
        on_duty = np.zeros(slots, np.int64)
        on_duty[self.start : self.start + self.pattern.slots] = 1
        for begin, end in self.breaks():
            on_duty[begin:end] = 0
        return on_duty


def _plan(needed: Ints, opens_at: float, closes_at: float, agents: str) -> list[Shift]:
    slots = math.ceil((closes_at - opens_at) / SLOT_S)
    if not needed.size:
        raise ValueError("there is no half hour to plan for; give the calls of each")
    need = needed[np.minimum(np.arange(slots) * SLOT_S // HALF_HOUR_S, needed.size - 1)]
    placed = sorted(_prune(_cover(need), need), key=lambda p: (p.start, p.pattern.slots, p.moved))
    return [_shift(f"{agents}-{i + 1:02d}", p, opens_at) for i, p in enumerate(placed)]


def _candidates(slots: int) -> list[_Placed]:
    """List each shift that starts on a half hour, or ends with the day, and stays inside it."""
    return [
        _Placed(start, pattern, moved)
        for pattern in _PATTERNS
        for start in range(0, slots - pattern.slots + 1)
        if start % 2 == 0 or start == slots - pattern.slots
        for moved in _BREAK_MOVES
    ]


def _cover(need: Ints) -> list[_Placed]:
    """Add the shift of the greatest gain until no quarter of an hour lacks agents.

    The gain is the fall of the squared gap per slot paid: deep gaps first, overhang avoided.
    """
    candidates = _candidates(need.size)
    if not candidates:
        shortest_s = min(pattern.slots for pattern in _PATTERNS) * SLOT_S
        raise ValueError(f"the day is shorter than the shortest shift of {shortest_s / 3600:g} h")
    covers = np.array([c.covers(need.size) for c in candidates])
    paid = np.array([c.pattern.slots for c in candidates])
    gap = need.copy()
    chosen: list[_Placed] = []
    while gap.max() > 0:
        best = int(np.argmax(covers @ (2 * gap - 1) / paid))
        chosen.append(candidates[best])
        gap -= covers[best]
    return chosen


def _prune(chosen: list[_Placed], need: Ints) -> list[_Placed]:
    """Drop the shifts that the later ones made needless."""
    covers = [placed.covers(need.size) for placed in chosen]
    spare = np.sum(covers, axis=0) - need
    kept = []
    for placed, covered in zip(chosen, covers, strict=True):
        if np.all(spare[covered > 0] > 0):
            spare = spare - covered
        else:
            kept.append(placed)
    return kept


def _shift(agent: str, placed: _Placed, opens_at: float) -> Shift:
    def at(slot: int) -> float:
        return opens_at + slot * SLOT_S

    breaks = tuple((at(begin), at(end)) for begin, end in placed.breaks())
    return Shift(agent, at(placed.start), at(placed.start + placed.pattern.slots), breaks)
