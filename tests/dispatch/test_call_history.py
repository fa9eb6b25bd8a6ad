"""A group's leader learns how many calls come, and forecasts by it where the ACD reports no forecast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date

import pytest

from router.dispatch.call_history import (
    DAYS_KEPT,
    INTERVAL_MS,
    KIND,
    LEAST_DAYS,
    CallHistory,
    comparable_days,
    days_from,
    days_text,
)
from router.dispatch.caller import ACD, Caller
from router.dispatch.controller import Controller
from router.dispatch.forecasts import Forecasts
from router.dispatch.group_view import CallQueueView, GroupView
from router.dispatch.policy_book import PolicyBook
from router.dispatch.telephony import Telephony
from router.domain.errors import NotFound
from router.domain.model import AgentReport, AgentState, Gate, GroupFigures
from router.domain.telephony import CallQueueReport, ForecastInterval, ReportBatch
from router.policies.blending import ForecastInterval as Expected
from router.simulation.days import DayPlan, make_day
from router.simulation.site import SITE as SIMULATED
from router.simulation.timeline import SerialLane, VirtualClock, run_now
from router.state.memory import MemoryStore
from tests.dispatch.scene import GROUP, SITE
from tests.support.played import played, policy

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
OPENS_MS = 1_772_434_800_000
"""Monday, 2 March 2026, 07:00 UTC."""
HOURS = 3
SHAPE = [20, 30, 40, 50, 60, 50, 40, 30, 20, 10, 10, 10]
"""Calls in each quarter of an hour of a day of three hours."""


def queue(
    offered: int, start_ms: int = OPENS_MS, hours: float = HOURS, id: str = "main", **more: object
) -> CallQueueView:
    end_ms = start_ms + round(hours * HOUR_MS)
    report = CallQueueReport(id, GROUP, offered=offered, window_start_ms=start_ms, window_end_ms=end_ms)
    return CallQueueView(report._replace(**more), "acd", start_ms)  # type: ignore[arg-type]


class Leader:
    """A leader's history that looks at a feed; totals grow evenly within a quarter of an hour."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.history = CallHistory(store, SITE, GROUP)
        self.ms = 0

    def looks(
        self, minutes: Sequence[int], *, silent: Sequence[int] = (), anew_at: int | None = None
    ) -> None:
        """Look at the end of each of these minutes of the day; from ``anew_at`` on totals count from zero again."""
        for minute in minutes:
            offered = offered_by(minute) - (offered_by(anew_at) if anew_at and minute >= anew_at else 0)
            self.look(offered, OPENS_MS + minute * 60_000 - 1, fresh=minute not in silent)
            self.look(offered, OPENS_MS + minute * 60_000, fresh=minute not in silent)

    def look(self, offered: int, at_ms: int, fresh: bool = True, **more: float) -> None:
        run_now(self.history.see([queue(offered, **more)], fresh, at_ms))  # type: ignore[arg-type]

    def takes_over(self) -> None:
        self.history.begin()

    @property
    def kept(self) -> dict[int, list[int | None]]:
        return days_from(run_now(self.store.document(SITE, KIND, GROUP)).body)


