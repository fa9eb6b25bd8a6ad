"""Tasks, offers, leases, recalls and work types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from router.domain.model import (
    ENDED_STATES,
    Checkpoint,
    RelaxationStep,
    Task,
    TaskSpec,
    TaskState,
    TaskTransition,
    UrgencySpec,
    WorkType,
)
from router.domain.ports import Event, Submitted
from router.rpc import names
from router.rpc.convert.reasons import told
from router.rpc.convert.times import duration, timestamp
from router.rpc.validate import (
    DAY_MS,
    HOUR_MS,
    MAX_EXCLUDED,
    MAX_GUIDANCE,
    MAX_PAYLOAD,
    MAX_SKILLS,
    Check,
)
from router.v1 import common_pb2 as pb
from router.v1 import tasks_pb2

SUMMARY, BASIC, FULL = pb.TASK_VIEW_SUMMARY, pb.TASK_VIEW_BASIC, pb.TASK_VIEW_FULL

STATES: Mapping[TaskState, pb.TaskState.ValueType] = {
    state: pb.TaskState.Value(f"TASK_STATE_{state.value}") for state in TaskState
}
WITH_DEADLINE = frozenset(
    {TaskState.SCHEDULED, TaskState.OFFERED, TaskState.ACTIVE, TaskState.RECALLING, TaskState.PARKED}
)
"""States whose deadline means something to a client; a queued task's is the router's own next step."""

UPDATABLE = ("priority", "due_time", "required_skills", "payload", "payload_type", "labels")
"""Fields of a task that UpdateTask takes."""

_DURATION_LIMIT_MS = 366 * DAY_MS


# -- out ---------------------------------------------------------------------------------------------------
def task_out(site: str, task: Task, view: int = BASIC, history: Sequence[TaskTransition] = ()) -> pb.Task:
    """A task as clients see it, as much of it as the view says."""
    spec = task.spec
    whole = view != SUMMARY
    return pb.Task(
        name=names.name(site, names.TASK, task.id),
        reference=spec.reference,
        work_type=names.name(site, names.WORK_TYPE, spec.work_type),
        priority=task.priority,
        due_time=timestamp(spec.due_ms),
        create_time=timestamp(task.create_ms),
        schedule_time=timestamp(spec.schedule_ms),
        expire_time=timestamp(spec.expire_ms),
        required_skills=requirements_out(spec.required_skills or {}),
        preferred_agent=names.name(site, names.AGENT, spec.preferred_agent),
        preferred_team=spec.preferred_team,
        preference_wait=duration(spec.preference_wait_ms),
        excluded_agents=[names.name(site, names.AGENT, agent) for agent in spec.excluded_agents],
        payload=spec.payload if whole else b"",
        payload_type=spec.payload_type,
        customer_reference=spec.customer_reference,
        labels=spec.labels,
        interruptible=task.interruptible,
        expected_handling_time=duration(task.expected_handling_ms),
        state=STATES[task.state],
        agent=names.name(site, names.AGENT, task.agent),
        fence=task.fence,
        attempts=task.attempts,
        recalls=task.recalls,
        declines=task.declines,
        checkpoint=checkpoint_out(task.checkpoint, whole),
        result=task.result if whole else b"",
        outcome=task.outcome,
        end_time=timestamp(task.end_ms),
        end_reason=task.end_reason,
        etag=str(task.revision),
        history=[transition_out(site, step) for step in history],
        deadline=timestamp(task.deadline_ms) if task.state in WITH_DEADLINE else None,
        state_time=timestamp(state_ms(task)),
        submitter=task.submitter,
    )


def state_ms(task: Task) -> int:
    """When the task entered its present state, as far as its record tells."""
    if task.state in ENDED_STATES:
        return task.end_ms
    if task.state is TaskState.OFFERED:
        return task.offer_ms
    return task.accept_ms if task.state is TaskState.ACTIVE else task.change_ms


def checkpoint_out(checkpoint: Checkpoint | None, whole: bool = True) -> pb.Checkpoint | None:
    """Progress, with or without its bytes."""
    if checkpoint is None:
        return None
    data = checkpoint.data if whole else b""
    return pb.Checkpoint(data=data, save_time=timestamp(checkpoint.at_ms), sequence=checkpoint.sequence)


def requirements_out(levels: Mapping[str, int] | Sequence[tuple[str, int]]) -> list[pb.SkillRequirement]:
    """Required skills, sorted by skill."""
    pairs = levels.items() if isinstance(levels, Mapping) else levels
    return [pb.SkillRequirement(skill=skill, min_level=level) for skill, level in sorted(pairs)]


def transition_out(site: str, step: TaskTransition) -> pb.TaskTransition:
    """One step of a task's life."""
    return pb.TaskTransition(
        time=timestamp(step.at_ms),
        operation=step.name,
        from_state=STATES[TaskState(step.source)] if step.source else pb.TASK_STATE_UNSPECIFIED,
        to_state=STATES[TaskState(step.target)],
        actor=step.actor,
        reason=step.reason,
        agent=names.name(site, names.AGENT, step.agent),
        fence=step.fence,
        why=step.why,
        policy_version=step.policy_version,
    )


