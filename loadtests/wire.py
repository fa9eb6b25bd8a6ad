"""gRPC from the greenlets of Locust: channels, who calls, and streams that are written from several places.

The synchronous stubs work on gevent after `ready`; grpc.aio does not. No object of gRPC may exist before, nor before
Locust has forked its processes.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Generic, TypeVar

import gevent
import grpc
import grpc.experimental.gevent
from google.rpc import error_details_pb2
from grpc_status import rpc_status

SITE = "default"
CALL_S = 30.0
"""Deadline of a unary call."""
RECONNECT_S = 0.5
"""Pause before a stream that broke is opened again."""
CONNECTIONS = 8
"""Of each process, with the router."""
_MOST_THREADS = 256
Q = TypeVar("Q")
A = TypeVar("A")
Metadata = tuple[tuple[str, str], ...]


def ready() -> None:
    """Let gRPC run on gevent, in this process."""
    # Each channel and each unary call under way waits in a thread of gevent's pool, for up to 2 s at a time; the ten
    # that it has otherwise would make them wait for each other.
    gevent.get_hub().threadpool.maxsize = _MOST_THREADS
    grpc.experimental.gevent.init_gevent()


def bearer(role: str, id: str) -> Metadata:
    """A development token."""
    return (("authorization", f"Bearer dev:{SITE}:{role}:{id}"),)


@cache
def channel(address: str, number: int) -> grpc.Channel:
    """One of the few connections that the users of a process share: each costs a thread that waits."""
    return grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])


class Stream(Generic[Q, A]):
    """A stream in both directions: `send` never waits, and each message goes to ``on_message`` as it comes."""

    def __init__(
        self,
        method: Callable[..., Any],
        metadata: Metadata,
        on_message: Callable[[A], None],
        on_end: Callable[[grpc.RpcError | None], None],
    ) -> None:
        self._outbox: queue.SimpleQueue[Q | None] = queue.SimpleQueue()
        self._on_message = on_message
        self._on_end = on_end
        self._closed = False
        self._call = method(self._requests(), metadata=metadata)
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, message: Q) -> None:
        """Write this when what was sent before is written."""
        self._outbox.put(message)

    def close(self) -> None:
        """End it; ``on_end`` is not told."""
        self._closed = True
        self._outbox.put(None)
        self._call.cancel()

    def _requests(self) -> Iterator[Q]:
        while (message := self._outbox.get()) is not None:
            yield message

    def _read(self) -> None:
        problem: grpc.RpcError | None = None
        try:
            for message in self._call:
                self._on_message(message)
        except grpc.RpcError as error:
            problem = error
        if not self._closed:
            self._outbox.put(None)
            self._on_end(problem)


def reason_of(error: grpc.RpcError) -> str:
    """The router's stable word for a refusal, such as SUPERSEDED; else gRPC's."""
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return str(error.code().name)
