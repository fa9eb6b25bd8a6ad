"""Where a waiting task stands: its plan's current step, the front, or a resume queue; and when that changes."""

from __future__ import annotations

from router.domain.model import TaskState
from router.state import records
from router.state.memory.transition import Transition
from router.state.records import Record


def current_step(plan: list[tuple[int, str]], now: int) -> int:
    """The latest step whose time has come; the first one if none has."""
    index = 0
    while index + 1 < len(plan) and plan[index + 1][0] <= now:
        index += 1
    return index


def earliest(*times_ms: int) -> int:
    """The smallest time that is set (0: none is)."""
    return min((time for time in times_ms if time), default=0)


def place(tx: Transition, task: str, *, front: bool = False, resume_agent: str = "") -> None:
    """Let a task wait: at its plan's current step, in that step's front twin, or first for ``resume_agent``.

    The task is in no queue when this is called; the state is the caller's to set.
    """
    record = tx.touch(task)
    if resume_agent and record.get("rs"):
        record["rt"] = resume_agent
        record["ru"] = tx.now + record["rs"]
        qid = records.resume_queue(record["wt"], resume_agent, bool(record.get("iv")))
    else:
        front = front or bool(resume_agent)
        plan = records.decode_plan(record["pl"])
        base = plan[current_step(plan, tx.now)][1]
        qid = base + records.FRONT_MARK if front else base
    record["q"] = qid
    record["pf"] = int(records.is_derived(qid))
    tx.site.join_line(qid, record.get("o", 0), task)
    set_waiting_deadline(tx, task, record)
    tx.work(tx.site.queue_info(qid).anchor)


def set_waiting_deadline(tx: Transition, task: str, record: Record) -> None:
    """The next event of a QUEUED task: the end of its resume window or the next step, or its expiry."""
    if record.get("ru"):
        move = record["ru"]
    else:
        plan = records.decode_plan(record["pl"])
        index = current_step(plan, tx.now) + 1
        move = plan[index][0] if index < len(plan) else 0
    tx.site.set_deadline(task, record, earliest(move, record.get("xp", 0)))


def leave_queue(tx: Transition, task: str) -> None:
    """Take a QUEUED task out of its queue."""
    record = tx.touch(task)
    tx.site.leave_line(record["q"], record.get("o", 0), task)
    for name in ("q", "pf", "rt", "ru"):
        record.pop(name, None)
    tx.site.set_deadline(task, record, 0)


def step_targets_agent(tx: Transition, record: Record) -> bool:
    """Whether the plan's current step is meant for one agent."""
    plan = records.decode_plan(record["pl"])
    return bool(tx.site.queue_info(plan[current_step(plan, tx.now)][1]).agent)


def end(tx: Transition, task: str, name: str, target: TaskState, actor: str, reason: str, agent: str) -> None:
    """Bring a task, already out of its place, to an end."""
    record = tx.touch(task)
    was_dead = record["s"] == TaskState.DEAD_LETTER
    if was_dead:
        tx.site.ended.remove((record.get("ee", 0), task))
    tx.site.set_deadline(task, record, 0)
    tx.site.ended.add((tx.now, task))
    if target is not TaskState.DEAD_LETTER:
        tx.site.unrefer(record["pl"])
    record["ee"] = tx.now
    record["er"] = reason
    tx.arrow(task, name, target, actor, reason, agent)
