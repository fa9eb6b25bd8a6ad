"""How `workrouter serve` starts: what it loads, and one line for each reason why it cannot."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from router.state.embedded import EmbeddedStore

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("matplotlib", "numpy", "yaml", "jwt", "rich", "prometheus_client", "clients", "demo")
"""What the other commands, a policy, a key or metrics need, and a start does not."""
LOADED = """
import sys
sys.argv = ["workrouter", "serve", "--help"]
from router.cli.main import main
try:
    main()
except SystemExit:
    pass
from router.app import serve
print(*sorted(set(sys.argv[2:]) | {name for name in %r if name in sys.modules}))
"""


async def serve(*options: str) -> tuple[int, str]:
    """Exit code and standard error of a router that cannot start, without the lines of its log."""
    command = (sys.executable, "-m", "router.cli.main", "serve", "--log-level", "error", *options)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        async with asyncio.timeout(30):
            _, err = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    return process.returncode or 0, err.decode()


async def refused(*options: str) -> str:
    """The one line that a router leaves which cannot start."""
    code, err = await serve(*options)
    assert code == 1, err
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


@asynccontextmanager
async def running(data: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    command = (sys.executable, "-m", "router.cli.main", "serve", "--listen", "127.0.0.1:0")
    process = await asyncio.create_subprocess_exec(
        *command,
        *("--log-level", "error", "--data-dir", str(data)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert process.stdout
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        assert line.startswith(b"workrouter ready on "), line
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def children_of(pid: int) -> list[int]:
    """The store that a router has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def taken() -> Iterator[str]:
    """An address on which somebody else listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield f"127.0.0.1:{held.getsockname()[1]}"


async def test_a_start_loads_nothing_that_it_does_not_need() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOADED % (HEAVY,), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    out, _ = await process.communicate()
    assert out.decode().splitlines()[-1] == "--help"


@pytest.mark.store
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_an_address_that_is_taken(tmp_path: Path, taken: str, workers: str) -> None:
    told = await refused("--listen", taken, "--workers", workers, "--data-dir", str(tmp_path / "d"))
    assert told.startswith(f"--listen: cannot listen on {taken}")


async def test_a_store_that_does_not_answer() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        told = await refused("--redis-url", f"redis://127.0.0.1:{nobody.getsockname()[1]}")
    assert told.startswith("the store does not answer: ")
    assert told.endswith("start it, or name another with --redis-url")


async def test_a_data_directory_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = await refused("--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "file"))
    assert told.endswith("cannot be used (File exists): name another with --data-dir")


async def test_files_of_tls_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("nothing")
    files = ("--tls-cert", str(tmp_path / "pem"), "--tls-key", str(tmp_path / "pem"))
    told = await refused("--listen", "127.0.0.1:0", "--redis-url", "memory://", *files)
    assert told.startswith("--tls-cert: cannot be used")


async def test_options_that_cannot_be(tmp_path: Path) -> None:
    told = await refused("--listen", "here", "--workers", "0")
    assert told.startswith("--listen: 'here' is no address; write host:port")
    assert "--jwt-key: " in await refused("--listen", "0.0.0.0:0")


@pytest.mark.store
async def test_a_data_directory_that_another_router_has(tmp_path: Path) -> None:
    async with running(tmp_path):
        told = await refused("--listen", "127.0.0.1:0", "--data-dir", str(tmp_path))
    assert "is in use by another router" in told


@pytest.mark.store
async def test_a_store_that_would_lose_work(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as store:
        client = Redis.from_url(store.url)
        await client.config_set("maxmemory-policy", "allkeys-lru")
        await client.aclose()
        told = await refused("--listen", "127.0.0.1:0", "--redis-url", store.url)
    assert told.endswith("set maxmemory-policy noeviction")


@pytest.mark.store
async def test_a_store_that_would_keep_less_than_asked(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path, durability="dev") as store:
        told = await refused("--listen", "127.0.0.1:0", "--redis-url", store.url)
    assert "has appendonly no" in told
    assert told.endswith("or start the router with --durability dev")


async def test_a_store_of_our_own_has_no_replica() -> None:
    told = await refused("--durability", "ha")
    assert told == "--durability: ha needs a store with a replica; give --redis-url, or write durable"


@pytest.mark.store
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_a_store_of_our_own_that_ends(tmp_path: Path) -> None:
    async with running(tmp_path) as process:
        for child in children_of(process.pid):
            os.kill(child, signal.SIGKILL)
        _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert err.decode().splitlines()[-1].startswith("error: the router's own store has ended")


@pytest.mark.store
async def test_a_worker_that_cannot_start_says_why_first(tmp_path: Path, taken: str) -> None:
    port = taken.rpartition(":")[2]
    code, err = await serve(
        "--listen", "127.0.0.1:0", "--workers", "2", "--metrics-port", port, "--data-dir", str(tmp_path)
    )
    assert code == 1
    first, *_, last = err.splitlines()
    assert first.startswith(f"error: --metrics-port: cannot listen on port {port}")
    assert last == "error: a worker ended before it was ready; see its message above"
