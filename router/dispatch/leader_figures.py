"""What only a group's leader knows, shared through the store so that any worker can show it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from router.domain.errors import NotFound
from router.domain.ports import Store

KIND = "leader"


@dataclass(frozen=True, slots=True)
class LeaderFigures:
    """Figures of a group's leader at its latest decision.

    to_go: service level that the rest of the window must reach. reactions_s: the latest recall reactions, in seconds.
    task_s: how long a task takes on average, in seconds.
    """

    to_go: float | None = None
    calls_per_hour: float = 0.0
    reactions_s: tuple[float, ...] = ()
    task_s: float | None = None

    def quantile(self, share: float) -> float | None:
        """The recall reaction that ``share`` of them did not exceed."""
        ordered = sorted(self.reactions_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None

    def to_text(self) -> str:
        """One JSON line; reactions to the millisecond."""
        fields = asdict(self)
        fields["reactions_s"] = [round(seconds, 3) for seconds in self.reactions_s]
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> LeaderFigures:
        """The inverse of :meth:`to_text`."""
        fields = json.loads(text)
        reactions = tuple(fields["reactions_s"])
        return cls(fields["to_go"], fields["calls_per_hour"], reactions, fields.get("task_s"))


async def leader_figures(store: Store, site: str, group: str) -> LeaderFigures:
    """What the group's leader told last; nothing where none ever led."""
    try:
        return LeaderFigures.from_text((await store.document(site, KIND, group)).body)
    except NotFound:
        return LeaderFigures()
