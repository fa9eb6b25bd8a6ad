"""Receives the hints that the transitions publish, and says so when some may have been missed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from router.domain.endings import cancelled
from router.domain.ports import Hint, HintListener
from router.state import records
from router.state.redis.client import Connections
from router.state.redis.keys import site_channel, worker_channel

log = logging.getLogger(__name__)

RESYNC = Hint(kind="resync", site="")
"""Told to every listener after the connection was lost: look at the store again."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_END_S = 0.1
_PING_S = 5.0


class HintReceiver:
    """One pub/sub connection for all listeners of a process, opened with the first of them."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._listeners: dict[int, tuple[str, HintListener]] = {}
        self._next = 0
        self._pubsub: Any = None
        self._subscribed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._deliveries: set[asyncio.Future[None]] = set()

    def listen(self, worker: str, listener: HintListener) -> Callable[[], None]:
        """Deliver the hints for ``worker`` and the site-wide ones; the returned call stops it."""
        number, self._next = self._next, self._next + 1
        self._listeners[number] = (worker, listener)
        self._restart()
        return lambda: self._forget(number)

    async def ready(self) -> None:
        """Wait until the store knows every subscription made so far."""
        await self._subscribed.wait()

    async def close(self) -> None:
        """Stop receiving."""
        self._listeners.clear()
        await self._stop()
        for delivery in self._deliveries:
            delivery.cancel()

    def _forget(self, number: int) -> None:
        self._listeners.pop(number, None)

    def _restart(self) -> None:
        self._subscribed.clear()
        old, self._task = self._task, None
        self._task = asyncio.get_running_loop().create_task(self._run(old))

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await cancelled([task])

    async def _run(self, old: asyncio.Task[None] | None) -> None:
        if old is not None:
            await cancelled([old])
        pause, lost = _FIRST_PAUSE_S, False
        while True:
            try:
                await self._receive(lost)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("hints: the connection is lost (%s)", error)
            if self._subscribed.is_set():
                pause = _FIRST_PAUSE_S
            self._subscribed.clear()
            lost = True
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _receive(self, lost: bool) -> None:
        client = await self._connections.subscriber()
        workers = {worker for worker, _ in self._listeners.values()}
        try:
            async with client.pubsub() as pubsub:
                await pubsub.subscribe(*(worker_channel(worker) for worker in workers))
                await pubsub.psubscribe(site_channel("*"))
                await self._await_subscriptions(pubsub, len(workers) + 1)
                self._subscribed.set()
                if lost:
                    self._deliver(None, RESYNC)
                await self._pump(pubsub)
        finally:
            await client.aclose()

    async def _await_subscriptions(self, pubsub: Any, count: int) -> None:
        while count:
            message = await pubsub.get_message(timeout=_PING_S)
            if message is None:
                raise TimeoutError("no answer to SUBSCRIBE")
            if message["type"] in ("subscribe", "psubscribe"):
                count -= 1
            else:
                self._dispatch(message)

    async def _pump(self, pubsub: Any) -> None:
        """Hand on what comes; a silent connection is asked whether it lives, twice in a row it is given up."""
        silent = 0
        while True:
            message = await pubsub.get_message(timeout=_PING_S)
            if message is None:
                silent += 1
                if silent > 2:
                    raise TimeoutError("the store is silent")
                await pubsub.ping()
                continue
            silent = 0
            self._dispatch(message)

    def _dispatch(self, message: dict[str, Any]) -> None:
        if message["type"] not in ("message", "pmessage"):
            return
        try:
            hint = records.hint_from(records.unpack(message["data"]))
        except (ValueError, KeyError, TypeError):
            log.warning("hints: a message on %r could not be read", message["channel"])
            return
        worker = None if message["type"] == "pmessage" else message["channel"].decode()
        self._deliver(worker, hint)

    def _deliver(self, channel: str | None, hint: Hint) -> None:
        for worker, listener in list(self._listeners.values()):
            if channel is None or channel == worker_channel(worker):
                self._call(listener, hint)

    def _call(self, listener: HintListener, hint: Hint) -> None:
        try:
            waiting = listener(hint)
        except Exception:
            log.exception("hints: a listener failed")
            return
        if waiting is not None:
            delivery: asyncio.Future[None] = asyncio.ensure_future(waiting)
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._delivered)

    def _delivered(self, delivery: asyncio.Future[None]) -> None:
        self._deliveries.discard(delivery)
        if not delivery.cancelled() and delivery.exception() is not None:
            log.error("hints: a listener failed", exc_info=delivery.exception())
