"""Makes days from real calls: thinned calls, a forecast from earlier days only, shifts by that forecast."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import date, timedelta

from callcenter.calls import Call, Handling, draw_calls
from callcenter.distributions import Distribution, Exponential, Lognormal
from callcenter.records import calls_of
from callcenter.staffing import SLOT_S, Shift, plan_shifts, staffed
from callcenter.volumes import DEMO_DAY, INTERVAL_S, Volumes, arrival_times, half_hours, thin
from router.dispatch.call_history import DAYS_KEPT, INTERVAL_MS
from router.simulation.scenario import (
    AcdLink,
    CallQueue,
    Day,
    Desktops,
    ForecastStep,
    Group,
    PlannedAgent,
    Work,
)
from router.simulation.sources import Source, source_of

GROUP = "front"
QUEUE = "service"
STANDARD_DESKTOPS = Desktops()
GOOD_LINK = AcdLink()


@dataclass(frozen=True, slots=True, kw_only=True)
class DayPlan:
    """A standard day by its options; the same plan makes the same day, in any process.

    ``volumes``: a file of five-minute counts or of call records, '' for the committed days. ``keep``: share of the
    calls that reach this center. ``handling``: talk and after-call work of a call, ``patience``: how long callers wait,
    where no records tell. ``believed_aht_s``: what the staffing and, at first, the ACD believe; 0: the true mean.
    ``forecast_factor``: the router is told this many times the forecast; the staffing is not. ``learnt``: the ACD
    reports no forecast; the router has learnt from the calls of the twelve weeks before.
    """

    date: date = DEMO_DAY
    volumes: str = ""
    keep: float = 0.125
    seed: int = 7
    handling: Distribution = Lognormal(240.0, 1.1)
    after_share: float = 0.12
    believed_aht_s: float = 0.0
    patience: Distribution = Exponential(500.0)
    target: float = 0.8
    target_s: float = 20.0
    forecast_factor: float = 1.0
    learnt: bool = False
    work: tuple[Work, ...] = (Work(endless=True),)
    desktops: Desktops = STANDARD_DESKTOPS
    link: AcdLink = GOOD_LINK

    def __post_init__(self) -> None:
        """Raise ValueError that names the field which cannot be played."""
        for name, low, high in _BOUNDS:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be between {low:g} and {high:g}, not {value:g}")


_BOUNDS = (
    ("keep", 1e-4, 1.0),
    ("after_share", 0.0, 0.99),
    ("believed_aht_s", 0.0, 7200.0),
    ("target", 0.01, 0.999),
    ("target_s", 0.01, 3600.0),
    ("forecast_factor", 0.0, 100.0),
)


def make_day(plan: DayPlan) -> Day:
    """One group whose agents serve every call queue of the source.

    Raises ValueError for a day that the source lacks or that has no history.
    """
    source = source_of(plan.volumes)
    volumes = source.total
    if plan.date not in volumes.days:
        known = sorted(volumes.days)
        raise ValueError(f"the volumes have no {plan.date}: they go from {known[0]} to {known[-1]}")
    opens_s = float(volumes.opens_at)
    closes_s = opens_s + len(volumes.days[plan.date]) * INTERVAL_S
    believed_s = plan.believed_aht_s or plan.handling.mean
    expected = [calls * plan.keep for calls in volumes.forecast(plan.date)]
    shifts = plan_shifts(
        half_hours(expected), opens_s, closes_s, aht_s=believed_s, target=plan.target, tau_s=plan.target_s
    )
    queues = []
    for id, calls in _calls(plan, source).items():
        per_interval = expected
        if len(source.queues) > 1:
            per_interval = [calls * plan.keep for calls in source.queues[id].forecast(plan.date)]
        steps = () if plan.learnt else forecast_steps(per_interval, shifts, opens_s, plan.forecast_factor)
        queues.append(CallQueue(id, calls, steps, plan.target_s, plan.target, believed_s))
    people = tuple(PlannedAgent(shift) for shift in shifts)
    history = _history(plan, volumes) if plan.learnt else {}
    group = Group(GROUP, tuple(queues), people, history=history)
    return Day(plan.date, plan.seed, opens_s, closes_s, (group,), plan.work, plan.desktops, plan.link)


def _calls(plan: DayPlan, source: Source) -> dict[str, tuple[Call, ...]]:
    """The day's calls by queue: those that were recorded, or as many as were counted, spread over each interval."""
    handling = Handling(plan.handling, plan.after_share, patience=plan.patience)
    if source.records:
        recorded = calls_of(source.records, plan.date, handling, _seed(plan, "calls"), plan.keep)
        return {name: tuple(c for c in recorded if c.queue == name) for name in source.queues}
    drawn = {}
    for name, volumes in source.queues.items():
        alone = len(source.queues) == 1
        id, use = (QUEUE, "") if alone else (name, f"/{name}")
        counts = thin(volumes.days[plan.date], plan.keep, _rng(plan, f"thin{use}"))
        arrivals = arrival_times(counts, volumes.opens_at, _rng(plan, f"arrivals{use}"))
        drawn[id] = tuple(draw_calls(arrivals, _seed(plan, "calls"), handling, id))
    return drawn


