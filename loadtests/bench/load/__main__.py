"""A generator: reads what to do from standard input, a line of JSON each, and answers in the same way."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import uvloop

from loadtests.bench.load.calls import Calls
from loadtests.bench.load.channels import Channels
from loadtests.bench.load.desktops import Desktops
from loadtests.bench.load.feeds import Feeds
from loadtests.bench.load.submits import Submits

Action = Callable[..., Awaitable[Any]]


def actions(channels: Channels) -> dict[str, Action]:
    """What can be asked, by name."""
    calls, submits, desktops, feeds = Calls(channels), Submits(channels), Desktops(channels), Feeds(channels)
    return {
        "calls": calls.calls,
        "chat": calls.chat,
        "submit": submits.submit,
        "batch": submits.batch,
        "sit_down": desktops.sit_down,
        "listen": desktops.listen,
        "collect": desktops.collect,
        "stand_up": desktops.stand_up,
        "feed": feeds.feed,
        "reports": feeds.reports,
        "queues": feeds.queues,
    }


async def answered(known: dict[str, Action], line: bytes) -> dict[str, Any]:
    """The answer to one line."""
    asked = json.loads(line)
    try:
        return {"result": await known[asked["action"]](**asked["arguments"])}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


async def main() -> None:
    """Answer until standard input closes."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with AsyncExitStack() as stack:
        known = actions(Channels(stack))
        while line := await reader.readline():
            answer = await answered(known, line)
            await asyncio.to_thread(_write, json.dumps(answer) + "\n")


def _write(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


if __name__ == "__main__":
    # Full collections of a client would be counted as latency of the server.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    uvloop.run(main())
