"""The law ``static_reserve``: always the same number of idle agents."""

from __future__ import annotations

from router.policies.blending.laws.base import Figures, Law, Own
from router.policies.blending.model import GateDecision, Snapshot


class StaticReserve(Law):
    """``static_reserve`` idle agents are kept back all day; recall just in time as the document allows.

    Source: the threshold policy, optimal for a constant rate and equal mean times: Bhulai & Koole, *A queueing model
    for call blending in call centers*, IEEE TAC 48(8), 2003.
    """

    def choose(self, snapshot: Snapshot, figures: Figures, own: Own) -> GateDecision:
        """The same reserve for all work."""
        reserve = max(self.document.static_reserve, self.document.reserve_min)
        return self.open_gate(snapshot, figures, reserve, reserve, self.recall_age_s(figures.reaction_s), {})
