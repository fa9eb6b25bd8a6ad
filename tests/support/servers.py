"""Valkey servers of a test's own: one with a password, a primary with replica and sentinel, a cluster of several."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from redis.asyncio import Redis

from router.state.embedded import packaged_server
from tests.support.wait import wait_until

SLOTS = 16384


def free_port() -> int:
    """A port that nobody listens on now, nor on the one of its cluster bus."""
    while True:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                bus.bind(("127.0.0.1", port + 10000))
                return port


@contextlib.asynccontextmanager
async def server(folder: Path, *options: str, sentinel: bool = False) -> AsyncIterator[int]:
    """A running server; its port. ``options``: as on its command line."""
    port = free_port()
    home = folder / str(port)
    home.mkdir()
    config = home / "server.conf"
    config.write_text("")
    command = [str(packaged_server()), str(config), "--port", str(port), "--dir", str(home), "--save", ""]
    process = await asyncio.create_subprocess_exec(
        *command,
        *(["--sentinel"] if sentinel else []),
        *options,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await wait_until(lambda: _listens(port), f"the server should listen on {port}", 10)
        yield port
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def ask(port: int, *command: object) -> object:
    """One command to one server."""
    async with Redis(port=port, protocol=2) as client:
        return await client.execute_command(*command)


@contextlib.asynccontextmanager
async def cluster(folder: Path, primaries: int, replicas: int = 0) -> AsyncIterator[Sequence[int]]:
    """A whole cluster; the ports of its primaries, then of its replicas (the first primary's first)."""
    async with contextlib.AsyncExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        ports = [
            await stack.enter_async_context(server(folder, *options)) for _ in range(primaries + replicas)
        ]
        for number, port in enumerate(ports[:primaries]):
            first, last = SLOTS * number // primaries, SLOTS * (number + 1) // primaries - 1
            await ask(port, "CLUSTER", "ADDSLOTSRANGE", first, last)
        for number, port in enumerate(ports):
            await ask(port, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                await ask(port, "CLUSTER", "MEET", "127.0.0.1", ports[0])
        await wait_until(lambda: _know_each_other(ports), "the cluster's servers should meet", 15)
        for number, port in enumerate(ports[primaries:]):
            primary = _text(await ask(ports[number % primaries], "CLUSTER", "MYID"))
            await ask(port, "CLUSTER", "REPLICATE", primary)
        await wait_until(lambda: _are_whole(ports, replicas), "the cluster should be whole", 20)
        yield ports


async def _know_each_other(ports: Sequence[int]) -> bool:
    return all([f"cluster_known_nodes:{len(ports)}" in await _cluster_info(port) for port in ports])


async def _are_whole(ports: Sequence[int], replicas: int) -> bool:
    whole = all(["cluster_state:ok" in await _cluster_info(port) for port in ports])
    linked = [_text(await ask(port, "INFO", "replication")) for port in ports[len(ports) - replicas :]]
    return whole and (not replicas or all("master_link_status:up" in info for info in linked))


async def _cluster_info(port: int) -> str:
    return _text(await ask(port, "CLUSTER", "INFO"))


def _text(answer: object) -> str:
    if isinstance(answer, dict):
        return "\n".join(f"{name}:{value}" for name, value in answer.items())
    return answer.decode() if isinstance(answer, bytes) else str(answer)
