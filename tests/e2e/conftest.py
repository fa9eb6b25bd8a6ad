"""One router process for all tests that kill nothing, and a site of its own for each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e.floor import Floor, opened_floor
from tests.e2e.processes import RouterProcess, running

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder are end to end, and need a real store."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.store)


@pytest.fixture(scope="session")
def shared_router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    """A router that no test kills."""
    with running(tmp_path_factory.mktemp("router"), "--heartbeat-s", "2", "--drain-s", "1") as router:
        yield router


@pytest.fixture
async def floor(shared_router: RouterProcess) -> AsyncIterator[Floor]:
    """A new site of the shared router; its state must be sound in the end."""
    async with opened_floor(shared_router.address) as floor:
        yield floor
    await floor.assert_sound(shared_router.store_url)
