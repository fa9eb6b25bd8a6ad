"""The open loop: requests begin when they are due, whatever the earlier ones do."""

import asyncio
import itertools
import time

import pytest

from loadtests.bench.pacing import LATE_S, Alarm, due_times, kept, open_loop


def test_requests_are_due_at_a_steady_rate():
    assert list(due_times(4.0, 3, 100.0)) == [100.0, 100.25, 100.5]


async def test_no_request_begins_early_and_none_waits_for_an_answer():
    begun, answers = [], []

    async def begin(i, due):
        begun.append((i, time.perf_counter() - due))
        answers.append(asyncio.get_running_loop().create_future())

    await open_loop(2000.0, 40, begin)
    assert [i for i, _ in begun] == list(range(40))
    assert min(late for _, late in begun) >= 0
    assert not any(answer.done() for answer in answers)


async def test_requests_keep_their_due_times_when_one_of_them_holds_the_loop_up():
    dues = []

    async def begin(i, due):
        dues.append(due)
        if i == 0:
            until = due + 0.05
            while time.perf_counter() < until:
                pass

    told = await open_loop(1000.0, 20, begin)
    steps = {round(later - due, 6) for due, later in itertools.pairwise(dues)}
    assert steps == {0.001}
    assert told.late_s > 0.03


@pytest.mark.parametrize(
    ("late_s", "is_kept"), [([], True), ([LATE_S] * 100, True), ([0.0] * 98 + [1.0] * 2, False)]
)
def test_a_schedule_is_kept_when_its_slowest_hundredth_was_in_time(late_s, is_kept):
    assert kept(late_s).kept is is_kept


async def test_a_moment_that_has_passed_only_gives_others_a_turn():
    others = asyncio.create_task(asyncio.sleep(0, "had a turn"))
    with Alarm() as alarm:
        await alarm.until(time.perf_counter() - 1.0)
    assert others.done() or await others == "had a turn"
