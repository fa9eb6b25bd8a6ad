"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential with full jitter, so that desktops cut off together do not come back together. Seconds.

    `random` can be seeded by a test.
    """

    first_s: float = 0.1
    most_s: float = 5.0
    factor: float = 2.0
    random: random.Random = field(default_factory=random.Random, compare=False)

    def delay(self, attempt: int) -> float:
        """Return the pause after failed attempt number `attempt`, counted from 0."""
        # The exponent is bounded so that an outage of days does not overflow a float.
        return self.random.uniform(0.0, min(self.most_s, self.first_s * self.factor ** min(attempt, 60)))
