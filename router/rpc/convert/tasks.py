"""Tasks, offers, leases, recalls and work types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from router.rpc.convert.times import duration, set_duration, set_time, timestamp
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
    message = pb.Task()
    fill_task(message, site, task, view)
    message.history.extend(transition_out(site, step) for step in history)
    return message


def fill_task(message: pb.Task, site: str, task: Task, view: int = BASIC) -> None:
    """Write a task into a fresh message, field by field: the constructor costs twice as much."""
    spec = task.spec
    message.name = names.name(site, names.TASK, task.id)
    message.priority = task.priority
    message.interruptible = task.interruptible
    message.state = STATES[task.state]
    message.agent = names.name(site, names.AGENT, task.agent)
    message.fence = task.fence
    message.attempts = task.attempts
    message.recalls = task.recalls
    message.declines = task.declines
    message.outcome = task.outcome
    message.end_reason = task.end_reason
    message.etag = str(task.revision)
    message.submitter = task.submitter
    set_duration(message.expected_handling_time, task.expected_handling_ms)
    _fill_spec(message, site, spec)
    _fill_times(message, task)
    if view != SUMMARY:
        message.payload = spec.payload
        message.result = task.result
    if task.checkpoint:
        message.checkpoint.CopyFrom(checkpoint_out(task.checkpoint, view != SUMMARY))


def _fill_spec(message: pb.Task, site: str, spec: TaskSpec) -> None:
    message.reference = spec.reference
    message.work_type = names.name(site, names.WORK_TYPE, spec.work_type)
    message.preferred_agent = names.name(site, names.AGENT, spec.preferred_agent)
    message.preferred_team = spec.preferred_team
    message.payload_type = spec.payload_type
    message.customer_reference = spec.customer_reference
    set_duration(message.preference_wait, spec.preference_wait_ms)
    if spec.required_skills:
        for skill, level in sorted(spec.required_skills.items()):
            message.required_skills.add(skill=skill, min_level=level)
    if spec.excluded_agents:
        message.excluded_agents.extend(names.name(site, names.AGENT, a) for a in spec.excluded_agents)
    if spec.labels:
        message.labels.update(spec.labels)


def _fill_times(message: pb.Task, task: Task) -> None:
    spec = task.spec
    set_time(message.create_time, task.create_ms)
    if spec.due_ms:
        set_time(message.due_time, spec.due_ms)
    if spec.schedule_ms:
        set_time(message.schedule_time, spec.schedule_ms)
    if spec.expire_ms:
        set_time(message.expire_time, spec.expire_ms)
    if task.end_ms:
        set_time(message.end_time, task.end_ms)
    if task.deadline_ms and task.state in WITH_DEADLINE:
        set_time(message.deadline, task.deadline_ms)
    set_time(message.state_time, state_ms(task))


def state_ms(task: Task) -> int:
    """When the task entered its present state, as far as its record tells."""
    if task.state in ENDED_STATES:
        return task.end_ms
    if task.state is TaskState.OFFERED:
        return task.offer_ms
    return task.accept_ms if task.state is TaskState.ACTIVE else task.change_ms


def checkpoint_out(checkpoint: Checkpoint, whole: bool = True) -> pb.Checkpoint:
    """Progress, with or without its bytes."""
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
    message = pb.Offer()
    fill_offer(message, site, task)
    return message


def fill_offer(message: pb.Offer, site: str, task: Task) -> None:
    """Write the open offer of a task into a fresh message."""
    fill_task(message.task, site, task)
    message.fence = task.fence
    message.why = task.why
    message.agent = names.name(site, names.AGENT, task.agent)
    set_time(message.deadline, task.deadline_ms)
    set_time(message.offer_time, task.offer_ms)


def lease_out(site: str, task: Task, view: int = BASIC) -> pb.Lease:
    """The lease of a task that is ACTIVE or RECALLING."""
    message = pb.Lease()
    fill_lease(message, site, task, view)
    return message


def fill_lease(message: pb.Lease, site: str, task: Task, view: int = BASIC) -> None:
    """Write the lease of a task into a fresh message."""
    fill_task(message.task, site, task, view)
    message.fence = task.fence
    message.resumed = bool(task.checkpoint or task.recalls or task.attempts)
    message.agent = names.name(site, names.AGENT, task.agent)
    set_time(message.deadline, task.deadline_ms)
    set_time(message.start_time, task.accept_ms)
    if task.checkpoint:
        message.checkpoint.CopyFrom(checkpoint_out(task.checkpoint, view != SUMMARY))


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
    given: dict[str, Any] = {"work_type": ""}
    for field, value in task.ListFields():
        reader = _SPEC_READERS.get(field.number)
        if reader:
            path, name, read = reader
            given[name] = read(check, path, value)
    if not task.work_type:
        check.name_or_id("work_type", "", names.WORK_TYPE)
    return TaskSpec(**given)


def _excluded(check: Check, field: str, agents: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        check.name(f"{field}[{i}]", name, names.AGENT)
        for i, name in enumerate(check.at_most(field, agents, MAX_EXCLUDED))
    )


def _levels(check: Check, field: str, skills: Iterable[pb.SkillRequirement]) -> dict[str, int]:
    return check.levels(field, [(r.skill, "min_level", r.min_level or 1) for r in skills], MAX_SKILLS)


_Reader = Callable[[Check, str, Any], Any]
_SPEC_FIELDS: Mapping[str, tuple[str, _Reader]] = {
    "work_type": ("work_type", lambda check, field, text: check.name_or_id(field, text, names.WORK_TYPE)),
    "reference": ("reference", Check.text),
    "priority": ("priority", lambda check, field, value: check.number(field, value, 0, 100)),
    "due_time": ("due_ms", Check.time),
    "schedule_time": ("schedule_ms", Check.time),
    "expire_time": ("expire_ms", Check.time),
    "required_skills": ("required_skills", _levels),
    "preferred_agent": ("preferred_agent", lambda check, field, text: check.name(field, text, names.AGENT)),
    "preferred_team": ("preferred_team", Check.id),
    "preference_wait": (
        "preference_wait_ms",
        lambda check, field, span: check.duration(field, span, 0, _DURATION_LIMIT_MS),
    ),
    "excluded_agents": ("excluded_agents", _excluded),
    "payload": ("payload", lambda check, field, data: check.data(field, data, MAX_PAYLOAD)),
    "payload_type": ("payload_type", Check.text),
    "customer_reference": ("customer_reference", Check.text),
    "labels": ("labels", Check.labels),
    "interruptible": ("interruptible", lambda check, field, value: value),
    "expected_handling_time": (
        "expected_handling_ms",
        lambda check, field, span: check.duration(field, span, 1000, DAY_MS),
    ),
}
"""Fields of a task that a submitter may set: their names in TaskSpec, and what reads them when they are set."""

_SPEC_READERS = {
    pb.Task.DESCRIPTOR.fields_by_name[path].number: (path, name, read)
    for path, (name, read) in _SPEC_FIELDS.items()
}


def _time(message: Any, field: str, check: Check) -> int | None:
    return check.time(field, getattr(message, field)) if message.HasField(field) else None


def _priority(task: pb.Task, check: Check) -> int:
    return check.number("priority", task.priority, 0, 100) if task.HasField("priority") else 50


def _span(message: Any, field: str, check: Check, unset_ms: int, low_ms: int, high_ms: int) -> int:
    """A Duration field, or what stands for an unset one."""
    if not message.HasField(field):
        return unset_ms
    return check.duration(field, getattr(message, field), low_ms, high_ms)


def requirements_in(message: pb.Task | tasks_pb2.WorkType, check: Check) -> dict[str, int]:
    """Required skills; a level of 0 stands for 1."""
    return _levels(check, "required_skills", message.required_skills)


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
