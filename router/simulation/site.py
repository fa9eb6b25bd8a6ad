"""One site of the real router on virtual time: the store in memory, the use cases and a controller for each group.

The simulator's ACDs and desktops listen here to what the router tells them, as the edge does in production.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from router.dispatch.agents import Agents
from router.dispatch.caller import SUPERVISOR, Caller
from router.dispatch.controller import Controller
from router.dispatch.policy_book import KIND as POLICY
from router.dispatch.policy_book import PolicyBook
from router.dispatch.recorder import Recorder
from router.dispatch.signals import Signals
from router.dispatch.sweeper import Sweeper
from router.dispatch.tasks import Tasks
from router.dispatch.telephony import Telephony
from router.dispatch.work_types import KIND as WORK_TYPE
from router.dispatch.work_types import WorkTypes
from router.domain.model import AcdCommand
from router.domain.ports import Hint
from router.simulation.timeline import CountedIds, SerialLane, VirtualClock, run_now
from router.state.memory import MemoryStore

SITE = "sim"
WORKER = "simulator"
SUPERVISED_BY = Caller(SITE, SUPERVISOR, "simulator")
_RETENTION_MS = 7 * 86_400_000
_STALE_MS = 10_000
_LEASE_MS = 30_000
"""A leader's lease. Nobody else could lead here, so it need not be renewed every second."""
_MOST_STEPS = 1000
_DESK_HINTS = frozenset({"offer", "rescind", "recall", "revoke"})
_GROUP_HINTS = frozenset({"work", "idle", "busy", "gate", "report"})

OnTask = Callable[[Hint], None]
OnCommand = Callable[[AcdCommand], None]


class Leader:
    """One group's controller with the time of its next step."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.hinted = True
        self.due_ms = 0


class SimulatedSite:
    """The router's parts around one store; nothing here decides anything."""

    def __init__(
        self, clock: VirtualClock, on_task: OnTask, on_command: OnCommand, recording_ms: int = 0
    ) -> None:
        self.clock = clock
        self.store = MemoryStore(clock)
        self._on_task = on_task
        self._on_command = on_command
        self._lane = SerialLane()
        self.recorder = Recorder(self.store, clock, WORKER, recording_ms, self._lane)
        signals = Signals()
        self.work_types = WorkTypes(self.store, clock)
        self.book = PolicyBook(self.store, clock)
        self.tasks = Tasks(self.store, self.work_types, signals, clock, CountedIds(), self.recorder)
        self.agents = Agents(self.store, signals, clock)
        self.telephony = Telephony(self.store, clock, _STALE_MS, self.book.known_notice_ms, self.recorder)
        self.sweeper = Sweeper(self.store, clock, SITE, WORKER, _RETENTION_MS, self._lane)
        self.leaders: dict[str, Leader] = {}
        self.store.listen(WORKER, self._on_hint)

    def lead(self, group: str, policy: str) -> None:
        """Run a group by a policy document."""
        run_now(self.book.put(SUPERVISED_BY, group, policy, None))
        run_now(self.book.activate(SUPERVISED_BY, group, 1, None))
        controller = Controller(
            self.store, self.clock, self.book, SITE, group, WORKER, self._lane, self.recorder, _LEASE_MS
        )
        self.leaders[group] = Leader(controller)

    @property
    def next_s(self) -> float:
        """When the next controller or task is due."""
        due_ms = self.store.next_due_ms(SITE)
        for leader in self.leaders.values():
            if due_ms is None or leader.due_ms < due_ms:
                due_ms = leader.due_ms
        return math.inf if due_ms is None else self.clock.seconds(due_ms)

    def step(self) -> None:
        """Advance what is due; then every controller steps that was woken or is due, as often as it wakes itself."""
        now_ms = self.clock.now_ms()
        task_ms = self.store.next_due_ms(SITE)
        if task_ms is not None and task_ms <= now_ms and not run_now(self.sweeper.sweep()):
            raise RuntimeError("a task is due, but nothing can be done for it")
        for leader in self.leaders.values():
            steps = 0
            while leader.hinted or leader.due_ms <= now_ms:
                leader.hinted = False
                pause_s = run_now(leader.controller.step())
                leader.due_ms = now_ms + max(1, round(pause_s * 1000))
                steps += 1
                if steps > _MOST_STEPS:
                    raise RuntimeError("a controller wakes itself again and again without time passing")

    def _on_hint(self, hint: Hint) -> None:
        kind = hint.kind
        if kind in _DESK_HINTS:
            self._on_task(hint)
        elif kind == "command" and hint.command:
            self._on_command(hint.command)
        elif kind == "doc":
            self._document_changed(hint)
        elif kind in _GROUP_HINTS:
            self._tell_leaders(hint)

    def _tell_leaders(self, hint: Hint) -> None:
        for group, leader in self.leaders.items():
            if not hint.group or hint.group == group:
                leader.controller.hint(hint)
                leader.hinted = True

    def _document_changed(self, hint: Hint) -> None:
        kind, _, id = hint.reason.partition("/")
        if kind == WORK_TYPE:
            self.work_types.forget(SITE, id)
        elif kind == POLICY:
            self.book.forget(SITE, id)
            if leader := self.leaders.get(id):
                leader.controller.hint(hint)
                leader.hinted = True
