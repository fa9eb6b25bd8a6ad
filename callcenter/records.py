"""Call-by-call records of a real call center, turned into calls that can be played.

A CSV file with a header. Columns, in any order; others are passed over:

| column | holds |
|---|---|
| `arrival` | date and time at which the call came into the queue, ISO (`2024-05-06 09:15:02`); needed |
| `queue` | the call queue; without it all calls are of one |
| `wait_s` | seconds until the call was answered or given up; needed for the calls given up |
| `abandoned` | 1 or yes when the caller gave up, else 0, no or empty |
| `talk_s` | seconds of talk; empty when unknown |
| `after_s` | seconds of after-call work; empty when unknown |
| `handling_s` | talk and after-call work together, where the two are not known apart |

What the records do not tell is drawn: handling times that are unknown, those of callers who gave up, and the patience
of answered callers, of whom only is known that it was longer than their wait.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from callcenter.calls import CALL_QUEUE, Call, Handling, stream
from callcenter.distributions import Distribution
from callcenter.table import Row, rows
from callcenter.volumes import INTERVAL_S, Volumes

_DAY_S = 86_400
# Where so many draws of patience were shorter than the wait, the caller was more patient than the distribution knows.
_TRIES = 1000


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one call; None where it is not known. Seconds."""

    arrived: datetime
    queue: str = CALL_QUEUE
    wait_s: float | None = None
    abandoned: bool = False
    talk_s: float | None = None
    after_s: float | None = None
    handling_s: float | None = None

    @property
    def arrives_at(self) -> float:
        """Return the seconds from midnight to its arrival."""
        at = self.arrived
        return at.hour * 3600 + at.minute * 60 + at.second + at.microsecond / 1e6


def read_records(path: Path, names: Mapping[str, str] | None = None) -> list[Record]:
    """Read a file of call records, in order of arrival. `names` maps the file's own column names to those above.

    Raises ValueError that names file, line and column of what cannot be read.
    """
    return sorted(
        (_record(row) for row in rows(path, ("arrival",), names)), key=lambda record: record.arrived
    )


def calls_of(
    records: Sequence[Record], day: date, handling: Handling, seed: str, keep: float = 1.0
) -> list[Call]:
    """Return the calls of one day, numbered in order of arrival, with all that is not known drawn.

    `keep` keeps each call with that probability. The same seed draws the same for a queue's call at the same place.
    """
    places: dict[str, int] = {}
    calls: list[Call] = []
    for record in records:
        if record.arrived.date() == day:
            place = places[record.queue] = places.get(record.queue, -1) + 1
            rng = stream(seed, record.queue, place)
            if rng.random() < keep:
                calls.append(_call(record, len(calls), handling, rng))
    return calls


def count(records: Sequence[Record], queue: str, opens_at: int, closes_at: int) -> Volumes:
    """Return a queue's calls per five minutes of every day in the records, to forecast from.

    Calls outside the opening hours count in the first or the last interval. Raises ValueError for hours that are not
    within a day or not whole intervals of five minutes.
    """
    if not 0 <= opens_at < closes_at <= _DAY_S or (closes_at - opens_at) % INTERVAL_S:
        raise ValueError(
            f"opening hours must be whole five minutes within a day, not {opens_at} to {closes_at} s"
        )
    intervals = (closes_at - opens_at) // INTERVAL_S
    days = {day: [0] * intervals for day in sorted({record.arrived.date() for record in records})}
    for record in records:
        if record.queue == queue:
            place = int((record.arrives_at - opens_at) // INTERVAL_S)
            days[record.arrived.date()][min(max(place, 0), intervals - 1)] += 1
    return Volumes(opens_at, {day: tuple(counts) for day, counts in days.items()})


def _record(row: Row) -> Record:
    record = Record(
        row.moment("arrival"),
        row.text("queue", CALL_QUEUE),
        row.seconds("wait_s"),
        row.yes("abandoned"),
        row.seconds("talk_s"),
        row.seconds("after_s"),
        row.seconds("handling_s"),
    )
    if record.abandoned and record.wait_s is None:
        raise row.error("wait_s", "is empty for a call that was given up; its wait is its patience")
    return record


def _call(record: Record, number: int, handling: Handling, rng: random.Random) -> Call:
    talk_s, after_s = _times(record, handling, rng)
    if record.abandoned and record.wait_s is not None:
        patience_s = record.wait_s
    else:
        patience_s = _longer_than(record.wait_s or 0.0, handling.patience, rng)
    return Call(number, record.arrives_at, patience_s, talk_s, after_s, record.queue)


def _times(record: Record, handling: Handling, rng: random.Random) -> tuple[float, float]:
    """Return talk and after-call work: as far as known, else drawn. A caller who gave up has none to know."""
    talk_s, after_s = handling.draw_times(rng)
    if record.abandoned:
        return talk_s, after_s
    if record.handling_s is not None and record.talk_s is None:
        # The drawn call tells how the known time is shared out.
        whole_s = talk_s + after_s
        known_after_s = record.after_s
        if known_after_s is None:
            known_after_s = record.handling_s * after_s / whole_s if whole_s else 0.0
        return max(record.handling_s - known_after_s, 0.0), known_after_s
    return (
        talk_s if record.talk_s is None else record.talk_s,
        after_s if record.after_s is None else record.after_s,
    )


def _longer_than(wait_s: float, patience: Distribution, rng: random.Random) -> float:
    """Draw a patience given that it exceeds the wait."""
    for _ in range(_TRIES):
        if (drawn := patience.draw(rng)) > wait_s:
            return drawn
    return wait_s + patience.draw(rng)