def offer_out(site: str, task: Task) -> pb.Offer:
    """The open offer of a task."""
    return pb.Offer(
        task=task_out(site, task),
        fence=task.fence,
        deadline=timestamp(task.deadline_ms),
        why=task.why,
        offer_time=timestamp(task.offer_ms),
        agent=names.name(site, names.AGENT, task.agent),
    )


def lease_out(site: str, task: Task, view: int = BASIC) -> pb.Lease:
    """The lease of a task that is ACTIVE or RECALLING."""
    return pb.Lease(
        task=task_out(site, task, view),
        fence=task.fence,
        deadline=timestamp(task.deadline_ms),
        checkpoint=checkpoint_out(task.checkpoint, view != SUMMARY),
        resumed=bool(task.checkpoint or task.recalls or task.attempts),
        start_time=timestamp(task.accept_ms),
        agent=names.name(site, names.AGENT, task.agent),
    )


def recall_out(site: str, task: Task, reason: str = "", step: TaskTransition | None = None) -> pb.Recall:
    """The recall of a task; without a deadline where no notice runs, as for an offer that was withdrawn.

    ``step``: the recall itself where it is not the task's latest change.
    """
    running = task.state is TaskState.RECALLING
    return pb.Recall(
        task=names.name(site, names.TASK, task.id),
        fence=task.fence,
        notice_deadline=timestamp(task.deadline_ms) if running else None,
        reason=told(step.reason if step else reason).sentence,
        recall_time=timestamp(step.at_ms if step else task.change_ms),
    )


def parked_out(site: str, task: Task) -> pb.ParkedTask:
    """A task set aside."""
    return pb.ParkedTask(task=task_out(site, task), fence=task.fence, until_time=timestamp(task.deadline_ms))


def submitted_out(site: str, submitted: Submitted) -> tasks_pb2.SubmitResult:
    """One good answer of a batch or stream."""
    return tasks_pb2.SubmitResult(
        status=pb.Status(),
        name=names.name(site, names.TASK, submitted.task.id),
        existing=not submitted.created,
        etag=str(submitted.task.revision),
    )


def event_out(site: str, event: Event) -> tasks_pb2.WatchTasksResponse:
    """One transition, with the token to go on from."""
    return tasks_pb2.WatchTasksResponse(
        event=tasks_pb2.TaskEvent(
            task=names.name(site, names.TASK, event.task),
            work_type=names.name(site, names.WORK_TYPE, event.work_type),
            transition=transition_out(site, event.transition),
        ),
        resume_token=event.id,
    )


# -- in ----------------------------------------------------------------------------------------------------
def spec_in(task: pb.Task, check: Check) -> TaskSpec:
    """What a submitter says of a new task. Output-only fields are ignored, as AIP-203 asks."""
    return TaskSpec(
        work_type=check.name_or_id("work_type", task.work_type, names.WORK_TYPE),
        reference=check.text("reference", task.reference),
        priority=_priority(task, check),
        due_ms=_time(task, "due_time", check),
        schedule_ms=_time(task, "schedule_time", check),
        expire_ms=_time(task, "expire_time", check),
        required_skills=requirements_in(task, check) or None,
        preferred_agent=check.optional_name("preferred_agent", task.preferred_agent, names.AGENT),
        preferred_team=check.optional_id("preferred_team", task.preferred_team),
        preference_wait_ms=_span(task, "preference_wait", check, 60_000, 0, _DURATION_LIMIT_MS),
        excluded_agents=tuple(
            check.name(f"excluded_agents[{i}]", name, names.AGENT)
            for i, name in enumerate(check.at_most("excluded_agents", task.excluded_agents, MAX_EXCLUDED))
        ),
        payload=check.data("payload", task.payload, MAX_PAYLOAD),
        payload_type=check.text("payload_type", task.payload_type),
        customer_reference=check.text("customer_reference", task.customer_reference),
        labels=check.labels("labels", task.labels),
        interruptible=task.interruptible if task.HasField("interruptible") else None,
        expected_handling_ms=_handling(task, check),
    )


