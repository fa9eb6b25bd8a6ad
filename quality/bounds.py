"""What could be reached on one day by someone who knows it beforehand: two marks to measure policies against.

**The all-knowing packing that delays no call.** Calls are answered exactly as without blending, so the number I(t) of
agents idle at each moment is given, and tasks may only fill that. *Which* agent idles is free, so idle time may be
put together: cut I(t) into gaps (from an agent's coming free to an agent's being needed), as many as I rises. A gap of
length g yields max(0, g − b − c): the agent must be back at the ACD b seconds before the gap ends, and the recall
costs c seconds of work. As that is convex in g, the best cut makes long gaps longer and short ones shorter: the last
agent who came free is needed first, which gives the *nested level sets* {t: I(t) ≥ k}. The share is the yield over
the idle time.

It is a mark and no ceiling: each gap is taken to end with a recall, although a task might end by itself just in time,
and a policy that lets some calls wait within their target can do more.

**The best non-preemptive schedule in hindsight.** No recall; a reserve for each half hour, constant over it, chosen
with that very day's calls, handling times, patience and tasks known, to keep the most work while the day's service
level stays at its target (or, on a day that misses it anyway, where it is without blending). Found by coordinate
search on work kept + price × service level, at prices that close in on the target; of all schedules played, the best
that holds the level is taken. So it is a lower bound of the best schedule, close to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from callcenter.volumes import HALF_HOUR_S
from quality.engine import NEVER, Center, Floats, Ints, Played, Rules, play
from router.simulation.backlog import work_draws
from router.simulation.scenario import Day

_PASSES = 2
_PRICES = 6
_DEAREST = 50.0
_MOVES = (-3, -1, 1, 3)


def fast_center(day: Day) -> tuple[Center, Rules]:
    """A day of one group with one call queue and one endless kind of work, for the fast engine.

    Raises ValueError for any other day.
    """
    if len(day.groups) != 1 or len(day.groups[0].queues) != 1 or len(day.work) != 1:
        raise ValueError("the fast engine plays one group with one call queue and one kind of work")
    group, work = day.groups[0], day.work[0]
    queue, shifts = group.queues[0], [agent.shift for agent in group.agents]
    most_breaks = max(len(shift.breaks) for shift in shifts)
    breaks = np.full((len(shifts), most_breaks, 2), math.inf)
    for agent, shift in enumerate(shifts):
        for n, (start, end) in enumerate(shift.breaks):
            breaks[agent, n] = start, end - start
    center = Center(
        opens_s=day.opens_s,
        arrives=np.array([call.arrives_at for call in queue.calls]),
        patience=np.array([call.patience_s for call in queue.calls]),
        handling=np.array([call.talk_s + call.after_s for call in queue.calls]),
        starts=np.array([shift.start for shift in shifts]),
        ends=np.array([shift.end for shift in shifts]),
        breaks=breaks,
        tasks=np.array(task_times(day, 1000 + 8 * len(queue.calls))),
    )
    return center, Rules(queue.target_s, group.ring_s, task_s=work.time.mean, step_s=HALF_HOUR_S)


def task_times(day: Day, count: int) -> list[float]:
    """Seconds of work in the first tasks of the day's backlog, as the simulator draws them."""
    work = day.work[0]
    draw = work_draws(day, work)
    return [work.time.draw(draw) for _ in range(count)]


def level_without(center: Center, rules: Rules) -> float:
    """The day's service level without a task, as a share."""
    return play(center, np.array([NEVER]), rules).level


@dataclass(frozen=True, slots=True)
class Packing:
    """The all-knowing packing: idle time and the work that fits into it, in seconds."""

    idle_s: float
    kept_s: float

    @property
    def recovered(self) -> float:
        """Share of the idle time."""
        return self.kept_s / self.idle_s if self.idle_s else 0.0


