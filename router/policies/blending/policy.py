"""The laws that open and close the gate of a blending group, by name.

Every law is pure: the same snapshot, memory and document give the same decision. What a law must
remember (the nowcast) is handed in and out. All laws fail closed: without fresh telephony data no task
is pushed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from router.policies.blending.document import PolicyDocument
from router.policies.blending.model import Candidate, GateDecision, RecallPlan, Snapshot
from router.policies.blending.nowcast import (
    Nowcast,
    advance,
    calls_to_go,
    forecast_rate,
    rate_now,
    start,
)
from router.policies.blending.recall import plan_recalls
from router.policies.blending.service_level import Resolved, required_to_go, resolved

if TYPE_CHECKING:
    from router.policies.blending.reserve import ReserveQuestion, Reserves

_SHORTEST_S = 0.1
_LONGEST_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What a law keeps between two decisions. Starting with an empty one is safe, only less informed."""

    nowcast: Nowcast | None = None


class BlendingPolicy(Protocol):
    """A control law with its constants."""

    @property
    def document(self) -> PolicyDocument: ...

    def decide(self, snapshot: Snapshot, memory: Memory) -> tuple[GateDecision, Memory]:
        """Set the gate. May take milliseconds for large groups: run it beside the event loop."""
        ...

    def recalls(
        self,
        snapshot: Snapshot,
        gate: GateDecision,
        candidates: Sequence[Candidate],
        sent_last_second: int = 0,
    ) -> RecallPlan:
        """Choose whom to take back now, under the gate last decided."""
        ...


class Figures(NamedTuple):
    """The inputs of a decision after unusable measurements were replaced by the document's beliefs."""

    aht_s: float
    task_s: float
    reaction_s: float
    lost_s: float
    rate_per_s: float
    ratio: float
    to_go: float
    so_far: Resolved
    required: float


