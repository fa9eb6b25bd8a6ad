"""How a shadow's decisions compare with those of the policy in force: figures that every worker can show."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from router.policies.blending import GateDecision

KIND = "shadow"
"""The kind of document under which a group's comparison is stored."""
LAST_KEPT = 20


@dataclass(frozen=True, slots=True)
class Side:
    """Sums over the decisions of one policy. ``recalls``: agents that its recall plans named."""

    open: int = 0
    allowance: int = 0
    reserve: int = 0
    reserve_firm: int = 0
    armed: int = 0
    recalls: int = 0

    def plus(self, decision: GateDecision) -> Side:
        """With one more decision."""
        return Side(
            self.open + decision.open,
            self.allowance + decision.allowance,
            self.reserve + decision.reserve,
            self.reserve_firm + decision.reserve_firm,
            self.armed + decision.armed,
            self.recalls,
        )


@dataclass(frozen=True, slots=True)
class Brief:
    """One decision, as far as it is compared."""

    open: bool
    allowance: int
    reserve: int
    reserve_firm: int
    armed: bool
    reason: str = ""

    @classmethod
    def of(cls, decision: GateDecision) -> Brief:
        """What counts of a decision."""
        reason = str(decision.explanation.get("reason", ""))
        gate = decision.open, decision.allowance, decision.reserve, decision.reserve_firm, decision.armed
        return cls(*gate, reason)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two decisions on one snapshot, made at ``at_ms``."""

    at_ms: int
    active: Brief
    shadow: Brief


@dataclass(frozen=True, slots=True)
class Comparison:
    """A shadow beside the version in force since ``since_ms``.

    ``compared``: decisions that both made; ``equal``: of these, with the same gate. ``errors``: decisions at which the
    shadow failed, with the text of the last. ``skipped``: those for which it was still busy. ``last``: newest last.
    """

    active_version: int
    shadow_version: int
    since_ms: int
    compared: int = 0
    equal: int = 0
    active: Side = Side()
    shadow: Side = Side()
    errors: int = 0
    last_error: str = ""
    skipped: int = 0
    last: tuple[Pair, ...] = field(default=())

    def of_same_versions(self, other: Comparison) -> bool:
        """Whether both compare the same two versions."""
        mine, theirs = (
            (self.active_version, self.shadow_version),
            (other.active_version, other.shadow_version),
        )
        return mine == theirs

    def decided(self, at_ms: int, active: GateDecision, shadow: GateDecision) -> Comparison:
        """With one more pair of decisions."""
        pair = Pair(at_ms, Brief.of(active), Brief.of(shadow))
        same = replace(pair.active, reason="") == replace(pair.shadow, reason="")
        return replace(
            self,
            compared=self.compared + 1,
            equal=self.equal + same,
            active=self.active.plus(active),
            shadow=self.shadow.plus(shadow),
            last=(*self.last[1 - LAST_KEPT :], pair),
        )

    def recalled(self, active: int, shadow: int) -> Comparison:
        """With one more pair of recall plans."""
        return replace(
            self,
            active=replace(self.active, recalls=self.active.recalls + active),
            shadow=replace(self.shadow, recalls=self.shadow.recalls + shadow),
        )

    def failed(self, error: str) -> Comparison:
        """With one more decision at which the shadow failed."""
        return replace(self, errors=self.errors + 1, last_error=error)

    def to_text(self) -> str:
        """One JSON line."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Comparison:
        """The inverse of :meth:`to_text`."""
        read: dict[str, Any] = json.loads(text)
        pairs = tuple(
            Pair(pair["at_ms"], Brief(**pair["active"]), Brief(**pair["shadow"])) for pair in read.pop("last")
        )
        active, shadow = Side(**read.pop("active")), Side(**read.pop("shadow"))
        return cls(**read, active=active, shadow=shadow, last=pairs)
