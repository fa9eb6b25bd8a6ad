"""Tasks come in, are changed by their submitters, come to their time, and are forgotten."""

from __future__ import annotations

from collections.abc import Sequence

from router.domain.errors import (
    AlreadyExists,
    EtagMismatch,
    InvalidInput,
    ResourceExhausted,
    RouterError,
    WrongState,
)
from router.domain.model import ENDED_STATES, HELD_STATES, TaskState
from router.domain.ports import Change, NewTask, Submitted, TaskUpdate
from router.state import records
from router.state.memory import placing
from router.state.memory.holding import give_back, hint_for
from router.state.memory.transition import Transition
from router.state.records import Record

MOST_AT_ONCE = 100


def submit(tx: Transition, tasks: Sequence[NewTask], max_tasks: int) -> list[Submitted | Exception]:
    """Store the tasks in order; each gets its own answer."""
    if len(tasks) > MOST_AT_ONCE:
        raise InvalidInput([("tasks", f"at most {MOST_AT_ONCE} in one call")])
    outcomes: list[tuple[str, bool] | Exception] = []
    for new in tasks:
        try:
            outcomes.append(_submit_one(tx, new, max_tasks))
        except RouterError as error:
            outcomes.append(error)
    tx.commit()
    return [
        outcome if isinstance(outcome, Exception) else Submitted(tx.site.task_value(outcome[0]), outcome[1])
        for outcome in outcomes
    ]


def _submit_one(tx: Transition, new: NewTask, max_tasks: int) -> tuple[str, bool]:
    site = tx.site
    earlier = _earlier(tx, new)
    if earlier:
        return earlier, False
    if new.id in site.tasks:
        raise AlreadyExists(f"task {new.id} exists already: give another id")
    if len(site.tasks) >= max_tasks:
        raise ResourceExhausted(f"the site holds {max_tasks} tasks already", "SITE_FULL")
    site.meta.setdefault("schema", records.VERSION)
    record = site.tasks[new.id] = records.new_task_record(new)
    record.update(c=tx.now, rev=0)
    site.specs[new.id] = new.spec
    site.refer(record["pl"], records.plan_queues(new.plan))
    _remember_names(tx, new)
    if record.get("sc", 0) > tx.now:
        set_schedule(tx, new.id)
        tx.arrow(new.id, "submit", TaskState.SCHEDULED, f"submitter:{new.submitter}")
    else:
        placing.place(tx, new.id)
        tx.arrow(new.id, "submit", TaskState.QUEUED, f"submitter:{new.submitter}")
    return new.id, True


def _earlier(tx: Transition, new: NewTask) -> str:
    """The task that this request id or reference made before; AlreadyExists if it was another one."""
    site = tx.site
    named = (
        (site.requests, new.request_id, "REQUEST_ID_REUSED", "request id {} was used for another request"),
        (site.refs, new.spec.reference, "REFERENCE_TAKEN", "reference {} names another task"),
    )
    for known, name, reason, message in named:
        task = known.get(f"{new.submitter}|{name}") if name else None
        if task is None:
            continue
        if site.tasks[task].get("fp", "") != new.fingerprint:
            raise AlreadyExists(message.format(name), reason)
        return task
    return ""


def _remember_names(tx: Transition, new: NewTask) -> None:
    for known, name in ((tx.site.requests, new.request_id), (tx.site.refs, new.spec.reference)):
        if name:
            known[f"{new.submitter}|{name}"] = new.id


def set_schedule(tx: Transition, task: str) -> None:
    """Let a SCHEDULED task fall due at its time, or at its expiry."""
    record = tx.touch(task)
    tx.site.set_deadline(task, record, placing.earliest(record.get("sc") or tx.now, record.get("xp", 0)))


def update(tx: Transition, task: str, change: TaskUpdate, actor: str) -> Change:
    """Change spec and plan; a waiting task moves, a held one only if it is to be taken back."""
    record = tx.site.record_of(task)
    if change.revision is not None and change.revision != record["rev"]:
        raise EtagMismatch(f"task {task} is at revision {record['rev']}, not {change.revision}")
    state = TaskState(record["s"])
    if state in ENDED_STATES:
        raise WrongState(f"task {task} is {state}; an ended task does not change")
    holds = state in HELD_STATES or state is TaskState.PARKED
    moves = state is TaskState.QUEUED and change.plan is not None
    front = bool(record.get("pf"))
    holder = record.get("ag", "")
    if moves:
        placing.leave_queue(tx, task)
    _write(tx, task, record, change)
    if holds and change.take_back:
        give_back(tx, task, "TAKEN_BACK", hint=hint_for(record))
        moves = front = True
    if moves:
        placing.place(tx, task, front=front and not placing.step_targets_agent(tx, record))
        state = TaskState.QUEUED
    elif state is TaskState.QUEUED:
        placing.set_waiting_deadline(tx, task, record)
    elif state is TaskState.SCHEDULED:
        set_schedule(tx, task)
    usual = "TAKEN_BACK" if holds and change.take_back else ""
    tx.arrow(task, "update", state, actor, change.reason or usual, holder)
    return tx.change(task)


def _write(tx: Transition, task: str, record: Record, change: TaskUpdate) -> None:
    tx.touch(task)
    if change.spec is not None:
        _write_spec(tx, task, record, change)
    if change.plan is not None:
        before = record["pl"]
        fields = records.plan_fields(change.plan)
        tx.site.refer(fields["pl"], records.plan_queues(change.plan))
        tx.site.unrefer(before)
        record.update(fields)


def _write_spec(tx: Transition, task: str, record: Record, change: TaskUpdate) -> None:
    assert change.spec is not None
    site, waits = tx.site, record["s"] == TaskState.QUEUED
    if waits:
        site.count(f"p|{record.get('p', 0)}", -1)
    record.update(records.spec_fields(change.spec))
    if waits:
        site.count(f"p|{record['p']}", 1)
    site.specs[task] = change.spec


def purge(tx: Transition, before_ms: int, limit: int) -> int:
    """Forget tasks that ended before ``before_ms``, earliest first."""
    limit = max(0, min(limit, MOST_AT_ONCE))
    site = tx.site
    old = [task for end_ms, task in list(site.ended.islice(0, limit)) if end_ms < before_ms]
    for task in old:
        _forget(tx, task)
    tx.commit()
    return len(old)


def _forget(tx: Transition, task: str) -> None:
    site = tx.site
    record = site.tasks.pop(task)
    site.ended.remove((record.get("ee", 0), task))
    site.count(f"{record['wt']}|{record['s']}", -1)
    if record["s"] == TaskState.DEAD_LETTER:
        site.unrefer(record["pl"])
    for known, field in ((site.requests, "rq"), (site.refs, "ref")):
        if field in record:
            del known[f"{record.get('sub', '')}|{record[field]}"]
    del site.specs[task]
    site.task_values.pop(task, None)
    site.checkpoints.pop(task, None)
    site.results.pop(task, None)
    site.history.pop(task, None)
