"""What each reserve gives and costs in the stretches of the day, and the best one at a price for late calls.

A stretch has one call rate and one staff. For each reserve tried the chain of ``chain`` tells the mean idle agents,
the share of calls that wait and how fast waits end. In such a queue a call that has waited for a while has a
geometric place in line with ratio ρ = λ/D, where D is the rate at which busy agents come free; from place k it is
late without help if fewer than k of them come free in the time left: P(N < k) for a Poisson N with mean D·left. A
recall is worth its work where what it takes off that chance, times the price of a late call, exceeds it. So one price
decides both how many agents are kept back and which waiting calls recall one.

All stretches are computed in one pass over (stretch, reserve, place): what a decision costs hardly grows with their
number. Prices and costs are in seconds of an agent's time, rates per second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.policies.blending.chain import Chain

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_UNIT_STEPS = 8
_GROWTH = 1.25
_FIRST_STEPS = 12
_SPREAD = 4.0
_DEVIATIONS = 6.0
_LONGEST_PLACE = 400
_PRICE_SPAN = 4000.0
_PRICES = 32
_NO_CALLS_PER_S = 1e-9
MEANS = 24
"""Points of a chain's curve: how many mean numbers of idle agents are believed."""
_LEAST_SHARE = 1e-9
_SAFE_EXPONENT = 600.0
_FEWER_BY_LOAD = 0.33
_FEWER_AT_MOST = 0.6


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
    """Stretches of the day under a number of reserves: arrays over (stretch, reserve).

    What is asked for one stretch (``at``, ``firm``, ``reserve_for``) is asked of the first.
    """

    def __init__(self, chains: Sequence[Chain], rules: Rules) -> None:
        """Solve the chains for each reserve tried; everything else is looked up."""
        self._rules = rules
        self._rate = np.array([[chain.rate_per_s] for chain in chains])
        self.crowded = chains[0].overloaded
        self.reserves = _all_tried(chains)
        solved = _solve_all(chains, self.reserves, alone=rules.age_s is None)
        self.idle = solved.idle
        self.late = solved.waits_longer_than(rules.within_s)
        # With the largest reserve next to nobody is on a task: what is late then, no recall can help.
        self._helpless = self.late[:, -1]
        self.places = 0
        if rules.age_s is not None:
            self._tabulate(solved, solved.waits_longer_than(rules.age_s))

    @cached_property
    def late_by_price(self) -> Floats:
        """Share of calls late under the best reserve: a row for each stretch, a column for each of the prices."""
        return self._best(self._rules.prices_s())[1]

    def lowest_price_s(self, late: float) -> float:
        """The lowest price at which no more than this share of calls is late; the highest where none is enough."""
        enough = np.flatnonzero(self.late_by_price[0] <= late)
        return float(self._rules.prices_s()[enough[0]]) if enough.size else self._rules.highest_price_s

    def at(self, price_s: float) -> Choice:
        """The best reserve at a price."""
        return self._chosen(*self._best(np.array([price_s])))

    def firm(self, price_s: float) -> Choice:
        """The best reserve at a price for work that cannot be recalled."""
        return self._chosen(*self._best_alone(np.array([price_s])))

    def reserve_for(self, late: float) -> float:
        """The reserve at which, without recall, this share is late, read between those tried; infinite without one."""
        found = self.late[0]
        if found[-1] > late:
            return math.inf
        after = int((found > late).sum())
        if after == 0:
            return float(self.reserves[0, 0])
        low, high = np.log(np.maximum(found[after - 1 : after + 1], _LEAST_SHARE))
        share = (low - math.log(max(late, _LEAST_SHARE))) / max(low - high, _LEAST_SHARE)
        below, above = self.reserves[0, after - 1 : after + 1]
        return float(below + min(max(share, 0.0), 1.0) * (above - below))

    def _chosen(self, best: Ints, late: Floats) -> Choice:
        return Choice(int(self.reserves[0, best[0, 0]]), float(late[0, 0]))

    def _tabulate(self, solved: _Solutions, due: Floats) -> None:
        """Tables over (stretch, reserve, place in line): chance to be late, due calls late or beyond that place."""
        freed = np.maximum(solved.drain_per_s + self._rate, _NO_CALLS_PER_S)
        mean = float(freed.max()) * self._rules.left_s
        self.places = places = min(_LONGEST_PLACE, math.ceil(mean + _DEVIATIONS * math.sqrt(mean)) + 8)
        self._chance = fewer_than(freed * self._rules.left_s, places)
        ratio = np.clip(self._rate / freed, _NO_CALLS_PER_S, 1.0)
        self._beyond = due[..., None] * np.exp(np.arange(places + 1) * np.log(ratio)[..., None])
        self._missed = np.zeros_like(self._beyond)
        late_here = (self._beyond[..., :-1] - self._beyond[..., 1:]) * self._chance
        np.cumsum(late_here, axis=-1, out=self._missed[..., 1:])
        # Where no place is worth a recall, none beyond the table is either.
        self._missed[..., -1] += self._beyond[..., -1]
        self._beyond[..., -1] = 0.0

    def _best(self, prices_s: Floats) -> tuple[Ints, Floats]:
        """For each stretch and price the index of the best reserve, and the share of calls late under it."""
        if self._rules.age_s is None:
            return self._best_alone(prices_s)
        cost_s = self._rules.recall_cost_s
        # The chance grows with the place: so many places in line are left to themselves.
        rows = self._chance.reshape(-1, self._chance.shape[-1])
        alone = np.array([row.searchsorted(cost_s / prices_s) for row in rows])
        alone = alone.reshape(*self.idle.shape, prices_s.size)
        recalls = np.take_along_axis(self._beyond, alone, axis=-1)
        late = np.take_along_axis(self._missed, alone, axis=-1)
        lost = self.idle[..., None] + self._rate[..., None] * (cost_s * recalls + prices_s * late)
        best, late = _least(lost, late)
        return best, np.maximum(late, self._helpless[:, None])

    def _best_alone(self, prices_s: Floats) -> tuple[Ints, Floats]:
        late = np.broadcast_to(self.late[..., None], (*self.late.shape, prices_s.size))
        return _least(self.idle[..., None] + self._rate[..., None] * prices_s * late, late)


