"""Erlang's formulas: lost calls (B), calls that wait (C), calls that wait and give up (A), and the agents they ask for.

Every function takes numbers or numpy arrays, which are broadcast against each other, and stays exact to eight digits
or more from 1 to 5,000 agents and from a second of patience to any: sums of positive terms only, scaled by their
largest where they could leave the range of a float. Loads are in erlangs, times in seconds, shares between 0 and 1.

Sources: G. Koole, *Call Center Optimization*, 2013, chapter 3 (B and C); A. Mandelbaum and S. Zeltyn, *Service
engineering in action: the Palm/Erlang-A queue*, 2007 (A).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Where a log-concave curve has fallen by so much, what follows is beyond a float's last digit.
_NEGLIGIBLE = 40.0
_DOUBLINGS = 200
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
# Cubed, they lie closest at the peak, where short patience bends the curve.
_PLACES, _SHARES = (0.5 * (_NODES + 1.0)) ** 3, 1.5 * (0.5 * (_NODES + 1.0)) ** 2 * _WEIGHTS


def erlang_b(servers: ArrayLike, load: ArrayLike) -> Floats:
    """Share of calls that find all of ``servers`` lines busy, and are lost, under ``load`` erlangs.

    Raises ValueError for a negative number of servers or a negative load.
    """
    lines, loads = np.broadcast_arrays(np.asarray(servers, np.float64), np.asarray(load, np.float64))
    if np.any(lines < 0.0) or np.any(loads < 0.0):
        raise ValueError("Erlang B needs servers >= 0 and load >= 0")
    steps = np.arange(int(lines.max(initial=0.0)), dtype=np.float64)
    # The inverse is 1 + s/a + s(s-1)/a² + …; it overflows only where the share is nothing.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        terms = np.cumprod(np.maximum(lines[..., None] - steps, 0.0) / loads[..., None], axis=-1)
        inverse = 1.0 + np.where(np.isnan(terms), np.inf, terms).sum(axis=-1)
    return np.where(lines == 0.0, 1.0, 1.0 / inverse)


def erlang_c(servers: ArrayLike, load: ArrayLike) -> Floats:
    """Share of calls that wait at ``servers`` agents under ``load`` erlangs; 1 under overload.

    Raises ValueError for a negative number of servers or a negative load.
    """
    agents, loads = np.asarray(servers, np.float64), np.asarray(load, np.float64)
    blocked = erlang_b(agents, loads)
    carried = loads < agents
    spare = np.where(carried, agents - loads * (1.0 - blocked), 1.0)
    return np.where(carried, agents * blocked / spare, 1.0)


def erlang_c_service_level(
    servers: ArrayLike, load: ArrayLike, aht_s: ArrayLike, within_s: ArrayLike
) -> Floats:
    """Share of calls answered within ``within_s`` by agents who do nothing but calls (no abandonment).

    Raises ValueError for a negative number of servers or a negative load.
    """
    agents, loads = np.asarray(servers, np.float64), np.asarray(load, np.float64)
    drain_per_s = np.maximum(agents - loads, 0.0) / np.asarray(aht_s, np.float64)
    return 1.0 - erlang_c(agents, loads) * np.exp(-drain_per_s * np.asarray(within_s, np.float64))


def erlang_c_agents(load: ArrayLike, aht_s: float, target: float, within_s: float) -> Ints:
    """Fewest agents, at least 1, that answer the share ``target`` of the calls within ``within_s`` by Erlang C.

    Raises ValueError for a negative load or a target outside (0, 1).
    """
    loads = np.asarray(load, np.float64)
    return _fewest(lambda agents: erlang_c_service_level(agents, loads, aht_s, within_s), loads, target)


class ErlangA:
    """M/M/s+M: calls at ``servers`` agents, whose callers give up after an exponential patience.

    The time that a caller of endless patience would wait has the density λ·e^h(x) / (1/B(s − 1) + λ∫e^h), where
    h(x) = λ∫₀ˣP(patience > u)du − sμx. All that is asked follows from its integrals, which are taken by Gauss and
    Legendre on both sides of the peak. Endless patience gives Erlang C; under overload it lets everybody wait for ever.
    """

    def __init__(
        self, servers: ArrayLike, load: ArrayLike, aht_s: ArrayLike, patience_s: ArrayLike = math.inf
    ) -> None:
        """Take the agents, the load in erlangs, the mean handling time and the mean patience, which may be infinite.

        Raises ValueError for fewer than one server, a negative load or times that are not above 0.
        """
        agents, loads, aht, patience = np.broadcast_arrays(
            *(np.asarray(a, np.float64) for a in (servers, load, aht_s, patience_s))
        )
        if np.any(agents < 1.0) or np.any(loads < 0.0):
            raise ValueError("Erlang A needs servers >= 1 and load >= 0")
        if np.any(aht <= 0.0) or np.any(patience <= 0.0):
            raise ValueError("Erlang A needs aht_s > 0 and patience_s > 0")
        self._rate, self._drain, self._theta = loads / aht, agents / aht, 1.0 / patience
        self._for_ever = (self._theta == 0.0) & (loads >= agents)
        with np.errstate(divide="ignore"):
            self._log_rate = np.log(self._rate)
            free = -np.log(erlang_b(agents - 1.0, loads))
        self._log_whole = np.logaddexp(free, self._log_rate + self._log_tail(0.0))

    def waits(self) -> Floats:
        """Share of the calls that find no agent free."""
        return self._patient_waits_longer(0.0)

    def waits_longer(self, seconds: float) -> Floats:
        """Share of the calls that wait longer than ``seconds``, whether they are answered or given up after it."""
        return self._patient_waits_longer(seconds) * np.exp(-self._theta * seconds)

    def abandons(self) -> Floats:
        """Share of the calls that are given up."""
        return np.maximum(self.waits() - self._answered_after(0.0), 0.0)

    def mean_wait_s(self) -> Floats:
        """Mean wait of all calls, of those answered at once and those given up too."""
        spare = np.maximum(self._drain - self._rate, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            # Those who give up are the waiting calls times 1/patience.
            wait_s: Floats = np.where(self._theta == 0.0, self.waits() / spare, self.abandons() / self._theta)
        return wait_s

    def service_level(self, within_s: float) -> Floats:
        """Share of the calls *offered* that are answered within ``within_s``."""
        return 1.0 - self.waits() + self._answered_after(0.0) - self._answered_after(within_s)

    def _patient_waits_longer(self, seconds: float) -> Floats:
        """P(W > seconds) of a caller of endless patience."""
        longer = self._log_rate + self._log_tail(seconds) - self._log_whole
        return np.exp(np.where(self._for_ever, 0.0, longer))

    def _answered_after(self, seconds: float) -> Floats:
        """Share of the calls that are answered after a wait of more than ``seconds``.

        By parts, λ∫e^(h − θx) = sμ∫e^h − e^h(seconds).
        """
        begin = np.exp(self._height(np.asarray(seconds)) - self._log_whole)
        answered = self._drain * np.exp(self._log_tail(seconds) - self._log_whole) - begin
        return np.where(self._for_ever, self.waits(), np.maximum(answered, 0.0))

    def _height(self, x: Floats) -> Floats:
        """h(x)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            stays = np.where(self._theta == 0.0, x, -np.expm1(-self._theta * x) / self._theta)
        height: Floats = self._rate * stays - self._drain * x
        return height

    def _log_tail(self, seconds: float) -> Floats:
        """Logarithm of the integral of e^h from ``seconds`` to infinity."""
        with np.errstate(divide="ignore", invalid="ignore"):
            peak = np.where(self._rate > self._drain, np.log(self._rate / self._drain) / self._theta, 0.0)
        # Waits for ever have no integral: their answers are put in at the end, and here any number will do.
        top = np.maximum(np.where(self._for_ever, 0.0, peak), seconds)
        after = self._panel(top, np.full_like(top, np.inf))
        before = self._panel(top, seconds - top)
        return self._height(top) + np.log(after + before)

    def _panel(self, top: Floats, reach: Floats) -> Floats:
        """Integral of e^(h − h(top)) from ``top`` as far as it counts, at most ``reach`` (negative: to the left)."""
        peak = self._height(top)
        width = np.copysign(np.minimum(_NEGLIGIBLE / self._drain, np.abs(reach)), reach)
        for _ in range(_DOUBLINGS):
            counts = (peak - self._height(top + width) < _NEGLIGIBLE) & (np.abs(width) < np.abs(reach))
            if not np.any(counts & ~self._for_ever):
                break
            twice = np.copysign(np.minimum(np.abs(2.0 * width), np.abs(reach)), reach)
            width = np.where(counts, twice, width)
        total = np.zeros_like(top)
        for place, share in zip(_PLACES, _SHARES, strict=True):
            total += share * np.exp(self._height(top + place * width) - peak)
        integral: Floats = np.abs(width) * total
        return integral


