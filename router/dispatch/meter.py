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


@dataclass(frozen=True, slots=True)
class Recalled:
    """A recall under way."""

    task: str
    sent_ms: int


@dataclass(slots=True)
class _Work:
    """Work on one task: the attempt that runs or ran last, and the time of all attempts."""

    begun_ms: int = 0
    stopped_ms: int = 0
    spent_ms: int = 0
    running: bool = False

    def begin(self, at_ms: int) -> None:
        self.begun_ms, self.running = at_ms, True

    def stop(self, at_ms: int) -> None:
        if self.running:
            self.spent_ms += max(0, at_ms - self.begun_ms)
            self.stopped_ms = at_ms
        self.running = False


@dataclass(slots=True)
class Meter:
    """Folds events into the measures of the control law. Tasks seen only in part teach nothing."""

    measures: Measures
    slowest_s: float
    """Slower reactions count as this: past twice the answer target a recall is useless, and one stray value must not
    keep the law from ever recalling, and so learning, again."""
    reactions_s: deque[float] = field(default_factory=lambda: deque(maxlen=_REACTIONS))
    _work: OrderedDict[str, _Work] = field(default_factory=OrderedDict)
    _recalled: dict[str, Recalled] = field(default_factory=dict)

    @classmethod
    def start(cls, document: PolicyDocument) -> Meter:
        """Begin with what the policy document believes."""
        return cls(
            Measures.from_priors(
                document.prior_task_s,
                document.recall_reaction_initial_s,
                document.work_lost_initial_s,
                document.prior_weight,
                document.measure_half_life,
            ),
            2 * document.target_s,
        )

    @property
    def returning(self) -> dict[str, Recalled]:
        """Agents asked to come back and not yet seen free."""
        return self._recalled

    def recall_sent(self, agent: str, task: str, at_ms: int) -> None:
        """A recall was committed for the agent and its task."""
        self._recalled.setdefault(agent, Recalled(task, at_ms))

    def recall_ended(self, agent: str, at_ms: int | None, saved_ms: int = 0) -> None:
        """The agent is free for calls since ``at_ms`` (None: it will not be, as after a log-out).

        ``saved_ms``: when its task's last checkpoint was made; work between then and the hand-back is lost.
        """
        recalled = self._recalled.pop(agent, None)
        if recalled is None or at_ms is None:
            return
        reaction = max(0, at_ms - recalled.sent_ms) / 1000
        self.reactions_s.append(reaction)
        self.measures = self.measures.recall_obeyed(min(reaction, self.slowest_s))
        if (work := self._work.get(recalled.task)) and work.stopped_ms >= recalled.sent_ms:
            lost = max(0, work.stopped_ms - max(saved_ms, work.begun_ms)) / 1000
            self.measures = self.measures.work_discarded(lost)

    def read(self, events: Iterable[Event]) -> None:
        """Learn from transitions in the order of their commits."""
        for event in events:
            self._one(event)

    def _one(self, event: Event) -> None:
        name, at_ms = event.transition.name, event.transition.at_ms
        if name in _STARTS:
            self._work.setdefault(event.task, _Work()).begin(at_ms)
            self._bound()
        elif work := self._work.get(event.task):
            if name in _STOPS:
                work.stop(at_ms)
            elif name == "complete":
                work.stop(at_ms)
                self.measures = self.measures.task_worked(work.spent_ms / 1000)
                del self._work[event.task]

    def _bound(self) -> None:
        while len(self._work) > _TASKS:
            self._work.popitem(last=False)
