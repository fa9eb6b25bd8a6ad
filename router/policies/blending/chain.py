"""Waiting in a call queue whose agents also do tasks: Erlang's formulas and the chain of a reserve.

With a *reserve* of ``u`` an agent that comes free is given a task only while more than ``u`` agents
are idle. The chain follows the number of idle agents ``k = 0 … u``: a call takes one away at rate λ,
and agents come free at ``D(k) = (a + m − k)·μ1 + j·μ2``, where ``a = λ/μ1`` is the load, ``m`` the mean
number of idle agents and ``j = s − a − m`` the mean number on tasks. ``m`` is the fixed point of the
chain's own mean. With no agent on a task it is exactly Erlang's C.

Sources: the chain is the project's approximation of the threshold policy of S. Bhulai and G. Koole,
*A queueing model for call blending in call centers*, IEEE TAC 48(8), 2003; the Erlang formulas are in
every text on telephony, e.g. G. Koole, *Call Center Optimization*, 2013, chapter 3.

Rates are per second, loads in erlangs, times in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_PRECISION_AGENTS = 1e-5
_MAX_STEPS = 60
_SMALLEST_RATIO = 1e-9
_TAIL_DEVIATIONS = 8.0
# Fewer calls than one in thirty years are none: their chain would leave the range of a float.
_NO_CALLS_PER_S = 1e-9
_SIGNIFICANT_DIGITS = 4


def erlang_b(servers: int, load: float | Floats) -> Floats:
    """Share of calls blocked when ``servers`` lines carry ``load`` erlangs, for each load given.

    Raises ValueError for a negative number of servers or a negative load.
    """
    loads = np.asarray(load, dtype=np.float64)
    if servers < 0 or np.any(loads < 0.0):
        raise ValueError("Erlang B needs servers >= 0 and load >= 0")
    blocked = np.ones_like(loads)
    for server in range(1, servers + 1):
        blocked = loads * blocked / (server + loads * blocked)
    return blocked


def erlang_c(servers: int, load: float | Floats) -> Floats:
    """Share of calls that wait at ``servers`` agents under ``load`` erlangs; 1 under overload."""
    loads = np.asarray(load, dtype=np.float64)
    blocked = erlang_b(servers, loads)
    carried = loads < servers
    spare = np.where(carried, servers - loads * (1.0 - blocked), 1.0)
    return np.where(carried, servers * blocked / spare, 1.0)


def erlang_c_service_level(servers: int, load: float | Floats, aht_s: float, within_s: float) -> Floats:
    """Share of calls answered within ``within_s`` by agents who do nothing but calls (no abandonment)."""
    loads = np.asarray(load, dtype=np.float64)
    spare = np.maximum(servers - loads, 0.0)
    waits_longer: Floats = erlang_c(servers, loads) * np.exp(-spare * within_s / aht_s)
    return 1.0 - waits_longer


@dataclass(frozen=True, slots=True)
class Chain:
    """A group as the chain sees it: λ per second, mean call and task times in seconds, staff."""

    rate_per_s: float
    aht_s: float
    task_s: float
    staff: int

    def __post_init__(self) -> None:
        for name in ("rate_per_s", "aht_s", "task_s"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be a finite number")
        if self.rate_per_s < 0.0 or self.aht_s <= 0.0 or self.task_s <= 0.0 or self.staff < 0:
            raise ValueError("the chain needs rate >= 0, times > 0 and staff >= 0")

    @property
    def load(self) -> float:
        """Erlangs of calls."""
        return self.rate_per_s * self.aht_s

    @property
    def overloaded(self) -> bool:
        """Whether the calls alone are more than the staff can do."""
        return self.load >= self.staff

    @property
    def call_mu(self) -> float:
        return 1.0 / self.aht_s

    @property
    def task_mu(self) -> float:
        """Rate at which tasks end; tasks shorter than calls count as calls, or the chain is too bold."""
        return min(1.0 / self.task_s, self.call_mu)

    def rounded(self) -> Chain:
        """The same group with four significant digits, so that near equal updates share one computation."""
        return replace(
            self,
            rate_per_s=significant(self.rate_per_s),
            aht_s=significant(self.aht_s),
            task_s=significant(self.task_s),
        )


def significant(value: float, digits: int = _SIGNIFICANT_DIGITS) -> float:
    """``value`` rounded to a number of significant digits."""
    return float(f"{value:.{digits}g}")


@dataclass(frozen=True, slots=True)
class Solved:
    """The answer for several reserves: mean idle agents, share of calls that wait, how fast waits end."""

    mean_idle: Floats
    waits: Floats
    drain_per_s: Floats

    def waits_longer_than(self, seconds: float) -> Floats:
        """P(W > seconds) for each reserve."""
        tail: Floats = self.waits * np.exp(-self.drain_per_s * max(seconds, 0.0))
        return tail


def solve(chain: Chain, reserves: NDArray[np.int64]) -> Solved:
    """Solve the chain for each reserve in ``reserves`` (each between 0 and the staff)."""
    if chain.overloaded:
        return _all_wait(reserves.size)
    if chain.rate_per_s < _NO_CALLS_PER_S:
        return _no_calls(reserves)
    mean_idle = _fixed_point(chain, reserves)
    weights, _ = _weights(chain, reserves, mean_idle)
    tasks = chain.staff - chain.load - mean_idle
    drain = mean_idle * chain.call_mu + tasks * chain.task_mu
    return Solved(mean_idle, weights[:, 0], drain)


def waits_longer(chain: Chain, reserve: int, seconds: float) -> float:
    """P(W > seconds) with one reserve."""
    solved = solve(chain, np.array([reserve], dtype=np.int64))
    return float(solved.waits_longer_than(seconds)[0])


def mean_idle(chain: Chain, reserve: int) -> float:
    """Mean number of idle agents with one reserve."""
    return float(solve(chain, np.array([reserve], dtype=np.int64)).mean_idle[0])


def _all_wait(count: int) -> Solved:
    return Solved(np.zeros(count), np.ones(count), np.zeros(count))


def _no_calls(reserves: NDArray[np.int64]) -> Solved:
    idle = reserves.astype(np.float64)
    return Solved(idle, np.zeros(reserves.size), np.zeros(reserves.size))


def _fixed_point(chain: Chain, reserves: NDArray[np.int64]) -> Floats:
    """The m that the chain gives back as its own mean, by Newton's steps kept inside a shrinking bracket."""
    low = np.zeros(reserves.size)
    high = np.minimum(reserves.astype(np.float64), chain.staff - chain.load)
    guess = 0.5 * (low + high)
    for _ in range(_MAX_STEPS):
        mean, slope = _mean_and_slope(chain, reserves, guess)
        above = mean > guess
        low, high = np.where(above, guess, low), np.where(above, high, guess)
        step = guess + (mean - guess) / np.maximum(1.0 - slope, _SMALLEST_RATIO)
        inside = (step > low - _PRECISION_AGENTS) & (step < high + _PRECISION_AGENTS)
        following = np.clip(np.where(inside, step, 0.5 * (low + high)), low, high)
        moved = float(np.max(np.abs(following - guess), initial=0.0))
        guess = following
        if moved < _PRECISION_AGENTS:
            break
    return guess


