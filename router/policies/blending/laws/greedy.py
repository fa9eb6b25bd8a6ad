"""The law ``greedy``: any idle agent gets a task."""

from __future__ import annotations

from router.policies.blending.laws.base import Figures, Law, Own
from router.policies.blending.model import GateDecision, Snapshot


class Greedy(Law):
    """Any idle agent gets a task and nobody is recalled: the yardstick of what is lost without control.

    Source: no reserve at all, the other end of the threshold policies of Bhulai & Koole, IEEE TAC 48(8), 2003.
    """

    def choose(self, snapshot: Snapshot, figures: Figures, own: Own) -> GateDecision:
        """No reserve."""
        return self.open_gate(snapshot, figures, 0, 0, None, {})

    def tasks_ahead(self, snapshot: Snapshot, figures: Figures) -> float | None:
        """No shortage is looked for."""
        return None
