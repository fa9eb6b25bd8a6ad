"""Tasks, agents and gates with readable defaults: a test names only what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.domain.model import AgentProfile, Gate, TaskSpec
from router.domain.ports import NewTask
from router.domain.routing import Curve, PlanStep, QueueSpec, RoutePlan

T0 = 1_700_000_000_000
"""The moment at which every test begins, in milliseconds since the epoch."""
SECOND = 1_000
MINUTE = 60_000
HOUR = 3_600_000
GROUP = "blue"
SOURCE = "acd"

AGING = Curve(((0, 0.0), (HOUR, 60.0)))
"""One point of urgency per minute of age."""
FAST_AGING = Curve(((0, 0.0), (HOUR, 600.0)))
"""Ten points of urgency per minute of age."""
FLAT = Curve(((0, 5.0),))
"""Five points of urgency at any age."""

DEFAULT_SKILLS: Mapping[str, int] = {"claims": 2}
NO_SKILLS: Mapping[str, int] = {}


def queue_spec(
    work_type: str = "claims",
    skills: Mapping[str, int] = DEFAULT_SKILLS,
    *,
    curve: Curve = AGING,
    interruptible: bool = True,
    agent: str = "",
    team: str = "",
) -> QueueSpec:
    """A queue of claims that need the skill ``claims`` at level 2."""
    return QueueSpec(work_type, tuple(sorted(skills.items())), curve, interruptible, agent, team)


def plan(origin_ms: int, first: QueueSpec, *later: tuple[int, QueueSpec]) -> RoutePlan:
    """Wait in ``first``, then from each stated time on in the queue beside it."""
    steps = (PlanStep(origin_ms, first), *(PlanStep(at_ms, queue) for at_ms, queue in later))
    return RoutePlan(origin_ms, steps)


_NEW_TASK_FIELDS = {
    "request_id",
    "fingerprint",
    "offer_timeout_ms",
    "lease_ms",
    "max_attempts",
    "decline_exclusion_ms",
    "resume_window_ms",
}


def new_task(
    id: str = "t1",
    *,
    work_type: str = "claims",
    skills: Mapping[str, int] = DEFAULT_SKILLS,
    origin_ms: int = T0,
    curve: Curve = AGING,
    route: RoutePlan | None = None,
    interruptible: bool = True,
    submitter: str = "crm",
    **fields: Any,
) -> NewTask:
    """A claim as a submit use case hands it to the store; ``fields`` go to the NewTask or to its spec."""
    policy = {name: fields.pop(name) for name in _NEW_TASK_FIELDS & fields.keys()}
    fields.setdefault("expected_handling_ms", 5 * MINUTE)
    spec = TaskSpec(work_type, required_skills=dict(skills), interruptible=interruptible, **fields)
    home = queue_spec(work_type, skills, curve=curve, interruptible=interruptible)
    policy.setdefault("fingerprint", f"{id}:{spec.reference}")
    return NewTask(id, spec, route or plan(origin_ms, home), submitter, **policy)


def profile(id: str = "ann", *, skills: Mapping[str, int] | None = None, **fields: Any) -> AgentProfile:
    """An agent who masters claims at level 3; without ``blending_group`` a dedicated one."""
    return AgentProfile(id, skills={"claims": 3} if skills is None else dict(skills), **fields)


def gate(group: str = GROUP, *, now_ms: int = T0, **fields: Any) -> Gate:
    """An open gate that lets five agents in, for an hour, with no reserve and no minimum idle time."""
    defaults: dict[str, Any] = {
        "open": True,
        "allowance": 5,
        "min_idle_ms": 0,
        "stale_after_ms": HOUR,
        "valid_until_ms": now_ms + HOUR,
        "policy_version": 7,
    }
    return Gate(group, **(defaults | fields))
