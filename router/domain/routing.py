"""Where a task stands in line: curves, queues, anchors and the route plan.

A *queue* holds tasks with the same work type, requirement, target and urgency family, in the static order
of their ``origin_ms``. At the moment of a claim the heads of the queues are compared by urgency:
``curve(now - origin)``. An *anchor* names the one thing that an agent must have to be worth a look at the
queue, so that a claim reads only the shelves of the agent's own anchors.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from base64 import b32encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
"""Ids of sites, tasks, agents, skills, teams, work types: none can steer a key or a separator."""
ID_RULE = "use letters, digits and . _ @ + -, beginning with a letter or digit, at most 128 characters"
"""The same in words for whoever chooses an id."""

MAX_LEVEL = 5
FRONT = "front"
"""The urgency family of tasks that were handed out before and came back: always first."""
FRONT_URGENCY = 1e300
ORIGIN_SHIFT = 1 << 52
"""Added to an origin before it is written with 16 digits, so that negative origins sort too."""


def valid_id(text: str) -> bool:
    """Whether ``text`` may be used as an id."""
    return ID_PATTERN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Curve:
    """A non-decreasing piecewise-linear urgency over milliseconds since a task's origin.

    Left and right of its points the first and the last segment go on; one point is a constant.
    """

    points: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        xs = [x for x, _ in self.points]
        ys = [y for _, y in self.points]
        if not self.points or any(b <= a for a, b in itertools.pairwise(xs)):
            raise ValueError("a curve needs points with growing times")
        if any(b < a for a, b in itertools.pairwise(ys)):
            raise ValueError("a curve may not fall: tasks of one queue have a static order")

    def at(self, x_ms: float) -> float:
        """Urgency at ``x_ms`` after the origin."""
        points = self.points
        if len(points) == 1:
            return points[0][1]
        i = 1
        while i < len(points) - 1 and x_ms > points[i][0]:
            i += 1
        (x0, y0), (x1, y1) = points[i - 1], points[i]
        return y0 + (x_ms - x0) * (y1 - y0) / (x1 - x0)

    def encode(self) -> str:
        """``x:y x:y ...``, as the scripts read it; ``repr`` keeps every bit of y."""
        return " ".join(f"{x}:{y!r}" for x, y in self.points)

    @classmethod
    def decode(cls, text: str) -> Curve:
        """The inverse of :meth:`encode`."""
        pairs = (item.split(":") for item in text.split())
        return cls(tuple((int(x), float(y)) for x, y in pairs))


def digest(text: str, length: int) -> str:
    """A short stable name for ``text``, safe inside keys and members."""
    return b32encode(hashlib.blake2b(text.encode(), digest_size=16).digest()).decode().lower()[:length]


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """What the tasks of one queue have in common. ``requirement``: (skill, minimum level) sorted by skill."""

    work_type: str
    requirement: tuple[tuple[str, int], ...]
    curve: Curve
    interruptible: bool
    agent: str = ""
    team: str = ""

    @property
    def family(self) -> str:
        """Queues of one family keep their order among themselves for ever."""
        return digest(self.curve.encode(), 6)

    @property
    def anchor(self) -> str:
        """The shelf label: target agent, target team, or the required skill with the highest level."""
        if self.agent:
            return f"a:{self.agent}"
        if self.team:
            return f"t:{self.team}"
        if not self.requirement:
            return "*"
        skill, level = min(self.requirement, key=lambda item: (-item[1], item[0]))
        return f"s:{skill}@{level}"

    def canonical(self) -> str:
        """All that makes this queue this queue, as one line."""
        flags = "i" if self.interruptible else "f"
        return "|".join(
            (
                self.work_type,
                encode_levels(self.requirement),
                self.agent,
                self.team,
                flags,
                self.curve.encode(),
            )
        )

    @property
    def id(self) -> str:
        """Twelve letters derived from what the queue is: the same on every router."""
        return digest(self.canonical(), 12)


@dataclass(frozen=True, slots=True)
class PlanStep:
    """From ``at_ms`` on, the task waits in ``queue``."""

    at_ms: int
    queue: QueueSpec


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """Where a task waits, and when that widens. Compiled once by the policies; steps have growing times."""

    origin_ms: int
    steps: tuple[PlanStep, ...]


def encode_levels(levels: Mapping[str, int] | Iterable[tuple[str, int]]) -> str:
    """``skill=level skill=level`` sorted by skill."""
    items = levels.items() if isinstance(levels, Mapping) else levels
    return " ".join(f"{skill}={level}" for skill, level in sorted(items))


def decode_levels(text: str) -> dict[str, int]:
    """The inverse of :func:`encode_levels`."""
    pairs = (item.rsplit("=", 1) for item in text.split())
    return {skill: int(level) for skill, level in pairs}


def qualifies(skills: Mapping[str, int], requirement: Iterable[tuple[str, int]]) -> bool:
    """Whether an agent with these skills meets every minimum level."""
    return all(skills.get(skill, 0) >= level for skill, level in requirement)


def agent_anchors(agent: str, skills: Mapping[str, int], teams: Sequence[str]) -> list[str]:
    """The shelves that an agent reads: everyone's, its own, its teams', and its skills' up to their levels."""
    anchors = ["*", f"a:{agent}", *(f"t:{team}" for team in teams)]
    anchors += [f"s:{skill}@{low}" for skill, level in skills.items() for low in range(1, level + 1)]
    return anchors


def order_key(origin_ms: int) -> str:
    """An origin as 16 digits that sort as text."""
    return f"{origin_ms + ORIGIN_SHIFT:016d}"
