"""huey on Redis, without results."""

from __future__ import annotations

from huey import RedisHuey

from loadtests.bench.peers.started import PAYLOAD, URL, started

huey = RedisHuey("bench", url=URL, results=False)


@huey.task()
def work(due: float, payload: str) -> None:
    """The task."""
    started(due)


async def open_client() -> None:
    """It connects by itself."""


async def submit(due: float) -> None:
    """One task."""
    work(due, PAYLOAD)
