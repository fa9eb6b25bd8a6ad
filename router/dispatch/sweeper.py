"""Upkeep that every worker shares: what is due is done, workers that died are reaped, old tasks are forgotten.

Each step is safe to run twice and anywhere: the store compares state and deadline where it writes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from router.dispatch.lane import LOOP, Lane
from router.domain.errors import RouterError
from router.domain.ports import Clock, Store

SWEEP_S = 0.2
BEAT_S = 5.0
PURGE_S = 60.0
_BATCH = 100

log = logging.getLogger(__name__)


class Sweeper:
    """The timers of one site."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        site: str,
        worker: str,
        retention_ms: int,
        lane: Lane = LOOP,
    ) -> None:
        self._store = store
        self._lane = lane
        self._clock = clock
        self._site = site
        self._worker = worker
        self._retention_ms = retention_ms

    async def sweep(self) -> int:
        """Advance every task whose time has come; how many moved."""
        moved = 0
        while due := await self._store.due(self._site, _BATCH):
            answers = await self._lane.all(*(self._store.advance(self._site, id) for id in due), caught=True)
            self._report(answers)
            progressed = sum(
                1 for answer in answers if answer is not None and not isinstance(answer, BaseException)
            )
            moved += progressed
            if len(due) < _BATCH or not progressed:
                break
        return moved

    def _report(self, answers: Sequence[object]) -> None:
        for answer in answers:
            if isinstance(answer, RouterError):
                log.warning("site %s: a due task could not be advanced: %s", self._site, answer.message)
            elif isinstance(answer, BaseException):
                raise answer

    async def beat(self) -> None:
        """Show that this worker lives, and close the sessions of workers that do not."""
        for dead in await self._store.beat(self._site, self._worker):
            for agent, session in await self._store.sessions_of(self._site, dead):
                await self._store.disconnect(self._site, agent, session)

    async def purge(self) -> int:
        """Forget tasks that ended longer ago than the retention; how many."""
        before_ms = self._clock.now_ms() - self._retention_ms
        total = 0
        while gone := await self._store.purge(self._site, before_ms, _BATCH):
            total += gone
            if gone < _BATCH:
                break
        return total
