"""Receives the hints that the transitions publish, and says so when some may have been missed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redis.exceptions import ConnectionError, RedisError

from router.domain.endings import cancelled
from router.domain.model import Task
from router.domain.ports import Hint, HintListener
from router.state import records
from router.state.redis.client import Connections
from router.state.redis.keys import site_channel, worker_channel
from router.state.redis.wire import Channel, packed

log = logging.getLogger(__name__)

RESYNC = Hint(kind="resync", site="")
"""Told to every listener with each new connection: look at the store again."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_PING_S = 5.0


class HintReceiver:
    """One pub/sub connection for all listeners of a process, opened with the first of them."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._listeners: dict[int, tuple[str, HintListener]] = {}
        self.here: str | None = None
        """The only worker that listens here: what it is to know may come with the answers to its own calls."""
        self._next = 0
        self._subscribed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._deliveries: set[asyncio.Future[None]] = set()

    def listen(self, worker: str, listener: HintListener) -> Callable[[], None]:
        """Deliver the hints for ``worker`` and the site-wide ones; the returned call stops it."""
        number, self._next = self._next, self._next + 1
        self._listeners[number] = (worker, listener)
        self._restart()
        return lambda: self._forget(number)

    def came_with(self, messages: Sequence[Mapping[str, Any]], answer: Task | None) -> None:
        """Hand on what a transition told its own caller with its answer."""
        for message in messages:
            self._deliver(None, records.hint_from(message, answer))

    def answers_lost(self) -> None:
        """A connection broke under calls: what should have come with their answers is to be looked up."""
        self._deliver(None, RESYNC)

    def _see_who_is_here(self) -> None:
        workers = {worker for worker, _ in self._listeners.values()}
        self.here = workers.pop() if len(workers) == 1 and self._subscribed.is_set() else None

    async def ready(self) -> None:
        """Wait until the store knows every subscription made so far."""
        await self._subscribed.wait()

    async def close(self) -> None:
        """Stop receiving."""
        self._listeners.clear()
        self.here = None
        await self._stop()
        for delivery in self._deliveries:
            delivery.cancel()

    def _forget(self, number: int) -> None:
        self._listeners.pop(number, None)
        self._see_who_is_here()

    def _restart(self) -> None:
        self._subscribed.clear()
        self.here = None
        old, self._task = self._task, None
        self._task = asyncio.get_running_loop().create_task(self._run(old))

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await cancelled([task])

    async def _run(self, old: asyncio.Task[None] | None) -> None:
        if old is not None:
            await cancelled([old])
        pause = _FIRST_PAUSE_S
        while True:
            try:
                await self._receive()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("hints: the connection is lost (%s)", error)
            if self._subscribed.is_set():
                pause = _FIRST_PAUSE_S
            self._subscribed.clear()
            self.here = None
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _receive(self) -> None:
        """One connection's life: subscribe, hand on what comes, and raise when it is lost or silent."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        feed = _Feed(self._take, lambda error: None if ended.done() else ended.set_exception(error))
        await feed.channel.open(await self._connections.subscriber())
        try:
            workers = sorted({worker for worker, _ in self._listeners.values()})
            await feed.subscribe([worker_channel(worker) for worker in workers], site_channel("*"), ended)
            self._subscribed.set()
            self._see_who_is_here()
            self._deliver(None, RESYNC)  # of what was told before it, nothing came
            await feed.lives(ended)
        finally:
            feed.channel.end(ConnectionError("closed"))
            ended.cancel()

    def _take(self, channel: str | None, data: bytes) -> None:
        """A message of a worker's channel, or (None) of a site's."""
        teller, _, message = data.partition(b"\n")
        if teller and teller.decode() == self.here:
            return  # it came with the answer
        try:
            hint = records.hint_from(records.unpack(message))
        except (ValueError, KeyError, TypeError):
            log.warning("hints: a message on %r could not be read", channel)
            return
        self._deliver(channel, hint)

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


class _Feed:
    """A pub/sub connection: what it subscribes to, and whether it still lives."""

    def __init__(
        self, take: Callable[[str | None, bytes], None], lost: Callable[[BaseException], None]
    ) -> None:
        self.channel = Channel(self._received, lost)
        self._take = take
        self._silent = 0
        self._missing = 0
        self._all_known = asyncio.Event()

    async def subscribe(self, channels: Sequence[str], pattern: str, ended: asyncio.Future[None]) -> None:
        """Returns when the server knows all of it; raises what ``ended`` does."""
        self._missing = len(channels) + 1
        self._send("SUBSCRIBE", *channels)
        self._send("PSUBSCRIBE", pattern)
        known: asyncio.Future[Any] = asyncio.ensure_future(self._all_known.wait())
        try:
            await asyncio.wait([known, ended], timeout=_PING_S, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                await ended
            if not known.done():
                raise TimeoutError("no answer to SUBSCRIBE")
        finally:
            known.cancel()

    async def lives(self, ended: asyncio.Future[None]) -> None:
        """Until it is lost; a silent connection is asked whether it lives, and given up when that is not answered."""
        while True:
            self._silent += 1
            if self._silent > 2:
                raise TimeoutError("the store is silent")
            if self._silent > 1:
                self._send("PING")
            await asyncio.wait([ended], timeout=_PING_S)
            if ended.done():
                await ended

    def _send(self, *words: str) -> None:
        self.channel.write(packed(words))

    def _received(self, message: Any) -> None:
        self._silent = 0
        kind = message[0] if isinstance(message, list) else b""
        if kind == b"message":
            self._take(message[1].decode(), message[2])
        elif kind == b"pmessage":
            self._take(None, message[3])
        elif kind in (b"subscribe", b"psubscribe"):
            self._missing -= 1
            if self._missing == 0:
                self._all_known.set()
        elif isinstance(message, Exception):
            self.channel.end(message)
