"""A candidate policy that decides beside the active one, on the same input and without effect.

It runs after the active policy has decided and nobody waits for it: what comes while it is busy is skipped and
counted, and so is every exception of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from router.dispatch.comparison import Comparison
from router.dispatch.lane import Lane
from router.policies.blending import (
    Candidate,
    GateDecision,
    Memory,
    PolicyDocument,
    RecallPlan,
    Snapshot,
    build_policy,
)

_WAITING = 16
"""Decisions that may wait while the shadow is busy."""

Outcome = GateDecision | Sequence[str] | str | None
"""What came of one piece of work: a decision, agents it would recall, the text of an error, or nothing."""
Told = Callable[[Outcome], None]


class Shadow:
    """One candidate version beside the one in force."""

    def __init__(self, document: PolicyDocument, comparison: Comparison, lane: Lane) -> None:
        self.document = document
        self.comparison = comparison
        self._policy = build_policy(document)
        self._lane = lane
        self._memory = Memory()
        self._decision: GateDecision | None = None
        self._recalled_ms: dict[str, int] = {}
        self._waiting: deque[tuple[Callable[[], Outcome], Told]] = deque()
        self._busy = False

    def decide(self, snapshot: Snapshot, active: GateDecision, told: Told) -> None:
        """Decide on what the active policy decided on."""
        self._do(partial(self._decided, snapshot, active), told)

    def plan(
        self,
        snapshot: Snapshot,
        candidates: Sequence[Candidate],
        returning: Collection[str],
        active: RecallPlan,
        told: Told,
    ) -> None:
        """Plan recalls where the active policy did. ``returning``: agents on their way back in fact."""
        self._do(partial(self._planned, snapshot, candidates, frozenset(returning), active), told)

    # -- one after the other, beside the loop ----------------------------------------------------------
    def _do(self, work: Callable[[], Outcome], told: Told) -> None:
        if len(self._waiting) >= _WAITING:
            self.comparison = replace(self.comparison, skipped=self.comparison.skipped + 1)
            return
        self._waiting.append((work, told))
        if not self._busy:
            self._busy = True
            self._lane.aside(self._work_off())

    async def _work_off(self) -> None:
        try:
            while self._waiting:
                work, told = self._waiting.popleft()
                told(await self._lane.beside(self._tried, work))
        finally:
            self._busy = False

    def _tried(self, work: Callable[[], Outcome]) -> Outcome:
        try:
            return work()
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            self.comparison = self.comparison.failed(text)
            return text

    def _decided(self, snapshot: Snapshot, active: GateDecision) -> Outcome:
        self._decision, self._memory = self._policy.decide(snapshot, self._memory)
        self.comparison = self.comparison.decided(snapshot.now_ms, active, self._decision)
        return self._decision

    def _planned(
        self,
        snapshot: Snapshot,
        candidates: Sequence[Candidate],
        returning: frozenset[str],
        active: RecallPlan,
    ) -> Outcome:
        """Whom the shadow would recall, had those it named before been recalled instead of staying on their tasks."""
        if self._decision is None:
            return None
        named = self._still_returning(snapshot, returning)
        seen = replace(snapshot, returning=len(named | returning))
        free = [candidate for candidate in candidates if candidate.agent_id not in named]
        sent = sum(1 for at_ms in self._recalled_ms.values() if snapshot.now_ms - at_ms < 1000)
        plan = self._policy.recalls(seen, self._decision, free, sent)
        agents = [recall.agent_id for recall in plan.recalls]
        self._recalled_ms.update(dict.fromkeys(agents, snapshot.now_ms))
        self.comparison = self.comparison.recalled(len(active.recalls), len(agents))
        return agents

    def _still_returning(self, snapshot: Snapshot, returning: frozenset[str]) -> frozenset[str]:
        """Agents that the shadow named a recall's reaction ago at most, or that are on their way in fact."""
        reaction_s = snapshot.recall_reaction_s
        if reaction_s is None:
            reaction_s = self.document.recall_reaction_initial_s
        since_ms = snapshot.now_ms - round(reaction_s * 1000)
        self._recalled_ms = {
            agent: at_ms
            for agent, at_ms in self._recalled_ms.items()
            if at_ms > since_ms or agent in returning
        }
        return frozenset(self._recalled_ms)
