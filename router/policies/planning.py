"""Relaxation, preference and urgency compiled to a task's route plan.

A plan is decided once, when the task is submitted or updated; the sweeper then moves the task from step to step.
"""

from __future__ import annotations

from collections.abc import Mapping

from router.domain.model import TaskSpec, WorkType
from router.domain.routing import PlanStep, QueueSpec, RoutePlan
from router.policies.urgency import Subject, Urgency, compile_urgency

Requirement = tuple[tuple[str, int], ...]


def requirement_after(work_type: WorkType, skills: Mapping[str, int], waited_ms: int) -> Requirement:
    """The minimum levels that still count after a wait; a level that falls below 1 no longer counts."""
    levels = dict(skills)
    for step in work_type.relaxation:
        if step.after_ms <= waited_ms:
            levels = {s: v - step.lower_by for s, v in levels.items() if s not in step.drop}
    return tuple(sorted((skill, level) for skill, level in levels.items() if level >= 1))


def skills_of(work_type: WorkType, spec: TaskSpec) -> Mapping[str, int]:
    """What the task requires: its own statement, else its work type's."""
    return work_type.required_skills if spec.required_skills is None else spec.required_skills


def due_of(work_type: WorkType, spec: TaskSpec, start_ms: int) -> int:
    """The task's due time: its own, else its start plus the service goal."""
    return start_ms + work_type.service_goal_ms if spec.due_ms is None else spec.due_ms


def _targets(spec: TaskSpec, waited_ms: int) -> list[tuple[int, str, str]]:
    """(wait, agent, team): who may have the task from which wait on; the last entry is everybody.

    A preference stated after ``waited_ms`` lasts from then on.
    """
    targets: list[tuple[int, str, str]] = []
    wait, until = 0, waited_ms
    for agent, team in ((spec.preferred_agent, ""), ("", spec.preferred_team)):
        if agent or team:
            targets.append((wait, agent, team))
            until += spec.preference_wait_ms
            wait = until
    return [*targets, (wait, "", "")]


def compile_plan(work_type: WorkType, spec: TaskSpec, create_ms: int, preferred_ms: int = 0) -> RoutePlan:
    """Where the task waits and when that widens: preferred agent, preferred team, everybody, relaxed skills.

    ``preferred_ms``: when the preference was stated, if that was after the start.
    """
    start_ms = max(create_ms, spec.schedule_ms or 0)
    subject = Subject(spec.priority, start_ms, due_of(work_type, spec, start_ms), work_type.service_goal_ms)
    urgency = compile_urgency(work_type.urgency, subject)
    targets = _targets(spec, max(0, preferred_ms - start_ms))
    waits = sorted({wait for wait, _, _ in targets} | {s.after_ms for s in work_type.relaxation})
    steps: list[PlanStep] = []
    for wait in waits:
        queue = _queue_at(work_type, spec, urgency, targets, wait)
        if not steps or steps[-1].queue != queue:
            steps.append(PlanStep(start_ms + wait, queue))
    return RoutePlan(urgency.origin_ms, tuple(steps))


def _queue_at(
    work_type: WorkType, spec: TaskSpec, urgency: Urgency, targets: list[tuple[int, str, str]], wait: int
) -> QueueSpec:
    _, agent, team = max(target for target in targets if target[0] <= wait)
    interruptible = work_type.interruptible if spec.interruptible is None else spec.interruptible
    requirement = requirement_after(work_type, skills_of(work_type, spec), wait)
    return QueueSpec(work_type.id, requirement, urgency.curve, interruptible, agent, team)
