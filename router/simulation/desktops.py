"""Simulated agents at their desktops: they take offers, work, obey recalls and hand back, through the use cases."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from functools import partial

from callcenter.desk import Action, ActionKind, Desk, DeskState, Habits
from callcenter.distributions import Deterministic
from router.dispatch.caller import AGENT, Caller
from router.domain.errors import RouterError
from router.domain.model import Task
from router.domain.ports import Hint
from router.simulation.backlog import Backlog
from router.simulation.scenario import Desktops
from router.simulation.site import SITE, SimulatedSite
from router.simulation.timeline import Timeline, run_now

_NEVER_S = 1e9
BY_CALL = "CALL_ARRIVED"
"""Why the router recalls a task when a call reaches its agent."""


@dataclass(slots=True)
class Tally:
    """What happened at the desktops of one group. Work in seconds."""

    offers: int = 0
    starts: int = 0
    rescinded: int = 0
    recalls: int = 0
    interruptions: int = 0
    """Recalls because a call reached the agent; the others are the policy's."""
    forced: int = 0
    refused: int = 0
    done: int = 0
    late: int = 0
    resumed_here: int = 0
    """Recalled tasks that went on with the agent they were taken from."""
    reactions_s: list[float] = field(default_factory=list)
    """From the recall until the ACD could give the agent a call again."""


class Desktop:
    """One agent's desktop."""

    def __init__(
        self,
        agent: str,
        seed: int,
        habits: Habits,
        site: SimulatedSite,
        timeline: Timeline,
        backlog: Backlog,
        tally: Tally,
    ) -> None:
        self.desk = Desk(agent, random.Random(f"{seed}/desk/{agent}"), habits)
        self.recalled_s, self._awaited = -math.inf, False
        self._lost_s = habits.lost_on_recall_s
        self._caller = Caller(SITE, AGENT, agent)
        self._site = site
        self._timeline = timeline
        self._backlog = backlog
        self._tally = tally
        self._task: Task | None = None
        self._wakes_s = math.inf
        self._last_held = ""

    @property
    def busy(self) -> bool:
        """Whether something is on the desk."""
        return self.desk.state is not DeskState.FREE

    # -- the router says -------------------------------------------------------------------------------
    def told(self, hint: Hint) -> None:
        """Take note of a message of the router; whatever follows happens after the event it came with."""
        task, now_s = hint.task, self._site.clock.now_s
        if task is None:
            return
        if hint.kind == "offer":
            self._offered(task, now_s)
        elif hint.kind == "rescind":
            self._tally.rescinded += self.desk.rescind(task.id)
        elif hint.kind == "recall":
            self._recalled(task, hint.reason, now_s)
        elif self.desk.take_away(now_s, task.id):
            self._tally.forced += 1
        self._plan()

    def _offered(self, task: Task, now_s: float) -> None:
        self._tally.offers += 1
        self._task = task
        done_s = float(task.checkpoint.data) if task.checkpoint else 0.0
        self.desk.offer(now_s, task.id, self._backlog.items[task.id].work_s, done_s)

    def _recalled(self, task: Task, reason: str, now_s: float) -> None:
        if self.desk.recall(now_s, task.id):
            self.recalled_s, self._awaited = now_s, True
            if reason == BY_CALL:
                self._tally.interruptions += 1
            else:
                self._tally.recalls += 1

    def back(self) -> None:
        """The ACD has put the agent back into the call distribution."""
        if self._awaited:
            self._awaited = False
            self._tally.reactions_s.append(self._site.clock.now_s - self.recalled_s)

    def stop(self) -> None:
        """Hand back what is on the desk; nobody is told."""
        if self.desk.task is not None:
            self.desk.recall(self._site.clock.now_s, self.desk.task)
        if self.desk.state is DeskState.WRAPPING_UP:
            self.desk.step(math.inf)

    # -- the agent acts --------------------------------------------------------------------------------
    def _plan(self) -> None:
        due_s = self.desk.due_at()
        if due_s is not None and due_s != self._wakes_s:
            self._wakes_s = due_s
            self._timeline.at(due_s, partial(self._wake, due_s))

    def _wake(self, due_s: float) -> None:
        if due_s != self._wakes_s:
            return  # Planned before something else happened.
        self._wakes_s = math.inf
        for action in self.desk.step(due_s):
            self._do(action)
        self._plan()

    def _do(self, action: Action) -> None:
        task = self._task
        if task is None or task.id != action.task:
            return
        begun_with_s = float(task.checkpoint.data) if task.checkpoint else 0.0
        try:
            self._say(action, task, begun_with_s)
        except RouterError:
            self._tally.refused += 1
            if action.kind in (ActionKind.COMPLETE, ActionKind.RETURN):
                self.desk.not_kept(action.done_s - begun_with_s)

    def _say(self, action: Action, task: Task, begun_with_s: float) -> None:
        agents, fence = self._site.agents, task.fence
        if action.kind is ActionKind.ACCEPT:
            run_now(agents.accept(self._caller, task.id, fence))
            self._tally.starts += 1
            self._tally.resumed_here += task.id == self._last_held
            self._last_held = task.id
            self._backlog.begun(task.id)
        elif action.kind is ActionKind.CHECKPOINT:
            run_now(agents.checkpoint(self._caller, task.id, fence, _progress(action.done_s)))
        elif action.kind is ActionKind.RETURN:
            self._save_what_is_left(action, task, begun_with_s)
            run_now(agents.release(self._caller, task.id, fence, "recalled", None))
        else:
            run_now(agents.complete(self._caller, task.id, fence, b"", "done"))
            self._complete(task.id, action.at)

    def _save_what_is_left(self, action: Action, task: Task, begun_with_s: float) -> None:
        """The desktop had saved its progress ``lost_s`` before; that is told now, since only now does it matter.

        So the router measures the work that was lost by the times of save and hand-back, as in production.
        """
        if action.done_s > begun_with_s and self._lost_s < _NEVER_S:
            saved_ms = self._site.clock.ms(action.at - self._lost_s)
            agent, data = self._caller.id, _progress(action.done_s)
            run_now(self._site.store.checkpoint(SITE, task.id, agent, task.fence, data, saved_ms))

    def _complete(self, task: str, at_s: float) -> None:
        self._backlog.done(task, at_s)
        self._tally.done += 1
        self._tally.late += at_s > self._backlog.items[task].due_s


def habits_of(desktops: Desktops) -> Habits:
    """The habits of the model's desk that a scenario asks for."""
    saves_s = desktops.autosave_s or _NEVER_S
    return Habits(
        react_s=desktops.accept_s,
        checkpoint_s=Deterministic(saves_s),
        wrap_up_s=desktops.hand_back_s,
        settle_s=desktops.settle_s,
        # What was saved is safe, all since then is lost: more than was ever done.
        lost_on_recall_s=_NEVER_S if desktops.autosave_s else desktops.lost_s,
    )


def _progress(done_s: float) -> bytes:
    """Seconds of work as a checkpoint carries them; ``repr`` keeps every bit."""
    return repr(done_s).encode()
