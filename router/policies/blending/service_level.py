"""The service level so far, and the one that the rest of the window must reach."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import NamedTuple

# A millionth of a call to come is none; dividing by less would leave the range of a float.
_LEAST_TO_GO = 1e-6


class ServiceLevelFormula(StrEnum):
    """What the calls answered in target are divided by (Koole, *Call Center Optimization*, 2013, ch. 2)."""

    ANSWERED = "answered"
    OFFERED = "offered"
    OFFERED_LESS_SHORT_ABANDONS = "offered_less_short_abandons"


class Resolved(NamedTuple):
    """Calls that count (N) and those of them answered in target (G)."""

    calls: int
    in_target: int

    @property
    def service_level(self) -> float | None:
        """G / N, None before the first call that counts."""
        return self.in_target / self.calls if self.calls > 0 else None


def resolved(
    formula: ServiceLevelFormula, answered: int, in_target: int, abandoned: int, short_abandoned: int
) -> Resolved:
    """Count N and G by the formula; ``short_abandoned`` is a part of ``abandoned``."""
    if formula is ServiceLevelFormula.ANSWERED:
        return Resolved(answered, in_target)
    if formula is ServiceLevelFormula.OFFERED:
        return Resolved(answered + abandoned, in_target)
    return Resolved(answered + max(abandoned - short_abandoned, 0), in_target)


def required_to_go(
    so_far: Resolved,
    waiting: int,
    to_go: float,
    target: float,
    margin: float,
    z: float,
    lowest: float,
    highest: float,
) -> float:
    """The share of the calls to come that must be answered in target (α_req of the law), within its bounds.

    ``[(α + margin)(N + Q + M) − G] / M + z·√(α(1 − α)/M)``: the calls waiting are counted as missed, and
    the second term is for chance. With no call to come nothing is left to steer: the target itself.
    """
    if to_go < _LEAST_TO_GO:
        return _clip(target + margin, lowest, highest)
    owed = (target + margin) * (so_far.calls + waiting + to_go) - so_far.in_target
    chance = z * math.sqrt(target * (1.0 - target) / to_go)
    return _clip(owed / to_go + chance, lowest, highest)


def _clip(value: float, lowest: float, highest: float) -> float:
    return min(max(value, lowest), highest)
