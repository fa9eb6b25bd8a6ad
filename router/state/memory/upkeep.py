"""Documents, pauses and the workers' heartbeats."""

from __future__ import annotations

from router.domain.errors import AlreadyExists, EtagMismatch, NotFound
from router.domain.model import Document
from router.state import records
from router.state.memory.site import Site
from router.state.memory.transition import Transition

SILENT_MS = 15_000
"""A worker silent for this long is to be reaped."""
FORGOTTEN_MS = 600_000
MOST_NAMED = 100


def put_document(tx: Transition, kind: str, id: str, body: str, etag: int | None) -> Document:
    """Create, replace or overwrite a document."""
    name = f"{kind}/{id}"
    old = tx.site.docs.get(name)
    if old is None and etag:
        raise NotFound(f"{name} does not exist")
    if old is not None and etag == 0:
        raise AlreadyExists(f"{name} exists already: give another id")
    if old is not None and etag is not None and etag != old["e"]:
        raise EtagMismatch(f"{name} is at etag {old['e']}, not {etag}")
    new = records.document_record((old["e"] if old else 0) + 1, body)
    tx.site.docs[name] = new
    tx.tell_site("doc", reason=name)
    tx.commit()
    return records.document_from(name, new)


def document(site: Site, kind: str, id: str) -> Document:
    """One document; NotFound otherwise."""
    name = f"{kind}/{id}"
    if name not in site.docs:
        raise NotFound(f"{name} does not exist")
    return records.document_from(name, site.docs[name])


def documents(site: Site, kind: str) -> list[Document]:
    """All documents of a kind, by id."""
    return [
        records.document_from(name, record)
        for name, record in sorted(site.docs.items())
        if name.startswith(f"{kind}/")
    ]


def delete_document(tx: Transition, kind: str, id: str, etag: int | None) -> None:
    """Remove a document; EtagMismatch if it changed since."""
    there = document(tx.site, kind, id)
    if etag is not None and etag != there.etag:
        raise EtagMismatch(f"{kind}/{id} is at etag {there.etag}, not {etag}")
    del tx.site.docs[f"{kind}/{id}"]
    tx.tell_site("doc", reason=f"{kind}/{id}")
    tx.commit()


def pause(tx: Transition, target: str, paused: bool, reason: str) -> None:
    """Stop or start handing out a work type or a queue."""
    if paused:
        tx.site.paused[target] = reason
    else:
        tx.site.paused.pop(target, None)
        tx.tell_site("work")
    tx.commit()


def beat(tx: Transition, worker: str) -> list[str]:
    """Say that the worker lives; who has fallen silent, longest first."""
    workers = tx.site.workers
    workers[worker] = tx.now
    by_beat = sorted((at, name) for name, at in workers.items())
    silent = [(at, name) for at, name in by_beat if at <= tx.now - SILENT_MS]
    for at, name in silent:
        if at <= tx.now - FORGOTTEN_MS:
            del workers[name]
    return [name for _, name in silent[:MOST_NAMED]]


def record(tx: Transition, chunk: bytes, keep_ms: int, keep_chunks: int) -> str:
    """One more chunk of the recording; those too many or too old go. Its place: ids follow their times."""
    kept = tx.site.recording
    time, number = tx.site.recorded
    time, number = (tx.now, 0) if tx.now > time else (time, number + 1)
    tx.site.recorded = (time, number)
    kept.append((time, number, chunk))
    while len(kept) > keep_chunks or (kept and kept[0][0] < tx.now - keep_ms):
        kept.popleft()
    return f"{time}-{number}"