class _Law(ABC):
    """What all laws share: fail closed, the nowcast, the bounds of the allowance, recall."""

    def __init__(self, document: PolicyDocument) -> None:
        self._document = document

    @property
    def document(self) -> PolicyDocument:
        return self._document

    def decide(self, snapshot: Snapshot, memory: Memory) -> tuple[GateDecision, Memory]:
        """Set the gate from a snapshot. While the feed is stale the memory stays as it was."""
        if self._document.is_stale(snapshot.feed_age_s):
            return self._stale(snapshot), memory
        figures, memory = self._figures(snapshot, memory)
        if snapshot.logged_in <= 0:
            return self._closed(snapshot, figures, "no agent is logged in"), memory
        return self._decide(snapshot, figures), memory

    def recalls(
        self,
        snapshot: Snapshot,
        gate: GateDecision,
        candidates: Sequence[Candidate],
        sent_last_second: int = 0,
    ) -> RecallPlan:
        """Just-in-time recalls first, then those ahead of a shortage; see ``recall.plan_recalls``."""
        return plan_recalls(self._document, snapshot, gate, candidates, sent_last_second)

    @abstractmethod
    def _decide(self, snapshot: Snapshot, figures: Figures) -> GateDecision: ...

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

    def _closed(self, snapshot: Snapshot, figures: Figures, reason: str) -> GateDecision:
        staff = max(snapshot.logged_in, 0)
        told = {"law": self._document.law, "reason": reason, **_told(snapshot, figures)}
        rate = figures.rate_per_s
        return GateDecision(False, 0, staff, staff, False, figures.required, rate, explanation=told)

    def _figures(self, snapshot: Snapshot, memory: Memory) -> tuple[Figures, Memory]:
        document = self._document
        aht = _usable(snapshot.aht_s, document.prior_aht_s)
        past, half_life = memory.nowcast, document.nowcast_half_life_s
        nowcast = start(snapshot, aht) if past is None else advance(past, snapshot, half_life)
        to_go = calls_to_go(nowcast, snapshot, document.nowcast_kappa_calls)
        so_far = resolved(
            document.service_level_formula,
            max(snapshot.answered, 0),
            max(snapshot.answered_in_target, 0),
            max(snapshot.abandoned, 0),
            max(snapshot.short_abandoned, 0),
        )
        figures = Figures(
            aht_s=aht,
            task_s=_usable(snapshot.task_s, document.prior_task_s),
            reaction_s=_usable(snapshot.recall_reaction_s, document.recall_reaction_initial_s, least=0.0),
            lost_s=_usable(snapshot.work_lost_s, document.work_lost_initial_s, least=0.0),
            rate_per_s=rate_now(nowcast, snapshot, document.nowcast_kappa_calls),
            ratio=nowcast.ratio(document.nowcast_kappa_calls),
            to_go=to_go,
            so_far=so_far,
            required=self._required(so_far, snapshot.waiting, to_go),
        )
        return figures, Memory(nowcast)

    def _required(self, so_far: Resolved, waiting: int, to_go: float) -> float:
        d = self._document
        return required_to_go(
            so_far, waiting, to_go, d.target_share, d.margin, d.z, d.required_min, d.required_max
        )

    def _recall_age(self, reaction_s: float) -> float | None:
        """Age at which a call triggers a recall, None if recall is switched off or too slow to help."""
        age = self._document.target_s - reaction_s - self._document.recall_guard_s
        return age if self._document.recall_enabled and age > 0.0 else None

    def _gate(
        self,
        snapshot: Snapshot,
        figures: Figures,
        reserve: int,
        firm: int,
        recall_age_s: float | None,
        told: Mapping[str, float | str],
    ) -> GateDecision:
        """Open the gate for as many agents as the reserve and the largest share leave."""
        staff = snapshot.logged_in
        reserve, firm = min(reserve, staff), min(max(firm, reserve), staff)
        # The small addition keeps 0.29 · 100 at 29, where floats alone would make it 28.
        most = math.floor(self._document.max_share_on_tasks * staff + 1e-9)
        allowance = max(0, min(most, staff - reserve))
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
            tasks_ahead=self._tasks_ahead(snapshot, figures),
            explanation={"law": self._document.law, "reason": reason, **_told(snapshot, figures), **told},
        )

    def _tasks_ahead(self, snapshot: Snapshot, figures: Figures) -> float | None:
        """Agents whom the calls can spare at the end of the look-ahead: staff, less load, plus chance."""
        if not self._document.recall_enabled:
            return None
        at_ms = snapshot.now_ms + round(self._document.shortage_lookahead_s * 1000.0)
        if not any(interval.covers(at_ms) for interval in snapshot.forecast):
            return None
        load = figures.ratio * forecast_rate(snapshot.forecast, at_ms) * figures.aht_s
        chance = self._document.shortage_sigmas * math.sqrt(load)
        return max(0.0, snapshot.logged_in + _staff_change(snapshot, at_ms) - load + chance)


class ServiceLevelToGo(_Law):
    """The default law: keep the reserve that the rest of the window needs, or a smaller one with recall."""

    def _decide(self, snapshot: Snapshot, figures: Figures) -> GateDecision:
        # Loaded with the first decision: numpy takes a tenth of a second, for which no start of a router should wait.
        from router.policies.blending.reserve import reserves

        answer = reserves(self._question(snapshot, figures))
        extra = self._hysteresis(snapshot)
        age = self._recall_age(figures.reaction_s) if answer.armed else None
        told = _told_reserves(answer, extra)
        return self._gate(snapshot, figures, answer.interruptible + extra, answer.firm + extra, age, told)

    def _question(self, snapshot: Snapshot, figures: Figures) -> ReserveQuestion:
        from router.policies.blending.chain import Chain
        from router.policies.blending.reserve import ReserveQuestion

        document = self._document
        return ReserveQuestion(
            chain=Chain(figures.rate_per_s, figures.aht_s, figures.task_s, snapshot.logged_in),
            required=figures.required,
            within_s=document.target_s,
            reaction_s=figures.reaction_s,
            lost_s=figures.lost_s,
            guard_s=document.recall_guard_s,
            loss_floor_s=document.loss_floor_s,
            recall_allowed=document.recall_enabled,
            floor=document.reserve_min,
        )

    def _hysteresis(self, snapshot: Snapshot) -> int:
        """Agents added to the reserve while calls wait or agents return, and for a while after a recall."""
        recalled = snapshot.last_recall_ms
        hold_ms = self._document.hysteresis_hold_s * 1000.0
        recent = recalled is not None and snapshot.now_ms - recalled < hold_ms
        in_danger = snapshot.waiting > 0 or snapshot.returning > 0 or recent
        return self._document.hysteresis_agents if in_danger else 0


