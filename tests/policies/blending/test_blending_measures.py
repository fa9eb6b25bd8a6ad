"""Learning handling times and recall figures from what is measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.policies.blending.measures import Estimate, Measures


def test_a_prior_weighs_as_many_observations_as_it_is_trusted_for() -> None:
    learnt = Estimate(240.0, 1.0).observed(300.0, half_life=1e9)
    assert learnt.mean_s == pytest.approx(270.0)
    assert learnt.weight == pytest.approx(2.0)


def test_a_task_time_believed_too_short_is_learnt_within_a_few_hundred_tasks() -> None:
    measures = Measures.from_priors(168.0, 10.0, 30.0)
    for _ in range(400):
        measures = measures.task_worked(240.0)
    assert measures.task.mean_s == pytest.approx(240.0, rel=0.02)
    assert measures.work_lost.mean_s == 30.0


def test_the_weight_of_the_past_halves_over_the_half_life() -> None:
    estimate = Estimate(100.0, 1000.0)
    for _ in range(50):
        estimate = estimate.observed(100.0, half_life=50.0)
    assert estimate.weight == pytest.approx(500.0 + sum(0.5 ** (i / 50) for i in range(50)))


def test_each_observation_goes_to_its_own_estimate() -> None:
    start = Measures.from_priors(300.0, 10.0, 30.0, prior_weight=1.0)
    after = start.task_worked(400.0).recall_obeyed(4.0).work_discarded(0.0)
    assert after.task.mean_s > 300.0
    assert 4.0 < after.recall_reaction.mean_s < 10.0
    assert 0.0 < after.work_lost.mean_s < 30.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_what_is_no_duration_is_passed_over(bad: float) -> None:
    estimate = Estimate(10.0, 5.0)
    assert estimate.observed(bad, 100.0) is estimate


@given(st.floats(0.0, 1e4), st.floats(0.0, 1e3), st.lists(st.floats(0.0, 1e4), max_size=30))
def test_an_estimate_stays_between_the_smallest_and_the_largest(
    prior: float, weight: float, seen: list[float]
) -> None:
    estimate = Estimate(prior, weight)
    for value in seen:
        estimate = estimate.observed(value, 20.0)
    assert min([prior, *seen]) - 1e-6 <= estimate.mean_s <= max([prior, *seen]) + 1e-6
