"""Submits to a peer: reads what to do from standard input, a line of JSON each, and answers in the same way.

python -m loadtests.bench.peers.driver NAME
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from loadtests.bench.pacing import open_loop


class Driver:
    """One peer's client."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def enqueue(self, count: int) -> dict[str, float]:
        """Submit one after the other; how long it took (s)."""
        began = time.perf_counter()
        for _ in range(count):
            await self._app.submit(time.perf_counter())
        return {"seconds": time.perf_counter() - began}

    async def submit(self, rate: float, count: int) -> dict[str, float]:
        """Submit at a rate."""
        running: list[asyncio.Task[None]] = []

        async def begin(i: int, due: float) -> None:
            running.append(asyncio.create_task(self._app.submit(due)))

        kept = await open_loop(rate, count, begin)
        await asyncio.gather(*running)
        return {"late_s": kept.late_s}


async def main(name: str) -> None:
    """Answer until standard input closes."""
    app = importlib.import_module(f"loadtests.bench.peers.{name}_app")
    await app.open_client()
    driver = Driver(app)
    actions: dict[str, Callable[..., Awaitable[Any]]] = {"enqueue": driver.enqueue, "submit": driver.submit}
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        try:
            answer: dict[str, Any] = {"result": await actions[asked["action"]](**asked["arguments"])}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
