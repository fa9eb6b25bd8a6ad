"""What a task's time brings: schedule, relax, offer timeout, lease timeout, force, unpark or expire."""

from __future__ import annotations

from collections.abc import Callable

from router.domain.model import Task, TaskState
from router.state.memory import placing
from router.state.memory.holding import exclude, give_back, requeue, take_away, take_out
from router.state.memory.transition import Transition

S = TaskState
ROUTER = "router"
_CAN_EXPIRE = frozenset({S.SCHEDULED, S.QUEUED, S.PARKED})


def advance(tx: Transition, task: str) -> Task | None:
    """Do what is due for the task; None when nothing is (any more)."""
    record = tx.site.tasks.get(task)
    if record is None or not record.get("dl") or record["dl"] > tx.now:
        return None
    state = TaskState(record["s"])
    expiry = record.get("xp", 0)
    if state in _CAN_EXPIRE and expiry and expiry <= tx.now:
        _expire(tx, task)
    else:
        _STEPS[state](tx, task)
    return tx.task(task)


def _expire(tx: Transition, task: str) -> None:
    agent = tx.touch(task).get("ag", "")
    take_out(tx, task, "EXPIRED")
    placing.end(tx, task, "expire", S.EXPIRED, ROUTER, "EXPIRED", agent)


def _schedule(tx: Transition, task: str) -> None:
    tx.site.set_deadline(task, tx.touch(task), 0)
    placing.place(tx, task)
    tx.arrow(task, "schedule", S.QUEUED, ROUTER, "SCHEDULED")


def _relax(tx: Transition, task: str) -> None:
    record = tx.touch(task)
    front = bool(record.get("pf"))
    reason = "RESUME_OVER" if record.get("ru") else "RELAXED"
    placing.leave_queue(tx, task)
    placing.place(tx, task, front=front)
    tx.arrow(task, "relax", S.QUEUED, ROUTER, reason)


def _time_out_offer(tx: Transition, task: str) -> None:
    exclude(tx, task, tx.touch(task)["ag"])
    requeue(tx, task, "offer_timeout", ROUTER, "OFFER_TIMEOUT", hint="rescind")


def _time_out_lease(tx: Transition, task: str) -> None:
    record = tx.touch(task)
    record["at"] = record.get("at", 0) + 1
    if record["at"] < record.get("ma", 0):
        requeue(tx, task, "lease_timeout", ROUTER, "LEASE_TIMEOUT", hint="revoke", front=False)
        return
    agent = give_back(tx, task, "LEASE_TIMEOUT", hint="revoke")
    placing.end(tx, task, "lease_timeout", S.DEAD_LETTER, ROUTER, "LEASE_TIMEOUT", agent)
    tx.total("dead")


def _force(tx: Transition, task: str) -> None:
    take_away(tx, task, "NOTICE_OVER", ROUTER)


def _unpark(tx: Transition, task: str) -> None:
    requeue(tx, task, "unpark", ROUTER, "PARK_OVER", hint="revoke", resume=True)


_STEPS: dict[TaskState, Callable[[Transition, str], None]] = {
    S.SCHEDULED: _schedule,
    S.QUEUED: _relax,
    S.OFFERED: _time_out_offer,
    S.ACTIVE: _time_out_lease,
    S.RECALLING: _force,
    S.PARKED: _unpark,
}
