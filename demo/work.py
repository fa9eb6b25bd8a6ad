"""The back office of the demo: four kinds of work, the skills they need, and the tasks of a day.

Durations are simulated seconds until they are given to the router, which runs on the real clock.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from callcenter.desk import task_work_s
from clients import Submission
from clients.values import duration, timestamp
from demo.scale import Scale, SimClock, Timers
from router.v1 import common_pb2, tasks_pb2

# The router takes no shorter expectation and no shorter goal than this, in real seconds.
_LEAST_S = 1.0
_LEAST_OFFER_S = 2.0
_LEASE_S = 60.0
_HOUR_S = 3600.0
_NEW_UNTIL = 0.85
_MOST_POINTS = 1000.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of work: its share of the tasks, its mean time, its service goal, and who may do it."""

    name: str
    title: str
    share: float
    mean_s: float
    goal_s: float
    skills: dict[str, int]
    guidance: str
    interruptible: bool = True
    relax_after_s: float | None = None


KINDS = (
    Kind(
        "claims",
        "Insurance claims",
        0.35,
        390.0,
        8 * _HOUR_S,
        {"claims": 3},
        "Check the cover, then the papers, then decide.",
        relax_after_s=4 * _HOUR_S,
    ),
    Kind(
        "disputes",
        "Card disputes",
        0.25,
        360.0,
        8 * _HOUR_S,
        {"cards": 2, "claims": 1},
        "Compare the merchant's answer with the statement.",
    ),
    Kind(
        "refunds",
        "Refunds",
        0.10,
        150.0,
        2 * _HOUR_S,
        {"payments": 2},
        "Enter the payment and release it in one go.",
        interruptible=False,
    ),
    Kind("addresses", "Address changes", 0.30, 200.0, 12 * _HOUR_S, {}, "Compare with the identity card."),
)
"""Claims gain urgency along a curve, disputes go by their due time, refunds by priority, addresses by age."""


def mean_work_s() -> float:
    """Return the mean seconds of work in a task."""
    return sum(kind.share * kind.mean_s for kind in KINDS)


def work_type(kind: Kind, scale: Scale, timers: Timers) -> tasks_pb2.WorkType:
    """Return the work type as the router keeps it; `timers` are in real seconds."""
    return tasks_pb2.WorkType(
        display_name=kind.title,
        required_skills=_requirements(kind.skills),
        urgency=_urgency(kind, scale),
        service_goal=duration(max(_LEAST_S, scale.wall_s(kind.goal_s))),
        expected_handling_time=duration(max(_LEAST_S, scale.wall_s(kind.mean_s))),
        interruptible=kind.interruptible,
        offer_timeout=duration(max(_LEAST_OFFER_S, timers.offer_timeout_s)),
        lease_duration=duration(_LEASE_S),
        relaxation=_relaxation(kind, scale),
        decline_exclusion=duration(scale.wall_s(300.0)),
        resume_window=duration(timers.resume_window_s),
        guidance=kind.guidance,
    )


def _urgency(kind: Kind, scale: Scale) -> tasks_pb2.Urgency:
    # One point in a simulated minute, so that the kinds keep step with one another.
    rate = min(_MOST_POINTS, scale.per_wall_s(1.0))
    urgency = tasks_pb2.Urgency(max_wait=duration(max(_LEAST_S, scale.wall_s(24 * _HOUR_S))))
    if kind.name == "claims":
        corners = ((0.0, 500.0), (0.5, 740.0), (1.0, 1100.0))
        points = [tasks_pb2.CurvePoint(goal_fraction=x, urgency=y) for x, y in corners]
        urgency.curve.CopyFrom(tasks_pb2.UrgencyCurve(points=points))
    elif kind.name == "disputes":
        urgency.earliest_due.rate_per_minute = rate
    elif kind.name == "addresses":
        urgency.linear_aging.rate_per_minute = rate
    else:
        urgency.strict_priority.SetInParent()
    return urgency


def _relaxation(kind: Kind, scale: Scale) -> list[tasks_pb2.RelaxationStep]:
    if kind.relax_after_s is None:
        return []
    return [tasks_pb2.RelaxationStep(after=duration(scale.wall_s(kind.relax_after_s)), lower_by=1)]


def _requirements(skills: dict[str, int]) -> list[common_pb2.SkillRequirement]:
    return [common_pb2.SkillRequirement(skill=skill, min_level=level) for skill, level in skills.items()]


def agent_profile(agent: str, group: str, seed: int) -> common_pb2.Agent:
    """Return an agent's profile: claims and cards are widely known, payments by half of the agents."""
    rng = random.Random(f"{seed}/skills/{agent}")
    skills = {"claims": rng.choice((2, 3, 4, 5)), "cards": rng.choice((1, 2, 3))}
    if rng.random() < 0.5:
        skills["payments"] = rng.choice((2, 3))
    return common_pb2.Agent(
        display_name=agent.replace("-", " ").capitalize(),
        skills=[common_pb2.AgentSkill(skill=skill, level=level) for skill, level in skills.items()],
        teams=["front"],
        blending_group=group,
        capacity=1,
    )


@dataclass(frozen=True, slots=True)
class Planned:
    """A task of the day: when the back office submits it (simulated), and how much work is in it."""

    at: float
    task_id: str
    kind: Kind
    priority: int
    work_s: float

    def submission(self, clock: SimClock, run: str) -> Submission:
        """Return the task as it is submitted."""
        task = common_pb2.Task(
            reference=self.task_id,
            work_type=self.kind.name,
            priority=self.priority,
            due_time=timestamp(clock.moment(self.at + self.kind.goal_s)),
            payload=f'{{"form": "{self.kind.name}", "work_s": {self.work_s:.1f}}}'.encode(),
            payload_type="application/json",
            labels={"run": run},
        )
        return Submission(task, task_id=self.task_id)


@dataclass(slots=True)
class Backlog:
    """The tasks of the day: those that wait in the morning, and those that come over the day."""

    run: str
    waiting: list[Planned] = field(default_factory=list)
    coming: list[Planned] = field(default_factory=list)
    by_id: dict[str, Planned] = field(default_factory=dict)


def plan_backlog(run: str, total: int, seed: int, since: float, until: float) -> Backlog:
    """Plan `total` tasks: over half wait at `since`, the others come until shortly before `until`.

    The same seed plans the same work, whatever the run is called.
    """
    rng = random.Random(f"{seed}/backlog")
    times = [since] * (total - total * 2 // 5)
    times += sorted(since + rng.random() * _NEW_UNTIL * (until - since) for _ in range(total - len(times)))
    kinds = rng.choices(KINDS, [kind.share for kind in KINDS], k=total)
    planned = [
        _planned(run, number, at, kind, seed, rng)
        for number, (at, kind) in enumerate(zip(times, kinds, strict=True))
    ]
    return Backlog(
        run,
        [task for task in planned if task.at <= since],
        [task for task in planned if task.at > since],
        {task.task_id: task for task in planned},
    )


def _planned(run: str, number: int, at: float, kind: Kind, seed: int, rng: random.Random) -> Planned:
    work_s = task_work_s(f"{kind.name}/{number}", seed, kind.mean_s)
    return Planned(at, f"{run}-{number:05d}", kind, rng.choice((30, 50, 50, 50, 70)), work_s)


def total_for(spare_hours: float) -> int:
    """Return how many tasks hold a little more work than the spare time."""
    return max(20, round(1.1 * spare_hours * _HOUR_S / mean_work_s()))
