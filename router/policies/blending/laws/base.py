"""What all laws share: fail closed, the nowcast, the handling time, the bounds of the allowance, recall.

Every law is pure: the same snapshot, memory and document give the same decision. A law of one's own derives from
``Law`` and says in ``choose`` which reserves it wants; ``docs/policies.md`` shows one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from router.policies.blending import handling
from router.policies.blending.document import PolicyDocument
from router.policies.blending.fields import FieldProblem, read_fields
from router.policies.blending.model import Candidate, GateDecision, RecallPlan, Snapshot
from router.policies.blending.nowcast import (
    Nowcast,
    advance,
    calls_to_go,
    forecast_rate,
    rate_now,
    start,
)
from router.policies.blending.protocol import Memory
from router.policies.blending.recall import may_recall, plan_recalls
from router.policies.blending.records import FrozenMap
from router.policies.blending.service_level import Resolved, required_to_go, resolved

Own = Mapping[str, float]
"""What a law remembers beyond the common memory: numbers by name."""

_SHORTEST_S = 0.1
_LONGEST_S = 7 * 86_400.0
_PATH = "parameters."


class Figures(NamedTuple):
    """The inputs of a decision after unusable measurements were replaced by the document's beliefs.

    ``ratio``: nowcast over forecast; ``to_go``: calls still expected in the window; ``required``: the share of
    them that must be answered in target.
    """

    aht_s: float
    task_s: float
    reaction_s: float
    lost_s: float
    rate_per_s: float
    ratio: float
    to_go: float
    so_far: Resolved
    required: float


@dataclass(frozen=True, slots=True)
class NoParameters:
    """Of a law whose constants are all fields of the policy document."""


class Law(ABC):
    """A control law with the constants of one document; a subclass chooses the gate from what all laws know."""

    Parameters: ClassVar[type[Any]] = NoParameters
    """The law's own constants: a frozen dataclass whose fields are made as in ``fields``."""
    parameters: Any

    def __init__(self, document: PolicyDocument) -> None:
        self._document = document
        self.parameters = self.Parameters(**read_fields(self.Parameters, document.parameters)[0])

    @classmethod
    def parameter_problems(cls, parameters: Mapping[str, Any]) -> list[FieldProblem]:
        """What is wrong with the ``parameters`` of a document that names this law."""
        return read_fields(cls.Parameters, parameters, _PATH)[1]

    @property
    def document(self) -> PolicyDocument:
        """The constants under which this law decides."""
        return self._document

    # -- to be written by a law ------------------------------------------------------------------------
    @abstractmethod
    def choose(self, snapshot: Snapshot, figures: Figures, own: Own) -> GateDecision:
        """The gate for a group with somebody logged in and fresh data, by ``open_gate`` or ``closed_gate``."""

    def remember(self, snapshot: Snapshot, figures: Figures, own: Own) -> Own:
        """What the law remembers after this look, called before ``choose``; empty at first."""
        return own

    # -- the protocol of all laws ----------------------------------------------------------------------
    def decide(self, snapshot: Snapshot, memory: Memory) -> tuple[GateDecision, Memory]:
        """Set the gate from a snapshot. While the feed is stale the memory stays as it was."""
        if self._document.is_stale(snapshot.feed_age_s):
            return self._stale(snapshot), memory
        figures, memory = self._look(snapshot, memory)
        if snapshot.logged_in <= 0:
            return self.closed_gate(snapshot, figures, "no agent is logged in"), memory
        return self.choose(snapshot, figures, memory.own), memory

    def may_recall(self, snapshot: Snapshot, gate: GateDecision) -> bool:
        """Whether anybody could be recalled now; a law that chooses in its own way is always asked."""
        return type(self).recalls is not Law.recalls or may_recall(self._document, snapshot, gate)

    def recalls(
        self,
        snapshot: Snapshot,
        gate: GateDecision,
        candidates: Sequence[Candidate],
        sent_last_second: int = 0,
    ) -> RecallPlan:
        """Just-in-time recalls first, then those ahead of a shortage; see ``recall.plan_recalls``."""
        return plan_recalls(self._document, snapshot, gate, candidates, sent_last_second)

    # -- for use by a law ------------------------------------------------------------------------------
    def recall_age_s(self, reaction_s: float) -> float | None:
        """Age at which a call triggers a recall, None if recall is switched off or too slow to help."""
        age = self._document.target_s - reaction_s - self._document.recall_guard_s
        return age if self._document.recall_enabled and age > 0.0 else None

    def open_gate(
        self,
        snapshot: Snapshot,
        figures: Figures,
        reserve: int,
        firm: int,
        recall_age_s: float | None,
        told: Mapping[str, float | str],
        most_on_tasks: float = math.inf,
    ) -> GateDecision:
        """Open the gate for as many agents as the reserve, the largest share and ``most_on_tasks`` leave."""
        staff = snapshot.logged_in
        reserve, firm = min(reserve, staff), min(max(firm, reserve), staff)
        # The small addition keeps 0.29 · 100 at 29, where floats alone would make it 28.
        most = math.floor(self._document.max_share_on_tasks * staff + 1e-9)
        allowance = math.floor(max(0.0, min(most, staff - reserve, most_on_tasks)))
        reason = "open" if allowance > 0 else "every agent is needed for calls"
        if most == 0:
            reason = "max_share_on_tasks leaves no agent for tasks"
        return GateDecision(
            open=allowance > 0,
            allowance=allowance,
            reserve=reserve,
            reserve_firm=firm,
            armed=recall_age_s is not None,
            required_service_level=figures.required,
            rate_per_s=figures.rate_per_s,
            recall_age_s=recall_age_s,
            tasks_ahead=self.tasks_ahead(snapshot, figures),
            explanation={"law": self._document.law, "reason": reason, **_told(snapshot, figures), **told},
        )

    def closed_gate(self, snapshot: Snapshot, figures: Figures, reason: str) -> GateDecision:
        """Push nothing, for a reason told to people."""
        staff = max(snapshot.logged_in, 0)
        told = {"law": self._document.law, "reason": reason, **_told(snapshot, figures)}
        rate = figures.rate_per_s
        return GateDecision(False, 0, staff, staff, False, figures.required, rate, explanation=told)

    def tasks_ahead(self, snapshot: Snapshot, figures: Figures) -> float | None:
        """Agents whom the calls can spare at the end of the look-ahead: staff, less load, plus chance."""
        if not self._document.recall_enabled:
            return None
        at_ms = snapshot.now_ms + round(self._document.shortage_lookahead_s * 1000.0)
        if not any(interval.covers(at_ms) for interval in snapshot.forecast):
            return None
        load = figures.ratio * forecast_rate(snapshot.forecast, at_ms) * figures.aht_s
        chance = self._document.shortage_sigmas * math.sqrt(load)
        return max(0.0, snapshot.logged_in + _staff_change(snapshot, at_ms) - load + chance)

    # -- inside ----------------------------------------------------------------------------------------
    def _stale(self, snapshot: Snapshot) -> GateDecision:
        age = snapshot.feed_age_s
        told: dict[str, float | str] = {"law": self._document.law, "reason": "the telephony feed is stale"}
        told["stale_after_s"] = self._document.stale_after_s
        if age is not None and math.isfinite(age):
            told["feed_age_s"] = age
        staff = max(snapshot.logged_in, 0)
        recall_all = self._document.recall_on_stale and self._document.recall_enabled
        required = self._document.target_share
        return GateDecision(
            False, 0, staff, staff, False, required, 0.0, recall_all=recall_all, explanation=told
        )

    def _look(self, snapshot: Snapshot, memory: Memory) -> tuple[Figures, Memory]:
        document = self._document
        calls = self._handling(snapshot, memory.handling)
        learnt = _usable(calls.aht_s(document.prior_aht_s), document.prior_aht_s)
        aht = _usable(snapshot.aht_s, learnt)
        past, half_life = memory.nowcast, document.nowcast_half_life_s
        nowcast = start(snapshot, aht) if past is None else advance(past, snapshot, half_life)
        figures = self._figures(snapshot, nowcast, aht)
        own = self.remember(snapshot, figures, memory.own if memory.law == document.law else FrozenMap())
        return figures, Memory(nowcast, calls, document.law, FrozenMap(own))

    def _handling(self, snapshot: Snapshot, past: handling.Handling | None) -> handling.Handling:
        if past is None:
            return handling.start(snapshot, self._document.prior_weight)
        return handling.advance(past, snapshot, self._document.measure_half_life)

    def _figures(self, snapshot: Snapshot, nowcast: Nowcast, aht_s: float) -> Figures:
        document = self._document
        so_far, kappa = _resolved(document, snapshot), document.nowcast_kappa_calls
        to_go = calls_to_go(nowcast, snapshot, kappa)
        return Figures(
            aht_s=aht_s,
            task_s=_usable(snapshot.task_s, document.prior_task_s),
            reaction_s=_usable(snapshot.recall_reaction_s, document.recall_reaction_initial_s, least=0.0),
            lost_s=_usable(snapshot.work_lost_s, document.work_lost_initial_s, least=0.0),
            rate_per_s=rate_now(nowcast, snapshot, kappa),
            ratio=nowcast.ratio(kappa),
            to_go=to_go,
            so_far=so_far,
            required=self._required(so_far, snapshot.waiting, to_go),
        )

    def _required(self, so_far: Resolved, waiting: int, to_go: float) -> float:
        d = self._document
        return required_to_go(
            so_far, waiting, to_go, d.target_share, d.margin, d.z, d.required_min, d.required_max
        )


