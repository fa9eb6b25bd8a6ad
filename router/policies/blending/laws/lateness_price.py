"""The law ``lateness_price``: one price for a late call over the rest of the window decides reserve and recalls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from router.policies.blending.fields import number, seconds
from router.policies.blending.laws.base import Figures, Law, Own
from router.policies.blending.model import GateDecision, Snapshot
from router.policies.blending.nowcast import Stretch, stretches

if TYPE_CHECKING:
    from router.policies.blending.outlook import Outlook, Rules

# Inputs are rounded to this, so that updates which differ by less than chance share their computation.
_RATIO_STEP = 0.02
_MOST_STRETCHES = 24
_LEAST_CALLS = 1e-9
_STEP = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """The constants of the law's own."""

    lowest_price_s: float = seconds(
        60.0, "least agent time that one more call in target is worth where agents can be recalled", 0.1
    )
    highest_price_s: float = seconds(4000.0, "most agent time that one more call in target is worth", 1.0)
    stretch_s: float = seconds(
        3600.0, "length of the stretches in which the rest of the window is planned", 1.0
    )
    bias_first: float = number(
        2.0, "late calls expected for each one predicted before any was seen, with recall", 0.1, 10.0
    )
    bias_calls: float = number(60.0, "predicted late calls that this expectation is worth", 0.001, 1e6)
    bias_half_life_s: float = seconds(14_400.0, "half-life of predicted and seen late calls", 1.0)


class Price(NamedTuple):
    """A price in agent-seconds a late call, and the share of calls that may be late in the present stretch.

    With ``late`` in every stretch nothing is left of what may be late: a price leaves a rest where a little less would
    take another reserve at once.
    """

    price_s: float
    late: float


class Plan(NamedTuple):
    """What was found for now: price in agent-seconds a late call, mean reserves in agents, share of calls late."""

    price_s: float
    reserve: float
    firm: float
    late: float


