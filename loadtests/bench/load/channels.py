"""Connections of a generator."""

from __future__ import annotations

from contextlib import AsyncExitStack

import grpc

Metadata = tuple[tuple[str, str], ...]
PAYLOAD = b"x" * 200
_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 50)]


class Channels:
    """Channels by address and number, each a connection of its own; they end with the stack."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._made: dict[tuple[str, int], grpc.aio.Channel] = {}

    async def to(self, address: str, number: int = 0) -> grpc.aio.Channel:
        """The channel with this number."""
        if (address, number) not in self._made:
            channel = grpc.aio.insecure_channel(address, _OPTIONS)
            self._made[address, number] = await self._stack.enter_async_context(channel)
        return self._made[address, number]


def bearer(site: str, role: str, id: str) -> Metadata:
    """What identifies a caller."""
    return (("authorization", f"Bearer dev:{site}:{role}:{id}"),)
