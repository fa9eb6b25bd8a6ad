"""Distributions of times, by name, mean and coefficient of variation (cv, standard deviation over mean).

As a text: ``lognormal(mean=240, cv=1.1)``, ``exponential(mean=500)``, ``uniform(low=1, high=3)``,
``empirical(3, 5.5, 8)``, or a bare number for a time that is always the same. Times are seconds.

Drawn from `random.Random`: a stream of its own for each call costs 6 µs, where numpy's Generator costs 15, and a single
draw is no dearer (0.6 to 2 µs). Drawing a day's calls as one array would be faster still, but then one call more
would move all that chance decides of the later ones.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Protocol


class Distribution(Protocol):
    """A positive time that chance decides."""

    @property
    def mean(self) -> float:
        """Return the mean."""

    @property
    def cv(self) -> float:
        """Return the standard deviation over the mean; 0 for a mean of 0."""

    def draw(self, rng: random.Random) -> float:
        """Draw once."""


@dataclass(frozen=True, slots=True)
class Deterministic:
    """Always the same; may be 0 or infinite."""

    mean: float

    def __post_init__(self) -> None:
        """Check the figures."""
        if not self.mean >= 0.0:
            raise ValueError(f"mean must be at least 0, not {self.mean:g}")

    @property
    def cv(self) -> float:
        """Return 0."""
        return 0.0

    def draw(self, rng: random.Random) -> float:
        """Return the mean; takes nothing from the source of chance."""
        return self.mean


@dataclass(frozen=True, slots=True)
class Exponential:
    """Without memory; cv 1."""

    mean: float

    def __post_init__(self) -> None:
        """Check the figures."""
        _positive("mean", self.mean)

    @property
    def cv(self) -> float:
        """Return 1."""
        return 1.0

    def draw(self, rng: random.Random) -> float:
        """Draw once."""
        return rng.expovariate(1.0 / self.mean)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """The usual shape of handling times."""

    mean: float
    cv: float

    def __post_init__(self) -> None:
        """Check the figures."""
        _positive("mean", self.mean)
        _positive("cv", self.cv)

    def draw(self, rng: random.Random) -> float:
        """Draw once."""
        variance = math.log1p(self.cv * self.cv)
        return rng.lognormvariate(math.log(self.mean) - variance / 2, math.sqrt(variance))


@dataclass(frozen=True, slots=True)
class Gamma:
    """Erlang's distribution of k phases has cv 1/√k."""

    mean: float
    cv: float

    def __post_init__(self) -> None:
        """Check the figures."""
        _positive("mean", self.mean)
        _positive("cv", self.cv)

    def draw(self, rng: random.Random) -> float:
        """Draw once."""
        squared = self.cv * self.cv
        return rng.gammavariate(1.0 / squared, self.mean * squared)


