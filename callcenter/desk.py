"""How an agent behaves at the desktop: takes offers, works, saves checkpoints, obeys recalls.

A state machine over simulated time without any I/O: the driver tells it what the router said (`offer`,
`start`, `rescind`, `recall`, `take_away`) and calls `step` when `due_at` has come; `step` answers with what
the agent does. Progress is in seconds of work done on the task, which is what a checkpoint carries.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from enum import StrEnum

from callcenter.distributions import Deterministic, Distribution, Lognormal, Uniform


@dataclass(frozen=True, slots=True)
class Habits:
    """How long an agent takes for what, in simulated seconds.

    `react_s` passes from an offer to its acceptance, `checkpoint_s` between two checkpoints, `wrap_up_s` from a recall
    to the return of the task. `settle_s` is what an agent needs to find the way into a task that was begun before; it
    is work lost. A recall costs `lost_on_recall_s` beside that: work done since the last checkpoint and the begin of
    the attempt, never more.
    """

    react_s: Distribution = Uniform(1.0, 3.0)
    checkpoint_s: Distribution = Uniform(20.0, 30.0)
    wrap_up_s: Distribution = Uniform(2.0, 6.0)
    settle_s: Distribution = Uniform(5.0, 15.0)
    lost_on_recall_s: float = 0.0


STANDARD = Habits(
    react_s=Deterministic(0.0),
    checkpoint_s=Deterministic(math.inf),
    wrap_up_s=Deterministic(10.0),
    settle_s=Deterministic(0.0),
    lost_on_recall_s=30.0,
)
"""What the control law's figures are measured with: the agent is back 10 s after a recall, which costs 30 s of work."""


def task_work_s(task: str, seed: int, mean_s: float = 300.0, cv: float = 0.75) -> float:
    """Return the seconds of work in a task: the same for every agent and run with this seed."""
    return Lognormal(mean_s, cv).draw(random.Random(f"{seed}/{task}"))


class DeskState(StrEnum):
    """What an agent does at the desktop."""

    FREE = "FREE"
    DECIDING = "DECIDING"
    WORKING = "WORKING"
    WRAPPING_UP = "WRAPPING_UP"


