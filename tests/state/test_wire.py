"""One connection for all callers: answers stay with their questions, and nothing is asked twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Connection
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from router.state.redis.wire import Wire, packed
from tests.support.wait import wait_until

Answer = Callable[[bytes], bytes | None]


class Server:
    """A server that answers each command as the test says; None: not at all."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.writes = 0
        self.clients: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients.append(writer)
        while data := await reader.read(65536):
            self.writes += 1
            for command in data.split(b"*")[1:]:
                words = command.split(b"\r\n")
                if words[2].upper() == b"CLIENT":  # redis-py introduces itself
                    writer.write(b"+OK\r\n")
                    continue
                self.asked.append(words[2])
                if (answer := self.answer(words[2])) is not None:
                    writer.write(answer)


@asynccontextmanager
async def serving(answer: Answer, timeout_s: float = 5.0) -> AsyncIterator[tuple[Server, Wire]]:
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield server, Wire(lambda: Connection(port=port, protocol=2), timeout_s)
    finally:
        listening.close()
        for client in server.clients:
            client.close()


def echo(word: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(word), word)


async def test_answers_come_to_those_who_asked_and_one_tick_shares_a_write() -> None:
    async with serving(echo) as (server, wire):
        assert await wire.send(packed(["first"])) == b"first"
        before = server.writes
        words = [f"w{n}" for n in range(50)]
        answers = await asyncio.gather(*(wire.send(packed([word])) for word in words))
        assert [answer.decode() for answer in answers] == words
        assert server.writes == before + 1
        await wire.close()


async def test_a_caller_that_gives_up_does_not_shift_the_answers_of_others() -> None:
    async with serving(echo) as (_, wire):
        gone, other = wire.send(packed(["gone"])), wire.send(packed(["other"]))
        gone.cancel()
        assert await other == b"other"


async def test_an_error_is_the_answer_of_its_command_alone() -> None:
    answers = {b"bad": b"-ERR no\r\n", b"good": b"+yes\r\n"}
    async with serving(answers.__getitem__) as (_, wire):
        bad, good = wire.send(packed(["bad"])), wire.send(packed(["good"]))
        with pytest.raises(ResponseError, match="no"):
            await bad
        assert await good == b"yes"


async def test_a_silent_server_is_given_up_and_asked_anew_but_never_the_same_twice() -> None:
    async with serving(lambda word: None if word == b"lost" else echo(word), timeout_s=0.2) as (server, wire):
        with pytest.raises(TimeoutError):
            await wire.send(packed(["lost"]))
        assert await wire.send(packed(["next"])) == b"next"
        assert server.asked == [b"lost", b"next"]
        assert len(server.clients) == 2


async def test_a_lost_connection_fails_what_is_under_way_and_is_told() -> None:
    async with serving(lambda word: None) as (server, wire):
        told: list[bool] = []
        wire._tell_lost = lambda: told.append(True)
        waiting = wire.send(packed(["x"]))
        await wait_until(lambda: bool(server.asked), "the command should arrive")
        server.clients[0].close()
        with pytest.raises(ConnectionError):
            await waiting
        assert told == [True]


async def test_no_server_is_an_error_and_not_a_wait() -> None:
    wire = Wire(lambda: Connection(port=1, protocol=2), 5.0)
    with pytest.raises(ConnectionError):
        await wire.send(packed(["x"]))
    await wire.close()


async def test_an_answer_for_which_nobody_waits_any_more_is_passed_on() -> None:
    async with serving(echo) as (_, wire):
        heard: list[object] = []
        wire._unclaimed = heard.append
        gone, other = wire.send(packed(["gone"])), wire.send(packed(["other"]))
        gone.cancel()
        await other
        assert heard == [b"gone"]
