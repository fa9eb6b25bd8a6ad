"""Running the router until it is told to stop: in this process, or in several that share the port."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from router.app.root import build, place_of
from router.app.workers import Workers, reserved_port
from router.config import Settings
from router.dispatch.clock import SystemClock
from router.state.factory import Place, opened

log = logging.getLogger(__name__)


class StoreLostError(RuntimeError):
    """Our own store ended while the router ran. What was acknowledged is in its file: start the router again."""


class StartFailedError(RuntimeError):
    """A worker ended before it was ready; it has said why."""


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then drain. A second signal does not wait for the drain.

    Raises what :func:`router.app.build` raises, StoreLostError and StartFailedError.
    """
    log_to_stderr(settings)
    run(_serve_many(settings) if settings.workers > 1 else _serve_alone(settings))


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop where there is one; it takes about a tenth less CPU."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


def spare_the_collector() -> None:
    """What was made at the start stays for ever: full collections need not look at it, and may come seldom.

    They took 80 to 130 ms each with 68 desktops, which was the slowest hundredth of all calls.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def log_to_stderr(settings: Settings) -> None:
    """One line for each event; a program that embeds the router has its own logging and does not call this."""
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=settings.log_level.upper(), format=form, stream=sys.stderr)


async def _serve_alone(settings: Settings) -> None:
    stop = stop_on_signals()
    async with place_of(settings) as place, opened(place, SystemClock()) as store:
        async with build(settings, store) as app:
            spare_the_collector()
            announce(app.address, settings, place)
            await _first_of(stop.wait(), place.lost.wait())
            await app.drain()
        _raise_if_lost(place)


async def _serve_many(settings: Settings) -> None:
    """The parent has the store and keeps the port; the workers serve."""
    stop = stop_on_signals()
    async with place_of(settings) as place:
        async with opened(place, SystemClock()):
            log.debug("the store is fit; each worker opens it for itself")
        with reserved_port(settings) as address:
            shared = replace(settings, redis_url=place.url, listen=address, workers=1)
            async with Workers(shared, settings.workers) as workers:
                await _first_of(workers.ready(), workers.failed.wait(), stop.wait(), place.lost.wait())
                if workers.failed.is_set():
                    raise StartFailedError("a worker ended before it was ready; see its message above")
                if not stop.is_set() and not place.lost.is_set():
                    announce(address, settings, place)
                await _first_of(stop.wait(), place.lost.wait())
        _raise_if_lost(place)


def announce(address: str, settings: Settings, place: Place) -> None:
    """The one line on standard output that says that calls are answered."""
    words = [f"store: {place.about}"]
    if settings.workers > 1:
        words.append(f"{settings.workers} workers")
    if settings.dev_tokens:
        words.append("development tokens accepted")
    sys.stdout.write(f"workrouter ready on {address} ({'; '.join(words)})\n")
    sys.stdout.flush()


def stop_on_signals() -> asyncio.Event:
    """An event that the first SIGTERM or SIGINT sets; the next one ends the process's main task."""
    stop = asyncio.Event()
    main = asyncio.current_task()

    def on_signal() -> None:
        if stop.is_set() and main is not None:
            main.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


async def _first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _raise_if_lost(place: Place) -> None:
    if place.lost.is_set():
        raise StoreLostError("the router's own store has ended; see valkey.log in the data directory")
