"""The fast engine is the simulator's day; the packing is the best one; the schedule in hindsight holds the level."""

import itertools
from datetime import date

import numpy as np
import pytest

from quality.bounds import best_schedule, fast_center, gaps, packing
from quality.contenders import document
from quality.engine import NEVER, idle_profile, play
from router.simulation.day import simulate, without_blending
from router.simulation.days import DayPlan, make_day, part_of

PLAN = DayPlan(date=date(2003, 7, 24), keep=1 / 24)


@pytest.fixture(scope="module")
def day():
    return make_day(PLAN)


@pytest.fixture(scope="module")
def fast(day):
    return fast_center(day)


def test_without_blending_it_is_the_simulators_day(day, fast):
    real = without_blending(day)["front"]
    played = play(fast[0], np.array([NEVER]), fast[1])
    assert (played.answered, played.in_target, played.abandoned) == (
        real.answered,
        real.in_target,
        real.abandoned,
    )
    assert played.idle_s == pytest.approx(real.idle_s)
    assert played.starts == 0


def test_under_a_reserve_it_is_close_to_the_router(day):
    morning = part_of(day, day.opens_s, day.opens_s + 4 * 3600)
    center, rules = fast_center(morning)
    played = play(center, np.array([2]), rules)
    policy = document(law="static_reserve", static_reserve=2, recall_enabled=False)
    real = simulate(morning, policy).total
    assert played.level == pytest.approx(real.service_level, abs=0.04)
    assert played.kept_s == pytest.approx(real.work.kept_s, rel=0.05)


def test_every_call_is_answered_or_given_up(fast):
    for reserve in (0, 2, 5):
        played = play(fast[0], np.array([reserve]), fast[1])
        assert played.answered + played.abandoned == fast[0].arrives.size


def test_the_idle_profile_covers_the_idle_time(fast):
    profile = idle_profile(*fast)
    covered = sum(idle * (until - at) for (at, idle), (until, _) in itertools.pairwise(profile))
    assert covered == pytest.approx(play(fast[0], np.array([NEVER]), fast[1]).idle_s)
    assert profile[-1, 1] == 0


def test_gaps_nest():
    profile = [(0.0, 1), (10.0, 2), (30.0, 1), (40.0, 3), (45.0, 2), (100.0, 0)]
    assert sorted(gaps(profile)) == [5.0, 20.0, 60.0, 100.0]


def test_no_other_way_to_cut_idle_time_into_gaps_packs_more():
    rng = np.random.default_rng(3)
    for _ in range(50):
        ups = np.sort(rng.uniform(0, 100, 5))
        downs = np.sort(ups + rng.uniform(1, 80, 5))
        moves = sorted([(at, 1) for at in ups] + [(at, -1) for at in downs])
        idle = np.cumsum([move for _, move in moves])
        profile = np.column_stack([[at for at, _ in moves], idle])
        best = max(
            sum(max(0.0, down - up - 12.0) for up, down in zip(ups, matched, strict=True))
            for matched in itertools.permutations(downs)
            if all(down >= up for up, down in zip(ups, matched, strict=True))
        )
        assert packing(profile, 4.0, 8.0).kept_s == pytest.approx(best)


def test_the_schedule_in_hindsight_holds_the_level_and_beats_every_static_reserve(day):
    closes_s = day.opens_s + 3 * 3600
    center, rules = fast_center(part_of(day, day.opens_s, closes_s))
    found = best_schedule(center, rules, 0.8, closes_s)
    floor = min(0.8, found.without.level)
    assert found.played.level >= floor
    static = [play(center, np.array([reserve]), rules) for reserve in range(12)]
    assert found.played.kept_s >= max((p.kept_s for p in static if p.level >= floor), default=0.0)
    assert play(center, np.array(found.reserve), rules) == found.played


def test_the_fast_engine_refuses_what_it_does_not_play(day):
    with pytest.raises(ValueError, match="one group"):
        fast_center(type(day)(day.date, day.seed, day.opens_s, day.closes_s, day.groups * 2))