def _time(message: Any, field: str, check: Check) -> int | None:
    return check.time(field, getattr(message, field)) if message.HasField(field) else None


def _priority(task: pb.Task, check: Check) -> int:
    return check.number("priority", task.priority, 0, 100) if task.HasField("priority") else 50


def _handling(task: pb.Task, check: Check) -> int | None:
    if not task.HasField("expected_handling_time"):
        return None
    return check.duration("expected_handling_time", task.expected_handling_time, 1000, DAY_MS)


def _span(message: Any, field: str, check: Check, unset_ms: int, low_ms: int, high_ms: int) -> int:
    """A Duration field, or what stands for an unset one."""
    if not message.HasField(field):
        return unset_ms
    return check.duration(field, getattr(message, field), low_ms, high_ms)


def requirements_in(message: pb.Task | tasks_pb2.WorkType, check: Check) -> dict[str, int]:
    """Required skills; a level of 0 stands for 1."""
    skills = [(r.skill, "min_level", r.min_level or 1) for r in message.required_skills]
    return check.levels("required_skills", skills, MAX_SKILLS)


def update_in(task: pb.Task, paths: Sequence[str], check: Check) -> dict[str, object]:
    """The fields that UpdateTask changes, by their names in TaskSpec."""
    readers: Mapping[str, Callable[[], tuple[str, object]]] = {
        "priority": lambda: ("priority", _priority(task, check)),
        "due_time": lambda: ("due_ms", _time(task, "due_time", check)),
        "required_skills": lambda: ("required_skills", requirements_in(task, check)),
        "payload": lambda: ("payload", check.data("payload", task.payload, MAX_PAYLOAD)),
        "payload_type": lambda: ("payload_type", check.text("payload_type", task.payload_type)),
        "labels": lambda: ("labels", check.labels("labels", task.labels)),
    }
    wanted = check.mask(paths, UPDATABLE, {field.name for field, _ in task.ListFields()})
    if not wanted:
        check.add("update_mask", f"names no field and none is set; change some of {', '.join(UPDATABLE)}")
    return dict(readers[path]() for path in wanted if path in readers)


# -- work types --------------------------------------------------------------------------------------------
WORK_TYPE_FIELDS = (
    "display_name",
    "required_skills",
    "urgency",
    "service_goal",
    "expected_handling_time",
    "interruptible",
    "offer_timeout",
    "lease_duration",
    "max_attempts",
    "relaxation",
    "decline_exclusion",
    "resume_window",
    "guidance",
)
"""Fields of a work type that UpdateWorkType takes."""


def work_type_out(site: str, work_type: WorkType, etag: int, paused: bool = False) -> tasks_pb2.WorkType:
    """A work type, every default written out."""
    return tasks_pb2.WorkType(
        name=names.name(site, names.WORK_TYPE, work_type.id),
        display_name=work_type.display_name,
        required_skills=requirements_out(work_type.required_skills),
        urgency=urgency_out(work_type.urgency),
        service_goal=duration(work_type.service_goal_ms),
        expected_handling_time=duration(work_type.expected_handling_ms),
        interruptible=work_type.interruptible,
        offer_timeout=duration(work_type.offer_timeout_ms),
        lease_duration=duration(work_type.lease_ms),
        max_attempts=work_type.max_attempts,
        relaxation=[
            tasks_pb2.RelaxationStep(after=duration(s.after_ms), lower_by=s.lower_by, drop_skills=s.drop)
            for s in work_type.relaxation
        ],
        decline_exclusion=duration(work_type.decline_exclusion_ms),
        resume_window=duration(work_type.resume_window_ms),
        guidance=work_type.guidance,
        etag=str(etag) if etag else "",
        paused=paused,
    )


