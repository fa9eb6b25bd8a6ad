"""What is measured and how it is compared: quantiles, ratios within a round, targets. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of all did not exceed (nearest rank). Raises ValueError for no values."""
    if not values:
        raise ValueError("there is nothing to take a quantile of")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def ratios(values: Sequence[float], references: Sequence[float]) -> list[float]:
    """Each round's value over the same round's reference."""
    return [value / reference for value, reference in zip(values, references, strict=True)]


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is to reach. Unset bounds do not count."""

    at_most: float | None = None
    at_least: float | None = None
    ratio_at_most: float | None = None
    ratio_at_least: float | None = None

    def text(self, unit: str) -> str:
        """The target in words."""
        named = (("≤", self.at_most, unit), ("≥", self.at_least, unit))
        words = [f"{sign} {told(bound)} {of}".rstrip() for sign, bound, of in named if bound is not None]
        times = (("≤", self.ratio_at_most), ("≥", self.ratio_at_least))
        words += [f"{sign} {bound:g} × reference" for sign, bound in times if bound is not None]
        return "; ".join(words)

    def reached(self, value: float, ratio: float | None) -> bool:
        """Whether a figure and its ratio keep every bound; a ratio that was not measured keeps none."""
        pairs = (
            (value, self.at_most, 1), (value, self.at_least, -1),
            (ratio, self.ratio_at_most, 1), (ratio, self.ratio_at_least, -1),
        )  # fmt: skip
        return all(
            found is not None and sign * found <= sign * bound
            for found, bound, sign in pairs
            if bound is not None
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: a value for each round, beside the reference's value of the same round if it has one."""

    title: str
    unit: str
    values: Sequence[float]
    target: Target = field(default_factory=Target)
    reference: str = ""
    references: Sequence[float] = ()
    note: str = ""
    part: str = "speed"
    """The table that it stands in: speed, size or peers."""

    @property
    def value(self) -> float:
        """Median of the rounds."""
        return statistics.median(self.values)

    @property
    def ratio(self) -> float | None:
        """Median of the rounds' ratios."""
        return statistics.median(ratios(self.values, self.references)) if self.references else None

    @property
    def judged(self) -> bool:
        """Whether there is a target."""
        return self.target != Target()

    @property
    def reached(self) -> bool:
        """Whether the medians keep the target."""
        return self.target.reached(self.value, self.ratio)


@dataclass(frozen=True, slots=True)
class Series:
    """Points of a line in a plot."""

    plot: str
    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(slots=True)
class Found:
    """What a case found: figures, lines of plots, CPU (µs) by operation and part, and what is to be said."""

    rows: list[Row] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    cpu: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """As it was stored."""
        rows = [Row(**{**row, "target": Target(**row["target"])}) for row in stored["rows"]]
        series = [Series(**one) for one in stored["series"]]
        return cls(rows, series, dict(stored["cpu"]), list(stored["notes"]))


def told(value: float) -> str:
    """A number with three figures that count."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def spread(values: Sequence[float]) -> str:
    """Median, and lowest to highest where there are several."""
    middle = told(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({told(min(values))}–{told(max(values))})"
