"""Valkey servers of a test's own: one alone, a primary with a replica that can be stopped, a cluster of several."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import ResponseError

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


DURABLE = ("--maxmemory-policy", "noeviction", "--appendonly", "yes", "--appendfsync", "always")
"""What a server needs to lose nothing that it has answered."""
WITH_REPLICA = ("--min-replicas-to-write", "1", "--repl-diskless-sync-delay", "0")


@contextlib.asynccontextmanager
async def primary_and_replica(folder: Path) -> AsyncIterator[tuple[int, int]]:
    """The ports of two servers that are set as durability `ha` wants them."""
    async with (
        server(folder, *DURABLE, *WITH_REPLICA) as primary,
        server(folder, *DURABLE, "--replicaof", f"127.0.0.1 {primary}") as replica,
    ):
        await wait_until(lambda: _has_confirmed(primary), "the replica should follow", 20)
        yield primary, replica


async def _has_confirmed(primary: int) -> bool:
    """Whether a write reaches a replica; one that counts as linked may still wait for the stream of writes."""
    async with Redis(port=primary, protocol=2, single_connection_client=True) as client:
        with contextlib.suppress(ResponseError):
            await client.set("probe", 1, ex=1)
            return bool(await client.wait(1, 100))
        return False


async def pid_of(port: int) -> int:
    """The process id of a server."""
    info = _text(await ask(port, "INFO", "server"))
    return int(info.partition("process_id:")[2].split()[0])


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process stands still in this block, as one does that the network has cut off."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


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
