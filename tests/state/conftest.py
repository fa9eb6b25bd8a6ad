"""A stage per test: a fresh site on each store, checked for soundness, leaks and declared keys at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.keywatch import KeyWatch
from tests.support.leaks import assert_no_leaks
from tests.support.stage import DumpStore, Stage
from tests.support.stores import CLUSTER, fresh_site


@pytest.fixture
async def watched(store_kind: str, store_url: str | None) -> AsyncIterator[None]:
    """On the cluster: every script declared every key that it touched during the test."""
    if store_kind != CLUSTER or store_url is None:
        yield
        return
    async with KeyWatch(store_url) as watch:
        yield
        calls, faults = await watch.undeclared()
    assert faults == []
    assert calls > 0


@pytest.fixture
async def stage(store: DumpStore, watched: None) -> AsyncIterator[Stage]:
    """A site of its own; after the test every invariant holds and ended work leaves nothing behind."""
    made = Stage(store, fresh_site())
    yield made
    await made.assert_sound()
    await assert_no_leaks(made)