def _resolved(document: PolicyDocument, snapshot: Snapshot) -> Resolved:
    return resolved(
        document.service_level_formula,
        max(snapshot.answered, 0),
        max(snapshot.answered_in_target, 0),
        max(snapshot.abandoned, 0),
        max(snapshot.short_abandoned, 0),
    )


def _told(snapshot: Snapshot, figures: Figures) -> dict[str, float | str]:
    """The figures behind a decision, for Explain; what is unknown or infinite is left out."""
    told: dict[str, float | str] = {
        "agents_logged_in": float(snapshot.logged_in),
        "agents_idle": float(snapshot.idle),
        "agents_on_call": float(snapshot.on_call),
        "agents_on_tasks": float(snapshot.on_tasks),
        "calls_waiting": float(snapshot.waiting),
        "calls_to_go": figures.to_go,
        "calls_per_hour": figures.rate_per_s * 3600.0,
        "load_erlangs": figures.rate_per_s * figures.aht_s,
        "nowcast_ratio": figures.ratio,
        "required_service_level": figures.required,
        "aht_s": figures.aht_s,
        "task_s": figures.task_s,
        "recall_reaction_s": figures.reaction_s,
        "work_lost_s": figures.lost_s,
    }
    if (level := figures.so_far.service_level) is not None:
        told["service_level_so_far"] = level
    return told


def _staff_change(snapshot: Snapshot, at_ms: int) -> float:
    """Scheduled staff at a coming moment less that of now; 0 where the schedule is not known."""
    now = next((i.staff for i in snapshot.forecast if i.covers(snapshot.now_ms)), None)
    then = next((i.staff for i in snapshot.forecast if i.covers(at_ms)), None)
    return then - now if now is not None and then is not None else 0.0


def _usable(measured: float | None, believed: float, least: float = _SHORTEST_S) -> float:
    """A measured time, or the belief where there is none or it is no possible time."""
    # Not a number fails both comparisons.
    return measured if measured is not None and least <= measured <= _LONGEST_S else believed
