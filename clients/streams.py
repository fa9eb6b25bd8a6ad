"""What all clients that read streams or pages share."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast

import grpc

from clients.backoff import Backoff
from clients.channel import Connection
from clients.errors import ApiError, UnavailableError, from_rpc_error

T = TypeVar("T")

_log = logging.getLogger(__name__)

# Another stream of the same caller has taken over; coming back would only start a fight between the two.
_FINAL_REASONS = frozenset({"SESSION_REPLACED", "FEED_REPLACED"})
# Nothing gets better by coming back with the same request.
_FINAL_CODES = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)


class Page(Protocol):
    """An answer that may be continued."""

    @property
    def next_page_token(self) -> str:
        """Return what asks for the next page; empty at the end."""


AnyPage = TypeVar("AnyPage", bound=Page)


async def pages(
    fetch: Callable[[str], Awaitable[AnyPage]], items: Callable[[AnyPage], Iterable[T]]
) -> AsyncGenerator[T, None]:
    """Yield the items of all pages; `fetch` gets the token of the page wanted."""
    token = ""
    while True:
        page = await fetch(token)
        for item in items(page):
            yield item
        token = page.next_page_token
        if not token:
            return


async def messages(
    call: grpc.aio.StreamStreamCall[Any, T] | grpc.aio.UnaryStreamCall[Any, T], silence_s: Callable[[], float]
) -> AsyncGenerator[T, None]:
    """Yield what a stream brings until it ends well.

    Raises ApiError when it ends otherwise, UnavailableError when nothing has come for `silence_s()`.
    """
    while True:
        limit = silence_s()
        try:
            async with asyncio.timeout(limit):
                message = await call.read()
        except TimeoutError:
            raise UnavailableError(f"the router has been silent for {limit:g} s") from None
        except grpc.aio.AioRpcError as error:
            raise _how_it_ended(error) from error
        if message is grpc.aio.EOF:
            return
        yield cast(T, message)


def _how_it_ended(error: grpc.aio.AioRpcError) -> ApiError:
    # A write that meets the end of a stream makes gRPC forget how the router ended it and say INTERNAL. All that
    # is known then is that the stream broke; the next one will tell.
    if error.code() is grpc.StatusCode.INTERNAL and error.details() == "Internal error from Core":
        return UnavailableError("the stream broke")
    return from_rpc_error(error)


def is_final(error: ApiError) -> bool:
    """Say whether a stream that ended so should not be opened again as it was."""
    return error.code in _FINAL_CODES or error.reason in _FINAL_REASONS


async def settle(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks and wait until they are gone; what they raise is dropped."""
    alive = [task for task in tasks if task is not None and not task.done()]
    for task in alive:
        task.cancel()
    await asyncio.gather(*alive, return_exceptions=True)


class StreamClient(ABC):
    """Keeps one bidirectional stream open until it is closed or the router refuses it for good."""

    def __init__(self, connection: Connection, backoff: Backoff | None, connect_timeout_s: float) -> None:
        """Keep the settings; `start` or `async with` opens the stream."""
        self.connection = connection
        self.names = connection.names
        self.failure: ApiError | None = None
        self._backoff = backoff or connection.backoff
        self._connect_timeout_s = connect_timeout_s
        self._runner: asyncio.Task[None] | None = None
        self._last_error: ApiError | None = None
        # Set while the stream is up, and for ever once it has ended for good.
        self._settled = asyncio.Event()
        self._up = False

    @property
    def connected(self) -> bool:
        """Say whether the stream is up now."""
        return self._up

    async def __aenter__(self) -> Self:
        """Open the stream and wait for the router's first answer. Raises ApiError."""
        self.start()
        try:
            await self.wait_connected(self._connect_timeout_s)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the stream."""
        await self.close()

    def start(self) -> None:
        """Begin to connect, in the background."""
        if self._runner is None:
            self._runner = asyncio.create_task(self._keep_open())

    async def close(self) -> None:
        """End the stream. What the router holds for the caller stays as it is."""
        await settle(self._runner)
        self._up = False
        self._ended(self.failure)

    async def wait_connected(self, timeout_s: float | None = None) -> None:
        """Return as soon as the stream is up. Raises ApiError when it cannot be, or not in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError:
            raise self._last_error or UnavailableError(f"no answer from {self.connection.address}") from None
        if self.failure is not None:
            raise self.failure

    async def wait_closed(self) -> None:
        """Return when the stream has been closed. Raises the ApiError by which the router ended it for good."""
        if self._runner is not None:
            await asyncio.wait({self._runner})
        if self.failure is not None:
            raise self.failure

    @abstractmethod
    async def _serve_stream(self) -> None:
        """Open one stream and serve it until it ends; call `_is_up` when it stands."""

    @abstractmethod
    def _on_down(self, error: ApiError, retry_in_s: float) -> None:
        """Learn that the stream is gone and will be opened again."""

    @abstractmethod
    def _ended(self, error: ApiError | None) -> None:
        """Learn that the stream is gone for good."""

    def _is_final(self, error: ApiError, was_up: bool) -> bool:
        # A token that has expired is renewed by the next attempt; one that is refused at once is wrong.
        if error.code is grpc.StatusCode.UNAUTHENTICATED and was_up:
            return False
        return is_final(error)

    def _is_up(self) -> None:
        self._up = True
        self._settled.set()

    async def _keep_open(self) -> None:
        attempt = 0
        while True:
            error = await self._stream_once()
            was_up, self._up = self._up, False
            if self._is_final(error, was_up):
                self._give_up(error)
                return
            self._settled.clear()
            attempt = 0 if was_up else attempt + 1
            delay = self._backoff.delay(attempt)
            self._on_down(error, delay)
            await asyncio.sleep(delay)

    async def _stream_once(self) -> ApiError:
        try:
            await self._serve_stream()
        except ApiError as error:
            self._last_error = error
        except Exception as error:
            # A callback or token function of the user's failed: tell, and try again rather than fall silent.
            _log.exception("the stream to %s failed on this side", self.connection.address)
            self._last_error = ApiError(f"{type(error).__name__}: {error}")
        else:
            self._last_error = UnavailableError("the router ended the stream")
        return self._last_error

    def _give_up(self, error: ApiError) -> None:
        self.failure = error
        self._settled.set()
        self._ended(error)
