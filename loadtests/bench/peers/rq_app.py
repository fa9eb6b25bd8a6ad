"""RQ, with the worker that does not fork for each job."""

from __future__ import annotations

from redis import Redis
from rq import Queue

from loadtests.bench.peers.started import PAYLOAD, URL, started

_queue = Queue(connection=Redis.from_url(URL or "redis://127.0.0.1/1"))


def work(due: float, payload: str) -> None:
    """The task."""
    started(due)


async def open_client() -> None:
    """It connects by itself."""


async def submit(due: float) -> None:
    """One task."""
    _queue.enqueue(work, due, PAYLOAD, result_ttl=0)
