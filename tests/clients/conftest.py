"""A fake router on a real socket, and connections to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from clients import Backoff, Connection
from tests.clients.fake_router import FakeRouter


@pytest.fixture
async def fake() -> AsyncIterator[FakeRouter]:
    """A running fake router."""
    router = FakeRouter()
    await router.start()
    yield router
    await router.stop()


@pytest.fixture
async def connection(fake: FakeRouter) -> AsyncIterator[Connection]:
    """A connection to it, quick to come back."""
    backoff = Backoff(first_s=0.01, most_s=0.05)
    async with Connection(
        fake.address,
        token="dev:default:agent:alice",
        timeout_s=3.0,
        backoff=backoff,
        options=[("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 50)],
    ) as made:
        yield made
