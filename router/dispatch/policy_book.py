"""Policies as versioned documents, one book per blending group.

A group without a book is run by the built-in default, version 0. A stored version never changes; activating one and
rolling back move a pointer, and the etag guards every change.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, replace
from functools import lru_cache

from router.dispatch.caller import Caller
from router.dispatch.policy_trials import PolicyTrials, Way
from router.domain.errors import READ_AGAIN, AlreadyExists, EtagMismatch, InvalidInput, NotFound, WrongState
from router.domain.ports import Clock, Store
from router.policies.blending import PolicyDocument, PolicyError

KIND = "policy"
MAX_VERSIONS = 200
WHOLE = "(document)"
"""The field of a problem that concerns the whole document."""
_REQUESTS = 32
"""Request ids of the latest changes that are kept."""
_FRESH_S = 5.0

BUILT_IN = PolicyDocument()
"""Version 0: what decides where nothing was stored."""

log = logging.getLogger(__name__)


@lru_cache(maxsize=64)
def parsed(text: str) -> PolicyDocument:
    """A document from its text. Remembered: each book is read again every few seconds, and YAML takes 20 ms."""
    return PolicyDocument.parse(text)


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One stored document: immutable."""

    version: int
    text: str
    author: str
    at_ms: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """A group's book. ``activations``: versions in the order in which they became active, the last one decides."""

    group: str
    etag: int = 0
    versions: tuple[PolicyVersion, ...] = ()
    activations: tuple[tuple[int, int], ...] = field(default=())
    """(version, when in ms)."""
    requests: tuple[tuple[str, int], ...] = ()
    """(request id, version that it stored or made active) of the latest changes, so that they can be repeated."""
    shadow: int | None = None
    """The version that decides beside the active one, without effect."""

    @property
    def active(self) -> int:
        """The version that decides; 0 is the built-in default."""
        return self.activations[-1][0] if self.activations else 0

    @property
    def latest(self) -> int:
        """The highest version stored."""
        return self.versions[-1].version if self.versions else 0

    def answered(self, request_id: str) -> int | None:
        """The version that an earlier call with this request id stored or made active."""
        return dict(self.requests).get(request_id) if request_id else None

    def text_of(self, version: int) -> str:
        """The document of a version."""
        if version == 0:
            return BUILT_IN.to_yaml()
        for stored in self.versions:
            if stored.version == version:
                return stored.text
        raise NotFound(
            f"policy of group {self.group!r} has no version {version}; the latest is {self.latest}"
        )

    def document(self) -> PolicyDocument:
        """The document that decides now."""
        return parsed(self.text_of(self.active)) if self.active else BUILT_IN


def _to_text(record: PolicyRecord) -> str:
    versions = [[v.version, v.text, v.author, v.at_ms, v.comment] for v in record.versions]
    kept = {"versions": versions, "activations": record.activations, "requests": record.requests}
    return json.dumps(kept | {"shadow": record.shadow})


@lru_cache(maxsize=64)
def _from_text(group: str, etag: int, text: str) -> PolicyRecord:
    """A book from its document. Remembered, as it is read again every few seconds and seldom changes."""
    fields = json.loads(text)
    versions = tuple(PolicyVersion(*item) for item in fields["versions"])
    activations = tuple((int(version), int(at)) for version, at in fields["activations"])
    requests = tuple((str(id), int(version)) for id, version in fields.get("requests", ()))
    return PolicyRecord(group, etag, versions, activations, requests, fields.get("shadow"))


def problems(text: str) -> list[tuple[str, str]]:
    """What is wrong with a document: (field, problem and fix). Empty: it is valid."""
    try:
        PolicyDocument.parse(text)
    except PolicyError as error:
        return [(problem.field, f"{problem.problem}; {problem.fix}") for problem in error.problems]
    return []


@dataclass(frozen=True, slots=True)
class _Read:
    """What a group's book said when it was read: version and document in force, and of the shadow if there is one."""

    at_s: float
    active: tuple[int, PolicyDocument]
    shadow: tuple[int, PolicyDocument] | None = None


def _shadow_of(record: PolicyRecord) -> tuple[int, PolicyDocument] | None:
    """The shadow; none where its document can be read no more, as when the package of its law has gone."""
    if record.shadow is None:
        return None
    try:
        return record.shadow, parsed(record.text_of(record.shadow))
    except (NotFound, PolicyError) as error:
        log.warning("group %s: the shadow, version %d, is left out: %s", record.group, record.shadow, error)
        return None


