"""Connections to the store: single, Sentinel or Cluster, chosen by the URL.

``redis://``, ``rediss://`` and ``unix://`` as redis-py reads them; ``sentinel://host:port,host:port/service``;
``cluster://host:port``. The commands of one tick of the event loop go out together, on one connection to each
server, or two where changes wait for a replica. Nothing is ever sent twice but what the store has refused to run: a
command without an answer may have run (StoreUnavailable).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.connection import AbstractConnection
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
from router.state.redis.confirmed import ConfirmedWire
from router.state.redis.keys import PREFIX
from router.state.redis.library import Library
from router.state.redis.wire import Opener, Unclaimed, Wire, packed

Command = tuple[Any, ...]

_AWAY = (
    ConnectionError, TimeoutError, OSError, asyncio.TimeoutError, ReadOnlyError, ClusterDownError, ClusterError,
    MovedError, AskError, TryAgainError,
)  # fmt: skip
_MOVED_WORDS = ("MOVED ", "ASK ", "TRYAGAIN", "CLUSTERDOWN", "READONLY")
_AWAY_WORDS = (*_MOVED_WORDS, "LOADING", "MASTERDOWN", "NOREPLICAS", "UNBLOCKED", "OOM", "MISCONF")


def as_store_error(error: BaseException) -> BaseException:
    """StoreUnavailable for a store that did not answer or could not run a command; others as they are."""
    away = isinstance(error, _AWAY) or str(error).startswith(_AWAY_WORDS)
    return StoreUnavailable(f"the store does not answer: {error}") if away else error


class Connections:
    """One store's connections: a wire to each server for commands, and channels for pub/sub.

    ``replicated``: a change is answered only when a replica has it too.
    """

    def __init__(self, url: str, *, timeout_s: float = 5.0, replicated: bool = False) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._client: Redis | RedisCluster = self._connect()
        self._lost: Callable[[], None] = lambda: None
        self._late: Unclaimed = lambda answer: None
        self._way = self._way_by(self._wire)
        self._changing = self._way_by(self._confirmed_wire) if replicated else self._way

    # -- commands ------------------------------------------------------------------------------------------
    async def send(self, *command: Any) -> Any:
        """The answer; raises StoreUnavailable or redis-py's ResponseError.

        A caller that is cancelled stops waiting; its command runs to its end all the same.
        """
        return await self.send_packed(packed(command), _key_of(command))

    async def send_packed(self, packed: bytes, key: str, *, changes: bool = False) -> Any:
        """The same for a command in the protocol's form; ``key``: one of its keys, which names its server.

        ``changes``: it is more than a look, so with ``replicated`` a replica has to confirm it.
        """
        way = self._changing if changes else self._way
        try:
            return await way.send(packed, key)
        except Exception as error:
            store_error = as_store_error(error)
            if store_error is error:
                raise
            raise store_error from error

    async def send_all(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to several commands that go out together; the first error is raised."""
        return await asyncio.gather(*(self.send(*command) for command in commands))

    def on_lost(self, told: Callable[[], None]) -> None:
        """``told`` is called when a connection broke under commands or no replica confirmed: answers are missing."""
        self._lost = told

    def on_unclaimed(self, given: Unclaimed) -> None:
        """``given`` gets the answers whose callers wait no more: what they tell others is to be heard all the same."""
        self._late = given

    def _broke(self) -> None:
        self._lost()

    def _unclaimed(self, answer: Any) -> None:
        self._late(answer)

    async def load(self, library: Library) -> None:
        """Load the library into every primary that lacks it."""
        try:
            for primary in await self._primaries():
                await self._load_into(primary, library)
        except RedisError as error:
            raise as_store_error(error) from error

    async def close(self) -> None:
        """Wait for what is under way, then let go of every connection."""
        await self._changing.close()
        await self._way.close()
        await self._client.aclose()

    async def subscriber(self) -> Opener:
        """How to open a pub/sub connection (of a cluster: to any node, for messages reach them all)."""
        if isinstance(self._client, RedisCluster):
            await self._client.initialize()
            node = self._client.get_default_node()
            assert node is not None
            return lambda: cast(AbstractConnection, node.connection_class(**node.connection_kwargs))
        return self._client.connection_pool.make_connection

    @property
    def client(self) -> Redis | RedisCluster:
        """redis-py's client, for what is no command of a site (the guard, the doctor)."""
        return self._client

    # -- how -----------------------------------------------------------------------------------------------
    def _wire(self, opener: Opener) -> Wire:
        return Wire(opener, self._timeout_s, self._broke, self._unclaimed)

    def _confirmed_wire(self, opener: Opener) -> ConfirmedWire:
        return ConfirmedWire(self._wire(opener), self._broke, self._unclaimed)

    def _way_by(self, wire: Callable[[Opener], _Wire]) -> _One | _Slots:
        if isinstance(self._client, RedisCluster):
            return _Slots(self._client, wire)
        return _One(wire(self._client.connection_pool.make_connection))

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
        return Redis.from_url(
            self._url,
            socket_timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
            retry=_no_retry(),
            protocol=2,
        )

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


class _Wire(Protocol):
    """A connection to one server."""

    def send(self, packed: bytes, key: str) -> asyncio.Future[Any]: ...

    async def close(self) -> None: ...


class _One:
    """Everything lies on one server."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    def send(self, packed: bytes, key: str) -> asyncio.Future[Any]:
        return self._wire.send(packed, key)

    async def close(self) -> None:
        await self._wire.close()


class _Slots:
    """A cluster: redis-py knows which server has which slot, and here is a wire to each of them."""

    def __init__(self, client: RedisCluster, new_wire: Callable[[Opener], _Wire]) -> None:
        self._client = client
        self._new_wire = new_wire
        self._wires: dict[str, _Wire] = {}
        self._of_key: dict[str, _Wire] = {}

    async def send(self, packed: bytes, key: str) -> Any:
        wire = self._of_key.get(key) or await self._find(key)
        try:
            return await wire.send(packed, key)
        except Exception as error:
            if isinstance(error, _AWAY) or str(error).startswith(_MOVED_WORDS):
                await self._forget()
            raise

    async def _find(self, key: str) -> _Wire:
        await self._client.initialize()
        node = self._client.get_node_from_key(key)
        if node is None:
            raise ClusterDownError(f"no server has the slot of {key}")
        wire = self._wires.get(node.name)
        if wire is None:
            wire = self._wires[node.name] = self._new_wire(_opener(node))
        self._of_key[key] = wire
        return wire

    async def _forget(self) -> None:
        """After a failure the cluster may have another primary: the next command asks who serves what."""
        self._of_key.clear()
        await self._client.aclose()

    async def close(self) -> None:
        for wire in self._wires.values():
            await wire.close()


def _opener(node: Any) -> Opener:
    return lambda: cast(AbstractConnection, node.connection_class(**node.connection_kwargs))


def _key_of(command: Command) -> str:
    """The command's first key; a command without one may go to any server."""
    return next((word for word in command if isinstance(word, str) and word.startswith(PREFIX)), PREFIX)


def _no_retry() -> Retry:
    return Retry(NoBackoff(), 0)


def _text(quoted: str | None) -> str | None:
    return unquote(quoted) if quoted else None