def offered_by(minute: int) -> int:
    whole, part = divmod(minute, 15)
    return sum(SHAPE[:whole]) + (SHAPE[whole] * part // 15 if part else 0)


@pytest.fixture
def leader() -> Leader:
    return Leader(MemoryStore(VirtualClock(date(2026, 3, 2))))


ALL_DAY = range(HOURS * 60 + 1)


# -- counting ------------------------------------------------------------------------------------------------
def test_a_day_is_counted_by_quarters_of_an_hour(leader: Leader) -> None:
    leader.looks(ALL_DAY)
    assert leader.kept == {OPENS_MS: SHAPE}


def test_it_is_written_at_most_once_an_interval(leader: Leader) -> None:
    leader.looks(range(46))
    assert run_now(leader.store.document(SITE, KIND, GROUP)).etag == 3


def test_the_first_interval_may_be_joined_late_but_no_other(leader: Leader) -> None:
    leader.looks(range(9, 46))
    assert leader.kept[OPENS_MS][:3] == SHAPE[:3]
    other = Leader(MemoryStore(VirtualClock(date(2026, 3, 2))))
    other.looks(range(20, 61))
    assert other.kept[OPENS_MS][:4] == [None, None, 40, 50]


def test_a_change_of_leader_costs_the_interval_it_happens_in(leader: Leader) -> None:
    leader.looks(range(51))
    leader.takes_over()
    leader.looks(range(52, 181))
    assert leader.kept[OPENS_MS] == [*SHAPE[:3], None, *SHAPE[4:]]


@pytest.mark.parametrize(
    ("minutes", "silent", "anew_at", "unseen"),
    [
        (ALL_DAY, range(50, 55), None, {3}),
        (ALL_DAY, range(55, 70), None, {3, 4}),
        (ALL_DAY, range(59, 60), None, {3}),
        (ALL_DAY, (), 70, {4}),
        ([*range(50), *range(62, 181)], (), None, {3, 4}),
    ],
    ids=["silence", "silence over a boundary", "silent before a boundary", "totals anew", "hung"],
)
def test_what_was_not_wholly_seen_is_not_counted(
    leader: Leader, minutes: Sequence[int], silent: Sequence[int], anew_at: int | None, unseen: set[int]
) -> None:
    leader.looks(minutes, silent=silent, anew_at=anew_at)
    assert leader.kept[OPENS_MS] == [None if i in unseen else calls for i, calls in enumerate(SHAPE)]


def test_a_queue_that_comes_or_begins_anew_hides_in_no_sum(leader: Leader) -> None:
    def look(minute: float, main: int, vip: int, *more: CallQueueView) -> None:
        queues = [queue(main), queue(vip, id="vip"), *more]
        run_now(leader.history.see(queues, True, OPENS_MS + round(minute * 60_000)))

    new = queue(90, id="new")
    for minute, main, vip in (
        (0, 0, 0),
        (14.9, 50, 40),
        (15, 50, 40),
        (20, 100, 0),
        (29.9, 140, 10),
        (30, 140, 10),
    ):
        look(minute, main, vip)
    for minute, main, vip in ((40, 150, 20), (44.9, 150, 20), (45, 150, 20), (59.9, 160, 20), (60, 160, 20)):
        look(minute, main, vip, new)
    assert leader.kept[OPENS_MS][:4] == [90, None, None, 10]


def test_without_a_day_like_window_nothing_is_learnt(leader: Leader) -> None:
    for hours, start_ms in ((0.0, OPENS_MS), (30.0, OPENS_MS), (3.0, 0)):
        for minute in ALL_DAY:
            leader.look(minute, OPENS_MS + minute * 60_000, hours=hours, start_ms=start_ms)
    with pytest.raises(NotFound):
        leader.kept  # noqa: B018


def test_twelve_weeks_are_kept(leader: Leader) -> None:
    for day in range(DAYS_KEPT + 20):
        start_ms = OPENS_MS + day * DAY_MS
        for at_ms in (0, INTERVAL_MS - 1000, INTERVAL_MS):
            leader.look(day, start_ms + at_ms, start_ms=start_ms)
    assert sorted(leader.kept) == [OPENS_MS + day * DAY_MS for day in range(20, DAYS_KEPT + 20)]


def test_an_unreadable_document_is_begun_anew(leader: Leader) -> None:
    for text in (
        "",
        "[]",
        '{"interval_ms":900000,"days":[{"start_ms":1,"calls":["x"]}]}',
        '{"interval_ms":900000,"days":[{}]}',
        '{"interval_ms":60000,"days":[]}',
    ):
        run_now(leader.store.put_document(SITE, KIND, GROUP, text, None))
        leader.takes_over()
        leader.looks(range(16))
        assert leader.kept[OPENS_MS][0] == SHAPE[0]


# -- days that compare ---------------------------------------------------------------------------------------
WINDOW = (OPENS_MS, OPENS_MS + HOURS * HOUR_MS)


def days(*changes: tuple[int, Sequence[int | None]]) -> dict[date, list[float]]:
    return comparable_days({OPENS_MS + ms: calls for ms, calls in changes}, WINDOW)


def test_a_day_is_told_by_whole_days_whatever_summer_time_did() -> None:
    found = days((-7 * DAY_MS + HOUR_MS, SHAPE), (-6 * DAY_MS - HOUR_MS, SHAPE), (-DAY_MS, SHAPE))
    assert list(found) == [date(2026, 2, 23), date(2026, 2, 24), date(2026, 3, 1)]


def test_days_cut_in_another_way_are_not_compared() -> None:
    assert not days((-DAY_MS - 2 * HOUR_MS, SHAPE), (-2 * DAY_MS, SHAPE[:-1]), (0, SHAPE), (DAY_MS, SHAPE))


def test_a_day_mostly_unseen_or_closed_is_not_used_and_gaps_are_bridged() -> None:
    assert not days((-DAY_MS, [*SHAPE[:8], *[None] * 4]), (-2 * DAY_MS, [0] * 12))
    (bridged,) = days((-DAY_MS, [None, 10, 10, 10, None, None, 40, 10, 10, 10, 10, 20])).values()
    assert bridged == [10, 10, 10, 10, 20, 30, 40, 10, 10, 10, 10, 20]
    (ends,) = days((-DAY_MS, [*SHAPE[:-2], None, None])).values()
    assert ends[-3:] == [10.0, 10.0, 10.0]


# -- the forecast --------------------------------------------------------------------------------------------
def kept_days(count: int) -> str:
    return days_text({OPENS_MS - ago * DAY_MS: SHAPE for ago in range(1, count + 1)})


@pytest.mark.parametrize(("known", "used"), [(LEAST_DAYS - 1, False), (LEAST_DAYS, True)])
def test_a_few_days_make_no_forecast(leader: Leader, known: int, used: bool) -> None:
    run_now(leader.store.put_document(SITE, KIND, GROUP, kept_days(known), None))
    leader.look(0, OPENS_MS)
    assert bool(leader.history.forecast) is used
    assert leader.history.days_used == known


def test_the_forecast_covers_the_window(leader: Leader) -> None:
    run_now(leader.store.put_document(SITE, KIND, GROUP, kept_days(6), None))
    leader.look(0, OPENS_MS)
    forecast = leader.history.forecast
    assert [interval.calls for interval in forecast] == pytest.approx(SHAPE)
    assert (forecast[0].start_ms, forecast[-1].end_ms) == WINDOW
    assert {interval.staff for interval in forecast} == {None}


def test_the_next_day_is_forecast_with_this_one(leader: Leader) -> None:
    run_now(leader.store.put_document(SITE, KIND, GROUP, kept_days(LEAST_DAYS - 1), None))
    leader.looks(ALL_DAY)
    leader.look(0, OPENS_MS + DAY_MS - 60_000, start_ms=OPENS_MS + DAY_MS)
    assert leader.history.days_used == LEAST_DAYS
    assert sum(interval.calls for interval in leader.history.forecast) == pytest.approx(sum(SHAPE))


def view_of(queue: CallQueueView) -> GroupView:
    return GroupView(GroupFigures(GROUP, {}, 0, 0), Gate(GROUP), (queue,), 0)


def test_a_reported_forecast_goes_first_as_long_as_it_lasts(leader: Leader) -> None:
    run_now(leader.store.put_document(SITE, KIND, GROUP, kept_days(LEAST_DAYS), None))
    forecasts = Forecasts(leader.store, SITE, GROUP)
    told = (ForecastInterval(OPENS_MS, HOUR_MS, 77.0, 5.0),)
    seen = view_of(queue(0, forecast=told))
    assert run_now(forecasts.of(seen, True, OPENS_MS)) == (Expected(OPENS_MS, OPENS_MS + HOUR_MS, 77.0, 5.0),)
    assert forecasts.words == "forecast as reported"
    learnt = run_now(forecasts.of(seen, True, OPENS_MS + HOUR_MS))
    assert sum(interval.calls for interval in learnt) == pytest.approx(sum(SHAPE))
    assert forecasts.words == f"forecast learnt from {LEAST_DAYS} days"


# -- in the loop ---------------------------------------------------------------------------------------------
class Site:
    """A telephone system and two workers that may lead, on one driven clock."""

    def __init__(self) -> None:
        self.clock = VirtualClock(date(2026, 3, 2))
        self.store = MemoryStore(self.clock)
        self.telephony = Telephony(self.store, self.clock, 10_000, lambda site: 5_000)
        self.workers = [self._worker(name) for name in ("w1", "w2")]
        self._sequence = 0

    def _worker(self, name: str) -> Controller:
        book = PolicyBook(self.store, self.clock)
        return Controller(self.store, self.clock, book, SITE, GROUP, name, SerialLane(), lease_ms=30_000)

    def at(self, minute: float, worker: int, **more: object) -> Controller:
        """The ACD reports the calls of that minute of the day, which is under way; a worker looks."""
        self.clock.move_to(7 * 3600 + minute * 60)
        report = queue(offered_by(math.ceil(minute)), **more).report  # type: ignore[arg-type]
        self._sequence += 1
        agents = [AgentReport("ann", AgentState.AVAILABLE)]
        batch = ReportBatch("acd", "1", self._sequence, self._sequence == 1, agents, [report])
        run_now(self.telephony.report(Caller(SITE, ACD, "acd"), batch))
        controller = self.workers[worker]
        run_now(controller.step())
        return controller

    @property
    def why(self) -> str:
        return run_now(self.store.gate(SITE, GROUP)).reason


def every(site: Site, since: int, until: int, worker: int) -> None:
    for second in range(since * 60, until * 60 + 1, 20):
        site.at(second / 60, worker)


def test_the_law_decides_by_what_was_learnt_and_says_so() -> None:
    site = Site()
    run_now(site.store.put_document(SITE, KIND, GROUP, kept_days(LEAST_DAYS), None))
    decision = site.at(0.1, 0).decision
    assert decision
    assert decision.rate_per_s == pytest.approx(SHAPE[0] / 900, rel=0.01)
    assert site.why.endswith(f"forecast learnt from {LEAST_DAYS} days")


def test_without_history_the_recent_calls_decide() -> None:
    site = Site()
    every(site, 0, 20, 0)
    assert site.why.endswith("; no forecast")
    decision = site.workers[0].decision
    assert decision
    assert decision.rate_per_s == pytest.approx(SHAPE[1] / 900, rel=0.4)


def test_the_next_leader_goes_on_with_the_day() -> None:
    site = Site()
    every(site, 0, 48, 0)
    every(site, 49, 91, 1)
    kept = days_from(run_now(site.store.document(SITE, KIND, GROUP)).body)
    assert kept[OPENS_MS][:6] == [*SHAPE[:3], None, *SHAPE[4:6]]
    assert not site.workers[0].leads


def test_a_simulated_leader_learns_alike() -> None:
    day = make_day(DayPlan(keep=0.01, learnt=True))
    play, result = played(day, policy())
    group = day.groups[0].id
    assert run_now(play.site.store.gate(SIMULATED, group)).reason.endswith("forecast learnt from 6 days")
    *_, today = days_from(run_now(play.site.store.document(SIMULATED, KIND, group)).body).values()
    assert sum(calls or 0 for calls in today) == pytest.approx(result.total.calls.offered, abs=1)
