"""The forecast that a group's leader decides on: the one that the ACD reports, else the one that was learnt."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from router.dispatch.call_history import CallHistory
from router.dispatch.group_view import GroupView
from router.domain import telephony
from router.domain.ports import Store
from router.policies.blending import ForecastInterval

Forecast = tuple[ForecastInterval, ...]


class Forecasts:
    """The forecasts of one group. What comes is learnt all the time, in case the ACD's forecast ends."""

    def __init__(self, store: Store, site: str, group: str) -> None:
        self._reported = _Reported()
        self._history = CallHistory(store, site, group)
        self.words = ""
        """Where the forecast came from, for people."""

    def begin(self) -> None:
        """A new term begins with what is kept."""
        self._history.begin()

    async def of(self, view: GroupView, fresh: bool, now_ms: int) -> Forecast:
        """The forecast of the window; empty where there is none. ``fresh``: the group's feed is not stale."""
        await self._history.see(view.call_queues, fresh, now_ms)
        reported = self._reported.of(view)
        if reported and reported[-1].end_ms > now_ms:
            self.words = "forecast as reported"
            return reported
        learnt = self._history.forecast
        self.words = f"forecast learnt from {self._history.days_used} days" if learnt else "no forecast"
        return learnt or reported


class _Reported:
    """The forecast of a group from those of its call queues; added up anew only when one of them has changed."""

    def __init__(self) -> None:
        self._parts: list[tuple[telephony.ForecastInterval, ...]] = []
        self._sum: Forecast = ()

    def of(self, view: GroupView) -> Forecast:
        """Calls add up, staff is the group's and counted once."""
        parts = [queue.report.forecast for queue in view.call_queues]
        known = len(parts) == len(self._parts) and all(map(operator.is_, parts, self._parts))
        if not known:
            self._parts, self._sum = parts, _added(parts)
        return self._sum


def _added(parts: Sequence[tuple[telephony.ForecastInterval, ...]]) -> Forecast:
    sums: dict[tuple[int, int], tuple[float, float]] = {}
    for part in parts:
        for item in part:
            key = (item.start_ms, item.start_ms + item.length_ms)
            calls, staff = sums.get(key, (0.0, 0.0))
            sums[key] = (calls + item.calls, max(staff, item.staff))
    return tuple(
        ForecastInterval(start, end, calls, staff or None)
        for (start, end), (calls, staff) in sorted(sums.items())
    )
