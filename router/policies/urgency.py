"""Urgency policies: what orders tasks, compiled to an origin and a curve per task.

One scale for all: 0 to 1000 is ordinary work (10 points per unit of priority), up to 1999 is pressing, and 2000 on is
the *overdue lane*. Every curve ends in that lane ``max_wait`` after its origin, with one common slope, so that no task
can starve: from then on only tasks that became overdue before it stand in front of it (and tasks that were handed out
before and came back, which are finitely many). The bound each policy states is :func:`starvation_bound_ms`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from router.domain.model import UrgencySpec
from router.domain.routing import Curve

POINTS_PER_PRIORITY = 10.0
MAX_PRIORITY = 100
CEILING = 1999.0
OVERDUE = 2000.0
OVERDUE_PER_DAY = 1000.0
DUE_URGENCY = 1000.0
"""Urgency of an earliest-due task at its due time."""
_DAY_MS = 86_400_000
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Urgency:
    """A compiled urgency: ``curve.at(now_ms - origin_ms)``."""

    origin_ms: int
    curve: Curve


@dataclass(frozen=True, slots=True)
class Subject:
    """What an urgency policy may know of a task. ``start_ms``: when it may first be routed."""

    priority: int
    start_ms: int
    due_ms: int
    service_goal_ms: int


Points = tuple[tuple[int, float], ...]


@lru_cache(maxsize=4096)
def _with_overdue_lane(points: Points, max_wait_ms: int) -> Curve:
    """Cap the points at the ceiling, drop what lies past ``max_wait_ms``, and append the lane. Tasks share curves."""
    body = [(x, min(y, CEILING)) for x, y in points if x < max_wait_ms]
    body.append((max_wait_ms, min(CEILING, Curve(points).at(max_wait_ms))))
    lane = max_wait_ms + 1
    return Curve((*body, (lane, OVERDUE), (lane + _DAY_MS, OVERDUE + OVERDUE_PER_DAY)))


def strict_priority(spec: UrgencySpec, subject: Subject) -> Urgency:
    """Higher priority first, then age. Bound: ``max_wait`` after the start, then the overdue lane."""
    base = subject.priority * POINTS_PER_PRIORITY
    points = ((0, base), (spec.max_wait_ms, base + 1.0))
    return Urgency(subject.start_ms, _with_overdue_lane(points, spec.max_wait_ms))


def earliest_due(spec: UrgencySpec, subject: Subject) -> Urgency:
    """Earliest due time first (Jackson's rule). Bound: ``max_wait`` after the due time.

    The urgency is 1000 when due and changes by ``rate_per_minute``.
    """
    points = ((0, DUE_URGENCY), (_MINUTE_MS, DUE_URGENCY + spec.rate_per_minute))
    return Urgency(subject.due_ms, _capped_line(points, spec.max_wait_ms))


def linear_aging(spec: UrgencySpec, subject: Subject) -> Urgency:
    """``initial`` + 10 x priority + rate x age (Kleinrock's delay-dependent priorities, 1964). Bound: ``max_wait``.

    The initial value is a head start in time, so tasks with different ones share a queue and a static order.
    """
    head_start = spec.initial + subject.priority * POINTS_PER_PRIORITY
    origin = subject.start_ms - round(head_start / spec.rate_per_minute * _MINUTE_MS)
    return Urgency(origin, _capped_line(((0, 0.0), (_MINUTE_MS, spec.rate_per_minute)), spec.max_wait_ms))


def curve(spec: UrgencySpec, subject: Subject) -> Urgency:
    """A piecewise curve over the share of the service goal that has passed (1.0: due). Bound: ``max_wait``.

    A task with a due time of its own has its goal end there.
    """
    points = tuple((round(x * subject.service_goal_ms), y) for x, y in spec.points)
    return Urgency(subject.due_ms - subject.service_goal_ms, _with_overdue_lane(points, spec.max_wait_ms))


@lru_cache(maxsize=4096)
def _capped_line(points: Points, max_wait_ms: int) -> Curve:
    """A rising line that stops at the ceiling, with the overdue lane behind it."""
    (x0, y0), (x1, y1) = points
    reaches = x0 + round((CEILING - y0) * (x1 - x0) / (y1 - y0))
    if reaches <= x0 or reaches >= max_wait_ms:
        return _with_overdue_lane((points[0], (max_wait_ms, Curve(points).at(max_wait_ms))), max_wait_ms)
    return _with_overdue_lane((points[0], (reaches, CEILING), (max_wait_ms, CEILING)), max_wait_ms)


POLICIES: dict[str, Callable[[UrgencySpec, Subject], Urgency]] = {
    "strict_priority": strict_priority,
    "earliest_due": earliest_due,
    "linear_aging": linear_aging,
    "curve": curve,
}


def compile_urgency(spec: UrgencySpec, subject: Subject) -> Urgency:
    """The urgency of one task under its work type's policy."""
    return POLICIES[spec.kind](spec, subject)


def starvation_bound_ms(spec: UrgencySpec, subject: Subject) -> int:
    """When, by the store's clock, no task submitted later can go before this one any more.

    From this moment on only older overdue tasks and returned tasks precede it.
    """
    return compile_urgency(spec, subject).origin_ms + spec.max_wait_ms + 1


def problems(spec: UrgencySpec, service_goal_ms: int) -> list[tuple[str, str]]:
    """What is wrong with an urgency spec: (field, what and how to mend it)."""
    found = []
    if spec.kind not in POLICIES:
        found.append(("kind", f"unknown urgency {spec.kind!r}; use one of {', '.join(POLICIES)}"))
    if not 1_000 <= spec.max_wait_ms <= 366 * _DAY_MS:
        found.append(("max_wait", "must be between one second and 366 days"))
    if spec.kind in ("linear_aging", "earliest_due") and not 0.001 <= spec.rate_per_minute <= 1000:
        found.append(("rate_per_minute", "must be between 0.001 and 1000 points a minute"))
    if not 0 <= spec.initial <= 1000:
        found.append(("initial", "must be between 0 and 1000 points"))
    if spec.kind == "curve":
        found += _curve_problems(spec, service_goal_ms)
    return found


def _curve_problems(spec: UrgencySpec, service_goal_ms: int) -> list[tuple[str, str]]:
    xs = [round(x * service_goal_ms) for x, _ in spec.points]
    ys = [y for _, y in spec.points]
    if not 2 <= len(xs) <= 16:
        return [("points", "give 2 to 16 points")]
    if any(b <= a for a, b in itertools.pairwise(xs)):
        return [("points", "times must grow from point to point")]
    if any(b < a for a, b in itertools.pairwise(ys)) or ys[0] < 0 or ys[-1] > CEILING:
        return [("points", f"urgencies may not fall and must lie between 0 and {CEILING:.0f}")]
    if xs[0] >= spec.max_wait_ms:
        return [("points", "the first point must lie before max_wait")]
    return []
