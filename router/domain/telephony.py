"""What an ACD says of its call queues, as values and as the text that the store keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from router.domain.model import AgentReport


@dataclass(frozen=True, slots=True)
class ForecastInterval:
    """Calls expected and agents scheduled in one interval."""

    start_ms: int
    length_ms: int
    calls: float
    staff: float = 0.0


@dataclass(frozen=True, slots=True)
class CallQueueReport:
    """Figures of one call queue. Totals count since ``window_start_ms``, the start of the service-level window.

    ``waiting_ages_ms``: how long each waiting call has waited at the moment of the report, oldest first.
    """

    id: str
    group: str = ""
    calls_waiting: int = 0
    oldest_wait_ms: int = 0
    waiting_ages_ms: tuple[int, ...] = ()
    offered: int = 0
    answered: int = 0
    answered_in_target: int = 0
    abandoned: int = 0
    short_abandoned: int = 0
    window_start_ms: int = 0
    window_end_ms: int = 0
    aht_ms: int = 0
    forecast: tuple[ForecastInterval, ...] = ()

    def to_text(self) -> str:
        """One JSON line, opaque to the store."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_text(cls, id: str, text: str) -> CallQueueReport:
        """The inverse of :meth:`to_text`; reads what an older or newer router wrote as far as both know it."""
        known = {field.name for field in fields(cls)}
        read = {name: value for name, value in json.loads(text).items() if name in known} | {"id": id}
        read["waiting_ages_ms"] = tuple(read.get("waiting_ages_ms", ()))
        read["forecast"] = tuple(ForecastInterval(**item) for item in read.get("forecast", ()))
        return cls(**read)


@dataclass(frozen=True, slots=True)
class ReportBatch:
    """One message of a telephony feed; without agents, queues and snapshot it is a heartbeat."""

    source: str
    epoch: str
    sequence: int
    snapshot: bool = False
    agents: Sequence[AgentReport] = ()
    queues: Sequence[CallQueueReport] = ()
