"""The handling time by Little's law: right on even and on filling days, calm at first, and never poisoned."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from router.policies.blending import Memory, PolicyDocument, Snapshot, build_policy
from router.policies.blending.handling import Handling, advance, start


def look(at_s: float, on_call: int, answered: int, aht_s: float | None = None) -> Snapshot:
    return Snapshot(
        now_ms=round(at_s * 1000),
        idle=max(0, 60 - on_call),
        on_call=on_call,
        logged_in=60,
        on_tasks=0,
        window_end_ms=36_000_000,
        answered=answered,
        answered_in_target=answered,
        arrivals=answered,
        aht_s=aht_s,
    )


def day(aht_s: float, calls_per_s: float, hours: float, every_s: float = 30.0) -> list[Snapshot]:
    """Looks at a center that opens empty: lognormal handling times, nobody waits."""
    rng = random.Random(f"{aht_s}/{calls_per_s}")
    starts, at = [], 0.0
    while (at := at + rng.expovariate(calls_per_s)) < hours * 3600:
        starts.append((at, at + aht_s * rng.lognormvariate(-0.5 * 0.793, 0.793**0.5)))
    looks = [every_s * step for step in range(int(hours * 3600 / every_s) + 1)]
    return [
        look(t, sum(begin <= t < end for begin, end in starts), sum(begin <= t for begin, _ in starts))
        for t in looks
    ]


def learnt(snapshots: list[Snapshot], believed_s: float, weight: float = 30.0) -> list[float]:
    past = start(snapshots[0], weight)
    values = []
    for snapshot in snapshots:
        past = advance(past, snapshot, 200.0)
        values.append(past.aht_s(believed_s))
    return values


@pytest.mark.parametrize("believed_s", [168.0, 240.0, 360.0])
def test_a_wrong_belief_is_put_right_within_two_hours(believed_s: float) -> None:
    values = learnt(day(240.0, 0.12, 6.0), believed_s)
    assert values[0] == believed_s
    after = values[240:]
    assert sum(after) / len(after) == pytest.approx(240.0, rel=0.06)
    assert all(abs(value / 240.0 - 1.0) < 0.25 for value in after)


def test_a_center_that_fills_up_is_not_believed_to_be_fast() -> None:
    """Dividing by the calls answered would halve the handling time in the first minutes."""
    first = learnt(day(240.0, 0.12, 0.25), 240.0)
    assert min(first) > 0.8 * 240.0


def test_how_often_it_looks_matters_little() -> None:
    often, seldom = learnt(day(240.0, 0.12, 4.0, 5.0), 300.0), learnt(day(240.0, 0.12, 4.0, 300.0), 300.0)
    assert often[-1] == pytest.approx(seldom[-1], rel=0.08)


def test_counters_that_fall_and_long_silences_teach_nothing() -> None:
    past = Handling(0, 10, 500, 30.0, 48_000.0, 200.0)
    for later in (look(60.0, 12, 3), look(901.0, 12, 520)):
        after = advance(past, later, 200.0)
        assert (after.busy_s, after.ended) == (past.busy_s, past.ended)
        assert (after.on_call, after.answered) == (later.on_call, later.answered)
    assert advance(past, look(0.0, 99, 999), 200.0) is past


def test_more_calls_in_work_than_answered_leave_the_belief() -> None:
    past = advance(start(look(0.0, 0, 0), 30.0), look(30.0, 20, 20), 1e9)
    assert past.ended == 0.0
    assert past.aht_s(240.0) == pytest.approx(240.0 + 300.0 / 30.0)
    assert start(look(0.0, 5, 5), 0.0).aht_s(240.0) == 240.0


def test_the_law_learns_where_the_acd_is_silent_and_believes_it_where_it_reports() -> None:
    policy = build_policy(PolicyDocument(prior_aht_s=168.0))
    memory = Memory()
    for snapshot in day(240.0, 0.12, 3.0):
        gate, memory = policy.decide(snapshot, memory)
    assert gate.explanation["aht_s"] == pytest.approx(240.0, rel=0.2)
    reported, _ = policy.decide(replace(snapshot, now_ms=snapshot.now_ms + 30_000, aht_s=200.0), memory)
    assert reported.explanation["aht_s"] == 200.0