@dataclass(frozen=True, slots=True)
class Weibull:
    """Patience is often of this shape: cv above 1 where callers who have waited grow patient."""

    mean: float
    cv: float

    def __post_init__(self) -> None:
        """Check the figures."""
        _positive("mean", self.mean)
        if not _WEIBULL_CV[0] <= self.cv <= _WEIBULL_CV[1]:
            raise ValueError(f"cv of a weibull must be {_WEIBULL_CV[0]} to {_WEIBULL_CV[1]}, not {self.cv:g}")

    def draw(self, rng: random.Random) -> float:
        """Draw once."""
        shape = _weibull_shape(self.cv)
        return rng.weibullvariate(self.mean / math.gamma(1.0 + 1.0 / shape), shape)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Evenly between two times."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Check the figures."""
        if not 0.0 <= self.low <= self.high < math.inf:
            raise ValueError(f"low and high must be 0 <= low <= high, not {self.low:g} and {self.high:g}")

    @property
    def mean(self) -> float:
        """Return the middle."""
        return (self.low + self.high) / 2

    @property
    def cv(self) -> float:
        """Return the spread over the middle."""
        return (self.high - self.low) / math.sqrt(12.0) / self.mean if self.mean else 0.0

    def draw(self, rng: random.Random) -> float:
        """Draw once."""
        return rng.uniform(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Hyperexponential:
    """Two kinds of exponential times, many short and few long, each with half of the whole time (balanced means)."""

    mean: float
    cv: float

    def __post_init__(self) -> None:
        """Check the figures."""
        _positive("mean", self.mean)
        if not 1.0 <= self.cv < math.inf:
            raise ValueError(
                f"cv of a hyperexponential must be at least 1, not {self.cv:g}; gamma has smaller ones"
            )

    def draw(self, rng: random.Random) -> float:
        """Draw once."""
        squared = self.cv * self.cv
        short = 0.5 * (1.0 + math.sqrt((squared - 1.0) / (squared + 1.0)))
        share = short if rng.random() < short else 1.0 - short
        return rng.expovariate(2.0 * share / self.mean)


@dataclass(frozen=True, slots=True)
class Empirical:
    """One of the observed times, each as likely as the other."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the figures."""
        if not self.values:
            raise ValueError("values are missing; give at least one observed time")
        bad = next((v for v in self.values if not 0.0 <= v < math.inf), None)
        if bad is not None:
            raise ValueError(f"values must be at least 0 and finite, not {bad:g}")

    @property
    def mean(self) -> float:
        """Return the mean of the values."""
        return math.fsum(self.values) / len(self.values)

    @property
    def cv(self) -> float:
        """Return the spread of the values over their mean."""
        mean = self.mean
        variance = math.fsum((v - mean) ** 2 for v in self.values) / len(self.values)
        return math.sqrt(variance) / mean if mean else 0.0

    def draw(self, rng: random.Random) -> float:
        """Draw once."""
        return self.values[int(rng.random() * len(self.values))]


_NAMED: dict[str, Callable[..., Distribution]] = {
    "deterministic": Deterministic,
    "exponential": Exponential,
    "gamma": Gamma,
    "hyperexponential": Hyperexponential,
    "lognormal": Lognormal,
    "uniform": Uniform,
    "weibull": Weibull,
}
_EMPIRICAL = "empirical"
_CALL = re.compile(r"\s*([A-Za-z]+)\s*\((.*)\)\s*", re.DOTALL)
_WEIBULL_CV = (0.05, 10.0)


def parse(text: str, field: str = "distribution") -> Distribution:
    """Return the distribution that a text like ``lognormal(mean=240, cv=1.1)`` names.

    `field` is what the text belongs to, for the error. Raises ValueError that names it, the fault and the fix.
    """
    try:
        return _parse(text)
    except ValueError as error:
        raise ValueError(f"{field}: {error} (in {text!r})") from None


def _parse(text: str) -> Distribution:
    match = _CALL.fullmatch(text)
    if match is None:
        return Deterministic(_number("the time", text))
    name, inside = match[1].lower(), [part for part in match[2].split(",") if part.strip()]
    if name == _EMPIRICAL:
        return Empirical(tuple(_number("a value", part) for part in inside))
    if name not in _NAMED:
        raise ValueError(f"there is no distribution {name!r}; take one of {', '.join([*_NAMED, _EMPIRICAL])}")
    return _made(name, inside)


def _made(name: str, inside: Sequence[str]) -> Distribution:
    kind = _NAMED[name]
    wanted = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    usage = f"write {name}({', '.join(f'{w}=…' for w in wanted)})"
    given: dict[str, float] = {}
    for part in inside:
        key, equals, value = (p.strip() for p in part.partition("="))
        if not equals or key not in wanted:
            raise ValueError(f"{name} has no field {key!r}; {usage}")
        if key in given:
            raise ValueError(f"{key} is given twice; {usage}")
        given[key] = _number(key, value)
    if missing := [w for w in wanted if w not in given]:
        raise ValueError(f"{' and '.join(missing)} missing; {usage}")
    return kind(**given)


def _number(what: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{what} must be a number, not {text.strip()!r}") from None


def _positive(name: str, value: float) -> None:
    if not 0.0 < value < math.inf:
        raise ValueError(f"{name} must be above 0 and finite, not {value:g}")


@cache
def _weibull_shape(cv: float) -> float:
    """Solve Γ(1 + 2/k) / Γ(1 + 1/k)² = 1 + cv² for the shape k; the left side falls with k."""
    low, high = 0.1, 100.0
    for _ in range(80):
        middle = math.sqrt(low * high)
        ratio = math.lgamma(1.0 + 2.0 / middle) - 2.0 * math.lgamma(1.0 + 1.0 / middle)
        low, high = (middle, high) if ratio > math.log1p(cv * cv) else (low, middle)
    return math.sqrt(low * high)
