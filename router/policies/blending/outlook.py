"""What each reserve gives and costs in one stretch of the day, and the best one at a price for late calls.

A stretch has one call rate and one staff. For each reserve tried the chain of ``chain`` tells the mean idle agents,
the share of calls that wait and how fast waits end. In such a queue a call that has waited for a while has a
geometric place in line with ratio ρ = λ/D, where D is the rate at which busy agents come free; from place k it is
late without help if fewer than k of them come free in the time left: P(N < k) for a Poisson N with mean D·left. A
recall is worth its work where what it takes off that chance, times the price of a late call, exceeds it. So one price
decides both how many agents are kept back and which waiting calls recall one.

Prices and costs are in seconds of an agent's time, rates per second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.policies.blending.chain import Chain

Floats = NDArray[np.float64]

_UNIT_STEPS = 12
_GROWTH = 1.15
_SPREAD = 4.0
_DEVIATIONS = 6.0
_LONGEST_PLACE = 400
_PRICE_SPAN = 4000.0
_PRICES = 32
_NO_CALLS_PER_S = 1e-9
_MOST_STEPS = 40
_FREE_STEPS = 5
_PRECISION_AGENTS = 1e-3
_LEAST_SLOPE = 1e-9


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every stretch. ``age_s``: when a waiting call may recall an agent, None without recall."""

    within_s: float
    highest_price_s: float
    left_s: float = 0.0
    recall_cost_s: float = 0.0
    age_s: float | None = None

    def prices_s(self) -> Floats:
        """The prices at which stretches are compared, in equal steps of their logarithm."""
        return _prices_s(self.highest_price_s)


@lru_cache(maxsize=16)
def _prices_s(highest_s: float) -> Floats:
    prices: Floats = np.geomspace(highest_s / _PRICE_SPAN, highest_s, _PRICES)
    return prices


class Choice(NamedTuple):
    """The best reserve at a price: agents kept back, share of calls that will be late."""

    reserve: int
    late: float


class Outlook:
    """One stretch of the day under a number of reserves."""

    def __init__(self, chain: Chain, rules: Rules) -> None:
        """Solve the chain for each reserve tried; everything else is looked up."""
        self.crowded = chain.overloaded
        self._rate, self._rules = chain.rate_per_s, rules
        self.reserves = tuple(_tried(chain))
        solved = _solve_all(chain, np.array(self.reserves, dtype=np.float64))
        self.idle = solved.idle
        self.late = solved.waits_longer_than(rules.within_s)
        # With the largest reserve next to nobody is on a task: what is late then, no recall can help.
        self._helpless = float(self.late[-1])
        self._recalls = rules.age_s is not None and not self.crowded
        if rules.age_s is not None and not self.crowded:
            due = solved.waits_longer_than(rules.age_s)
            freed = np.maximum(solved.drain_per_s + self._rate, _NO_CALLS_PER_S)
            self._tabulate(freed, due, rules.left_s)

    @cached_property
    def late_by_price(self) -> Floats:
        """Share of calls late under the best reserve, for each of ``rules.prices_s()``."""
        return self._best(self._rules.prices_s())[1]

    def lowest_price_s(self, late: float) -> float:
        """The lowest price at which no more than this share of calls is late; the highest where none is enough."""
        return lowest_price_s(self._rules, self.late_by_price, late)

    def at(self, price_s: float) -> Choice:
        """The best reserve at a price."""
        best, late = self._best(np.array([price_s]))
        return Choice(self.reserves[int(best[0])], float(late[0]))

    def firm(self, price_s: float) -> Choice:
        """The best reserve at a price for work that cannot be recalled."""
        best, late = self._best_alone(np.array([price_s]))
        return Choice(self.reserves[int(best[0])], float(late[0]))

    def reserve_for(self, late: float, staff: int) -> int:
        """The smallest reserve tried under which, without recall, no more than this share is late; else ``staff``."""
        enough = np.flatnonzero(self.late <= late)
        return self.reserves[int(enough[0])] if enough.size else staff

    def _tabulate(self, freed: Floats, due: Floats, left_s: float) -> None:
        """Tables over (reserve, place in line): chance to be late, due calls late or beyond that place."""
        mean = float(freed.max()) * left_s
        places = min(_LONGEST_PLACE, math.ceil(mean + _DEVIATIONS * math.sqrt(mean)) + 8)
        self._chance = fewer_than(freed * left_s, places)
        self._beyond = due[:, None] * (self._rate / freed)[:, None] ** np.arange(places + 1)
        missed = np.cumsum((self._beyond[:, :-1] - self._beyond[:, 1:]) * self._chance, axis=1)
        self._missed = np.concatenate([np.zeros((len(due), 1)), missed], axis=1)

    def _best(self, prices_s: Floats) -> tuple[NDArray[np.intp], Floats]:
        """For each price the index of the best reserve, and the share of calls late under it."""
        if not self._recalls:
            return self._best_alone(prices_s)
        cost_s, rows = self._rules.recall_cost_s, np.arange(len(self.reserves))
        # The chance grows with the place: so many places in line are left to themselves.
        alone = np.stack([row.searchsorted(cost_s / prices_s) for row in self._chance], axis=1)
        recalls = self._beyond[rows, alone]
        late = self._missed[rows, alone]
        lost = self.idle + self._rate * (cost_s * recalls + prices_s[:, None] * late)
        best = lost.argmin(axis=1)
        return best, np.maximum(late[np.arange(len(best)), best], self._helpless)

    def _best_alone(self, prices_s: Floats) -> tuple[NDArray[np.intp], Floats]:
        best = (self.idle + self._rate * prices_s[:, None] * self.late).argmin(axis=1)
        return best, self.late[best]