def urgency_out(spec: UrgencySpec) -> tasks_pb2.Urgency:
    """The rule that orders tasks."""
    urgency = tasks_pb2.Urgency(max_wait=duration(spec.max_wait_ms))
    if spec.kind == "earliest_due":
        urgency.earliest_due.rate_per_minute = spec.rate_per_minute
    elif spec.kind == "linear_aging":
        urgency.linear_aging.initial = spec.initial
        urgency.linear_aging.rate_per_minute = spec.rate_per_minute
    elif spec.kind == "curve":
        points = [tasks_pb2.CurvePoint(goal_fraction=x, urgency=y) for x, y in spec.points]
        urgency.curve.CopyFrom(tasks_pb2.UrgencyCurve(points=points))
    else:
        urgency.strict_priority.SetInParent()
    return urgency


def work_type_in(id: str, message: tasks_pb2.WorkType, check: Check) -> WorkType:
    """A whole work type; what is not set takes its default."""
    return WorkType(
        id=id,
        required_skills=requirements_in(message, check),
        display_name=check.text("display_name", message.display_name),
        urgency=urgency_in(message.urgency, check),
        service_goal_ms=_span(message, "service_goal", check, DAY_MS, 1000, _DURATION_LIMIT_MS),
        expected_handling_ms=_span(message, "expected_handling_time", check, 300_000, 1000, DAY_MS),
        interruptible=message.interruptible if message.HasField("interruptible") else True,
        offer_timeout_ms=_span(message, "offer_timeout", check, 20_000, 500, HOUR_MS),
        lease_ms=_span(message, "lease_duration", check, 120_000, 1000, DAY_MS),
        max_attempts=check.number("max_attempts", message.max_attempts or 5, 1, 100),
        relaxation=tuple(
            _relaxation_in(i, step, check)
            for i, step in enumerate(check.at_most("relaxation", message.relaxation, 8))
        ),
        decline_exclusion_ms=_span(message, "decline_exclusion", check, 300_000, 0, DAY_MS),
        resume_window_ms=_span(message, "resume_window", check, 120_000, 0, DAY_MS),
        guidance=check.text("guidance", message.guidance, MAX_GUIDANCE),
    )


def urgency_in(message: tasks_pb2.Urgency, check: Check) -> UrgencySpec:
    """The rule; unset is strict priority. Its figures are checked where work types are kept."""
    rule = message.WhichOneof("rule") or "strict_priority"
    max_wait_ms = DAY_MS
    if message.HasField("max_wait"):
        max_wait_ms = check.duration("urgency.max_wait", message.max_wait, 1000, _DURATION_LIMIT_MS)
    if rule == "earliest_due":
        rate = message.earliest_due.rate_per_minute or 1.0
        return UrgencySpec(rule, max_wait_ms, rate_per_minute=rate)
    if rule == "linear_aging":
        aging = message.linear_aging
        return UrgencySpec(rule, max_wait_ms, aging.initial, aging.rate_per_minute or 1.0)
    points = tuple((p.goal_fraction, p.urgency) for p in message.curve.points) if rule == "curve" else ()
    return UrgencySpec(rule, max_wait_ms, points=points)


def _relaxation_in(i: int, step: tasks_pb2.RelaxationStep, check: Check) -> RelaxationStep:
    field = f"relaxation[{i}]"
    return RelaxationStep(
        after_ms=check.duration(f"{field}.after", step.after, 1, _DURATION_LIMIT_MS),
        lower_by=check.number(f"{field}.lower_by", step.lower_by, 0, 4),
        drop=tuple(check.id(f"{field}.drop_skills[{j}]", skill) for j, skill in enumerate(step.drop_skills)),
    )


def merged(
    current: tasks_pb2.WorkType, change: tasks_pb2.WorkType, paths: Sequence[str], check: Check
) -> tasks_pb2.WorkType:
    """The current work type with the fields of the mask taken from the change."""
    given = {field.name for field, _ in change.ListFields()}
    result = tasks_pb2.WorkType()
    result.CopyFrom(current)
    for path in check.mask(paths, WORK_TYPE_FIELDS, given):
        if path in WORK_TYPE_FIELDS:
            result.ClearField(path)  # type: ignore[arg-type]
            part = tasks_pb2.WorkType()
            part.CopyFrom(change)
            for other in given - {path}:
                part.ClearField(other)  # type: ignore[arg-type]
            result.MergeFrom(part)
    return result
