"""Distributions: what they say of themselves is what they draw, and a text that is wrong is told what is right."""

from __future__ import annotations

import math
import pickle
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcenter.distributions import Empirical, Gamma, Weibull, parse

DRAWS = 40_000


@pytest.mark.parametrize(
    "text",
    [
        "deterministic(mean=12)",
        "exponential(mean=500)",
        "lognormal(mean=240, cv=1.1)",
        "gamma(mean=30, cv=0.5)",
        "gamma(mean=30, cv=1.5)",
        "weibull(mean=500, cv=1.4)",
        "weibull(mean=500, cv=0.3)",
        "uniform(low=1, high=3)",
        "hyperexponential(mean=60, cv=2)",
        "empirical(3, 5.5, 8, 8)",
    ],
)
def test_the_draws_have_the_stated_mean_and_cv(text: str) -> None:
    distribution = parse(text)
    rng = random.Random(11)
    drawn = [distribution.draw(rng) for _ in range(DRAWS)]
    mean = statistics.fmean(drawn)
    assert min(drawn) >= 0.0
    # Four standard errors of the mean; the cv of a long tail is known less well.
    slack = 4 * distribution.cv / math.sqrt(DRAWS) + 1e-12
    assert mean == pytest.approx(distribution.mean, rel=slack)
    assert statistics.pstdev(drawn) / mean == pytest.approx(distribution.cv, rel=0.06, abs=1e-12)


def test_a_text_is_read_as_it_is_meant() -> None:
    assert parse(" Gamma( mean = 30 , cv=.5 ) ") == Gamma(30.0, 0.5)
    assert parse("12.5").mean == 12.5
    assert parse("12.5").cv == 0.0
    assert parse("empirical(1, 2, 6)").mean == 3.0
    assert math.isinf(parse("deterministic(mean=inf)").mean)


def test_shapes_meet_where_they_are_the_same() -> None:
    """With cv 1 gamma, weibull and hyperexponential are all the exponential distribution."""
    tail = math.exp(-1.5)
    for text in ("gamma(mean=10, cv=1)", "weibull(mean=10, cv=1)", "hyperexponential(mean=10, cv=1)"):
        rng, distribution = random.Random(5), parse(text)
        longer = sum(distribution.draw(rng) > 15.0 for _ in range(DRAWS)) / DRAWS
        assert longer == pytest.approx(tail, abs=0.01)


@given(st.floats(0.05, 10.0))
def test_a_weibull_has_the_moments_that_its_shape_was_solved_for(cv: float) -> None:
    drawn = Weibull(1.0, cv)
    rng = random.Random(1)
    assert drawn.draw(rng) > 0.0
    assert Weibull(2.0, cv).draw(random.Random(1)) == pytest.approx(2.0 * drawn.draw(random.Random(1)))


def test_the_same_source_draws_the_same_in_another_process() -> None:
    distribution = parse("lognormal(mean=240, cv=1.1)")
    copy = pickle.loads(pickle.dumps(distribution))
    assert copy == distribution
    assert copy.draw(random.Random(3)) == distribution.draw(random.Random(3))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "normal(mean=1, cv=1)",
            "handling: there is no distribution 'normal'; take one of deterministic, exponential",
        ),
        ("gamma(mean=3)", "handling: cv missing; write gamma"),
        ("gamma(3, 1)", "gamma has no field '3'; write gamma"),
        ("gamma(mean=3, sd=1)", "gamma has no field 'sd'"),
        ("gamma(mean=x, cv=1)", "mean must be a number, not 'x'"),
        ("gamma(mean=-3, cv=1)", "mean must be above 0 and finite, not -3"),
        ("gamma(mean=nan, cv=1)", "mean must be above 0"),
        ("gamma(mean=1, mean=2, cv=1)", "mean is given twice"),
        ("weibull(mean=1, cv=99)", "cv of a weibull must be"),
        ("hyperexponential(mean=1, cv=0.5)", "at least 1, not 0.5; gamma has smaller ones"),
        ("uniform(low=3, high=1)", "low and high must be"),
        ("empirical()", "values are missing"),
        ("empirical(1, -1)", "values must be at least 0"),
        ("deterministic(mean=-1)", "mean must be at least 0"),
        ("soon", "the time must be a number, not 'soon'"),
    ],
)
def test_a_wrong_text_is_told_the_field_and_the_fix(text: str, told: str) -> None:
    with pytest.raises(ValueError, match="handling: ") as error:
        parse(text, "handling")
    assert told in str(error.value)


def test_observed_times_are_all_drawn() -> None:
    rng, seen = random.Random(2), Empirical((1.0, 2.0, 4.0))
    assert {seen.draw(rng) for _ in range(100)} == {1.0, 2.0, 4.0}
