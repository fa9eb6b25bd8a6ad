"""What the router asks of every control law, and what a law keeps between two decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from router.policies.blending.handling import Handling
from router.policies.blending.model import Candidate, GateDecision, RecallPlan, Snapshot
from router.policies.blending.nowcast import Nowcast
from router.policies.blending.records import FrozenMap, Record, maybe

if TYPE_CHECKING:
    from router.policies.blending.document import PolicyDocument


@dataclass(frozen=True, slots=True)
class Memory(Record):
    """What a law keeps between two decisions. Starting with an empty one is safe, only less informed.

    ``own`` are numbers of the law named by ``law``; another law starts without them.
    """

    nowcast: Nowcast | None = field(default=None, metadata={"read": maybe(Nowcast.from_mapping)})
    handling: Handling | None = field(default=None, metadata={"read": maybe(Handling.from_mapping)})
    law: str = ""
    own: Mapping[str, float] = field(default=FrozenMap(), metadata={"read": FrozenMap})


class BlendingPolicy(Protocol):
    """A control law with its constants. Pure: the same input gives the same answer, bit by bit."""

    @property
    def document(self) -> PolicyDocument: ...

    def decide(self, snapshot: Snapshot, memory: Memory) -> tuple[GateDecision, Memory]:
        """Set the gate. May take milliseconds for large groups: run it beside the event loop."""
        ...

    def may_recall(self, snapshot: Snapshot, gate: GateDecision) -> bool:
        """Whether ``recalls`` could name anybody now, whoever is on a task; False spares reading all who are."""
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