def _history(plan: DayPlan, volumes: Volumes) -> dict[date, tuple[int, ...]]:
    """The calls of earlier days as this center had them, per quarter of an hour."""
    since, size = plan.date - timedelta(days=DAYS_KEPT), INTERVAL_MS // 1000 // INTERVAL_S
    kept = {}
    for day, counts in volumes.days.items():
        if since <= day < plan.date:
            calls = thin(counts, plan.keep, _rng(plan, f"thin/{day}"))
            kept[day] = tuple(sum(calls[i : i + size]) for i in range(0, len(calls), size))
    return kept


def forecast_steps(
    per_interval: list[float], shifts: list[Shift], opens_s: float, factor: float = 1.0
) -> tuple[ForecastStep, ...]:
    """A forecast by the quarters of an hour at which shifts begin and end, with the agents planned for each."""
    size = SLOT_S // INTERVAL_S
    steps = []
    for first in range(0, len(per_interval), size):
        part, start_s = per_interval[first : first + size], opens_s + first * INTERVAL_S
        staff = float(staffed(shifts, start_s))
        steps.append(ForecastStep(start_s, len(part) * INTERVAL_S, sum(part) * factor, staff))
    return tuple(steps)


def playable_days(volumes: str = "") -> list[date]:
    """Days with six earlier same weekdays, in order."""
    found = source_of(volumes).total
    playable = []
    for day in sorted(found.days):
        try:
            found.previous_same_weekdays(day)
        except ValueError:
            continue
        playable.append(day)
    return playable


def part_of(day: Day, begin_s: float, end_s: float) -> Day:
    """The day between two times, as if the call center opened and closed then; shifts and breaks are cut to it."""
    groups = tuple(
        replace(
            group,
            queues=tuple(
                replace(queue, calls=tuple(c for c in queue.calls if begin_s <= c.arrives_at < end_s))
                for queue in group.queues
            ),
            agents=tuple(
                replace(agent, shift=shift)
                for agent in group.agents
                if (shift := _cut(agent.shift, begin_s, end_s)).start < shift.end
            ),
        )
        for group in day.groups
    )
    return replace(day, groups=groups, opens_s=begin_s, closes_s=end_s)


def _cut(shift: Shift, begin_s: float, end_s: float) -> Shift:
    """Who is on a break at the begin comes after it, and who is at the end has gone before it."""
    start, end, breaks = max(shift.start, begin_s), min(shift.end, end_s), []
    for leaves, returns in shift.breaks:
        if leaves <= start < returns:
            start = returns
        elif leaves < end <= returns:
            end = leaves
        elif start < leaves < end:
            breaks.append((leaves, returns))
    return replace(shift, start=start, end=end, breaks=tuple(breaks))


def _rng(plan: DayPlan, use: str) -> random.Random:
    """A source of chance for each use, so that one use does not shift another's draws."""
    return random.Random(_seed(plan, use))


def _seed(plan: DayPlan, use: str) -> str:
    return f"{plan.seed}/{plan.date}/{use}"
