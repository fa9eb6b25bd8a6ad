"""The references: a bare gRPC server that does the messages of a call and nothing else.

    Echo       a message in, the same message out
    Chat       the same on a stream
    Script     a message in, one script call on the store, what it stored out
    Push       the same, and one write on another client's stream (Listen)
    PushStream the same with the messages on a stream

Run as `python -m loadtests.bare <socket of the store>`; it prints its port and ends when its standard input closes.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import hiredis
import uvloop

from router.v1 import common_pb2

SERVICE = "bare.Bare"
_SCRIPT = """#!lua flags=allow-cross-slot-keys
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
redis.call('HSET', KEYS[2], n % 1000, ARGV[1])
return redis.call('HGET', KEYS[2], n % 1000)
"""
"""About what the shortest transition does: a counter, a write and a read of one record."""
_KEYS = (b"bare:counter", b"bare:records")


class Wire(asyncio.Protocol):
    """One connection to the store, shared by all callers: what they ask in one tick goes out together."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Hand out the answers, in order."""
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not False:
            self._waiting.popleft().set_result(answer)

    async def call(self, *words: bytes) -> Any:
        """Send one command; its answer."""
        assert self._transport is not None
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._transport.write(hiredis.pack_command(words))  # type: ignore[arg-type]
        result = await answer
        if isinstance(result, Exception):
            raise result
        return result


class Bare:
    """The service."""

    def __init__(self, wire: Wire, script: bytes) -> None:
        self._wire = wire
        self._script = script
        self._listeners: list[asyncio.Queue[common_pb2.Task]] = []
        self._turns = itertools.count()

    async def echo(self, request: common_pb2.Task, context: Any) -> common_pb2.Task:
        """Nothing."""
        return request

    async def script(self, request: common_pb2.Task, context: Any) -> common_pb2.Task:
        """One script call."""
        record = request.SerializeToString()
        stored = await self._wire.call(b"EVALSHA", self._script, b"2", *_KEYS, record)
        return common_pb2.Task.FromString(stored)

    async def push(self, request: common_pb2.Task, context: Any) -> common_pb2.Task:
        """One script call, and a message to the listener whose turn it is."""
        stored = await self.script(request, context)
        self._listeners[next(self._turns) % len(self._listeners)].put_nowait(stored)
        return stored

    async def chat(self, requests: Any, context: Any) -> AsyncIterator[common_pb2.Task]:
        """Nothing, on a stream."""
        async for request in requests:
            yield request

    async def push_stream(self, requests: Any, context: Any) -> AsyncIterator[common_pb2.Task]:
        """What push does, for each message of a stream; several are under way."""
        running: asyncio.Queue[asyncio.Task[common_pb2.Task] | None] = asyncio.Queue()

        async def read() -> None:
            async for request in requests:
                running.put_nowait(asyncio.create_task(self.push(request, context)))
            running.put_nowait(None)

        reading = asyncio.create_task(read())
        while task := await running.get():
            yield await task
        await reading

    async def listen(self, requests: Any, context: Any) -> AsyncIterator[common_pb2.Task]:
        """What is pushed to this client."""
        inbox: asyncio.Queue[common_pb2.Task] = asyncio.Queue()
        self._listeners.append(inbox)
        yield common_pb2.Task()
        while True:
            yield await inbox.get()


def handlers(bare: Bare) -> grpc.GenericRpcHandler:
    """The service's methods, with real messages so that both sides pay for coding them."""
    codecs = (common_pb2.Task.FromString, common_pb2.Task.SerializeToString)
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Echo": grpc.unary_unary_rpc_method_handler(bare.echo, *codecs),
            "Script": grpc.unary_unary_rpc_method_handler(bare.script, *codecs),
            "Push": grpc.unary_unary_rpc_method_handler(bare.push, *codecs),
            "Chat": grpc.stream_stream_rpc_method_handler(bare.chat, *codecs),
            "PushStream": grpc.stream_stream_rpc_method_handler(bare.push_stream, *codecs),
            "Listen": grpc.stream_stream_rpc_method_handler(bare.listen, *codecs),
        },
    )


async def main(socket: str) -> None:
    """Serve until standard input closes."""
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_unix_connection(Wire, socket)
    script = await wire.call(b"SCRIPT", b"LOAD", _SCRIPT.encode())
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(Bare(wire, script)),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
