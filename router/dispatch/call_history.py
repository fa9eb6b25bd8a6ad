"""What a group's leader learns of the call volume, so that it has a forecast where the ACD gives none.

The calls offered are counted per quarter of an hour from the totals that the ACD reports. A day is one service-level
window: its start says which day it is and when the call center opens, so no time zone is needed. Days whose windows
start at the same time of day (give or take an hour, for summer time) and are equally long are comparable, others are
not looked at. Counted is only what was wholly seen; a quarter with a stale feed, a total that began anew or a new
leader in it is not. The days are a document of the store, where the next leader finds them.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from router.dispatch.group_view import CallQueueView
from router.domain.errors import NotFound
from router.domain.ports import Store
from router.policies.blending import ForecastInterval
from router.policies.forecast import expected_calls

KIND = "calls"
INTERVAL_MS = 900_000
DAYS_KEPT = 84
LEAST_DAYS = 5
"""With fewer comparable days there is no forecast."""
LEAST_SEEN = 0.75
"""Share of its intervals that must have been seen for a day to be used."""
_DAY_MS = 86_400_000
_SAME_TIME_MS = 5_400_000
_LONGEST_MS = 25 * 3_600_000
_GAP_MS = 30_000
"""Totals are taken for those at the end of an interval if they were looked at so shortly before."""

Counts = list[int | None]
"""Calls offered in each interval of a day; None: not wholly seen."""
Window = tuple[int, int]

log = logging.getLogger(__name__)
_encode = json.JSONEncoder(separators=(",", ":")).encode


class CallHistory:
    """The days that one group's leader knows, and the day under way."""

    def __init__(self, store: Store, site: str, group: str) -> None:
        self._store = store
        self._site = site
        self._group = group
        self.begin()

    def begin(self) -> None:
        """A new term: what was kept is read again, and the interval under way will not have been wholly seen."""
        self.forecast: tuple[ForecastInterval, ...] = ()
        """Calls expected in the whole window; empty with too little history."""
        self.days_used = 0
        self._days: dict[int, Counts] | None = None
        self._window: Window = (0, 0)
        self._index = -1
        self._totals: dict[str, int] = {}
        self._before: int | None = None
        self._seen_ms = 0
        """When the totals were last known to be true."""
        self._to_tell = False

    async def see(self, queues: Sequence[CallQueueView], fresh: bool, now_ms: int) -> None:
        """Take note of the totals of the group's call queues. ``fresh``: their feed is not stale."""
        window = _window_of(queues)
        if window is None:
            return
        if self._days is None:
            self._days = await self._read()
        if window != self._window:
            self._begin_window(window, queues, now_ms)
        if (index := self._index_at(now_ms)) != self._index:
            self._end_interval(index, now_ms)
        for report in [view.report for view in queues]:
            # A total that fell, and a queue that came, begin anew.
            if report.offered < self._totals.get(report.id, math.inf):
                self._before = None
            self._totals[report.id] = report.offered
        self._seen_ms = now_ms
        if not fresh or len(self._totals) > len(queues):
            self._forget(queues)
        if self._to_tell:
            await self._tell()

    def _forget(self, queues: Sequence[CallQueueView]) -> None:
        """The feed is silent, or a queue has gone: the interval under way is not wholly seen."""
        self._before, self._seen_ms = None, 0
        self._totals = {view.report.id: view.report.offered for view in queues}

    # -- counting --------------------------------------------------------------------------------------
    def _begin_window(self, window: Window, queues: Sequence[CallQueueView], now_ms: int) -> None:
        """Another day, or the same with another end."""
        same_day, self._window = window[0] == self._window[0], window
        if not same_day:
            self._index = self._index_at(now_ms)
            at_once = self._index == 0 and all(view.report.window_start_ms == window[0] for view in queues)
            # Totals count from the window's start, so its first interval may be joined late.
            self._totals = {view.report.id: 0 for view in queues if at_once}
            self._before = 0 if at_once else None
        self._expect()

    def _index_at(self, now_ms: int) -> int:
        """Which interval of the window it is; -1 before it, their number after it."""
        start_ms, end_ms = self._window
        if now_ms >= end_ms:
            return _intervals(self._window)
        return max(-1, (now_ms - start_ms) // INTERVAL_MS)

    def _end_interval(self, index: int, now_ms: int) -> None:
        """What was last seen are the totals at the end of the interval: a report of others is looked at at once."""
        total = sum(self._totals.values()) if now_ms - self._seen_ms <= _GAP_MS else None
        if total is not None and self._before is not None and 0 <= self._index == index - 1:
            self._note(self._index, total - self._before)
        self._index, self._before = index, total

    def _note(self, index: int, calls: int) -> None:
        assert self._days is not None
        counts = self._days.setdefault(self._window[0], [])
        counts += [None] * (_intervals(self._window) - len(counts))
        counts[index] = calls
        self._to_tell = True

    # -- expecting -------------------------------------------------------------------------------------
    def _expect(self) -> None:
        """Forecast the window from the comparable days before it."""
        assert self._days is not None
        start_ms, end_ms = self._window
        history = comparable_days(self._days, self._window)
        self.days_used, self.forecast = len(history), ()
        if self.days_used < LEAST_DAYS:
            return
        calls = expected_calls(history, _date_of(start_ms))
        starts = range(start_ms, end_ms, INTERVAL_MS)
        self.forecast = tuple(
            ForecastInterval(begin_ms, min(begin_ms + INTERVAL_MS, end_ms), expected)
            for begin_ms, expected in zip(starts, calls, strict=True)
        )

    # -- keeping ---------------------------------------------------------------------------------------
    async def _read(self) -> dict[int, Counts]:
        try:
            return days_from((await self._store.document(self._site, KIND, self._group)).body)
        except NotFound:
            return {}
        except (ValueError, TypeError, KeyError):
            log.warning(
                "group %s/%s: the kept call volumes are unreadable; they begin anew", self._site, self._group
            )
            return {}

    async def _tell(self) -> None:
        """Once an interval. An older leader that writes late is overwritten with the next interval."""
        assert self._days is not None
        oldest_ms = self._window[0] - DAYS_KEPT * _DAY_MS
        kept = sorted(start_ms for start_ms in self._days if start_ms > oldest_ms)[-DAYS_KEPT:]
        self._days = {start_ms: self._days[start_ms] for start_ms in kept}
        await self._store.put_document(self._site, KIND, self._group, days_text(self._days), None)
        self._to_tell = False


def days_text(days: Mapping[int, Sequence[int | None]]) -> str:
    """Days by the start of their windows, in milliseconds, as the document that a leader reads."""
    told = [{"start_ms": start_ms, "calls": list(calls)} for start_ms, calls in days.items()]
    return _encode({"interval_ms": INTERVAL_MS, "days": told})


def days_from(text: str) -> dict[int, Counts]:
    """The inverse of :func:`days_text`; nothing where intervals had another length. Raises ValueError, KeyError."""
    told = json.loads(text)
    if told["interval_ms"] != INTERVAL_MS:
        return {}
    return {
        int(day["start_ms"]): [None if calls is None else int(calls) for calls in day["calls"]]
        for day in told["days"]
    }


def comparable_days(days: Mapping[int, Sequence[int | None]], window: Window) -> dict[date, list[float]]:
    """Earlier days cut like the window's, of which enough was seen; what was not seen lies between its neighbours.

    Days are told apart by whole days from the window's start, whatever summer time did in between. A day without any
    call (closed) is left out.
    """
    found = {}
    for start_ms, calls in sorted(days.items()):
        ago = round((window[0] - start_ms) / _DAY_MS)
        same_time = abs(window[0] - start_ms - ago * _DAY_MS) < _SAME_TIME_MS
        seen = sum(count is not None for count in calls)
        wide = len(calls) == _intervals(window) and seen >= LEAST_SEEN * len(calls)
        if ago > 0 and same_time and wide and any(calls):
            found[_date_of(window[0]) - timedelta(days=ago)] = _filled(calls)
    return found


def _filled(counts: Sequence[int | None]) -> list[float]:
    """Straight lines between the known values; beyond the first and the last they stay as they are."""
    known = [(index, float(count)) for index, count in enumerate(counts) if count is not None]
    filled = [known[0][1]] * known[0][0]
    for (at, value), (next_at, next_value) in zip(
        known, [*known[1:], (len(counts), known[-1][1])], strict=True
    ):
        step = (next_value - value) / (next_at - at)
        filled += [value + step * i for i in range(next_at - at)]
    return filled


def _window_of(queues: Sequence[CallQueueView]) -> Window | None:
    """The service-level window that ends last, of those the longest; None where none is a day's."""
    start_ms, end_ms = 0, 0
    for report in [view.report for view in queues]:
        if report.window_start_ms and (report.window_end_ms, -report.window_start_ms) > (end_ms, -start_ms):
            start_ms, end_ms = report.window_start_ms, report.window_end_ms
    return (start_ms, end_ms) if 0 < start_ms < end_ms <= start_ms + _LONGEST_MS else None


def _intervals(window: Window) -> int:
    return math.ceil((window[1] - window[0]) / INTERVAL_MS)


def _date_of(start_ms: int) -> date:
    return datetime.fromtimestamp(start_ms / 1000, UTC).date()
