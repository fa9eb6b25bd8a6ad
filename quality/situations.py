"""A day to be played, as options: every process makes the same day of it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from datetime import date
from typing import Protocol

from callcenter.calls import Handling, draw_calls, merge_calls
from callcenter.distributions import Deterministic, Exponential
from callcenter.staffing import Shift, staffed
from callcenter.volumes import DATA_FILE
from router.simulation.days import DayPlan, make_day, part_of
from router.simulation.scenario import CallQueue, Day, ForecastStep, Group, PlannedAgent, Work

_FOR_EVER_S = 1e7


@dataclass(frozen=True, slots=True)
class Storm:
    """For a while ``times`` as many calls arrive as on the plain day; hours after the opening."""

    after_h: float = 4.0
    length_h: float = 0.5
    times: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A standard day and what is different about it.

    ``absent``: this share of the planned agents does not come, spread evenly over the shifts, and the router knows it.
    ``aht_belief``: the ACD believes this many times the true handling time in the morning. ``silent_h``: the ACD falls
    silent so many hours after the opening, for ``silent_s``. ``shared``: the calls split over two queues, and of ten
    agents three serve the first alone, three the second alone, four both. ``from_h``, ``until_h``: only these hours
    after the opening are played, 0 for the whole day; who is on duty then is at work before the first call.
    """

    plan: DayPlan
    absent: float = 0.0
    storm: Storm | None = None
    aht_belief: float = 1.0
    silent_h: float = 0.0
    silent_s: float = 0.0
    shared: bool = False
    from_h: float = 0.0
    until_h: float = 0.0

    @property
    def volumes(self) -> str:
        """The file of counts that the day is made from."""
        return self.plan.volumes or str(DATA_FILE)

    def make(self) -> Day:
        """The day. Raises ValueError where ``DayPlan`` does."""
        day = make_day(self.plan)
        for change in (
            self._missed,
            self._shortened,
            self._stormy,
            self._believed,
            self._silent,
            self._split,
        ):
            day = change(day)
        return day

    def _missed(self, day: Day) -> Day:
        if not self.absent:
            return day
        group, queue = day.groups[0], day.groups[0].queues[0]
        here = tuple(
            agent
            for n, agent in enumerate(group.agents)
            if math.floor((n + 1) * self.absent) == math.floor(n * self.absent)
        )
        shifts = [agent.shift for agent in here]
        forecast = tuple(replace(step, staff=float(staffed(shifts, step.start_s))) for step in queue.forecast)
        return replace(
            day, groups=(replace(group, queues=(replace(queue, forecast=forecast),), agents=here),)
        )

    def _shortened(self, day: Day) -> Day:
        if not self.until_h:
            return day
        begin_s, end_s = (day.opens_s + 3600 * hours for hours in (self.from_h, self.until_h))
        part = part_of(day, begin_s, end_s)
        queue = part.groups[0].queues[0]
        steps = tuple(step for step in queue.forecast if begin_s <= step.start_s < end_s)
        return _with_queue(part, replace(queue, forecast=steps))

    def _stormy(self, day: Day) -> Day:
        if self.storm is None:
            return day
        queue = day.groups[0].queues[0]
        begin_s = day.opens_s + 3600 * self.storm.after_h
        end_s = begin_s + 3600 * self.storm.length_h
        plain = sum(begin_s <= call.arrives_at < end_s for call in queue.calls)
        rng = random.Random(f"{day.seed}/storm")
        extra = sorted(rng.uniform(begin_s, end_s) for _ in range(round(plain * (self.storm.times - 1))))
        handling = Handling(self.plan.handling, self.plan.after_share, patience=self.plan.patience)
        more = draw_calls(extra, f"{day.seed}/storm", handling, queue.id)
        return _with_queue(day, replace(queue, calls=tuple(merge_calls(queue.calls, more))))

    def _believed(self, day: Day) -> Day:
        queue = day.groups[0].queues[0]
        return _with_queue(day, replace(queue, aht_s=queue.aht_s * self.aht_belief))

    def _silent(self, day: Day) -> Day:
        if not self.silent_s:
            return day
        begin_s = day.opens_s + 3600 * self.silent_h
        return replace(day, link=replace(day.link, silences=((begin_s, begin_s + self.silent_s),)))

    def _split(self, day: Day) -> Day:
        if not self.shared:
            return day
        group, queue = day.groups[0], day.groups[0].queues[0]
        rng = random.Random(f"{day.seed}/split")
        of = [rng.choice((0, 1)) for _ in queue.calls]
        queues = tuple(_half(queue, of, which, name) for which, name in enumerate(("first", "second")))
        skills = (("first",),) * 3 + (("second",),) * 3 + ((),) * 4
        agents = tuple(
            replace(agent, shift=replace(agent.shift, queues=skills[n % 10]))
            for n, agent in enumerate(group.agents)
        )
        return replace(day, groups=(replace(group, queues=queues, agents=agents),))


def _with_queue(day: Day, queue: CallQueue) -> Day:
    group: Group = replace(day.groups[0], queues=(queue,))
    return replace(day, groups=(group,))


def _half(queue: CallQueue, of: list[int], which: int, name: str) -> CallQueue:
    calls = [replace(call, queue=name) for call, to in zip(queue.calls, of, strict=True) if to == which]
    forecast = tuple(
        ForecastStep(step.start_s, step.length_s, step.calls / 2, step.staff) for step in queue.forecast
    )
    return replace(queue, id=name, calls=tuple(calls), forecast=forecast)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """A day on which nothing changes: Poisson calls, exponential times, patient callers, everybody there all day.

    Times in seconds. It is what the stationary cases assume, but for its length.
    """

    agents: int
    rate_per_s: float
    aht_s: float
    task_s: float
    hours: float = 8.0
    seed: int = 7

    @property
    def volumes(self) -> str:
        """No file of counts is behind it."""
        return ""

    def make(self) -> Day:
        """The day."""
        opens_s, length_s = 25_200.0, 3600 * self.hours
        rng = random.Random(f"{self.seed}/arrivals")
        arrivals: list[float] = []
        at_s = opens_s
        while (at_s := at_s + rng.expovariate(self.rate_per_s)) < opens_s + length_s:
            arrivals.append(at_s)
        handling = Handling(
            Exponential(self.aht_s), after_share=0.0, patience=Deterministic(_FOR_EVER_S), ring_s=0.0
        )
        calls = tuple(draw_calls(arrivals, f"{self.seed}/calls", handling, "service"))
        forecast = (ForecastStep(opens_s, length_s, self.rate_per_s * length_s, float(self.agents)),)
        agents = tuple(
            PlannedAgent(Shift(f"agent-{n:03d}", opens_s, opens_s + length_s)) for n in range(self.agents)
        )
        queue = CallQueue("service", calls, forecast, aht_s=self.aht_s)
        group = Group("front", (queue,), agents, ring_s=0.0)
        work = (Work(time=Exponential(self.task_s), endless=True),)
        return Day(date(2024, 1, 1), self.seed, opens_s, opens_s + length_s, (group,), work)


class Made(Protocol):
    """A day given by options: it can be pickled, and its ``repr`` tells all of them."""

    @property
    def volumes(self) -> str:
        """The file of counts that the day is made from, '' for none."""
        ...

    def make(self) -> Day:
        """The day."""
        ...
