"""The referee: are the router's promises kept, by what all users of the load test saw together?

Facts may come in any order and late: the processes of a load test report every few seconds. So no rule leans on the
order of arrival. What a fact proves by itself is told at once; what could still be excused by a fact under way waits
until `settle` is asked about that time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import NamedTuple

from loadtests.facts import ENDING, Fact, Kind

CLOCK_STEP_S = 0.005
"""How exactly the store's stamps can be compared: it counts whole milliseconds, and so do the clocks between."""
MESSAGE_S = 8.0
"""How long a message to a desktop may be under way before its absence counts."""

ONE_FENCE = "a fence names one hand-over"
FENCES_GROW = "fences grow with every hand-over"
OLD_FENCE = "an old fence changes nothing"
ONE_HOLDER = "one holder at a time"
DONE_ONCE = "a task is done once"
DONE_IS_DONE = "a task that is done is not handed out"
BESIDE_A_CALL = "no task is handed to an agent on a call"
CAUSE = "no word is refused without a cause"
SKILLS = "an agent has the skills for the task"
CAPACITY = "an agent has one task at a time"
REVISIONS = "no message of a session is missing"
NOTHING_LOST = "no task is lost"
COUNTED = "the router counts each completion once"
SOMETHING = "there is something to judge"
CHECKS = (
    *(ONE_FENCE, FENCES_GROW, OLD_FENCE, ONE_HOLDER, DONE_ONCE, DONE_IS_DONE, BESIDE_A_CALL, CAUSE),
    *(SKILLS, CAPACITY, REVISIONS, NOTHING_LOST, COUNTED, SOMETHING),
)


class Violation(NamedTuple):
    """A promise that was broken, and how it showed."""

    check: str
    text: str


@dataclass(slots=True)
class HandOver:
    """One offer or pulled lease, as its agent saw it. Times in s."""

    fence: int
    agent: str
    shown_at: float
    begun_at: float
    pulled: bool
    words: list[Fact] = field(default_factory=list)
    told_at: float = inf

    def over_at(self) -> float:
        """When the agent ended it, was told or was refused; inf if none of it."""
        ends = (w.sent for w in self.words if not w.late and (w.word in ENDING or not w.ok))
        return min((self.told_at, *ends))