class ActionKind(StrEnum):
    """What the agent tells the router. RETURN gives a recalled task back with a last checkpoint."""

    ACCEPT = "ACCEPT"
    CHECKPOINT = "CHECKPOINT"
    COMPLETE = "COMPLETE"
    RETURN = "RETURN"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that the agent did, at simulated time `at`, with `done_s` seconds of work in the task.

    `reaction_s` is the time since the recall, for what ends a recalled task.
    """

    kind: ActionKind
    at: float
    task: str
    done_s: float
    reaction_s: float | None = None


@dataclass(slots=True)
class Ledger:
    """Seconds at the desk over the day: spent on tasks, and kept as progress that outlived the attempt."""

    spent_s: float = 0.0
    kept_s: float = 0.0

    @property
    def lost_s(self) -> float:
        """Return the seconds that brought no progress."""
        return self.spent_s - self.kept_s


@dataclass(slots=True)
class _Work:
    task: str
    total_s: float
    begun_with_s: float
    begun_at: float = 0.0
    works_from: float = 0.0
    saved_s: float = 0.0

    def done_by(self, now: float) -> float:
        return min(self.total_s, self.begun_with_s + max(0.0, now - self.works_from))

    @property
    def ends_at(self) -> float:
        return self.works_from + self.total_s - self.begun_with_s


class Desk:
    """One agent's desktop, with one task at a time."""

    def __init__(self, agent: str, rng: random.Random, habits: Habits | None = None) -> None:
        """Give the agent its own source of chance, so that agents do not disturb one another's draws."""
        self.agent = agent
        self.state = DeskState.FREE
        self.ledger = Ledger()
        self._rng = rng
        self._habits = habits or Habits()
        self._work: _Work | None = None
        self._acts_at = 0.0
        self._recalled_at: float | None = None

    @property
    def task(self) -> str | None:
        """Return the task on the desktop, offered or worked on."""
        return self._work.task if self._work else None

    def due_at(self) -> float | None:
        """Return when the agent acts next, or None while the desk is free."""
        if self._work is None:
            return None
        if self.state is DeskState.WORKING:
            return min(self._acts_at, self._work.ends_at)
        return self._acts_at

    def offer(self, now: float, task: str, total_s: float, done_s: float = 0.0) -> bool:
        """Show an offer; the agent accepts after a moment. False when the desk is taken."""
        if self._work is not None:
            return False
        self._work = _Work(task, total_s, done_s, saved_s=done_s)
        self.state = DeskState.DECIDING
        self._acts_at = now + self._draw(self._habits.react_s)
        return True

    def start(self, now: float, task: str, total_s: float, done_s: float = 0.0) -> bool:
        """Begin a task that is already leased to the agent (pulled or auto-accepted). False when taken."""
        if not self.offer(now, task, total_s, done_s) or self._work is None:
            return False
        self._begin(self._work, now)
        return True

    def rescind(self, task: str) -> bool:
        """Take an offer off the desktop. False when it is gone or was accepted meanwhile."""
        if self.task != task or self.state is not DeskState.DECIDING:
            return False
        self._clear()
        return True

    def recall(self, now: float, task: str) -> bool:
        """Ask the agent back: work stops, the task is wrapped up. False when it is not being worked on."""
        if self.task != task or self.state is not DeskState.WORKING or self._work is None:
            return False
        self.state = DeskState.WRAPPING_UP
        self._recalled_at = now
        self._acts_at = now + self._draw(self._habits.wrap_up_s)
        return True

    def take_away(self, now: float, task: str) -> bool:
        """End the attempt at once (forced, canceled, reassigned): what was not saved is lost."""
        if self.task != task or self._work is None:
            return False
        if self.state is not DeskState.DECIDING:
            self._book(self._work, now, self._work.saved_s)
        self._clear()
        return True

    def not_kept(self, seconds: float) -> None:
        """Take back progress that was booked but that the router did not take."""
        self.ledger.kept_s -= seconds

    def step(self, now: float) -> list[Action]:
        """Do all that is due up to `now`, each at its own time."""
        actions: list[Action] = []
        while self._work is not None and (due := self.due_at()) is not None and due <= now:
            actions.append(self._act(self._work, due))
        return actions

    def _act(self, work: _Work, at: float) -> Action:
        if self.state is DeskState.DECIDING:
            self._begin(work, at)
            return Action(ActionKind.ACCEPT, at, work.task, work.begun_with_s)
        if work.ends_at <= at:
            return self._end(work, ActionKind.COMPLETE, at, work.total_s)
        if self._recalled_at is not None:
            # No work is done while it is wrapped up: the task stands as it stood at the recall.
            done_s = work.done_by(self._recalled_at) - self._habits.lost_on_recall_s
            return self._end(work, ActionKind.RETURN, at, max(work.saved_s, done_s))
        return self._save(work, at)

    def _begin(self, work: _Work, at: float) -> None:
        settle = self._draw(self._habits.settle_s) if work.begun_with_s > 0 else 0.0
        work.begun_at = at
        work.works_from = at + settle
        self.state = DeskState.WORKING
        self._acts_at = at + self._draw(self._habits.checkpoint_s)

    def _save(self, work: _Work, at: float) -> Action:
        work.saved_s = work.done_by(at)
        self._acts_at = at + self._draw(self._habits.checkpoint_s)
        return Action(ActionKind.CHECKPOINT, at, work.task, work.saved_s)

    def _end(self, work: _Work, kind: ActionKind, at: float, done_s: float) -> Action:
        reaction = None if self._recalled_at is None else at - self._recalled_at
        self._book(work, at, done_s)
        self._clear()
        return Action(kind, at, work.task, done_s, reaction)

    def _book(self, work: _Work, at: float, kept_until_s: float) -> None:
        self.ledger.spent_s += at - work.begun_at
        self.ledger.kept_s += kept_until_s - work.begun_with_s

    def _clear(self) -> None:
        self._work = None
        self._recalled_at = None
        self.state = DeskState.FREE

    def _draw(self, time: Distribution) -> float:
        return time.draw(self._rng)
