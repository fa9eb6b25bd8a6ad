"""The back office of a simulated day: submits tasks through the router's use cases and knows what is in each."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from functools import partial

from router.dispatch.caller import SUBMITTER, Caller
from router.dispatch.tasks import BATCH
from router.domain.model import TaskSpec, UrgencySpec, WorkType
from router.simulation.scenario import Day, Work
from router.simulation.site import SITE, SUPERVISED_BY, SimulatedSite
from router.simulation.timeline import Timeline, run_now

_LEASE_MS = 8 * 3_600_000
"""A desktop renews its lease by heartbeats, which are not simulated; no task of a day takes longer."""
_LEAST_AHEAD = 50


@dataclass(slots=True)
class Item:
    """One task as the back office knows it."""

    work: Work
    work_s: float
    submitted_s: float
    begun_s: float | None = None
    done_s: float | None = None

    @property
    def due_s(self) -> float:
        """When it is late."""
        return self.submitted_s + self.work.goal_s


def work_draws(day: Day, work: Work) -> random.Random:
    """The random numbers of a day from which the tasks of a kind get their work, one after the other."""
    return random.Random("/".join((str(day.seed), "work", work.id)))


class Backlog:
    """Every task of the day. The n-th task of a kind holds the same work whatever the policy does."""

    def __init__(self, day: Day, site: SimulatedSite, timeline: Timeline) -> None:
        self._day = day
        self._site = site
        self._timeline = timeline
        self._caller = Caller(SITE, SUBMITTER, "back-office")
        self._draws = {work.id: work_draws(day, work) for work in day.work}
        self._waiting: Counter[str] = Counter()
        """Tasks of each kind that were never begun."""
        self._given: Counter[str] = Counter()
        self._ahead = max(_LEAST_AHEAD, sum(len(group.agents) for group in day.groups))
        self.items: dict[str, Item] = {}

    def open(self) -> None:
        """Create the work types, submit what waits in the morning and plan what comes over the day."""
        for work in self._day.work:
            run_now(self._site.work_types.create(SUPERVISED_BY, _work_type(work)))
            self._submit(work, work.waiting)
            self._fill(work)
            for at_s in arrivals(self._day, work):
                self._timeline.at(at_s, partial(self._submit, work, 1))

    def begun(self, task: str) -> None:
        """An agent takes a task up; an endless kind of work is filled up again."""
        item = self.items[task]
        if item.begun_s is None:
            item.begun_s = self._site.clock.now_s
            self._waiting[item.work.id] -= 1
            self._fill(item.work)

    def done(self, task: str, at_s: float) -> None:
        """A task was completed."""
        self.items[task].done_s = at_s

    def late_at(self, now_s: float) -> int:
        """Tasks past their due time and not done."""
        return sum(item.done_s is None and item.due_s < now_s for item in self.items.values())

    def least_urgent_wait_s(self) -> float:
        """Mean time from submit to first start of the tasks begun, of the kind with the lowest priority."""
        least = min((work.priority for work in self._day.work), default=0)
        begun = [
            item.begun_s - item.submitted_s
            for item in self.items.values()
            if item.work.priority == least and item.begun_s is not None
        ]
        return sum(begun) / len(begun) if begun else 0.0

    def _fill(self, work: Work) -> None:
        while work.endless and self._waiting[work.id] < self._ahead:
            self._submit(work, BATCH)

    def _submit(self, work: Work, count: int) -> None:
        for start in range(0, count, BATCH):
            self._submit_batch(work, min(BATCH, count - start))

    def _submit_batch(self, work: Work, count: int) -> None:
        now_s, draw = self._site.clock.now_s, self._draws[work.id]
        first = self._given[work.id]
        self._given[work.id] += count
        names = [f"{work.id}-{first + i:06d}" for i in range(count)]
        spec = TaskSpec(work.id, priority=work.priority)
        run_now(self._site.tasks.submit_many(self._caller, [(spec, "", name) for name in names]))
        for number, name in enumerate(names, first):
            given = work.times_s[number : number + 1]
            self.items[name] = Item(work, given[0] if given else work.time.draw(draw), now_s)
        self._waiting[work.id] += count


def arrivals(day: Day, work: Work) -> list[float]:
    """When tasks of a kind come in over the day: a Poisson process, the same for every policy."""
    if work.arrivals_s:
        return list(work.arrivals_s)
    rng = random.Random(f"{day.seed}/arrivals/{work.id}")
    times: list[float] = []
    at_s = day.opens_s
    while work.per_hour > 0 and (at_s := at_s + rng.expovariate(work.per_hour / 3600)) < day.closes_s:
        times.append(at_s)
    return times


def _work_type(work: Work) -> WorkType:
    return WorkType(
        work.id,
        dict(work.skills),
        urgency=UrgencySpec(),
        service_goal_ms=round(work.goal_s * 1000),
        expected_handling_ms=round(work.time.mean * 1000),
        interruptible=work.interruptible,
        lease_ms=_LEASE_MS,
    )
