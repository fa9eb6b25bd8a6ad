"""The embedded store, on the real server: what it promises to the router that starts it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ResponseError

from router.state import embedded
from router.state.embedded import EmbeddedStore, EmbeddedStoreError

pytestmark = [pytest.mark.store, pytest.mark.timeout(30)]

ROUTER = """
import asyncio, sys
from redis.asyncio import Redis
from router.state import embedded

async def main() -> None:
    if "--server-stays" in sys.argv:
        embedded._launch = lambda command: command
    async with embedded.EmbeddedStore(sys.argv[1], durability="durable") as store:
        async with Redis.from_url(store.url) as client:
            await client.set("task", "kept")
        print(store.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def start_and_kill_a_router(data_dir: Path, *options: str) -> int:
    """The process id of the server that it had started."""
    router = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        ROUTER,
        data_dir,
        *options,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert router.stdout
    server = int(await router.stdout.readline())
    assert is_running(server)
    router.kill()
    await router.wait()
    return server


def is_running(pid: int) -> bool:
    """Whether the process is there and not merely waiting to be collected."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def eventually(so: Callable[[], bool], what: str, limit_s: float = 5.0) -> None:
    end = time.monotonic() + limit_s
    while not so():
        assert time.monotonic() < end, f"not within {limit_s} s: {what}"
        await asyncio.sleep(0.01)


async def read(store: EmbeddedStore, call: Callable[[Redis], Awaitable[object]]) -> object:
    async with Redis.from_url(store.url, decode_responses=True) as client:
        return await call(client)


async def test_it_answers_on_a_private_socket_and_no_port(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as store:
        assert store.url == f"unix://{tmp_path}/valkey.sock"
        assert await read(store, lambda client: client.ping())
        assert (tmp_path / "valkey.sock").stat().st_mode & 0o077 == 0
        settings = await read(store, lambda client: client.config_get("port"))
    assert settings == {"port": "0"}


@pytest.mark.parametrize(
    ("durability", "appendonly", "appendfsync"),
    [("dev", "no", "no"), ("standard", "yes", "everysec"), ("durable", "yes", "always")],
)
async def test_it_is_set_to_keep_what_it_should_and_evict_nothing(
    tmp_path: Path, durability: embedded.OwnDurability, appendonly: str, appendfsync: str
) -> None:
    wanted = {
        "appendonly": appendonly,
        "appendfsync": appendfsync,
        "save": "",
        "maxmemory-policy": "noeviction",
        "hash-max-listpack-entries": "32",
    }
    async with EmbeddedStore(tmp_path, durability=durability) as store:
        assert await read(store, lambda client: client.config_get(*wanted)) == wanted


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as store:
        await read(store, lambda client: client.set("task", "kept"))
        pid, url = store.pid, store.url
    assert not is_running(pid)
    async with EmbeddedStore(tmp_path) as store:
        assert store.url == url
        assert await read(store, lambda client: client.get("task")) == "kept"


async def test_one_that_keeps_nothing_leaves_what_is_there_alone(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as store:
        await read(store, lambda client: client.set("task", "kept"))
    for _ in range(2):
        async with EmbeddedStore(tmp_path, durability="dev") as store:
            assert await read(store, lambda client: client.dbsize()) == 0
            await read(store, lambda client: client.set("task", "forgotten"))
    async with EmbeddedStore(tmp_path) as store:
        assert await read(store, lambda client: client.get("task")) == "kept"


async def test_two_routers_do_not_share_a_directory(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as first:
        with pytest.raises(
            EmbeddedStoreError, match=f"{tmp_path} is in use by another router .*{os.getpid()}"
        ):
            await EmbeddedStore(tmp_path).__aenter__()
        assert await read(first, lambda client: client.ping()), "the first one goes on"
    async with EmbeddedStore(tmp_path):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the server on Linux only")
async def test_a_killed_router_takes_its_server_along_and_loses_nothing(tmp_path: Path) -> None:
    server = await start_and_kill_a_router(tmp_path)
    # The next one starts at once, while the old server still closes its file.
    async with EmbeddedStore(tmp_path) as store:
        assert await read(store, lambda client: client.get("task")) == "kept"
        assert not is_running(server)


async def test_a_server_that_outlives_its_router_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "HANDOVER_TIMEOUT_S", 0.05)
    server = await start_and_kill_a_router(tmp_path, "--server-stays")
    try:
        with pytest.raises(EmbeddedStoreError, match=rf"{tmp_path} is still held .*process {server}"):
            await EmbeddedStore(tmp_path).__aenter__()
        assert is_running(server), "it is not ours to end"
    finally:
        os.kill(server, signal.SIGKILL)
    await eventually(lambda: not is_running(server), "the server is gone")
    async with EmbeddedStore(tmp_path) as store:
        assert await read(store, lambda client: client.get("task")) == "kept"


@pytest.mark.parametrize("name", ["with space % and #", "ü" * 40, "x" * 120])
async def test_any_directory_name_works(tmp_path: Path, name: str) -> None:
    async with EmbeddedStore(tmp_path / name) as store:
        assert await read(store, lambda client: client.ping())


def test_a_long_path_gets_a_short_private_socket_and_always_the_same(tmp_path: Path) -> None:
    data_dir = tmp_path / ("x" * 120)
    path = embedded.socket_path(data_dir)
    assert path == embedded.socket_path(data_dir)
    assert path != embedded.socket_path(data_dir / "other")
    assert len(os.fsencode(path)) < embedded.SOCKET_PATH_LIMIT
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.chmod(0o755)
    with pytest.raises(EmbeddedStoreError, match="not a private directory"):
        embedded.socket_path(data_dir)
    path.parent.rmdir()


async def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedStoreError, match=f"{tmp_path}/file/data cannot be used"):
        await EmbeddedStore(tmp_path / "file" / "data").__aenter__()


async def test_a_server_that_cannot_start_is_quoted_and_frees_the_directory(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").write_text("not a manifest\n")
    with pytest.raises(
        EmbeddedStoreError, match=r"ended at once; its log .*valkey\.log says:\n(.*\n)*.*manifest"
    ):
        await EmbeddedStore(tmp_path).__aenter__()
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").unlink()
    async with EmbeddedStore(tmp_path):
        pass


async def test_a_server_that_hangs_is_killed(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, server=_sleeper(tmp_path), start_timeout_s=0.3, stop_timeout_s=0.1)
    with pytest.raises(EmbeddedStoreError, match=r"did not answer within 0\.3 s"):
        await store.__aenter__()
    pid = int((tmp_path / "sleeper.pid").read_text())
    await eventually(lambda: not is_running(pid), "the hanging server is gone")


def _sleeper(directory: Path) -> Path:
    program = directory / "sleeper"
    return _script(
        program, f"trap '' TERM\necho $$ > {directory}/sleeper.pid\nwhile :; do sleep 0.05; done\n"
    )


def _script(program: Path, body: str) -> Path:
    program.write_text(f"#!/bin/sh\n{body}")
    program.chmod(0o700)
    return program


async def test_a_long_file_gets_the_time_to_be_loaded(tmp_path: Path) -> None:
    async with (
        EmbeddedStore(tmp_path) as store,
        Redis.from_url(store.url) as client,
        client.pipeline(transaction=False) as pipeline,
    ):
        for number in range(8000):
            pipeline.set(f"task {number}", "queued")
        await pipeline.execute()
    server = embedded.packaged_server()
    slow = _script(tmp_path / "slow", f'exec {server} "$@" --key-load-delay 200\n')
    async with EmbeddedStore(tmp_path, server=slow, start_timeout_s=0.4) as store:
        assert await read(store, lambda client: client.dbsize()) == 8000


async def test_the_end_of_the_server_is_noticed(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as store:
        end = asyncio.ensure_future(store.wait())
        os.kill(store.pid, signal.SIGKILL)
        assert await asyncio.wait_for(end, 5) == -signal.SIGKILL
    with pytest.raises(EmbeddedStoreError, match="is not running"):
        _ = store.url


async def test_ctrl_c_in_the_terminal_does_not_reach_the_server(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as store:
        assert os.getsid(store.pid) != os.getsid(0)


@pytest.mark.parametrize("after_ms", [0, 5, 20, 40])
async def test_a_cancelled_start_leaves_nothing_behind(tmp_path: Path, after_ms: int) -> None:
    starting = asyncio.ensure_future(EmbeddedStore(tmp_path).__aenter__())
    await asyncio.sleep(after_ms / 1000)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    # A server left behind would hold the directory.
    async with EmbeddedStore(tmp_path):
        pass


async def test_the_log_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOG_LIMIT", 100)
    (tmp_path / "valkey.log").write_text("old\n" * 100)
    async with EmbeddedStore(tmp_path) as store:
        await eventually(lambda: store.log_path.stat().st_size > 0, "the server logs")
        assert "old" not in store.log_path.read_text()
    assert (tmp_path / "valkey.log.1").read_text().startswith("old")


def test_durability_is_a_known_word(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one of dev, standard, durable, not 'ha'"):
        EmbeddedStore(tmp_path, durability="ha")  # type: ignore[arg-type]


def test_it_runs_under_uvloop(tmp_path: Path) -> None:
    async def start_and_stop() -> int:
        async with EmbeddedStore(tmp_path) as store:
            assert await read(store, lambda client: client.ping())
            return store.pid

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert not is_running(runner.run(start_and_stop()))


@pytest.mark.cluster
async def test_a_cluster_of_one_serves_every_slot(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path, cluster=True) as store, _cluster(store) as client:
        for key in ("a", "b", "{site}:c"):
            await client.set(key, key)
            assert await client.get(key) == key
        with pytest.raises(ResponseError, match="do not hash to the same slot"):
            await client.eval("#!lua\nreturn redis.call('get', 'b')", 1, "a")
    async with EmbeddedStore(tmp_path, cluster=True) as again, _cluster(again) as client:
        assert await client.get("b") == "b", "slots and keys are remembered"


def _cluster(store: EmbeddedStore) -> RedisCluster:
    return RedisCluster.from_url(store.url, decode_responses=True)
