"""What a group's leader learns from the event stream: how long tasks take, and what a recall costs."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from router.domain.ports import Event
from router.policies.blending import Measures, PolicyDocument

_STARTS = frozenset({"accept", "pull", "resume"})
_STOPS = frozenset({"release", "force", "park", "lease_timeout", "cancel"})
_TASKS = 10_000
_REACTIONS = 1000


@dataclass(slots=True)
class _Work:
    started_ms: int = 0
    saved_ms: int = 0
    spent_ms: int = 0
    recalled: bool = False

    def stop(self, at_ms: int) -> None:
        if self.started_ms:
            self.spent_ms += max(0, at_ms - self.started_ms)
        self.started_ms = 0


@dataclass(slots=True)
class Meter:
    """Folds events into the measures of the control law. Tasks seen only in part teach nothing."""

    measures: Measures
    reactions_s: deque[float] = field(default_factory=lambda: deque(maxlen=_REACTIONS))
    _work: OrderedDict[str, _Work] = field(default_factory=OrderedDict)
    _recalled: dict[str, int] = field(default_factory=dict)

    @classmethod
    def start(cls, document: PolicyDocument) -> Meter:
        """Begin with what the policy document believes."""
        return cls(
            Measures.from_priors(
                document.prior_aht_s,
                document.prior_task_s,
                document.recall_reaction_initial_s,
                document.work_lost_initial_s,
                document.prior_weight,
                document.measure_half_life,
            )
        )

    @property
    def returning(self) -> dict[str, int]:
        """Agents asked to come back and not yet seen free: agent -> when asked (ms)."""
        return self._recalled

    def recall_sent(self, agent: str, at_ms: int) -> None:
        """A recall was committed for the agent."""
        self._recalled.setdefault(agent, at_ms)

    def recall_ended(self, agent: str, at_ms: int | None) -> None:
        """The agent is free for calls since ``at_ms`` (None: it will not be, as after a log-out)."""
        sent_ms = self._recalled.pop(agent, None)
        if sent_ms is not None and at_ms is not None:
            reaction = max(0, at_ms - sent_ms) / 1000
            self.reactions_s.append(reaction)
            self.measures = self.measures.recall_obeyed(reaction)

    def read(self, events: Iterable[Event]) -> None:
        """Learn from transitions in the order of their commits."""
        for event in events:
            self._one(event)

    def _one(self, event: Event) -> None:
        name, at_ms = event.transition.name, event.transition.at_ms
        if name in _STARTS:
            work = self._work.setdefault(event.task, _Work())
            work.started_ms, work.saved_ms, work.recalled = at_ms, at_ms, False
            self._bound()
        work_or_none = self._work.get(event.task)
        if work_or_none is None:
            return
        work = work_or_none
        if name == "checkpoint":
            work.saved_ms = at_ms
        elif name == "recall":
            work.recalled = True
        elif name in _STOPS:
            self._stopped(work, at_ms)
        elif name == "complete":
            work.stop(at_ms)
            self.measures = self.measures.task_worked(work.spent_ms / 1000)
            del self._work[event.task]

    def _stopped(self, work: _Work, at_ms: int) -> None:
        if work.recalled and work.started_ms:
            self.measures = self.measures.work_discarded(max(0, at_ms - work.saved_ms) / 1000)
        work.stop(at_ms)

    def _bound(self) -> None:
        while len(self._work) > _TASKS:
            self._work.popitem(last=False)
