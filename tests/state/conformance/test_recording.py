"""The recording of a site: chunks in the order of their times, bounded in number and age."""

from __future__ import annotations

from tests.support.builders import HOUR, MINUTE, SECOND
from tests.support.stage import Stage

MANY = 1000


async def write(stage: Stage, *chunks: bytes, keep_ms: int = HOUR, most: int = MANY) -> list[str]:
    """Record chunks at this moment; their ids."""
    return [await stage.store.record(stage.site, chunk, keep_ms, most, now_ms=stage.now) for chunk in chunks]


async def bodies(stage: Stage, after: str = "", limit: int = MANY) -> list[bytes]:
    """What is recorded."""
    return [chunk.body for chunk in await stage.store.recording(stage.site, after, limit)]


async def test_chunks_come_back_as_written_in_their_order(stage: Stage) -> None:
    everything = bytes(range(256))
    await write(stage, b"one", everything)
    stage.later(SECOND)
    await write(stage, b"three")
    assert await bodies(stage) == [b"one", everything, b"three"]


async def test_nothing_recorded_is_an_empty_recording(stage: Stage) -> None:
    assert await bodies(stage) == []


async def test_an_id_tells_the_time_and_where_to_go_on(stage: Stage) -> None:
    first, second = await write(stage, b"one", b"two")
    stage.later(SECOND)
    (third,) = await write(stage, b"three")
    found = await stage.store.recording(stage.site, "", MANY)
    assert [chunk.id for chunk in found] == [first, second, third]
    assert [chunk.at_ms for chunk in found] == [stage.now - SECOND, stage.now - SECOND, stage.now]
    assert await bodies(stage, after=first) == [b"two", b"three"]
    assert await bodies(stage, after=first, limit=1) == [b"two"]
    assert await bodies(stage, after=third) == []


async def test_only_so_many_chunks_are_kept_the_latest(stage: Stage) -> None:
    await write(stage, b"one", b"two", b"three", most=2)
    assert await bodies(stage) == [b"two", b"three"]


async def test_chunks_older_than_is_kept_go_with_the_next_one(stage: Stage) -> None:
    await write(stage, b"old")
    stage.later(MINUTE)
    await write(stage, b"at the limit", keep_ms=MINUTE)
    assert await bodies(stage) == [b"old", b"at the limit"]
    stage.later(1)
    await write(stage, b"past it", keep_ms=MINUTE)
    assert await bodies(stage) == [b"at the limit", b"past it"]


async def test_a_clock_that_steps_back_does_not_break_the_order(stage: Stage) -> None:
    await write(stage, b"one")
    stage.now -= SECOND
    await write(stage, b"two")
    stage.now += SECOND
    assert await bodies(stage) == [b"one", b"two"]


async def test_ids_stay_ahead_of_those_that_went(stage: Stage) -> None:
    (first,) = await write(stage, b"one")
    stage.later(HOUR + 1)
    (second,) = await write(stage, b"two", keep_ms=HOUR, most=1)
    assert await bodies(stage, after=first) == [b"two"]
    assert second != first
