"""Changes that are answered only when a replica has them too (``--durability ha``).

WAIT holds up its whole connection until a replica has confirmed what was written on it. So what is asked meanwhile is
held back and goes out together, with one WAIT behind it, and reads have a connection of their own.

WAIT looks at what its own connection has written, and a call that finds its work done writes nothing: a repeated
submit would be answered although no replica has the first one, which another connection wrote. So a small write, the
mark, goes before each WAIT, and all that was written before the mark is confirmed with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from router.domain.errors import StoreUnavailable
from router.state.redis.keys import mark
from router.state.redis.wire import Unclaimed, Wire, packed

CONFIRM_MS = 1000
"""How long a replica may take to confirm; after that the outcome is unknown."""
_MARK_S = 60
_WAIT = packed(("WAIT", 1, CONFIRM_MS))

Held = tuple[bytes, asyncio.Future[Any]]


class ConfirmedWire:
    """A wire for changes; one that no replica has confirmed in time is answered StoreUnavailable."""

    def __init__(self, wire: Wire, unconfirmed: Callable[[], None], unclaimed: Unclaimed) -> None:
        """``unconfirmed``: told when changes were made, perhaps, and their answers withheld. ``unclaimed``: as of a
        wire."""
        self._wire = wire
        self._tell_unconfirmed = unconfirmed
        self._unclaimed = unclaimed
        self._held: list[Held] = []
        self._key = ""
        self._rounds: asyncio.Task[None] | None = None

    def send(self, packed: bytes, key: str) -> asyncio.Future[Any]:
        """The answer to a packed command once a replica has what came of it; ``key``: one of the command's keys."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._held.append((packed, answer))
        self._key = key
        if self._rounds is None:
            self._rounds = loop.create_task(self._confirm_all())
        return answer

    async def close(self) -> None:
        """Wait for what is under way, then let go of the connection."""
        if self._rounds is not None:
            await asyncio.wait([self._rounds])
        await self._wire.close()

    async def _confirm_all(self) -> None:
        """Round after round, until nothing is held."""
        while self._held:
            held, self._held = self._held, []
            await self._confirm(held, packed(("SET", mark(self._key), b"", "EX", _MARK_S)))
        self._rounds = None

    async def _confirm(self, held: Sequence[Held], marking: bytes) -> None:
        """Send with one WAIT behind it all, and hand out the answers when that has come back."""
        commands = (*(command for command, _ in held), marking, _WAIT)
        sent = [self._wire.send(command) for command in commands]
        *results, marked, replicas = await asyncio.gather(*sent, return_exceptions=True)
        confirmed = not isinstance(marked, Exception) and isinstance(replicas, int) and replicas > 0
        for (_, answer), result in zip(held, results, strict=True):
            if answer.cancelled():
                self._unclaimed(result)
            else:
                _settle(answer, result, confirmed)
        if not confirmed and not all(isinstance(result, BaseException) for result in results):
            self._tell_unconfirmed()


def _settle(answer: asyncio.Future[Any], result: Any, confirmed: bool) -> None:
    """Hand out an answer; one that speaks of changes is withheld without a confirmation, an error is not."""
    if isinstance(result, BaseException):
        answer.set_exception(result)
    elif confirmed:
        answer.set_result(result)
    else:
        answer.set_exception(
            StoreUnavailable(
                f"no replica has confirmed the change within {CONFIRM_MS} ms: it may have been made"
            )
        )
