"""Where a day's calls come from: five-minute counts of one or several call queues, or call-by-call records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from callcenter.records import Record, count, read_records
from callcenter.volumes import DATA_FILE, HALF_HOUR_S, Volumes, load_queues

_RECORDS_HAVE = "arrival"
"""The column that only a file of records has."""


@dataclass(frozen=True, slots=True)
class Source:
    """Counts by call queue; ``records``: the calls themselves, where they are known. ``total``: all queues together."""

    queues: Mapping[str, Volumes]
    total: Volumes
    records: tuple[Record, ...] = ()


@lru_cache(maxsize=8)
def source_of(path: str) -> Source:
    """Read a file, '' for the committed days; its header tells which kind it is.

    Raises OSError, or ValueError that names file, line and column of what cannot be read.
    """
    file = Path(path) if path else DATA_FILE
    with file.open(encoding="utf-8-sig") as text:
        columns = [column.strip() for column in text.readline().split(",")]
    if _RECORDS_HAVE not in columns:
        queues = load_queues(file)
        return Source(queues, _added(file, queues))
    records = tuple(read_records(file))
    queues = _counted(file, records)
    return Source(queues, _added(file, queues), records)


def _counted(file: Path, records: tuple[Record, ...]) -> dict[str, Volumes]:
    """Counts of each queue from the first half hour in which a call ever came to the last."""
    if not records:
        raise ValueError(f"{file}: there are no calls in it")
    opens_at = math.floor(min(record.arrives_at for record in records) / HALF_HOUR_S) * HALF_HOUR_S
    closes_at = math.floor(max(record.arrives_at for record in records) / HALF_HOUR_S + 1) * HALF_HOUR_S
    names = sorted({record.queue for record in records})
    return {name: count(records, name, opens_at, closes_at) for name in names}


def _added(file: Path, queues: Mapping[str, Volumes]) -> Volumes:
    """All queues together; they are open on the same days and hours."""
    first = next(iter(queues.values()), None)
    if first is None:
        raise ValueError(f"{file}: there are no counts in it")
    hours = {
        (each.opens_at, *((day, len(counts)) for day, counts in each.days.items()))
        for each in queues.values()
    }
    if len(hours) > 1:
        raise ValueError(
            f"{file}: the call queues differ in their days or hours; give each line for every queue"
        )
    days = {
        day: tuple(map(sum, zip(*(each.days[day] for each in queues.values()), strict=True)))
        for day in first.days
    }
    return Volumes(first.opens_at, days)
