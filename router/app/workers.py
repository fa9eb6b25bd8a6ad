"""Several processes on one port (SO_REUSEPORT), restarted when they die; spawned, for gRPC does not survive a fork."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Self

from router.config import ConfigError, Settings
from router.domain.errors import RouterError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Before a worker that died is started again; the pause doubles until one has lived for HEALTHY_S."""
HEALTHY_S = 60.0
KILL_AFTER_S = 5.0
"""Beyond the drain's time: a worker that has not ended by then is killed."""

_context = multiprocessing.get_context("spawn")
log = logging.getLogger(__name__)


@contextmanager
def reserved_port(settings: Settings) -> Iterator[str]:
    """The address for all workers; a socket that never listens keeps its port between their lives.

    Raises ConfigError when the address cannot be had.
    """
    try:
        family, *_, target = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        held = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _no_address(settings, error) from None
    with held:
        try:
            _refuse_taken(family, target)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind(target)
        except OSError as error:
            raise _no_address(settings, error) from None
        yield f"{settings.listen.rpartition(':')[0]}:{held.getsockname()[1]}"


def _refuse_taken(family: int, target: object) -> None:
    """Another router's workers would share the port with ours, each with its own store: that must not pass unseen."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(target)  # type: ignore[arg-type]


def _no_address(settings: Settings, error: OSError) -> ConfigError:
    text = f"cannot listen on {settings.listen} ({error.strerror}); choose another address"
    return ConfigError([("listen", text)])


class Workers:
    """The worker processes, for the time of an ``async with``; at its end they drain."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._drain_s = settings.drain_s
        self.failed = asyncio.Event()
        """Set when a worker ended before it was ever ready: the settings are at fault, not chance."""
        self._workers = [_Worker(_settings_of(settings, i), i, self.failed) for i in range(count)]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(worker.keep_alive()) for worker in self._workers]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(worker.stop(self._drain_s) for worker in self._workers))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ready(self) -> None:
        """Wait until every worker answers calls."""
        for worker in self._workers:
            await worker.ready.wait()

    @property
    def pids(self) -> list[int]:
        """The workers' process ids."""
        return [worker.pid for worker in self._workers]


class _Worker:
    def __init__(self, settings: Settings, number: int, failed: asyncio.Event) -> None:
        self._settings = settings
        self._number = number
        self._failed = failed
        self._process: SpawnProcess | None = None
        self._stopping = asyncio.Event()
        self.ready = asyncio.Event()

    @property
    def pid(self) -> int:
        return (self._process.pid or 0) if self._process else 0

    async def keep_alive(self) -> None:
        """Start the process, and start it again whenever it ends by itself."""
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            started = loop.time()
            code = await self._live()
            if self._stopping.is_set():
                return
            if not self.ready.is_set():
                self._failed.set()
                return
            if loop.time() - started > HEALTHY_S:
                pause_s = FIRST_PAUSE_S
            log.error("worker %d ended with code %s; again in %g s", self._number, code, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _live(self) -> int | None:
        listener, speaker = _context.Pipe(duplex=False)
        process = _context.Process(
            target=run_worker, args=(self._settings, speaker), name=f"worker-{self._number}"
        )
        process.start()
        speaker.close()
        self._process = process
        with listener:
            telling = asyncio.create_task(self._await_ready(listener))
            await _readable(process.sentinel)
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        process.join()
        return process.exitcode

    async def _await_ready(self, listener: Connection) -> None:
        await _readable(listener.fileno())
        if listener.poll():
            try:
                listener.recv()
            except EOFError:
                return
            self.ready.set()

    async def stop(self, drain_s: float) -> None:
        """SIGTERM, time to drain, and SIGKILL where that was not enough."""
        self._stopping.set()
        process = self._process
        if process is None or not process.is_alive():
            return
        process.terminate()
        try:
            async with asyncio.timeout(drain_s + KILL_AFTER_S):
                await _readable(process.sentinel)
        except TimeoutError:
            log.error("worker %d does not end; it is killed", self._number)
            process.kill()
            await _readable(process.sentinel)


def _settings_of(shared: Settings, number: int) -> Settings:
    port = shared.metrics_port
    return replace(shared, metrics_port=None if port is None else port + number)


async def _readable(descriptor: int) -> None:
    """Wait until a descriptor has something to read. Several may wait for one, so each waits on a copy."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    copy = os.dup(descriptor)
    loop.add_reader(copy, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(copy)
        os.close(copy)


# -- in the worker -----------------------------------------------------------------------------------------
def run_worker(settings: Settings, speaker: Connection) -> None:
    """A worker's main function."""
    from router.app.serving import log_to_stderr, run

    log_to_stderr(settings)
    try:
        run(_work(settings, speaker))
    except (RuntimeError, ValueError, RouterError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)


async def _work(settings: Settings, speaker: Connection) -> None:
    from router.app.root import build
    from router.app.serving import spare_the_collector, stop_on_signals

    stop = stop_on_signals()
    async with build(settings, share_port=True) as app:
        spare_the_collector()
        speaker.send("ready")
        speaker.close()
        await _until(stop)
        await app.drain()


async def _until(stop: asyncio.Event) -> None:
    """Until told to stop, or until the parent is gone: without it nobody restarts us or keeps the store."""
    parent = multiprocessing.parent_process()
    if parent is None:
        await stop.wait()
        return
    orphaned = asyncio.create_task(_readable(parent.sentinel))
    told = asyncio.create_task(stop.wait())
    await asyncio.wait([orphaned, told], return_when=asyncio.FIRST_COMPLETED)
    for task in (orphaned, told):
        task.cancel()
    await asyncio.gather(orphaned, told, return_exceptions=True)
