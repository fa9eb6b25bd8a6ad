"""Looks over a leader's shoulder: writes down its decisions and lets a shadow decide beside it. Has no effect."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from router.dispatch.comparison import KIND, Comparison
from router.dispatch.lane import Lane
from router.dispatch.policy_book import PolicyBook
from router.dispatch.policy_trials import Way
from router.dispatch.recorder import Recorder
from router.dispatch.shadow import Outcome, Shadow
from router.domain.errors import NotFound
from router.domain.ports import Clock, Store
from router.policies.blending import (
    Candidate,
    GateDecision,
    Memory,
    PolicyDocument,
    PolicyError,
    RecallPlan,
    Snapshot,
)

_TELL_S = 2.0

log = logging.getLogger(__name__)

Key = tuple[str, int, int, int]
"""What names a decision in a recording: group, policy version, term, number."""


class Witness:
    """The witness of one group's leader."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        book: PolicyBook,
        recorder: Recorder,
        site: str,
        group: str,
        lane: Lane,
    ) -> None:
        self._store = store
        self._clock = clock
        self._book = book
        self._recorder = recorder
        self._site = site
        self._group = group
        self._lane = lane
        self.begin(0)

    def begin(self, term: int) -> None:
        """A new term: decisions are counted from one again."""
        self._term, self._number = term, 0
        self._version, self._document = 0, PolicyDocument()
        self._shadow: Shadow | None = None
        self._refused: tuple[int, int] | None = None
        self._told, self._told_at = "", 0.0
        self._tried: int | None = None

    @property
    def shadows(self) -> bool:
        """Whether another version decides beside the active one."""
        return self._shadow is not None

    # -- what is in force ------------------------------------------------------------------------------
    async def look(self, version: int, document: PolicyDocument) -> None:
        """Learn which version is in force, and which one is to decide beside it."""
        self._version, self._document = version, document
        wanted = await self._book.shadow(self._site, self._group)
        if wanted is None:
            self._shadow = None
            return
        pair = (version, wanted[0])
        there = self._shadow.comparison if self._shadow else None
        if (there and (there.active_version, there.shadow_version) == pair) or self._refused == pair:
            return
        self._shadow = await self._begun(Comparison(*pair, self._clock.now_ms()), wanted[1])

    async def _begun(self, fresh: Comparison, document: PolicyDocument) -> Shadow | None:
        """A shadow that goes on with what an earlier leader compared."""
        try:
            stored = Comparison.from_text((await self._store.document(self._site, KIND, self._group)).body)
        except NotFound:
            stored = fresh
        try:
            return Shadow(document, stored if stored.of_same_versions(fresh) else fresh, self._lane)
        except PolicyError as error:
            log.warning("group %s/%s: the shadow cannot decide: %s", self._site, self._group, error)
            self._refused = (fresh.active_version, fresh.shadow_version)
            await self._tell(fresh.failed(str(error)))
            return None

    async def tell(self) -> None:
        """Let every worker show the comparison."""
        now = self._clock.monotonic()
        if self._shadow and now - self._told_at >= _TELL_S:
            self._told_at = now
            await self._tell(self._shadow.comparison)
            await self._note_trial(self._shadow.comparison)

    async def _tell(self, comparison: Comparison) -> None:
        if (text := comparison.to_text()) != self._told:
            self._told = text
            await self._store.put_document(self._site, KIND, self._group, text, None)

    async def _note_trial(self, comparison: Comparison) -> None:
        """Its first decision makes the shadow a version that was tried."""
        version = comparison.shadow_version
        if comparison.compared and self._tried != version:
            await self._book.tried(self._site, self._group, version, Way.SHADOWED)
            self._tried = version

    # -- what is decided -------------------------------------------------------------------------------
    def decided(self, snapshot: Snapshot, memory: Memory, decision: GateDecision) -> None:
        """The leader has decided, with this memory before."""
        self._number += 1
        key = self._key()
        self._note("policy", snapshot.now_ms, self._group, self._version, self._document)
        self._note("decision", snapshot.now_ms, key, snapshot, memory, decision)
        if self._shadow:
            shadow_key = (self._group, self._shadow.comparison.shadow_version, *key[2:])

            def told(outcome: Outcome) -> None:
                self._note("shadow", snapshot.now_ms, shadow_key, outcome)

            self._shadow.decide(snapshot, decision, told)

    def planned(
        self,
        snapshot: Snapshot,
        candidates: Sequence[Candidate],
        sent: int,
        plan: RecallPlan,
        returning: Collection[str],
    ) -> None:
        """The leader has planned recalls under its last decision. Plans that name nobody are not written down."""
        key = self._key()
        if plan.recalls or plan.missing:
            self._note("recalls", snapshot.now_ms, key, snapshot, tuple(candidates), sent, plan)
        if self._shadow:
            shadow_key = (self._group, self._shadow.comparison.shadow_version, *key[2:])

            def told(outcome: Outcome) -> None:
                if isinstance(outcome, str):
                    self._note("shadow", snapshot.now_ms, shadow_key, outcome)
                elif outcome or plan.recalls:
                    self._note("beside", snapshot.now_ms, shadow_key, len(plan.recalls), outcome or ())

            self._shadow.plan(snapshot, candidates, returning, plan, told)

    def pushed(self, snapshot: Snapshot, offers: int, room: int) -> None:
        """The leader has handed out tasks under its last decision."""
        if offers:
            self._note("pushes", snapshot.now_ms, self._key(), offers, room, snapshot.idle, snapshot.on_tasks)

    def _key(self) -> Key:
        return self._group, self._version, self._term, self._number

    def _note(self, kind: str, at_ms: int, *values: object) -> None:
        self._recorder.note(self._site, kind, at_ms, *values)
