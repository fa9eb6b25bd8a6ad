"""The law ``no_blending``: no task is pushed."""

from __future__ import annotations

from dataclasses import replace

from router.policies.blending.laws.base import Figures, Law, Own
from router.policies.blending.model import GateDecision, Snapshot


class NoBlending(Law):
    """No task is pushed; those still running end by themselves, or are recalled for waiting calls.

    Source: the center without back-office work, Erlang's model; spare time is measured on it.
    """

    def choose(self, snapshot: Snapshot, figures: Figures, own: Own) -> GateDecision:
        """A closed gate, with recall as the document allows."""
        closed = self.closed_gate(snapshot, figures, "the law no_blending pushes no task")
        age = self.recall_age_s(figures.reaction_s)
        ahead = self.tasks_ahead(snapshot, figures)
        return replace(closed, armed=age is not None, recall_age_s=age, tasks_ahead=ahead)
