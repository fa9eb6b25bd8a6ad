"""A stream by itself, on a connection that the test plays: order, bounds, limits of time, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
import pytest

from router.domain.errors import Draining, ResourceExhausted, WrongState
from router.rpc import streams, submits
from router.rpc.streams import OUTBOX, Drain, Patience, Stream
from router.v1 import tasks_pb2


class Line:
    """What gRPC gives for a call. Messages are taken while `taking` is set; `sent` counts those that were begun."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[object] = asyncio.Queue()
        self.taking = asyncio.Event()
        self.taking.set()
        self.sent: list[object] = []
        self.changed = asyncio.Event()

    async def read(self) -> object:
        return await self.incoming.get()

    async def write(self, message: object) -> None:
        self.sent.append(message)
        self.changed.set()
        await self.taking.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def say(self, *messages: object) -> None:
        for message in messages:
            self.incoming.put_nowait(message)


@pytest.fixture
async def line() -> Line:
    return Line()


def stream_on(line: Line, drain: Drain | None = None) -> Stream:
    return Stream(line, lambda raw: raw, drain or Drain())


async def for_ever() -> None:
    await asyncio.Event().wait()


async def turns() -> None:
    """Let everything go on that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_is_read_ends_with_the_clients_last_message(line):
    line.say("a", "b", grpc.aio.EOF)
    stream = stream_on(line)

    async def echo() -> None:
        async for message in stream:
            await stream.write(message)

    await stream.run(echo)
    assert line.sent == ["a", "b"]


async def test_messages_of_several_tasks_leave_in_order_and_are_told_when_they_leave(line):
    stream = stream_on(line)
    left: list[object] = []
    stream.on_leaving = left.append
    line.taking.clear()

    async def other() -> None:
        await stream.write("second")

    async def talk() -> None:
        await stream.write("first")
        stream.beside(other)
        await line.until(lambda: line.sent == ["first"])
        await turns()
        assert left == ["first"]
        line.taking.set()
        await line.until(lambda: len(line.sent) == 2)

    await stream.run(talk)
    assert line.sent == left == ["first", "second"]


async def test_who_has_too_much_to_say_waits_for_room(line):
    stream = stream_on(line)
    line.taking.clear()
    put = 0

    async def flood() -> None:
        nonlocal put
        for i in range(3 * OUTBOX):
            await stream.write(i)
            put += 1

    serving = asyncio.create_task(stream.run(flood))
    await line.until(lambda: line.sent == [0])
    await turns()
    assert OUTBOX <= put <= OUTBOX + 1
    line.taking.set()
    await asyncio.wait_for(serving, 5)
    assert line.sent == list(range(3 * OUTBOX))


async def test_a_message_that_is_not_taken_in_time_ends_the_stream(line, monkeypatch):
    monkeypatch.setattr(streams, "WRITE_LIMIT_S", 0.02)
    stream = stream_on(line)
    line.taking.clear()

    async def talk() -> None:
        await stream.write("a")
        await for_ever()

    with pytest.raises(ResourceExhausted, match=r"not taken within 0\.02 s") as caught:
        await asyncio.wait_for(stream.run(talk), 5)
    assert caught.value.reason == "SLOW_CONSUMER"


async def test_a_client_that_falls_silent_ends_the_stream(line):
    stream = stream_on(line)
    line.say("a")

    async def listen() -> None:
        stream.expect_every(0.02, WrongState("silent"))
        async for _ in stream:
            pass

    with pytest.raises(WrongState, match="silent"):
        await asyncio.wait_for(stream.run(listen), 5)


class Loop:
    """A clock that the test sets, and the one timer that was set last."""

    def __init__(self) -> None:
        self.now = 100.0
        self.at = 0.0
        self.look: Callable[[], None] = lambda: None

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, look: Callable[[], None]) -> Loop:
        return self.call_at(self.now + seconds, look)

    def call_at(self, when: float, look: Callable[[], None]) -> Loop:
        self.at, self.look = when, look
        return self

    def cancel(self) -> None:
        self.look = lambda: None

    def go_to(self, now: float) -> None:
        while self.at <= now:
            self.now, due = self.at, self.at
            self.look()
            if self.at == due:
                return
        self.now = now


def test_patience_ends_with_the_wait_that_lasts_and_not_with_many_short_ones(monkeypatch):
    loop, ended = Loop(), []
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    patience = Patience(10, lambda: ended.append(loop.now))
    for now in range(101, 200, 3):
        patience.begin()
        loop.go_to(now)
        patience.end()
    loop.go_to(300)
    assert not ended
    patience.begin()
    loop.go_to(309.9)
    assert not ended
    loop.go_to(400)
    assert ended == [310]


async def test_what_was_said_before_an_error_still_goes_out(line):
    stream = stream_on(line)
    line.taking.clear()

    async def fail() -> None:
        for i in range(3):
            await stream.write(i)
        raise WrongState("no more")

    async def talk() -> None:
        stream.beside(fail)
        await for_ever()

    serving = asyncio.create_task(stream.run(talk))
    await line.until(lambda: line.sent == [0])
    line.taking.set()
    with pytest.raises(WrongState, match="no more"):
        await asyncio.wait_for(serving, 5)
    assert line.sent == [0, 1, 2]


async def test_a_broken_connection_ends_the_stream_and_all_that_waits_for_it(line):
    stream = stream_on(line)

    async def broken(_: object) -> None:
        raise ConnectionError("gone")

    line.write = broken

    async def talk() -> None:
        for i in range(2 * OUTBOX):
            await stream.write(i)

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(stream.run(talk), 5)


@pytest.mark.parametrize("how", ["cancelled", "served"])
async def test_what_goes_on_beside_ends_with_the_stream(line, how):
    stream = stream_on(line)
    ended = asyncio.Event()
    begun = asyncio.Event()

    async def beside() -> None:
        begun.set()
        try:
            await for_ever()
        finally:
            ended.set()

    async def talk() -> None:
        stream.beside(beside)
        await (begun.wait() if how == "served" else for_ever())

    serving = asyncio.create_task(stream.run(talk))
    await asyncio.wait_for(begun.wait(), 5)
    if how == "cancelled":
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(serving, 5)
    else:
        await asyncio.wait_for(serving, 5)
    assert ended.is_set()


async def test_the_drain_is_told_ends_streams_and_lets_none_begin(line):
    drain = Drain()
    stream = stream_on(line, drain)

    async def tell() -> None:
        await stream.write("the end is near")

    async def talk() -> None:
        stream.at_drain = tell
        drain.begin(now_ms=1000, grace_s=0.02)
        await for_ever()

    with pytest.raises(Draining):
        await asyncio.wait_for(stream.run(talk), 5)
    assert line.sent == ["the end is near"]
    assert drain.deadline_ms == 1020
    with pytest.raises(Draining):
        await stream_on(Line(), drain).run(for_ever)


# -- submits -----------------------------------------------------------------------------------------------
class Store:
    """Stores batches when the test says so, in any order."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gates: list[asyncio.Event] = []
        self.at_once = False

    def open(self) -> None:
        """Store all that waits, and what comes from now on at once."""
        self.at_once = True
        for gate in self.gates:
            gate.set()

    async def __call__(self, requests) -> list[tasks_pb2.SubmitResult]:
        self.batches.append([request.task_id for request in requests])
        gate = asyncio.Event()
        self.gates.append(gate)
        if not self.at_once:
            await gate.wait()
        return [tasks_pb2.SubmitResult(name=request.task_id) for request in requests]


