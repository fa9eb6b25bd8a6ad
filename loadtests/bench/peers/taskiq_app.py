"""taskiq on its list broker."""

from __future__ import annotations

from taskiq_redis import ListQueueBroker

from loadtests.bench.peers.started import PAYLOAD, URL, started

broker = ListQueueBroker(URL)


@broker.task
async def work(due: float, payload: str) -> None:
    """The task."""
    started(due)


async def open_client() -> None:
    """Connect."""
    await broker.startup()


async def submit(due: float) -> None:
    """One task."""
    await work.kiq(due, PAYLOAD)