class PolicyBook:
    """The policies of every site that this process serves."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.trials = PolicyTrials(store, clock)
        self._store = store
        self._clock = clock
        self._cache: dict[tuple[str, str], _Read] = {}
        self._named: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._notices_ms: dict[str, int] = {}

    async def groups(self, site: str) -> tuple[str, ...]:
        """Groups for which a policy is stored."""
        cached = self._named.get(site)
        if cached and self._clock.monotonic() - cached[0] < _FRESH_S:
            return cached[1]
        stored = tuple(document.id for document in await self._store.documents(site, KIND))
        self._named[site] = (self._clock.monotonic(), stored)
        return stored

    async def active(self, site: str, group: str) -> tuple[int, PolicyDocument]:
        """The version and document that decide for a group now."""
        return (await self._read(site, group)).active

    async def shadow(self, site: str, group: str) -> tuple[int, PolicyDocument] | None:
        """The version and document that decide beside the active ones, if any."""
        return (await self._read(site, group)).shadow

    async def _read(self, site: str, group: str) -> _Read:
        cached = self._cache.get((site, group))
        if cached and self._clock.monotonic() - cached.at_s < _FRESH_S:
            return cached
        record = await self.get(site, group)
        read = _Read(self._clock.monotonic(), (record.active, record.document()), _shadow_of(record))
        self._cache[site, group] = read
        self._notices_ms.pop(site, None)
        return read

    def known(self, site: str, group: str) -> PolicyDocument:
        """The document last seen; the default where none was."""
        cached = self._cache.get((site, group))
        return cached.active[1] if cached else BUILT_IN

    def known_notice_ms(self, site: str) -> int:
        """The longest recall notice among the site's groups, for the telephony's own recalls."""
        known_ms = self._notices_ms.get(site)
        if known_ms is None:
            notices = [read.active[1].notice_s for (s, _), read in self._cache.items() if s == site]
            known_ms = self._notices_ms[site] = round(max(notices, default=BUILT_IN.notice_s) * 1000)
        return known_ms

    def forget(self, site: str, group: str) -> None:
        """The stored book may have changed."""
        self._cache.pop((site, group), None)
        self._notices_ms.pop(site, None)
        self._named.pop(site, None)

    async def get(self, site: str, group: str) -> PolicyRecord:
        """A group's book; an empty one where nothing was stored."""
        try:
            document = await self._store.document(site, KIND, group)
        except NotFound:
            return PolicyRecord(group)
        return _from_text(group, document.etag, document.body)

    async def tried(self, site: str, group: str, version: int, way: Way) -> None:
        """Remember that a version was tried just now; one that is kept no more is left out."""
        try:
            text = (await self.get(site, group)).text_of(version)
        except NotFound:
            return
        await self.trials.note(site, group, text, way)

    async def put(
        self,
        caller: Caller,
        group: str,
        text: str,
        etag: int | None,
        comment: str = "",
        request_id: str = "",
    ) -> PolicyRecord:
        """Store a new version, not yet active. InvalidInput names each field."""
        if found := problems(text):
            raise InvalidInput(
                [("policy.document" + ("" if name == WHOLE else f".{name}"), t) for name, t in found]
            )
        record = await self.get(caller.site, group)
        if record.answered(request_id) is not None:
            return record
        if len(record.versions) >= MAX_VERSIONS:
            record = replace(record, versions=_without_oldest(record))
        version = PolicyVersion(record.latest + 1, text, caller.actor, self._clock.now_ms(), comment)
        changed = replace(record, versions=(*record.versions, version))
        return await self._save(caller, changed, etag, request_id, version.version)

    async def activate(
        self, caller: Caller, group: str, version: int, etag: int | None, request_id: str = ""
    ) -> PolicyRecord:
        """Let a version decide from now on."""
        record = await self.get(caller.site, group)
        record.text_of(version)
        if record.active == version or record.answered(request_id) is not None:
            return record
        activations = (*record.activations[-MAX_VERSIONS:], (version, self._clock.now_ms()))
        shadow = None if record.shadow == version else record.shadow
        changed = replace(record, activations=activations, shadow=shadow)
        return await self._save(caller, changed, etag, request_id, version)

    async def set_shadow(
        self, caller: Caller, group: str, version: int | None, etag: int | None, request_id: str = ""
    ) -> PolicyRecord:
        """Let a version decide beside the active one, without effect; None: none any more."""
        record = await self.get(caller.site, group)
        if version is not None:
            record.text_of(version)
        if record.shadow == version or record.answered(request_id) is not None:
            return record
        changed = replace(record, shadow=version)
        return await self._save(
            caller, changed, etag, request_id, record.active if version is None else version
        )

    async def roll_back(
        self, caller: Caller, group: str, etag: int | None = None, request_id: str = ""
    ) -> PolicyRecord:
        """Let the version decide that was active before."""
        record = await self.get(caller.site, group)
        if record.answered(request_id) is not None:
            return record
        if not record.activations:
            raise WrongState(
                f"group {group!r} has always been run by the default policy, there is nothing to go back to",
                "NO_EARLIER_VERSION",
            )
        back = replace(record, activations=record.activations[:-1])
        return await self._save(caller, back, etag, request_id, back.active)

    async def _save(
        self, caller: Caller, record: PolicyRecord, etag: int | None, request_id: str, version: int
    ) -> PolicyRecord:
        if request_id:
            requests = (*record.requests[1 - _REQUESTS :], (request_id, version))
            record = replace(record, requests=requests)
        expected = record.etag if etag is None else etag
        try:
            document = await self._store.put_document(
                caller.site, KIND, record.group, _to_text(record), expected
            )
        except AlreadyExists:
            raise EtagMismatch(f"policy of group {record.group!r} was just made: {READ_AGAIN}") from None
        finally:
            self.forget(caller.site, record.group)
        return replace(record, etag=document.etag)


def _without_oldest(record: PolicyRecord) -> tuple[PolicyVersion, ...]:
    used = {version for version, _ in record.activations[-2:]} | {record.shadow}
    for i, stored in enumerate(record.versions):
        if stored.version not in used:
            return record.versions[:i] + record.versions[i + 1 :]
    return record.versions
