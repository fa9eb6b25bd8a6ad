"""The final account: every task is there, and nothing is counted that nobody did."""

from __future__ import annotations

import pytest

from loadtests.account import (
    COMPLETIONS_ACKNOWLEDGED,
    COMPLETIONS_SENT,
    HAND_OVERS,
    SUBMITS_ACKNOWLEDGED,
    SUBMITS_SENT,
    account,
)
from loadtests.checks import COUNTED, NOTHING_LOST, SOMETHING
from router.v1 import common_pb2
from router.v1.supervision_pb2 import Counters, Figures, TaskStateFigures, WorkTypeFigures

BEFORE = Counters(submitted=100, completed=30)
COUNTED_BY_USERS = {
    HAND_OVERS: 8,
    SUBMITS_SENT: 12,
    SUBMITS_ACKNOWLEDGED: 10,
    COMPLETIONS_SENT: 6,
    COMPLETIONS_ACKNOWLEDGED: 5,
}


def figures(queued: int, done: int, submitted: int, completed: int) -> Figures:
    """What the router says at the end."""
    states = [
        TaskStateFigures(state=common_pb2.TASK_STATE_QUEUED, tasks=queued),
        TaskStateFigures(state=common_pb2.TASK_STATE_COMPLETED, tasks=done),
    ]
    counters = Counters(submitted=submitted, completed=completed)
    return Figures(work_types=[WorkTypeFigures(states=states)], counters=counters)


@pytest.mark.parametrize(
    ("now", "broken"),
    [
        pytest.param(figures(75, 35, 110, 35), [], id="only what was acknowledged"),
        pytest.param(figures(76, 36, 112, 36), [], id="all that was sent"),
        pytest.param(figures(74, 35, 110, 35), [NOTHING_LOST], id="one is in no state"),
        pytest.param(figures(74, 35, 109, 35), [NOTHING_LOST], id="an acknowledged one is missing"),
        pytest.param(figures(78, 35, 113, 35), [NOTHING_LOST], id="one too many"),
        pytest.param(figures(76, 34, 110, 34), [COUNTED], id="an acknowledged completion is missing"),
        pytest.param(figures(73, 37, 110, 37), [COUNTED], id="a completion that nobody sent"),
    ],
)
def test_what_does_not_add_up(now: Figures, broken: list[str]) -> None:
    assert [violation.check for violation in account(now, BEFORE, COUNTED_BY_USERS)] == broken


def test_a_load_test_in_which_nobody_got_a_task_proves_nothing() -> None:
    counted = COUNTED_BY_USERS | {HAND_OVERS: 0}
    assert [violation.check for violation in account(figures(75, 35, 110, 35), BEFORE, counted)] == [
        SOMETHING
    ]
