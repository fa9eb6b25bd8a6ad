"""arq. It polls; the pause between two polls is 10 ms here, where half a second is its default."""

from __future__ import annotations

from typing import Any

from arq import create_pool
from arq.connections import RedisSettings

from loadtests.bench.peers.started import PAYLOAD, URL, started

_pool: Any = None


async def work(context: Any, due: float, payload: str) -> None:
    """The task."""
    started(due)


class WorkerSettings:
    """What the worker is told."""

    functions = (work,)
    redis_settings = RedisSettings.from_dsn(URL or "redis://127.0.0.1/1")
    poll_delay = 0.01
    max_jobs = 100
    keep_result = 0


async def open_client() -> None:
    """Connect."""
    global _pool
    _pool = await create_pool(WorkerSettings.redis_settings)


async def submit(due: float) -> None:
    """One task."""
    await _pool.enqueue_job("work", due, PAYLOAD)
