"""Reserves as a law asks for them and tells about them."""

from __future__ import annotations

import math

from router.policies.blending.chain import Chain
from router.policies.blending.document import PolicyDocument
from router.policies.blending.laws.base import Figures
from router.policies.blending.reserve import ReserveQuestion, Reserves, reserves


def reserves_for(
    document: PolicyDocument, figures: Figures, rate_per_s: float, staff: int, required: float
) -> Reserves:
    """The reserves that ``staff`` agents need for calls at a rate and a required service level."""
    return reserves(
        ReserveQuestion(
            chain=Chain(rate_per_s, figures.aht_s, figures.task_s, staff),
            required=required,
            within_s=document.target_s,
            reaction_s=figures.reaction_s,
            lost_s=figures.lost_s,
            guard_s=document.recall_guard_s,
            loss_floor_s=document.loss_floor_s,
            recall_allowed=document.recall_enabled,
            floor=document.reserve_min,
        )
    )


def told_reserves(answer: Reserves, extra: int = 0) -> dict[str, float | str]:
    """The answer for Explain; ``extra`` agents were added to both reserves."""
    told: dict[str, float | str] = {
        "reserve_without_recall": float(answer.without_recall),
        "reserve_interruptible": float(answer.interruptible + extra),
        "reserve_firm": float(answer.firm + extra),
        "hysteresis_agents": float(extra),
        "target_reachable_without_recall": "yes" if answer.feasible else "no",
        "recall": "armed" if answer.armed else "not armed",
    }
    costs = {"idle_without_recall": answer.cost_without_recall, "cost_with_recall": answer.cost_with_recall}
    told.update({name: cost for name, cost in costs.items() if math.isfinite(cost)})
    return told
