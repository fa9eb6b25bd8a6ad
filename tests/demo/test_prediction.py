"""The simulator's prediction of the demo's day: of the same day, in a process of its own."""

from __future__ import annotations

import os
import signal
import time
from functools import cache

import pytest

from demo.day import Day, make_day
from demo.options import time_of_day
from demo.prediction import Predicted, Prediction, Question
from demo.scale import Scale
from demo.work import plan_backlog
from router.cli.prediction import predict, simulated

SINCE, UNTIL = time_of_day("07:30"), time_of_day("08:30")


@cache
def day() -> Day:
    return make_day()


def question(tasks: int) -> Question:
    planned = plan_backlog("run", tasks, 7, SINCE, UNTIL).by_id.values() if tasks else ()
    return Question(day(), SINCE, UNTIL, tuple(planned), Scale(300.0))


def fails(asked: Question) -> Predicted:
    raise ValueError(f"{len(asked.tasks)} tasks are too few")


def sleeps(asked: Question) -> Predicted:
    time.sleep(60.0)
    return Predicted(1.0, 0, 0.0, 0)


def dies(asked: Question) -> Predicted:
    os.kill(os.getpid(), signal.SIGKILL)
    return sleeps(asked)


# -- the same day --------------------------------------------------------------------------------------------
def test_without_tasks_the_prediction_is_the_day_without_tasks() -> None:
    _, without = day().baseline(SINCE, UNTIL)
    predicted = predict(question(0))
    assert predicted == Predicted(without.service_level, 0, 0.0, 0)


def test_it_is_the_demos_day_call_by_call_and_task_by_task() -> None:
    asked = question(100)
    made = simulated(asked)
    (queue,) = made.groups[0].queues
    assert [(c.number, c.arrives_at, c.talk_s) for c in queue.calls] == [
        (c.number, c.arrives_at, c.talk_s) for c in day().calls
    ]
    assert [agent.shift for agent in made.groups[0].agents] == day().shifts
    tasks = sorted((at, s) for work in made.work for at, s in zip(work.arrivals_s, work.times_s, strict=True))
    assert tasks == sorted((task.at, task.work_s) for task in asked.tasks)
    assert sum(step.calls for step in queue.forecast) == pytest.approx(sum(day().forecast))


def test_tasks_are_done_in_the_part_that_is_played_and_no_longer() -> None:
    predicted = predict(question(100))
    _, without = day().baseline(SINCE, UNTIL)
    assert 0 < predicted.done < 100
    assert 0.3 * without.spare_hours < predicted.recovered_hours <= without.spare_hours * 1.05
    assert 0.5 < predicted.service_level <= 1.0


# -- in a process of its own ---------------------------------------------------------------------------------
async def test_it_is_computed_beside_the_demo() -> None:
    prediction = Prediction(predict, question(30))
    try:
        assert await prediction.answer(60.0) == predict(question(30))
    finally:
        prediction.close()


@pytest.mark.parametrize(
    ("function", "within_s", "why"),
    [
        (fails, 30.0, "ValueError: 3 tasks are too few"),
        (sleeps, 0.1, "it was not ready 0.1 s after the end of the day"),
        (dies, 30.0, "its process ended without an answer"),
    ],
)
async def test_a_prediction_that_fails_says_why(function: object, within_s: float, why: str) -> None:
    prediction = Prediction(function, question(3))  # type: ignore[arg-type]
    try:
        assert await prediction.answer(within_s) == why
    finally:
        prediction.close()