def _least(lost: Floats, late: Floats) -> tuple[Ints, Floats]:
    """For each stretch and price the reserve that loses least, and what is late under it."""
    best = lost.argmin(axis=1)
    return best, np.take_along_axis(late, best[:, None, :], axis=1)[:, 0, :]


class _Solutions(NamedTuple):
    """The chains under several reserves: mean idle agents, share of calls that wait, how fast waits end."""

    idle: Floats
    waits: Floats
    drain_per_s: Floats

    def waits_longer_than(self, seconds: float) -> Floats:
        """P(W > seconds) for each stretch and reserve."""
        longer: Floats = self.waits * np.exp(-self.drain_per_s * max(seconds, 0.0))
        return longer


class _Curve(NamedTuple):
    """A chain along its mean number of idle agents: the reserves at which it has them, ln P(W > 0)."""

    idle: Floats
    reserve: Floats
    log_waits: Floats


def _solve_all(chains: Sequence[Chain], reserves: Ints, alone: bool) -> _Solutions:
    """The mean idle agents and the waits of all chains and reserves, read between the points of each chain's curve.

    ``alone``: without recall.
    """
    idle, waits, drain = (np.zeros(reserves.shape) for _ in range(3))
    plain = [n for n, chain in enumerate(chains) if not (chain.overloaded or _without_calls(chain))]
    curves = dict(zip(plain, _curves([chains[n] for n in plain], alone), strict=True))
    for n, chain in enumerate(chains):
        if chain.overloaded:
            waits[n] = 1.0
        elif n not in curves:
            idle[n] = reserves[n]
        else:
            curve = curves[n]
            idle[n] = np.interp(reserves[n], curve.reserve, curve.idle)
            waits[n] = np.exp(np.interp(reserves[n], curve.reserve, curve.log_waits))
            drain[n] = _drain(chain, idle[n], alone)
    return _Solutions(idle, waits, drain)


def _drain(chain: Chain, idle: Floats, alone: bool) -> Floats:
    """D(0) − λ: how much faster agents come free than calls arrive while calls wait."""
    on_tasks = chain.staff - chain.load - idle
    drain = idle * chain.call_mu + on_tasks * chain.task_mu
    if not alone:
        return drain
    fewer = _fewer_on_tasks(chain.load, chain.task_mu / chain.call_mu, idle, on_tasks)
    return drain + fewer * (chain.call_mu - chain.task_mu)


def _fewer_on_tasks(load: float | Floats, pace: float | Floats, idle: Floats, on_tasks: Floats) -> Floats:
    """By how many fewer than on average agents are on tasks while no agent is idle.

    Calls wait when many calls are in work, and then no task is handed out: fewer agents are on tasks, and more on
    calls, which end sooner. The more calls vary (root of the load) and the faster tasks follow them (``pace``: mean
    time of a call over that of a task), the more so. Fitted to exact chains without recall; with it agents come
    back from tasks whenever calls wait, and the law is better off without this. `quality/stationary.py` compares.
    """
    fewer = np.minimum(_FEWER_BY_LOAD * pace * np.sqrt(load), _FEWER_AT_MOST * on_tasks)
    return np.minimum(fewer, idle)


def _without_calls(chain: Chain) -> bool:
    return chain.rate_per_s < _NO_CALLS_PER_S