def _mean_and_slope(chain: Chain, reserves: NDArray[np.int64], guess: Floats) -> tuple[Floats, Floats]:
    """Mean idle agents when ``guess`` is believed, and its derivative, Cov(k, d log w(k)/dm)."""
    weights, slopes = _weights(chain, reserves, guess)
    idle = np.arange(weights.shape[1], dtype=np.float64)
    mean = weights @ idle
    covariance = np.einsum("uk,uk,k->u", weights, slopes, idle)
    return mean, covariance - mean * np.einsum("uk,uk->u", weights, slopes)


def _last_likely(chain: Chain) -> int:
    """Number of idle agents beyond which the probability is nothing: the calls in work are about Poisson."""
    return math.ceil(chain.staff - chain.load + _TAIL_DEVIATIONS * math.sqrt(chain.load + 1.0)) + 1


def _weights(chain: Chain, reserves: NDArray[np.int64], guess: Floats) -> tuple[Floats, Floats]:
    """Probabilities of k idle agents, a row for each reserve, and their logarithmic derivatives by m.

    Logarithms, because at a thousand agents the plain products leave the range of a float.
    """
    rate, call_mu, task_mu = chain.rate_per_s, chain.call_mu, chain.task_mu
    columns = min(int(reserves.max(initial=0)), _last_likely(chain)) + 1
    idle = np.arange(columns, dtype=np.float64)
    on_tasks = np.maximum(chain.staff - chain.load - guess, 0.0)
    freed = np.maximum((chain.load + guess)[:, None] - idle, 0.0) * call_mu + (on_tasks * task_mu)[:, None]
    freed = np.maximum(freed, rate * _SMALLEST_RATIO)
    drain = guess * call_mu + on_tasks * task_mu
    logs = np.empty_like(freed)
    logs[:, 0] = np.log(freed[:, 0] / drain)
    np.cumsum(np.log(freed[:, :-1] / rate), axis=1, out=logs[:, 1:])
    slopes = np.empty_like(freed)
    slopes[:, 0] = 1.0 / freed[:, 0] - 1.0 / drain
    np.cumsum(1.0 / freed[:, :-1], axis=1, out=slopes[:, 1:])
    logs[idle[None, :] > reserves[:, None]] = -np.inf
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights, slopes * (call_mu - task_mu)
