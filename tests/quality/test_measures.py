"""The figures of several days, by hand."""

import pytest

from quality.measures import recovered, summary

DAY = {
    "level": 0.81, "level_without": 0.9, "target": 0.8, "kept_s": 3600.0, "spare_s": 7200.0, "paid_s": 36_000.0,
    "recalls": 20, "done": 10, "starts": 30, "late": 1, "late_open": 2, "bad_half_hours": 1,
    "bad_half_hours_without": 0, "least_urgent_wait_s": 60.0, "violations": [],
}  # fmt: skip


def test_a_single_day():
    found = summary([DAY])
    assert (found.recovered, found.level, found.days_kept) == (0.5, 0.81, 1.0)
    assert (found.recalls_per_task, found.recalls_per_paid_hour) == (2.0, 2.0)
    assert found.late_per_day == 3


def test_half_a_point_is_forgiven_but_counts_as_a_shortfall():
    found = summary([{**DAY, "level": 0.796}, {**DAY, "level": 0.79}])
    assert found.days_kept == 0.5
    assert found.mean_shortfall == pytest.approx(0.007)
    assert found.worst_shortfall == pytest.approx(0.01)


def test_days_that_miss_the_target_anyway_do_not_count_as_lost():
    found = summary([DAY, {**DAY, "level": 0.6, "level_without": 0.7}])
    assert (found.feasible, found.days_kept, found.mean_shortfall) == (1, 1.0, 0.0)


def test_the_recovered_share_is_of_all_days_together():
    long = {**DAY, "kept_s": 0.0, "spare_s": 72_000.0}
    assert summary([DAY, long]).recovered == recovered([DAY, long]) == pytest.approx(3600 / 79_200)


def test_no_day_has_no_figures():
    with pytest.raises(ValueError, match="no day"):
        summary([])
