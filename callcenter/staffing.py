"""How many agents a half hour needs (Erlang C), and a plan of shifts with breaks that covers it.

Times are simulated seconds after midnight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from callcenter.volumes import HALF_HOUR_S

SLOT_S = 900


def erlang_c(agents: int, load: float) -> float:
    """Return the probability that a call waits, for `load` erlang on `agents` (M/M/s without abandonment)."""
    if load >= agents:
        return 1.0
    blocked = 1.0
    for k in range(1, agents + 1):
        blocked = load * blocked / (k + load * blocked)
    return blocked * agents / (agents - load * (1 - blocked))


def service_level(agents: int, load: float, aht_s: float, tau_s: float) -> float:
    """Return the share of calls answered within `tau_s` seconds by Erlang C; 0 when overloaded."""
    if load >= agents:
        return 0.0
    return 1.0 - erlang_c(agents, load) * math.exp(-(agents - load) * tau_s / aht_s)


def agents_needed(calls: float, span_s: float, aht_s: float, target: float, tau_s: float) -> int:
    """Return the fewest agents that answer `target` of `calls` in `span_s` within `tau_s` seconds."""
    load = calls * aht_s / span_s
    agents = max(1, math.ceil(load))
    while service_level(agents, load, aht_s, tau_s) < target:
        agents += 1
    return agents


@dataclass(frozen=True, slots=True)
class Shift:
    """One agent's working day: presence and breaks, as (start, end) in seconds after midnight."""

    agent: str
    start: float
    end: float
    breaks: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A kind of shift, in slots of a quarter of an hour after its start."""

    slots: int
    breaks: tuple[tuple[int, int], ...]

    def on_duty(self, shift_breaks_by: int) -> frozenset[int]:
        """Return the slots that it covers when its breaks are moved by so many slots."""
        off = {b + i + shift_breaks_by for b, length in self.breaks for i in range(length)}
        return frozenset(range(self.slots)) - off


# A full day of 8.5 h with two short breaks and a lunch, and part time of 5 h with one short break.
_PATTERNS = (_Pattern(34, ((8, 1), (16, 2), (26, 1))), _Pattern(20, ((10, 1),)))
_BREAK_MOVES = (-2, -1, 0, 1, 2)


@dataclass(frozen=True, slots=True)
class _Placed:
    start: int
    pattern: _Pattern
    moved: int

    def covers(self) -> frozenset[int]:
        return frozenset(self.start + s for s in self.pattern.on_duty(self.moved))


def _candidates(slots: int) -> list[tuple[_Placed, frozenset[int]]]:
    """List each shift that starts on a half hour and stays inside the day, with what it covers."""
    placed = [
        _Placed(start, pattern, moved)
        for pattern in _PATTERNS
        for start in range(0, slots - pattern.slots + 1)
        if start % 2 == 0 or start == slots - pattern.slots
        for moved in _BREAK_MOVES
    ]
    return [(p, p.covers()) for p in placed]


def _gain(gap: Sequence[int], covered: frozenset[int], pattern: _Pattern) -> float:
    """Rate a shift by the fall of the squared gap per slot paid: deep gaps first, overhang avoided."""
    return sum(2 * gap[slot] - 1 for slot in covered) / pattern.slots


def _cover(need: Sequence[int]) -> list[_Placed]:
    """Add the shift of the greatest gain until no quarter of an hour lacks agents."""
    candidates = _candidates(len(need))
    gap = list(need)
    chosen: list[_Placed] = []
    while any(g > 0 for g in gap):
        best, covered = max(candidates, key=lambda c: _gain(gap, c[1], c[0].pattern))
        chosen.append(best)
        for slot in covered:
            gap[slot] -= 1
    return chosen


def _prune(chosen: list[_Placed], need: list[int]) -> list[_Placed]:
    """Drop the shifts that the later ones made needless."""
    have = [0] * len(need)
    for placed in chosen:
        for slot in placed.covers():
            have[slot] += 1
    kept = []
    for placed in chosen:
        covered = placed.covers()
        if all(have[s] > need[s] for s in covered):
            for slot in covered:
                have[slot] -= 1
        else:
            kept.append(placed)
    return kept


def requirement(half_hour_calls: Sequence[float], aht_s: float, target: float, tau_s: float) -> list[int]:
    """Return the agents that each half hour needs by Erlang C."""
    return [agents_needed(calls, HALF_HOUR_S, aht_s, target, tau_s) for calls in half_hour_calls]


def plan_shifts(
    half_hour_calls: Sequence[float],
    opens_at: float,
    closes_at: float,
    *,
    aht_s: float = 240.0,
    target: float = 0.8,
    tau_s: float = 20.0,
) -> list[Shift]:
    """Plan shifts whose agents, net of breaks, meet each half hour's requirement; deterministic."""
    needed = requirement(half_hour_calls, aht_s, target, tau_s)
    slots = math.ceil((closes_at - opens_at) / SLOT_S)
    need = [needed[min(i * SLOT_S // HALF_HOUR_S, len(needed) - 1)] for i in range(slots)]
    placed = sorted(_prune(_cover(need), need), key=lambda p: (p.start, p.pattern.slots, p.moved))
    return [_shift(f"agent-{i + 1:02d}", p, opens_at) for i, p in enumerate(placed)]


def _shift(agent: str, placed: _Placed, opens_at: float) -> Shift:
    start = opens_at + placed.start * SLOT_S
    breaks = tuple(
        (start + (b + placed.moved) * SLOT_S, start + (b + placed.moved + length) * SLOT_S)
        for b, length in placed.pattern.breaks
    )
    return Shift(agent, start, start + placed.pattern.slots * SLOT_S, breaks)


def staffed(shifts: Sequence[Shift], at: float) -> int:
    """Return how many agents are planned to be present and not on a break at `at`."""
    return sum(s.start <= at < s.end and not any(b <= at < e for b, e in s.breaks) for s in shifts)
