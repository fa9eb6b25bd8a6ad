"""How many idle agents to keep back, with and without recall, and whether recall is worth arming.

Steps 3 to 5 of the law. Without recall the reserve is the smallest one that meets the required
service level (a threshold, as in Bhulai & Koole 2003; Legros, Jouini & Koole 2015). With recall a
smaller reserve is enough, and each late call costs the work that a recall throws away. Both are
counted in mean agents not at work, and the cheaper one is taken.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from router.policies.blending.chain import Chain, Solved, significant, solve

_SAME_COST = 1e-6


@dataclass(frozen=True, slots=True)
class ReserveQuestion:
    """What the reserves depend on. Times in seconds, ``required`` a share of calls."""

    chain: Chain
    required: float
    within_s: float
    reaction_s: float
    lost_s: float
    guard_s: float = 2.0
    loss_floor_s: float = 10.0
    recall_allowed: bool = True
    floor: int = 0

    @property
    def recall_age_s(self) -> float:
        """Age at which a waiting call must be helped by a recall to be answered in time: τ − d − guard."""
        return self.within_s - self.reaction_s - self.guard_s

    @property
    def recall_is_fast_enough(self) -> bool:
        return self.recall_allowed and self.recall_age_s > 0.0


@dataclass(frozen=True, slots=True)
class Reserves:
    """The answer: reserves in agents, costs in mean agents not at work (infinite where none suffices)."""

    without_recall: int
    with_recall: int
    cost_without_recall: float
    cost_with_recall: float
    armed: bool
    interruptible: int
    firm: int
    feasible: bool


def reserves(question: ReserveQuestion) -> Reserves:
    """Solve steps 3–5; inputs are rounded first, so that near equal questions are computed once."""
    return _solved(_rounded(question))


def _rounded(question: ReserveQuestion) -> ReserveQuestion:
    return ReserveQuestion(
        chain=question.chain.rounded(),
        required=round(question.required, 4),
        within_s=question.within_s,
        reaction_s=significant(question.reaction_s),
        lost_s=significant(question.lost_s),
        guard_s=question.guard_s,
        loss_floor_s=question.loss_floor_s,
        recall_allowed=question.recall_allowed,
        floor=question.floor,
    )


@lru_cache(maxsize=256)
def _solved(question: ReserveQuestion) -> Reserves:
    staff, curve = question.chain.staff, _Curve(question)
    without, idle_without = _reserve_without_recall(question, curve)
    feasible = without < staff
    cost_without = idle_without if feasible else math.inf
    # A reserve beyond u_n leaves more agents idle than u_n does, so it cannot be the cheaper way.
    with_recall, cost_with = _reserve_with_recall(question, curve, without)
    # Where both cost the same no calls are known yet: nobody is held back, and the first call that waits recalls.
    armed = question.recall_is_fast_enough and cost_with <= cost_without
    chosen = max(1, with_recall) if armed and cost_with < cost_without else without
    interruptible = min(max(chosen, question.floor), staff)
    return Reserves(
        without_recall=without,
        with_recall=with_recall,
        cost_without_recall=cost_without,
        cost_with_recall=cost_with,
        armed=armed,
        interruptible=interruptible,
        firm=max(without, interruptible),
        feasible=feasible,
    )


class _Curve:
    """The chain solved for the reserves asked so far; both searches ask for much the same ones."""

    def __init__(self, question: ReserveQuestion) -> None:
        self._question = question
        self._loss_rate = _loss_rate(question)
        self._known: list[int] = []
        self._solved: dict[int, Solved] = {}

    def late(self, reserve: int) -> float:
        """P(W > τ): the calls answered too late without recall."""
        return self.at(reserve).waits_longer_than(self._question.within_s)

    def cost_with_recall(self, reserve: int) -> float:
        """Mean idle agents and the work lost by recalls."""
        solved = self.at(reserve)
        return solved.mean_idle + self._loss_rate * solved.waits_longer_than(self._question.recall_age_s)

    def at(self, reserve: int) -> Solved:
        """The chain with this reserve, solved once."""
        if reserve not in self._solved:
            place = bisect(self._known, reserve)
            self._solved[reserve] = solve(self._question.chain, reserve, self._guess(place, reserve))
            self._known.insert(place, reserve)
        return self._solved[reserve]

    def _guess(self, place: int, reserve: int) -> float | None:
        """Mean idle agents read between the neighbours known: from there a step or two find the fixed point."""
        if not 0 < place < len(self._known):
            return None
        low, high = self._known[place - 1], self._known[place]
        share = (reserve - low) / (high - low)
        return self._solved[low].mean_idle * (1.0 - share) + self._solved[high].mean_idle * share


def _reserve_without_recall(question: ReserveQuestion, curve: _Curve) -> tuple[int, float]:
    """Smallest u with P(W > τ) ≤ 1 − required and its mean idle agents; the whole staff where none suffices.

    P(W > τ) falls as u grows (held by a property test).
    """
    staff, allowed = question.chain.staff, 1.0 - question.required
    if staff == 0 or curve.late(staff - 1) > allowed:
        return staff, math.inf
    reserve = _smallest(lambda u: curve.late(u) <= allowed, staff - 1)
    return reserve, curve.at(reserve).mean_idle


def _reserve_with_recall(question: ReserveQuestion, curve: _Curve, most: int) -> tuple[int, float]:
    """The u ≤ ``most`` that costs least with recall, and its cost: mean idle agents + work lost by recalls.

    The mean idle agents rise with u while the work lost falls, so the cost has one valley (held by a property test),
    and its bottom is where one agent more no longer pays.
    """
    if not question.recall_is_fast_enough:
        return most, math.inf
    if question.chain.overloaded:
        # Nobody to spare: hold all back, yet at a finite cost, so that running tasks can be recalled.
        return question.chain.staff, _loss_rate(question)
    cost = curve.cost_with_recall
    reserve = _smallest(lambda u: u == most or cost(u + 1) > cost(u) - _SAME_COST, most)
    return reserve, cost(reserve)


def _smallest(enough: Callable[[int], bool], most: int) -> int:
    """The smallest number from 0 to ``most``, which is enough, that is; what is above one that is, is enough too.

    Steps that double, then halves: small reserves are the usual answer, and the cheap ones to look at.
    """
    low, high = -1, 0
    while high < most and not enough(high):
        low, high = high, min(2 * high + 1, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _loss_rate(question: ReserveQuestion) -> float:
    """Agents' worth of work lost if every call triggered a recall: max(c, floor)·λ."""
    return max(question.lost_s, question.loss_floor_s) * question.chain.rate_per_s
