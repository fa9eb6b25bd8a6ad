"""Days made from volumes: forecast from earlier days only, the same for the same plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from callcenter.volumes import load
from router.simulation.day import simulate
from router.simulation.days import DayPlan, make_day, part_of, playable_days
from tests.support.played import HOUR_S, policy


def test_the_forecast_is_the_mean_of_six_earlier_same_weekdays() -> None:
    day, volumes = make_day(DayPlan(keep=1 / 40)), load()
    (queue,) = day.groups[0].queues
    before = [sum(counts) for at, counts in volumes.days.items() if at < day.date]
    assert len(before) == 6
    assert sum(step.calls for step in queue.forecast) == pytest.approx(sum(before) / 6 / 40)
    assert queue.forecast[0].start_s == day.opens_s == 7 * HOUR_S


def test_the_same_plan_makes_the_same_day_and_a_wrong_forecast_leaves_the_staff_alone() -> None:
    plan = DayPlan(keep=1 / 40)
    assert make_day(plan) == make_day(plan)
    (usual,), (wrong,) = make_day(plan).groups, make_day(replace(plan, forecast_factor=1.5)).groups
    assert usual.agents == wrong.agents
    assert usual.queues[0].calls == wrong.queues[0].calls
    assert wrong.queues[0].forecast[10].calls == 1.5 * usual.queues[0].forecast[10].calls


def test_a_part_of_a_day_has_its_calls_and_those_who_work_then() -> None:
    part = part_of(make_day(DayPlan(keep=1 / 40)), 9 * HOUR_S, 10 * HOUR_S)
    (group,) = part.groups
    assert all(9 * HOUR_S <= call.arrives_at < 10 * HOUR_S for call in group.queues[0].calls)
    assert all(9 * HOUR_S <= a.shift.start < a.shift.end <= 10 * HOUR_S for a in group.agents)
    assert (part.opens_s, part.closes_s, part.ends_s) == (9 * HOUR_S, 10 * HOUR_S, 10 * HOUR_S)


def test_days_without_history_cannot_be_played() -> None:
    assert playable_days() == [date(2003, 7, 24)]
    with pytest.raises(ValueError, match="earlier same weekdays"):
        make_day(DayPlan(date=date(2003, 7, 17)))
    with pytest.raises(ValueError, match="the volumes have no 1999-01-01"):
        make_day(DayPlan(date=date(1999, 1, 1)))


@pytest.mark.parametrize(("field", "value"), [("keep", 0.0), ("target", 1.5), ("forecast_factor", -1.0)])
def test_a_plan_that_cannot_be_played_names_its_field(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{field} must be"):
        DayPlan(**{field: value})  # type: ignore[arg-type]


def same_weekdays(count: int = 7) -> list[date]:
    return [date(2024, 5, 6) + timedelta(weeks=week) for week in range(count)]


def test_several_call_queues_share_the_agents_and_have_forecasts_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "queues.csv"
    lines = [
        f"{day}T{8 + n // 12:02}:{n % 12 * 5:02},{queue},{calls}"
        for queue, calls in (("cards", 6), ("loans", 2))
        for day in same_weekdays()
        for n in range(72)
    ]
    file.write_text("\n".join(["datetime,queue,calls", *lines]))
    day = make_day(DayPlan(volumes=str(file), date=same_weekdays()[-1], keep=1.0))
    (group,) = day.groups
    assert {queue.id: len(queue.calls) for queue in group.queues} == {"cards": 432, "loans": 144}
    assert {queue.id: queue.forecast[3].calls for queue in group.queues} == {"cards": 18.0, "loans": 6.0}
    assert all(call.queue == queue.id for queue in group.queues for call in queue.calls)
    result = simulate(part_of(day, 10 * HOUR_S, 11 * HOUR_S), policy())
    assert result.total.calls.offered == 96
    assert result.total.work.done > 0


def test_call_records_are_played_as_they_came(tmp_path: Path) -> None:
    file = tmp_path / "records.csv"
    lines = [
        f"{day}T{8 + n // 10:02}:{n % 10 * 6:02}:30,{20 + n},120,15"
        for day in same_weekdays()
        for n in range(60)
    ]
    file.write_text("\n".join(["arrival,wait_s,talk_s,after_s", *lines]))
    assert playable_days(str(file)) == same_weekdays()[-1:]
    day = make_day(DayPlan(volumes=str(file), date=same_weekdays()[-1], keep=1.0))
    (queue,) = day.groups[0].queues
    assert [call.arrives_at for call in queue.calls] == [8 * HOUR_S + 360 * n + 30 for n in range(60)]
    assert {(call.talk_s, call.after_s) for call in queue.calls} == {(120.0, 15.0)}
    assert all(call.patience_s > 20 + n for n, call in enumerate(queue.calls))
    assert sum(step.calls for step in queue.forecast) == pytest.approx(60)


def test_queues_that_are_open_at_different_times_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "queues.csv"
    file.write_text("datetime,queue,calls\n2024-05-06T08:00,cards,6\n2024-05-06T09:00,loans,6\n")
    with pytest.raises(ValueError, match="differ in their days or hours"):
        playable_days(str(file))
