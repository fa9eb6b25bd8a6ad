"""dramatiq on Redis."""

from __future__ import annotations

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from loadtests.bench.peers.started import PAYLOAD, URL, started

dramatiq.set_broker(RedisBroker(url=URL))


@dramatiq.actor
def work(due: float, payload: str) -> None:
    """The task."""
    started(due)


async def open_client() -> None:
    """It connects by itself."""


async def submit(due: float) -> None:
    """One task."""
    work.send(due, PAYLOAD)
