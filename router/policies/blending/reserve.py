"""How many idle agents to keep back, with and without recall, and whether recall is worth arming.

Steps 3 to 5 of the law. Without recall the reserve is the smallest one that meets the required
service level (a threshold, as in Bhulai & Koole 2003; Legros, Jouini & Koole 2015). With recall a
smaller reserve is enough, and each late call costs the work that a recall throws away. Both are
counted in mean agents not at work, and the cheaper one is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from router.policies.blending.chain import Chain, Floats, mean_idle, significant, solve, waits_longer

_GRID = 12


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
    staff = question.chain.staff
    without, idle_without = _reserve_without_recall(question)
    feasible = without < staff
    cost_without = idle_without if feasible else math.inf
    # A reserve beyond u_n leaves more agents idle than u_n does, so it cannot be the cheaper way.
    with_recall, cost_with = _reserve_with_recall(question, without)
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


def _reserve_without_recall(question: ReserveQuestion) -> tuple[int, float]:
    """Smallest u with P(W > τ) ≤ 1 − required and its mean idle agents; the whole staff where none suffices.

    P(W > τ) falls as u grows (held by a property test), so the search halves the range.
    """
    chain, allowed = question.chain, 1.0 - question.required
    low, high = 0, chain.staff
    if high == 0 or waits_longer(chain, high - 1, question.within_s) > allowed:
        return high, math.inf
    high -= 1
    while low < high:
        middle = (low + high) // 2
        if waits_longer(chain, middle, question.within_s) <= allowed:
            high = middle
        else:
            low = middle + 1
    return low, mean_idle(chain, low)


def _reserve_with_recall(question: ReserveQuestion, most: int) -> tuple[int, float]:
    """The u ≤ ``most`` that costs least with recall, and its cost: mean idle agents + work lost by recalls.

    The mean idle agents rise with u while the work lost falls, so the cost has one valley: it is looked
    for on a coarse grid, then on a finer one around the best point, until neighbours are compared.
    """
    if not question.recall_is_fast_enough:
        return most, math.inf
    if question.chain.overloaded:
        # Nobody to spare: hold all back, yet at a finite cost, so that running tasks can be recalled.
        return question.chain.staff, _loss_rate(question)
    low, high = 0, most
    while True:
        tried = np.unique(np.linspace(low, high, _GRID).round().astype(np.int64))
        costs = _costs_with_recall(question, tried)
        best = int(np.argmin(costs))
        if high - low < _GRID:
            return int(tried[best]), float(costs[best])
        low, high = int(tried[max(best - 1, 0)]), int(tried[min(best + 1, tried.size - 1)])


def _costs_with_recall(question: ReserveQuestion, tried: NDArray[np.int64]) -> Floats:
    solved = solve(question.chain, tried)
    costs: Floats = solved.mean_idle + _loss_rate(question) * solved.waits_longer_than(question.recall_age_s)
    return costs


def _loss_rate(question: ReserveQuestion) -> float:
    """Agents' worth of work lost if every call triggered a recall: max(c, floor)·λ."""
    return max(question.lost_s, question.loss_floor_s) * question.chain.rate_per_s