class Referee:
    """Takes facts, tells violations, each once."""

    def __init__(self) -> None:
        self.hand_overs = 0
        self._tasks: dict[str, dict[int, HandOver]] = {}
        self._early: dict[tuple[str, int], list[Fact]] = {}
        self._unsettled: list[tuple[str, HandOver]] = []
        self._absences: dict[str, dict[int, list[float]]] = {}
        self._left: dict[str, float] = {}
        self._told: set[tuple[str, str, int]] = set()

    def take(self, facts: Iterable[Fact]) -> list[Violation]:
        """Add what was seen; what it proves."""
        found: list[Violation] = []
        touched: dict[str, None] = {}
        for fact in facts:
            if fact.task:
                found += self._of_task(fact)
                touched[fact.task] = None
            elif fact.kind == Kind.LEFT:
                self._left[fact.agent] = fact.at
            else:
                absence = self._absences.setdefault(fact.agent, {}).setdefault(fact.fence, [inf, inf])
                absence[fact.kind == Kind.BACK] = fact.at
        for task in touched:
            found += self._judge(task)
        return found

    def settle(self, until: float = inf) -> list[Violation]:
        """Judge what happened before a time and could still have been excused by facts not yet there."""
        waiting, self._unsettled = self._unsettled, []
        found: list[Violation] = []
        for task, hand_over in waiting:
            if until < inf and self._over_at(task, hand_over) + MESSAGE_S > until:
                self._unsettled.append((task, hand_over))
                continue
            found += self._beside_a_call(task, hand_over)
            found += self._excused(task, hand_over)
        return found

    def _over_at(self, task: str, hand_over: HandOver) -> float:
        """When the hand-over was over for its agent or for the next one; inf while neither has shown."""
        return min([hand_over.over_at(), *(h.shown_at for h in self._later(task, hand_over))])

    def _later(self, task: str, hand_over: HandOver) -> list[HandOver]:
        return [h for fence, h in self._tasks[task].items() if fence > hand_over.fence]

    # What the facts say.

    def _of_task(self, fact: Fact) -> list[Violation]:
        known = self._tasks.setdefault(fact.task, {}).get(fact.fence)
        if fact.kind == Kind.SHOWN:
            return self._shown(fact, known)
        if known is None:
            self._early.setdefault((fact.task, fact.fence), []).append(fact)
        else:
            _add(known, fact)
        return []

    def _shown(self, fact: Fact, known: HandOver | None) -> list[Violation]:
        if known is not None:
            same = known.agent == fact.agent and abs(known.begun_at - fact.sent) <= CLOCK_STEP_S
            text = f"{known.agent} at {known.begun_at:.3f} and {fact.agent} at {fact.sent:.3f}"
            return [] if same else self._once(ONE_FENCE, fact.task, fact.fence, text)
        self.hand_overs += 1
        made = HandOver(fact.fence, fact.agent, fact.at, fact.sent, fact.word == "pull")
        for early in self._early.pop((fact.task, fact.fence), ()):
            _add(made, early)
        self._tasks[fact.task][fact.fence] = made
        self._unsettled.append((fact.task, made))
        return []

    # What they prove.

    def _judge(self, task: str) -> Iterator[Violation]:
        in_order = [self._tasks[task][fence] for fence in sorted(self._tasks[task])]
        for earlier, later in pairwise(in_order):
            if later.begun_at < earlier.begun_at - CLOCK_STEP_S:
                text = f"fence {earlier.fence} is younger"
                yield from self._once(FENCES_GROW, task, later.fence, text)
        done = [(h, w) for h in in_order for w in h.words if w.word == "complete" and w.ok]
        for _, word in done[1:]:
            yield from self._once(
                DONE_ONCE, task, word.fence, f"by {word.agent}, and under {done[0][1].fence}"
            )
        for hand_over in in_order:
            if done and hand_over.fence > done[0][1].fence:
                text = f"to {hand_over.agent}, done under {done[0][1].fence}"
                yield from self._once(DONE_IS_DONE, task, hand_over.fence, text)
            yield from self._old_words(task, hand_over, in_order)

    def _old_words(self, task: str, hand_over: HandOver, in_order: list[HandOver]) -> Iterator[Violation]:
        superseded_at = min((h.shown_at for h in in_order if h.fence > hand_over.fence), default=inf)
        for word in hand_over.words:
            if word.ok and (word.late or word.sent > superseded_at):
                text = f"{word.word} of {word.agent} was obeyed"
                yield from self._once(OLD_FENCE, task, word.fence, text)

    def _beside_a_call(self, task: str, hand_over: HandOver) -> list[Violation]:
        for away_at, back_at in self._absences.get(hand_over.agent, {}).values():
            if away_at + CLOCK_STEP_S < hand_over.begun_at < back_at - CLOCK_STEP_S:
                text = f"{hand_over.agent} was away for {hand_over.begun_at - away_at:.3f} s"
                return self._once(BESIDE_A_CALL, task, hand_over.fence, text)
        return []

    def _excused(self, task: str, hand_over: HandOver) -> Iterator[Violation]:
        """Whether a hand-over that was superseded or refused had come to an end that its agent knows of."""
        later = self._later(task, hand_over)
        gone = self._left.get(hand_over.agent, inf) < inf
        if later and not gone and hand_over.over_at() == inf:
            text = f"{hand_over.agent} was told nothing, then {later[0].agent} had it"
            yield from self._once(ONE_HOLDER, task, hand_over.fence, text)
        refused = [w for w in hand_over.words if not w.ok and not w.late]
        ended = any(w.ok and w.word in ENDING for w in hand_over.words)
        if refused and not (ended or later or gone or hand_over.pulled or hand_over.told_at < inf):
            text = f"{refused[0].word} of {hand_over.agent}"
            yield from self._once(CAUSE, task, hand_over.fence, text)

    def _once(self, check: str, task: str, fence: int, text: str) -> list[Violation]:
        if (check, task, fence) in self._told:
            return []
        self._told.add((check, task, fence))
        return [Violation(check, f"{task} fence {fence}: {text}")]


def _add(hand_over: HandOver, fact: Fact) -> None:
    if fact.kind == Kind.TOLD:
        hand_over.told_at = min(hand_over.told_at, fact.at)
    else:
        hand_over.words.append(fact)
