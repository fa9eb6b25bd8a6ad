"""Waiting for what another task or process does: for a condition, never for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

_PAUSE_S = 0.005


async def wait_until(
    predicate: Callable[[], bool | Awaitable[bool]], message: str, timeout_s: float = 5.0
) -> None:
    """Return as soon as ``predicate`` holds; AssertionError with ``message`` after ``timeout_s``."""
    limit = time.monotonic() + timeout_s
    while True:
        answer = predicate()
        if await answer if inspect.isawaitable(answer) else answer:
            return
        if time.monotonic() > limit:
            raise AssertionError(f"waited {timeout_s:g} s in vain: {message}")
        await asyncio.sleep(_PAUSE_S)
