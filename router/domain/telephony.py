"""What an ACD says of its call queues, as values and as the text that the store keeps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from router.domain.model import AgentReport

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class ForecastInterval:
    """Calls expected and agents scheduled in one interval."""

    start_ms: int
    length_ms: int
    calls: float
    staff: float = 0.0


class CallQueueReport(NamedTuple):
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
        """One JSON line, opaque to the store. The forecast, which is long and seldom changes, comes last."""
        figures = [f'"{name}":{_value(value)}' for name, value in zip(self._fields[:-1], self, strict=False)]
        text = f"{{{','.join(figures)}{_FORECAST}{_FORECASTS.text(self.forecast)}}}"
        _READ.keep((self.id, text), self)
        return text

    @classmethod
    def from_text(cls, id: str, text: str) -> CallQueueReport:
        """The inverse of :meth:`to_text`; reads what an older or newer router wrote as far as both know it."""
        report = _READ.get((id, text))
        return report or _READ.keep((id, text), _report_from(id, text))


_KNOWN = frozenset(CallQueueReport._fields)
_FORECAST = ',"forecast":'


_json = json.JSONEncoder(separators=(",", ":")).encode


def _value(value: object) -> str:
    """One figure as JSON. Counts and ages are most of them, and an encoder for each costs ten times as much."""
    if type(value) is int:
        return str(value)
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else _json(value)


class _Latest(Generic[K, V]):
    """What was last asked for, by its key; the oldest is forgotten."""

    _KEPT = 256

    def __init__(self) -> None:
        self._kept: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """What was kept."""
        return self._kept.get(key)

    def keep(self, key: K, value: V) -> V:
        """Keep a value; the value again."""
        if len(self._kept) >= self._KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = value
        return value


_READ: _Latest[tuple[str, str], CallQueueReport] = _Latest()
"""A look reads the same figures again and again until the next report."""


class _ForecastTexts:
    """The texts of the forecasts last written, by identity: to compare one costs as much as to write it."""

    def __init__(self) -> None:
        self._texts: _Latest[int, tuple[tuple[ForecastInterval, ...], str]] = _Latest()

    def text(self, forecast: tuple[ForecastInterval, ...]) -> str:
        """A forecast as a JSON list."""
        kept = self._texts.get(id(forecast))
        if kept is None:
            items = [{name: getattr(item, name) for name in _INTERVAL} for item in forecast]
            # The forecast is kept with its text, so that its identity is nobody else's meanwhile.
            kept = self._texts.keep(id(forecast), (forecast, _json(items)))
        return kept[1]


_INTERVAL = tuple(field.name for field in fields(ForecastInterval))
_FORECASTS = _ForecastTexts()


def _report_from(id: str, text: str) -> CallQueueReport:
    figures, found, tail = text.partition(_FORECAST)
    read = {**json.loads(figures + "}" if found else text), "id": id}
    read["waiting_ages_ms"] = tuple(read.get("waiting_ages_ms", ()))
    read.update(_tail_from(tail) if found else {"forecast": _intervals(read.get("forecast", ()))})
    return CallQueueReport(**{name: value for name, value in read.items() if name in _KNOWN})


@lru_cache(maxsize=64)
def _tail_from(tail: str) -> dict[str, Any]:
    """The forecast, and whatever a newer router wrote after it; remembered, since most reports repeat it."""
    read: dict[str, Any] = json.loads('{"forecast":' + tail)
    read["forecast"] = _intervals(read["forecast"])
    return read


def _intervals(items: Iterable[dict[str, Any]]) -> tuple[ForecastInterval, ...]:
    return tuple(ForecastInterval(**item) for item in items)


class ReportBatch(NamedTuple):
    """One message of a telephony feed; without agents, queues and snapshot it is a heartbeat."""

    source: str
    epoch: str
    sequence: int
    snapshot: bool = False
    agents: Sequence[AgentReport] = ()
    queues: Sequence[CallQueueReport] = ()
