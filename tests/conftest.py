"""Fixtures for all tests: the real stores, started once per session, and how much was tried."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.support")

from tests.support import steps  # noqa: E402 - after the line above, or its asserts say nothing
from tests.support.stage import DumpStore  # noqa: E402
from tests.support.stores import CLUSTER, MEMORY, SINGLE, opened, running_valkey  # noqa: E402

steps.load_profile()

STORE_PARAMS = [
    MEMORY,
    pytest.param(SINGLE, marks=pytest.mark.store),
    pytest.param(CLUSTER, marks=[pytest.mark.store, pytest.mark.cluster]),
]


@pytest.fixture(scope="session")
def single_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real Valkey."""
    with running_valkey(tmp_path_factory.mktemp("single"), cluster=False) as url:
        yield url


@pytest.fixture(scope="session")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real Valkey cluster of one node, where a key that a script did not declare is an error."""
    with running_valkey(tmp_path_factory.mktemp("cluster"), cluster=True) as url:
        yield url.replace("redis://", "cluster://")


def url_of(kind: str, request: pytest.FixtureRequest) -> str | None:
    """Where the store of this kind is; None for the one in memory. Starts the server when it is the first to ask."""
    return None if kind == MEMORY else request.getfixturevalue(f"{kind}_url")


@pytest.fixture(params=STORE_PARAMS)
def store_kind(request: pytest.FixtureRequest) -> str:
    """Each kind of store in turn."""
    kind: str = request.param
    return kind


@pytest.fixture
def store_url(store_kind: str, request: pytest.FixtureRequest) -> str | None:
    """Where the store is; None for the one in memory."""
    return url_of(store_kind, request)


@pytest.fixture
async def store(store_url: str | None) -> AsyncIterator[DumpStore]:
    """An open store of the kind."""
    async with opened(store_url) as opened_store:
        yield opened_store


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of a parallel run hands over what it counted."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["steps"] = steps.export()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The reporting process takes over what a worker counted."""
    if "steps" in getattr(node, "workeroutput", {}):
        steps.add(node.workeroutput["steps"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many random steps the state machines took, and which faults were caught by what."""
    for line in steps.summary():
        terminalreporter.write_line(line)
