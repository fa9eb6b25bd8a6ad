"""Writes down what this process sees and decides, so that a day can be replayed and played again under other policies.

Noting costs the hot path one append; once a second what was noted becomes one compact chunk of the site's recording. A
store that does not take it costs some of the recording and nothing else.
"""

from __future__ import annotations

import logging
from collections import deque

from router.dispatch.lane import LOOP, Lane
from router.dispatch.recording import Encoder, Note, pack
from router.domain.errors import RouterError
from router.domain.ports import Clock, Store

FLUSH_S = 1.0
KEPT_CHUNKS = 500_000
"""Chunks of a site at most, whatever their age."""
LEASE_MS = 5_000
FOLLOWER = "recording"
"""The lease of the one process that follows a site's events."""
_WAITING = 20_000
"""Notes of a site that may wait for the next chunk."""
_UNSENT = 30
"""Chunks that wait for a store that does not answer."""
_PER_CHUNK = 2000
_EVENTS, _ROUNDS = 1000, 2
"""Events read at once, and how often in one second: a site that does more is recorded in part."""

log = logging.getLogger(__name__)


class Recorder:
    """The recording of the sites that this process serves. ``keep_ms`` 0 records nothing."""

    def __init__(
        self, store: Store | None, clock: Clock | None, worker: str = "", keep_ms: int = 0, lane: Lane = LOOP
    ) -> None:
        self._store = store
        self._clock = clock
        self._worker = worker
        self._keep_ms = keep_ms if store and clock else 0
        self._lane = lane
        self._notes: dict[str, list[Note]] = {}
        self._lost: dict[str, int] = {}
        self._unsent: dict[str, deque[tuple[int, bytes]]] = {}
        self._encoders: dict[str, Encoder] = {}
        self._position: dict[str, str] = {}

    @property
    def on(self) -> bool:
        """Whether anything is recorded."""
        return self._keep_ms > 0

    def note(self, site: str, kind: str, at_ms: int, *values: object) -> None:
        """Remember something until the next chunk; ``kind`` is one of those of :mod:`router.dispatch.recording`."""
        if not self._keep_ms:
            return
        notes = self._notes.get(site)
        if notes is None:
            notes = self._notes[site] = []
        if len(notes) < _WAITING:
            notes.append((kind, at_ms, values))
        else:
            self._lost[site] = self._lost.get(site, 0) + 1

    async def flush(self, site: str) -> None:
        """Write what was noted since the last time. A failing store is told in the log, and costs nothing else."""
        if not self._keep_ms:
            return
        try:
            await self._follow(site)
            if notes := self._notes.pop(site, None):
                await self._lane.beside(self._encode, site, notes)
            await self._send(site)
        except RouterError as error:
            log.warning("site %s: the recording waits for the store: %s", site, error.message)
        except Exception:
            log.exception("site %s: a second of the recording was lost", site)

    def _encode(self, site: str, notes: list[Note]) -> None:
        entries = self._encoders.setdefault(site, Encoder()).entries(notes)
        unsent = self._unsent.setdefault(site, deque())
        for first in range(0, len(entries), _PER_CHUNK):
            part = entries[first : first + _PER_CHUNK]
            unsent.append((len(part), pack(self._worker, part)))
        while len(unsent) > _UNSENT:
            self._lost[site] = self._lost.get(site, 0) + unsent.popleft()[0]

    async def _send(self, site: str) -> None:
        assert self._store
        assert self._clock
        unsent = self._unsent.get(site, ())
        while unsent:
            await self._store.record(site, unsent[0][1], self._keep_ms, KEPT_CHUNKS)
            unsent.popleft()
        if lost := self._lost.pop(site, 0):
            self.note(site, "lost", self._clock.now_ms(), lost)

    # -- events ----------------------------------------------------------------------------------------
    async def _follow(self, site: str) -> None:
        """Note the steps of tasks, if this process is the one that does so for the site."""
        assert self._store
        if not await self._store.lead(site, FOLLOWER, self._worker, LEASE_MS):
            self._position.pop(site, None)
            return
        if site not in self._position:
            self._position[site] = await self._store.last_event(site)
        for _ in range(_ROUNDS):
            events = await self._store.events(site, self._position[site], _EVENTS)
            for event in events:
                step = event.transition
                values = (step.name, event.task, event.work_type, step.agent, step.reason)
                self.note(site, "event", step.at_ms, *values)
            if events:
                self._position[site] = events[-1].id
            if len(events) < _EVENTS:
                return
        self._position[site] = await self._store.last_event(site)
        self._lost[site] = self._lost.get(site, 0) + 1


OFF = Recorder(None, None)
"""Records nothing."""