def erlang_a_agents(load: ArrayLike, aht_s: float, patience_s: float, target: float, within_s: float) -> Ints:
    """Fewest agents, at least 1, that answer the share ``target`` of the calls *offered* in time by Erlang A.

    Raises ValueError for a negative load or a target outside (0, 1).
    """
    loads = np.asarray(load, np.float64)
    return _fewest(
        lambda agents: ErlangA(agents, loads, aht_s, patience_s).service_level(within_s), loads, target
    )


def _fewest(level: Callable[[Ints], Floats], loads: Floats, target: float) -> Ints:
    """Fewest agents whose level reaches the target, for each load: doubled steps up from 1, then halved."""
    if not 0.0 < target < 1.0:
        raise ValueError(f"target must lie between 0 and 1, not {target}")
    if np.any(loads < 0.0):
        raise ValueError("a load must not be negative")
    enough = np.maximum(np.ceil(loads), 1.0).astype(np.int64)
    step = np.ceil(np.sqrt(enough)).astype(np.int64)
    while np.any(short := level(enough) < target):
        enough, step = np.where(short, enough + step, enough), 2 * step
    too_few = np.zeros_like(enough)
    while np.any(enough - too_few > 1):
        middle = np.maximum((enough + too_few) // 2, 1)
        reached = level(middle) >= target
        enough, too_few = np.where(reached, middle, enough), np.where(reached, too_few, middle)
    return enough
