"""How the loops do several things at once: beside one another on the event loop, or one after the other.

Production has an event loop and threads. The simulator has neither: over the store in memory nothing ever waits, so
it runs each coroutine to its end where it is called, and the same seed gives the same day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Lane(Protocol):
    """What the loops ask of whoever runs them."""

    async def all(self, *work: Awaitable[Any], caught: bool = False) -> list[Any]:
        """Every answer, in order. ``caught``: an exception is an answer too, instead of ending the others."""

    async def beside(self, function: Callable[..., T], *arguments: Any) -> T:
        """The answer of a function that may compute for milliseconds, without holding up the event loop."""

    def aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Let it run and do not wait for it. It must raise nothing."""


class LoopLane:
    """On the running event loop: awaitables together, computations in a thread."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    async def all(self, *work: Awaitable[Any], caught: bool = False) -> list[Any]:
        """Every answer, in order; all under way together, so that they share a pipeline to the store."""
        return list(await asyncio.gather(*work, return_exceptions=caught))

    async def beside(self, function: Callable[..., T], *arguments: Any) -> T:
        """The answer, computed in a thread."""
        return await asyncio.to_thread(function, *arguments)

    def aside(self, work: Coroutine[Any, Any, None]) -> None:
        """A task of its own."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


LOOP: Lane = LoopLane()
"""The lane of production."""
