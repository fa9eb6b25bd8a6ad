"""What only a group's leader knows, shared through the store so that any worker can show it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

from router.domain.errors import NotFound
from router.domain.ports import Store

KIND = "leader"
_encode = json.JSONEncoder(separators=(",", ":")).encode


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
        """One JSON line."""
        to_go, calls, task_s = map(_encode, (self.to_go, self.calls_per_hour, self.task_s))
        reactions = _list_text(self.reactions_s)
        return f'{{"to_go":{to_go},"calls_per_hour":{calls},"reactions_s":{reactions},"task_s":{task_s}}}'

    @classmethod
    def from_text(cls, text: str) -> LeaderFigures:
        """The inverse of :meth:`to_text`."""
        told = json.loads(text)
        return cls(told["to_go"], told["calls_per_hour"], tuple(told["reactions_s"]), told.get("task_s"))


@lru_cache(maxsize=64)
def _list_text(numbers: tuple[float, ...]) -> str:
    """Numbers as JSON. Remembered: a thousand reactions are told every second, and a recall alone changes them."""
    return _encode(numbers)


async def leader_figures(store: Store, site: str, group: str) -> LeaderFigures:
    """What the group's leader told last; nothing where none ever led."""
    try:
        return LeaderFigures.from_text((await store.document(site, KIND, group)).body)
    except NotFound:
        return LeaderFigures()
