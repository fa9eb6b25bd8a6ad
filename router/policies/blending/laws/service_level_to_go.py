"""The law ``service_level_to_go``: the reserve that the rest of the window needs, or a smaller one with recall."""

from __future__ import annotations

from router.policies.blending.laws.base import Figures, Law, Own
from router.policies.blending.laws.reserving import reserves_for, told_reserves
from router.policies.blending.model import GateDecision, Snapshot


class ServiceLevelToGo(Law):
    """What the rest of the window must reach sets the reserve; recall is armed where it is cheaper than holding it.

    Sources: thresholds on idle agents, Bhulai & Koole, *A queueing model for call blending in call centers*, IEEE
    TAC 48(8), 2003; the service level that is left to reach as their set point, and recall as its alternative, are
    this project's.
    """

    def choose(self, snapshot: Snapshot, figures: Figures, own: Own) -> GateDecision:
        """Steps 3 to 5 of the law as docs/blending.md tells it."""
        document = self.document
        answer = reserves_for(document, figures, figures.rate_per_s, snapshot.logged_in, figures.required)
        extra = self._hysteresis(snapshot)
        age = self.recall_age_s(figures.reaction_s) if answer.armed else None
        told = told_reserves(answer, extra)
        return self.open_gate(snapshot, figures, answer.interruptible + extra, answer.firm + extra, age, told)

    def _hysteresis(self, snapshot: Snapshot) -> int:
        """Agents added to the reserve while calls wait or agents return, and for a while after a recall."""
        recalled = snapshot.last_recall_ms
        hold_ms = self.document.hysteresis_hold_s * 1000.0
        recent = recalled is not None and snapshot.now_ms - recalled < hold_ms
        in_danger = snapshot.waiting > 0 or snapshot.returning > 0 or recent
        return self.document.hysteresis_agents if in_danger else 0
