"""The law ``adaptive_threshold``: the reserve follows the measured service level, and knows nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass

from router.policies.blending.fields import number
from router.policies.blending.laws.base import Figures, Law, Own
from router.policies.blending.model import GateDecision, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The constants of the law's own."""

    first_threshold: float = number(5.0, "agents kept back before any call was measured", 0.0, 1e6)
    agents_per_call: float = number(
        0.1, "agents by which one call answered late raises the reserve", 0.0, 1e3
    )


class AdaptiveThreshold(Law):
    """Calls answered late raise the threshold of idle agents, calls answered in time lower it.

    With G of the N calls resolved since the last look answered in target, and α the target share plus ``margin``,
    ``c ← c + agents_per_call·(α·N − G)``, never below 0 nor grown beyond the agents logged in; the reserve is c rounded
    up. A late call thus raises c by α steps and one in time lowers it by 1 − α, so c rests where the level is α. Rate
    and forecast are not looked at. With recall armed at least one agent is kept back.

    Source: B. Legros, O. Jouini, G. Koole, *Adaptive threshold policies for multi-channel call centers*, IIE
    Transactions 47(4), 2015: a threshold of reserved agents that the measured service level moves, simple enough
    for an ACD. The form of the step above, for single calls instead of intervals, and its constants are ours.
    """

    Parameters = Threshold
    parameters: Threshold

    def remember(self, snapshot: Snapshot, figures: Figures, own: Own) -> Own:
        """Move the threshold by the calls resolved since the last look. Counters that fell count anew."""
        calls, hits = figures.so_far.calls, figures.so_far.in_target
        threshold = own.get("threshold", self.parameters.first_threshold)
        new_calls, new_hits = calls - own.get("calls", calls), hits - own.get("in_target", hits)
        if new_calls >= 0 and new_hits >= 0:
            threshold = self._moved(threshold, new_calls, new_hits, snapshot.logged_in)
        return {"threshold": threshold, "calls": float(calls), "in_target": float(hits)}

    def _moved(self, threshold: float, calls: float, hits: float, logged_in: int) -> float:
        owed = (self.document.target_share + self.document.margin) * calls - hits
        moved = threshold + self.parameters.agents_per_call * owed
        return min(max(moved, 0.0), max(threshold, float(logged_in)))

    def choose(self, snapshot: Snapshot, figures: Figures, own: Own) -> GateDecision:
        """The same reserve for all work; recall just in time as the document allows."""
        age = self.recall_age_s(figures.reaction_s)
        least = max(self.document.reserve_min, 0 if age is None else 1)
        # Floats may leave a threshold a hair above a whole number.
        reserve = max(math.ceil(own["threshold"] - 1e-9), least)
        told = {"threshold": own["threshold"]}
        return self.open_gate(snapshot, figures, reserve, reserve, age, told)