def _curves(chains: Sequence[Chain], alone: bool) -> list[_Curve]:
    """The curve of each chain, in one pass.

    Agents come free at ``D(k) = (a + m − k)·μ1 + j·μ2 + f·(1 − k/m)·(μ1 − μ2)``; ``chain`` leaves the last term out, as
    it is with recall (f: ``_fewer_on_tasks``). The fixed point is found backwards: a mean number of idle agents is
    believed, which fixes D(k), and partial sums of the weights w(k) then tell with which reserve the chain gives it.
    """
    if not chains:
        return []
    rate, load, staff, call_mu, task_mu = (
        np.array([[getattr(chain, name)] for chain in chains], dtype=np.float64)
        for name in ("rate_per_s", "load", "staff", "call_mu", "task_mu")
    )
    most = np.array([[_most(chain)] for chain in chains])
    idle = np.minimum(most, staff - load) * _spaced(MEANS)
    on_tasks = staff - load - idle
    sooner = (
        float(alone) * _fewer_on_tasks(load, task_mu / call_mu, idle, on_tasks) * (call_mu - task_mu) / rate
    )
    places = np.arange(most.max() + 1.0)
    # No difference is made by a ratio that large, and no product of them leaves the range of a float.
    largest = math.exp(_SAFE_EXPONENT / places.size)
    ratios = (load + idle)[..., None] - places
    np.maximum(ratios, 0.0, out=ratios)
    ratios *= (call_mu / rate)[..., None]
    ratios += (on_tasks * task_mu / rate + sooner)[..., None]
    ratios -= (sooner / np.maximum(idle, _LEAST_SHARE))[..., None] * places
    np.maximum(ratios, _LEAST_SHARE, out=ratios)
    np.minimum(ratios, largest, out=ratios)
    first = ratios[..., 0] / np.maximum(ratios[..., 0] - 1.0, _LEAST_SHARE)
    weights = np.empty_like(ratios)
    weights[..., 0] = 1.0
    np.cumprod(ratios[..., :-1], axis=-1, out=weights[..., 1:])
    total = np.cumsum(weights, axis=-1)
    total += (first - 1.0)[..., None]
    weights *= places
    mean = np.cumsum(weights, axis=-1, out=weights)
    mean /= total
    below = np.minimum((mean <= idle[..., None]).sum(axis=-1) - 1, most)
    reached = below < most
    pair = np.minimum(np.stack([below, below + 1], axis=-1), places.size - 1)
    means, totals = (np.take_along_axis(of, pair, axis=-1) for of in (mean, total))
    logs = np.log(totals / first[..., None])
    part = (idle - means[..., 0]) / np.maximum(means[..., 1] - means[..., 0], _LEAST_SHARE)
    waits = (part - 1.0) * logs[..., 0] - part * logs[..., 1]
    # The first point is a reserve of 0, under which every call waits.
    reached[:, 0], below[:, 0], part[:, 0], waits[:, 0] = True, 0, 0.0, 0.0
    return [_Curve(idle[n][on], (below + part)[n][on], waits[n][on]) for n, on in enumerate(reached)]


@lru_cache(maxsize=4)
def _spaced(count: int) -> Floats:
    """From 0 to 1, close together at both ends: few idle agents matter most, and many come near a limit."""
    t = np.linspace(0.0, 1.0, count)
    spaced: Floats = t**3 * (10.0 - 15.0 * t + 6.0 * t**2)
    return spaced


@lru_cache(maxsize=256)
def outlook(chains: tuple[Chain, ...], rules: Rules) -> Outlook:
    """The outlook of some stretches; equal questions are computed once."""
    return Outlook(chains, rules)


def fewer_than(means: Floats, places: int) -> Floats:
    """P(N < k) for k = 1 … ``places``, on an axis more, for each mean of a Poisson-distributed N."""
    counts = np.arange(places)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.maximum(counts[1:], 1)))])
    logs = counts * np.log(np.maximum(means, 1e-300))[..., None] - means[..., None] - factorials
    total: Floats = np.minimum(np.cumsum(np.exp(logs), axis=-1), 1.0)
    return total


def _most(chain: Chain) -> int:
    """The largest reserve worth a look, as far as the calls vary; never everybody."""
    return max(min(chain.staff - 1, _FIRST_STEPS + round(_SPREAD * math.sqrt(chain.load))), 0)


def _tried(chain: Chain) -> Iterator[int]:
    """Reserves worth a look: each of the first few, then in growing steps."""
    reserve, most = 0, _most(chain)
    while reserve < most:
        yield reserve
        reserve = max(reserve + 1, round(reserve * _GROWTH)) if reserve >= _UNIT_STEPS else reserve + 1
    yield most


def _all_tried(chains: Sequence[Chain]) -> Ints:
    """A row of reserves for each chain; the last one again where others have more."""
    rows = [list(_tried(chain)) for chain in chains]
    length = max(map(len, rows))
    return np.array([row + row[-1:] * (length - len(row)) for row in rows])