class StaticReserve(_Law):
    """A fixed number of idle agents is kept back; recall just in time as the document allows."""

    def _decide(self, snapshot: Snapshot, figures: Figures) -> GateDecision:
        reserve = max(self._document.static_reserve, self._document.reserve_min)
        return self._gate(snapshot, figures, reserve, reserve, self._recall_age(figures.reaction_s), {})


class Greedy(_Law):
    """Any idle agent gets a task and nobody is recalled: the yardstick of what is lost without control."""

    def _decide(self, snapshot: Snapshot, figures: Figures) -> GateDecision:
        return self._gate(snapshot, figures, 0, 0, None, {})

    def _tasks_ahead(self, snapshot: Snapshot, figures: Figures) -> float | None:
        return None


class NoBlending(_Law):
    """No task is pushed; those still running end by themselves, or are recalled for waiting calls."""

    def _decide(self, snapshot: Snapshot, figures: Figures) -> GateDecision:
        closed = self._closed(snapshot, figures, "the law no_blending pushes no task")
        age = self._recall_age(figures.reaction_s)
        ahead = self._tasks_ahead(snapshot, figures)
        return replace(closed, armed=age is not None, recall_age_s=age, tasks_ahead=ahead)


LAWS: Mapping[str, type[_Law]] = {
    "service_level_to_go": ServiceLevelToGo,
    "static_reserve": StaticReserve,
    "greedy": Greedy,
    "no_blending": NoBlending,
}


def build_policy(document: PolicyDocument) -> BlendingPolicy:
    """The law that the document names, with its constants."""
    return LAWS[document.law](document)


class PushSituation(NamedTuple):
    """What is known of one agent and one task at the moment of a push; unknown ends are None."""

    idle: int
    idle_for_s: float
    waiting: int
    on_tasks: int
    interruptible: bool
    expected_task_s: float
    ready_for_s: float | None = None


def push_obstacle(document: PolicyDocument, gate: GateDecision, push: PushSituation) -> str | None:
    """The first condition of the law that forbids this push, in words, or None.

    ``ready_for_s`` is the time until the agent's next break or the end of the shift.
    """
    reserve = gate.reserve if push.interruptible else gate.reserve_firm
    if not gate.open:
        return f"the gate is closed: {gate.explanation.get('reason', 'no reason given')}"
    if push.waiting > 0:
        return "a call is waiting"
    if push.on_tasks >= gate.allowance:
        return f"{push.on_tasks} agents are on tasks and the allowance is {gate.allowance}"
    if push.idle <= reserve:
        return f"{push.idle} agents are idle and the reserve is {reserve}"
    if push.idle_for_s < document.min_idle_s:
        return f"the agent has been idle for less than {document.min_idle_s:g} s"
    if push.ready_for_s is not None and push.ready_for_s < push.expected_task_s:
        return "the agent's break or shift end comes before the task is expected to end"
    return None


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


def _told_reserves(answer: Reserves, extra: int) -> dict[str, float | str]:
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


def _staff_change(snapshot: Snapshot, at_ms: int) -> float:
    """Scheduled staff at a coming moment less that of now; 0 where the schedule is not known."""
    now = next((i.staff for i in snapshot.forecast if i.covers(snapshot.now_ms)), None)
    then = next((i.staff for i in snapshot.forecast if i.covers(at_ms)), None)
    return then - now if now is not None and then is not None else 0.0


def _usable(measured: float | None, believed: float, least: float = _SHORTEST_S) -> float:
    """A measured time, or the belief where there is none or it is no possible time."""
    # Not a number fails both comparisons.
    return measured if measured is not None and least <= measured <= _LONGEST_S else believed
