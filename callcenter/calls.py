"""Calls, and all that chance decides about each of them, drawn before the day is played.

Two days over the same calls differ by the decisions alone (common random numbers). Each call has a source of chance
of its own, so a storm drawn as another set of calls changes nothing about the calls that it joins.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from callcenter.distributions import Distribution, Exponential, Lognormal

CALL_QUEUE = "calls"
"""The call queue's name where there is only one."""


@dataclass(frozen=True, slots=True)
class Call:
    """One caller, with all that chance decides about them; seconds. `number` counts a day's calls from 0."""

    number: int
    arrives_at: float
    patience_s: float
    talk_s: float
    after_s: float
    queue: str = CALL_QUEUE


@dataclass(frozen=True, slots=True)
class Handling:
    """How long calls take and how long callers wait; the defaults follow the data's README.

    `time` holds talk and after-call work, of which `after_share` is after-call work. With `after` given, `time` is talk
    alone and after-call work is drawn by itself. `ring_s` comes on top.
    """

    time: Distribution = Lognormal(240.0, 1.1)
    after_share: float = 0.12
    after: Distribution | None = None
    patience: Distribution = Exponential(500.0)
    ring_s: float = 1.0

    def __post_init__(self) -> None:
        """Check the figures. Raises ValueError."""
        if not 0.0 <= self.after_share <= 1.0:
            raise ValueError(f"after_share must be between 0 and 1, not {self.after_share:g}")
        if not self.ring_s >= 0.0:
            raise ValueError(f"ring_s must be at least 0, not {self.ring_s:g}")

    @property
    def aht_s(self) -> float:
        """Return the mean handling time: talk and after-call work."""
        return self.time.mean + (self.after.mean if self.after else 0.0)

    def draw_times(self, rng: random.Random) -> tuple[float, float]:
        """Draw one call's talk and after-call work."""
        drawn = self.time.draw(rng)
        if self.after is not None:
            return drawn, self.after.draw(rng)
        after = drawn * self.after_share
        return drawn - after, after


def draw_calls(
    arrivals: Sequence[float], seed: str, handling: Handling, queue: str = CALL_QUEUE
) -> list[Call]:
    """Draw talk, after-call work and patience of each arrival (ascending times).

    The same seed, queue and place in the sequence draw the same, whatever the others are.
    """
    calls = []
    for number, at in enumerate(arrivals):
        rng = stream(seed, queue, number)
        talk, after = handling.draw_times(rng)
        calls.append(Call(number, at, handling.patience.draw(rng), talk, after, queue))
    return calls


def stream(seed: str, queue: str, number: int) -> random.Random:
    """Return the source of chance of one call."""
    return random.Random(f"{seed}/{queue}/{number}")


def merge_calls(*sets: Iterable[Call]) -> list[Call]:
    """Return the calls of several sets in order of arrival, numbered anew."""
    together = sorted((call for calls in sets for call in calls), key=lambda call: call.arrives_at)
    return [replace(call, number=number) for number, call in enumerate(together)]
