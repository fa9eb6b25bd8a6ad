"""Virtual time: a clock that only goes on, things in their order, and coroutines that never wait."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest

from router.simulation.timeline import SerialLane, Timeline, VirtualClock, WaitedError, run_now


class World:
    """Something that only an event loop could bring on."""

    def __await__(self) -> Iterator[None]:
        yield


def test_the_clock_counts_from_midnight_and_never_goes_back() -> None:
    clock = VirtualClock(date(2003, 7, 24))
    clock.move_to(3600.0005)
    assert clock.now_ms() == 1_059_004_800_000 + 3_600_000
    clock.move_to(10.0)
    assert clock.now_s == clock.monotonic() == 3600.0
    assert clock.seconds(clock.ms(7.25)) == 7.25


def test_things_happen_in_the_order_of_time_and_then_of_planning() -> None:
    timeline, happened = Timeline(), []
    for name, at_s in (("late", 2.0), ("first", 1.0), ("second", 1.0)):
        timeline.at(at_s, lambda name=name: happened.append(name))
    while timeline.next_s < 10:
        timeline.happen()
    assert happened == ["first", "second", "late"]


def test_a_coroutine_that_waits_is_an_error() -> None:
    async def wait_for_the_world() -> None:
        await World()

    with pytest.raises(WaitedError):
        run_now(wait_for_the_world())
    with pytest.raises(WaitedError):
        run_now(VirtualClock(date(2003, 7, 24)).sleep(1))


def test_the_lane_runs_one_after_the_other_and_catches_what_it_is_told_to() -> None:
    order = []

    async def work(n: int) -> int:
        order.append(n)
        if n == 2:
            raise ValueError(n)
        return n

    lane = SerialLane()
    answers = run_now(lane.all(work(1), work(2), work(3), caught=True))
    assert (answers[0], type(answers[1]), answers[2], order) == (1, ValueError, 3, [1, 2, 3])
    with pytest.raises(ValueError, match="2"):
        run_now(lane.all(work(2)))
    assert run_now(lane.beside(max, 1, 2)) == 2
