"""Open-loop timetables: when each request is meant to begin, whatever became of those before it.

A caller that waits for each answer before it asks again hides a stall: the requests that it would have made meanwhile
are never timed. Here each request has its time beforehand and is timed from then, so a stall of two seconds at ten
requests a second shows in twenty of them.
"""

from __future__ import annotations


class Schedule:
    """Due times at a constant rate. ``began`` is a moment in s, ``phase`` the share of a period before the first."""

    def __init__(self, began: float, per_s: float, phase: float = 0.0) -> None:
        if not per_s > 0:
            raise ValueError(f"a rate must be above 0 per second, not {per_s:g}")
        self._began = began
        self._period_s = 1.0 / per_s
        self._place = phase

    def next(self) -> float:
        """When the next request is due. It may have passed: then begin at once, and count from it all the same."""
        due = self._began + self._place * self._period_s
        self._place += 1.0
        return due
