"""Connections to the store: single, Sentinel or Cluster, chosen by the URL.

``redis://``, ``rediss://`` and ``unix://`` as redis-py reads them; ``sentinel://host:port,host:port/service``;
``cluster://host:port``. The commands of one tick of the event loop go out in one pipeline. Nothing is ever sent
twice but what the store has refused to run: a command without an answer may have run (StoreUnavailable).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Any, Protocol, cast
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ClusterError,
    ConnectionError,
    MovedError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)

from router.domain.errors import StoreUnavailable
from router.state.redis.library import Library

Command = tuple[Any, ...]

_AWAY = (
    ConnectionError, TimeoutError, OSError, asyncio.TimeoutError, ReadOnlyError, ClusterDownError, ClusterError,
    MovedError, AskError, TryAgainError,
)  # fmt: skip
_AWAY_WORDS = (
    "LOADING",
    "MASTERDOWN",
    "NOREPLICAS",
    "UNBLOCKED",
    "OOM",
    "MISCONF",
    "CLUSTERDOWN",
    "READONLY",
)


class _Pipeline(Protocol):
    """The part of redis-py's pipelines that is used here; both kinds have it."""

    def execute_command(self, *args: Any) -> object: ...

    def execute(self, raise_on_error: bool = True) -> Awaitable[list[Any]]: ...


def as_store_error(error: BaseException) -> BaseException:
    """StoreUnavailable for a store that did not answer or could not run a command; others as they are."""
    away = isinstance(error, _AWAY) or str(error).startswith(_AWAY_WORDS)
    return StoreUnavailable(f"the store does not answer: {error}") if away else error


class Connections:
    """One store's connections: a pool for commands, made on demand, and clients for pub/sub."""

    def __init__(self, url: str, *, timeout_s: float = 5.0, max_connections: int = 16) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._max_connections = max_connections
        self._client: Redis | RedisCluster = self._connect()
        self._waiting: list[tuple[Command, asyncio.Future[Any]]] = []
        self._running: set[asyncio.Task[None]] = set()

    # -- commands ------------------------------------------------------------------------------------------
    def send(self, *command: Any) -> asyncio.Future[Any]:
        """The command goes out with all others of this tick; raises StoreUnavailable or redis-py's ResponseError.

        A caller that is cancelled stops waiting; its command runs to its end all the same.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((command, future))
        if len(self._waiting) == 1:
            loop.call_soon(self._flush)
        return future

    async def send_all(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to several commands that go out together; the first error is raised."""
        return await asyncio.gather(*(self.send(*command) for command in commands))

    async def load(self, library: Library) -> None:
        """Load the library into every primary that lacks it."""
        try:
            for primary in await self._primaries():
                await self._load_into(primary, library)
        except RedisError as error:
            raise as_store_error(error) from error

    async def close(self) -> None:
        """Wait for what is under way, then let go of every connection."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)
        await self._client.aclose()

    async def subscriber(self) -> Redis:
        """A client for one pub/sub connection (of a cluster: to any node, for messages reach them all)."""
        if isinstance(self._client, RedisCluster):
            await self._client.initialize()
            node = self._client.get_default_node()
            assert node is not None
            return Redis(host=node.host, port=int(node.port), retry=_no_retry(), protocol=2)
        if urlsplit(self._url).scheme == "sentinel":
            return self._sentinel()
        return Redis.from_url(self._url, retry=_no_retry(), protocol=2)

    @property
    def client(self) -> Redis | RedisCluster:
        """redis-py's client, for what is no command of a site (the guard, the doctor)."""
        return self._client

    # -- how -----------------------------------------------------------------------------------------------
    def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        task = asyncio.get_running_loop().create_task(self._run(batch))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, batch: list[tuple[Command, asyncio.Future[Any]]]) -> None:
        try:
            answers = await self._execute([command for command, _ in batch])
        except Exception as error:
            answers = [error] * len(batch)
        await self._look_again(answers)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(as_store_error(answer))
            else:
                future.set_result(answer)

    async def _look_again(self, answers: Sequence[Any]) -> None:
        """After a failure a cluster may have another primary: let the next command ask who serves what."""
        if isinstance(self._client, RedisCluster) and any(isinstance(answer, _AWAY) for answer in answers):
            with suppress(RedisError, OSError):
                await self._client.aclose()

    async def _execute(self, commands: Sequence[Command]) -> list[Any]:
        pipeline = cast(_Pipeline, self._client.pipeline(transaction=False))
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute(raise_on_error=False)

    async def _primaries(self) -> list[dict[str, Any]]:
        if isinstance(self._client, RedisCluster):
            await self._client.initialize()
            return [{"target_nodes": node} for node in self._client.get_primaries()]
        return [{}]

    async def _load_into(self, primary: dict[str, Any], library: Library) -> None:
        try:
            await self._client.execute_command("FUNCTION LOAD", library.code, **primary)
        except ResponseError as error:
            if "already exists" not in str(error):
                raise

    def _connect(self) -> Redis | RedisCluster:
        parts = urlsplit(self._url)
        if parts.scheme == "cluster":
            return RedisCluster(
                host=parts.hostname or "localhost",
                port=parts.port or 6379,
                username=_text(parts.username),
                password=_text(parts.password),
                socket_timeout=self._timeout_s,
                retry=_no_retry(),
                protocol=2,
            )
        if parts.scheme == "sentinel":
            return self._sentinel()
        pool = BlockingConnectionPool.from_url(
            self._url,
            max_connections=self._max_connections,
            timeout=self._timeout_s,
            socket_timeout=self._timeout_s,
            retry=_no_retry(),
            protocol=2,
        )
        return Redis(connection_pool=pool)

    def _sentinel(self) -> Redis:
        parts = urlsplit(self._url)
        hosts = [item.rpartition(":") for item in parts.netloc.rpartition("@")[2].split(",")]
        sentinel: Any = cast(Any, Sentinel)(
            [(host, int(port)) for host, _, port in hosts],
            socket_timeout=self._timeout_s,
            protocol=2,
        )
        client: Redis = sentinel.master_for(
            parts.path.strip("/"),
            username=_text(parts.username),
            password=_text(parts.password),
            socket_timeout=self._timeout_s,
            retry=_no_retry(),
        )
        return client


def _no_retry() -> Retry:
    return Retry(NoBackoff(), 0)


def _text(quoted: str | None) -> str | None:
    return unquote(quoted) if quoted else None