def packing(profile: Floats, back_s: float, lost_s: float) -> Packing:
    """Pack tasks into the idle time of a day without blending; ``profile`` as ``engine.idle_profile`` gives it."""
    lengths = list(gaps((float(at), int(idle)) for at, idle in profile))
    return Packing(sum(lengths), sum(max(0.0, length - back_s - lost_s) for length in lengths))


def gaps(profile: Iterable[tuple[float, int]]) -> Iterator[float]:
    """Lengths of the nested gaps of idle time: whoever came free last is needed first."""
    began: list[float] = []
    for at, idle in profile:
        began += [at] * (idle - len(began))
        while len(began) > idle:
            yield at - began.pop()


@dataclass(frozen=True, slots=True)
class Schedule:
    """A reserve for each half hour after the opening, and what it gave."""

    reserve: tuple[int, ...]
    played: Played
    without: Played

    @property
    def recovered(self) -> float:
        """Work kept over the idle time without blending."""
        return self.played.kept_s / self.without.idle_s if self.without.idle_s else 0.0


def best_schedule(center: Center, rules: Rules, target: float, closes_s: float) -> Schedule:
    """The best non-preemptive schedule in hindsight; without a push where no other holds the level."""
    steps = math.ceil((closes_s - center.opens_s) / rules.step_s)
    return _Search(center, rules, target, steps).run()


class _Search:
    """Coordinate search over the schedules of one day; each schedule is played once."""

    def __init__(self, center: Center, rules: Rules, target: float, steps: int) -> None:
        self._center, self._rules, self._steps = center, rules, steps
        self._most = center.starts.size
        self._known: dict[bytes, Played] = {}
        # With everybody kept back: no task is pushed.
        self._without = self._play(self._static(self._most))
        self._floor = min(target, self._without.level)

    def run(self) -> Schedule:
        """Search at prices that close in on the one at which the target is just met."""
        reserve = self._best_static()
        low, high = 0.0, _DEAREST
        for _ in range(_PRICES):
            price = math.sqrt(max(low, 0.1) * high)
            reserve = self._ascend(reserve, price)
            holds = self._play(reserve).level >= self._floor
            low, high = (low, price) if holds else (price, high)
        return self._polished()

    def _static(self, reserve: int) -> Ints:
        return np.full(self._steps, reserve, np.int64)

    def _play(self, reserve: Ints) -> Played:
        key = reserve.tobytes()
        if key not in self._known:
            self._known[key] = play(self._center, reserve, self._rules)
        return self._known[key]

    def _best_static(self) -> Ints:
        reserve = 0
        while reserve < self._most and self._play(self._static(reserve)).level < self._floor:
            reserve += 1
        return self._static(reserve)

    def _ascend(self, reserve: Ints, price: float) -> Ints:
        """Better each half hour in turn, a few times over."""
        for _ in range(_PASSES):
            before = reserve
            for step in range(self._steps):
                reserve = max(self._near(reserve, step), key=lambda tried: self._worth(tried, price))
            if np.array_equal(before, reserve):
                break
        return reserve

    def _near(self, reserve: Ints, step: int) -> list[Ints]:
        found = [reserve]
        for move in _MOVES:
            if 0 <= reserve[step] + move <= self._most:
                moved = reserve.copy()
                moved[step] += move
                found.append(moved)
        return found

    def _worth(self, reserve: Ints, price: float) -> float:
        played = self._play(reserve)
        return played.kept_s / self._without.idle_s + price * played.level

    def _polished(self) -> Schedule:
        """From the best schedule that holds the level, the steps that keep more work and still hold it."""
        best, before = self._best_known(), None
        while best != before:
            reserve = np.array(best, np.int64)
            for step in range(self._steps):
                for tried in self._near(reserve, step):
                    self._play(tried)
            best, before = self._best_known(), best
        return Schedule(best, self._play(np.array(best, np.int64)), self._without)

    def _best_known(self) -> tuple[int, ...]:
        holding = [(played.kept_s, key) for key, played in self._known.items() if played.level >= self._floor]
        return tuple(np.frombuffer(max(holding)[1], np.int64).tolist())
