"""Which policies were tried before they were to decide about calls: simulated, replayed, or as a shadow.

Kept beside the book, so that a trial changes no etag, and by the document rather than by the version: what is simulated
from a file counts when that file is stored later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from router.domain.errors import AlreadyExists, EtagMismatch, NotFound
from router.domain.ports import Clock, Store

KIND = "trials"
MOST_KEPT = 400
"""Documents of a group whose latest trial is known: twice as many as a book has versions."""


class Way(StrEnum):
    """How a policy was tried."""

    SIMULATED = "SIMULATED"
    REPLAYED = "REPLAYED"
    SHADOWED = "SHADOWED"


@dataclass(frozen=True, slots=True)
class Trial:
    """The latest trial of a document."""

    way: Way
    at_ms: int


@dataclass(frozen=True, slots=True)
class Trials:
    """The latest trials of a group's documents, by their digests; the newest last."""

    by_digest: Mapping[str, Trial]

    def of(self, text: str) -> Trial | None:
        """The latest trial of this document; None: it was never tried."""
        return self.by_digest.get(_digest(text))


class PolicyTrials:
    """The trials of every group."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def get(self, site: str, group: str) -> Trials:
        """What is known of a group's documents."""
        return (await self._read(site, group))[0]

    async def note(self, site: str, group: str, text: str, way: Way) -> None:
        """A document was tried just now."""
        while True:
            trials, etag = await self._read(site, group)
            others = [item for item in trials.by_digest.items() if item[0] != _digest(text)]
            latest = (_digest(text), Trial(way, self._clock.now_ms()))
            kept = dict((*others[1 - MOST_KEPT :], latest))
            try:
                await self._store.put_document(site, KIND, group, _to_text(kept), etag)
            except (AlreadyExists, EtagMismatch):
                continue  # another trial was noted in between: with it, again
            return

    async def _read(self, site: str, group: str) -> tuple[Trials, int]:
        try:
            document = await self._store.document(site, KIND, group)
        except NotFound:
            return Trials({}), 0
        return _from_text(document.body), document.etag


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _to_text(kept: Mapping[str, Trial]) -> str:
    return json.dumps({digest: [trial.way, trial.at_ms] for digest, trial in kept.items()})


def _from_text(text: str) -> Trials:
    return Trials({digest: Trial(Way(way), at) for digest, (way, at) in json.loads(text).items()})
