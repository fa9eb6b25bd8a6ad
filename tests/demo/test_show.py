"""Scale, live view, summary and picture."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from demo.day import make_day
from demo.figures import activities, running
from demo.picture import Blended, DayPicture, draw
from demo.prediction import Predicted
from demo.scale import FLOOR_S, Scale, SimClock, Timers
from demo.summary import Outturn, Promise, percentile, promises, show
from demo.view import LiveFigures, Screen, one_line

GOOD = Outturn(
    service_level=0.84,
    service_level_without=0.856,
    target=0.8,
    spare_hours=80.0,
    spent_work_s=220_000.0,
    kept_work_s=216_000.0,
    submitted=10,
    queued=6,
    held=1,
    done_ids=["a", "b", "c"],
    recalls=2,
    forced=0,
    reactions_s=[3.0, 5.0],
)
FIGURES = LiveFigures(43_200.0, 25_200.0, 75_900.0, calls_waiting=3, gate_open=False, agents={"on call": 5})


def test_timers_shrink_with_the_speed_but_guards_keep_a_floor() -> None:
    scale = Scale(240.0)
    assert scale.wall_s(20.0) == pytest.approx(1 / 12)
    assert scale.wall_ms(0.001) == 1
    assert scale.sim_s(scale.wall_s(7.0)) == pytest.approx(7.0)
    timers = Timers().on_the_wall(scale)
    assert timers.tau_s == pytest.approx(20 / 240)
    assert timers.stale_after_s == FLOOR_S
    with pytest.raises(ValueError, match="positive"):
        Scale(0.0)


def test_the_simulated_clock_follows_the_given_one() -> None:
    wall = [5.0]
    clock = SimClock(Scale(60.0), 25_200.0, lambda: wall[0])
    wall[0] = 6.0
    assert clock.now() == pytest.approx(25_260.0)
    assert clock.wall_until(25_320.0) == pytest.approx(1.0)
    assert clock.wall_until(0.0) == 0.0


def test_without_a_terminal_the_view_prints_a_line_now_and_then() -> None:
    out, wall = io.StringIO(), [0.0]
    with Screen(Console(file=out), line_every_s=10.0, monotonic=lambda: wall[0]) as screen:
        for wall[0] in (0.0, 1.0, 9.0, 10.0):
            screen.update(FIGURES)
    lines = out.getvalue().splitlines()
    assert lines == [one_line(FIGURES)] * 2
    assert "12:00" in lines[0]
    assert "gate closed" in lines[0]


def test_on_a_terminal_the_view_is_drawn() -> None:
    out = io.StringIO()
    with Screen(Console(file=out, force_terminal=True, width=120)) as screen:
        screen.update(FIGURES)
    assert "oldest wait" in out.getvalue()


def test_the_summary_of_a_good_day_exits_with_zero() -> None:
    out = io.StringIO()
    assert show(GOOD, Console(file=out, width=120)) == 0
    assert "75%" in out.getvalue()
    assert "BROKEN" not in out.getvalue()


def test_what_was_reached_is_shown_beside_what_was_predicted() -> None:
    out = io.StringIO()
    told = replace(GOOD, predicted=Predicted(0.851, 5, 60.4, 1))
    assert show(told, Console(file=out, width=120)) == 0
    table = [[cell.strip() for cell in line.strip("│ ").split("│")] for line in out.getvalue().splitlines()]
    for row in (
        ["service level with tasks", "84.0%", "85.1%", "-1.1 points"],
        ["tasks done", "3", "5", "-2"],
        ["hours recovered", "60.0 h", "60.4 h", "-0.4 h"],
        ["share of the spare time", "75%", "76%", "-0.5 points"],
        ["recalls", "2", "1", "+1"],
    ):
        assert row in table


@pytest.mark.parametrize(("why", "said"), [("it broke", "no prediction to compare with: it broke"), ("", "")])
def test_a_prediction_that_is_missing_changes_no_exit_code(why: str, said: str) -> None:
    out = io.StringIO()
    assert show(replace(GOOD, predicted=why), Console(file=out, width=120)) == 0
    assert said in out.getvalue()
    assert ("prediction" in out.getvalue()) is bool(why)


@pytest.mark.parametrize(
    "bad",
    [
        replace(GOOD, submitted=11),
        replace(GOOD, done_ids=["a", "b", "c", "c"]),
        replace(GOOD, late_effects=1),
        replace(GOOD, pushes_while_closed=1),
        replace(GOOD, beside_a_call=1),
        replace(GOOD, further=[Promise("sessions go on", False, "1 did not")]),
    ],
)
def test_a_broken_promise_exits_with_one(bad: Outturn) -> None:
    assert show(bad, Console(file=io.StringIO())) == 1
    assert sum(not p.held for p in promises(bad)) == 1


def test_percentiles_are_by_nearest_rank() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([1.0], 0.99) == 1.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_the_picture_is_written_twice(tmp_path: Path) -> None:
    day = make_day()
    center, base = day.baseline()
    end = day.closes_at + 600
    blended = Blended(
        base.per_half_hour, [], [(25_200.0, True), (30_000.0, False)], [(25_200.0, 2.0)], [40_000.0]
    )
    picture = DayPicture(
        "a day",
        day.opens_at,
        day.opens_at,
        end,
        day.counts,
        day.forecast,
        activities(center.history, day.opens_at, end),
        base.per_half_hour,
        running(center.outcomes, 20.0),
        0.8,
        20.0,
        blended,
    )
    png, svg = draw(picture, tmp_path / "day")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "<svg" in svg.read_text()[:1000]
