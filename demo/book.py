"""What the demo notes while the day runs, for the summary, the picture and the promises."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Book:
    """The demo's own ledger, kept apart from what the router says about itself. Times are simulated seconds.

    `completions` names each completion that the router acknowledged; `unsure` those whose answer never came.
    `recalls` and `reactions_s` are of recalls by the router: when it came, and how long until the agent was back at
    the calls. `unreserved` holds offers (by fence) that were shown to an agent whom the telephony did not have
    reserved, `beside_a_call` (agent, task) pairs where a call came to an agent at work, `late_offers` those made
    after the gate had been closed by hand. `tried_late` counts calls with an old fence, `late_effects` those that
    were not refused.
    """

    completions: list[tuple[str, float]] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    offers: int = 0
    accepted: int = 0
    rescinded: int = 0
    returned: int = 0
    revoked: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    recalls: list[float] = field(default_factory=list)
    reactions_s: list[float] = field(default_factory=list)
    unreserved: dict[int, str] = field(default_factory=dict)
    late_offers: int = 0
    gate_closed_at: float | None = None
    beside_a_call: dict[tuple[str, str], float] = field(default_factory=dict)
    tried_late: int = 0
    late_effects: int = 0
    gate: list[tuple[float, bool]] = field(default_factory=list)
    reserve: list[tuple[float, float]] = field(default_factory=list)
    firm: list[tuple[float, float]] = field(default_factory=list)
    lags_s: list[float] = field(default_factory=list)
    acknowledged_s: list[float] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    _recalled_at: dict[str, float] = field(default_factory=dict)

    def recalled(self, agent: str, at: float) -> None:
        """A recall was sent to an agent."""
        self.recalls.append(at)
        self._recalled_at.setdefault(agent, at)

    def back(self, agent: str, at: float) -> None:
        """An agent is back at the calls, recalled or not."""
        recalled_at = self._recalled_at.pop(agent, None)
        if recalled_at is not None:
            self.reactions_s.append(at - recalled_at)

    def lag(self, seconds: float) -> None:
        """Something happened so much later than it should have, because the driver was busy."""
        self.lags_s.append(max(0.0, seconds))

    def gate_seen(self, at: float, is_open: bool, staff: int, reserve: int, firm: int) -> None:
        """Note the gate as the supervisor's figures show it; only changes are kept.

        A reserve as large as the `staff` is none: the gate is closed, or no work that may not be interrupted goes out.
        """
        if not self.gate or self.gate[-1][1] != is_open:
            self.gate.append((at, is_open))
        _note(self.reserve, at, reserve, staff if is_open else 0)
        _note(self.firm, at, firm, staff if is_open else 0)


def _note(changes: list[tuple[float, float]], at: float, agents: int, staff: int) -> None:
    shown = float(agents) if agents < staff else math.nan
    # Not a number differs from itself; its text does not.
    if not changes or repr(changes[-1][1]) != repr(shown):
        changes.append((at, shown))
