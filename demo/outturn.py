"""After the day: the demo's own ledger is held against what the router says, task by task."""

from __future__ import annotations

from collections import Counter

from clients import short
from demo.acd import GROUP
from demo.figures import Baseline, arrived_between, service_level
from demo.performance import Performance
from demo.prediction import Predicted
from demo.summary import Outturn, Promise
from router.v1 import common_pb2, supervision_pb2

_HELD = {"ACTIVE", "RECALLING", "PARKED"}
_WAITING = {"SCHEDULED", "QUEUED", "OFFERED"}


async def reconcile(played: Performance, without: Baseline, predicted: Predicted | str = "") -> Outturn:
    """Ask the router for every task of the day and compare. Raises ApiError."""
    found = [(short(task.name), _word(task)) async for task in played.tasks()]
    figures = await played.supervisor.figures([GROUP])
    counted = Counter(word for _, word in found)
    book = played.book
    played.acd.finish()
    calls = arrived_between(played.acd.center, played.since, played.until)
    ledgers = [desktop.desk.ledger for desktop in played.desktops]
    return Outturn(
        service_level=service_level(calls, played.day.options.tau_s) or 0.0,
        service_level_without=without.service_level,
        target=played.day.options.target,
        abandoned=sum(call.abandoned_at is not None for call in calls),
        abandoned_without=without.abandoned,
        spare_hours=without.spare_hours,
        spent_work_s=sum(ledger.spent_s for ledger in ledgers),
        kept_work_s=sum(ledger.kept_s for ledger in ledgers),
        submitted=len(played.submitted),
        queued=sum(counted[word] for word in _WAITING),
        held=sum(counted[word] for word in _HELD),
        done_ids=[task for task, _ in book.completions if task in played.backlog.by_id],
        offers=book.offers,
        rescinded=book.rescinded,
        recalls=len(book.recalls),
        forced=book.revoked["NOTICE_OVER"],
        reactions_s=book.reactions_s,
        late_effects=book.late_effects,
        pushes_while_closed=book.late_offers,
        beside_a_call=len(book.beside_a_call),
        lags_s=book.lags_s,
        acknowledged_s=book.acknowledged_s,
        further=_further(played, found, figures.counters),
        predicted=predicted,
    )


def _word(task: common_pb2.Task) -> str:
    return common_pb2.TaskState.Name(task.state).removeprefix("TASK_STATE_")


def _further(
    played: Performance, found: list[tuple[str, str]], counters: supervision_pb2.Counters
) -> list[Promise]:
    book = played.book
    return [
        _in_one_state(played, found),
        _acknowledged_once(played, found, counters),
        Promise(
            "an offer is shown only to an agent who is off the calls",
            not book.unreserved,
            f"{len(book.unreserved)} of {book.offers} offers otherwise"
            + _examples(list(book.unreserved.values())),
        ),
        Promise(
            "every agent is back at the calls",
            not book.problems,
            "no trouble" if not book.problems else "; ".join(f"{n} x {p}" for p, n in book.problems.items()),
        ),
    ]


def _in_one_state(played: Performance, found: list[tuple[str, str]]) -> Promise:
    ids = [task for task, _ in found]
    states = Counter(word for _, word in found)
    shown = ", ".join(f"{count} {word.lower()}" for word, count in sorted(states.items()))
    same = len(ids) == len(set(ids)) and set(ids) == set(played.submitted)
    return Promise("every task is in exactly one state", same, f"{len(ids)} tasks at the router: {shown}")


def _acknowledged_once(
    played: Performance, found: list[tuple[str, str]], counters: supervision_pb2.Counters
) -> Promise:
    """The desks' acknowledged completions, the router's completed tasks and its counter are the same."""
    book = played.book
    completed = {task for task, word in found if word == "COMPLETED"}
    acknowledged = Counter(task for task, _ in book.completions)
    unsure = completed & set(book.unsure)
    counter = counters.completed - played.counters_before.completed
    ours = {task for task in acknowledged if task in played.backlog.by_id}
    kept = (
        all(count == 1 for count in acknowledged.values())
        and ours | unsure == completed
        and counter == len(acknowledged) + len(unsure - ours)
    )
    shown = (
        f"{len(acknowledged)} at the desks, {len(completed)} of the day's at the router, counter {counter}"
    )
    return Promise("every completion is acknowledged exactly once", kept, shown)


def _examples(texts: list[str]) -> str:
    return f" ({', '.join(texts[:3])})" if texts else ""
