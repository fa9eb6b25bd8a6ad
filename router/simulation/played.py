"""How a recorded time went and would have gone: plain values, so that whoever asks need not load the simulator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CLOSE_LEVEL = 0.02
CLOSE_WORK = 0.15
"""A simulated active policy within these of what was recorded (service level, to which comes the standard error of that
many calls; tasks done, as a share) is close."""


@dataclass(frozen=True, slots=True)
class Column:
    """One way in which the day went. Hours are agents' hours; ``recovered_share`` None: the spare time is not known."""

    service_level: float
    done: int
    late: int
    recalls: int
    recovered_hours: float
    recovered_share: float | None
    abandoned: int


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """The recorded day, the same simulated under the active policy, under the candidate, and without blending."""

    group: str
    begin_ms: int
    end_ms: int
    calls: int
    agents: int
    active_version: int
    recorded: Column
    active: Column
    candidate: Column
    without_blending: float
    """Service level without blending."""
    target: float

    @property
    def level_error(self) -> float:
        """Simulated less recorded service level of the active policy."""
        return self.active.service_level - self.recorded.service_level

    @property
    def work_error(self) -> float:
        """Simulated over recorded tasks done, less one."""
        if not self.recorded.done:
            return 0.0 if not self.active.done else 1.0
        return self.active.done / self.recorded.done - 1

    @property
    def trustworthy(self) -> bool:
        """Whether the simulated active policy came close to what really happened."""
        level = self.recorded.service_level
        chance = math.sqrt(level * (1 - level) / max(1, self.calls))
        return abs(self.level_error) <= CLOSE_LEVEL + chance and abs(self.work_error) <= CLOSE_WORK


def counterfactual_from(values: Mapping[str, Any]) -> Counterfactual:
    """The inverse of ``dataclasses.asdict``."""
    columns = {name: Column(**values[name]) for name in ("recorded", "active", "candidate")}
    return Counterfactual(**{**values, **columns})
