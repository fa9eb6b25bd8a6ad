"""Proof that scripts declare every key they touch.

A cluster refuses undeclared keys only when they are of another slot, and all keys of a site share one. So this listens
to the server's MONITOR feed, in which each script call is followed by the commands that it ran, and compares.
"""

from __future__ import annotations

import asyncio
import re
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')
_KEYLESS = frozenset({"PUBLISH", "SPUBLISH", "TIME"})
_STREAM_LIMIT = 1 << 26


class KeyWatch:
    """Everything that scripts did on a server while it watched: ``async with KeyWatch(url) as watch``."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._marks = 0

    async def __aenter__(self) -> Self:
        self._feed, self._feed_out = await asyncio.open_connection(
            self._host, self._port, limit=_STREAM_LIMIT
        )
        self._voice, self._voice_out = await asyncio.open_connection(self._host, self._port)
        self._feed_out.write(b"MONITOR\r\n")
        assert await self._feed.readline() == b"+OK\r\n"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in (self._feed_out, self._voice_out):
            writer.close()
            await writer.wait_closed()

    async def lines(self) -> list[str]:
        """The feed up to now."""
        self._marks += 1
        mark = f"keywatch-{self._marks}"
        self._voice_out.write(f"ECHO {mark}\r\n".encode())
        found = []
        while mark not in (line := (await self._feed.readline()).decode()):
            found.append(line)
        return found

    async def undeclared(self) -> tuple[int, list[str]]:
        """How many script calls were seen, and each command in them that touched a key they had not declared."""
        calls, declared, faults, function = 0, set[str](), [], ""
        for line in await self.lines():
            command, *words = _WORD.findall(line)
            if command.upper() in {"FCALL", "FCALL_RO"}:
                function, keys = words[0], words[2 : 2 + int(words[1])]
                declared, calls = set(keys), calls + 1
            elif " lua] " in line and command.upper() not in _KEYLESS and words[0] not in declared:
                faults.append(f"{function}: {command} {words[0]}")
        return calls, faults