def asked(i: int) -> tasks_pb2.SubmitTasksRequest:
    request = tasks_pb2.SubmitTaskRequest(task_id=f"t{i}")
    return tasks_pb2.SubmitTasksRequest(correlation_id=str(i), request=request)


async def test_submits_that_come_together_are_stored_together_and_answered_in_order(line):
    store = Store()
    stream = stream_on(line)
    serving = asyncio.create_task(stream.run(submits.Submits(stream, store).serve))
    count = 1 + 2 * submits.WORTH_A_BATCH + 3
    line.say(*(asked(i) for i in range(count)), grpc.aio.EOF)
    await turns_until(lambda: len(store.gates) == 3)
    sizes = [len(batch) for batch in store.batches]
    assert sizes == [1, submits.WORTH_A_BATCH, submits.WORTH_A_BATCH]
    for gate in (store.gates[2], store.gates[1]):
        gate.set()
    await turns()
    assert line.sent == []
    store.gates[0].set()
    await turns_until(lambda: len(store.gates) == 4)
    store.gates[3].set()
    await asyncio.wait_for(serving, 5)
    assert [message.correlation_id for message in line.sent] == [str(i) for i in range(count)]
    assert [message.result.name for message in line.sent] == [f"t{i}" for i in range(count)]


async def test_a_stream_of_submits_has_a_bounded_number_under_way(line):
    store = Store()
    stream = stream_on(line)
    serving = asyncio.create_task(stream.run(submits.Submits(stream, store).serve))
    line.say(*(asked(i) for i in range(1000)), grpc.aio.EOF)
    await turns_until(lambda: len(store.gates) == submits.UNDER_WAY)
    await turns_until(lambda: line.incoming.qsize() < 1000 - submits.STREAM_BATCH)
    await turns()
    assert len(store.gates) == submits.UNDER_WAY
    read = 1001 - line.incoming.qsize()
    assert read == sum(len(batch) for batch in store.batches) + submits.STREAM_BATCH
    store.open()
    await asyncio.wait_for(serving, 5)
    assert len(line.sent) == 1000
    assert max(len(batch) for batch in store.batches) == submits.STREAM_BATCH


async def test_a_batch_that_cannot_be_stored_ends_the_stream(line):
    async def away(_: object) -> list[tasks_pb2.SubmitResult]:
        raise WrongState("no store")

    stream = stream_on(line)
    line.say(asked(1))
    with pytest.raises(WrongState, match="no store"):
        await asyncio.wait_for(stream.run(submits.Submits(stream, away).serve), 5)


async def turns_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 -- nothing tells of each turn
            await asyncio.sleep(0)
