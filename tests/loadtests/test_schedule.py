"""Open-loop timetables: a stall shows in every request that was due in it."""

from __future__ import annotations

import pytest

from loadtests.schedule import Schedule


def test_requests_are_due_at_an_even_rate_from_the_beginning() -> None:
    schedule = Schedule(began=100.0, per_s=4.0)
    assert [schedule.next() for _ in range(3)] == [100.0, 100.25, 100.5]


def test_a_phase_puts_off_the_first_one() -> None:
    schedule = Schedule(began=100.0, per_s=4.0, phase=0.5)
    assert [schedule.next(), schedule.next()] == [100.125, 100.375]


def test_a_stall_shows_in_all_that_it_delays() -> None:
    schedule, clock, took = Schedule(began=0.0, per_s=10.0), 0.0, []
    for answer_s in (0.01, 2.0, *[0.01] * 30):
        due = schedule.next()
        clock = max(clock, due) + answer_s
        took.append(clock - due)
    # One answer took two seconds; a closed loop would tell of one slow request. Here twenty were due meanwhile.
    assert sum(latency > 0.2 for latency in took) > 15
    assert took[-1] < took[2]


def test_a_rate_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="above 0 per second"):
        Schedule(0.0, 0.0)
