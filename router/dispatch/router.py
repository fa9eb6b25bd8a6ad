"""The application of one process: use cases, sessions and loops wired around one store.

Hints from the store come in at :meth:`Router._on_hint` and wake exactly what they concern.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from router.dispatch.agents import Agents
from router.dispatch.clock import StoreClock
from router.dispatch.controller import DEDICATED, Controller
from router.dispatch.figures import Figures
from router.dispatch.hub import Hub
from router.dispatch.policy_book import KIND as POLICY
from router.dispatch.policy_book import PolicyBook
from router.dispatch.recorder import FLUSH_S, Recorder
from router.dispatch.signals import Signals, set_within
from router.dispatch.supervision import Supervision
from router.dispatch.sweeper import BEAT_S, PURGE_S, SWEEP_S, Sweeper
from router.dispatch.tasks import Tasks
from router.dispatch.telephony import Telephony
from router.dispatch.work_types import KIND as WORK_TYPE
from router.dispatch.work_types import WorkTypes
from router.domain.endings import cancelled
from router.domain.errors import RouterError
from router.domain.model import Task
from router.domain.ports import Clock, Hint, Ids, Store

CONDUCT_S = 1.0
SYNCHRONISE_S = 10.0
_GROUP_HINTS = frozenset({"work", "idle", "busy", "gate", "report", "resync"})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DispatchSettings:
    """What the loops need to know beyond the policies.

    retention_ms: how long ended tasks are kept. stale_after_ms: when a feed is shown as stale. recording_ms: how long
    the recording is kept (0: nothing is recorded).
    """

    retention_ms: int = 7 * 86_400_000
    stale_after_ms: int = 10_000
    recording_ms: int = 0


class Router:
    """One router process: ``start`` runs the loops, ``stop`` ends them; gRPC sits on top."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, worker: str, settings: DispatchSettings | None = None
    ) -> None:
        self.store = store
        self.worker = worker
        self.clock = StoreClock(clock)
        self._settings = settings or DispatchSettings()
        self.signals = Signals()
        self.work_types = WorkTypes(store, self.clock)
        self.book = PolicyBook(store, self.clock)
        self.recorder = Recorder(store, self.clock, worker, self._settings.recording_ms)
        self.tasks = Tasks(
            store, self.work_types, self.signals, self.clock, ids, self.recorder, self._work_coming
        )
        self.agents = Agents(store, self.signals, self.clock)
        self.hub = Hub(store, ids, worker)
        self.telephony = Telephony(
            store, self.clock, self._settings.stale_after_ms, self.book.known_notice_ms, self.recorder
        )
        figures = Figures(store, self.clock, self.book)
        self.supervision = Supervision(
            store, self.clock, self.book, figures, self.tasks, self._recalled_by_hand
        )
        self._controllers: dict[tuple[str, str], Controller] = {}
        self._sweepers: dict[str, Sweeper] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._strangers = asyncio.Event()
        self._stop_listening: Callable[[], None] = lambda: None
        self.draining = False

    # -- life ------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Begin to listen and to run the loops."""
        await self.clock.synchronise(self.store)
        self._stop_listening = self.store.listen(self.worker, self._on_hint)
        await self._conduct()
        self._spawn(self._every(CONDUCT_S, self._conduct, self._strangers))
        self._spawn(self._every(SYNCHRONISE_S, lambda: self.clock.synchronise(self.store)))

    def drain(self) -> None:
        """Tell every desktop to connect elsewhere; calls under way go on."""
        self.draining = True
        self.hub.drain()

    async def stop(self) -> None:
        """End the loops. What this process led is taken over when its leases end."""
        self.draining = True
        self._stop_listening()
        await cancelled(self._running)
        for site in self._sweepers:
            await self.recorder.flush(site)

    async def _conduct(self) -> None:
        """See that every site has its upkeep and every blending group its controller."""
        for site in await self.store.sites():
            if site not in self._sweepers:
                self._start_upkeep(site)
            groups = [figures.group for figures in await self.store.groups(site)]
            for group in {*groups, DEDICATED} - {""}:
                if (site, group) not in self._controllers:
                    self._start_controller(site, group)

    def _start_upkeep(self, site: str) -> None:
        sweeper = Sweeper(self.store, self.clock, site, self.worker, self._settings.retention_ms)
        self._sweepers[site] = sweeper
        self._spawn(self._every(SWEEP_S, sweeper.sweep))
        self._spawn(self._every(BEAT_S, sweeper.beat))
        self._spawn(self._every(PURGE_S, sweeper.purge))
        if self.recorder.on:
            self._spawn(self._every(FLUSH_S, partial(self.recorder.flush, site)))

    def _start_controller(self, site: str, group: str) -> None:
        controller = Controller(
            self.store, self.clock, self.book, site, group, self.worker, recorder=self.recorder
        )
        self._controllers[site, group] = controller
        self._spawn(controller.run())

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _every(self, seconds: float, work: Any, early: asyncio.Event | None = None) -> None:
        """Run ``work`` again and again, sooner when ``early`` is set; a failing store is waited out."""
        while True:
            if early:
                early.clear()
            try:
                await work()
            except RouterError as error:
                log.warning("%s: %s", getattr(work, "__qualname__", "upkeep"), error.message)
            except Exception:
                log.exception("%s failed", getattr(work, "__qualname__", "upkeep"))
            await (set_within(early, seconds) if early else self.clock.sleep(seconds))

    # -- hints -----------------------------------------------------------------------------------------
    def _on_hint(self, hint: Hint) -> None:
        if hint.kind == "resync":
            self._resync()
        self.hub.deliver(hint)
        self.telephony.deliver(hint)
        if hint.kind == "doc":
            self._document_changed(hint)
        self.signals.wake(hint.site)
        if hint.kind in _GROUP_HINTS:
            if hint.kind != "busy":
                self.signals.wake(hint.site, "work")
            self._tell_controllers(hint)
            if self._is_strange(hint):
                self._strangers.set()

    def _is_strange(self, hint: Hint) -> bool:
        """Whether the hint is of a site or group that nobody here conducts yet: its first work is not to wait."""
        if not hint.site or hint.kind == "gate":
            return False
        unknown_group = bool(hint.group) and (hint.site, hint.group) not in self._controllers
        return hint.site not in self._sweepers or unknown_group

    def _tell_controllers(self, hint: Hint) -> None:
        # Of an agent without a group only those hear who match such agents; what names nobody is for all.
        whose = (hint.group or DEDICATED) if hint.agent else hint.group
        for (site, group), controller in self._controllers.items():
            if hint.site in ("", site) and whose in ("", group):
                controller.hint(hint)

    @contextlib.contextmanager
    def _work_coming(self, site: str, anchors: Mapping[str, int]) -> Iterator[None]:
        """Tasks are being stored: the leaders in this process need not wait for the answer to look for agents."""
        with contextlib.ExitStack() as stack:
            for (of, _), controller in self._controllers.items():
                if of == site and controller.leads:
                    stack.enter_context(controller.work_coming(anchors))
            yield

    def _document_changed(self, hint: Hint) -> None:
        kind, _, id = hint.reason.partition("/")
        if kind == WORK_TYPE:
            self.work_types.forget(hint.site, id)
        elif kind == POLICY:
            self.book.forget(hint.site, id)
            if controller := self._controllers.get((hint.site, id)):
                controller.hint(hint)

    def _resync(self) -> None:
        self.signals.wake_all()
        self._spawn(self._heal())

    async def _heal(self) -> None:
        with contextlib.suppress(RouterError):
            await asyncio.gather(self.hub.resync(), self.telephony.resync())

    # -- what leaders know -----------------------------------------------------------------------------
    def controller(self, site: str, group: str) -> Controller | None:
        """The controller of a group in this process, if it leads."""
        controller = self._controllers.get((site, group))
        return controller if controller and controller.leads else None

    def _recalled_by_hand(self, site: str, group: str, task: Task) -> None:
        if controller := self.controller(site, group):
            controller.meter.recall_sent(task.agent, task.id, self.clock.now_ms())
