"""Celery on Redis, without results."""

from __future__ import annotations

from celery import Celery

from loadtests.bench.peers.started import PAYLOAD, URL, started

app = Celery("bench", broker=URL)
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False)


@app.task
def work(due: float, payload: str) -> None:
    """The task."""
    started(due)


async def open_client() -> None:
    """It connects by itself."""


async def submit(due: float) -> None:
    """One task."""
    work.delay(due, PAYLOAD)
