"""Quantiles, ratios and targets, on figures that can be reckoned by hand."""

import pytest

from loadtests.bench.figures import Found, Row, Series, Target, quantile, ratios, spread, told


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_quantile_is_the_value_of_its_rank(share, expected):
    assert quantile(list(range(100, 0, -1)), share) == expected


def test_there_is_no_quantile_of_nothing():
    with pytest.raises(ValueError, match="nothing"):
        quantile([], 0.5)


def test_ratios_are_taken_within_a_round():
    row = Row("pull", "ms", [2.0, 9.0, 4.0], reference="E", references=[1.0, 3.0, 4.0])
    assert ratios(row.values, row.references) == [2.0, 3.0, 1.0]
    assert row.ratio == 2.0  # and not 4 / 3, the ratio of the medians


def test_rounds_without_their_reference_are_refused():
    with pytest.raises(ValueError, match="argument"):
        ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("target", "value", "ratio", "reached"),
    [
        (Target(at_most=5), 5.0, None, True),
        (Target(at_most=5), 5.1, None, False),
        (Target(at_least=2000), 1999.0, None, False),
        (Target(at_least=2000), 2000.0, None, True),
        (Target(ratio_at_most=1.3), 99.0, 1.3, True),
        (Target(ratio_at_most=1.3), 0.1, 1.31, False),
        (Target(ratio_at_least=1.0), 0.1, 0.9, False),
        (Target(at_most=400, ratio_at_most=1.4), 300.0, 1.5, False),
        (Target(ratio_at_most=1.3), 0.1, None, False),
    ],
)
def test_a_target_is_reached_when_every_bound_is_kept(target, value, ratio, reached):
    assert target.reached(value, ratio) is reached


def test_a_target_tells_its_bounds():
    assert Target(at_most=400, ratio_at_most=1.4).text("µs") == "≤ 400 µs; ≤ 1.4 × reference"
    assert not Row("x", "ms", [1.0]).judged


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.01234, "0.0123"), (1.5, "1.5"), (12.345, "12.3"), (100.0, "100"), (12345.6, "12,346")],
)
def test_three_figures_count(value, text):
    assert told(value) == text


def test_a_spread_has_its_ends_when_there_are_several_rounds():
    assert spread([3.0, 1.0, 2.0]) == "2 (1–3)"
    assert spread([3.0]) == "3"


def test_what_was_found_survives_being_stored():
    found = Found(
        [Row("pull", "ms", [1.0], Target(at_most=2), "E", [1.0], "said", "size")],
        [Series("plot", "line", [1.0], [2.0])],
        {"pull": {"router": 1.0}},
        ["note"],
    )
    assert Found.from_json(found.as_json()) == found
