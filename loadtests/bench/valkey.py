"""The store: a Valkey with the router's own settings, or three of them as a cluster, on this machine only."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import RedisError

from loadtests.bench.children import Child, ChildFailedError
from router.state.embedded import packaged_server

_START_S = 15.0
_POLL_S = 0.02
_SLOTS = 16384
_REMEMBERED = 10_000
_SCRIPTS = ("fcall", "fcall_ro", "evalsha", "evalsha_ro", "eval", "eval_ro")
_SETTINGS = {
    "daemonize": "no",
    "bind": "127.0.0.1",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
    "hash-max-listpack-entries": "128",
    "hash-max-listpack-value": "512",
    "locale-collate": "C",
}


@dataclass(frozen=True, slots=True)
class Scripts:
    """What the store's scripts have used since its start: calls, and time of the server (s)."""

    calls: int
    spent_s: float


class Valkey:
    """One server."""

    def __init__(self, child: Child, folder: Path, port: int, client: Redis) -> None:
        self.child = child
        self.port = port
        self.client = client
        self.socket = folder / "valkey.sock"
        self.url = f"unix://{quote(str(self.socket))}"

    async def scripts(self) -> Scripts:
        """All script calls so far."""
        stats = await self.client.info("commandstats")
        used = [stats[f"cmdstat_{name}"] for name in _SCRIPTS if f"cmdstat_{name}" in stats]
        return Scripts(sum(one["calls"] for one in used), sum(one["usec"] for one in used) / 1e6)

    async def memory_b(self) -> int:
        """Memory in use, in bytes."""
        return int((await self.client.info("memory"))["used_memory"])

    async def errors(self) -> dict[str, int]:
        """Errors answered so far, by kind."""
        stats = await self.client.info("errorstats")
        return {name.removeprefix("errorstat_"): int(of["count"]) for name, of in stats.items()}

    async def watch_slow(self, over_us: int) -> None:
        """Remember commands slower than this from now on."""
        await self.client.config_set("slowlog-log-slower-than", over_us)
        await self.client.config_set("slowlog-max-len", _REMEMBERED)
        await self.client.slowlog_reset()

    async def slow_scripts(self) -> list[tuple[float, str]]:
        """The slow scripts since then, the longest first: time (ms) and function."""
        entries = await self.client.slowlog_get(_REMEMBERED)
        scripts = [(entry["duration"] / 1000, _words(entry)) for entry in entries]
        return sorted(((ms, words[1]) for ms, words in scripts if words[0] in _SCRIPTS), reverse=True)


def _words(entry: dict[str, Any]) -> list[str]:
    command: bytes = entry["command"]
    return [*command.decode(errors="replace").lower().split()[:2], "", ""]


@asynccontextmanager
async def valkey(folder: Path, name: str = "valkey", *, cluster: bool = False) -> AsyncIterator[Valkey]:
    """A server as long as the context; raises ChildFailedError."""
    home = folder / name
    home.mkdir()
    port = free_port()
    options = {**_SETTINGS, "dir": str(home), "port": str(port), "unixsocket": str(home / "valkey.sock")}
    if cluster:
        options |= {"cluster-enabled": "yes", "cluster-config-file": "nodes.conf"}
        options |= {"cluster-port": str(free_port()), "cluster-announce-ip": "127.0.0.1"}
    command = [str(packaged_server()), *(word for k, v in options.items() for word in (f"--{k}", v))]
    with Child(name, command, folder) as child:
        async with Redis(host="127.0.0.1", port=port, socket_timeout=60) as client:
            server = Valkey(child, home, port, client)
            await until(lambda: _answers(server), f"{name} did not answer", child)
            yield server


@asynccontextmanager
async def cluster(folder: Path, primaries: int = 3) -> AsyncIterator[list[Valkey]]:
    """Primaries that share the slots evenly."""
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(valkey(folder, f"primary{i}", cluster=True))
            for i in range(primaries)
        ]
        for i, server in enumerate(servers):
            await _command(server, "CLUSTER SET-CONFIG-EPOCH", i + 1)
            first, end = _SLOTS * i // primaries, _SLOTS * (i + 1) // primaries
            await _command(server, "CLUSTER ADDSLOTSRANGE", first, end - 1)
        for server in servers[1:]:
            bus = int(await _bus_port(servers[0]))
            await _command(server, "CLUSTER MEET", "127.0.0.1", servers[0].port, bus)
        for server in servers:
            await until(
                lambda one=server: _is_whole(one, primaries), "the cluster did not form", server.child
            )
        yield servers


async def _bus_port(server: Valkey) -> str:
    return str((await server.client.config_get("cluster-port"))["cluster-port"])


async def _command(server: Valkey, *words: Any) -> Any:
    return await server.client.execute_command(*words)  # type: ignore[no-untyped-call]


async def _is_whole(server: Valkey, primaries: int) -> bool:
    info = await _command(server, "CLUSTER INFO")
    return info["cluster_state"] == "ok" and int(info["cluster_size"]) == primaries


async def _answers(server: Valkey) -> bool:
    with contextlib.suppress(RedisError, OSError):
        return bool(await server.client.ping())
    return False


async def until(ready: Any, message: str, child: Child, timeout_s: float = _START_S) -> None:
    """Ask until it is so; raises ChildFailedError when the program ends or the time is over."""
    limit = time.monotonic() + timeout_s
    while not await ready():
        child.check()
        if time.monotonic() > limit:
            raise ChildFailedError(f"{message} within {timeout_s:g} s:\n{child.log_tail()}")
        await asyncio.sleep(_POLL_S)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