class LatenessPrice(Law):
    """Late calls are a budget that the rest of the window may spend where they save most agent time.

    The service level to go leaves ``(1 − required)·M`` of the M calls to come late. At a price ν in agent-seconds
    a late call, each stretch of the window takes the reserve with the least ``idle + λ·(c·recalls + ν·late)``, where
    a recall (cost c: reaction and work lost) is sent for a call whose chance to be late otherwise is c/ν or more;
    ν is the lowest price at which the plan keeps to the budget. Late calls seen against those predicted correct
    the predictions.

    Sources: the reserve as a threshold, Bhulai & Koole, *A queueing model for call blending in call centers*, IEEE
    TAC 48(8), 2003; one multiplier for one constraint over many stretches is Everett's, *Generalized Lagrange
    multiplier method*, Operations Research 11, 1963; their use for recalls, and the correction, are this project's.
    """

    Parameters = Constants
    parameters: Constants

    def remember(self, snapshot: Snapshot, figures: Figures, own: Own) -> Own:
        """Learn from the late calls since the last look, and plan anew."""
        seen, expected = self._learnt(snapshot, figures, own)
        bias = self._bias(seen, expected)
        plan = self._plan(snapshot, figures, bias)
        # A reserve between two whole numbers is kept in the mean: what rounding takes, the next looks give back.
        carried = own.get("carried", 0.0) + plan.reserve
        reserve = max(math.floor(carried + 0.5), 0)
        return {
            "at_ms": float(snapshot.now_ms),
            "calls": float(figures.so_far.calls),
            "late": float(figures.so_far.calls - figures.so_far.in_target),
            "seen": seen,
            "expected": expected,
            "price_s": plan.price_s,
            "reserve": float(reserve),
            "carried": carried - reserve,
            "firm": max(plan.firm, float(reserve)),
            "predicted": plan.late,
        }

    def choose(self, snapshot: Snapshot, figures: Figures, own: Own) -> GateDecision:
        """Open the gate for what the plan leaves, and recall where a late call costs more."""
        age = self.recall_age_s(figures.reaction_s)
        reserve = max(int(own["reserve"]), self.document.reserve_min, 0 if age is None else 1)
        firm = max(reserve, math.ceil(own["firm"]))
        told = {
            "price_of_a_late_call_s": own["price_s"],
            "late_share_predicted": min(1.0, own["predicted"] * self._bias(own["seen"], own["expected"])),
            "late_seen_over_predicted": self._bias(own["seen"], own["expected"]),
            "reserve_interruptible": float(reserve),
            "reserve_firm": float(firm),
        }
        if age is None:
            spared = self._spared(snapshot, figures)
            return self.open_gate(snapshot, figures, reserve, firm, None, told, most_on_tasks=spared)
        chance = min(1.0, self._recall_cost_s(figures) / own["price_s"])
        told["recall_least_chance_to_be_late"] = chance
        gate = self.open_gate(snapshot, figures, reserve, firm, age, told)
        return gate.recalling_by_chance(chance, figures.aht_s, figures.task_s)

    def tasks_ahead(self, snapshot: Snapshot, figures: Figures) -> float | None:
        """None: the plan sees a shortage in its own stretch, and holds back by the reserve and by recalls."""
        return None

    def _spared(self, snapshot: Snapshot, figures: Figures) -> float:
        """Agents that may be on tasks at once without recall: those whom the calls can spare, granted some chance.

        A reserve is reckoned for calls that come as they did before. After an opening or a lull few agents are on calls
        yet; they will be, long before the tasks are done that a reserve alone would let go out.
        """
        load = figures.rate_per_s * figures.aht_s
        return snapshot.logged_in - load + self.document.shortage_sigmas * math.sqrt(load)

    # -- what was learnt -------------------------------------------------------------------------------
    def _learnt(self, snapshot: Snapshot, figures: Figures, own: Own) -> tuple[float, float]:
        """Late calls seen and predicted so far, fading. Counters that fell count anew."""
        if not own:
            return 0.0, 0.0
        elapsed_s = max(0.0, snapshot.now_ms - own["at_ms"]) / 1000.0
        fade = 0.5 ** (elapsed_s / self.parameters.bias_half_life_s)
        calls = figures.so_far.calls - own["calls"]
        late = figures.so_far.calls - figures.so_far.in_target - own["late"]
        if calls < 0 or late < 0:
            return own["seen"] * fade, own["expected"] * fade
        return own["seen"] * fade + late, own["expected"] * fade + own["predicted"] * calls

    def _bias(self, seen: float, expected: float) -> float:
        """Late calls for each one predicted."""
        belief = self.parameters.bias_calls
        first = self.parameters.bias_first if self.document.recall_enabled else 1.0
        return (belief * first + seen) / (belief + expected)

    # -- the plan --------------------------------------------------------------------------------------
    def _plan(self, snapshot: Snapshot, figures: Figures, bias: float) -> Plan:
        rules = self._rules(figures)
        now = self._outlook(figures, rules, [_now(snapshot, figures)])
        found = self._price(snapshot, figures, rules, bias)
        # No stretch is given up for the others: what is planned for now may not fall under the lowest level.
        most = (1.0 - self.document.required_min) / bias
        least_s = 0.0 if rules.age_s is None else self.parameters.lowest_price_s
        price_s = min(max(found.price_s, now.lowest_price_s(most), least_s), rules.highest_price_s)
        choice = now.at(price_s)
        if now.crowded:
            # Nobody to spare; with recall, those who are idle all the same may work until they are needed.
            least = snapshot.logged_in if rules.age_s is None else choice.reserve
            return Plan(price_s, least, snapshot.logged_in, choice.late)
        if rules.age_s is None:
            return self._held(now, price_s, min(found.late, most), snapshot.logged_in)
        # Work that cannot be recalled may not lean on recalls: its reserve alone keeps to what is required.
        firm = max(now.firm(price_s).reserve, now.reserve_for(1.0 - figures.required))
        return Plan(price_s, choice.reserve, min(firm, float(snapshot.logged_in)), choice.late)

    def _held(self, now: Outlook, price_s: float, late: float, staff: int) -> Plan:
        """Without recall: the reserve with which this share of calls is late, or as near to it as one comes."""
        late = min(max(late, float(now.late[0, -1])), float(now.late[0, 0]))
        reserve = min(now.reserve_for(late), float(staff))
        return Plan(price_s, reserve, reserve, late)

    def _price(self, snapshot: Snapshot, figures: Figures, rules: Rules, bias: float) -> Price:
        """The lowest price at which the calls to come meet what is required; the highest where none does."""
        import numpy as np

        ahead, allowed = self._ahead(snapshot, figures), 1.0 - figures.required
        rounded = figures._replace(aht_s=_coarse(figures.aht_s), task_s=_coarse(figures.task_s))
        late = self._outlook(rounded, rules, ahead).late_by_price
        calls = np.array([part.calls for part in ahead])
        share = calls @ (bias * late).clip(max=1.0) / max(float(calls.sum()), _LEAST_CALLS)
        enough = np.flatnonzero(share <= allowed)
        if not enough.size:
            return Price(rules.highest_price_s, float(late[0, -1]))
        found = enough[0]
        return Price(float(rules.prices_s()[found]), float(late[0, found] + (allowed - share[found]) / bias))

    def _ahead(self, snapshot: Snapshot, figures: Figures) -> list[Stretch]:
        """The stretches of the rest of the window with the calls expected in each, longer ones where they are many."""
        ratio = _coarse(figures.ratio)
        left_s, length_s = (snapshot.window_end_ms - snapshot.now_ms) / 1000.0, self.parameters.stretch_s
        while left_s > _MOST_STRETCHES * length_s:
            length_s *= 2.0
        found = stretches(snapshot, length_s)
        if not found:
            return [_now(snapshot, figures)]
        return [Stretch(ratio * p.calls, _coarse(ratio * p.rate_per_s), p.staff) for p in found]

    def _outlook(self, figures: Figures, rules: Rules, parts: Sequence[Stretch]) -> Outlook:
        # Loaded with the first decision: numpy takes a tenth of a second, for which no start of a router should wait.
        from router.policies.blending.chain import Chain
        from router.policies.blending.outlook import outlook

        times = (figures.aht_s, figures.task_s)
        chains = (Chain(part.rate_per_s, *times, max(round(part.staff), 1)) for part in parts)
        return outlook(tuple(chains), rules)

    def _rules(self, figures: Figures) -> Rules:
        from router.policies.blending.outlook import Rules

        document, age = self.document, self.recall_age_s(figures.reaction_s)
        highest = self.parameters.highest_price_s
        if age is None:
            return Rules(document.target_s, highest)
        # Half of the guard is for the ringing of the call that an agent who comes free is given.
        left = document.target_s - age - document.recall_guard_s / 2.0
        cost = self._recall_cost_s(figures)
        return Rules(document.target_s, highest, _coarse(left), _coarse(cost), _coarse(age))

    def _recall_cost_s(self, figures: Figures) -> float:
        """Agent time that a recall costs: the way back, and the work lost."""
        return figures.reaction_s + max(figures.lost_s, self.document.loss_floor_s)


def _now(snapshot: Snapshot, figures: Figures) -> Stretch:
    """The present as a stretch; its calls are one as good as another, as it stands alone."""
    return Stretch(1.0, figures.rate_per_s, float(snapshot.logged_in))


def _coarse(value: float) -> float:
    """A time or rate to the nearest hundredth of itself: what is learnt moves by less than that in most updates."""
    return math.exp(round(math.log(value) / _STEP) * _STEP) if value > 0.0 else 0.0
