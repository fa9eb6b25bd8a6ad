"""Waiting in a call queue whose agents also do tasks: the chain of a reserve.

With a *reserve* of ``u`` an agent that comes free is given a task only while more than ``u`` agents
are idle. The chain follows the number of idle agents ``k = 0 … u``: a call takes one away at rate λ,
and agents come free at ``D(k) = (a + m − k)·μ1 + j·μ2``, where ``a = λ/μ1`` is the load, ``m`` the mean
number of idle agents and ``j = s − a − m`` the mean number on tasks. ``m`` is the fixed point of the
chain's own mean. With no agent on a task it is exactly Erlang's C.

Source: the project's approximation of the threshold policy of S. Bhulai and G. Koole, *A queueing model
for call blending in call centers*, IEEE TAC 48(8), 2003.

Rates are per second, loads in erlangs, times in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

_PRECISION_AGENTS = 1e-6
_MAX_STEPS = 60
_SMALLEST_RATIO = 1e-9
_LARGE = 1e50
_SAFE_EXPONENT = 400.0
_TAIL_DEVIATIONS = 8.0
# Fewer calls than one in thirty years are none: their chain would leave the range of a float.
_NO_CALLS_PER_S = 1e-9
_SIGNIFICANT_DIGITS = 4


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


class Solved(NamedTuple):
    """The answer for one reserve: mean idle agents, share of calls that wait, how fast waits end."""

    mean_idle: float
    waits: float
    drain_per_s: float

    def waits_longer_than(self, seconds: float) -> float:
        """P(W > seconds)."""
        return self.waits * math.exp(-self.drain_per_s * max(seconds, 0.0))


class _Moments(NamedTuple):
    """What the chain gives when a mean number of idle agents is believed: that mean, its slope, P(W > 0)."""

    mean: float
    slope: float
    waits: float


def solve(chain: Chain, reserve: int, guess: float | None = None) -> Solved:
    """Solve the chain for a reserve between 0 and the staff.

    ``guess`` is a mean number of idle agents to begin with; the answer does not depend on it. A plain loop: the rows
    are short, and one call of numpy takes as long as ten steps.
    """
    if chain.overloaded:
        return Solved(0.0, 1.0, 0.0)
    if chain.rate_per_s < _NO_CALLS_PER_S:
        return Solved(float(reserve), 0.0, 0.0)
    mean, moments = _fixed_point(chain, reserve, guess)
    return Solved(mean, moments.waits, _drain(chain, mean))


def waits_longer(chain: Chain, reserve: int, seconds: float) -> float:
    """P(W > seconds) with one reserve."""
    return solve(chain, reserve).waits_longer_than(seconds)


def mean_idle(chain: Chain, reserve: int) -> float:
    """Mean number of idle agents with one reserve."""
    return solve(chain, reserve).mean_idle


def _fixed_point(chain: Chain, reserve: int, guess: float | None) -> tuple[float, _Moments]:
    """The m that the chain gives back as its own mean, by Newton's steps kept inside a shrinking bracket."""
    low, high = 0.0, min(float(reserve), chain.staff - chain.load)
    at = 0.5 * (low + high) if guess is None else min(max(guess, low), high)
    for _ in range(_MAX_STEPS):
        moments = _moments(chain, reserve, at)
        low, high = (at, high) if moments.mean > at else (low, at)
        following = at + (moments.mean - at) / max(1.0 - moments.slope, _SMALLEST_RATIO)
        if not low - _PRECISION_AGENTS < following < high + _PRECISION_AGENTS:
            following = 0.5 * (low + high)
        following = min(max(following, low), high)
        moved, at = abs(following - at), following
        if moved < _PRECISION_AGENTS:
            break
    return at, moments


def _drain(chain: Chain, idle: float) -> float:
    """D(0) − λ: how much faster agents come free than calls arrive while calls wait."""
    on_tasks = max(chain.staff - chain.load - idle, 0.0)
    return idle * chain.call_mu + on_tasks * chain.task_mu


def _moments(chain: Chain, reserve: int, idle: float) -> _Moments:
    """Mean of k when ``idle`` is believed, its derivative by it, and the weight of k = 0.

    With r(k) = D(k)/λ the sums of w and k·w are nested products, ``A(k) = 1 + r(k)·A(k + 1)`` and ``B(k) = A(k) +
    r(k)·B(k + 1)``, taken from the largest likely k downwards and scaled before they would leave the range of a float.
    """
    rate, tilt = chain.rate_per_s, (chain.call_mu - chain.task_mu) / chain.rate_per_s
    step, busy, drain = chain.call_mu / rate, chain.load + idle, _drain(chain, idle)
    base = max((drain - idle * chain.call_mu) / rate, _SMALLEST_RATIO)
    first_ratio = base + busy * step
    one = a = b = 1.0
    slope_a = slope_b = 0.0
    k = _last_likely(chain, reserve)
    stride = max(1, int(_SAFE_EXPONENT / math.log(first_ratio)))
    while k > 0:
        stop = max(k - stride, 0)
        for n in range(k - 1, stop - 1, -1):
            ratio = base + step * (busy - n) if n < busy else base
            slope_a = tilt * a + ratio * slope_a
            a = one + ratio * a
            slope_b = slope_a + tilt * b + ratio * slope_b
            b = a + ratio * b
        k = stop
        if a > _LARGE:
            scale = 1.0 / a
            one, a, b = one * scale, 1.0, b * scale
            slope_a, slope_b = slope_a * scale, slope_b * scale
    zero = one * first_ratio * rate / drain
    total, first = zero + (a - one), b - a
    slope_zero = zero * tilt * (1.0 / first_ratio - rate / drain)
    mean = first / total
    slope = (slope_b - slope_a - mean * (slope_zero + slope_a)) / total
    return _Moments(mean, slope, zero / total)


def _last_likely(chain: Chain, reserve: int) -> int:
    """The largest number of idle agents that matters: the calls in work are about Poisson."""
    likely = chain.staff - chain.load + _TAIL_DEVIATIONS * math.sqrt(chain.load + 1.0)
    return min(reserve, math.ceil(likely) + 1)