class _Solutions(NamedTuple):
    """The chain for several reserves at once: mean idle agents, share of calls that wait, how fast waits end."""

    idle: Floats
    waits: Floats
    drain_per_s: Floats

    def waits_longer_than(self, seconds: float) -> Floats:
        """P(W > seconds) for each reserve."""
        longer: Floats = self.waits * np.exp(-self.drain_per_s * max(seconds, 0.0))
        return longer


def _solve_all(chain: Chain, reserves: Floats) -> _Solutions:
    """What ``chain.solve`` answers, for all reserves in the steps of one: Newton's, kept inside a shrinking bracket."""
    if chain.overloaded:
        return _Solutions(np.zeros(reserves.size), np.ones(reserves.size), np.zeros(reserves.size))
    if chain.rate_per_s < _NO_CALLS_PER_S:
        return _Solutions(reserves, np.zeros(reserves.size), np.zeros(reserves.size))
    low, high = np.zeros(reserves.size), np.minimum(reserves, chain.staff - chain.load)
    idle = 0.5 * high
    for count in range(_MOST_STEPS):
        mean, slope, waits, drain = _moments(chain, reserves, idle)
        low, high = np.where(mean > idle, idle, low), np.where(mean > idle, high, idle)
        step = idle + (mean - idle) / np.maximum(1.0 - slope, _LEAST_SLOPE)
        # Most answers lie at the bracket's end or a step or two away; halving is for the few that jump to and fro.
        outside = (step <= low) | (step >= high)
        halved = outside & (count >= _FREE_STEPS)
        following = np.where(halved, 0.5 * (low + high), np.clip(step, low, high))
        moved, idle = float(np.abs(following - idle).max(initial=0.0)), following
        if moved < _PRECISION_AGENTS:
            break
    return _Solutions(idle, waits, drain)


def _moments(chain: Chain, reserves: Floats, idle: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """For mean idle agents believed: the mean that the chain gives, its slope, P(W > 0), and the drain of waits.

    Logarithms, because at a thousand agents the plain products leave the range of a float.
    """
    rate, call_mu, task_mu = chain.rate_per_s, chain.call_mu, chain.task_mu
    places = np.arange(int(reserves.max()) + 1, dtype=np.float64)
    on_tasks = np.maximum(chain.staff - chain.load - idle, 0.0)
    freed = np.maximum((chain.load + idle)[:, None] - places, 0.0) * call_mu + (on_tasks * task_mu)[:, None]
    np.maximum(freed, rate * _LEAST_SLOPE, out=freed)
    drain = idle * call_mu + on_tasks * task_mu
    logs, tilts = np.empty_like(freed), np.empty_like(freed)
    logs[:, 0] = np.log(freed[:, 0] / drain)
    np.cumsum(np.log(freed[:, :-1] / rate), axis=1, out=logs[:, 1:])
    tilts[:, 0] = 1.0 / freed[:, 0] - 1.0 / drain
    np.cumsum(1.0 / freed[:, :-1], axis=1, out=tilts[:, 1:])
    logs[places > reserves[:, None]] = -np.inf
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    mean = weights @ places
    tilted = weights * tilts
    slope = (tilted @ places - mean * tilted.sum(axis=1)) * (call_mu - task_mu)
    return mean, slope, weights[:, 0], drain


def lowest_price_s(rules: Rules, late: Floats, allowed: float) -> float:
    """The lowest of the rules' prices at which ``late`` is no more than allowed; the highest where none is enough."""
    enough = np.flatnonzero(late <= allowed)
    return float(rules.prices_s()[enough[0]]) if enough.size else rules.highest_price_s


@lru_cache(maxsize=1024)
def outlook(chain: Chain, rules: Rules) -> Outlook:
    """The outlook of a stretch; equal questions are computed once."""
    return Outlook(chain, rules)


def fewer_than(means: Floats, places: int) -> Floats:
    """P(N < k) for k = 1 … ``places``, a row for each mean of a Poisson-distributed N."""
    counts = np.arange(places)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.maximum(counts[1:], 1)))])
    logs = counts * np.log(np.maximum(means, 1e-300))[:, None] - means[:, None] - factorials
    total: Floats = np.minimum(np.cumsum(np.exp(logs), axis=1), 1.0)
    return total


def _tried(chain: Chain) -> Iterator[int]:
    """Reserves worth a look: each of the first few, then in growing steps as far as the calls vary; never everybody."""
    most = min(chain.staff - 1, _UNIT_STEPS + round(_SPREAD * math.sqrt(chain.load)))
    reserve = 0
    while reserve < most:
        yield reserve
        reserve = max(reserve + 1, round(reserve * _GROWTH)) if reserve >= _UNIT_STEPS else reserve + 1
    yield max(most, 0)
