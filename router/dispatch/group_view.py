"""One look at a blending group: its agents' counts, its call queues as reported, and how old that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from router.dispatch.lane import LOOP, Lane
from router.domain.model import Feed, Gate, GroupFigures
from router.domain.ports import CallQueueRecord, Store
from router.domain.telephony import CallQueueReport
from router.policies.blending import PolicyDocument


class CallQueueView(NamedTuple):
    """A call queue as reported, with the time of the report."""

    report: CallQueueReport
    source: str
    at_ms: int

    def waiting_ages_ms(self, now_ms: int) -> list[int]:
        """Ages of the waiting calls brought up to now, oldest first.

        A report names no more than so many ages. Calls known only by number came one after the other since the
        youngest one named: in a long line it is among them that a recall still comes in time.
        """
        if not (self.report.calls_waiting or self.report.waiting_ages_ms):
            return []
        passed = max(0, now_ms - self.at_ms)
        known = self.report.waiting_ages_ms or (self.report.oldest_wait_ms,)[: self.report.calls_waiting]
        unknown = max(0, self.report.calls_waiting - len(known))
        youngest = min(known, default=0)
        spread = [youngest * (unknown - i) // (unknown + 1) for i in range(unknown)]
        return [age + passed for age in (*known, *spread)]


class GroupView(NamedTuple):
    """What is known of a group now. ``feed_age_ms`` None: no feed tells of its call queues."""

    figures: GroupFigures
    gate: Gate
    call_queues: tuple[CallQueueView, ...]
    feed_age_ms: int | None

    def total(self, field: str) -> int:
        """The sum of one figure over the group's call queues."""
        return sum([getattr(view.report, field) for view in self.call_queues])

    def waiting_ages_s(self, now_ms: int) -> tuple[float, ...]:
        """Ages of all waiting calls, oldest first."""
        ages = [age for view in self.call_queues for age in view.waiting_ages_ms(now_ms)]
        return tuple(sorted([age / 1000 for age in ages], reverse=True)) if ages else ()


async def look(
    store: Store, site: str, group: str, document: PolicyDocument, now_ms: int, lane: Lane = LOOP
) -> GroupView:
    """Read a group's state in one tick."""
    groups, gate, records, feeds = await lane.all(
        store.groups(site), store.gate(site, group), store.call_queues(site), store.feeds(site)
    )
    figures = next((g for g in groups if g.group == group), None) or GroupFigures(group, {}, 0, 0)
    queues = call_queues_of(group, document, records)
    return GroupView(figures, gate, queues, feed_age_ms(queues, feeds, now_ms))


def call_queues_of(
    group: str, document: PolicyDocument, records: Sequence[CallQueueRecord]
) -> tuple[CallQueueView, ...]:
    """The call queues that name the group, or that its policy names."""
    views = [CallQueueView(CallQueueReport.from_text(r.id, r.body), r.source, r.at_ms) for r in records]
    named = document.call_queues
    return tuple(v for v in views if (v.report.id in named if named else v.report.group == group))


def feed_age_ms(queues: Sequence[CallQueueView], feeds: Sequence[Feed], now_ms: int) -> int | None:
    """Age of the oldest feed that the group's call queues come from."""
    last = {feed.source: feed.last_ms for feed in feeds}
    ages = [now_ms - last[view.source] for view in queues if view.source in last]
    return max(0, *ages) if ages else None
