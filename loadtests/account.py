"""The final account: what the router counts against what the users counted.

A request whose answer the end of the load cut off may have been done or not, so the router's count may lie between
what was acknowledged and what was sent. Its own counts must agree with each other exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from loadtests.checks import COUNTED, NOTHING_LOST, SOMETHING, Violation
from router.v1 import supervision_pb2

SUBMITS_SENT, SUBMITS_ACKNOWLEDGED = "submits sent", "submits acknowledged"
HAND_OVERS = "hand-overs judged"
COMPLETIONS_SENT, COMPLETIONS_ACKNOWLEDGED = "completions sent", "completions acknowledged"


def account(
    figures: supervision_pb2.Figures, before: supervision_pb2.Counters, counted: Mapping[str, int]
) -> Iterator[Violation]:
    """What does not add up, since the totals were as ``before``."""
    if not counted.get(HAND_OVERS):
        yield Violation(SOMETHING, "nobody was handed a task")
    there = sum(state.tasks for kind in figures.work_types for state in kind.states)
    totals = figures.counters
    if there != totals.submitted:
        yield Violation(NOTHING_LOST, f"{totals.submitted} were submitted, {there} are there")
    submitted, completed = totals.submitted - before.submitted, totals.completed - before.completed
    yield from _between(NOTHING_LOST, submitted, counted, SUBMITS_ACKNOWLEDGED, SUBMITS_SENT)
    yield from _between(COUNTED, completed, counted, COMPLETIONS_ACKNOWLEDGED, COMPLETIONS_SENT)


def _between(
    check: str, router: int, counted: Mapping[str, int], acknowledged: str, sent: str
) -> Iterator[Violation]:
    least, most = counted.get(acknowledged, 0), counted.get(sent, 0)
    if not least <= router <= most:
        yield Violation(check, f"{least} were acknowledged and {most} sent, the router counts {router}")
