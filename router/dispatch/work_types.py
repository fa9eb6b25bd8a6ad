"""Work types: stored as documents, cached per process, dropped from the cache when a hint says they changed."""

from __future__ import annotations

import json
from dataclasses import asdict

from router.dispatch.caller import Caller
from router.domain.errors import (
    READ_AGAIN,
    AlreadyExists,
    EtagMismatch,
    InvalidInput,
    NotFound,
    WrongState,
)
from router.domain.model import Document, RelaxationStep, TaskState, UrgencySpec, WorkType
from router.domain.ports import Clock, Store
from router.policies import urgency

KIND = "worktype"
_FRESH_S = 5.0
"""A lost hint may serve an old template for this long."""


def to_text(work_type: WorkType) -> str:
    """A work type as the JSON text of its document."""
    fields = asdict(work_type)
    fields["required_skills"] = dict(work_type.required_skills)
    return json.dumps(fields, sort_keys=True)


def from_text(text: str) -> WorkType:
    """The inverse of :func:`to_text`."""
    fields = json.loads(text)
    spec = fields.pop("urgency")
    spec["points"] = tuple((float(x), float(y)) for x, y in spec["points"])
    steps = tuple(
        RelaxationStep(s["after_ms"], s["lower_by"], tuple(s["drop"])) for s in fields.pop("relaxation")
    )
    return WorkType(urgency=UrgencySpec(**spec), relaxation=steps, **fields)


def check(work_type: WorkType) -> None:
    """InvalidInput naming each field that cannot stand."""
    found = [
        (f"work_type.urgency.{field}", text)
        for field, text in urgency.problems(work_type.urgency, work_type.service_goal_ms)
    ]
    for field, low, high in _BOUNDS:
        if not low <= getattr(work_type, field) <= high:
            name = field.removesuffix("_ms")
            found.append(
                (f"work_type.{name}", f"must be between {_words(low, field)} and {_words(high, field)}")
            )
    waits = [step.after_ms for step in work_type.relaxation]
    if waits != sorted(set(waits)) or any(wait <= 0 for wait in waits):
        found.append(("work_type.relaxation", "waits must be above zero and grow from step to step"))
    if len(waits) > 8:
        found.append(("work_type.relaxation", "give at most 8 steps"))
    if found:
        raise InvalidInput(found)


_HOUR_MS = 3_600_000
_BOUNDS = (
    ("service_goal_ms", 1, 366 * 24 * _HOUR_MS),
    ("expected_handling_ms", 1, 24 * _HOUR_MS),
    ("offer_timeout_ms", 100, _HOUR_MS),
    ("lease_ms", 500, 24 * _HOUR_MS),
    ("max_attempts", 1, 100),
    ("decline_exclusion_ms", 0, 24 * _HOUR_MS),
    ("resume_window_ms", 0, 24 * _HOUR_MS),
)


def _words(value: int, field: str) -> str:
    return f"{value / 1000:g} s" if field.endswith("_ms") else str(value)


class WorkTypes:
    """The work types of every site that this process serves."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._cache: dict[tuple[str, str], tuple[float, WorkType]] = {}

    async def named(self, site: str, id: str) -> WorkType:
        """The work type for a task to be routed; NotFound names the field and the fix."""
        cached = self._cache.get((site, id))
        if cached and self._clock.monotonic() - cached[0] < _FRESH_S:
            return cached[1]
        return self._remember(site, await self._document(site, id))

    async def _document(self, site: str, id: str) -> Document:
        try:
            return await self._store.document(site, KIND, id)
        except NotFound:
            raise NotFound(
                f"work type {id!r} does not exist: create it first", "WORK_TYPE_NOT_FOUND"
            ) from None

    def forget(self, site: str, id: str) -> None:
        """The stored document may have changed."""
        self._cache.pop((site, id), None)

    async def create(self, caller: Caller, work_type: WorkType) -> tuple[WorkType, int]:
        """Store a new work type; AlreadyExists if the id is taken."""
        return await self._put(caller, work_type, 0)

    async def update(self, caller: Caller, work_type: WorkType, etag: int | None) -> tuple[WorkType, int]:
        """Replace a work type; tasks already submitted keep what they were submitted with."""
        await self._document(caller.site, work_type.id)
        return await self._put(caller, work_type, etag)

    async def get(self, caller: Caller, id: str) -> tuple[WorkType, int]:
        """One work type and its etag."""
        document = await self._document(caller.site, id)
        return from_text(document.body), document.etag

    async def list(self, caller: Caller) -> list[tuple[WorkType, int]]:
        """All work types of the site by id."""
        documents = await self._store.documents(caller.site, KIND)
        return [(from_text(document.body), document.etag) for document in documents]

    async def every(self, site: str) -> tuple[WorkType, ...]:
        """All work types of a site by id, for the router itself."""
        return tuple(from_text(document.body) for document in await self._store.documents(site, KIND))

    async def delete(self, caller: Caller, id: str, etag: int | None) -> None:
        """Remove a work type that no open task uses."""
        backlog = await self._store.backlog(caller.site)
        ended = (TaskState.COMPLETED, TaskState.CANCELED, TaskState.EXPIRED)
        open_tasks = sum(n for (wt, s), n in backlog.by_work_type.items() if wt == id and s not in ended)
        if open_tasks:
            raise WrongState(
                f"work type {id!r} still has {open_tasks} open tasks: let them end, or cancel them",
                "WORK_TYPE_IN_USE",
            )
        await self._document(caller.site, id)
        await self._store.delete_document(caller.site, KIND, id, etag)
        self.forget(caller.site, id)

    async def _put(self, caller: Caller, work_type: WorkType, etag: int | None) -> tuple[WorkType, int]:
        check(work_type)
        body = to_text(work_type)
        try:
            document = await self._store.put_document(caller.site, KIND, work_type.id, body, etag)
        except AlreadyExists:
            raise AlreadyExists(f"work type {work_type.id!r} exists already: update it") from None
        except EtagMismatch:
            raise EtagMismatch(
                f"work type {work_type.id!r} changed since it was read: {READ_AGAIN}"
            ) from None
        return self._remember(caller.site, document), document.etag

    def _remember(self, site: str, document: Document) -> WorkType:
        work_type = from_text(document.body)
        self._cache[site, document.id] = (self._clock.monotonic(), work_type)
        return work_type
