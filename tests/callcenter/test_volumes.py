"""Five-minute counts: read, thinned, forecast from earlier days alone, spread into arrivals."""

from __future__ import annotations

import random
from datetime import date, timedelta
from pathlib import Path

import pytest

from callcenter.volumes import DEMO_DAY, Volumes, arrival_times, half_hours, load, load_queues, thin


def written(folder: Path, text: str) -> Path:
    path = folder / "counts.csv"
    path.write_text(text)
    return path


def test_the_volumes_hold_the_day_and_its_six_same_weekdays() -> None:
    volumes = load()
    assert volumes.opens_at == 7 * 3600
    previous = volumes.previous_same_weekdays(DEMO_DAY)
    assert previous[0] == date(2003, 6, 12)
    assert len(volumes.days) == 7
    mean = sum(volumes.days[d][0] for d in previous) / 6
    assert volumes.forecast(DEMO_DAY)[0] == pytest.approx(mean)
    with pytest.raises(ValueError, match="6 are needed"):
        volumes.forecast(previous[-1])


def test_another_forecast_sees_earlier_days_alone() -> None:
    volumes = load()
    day = sorted(volumes.days)[3]
    shown: list[date] = []

    def yesterday(known: Volumes, of: date) -> list[float]:
        assert of == day
        shown.extend(known.days)
        return [float(c) for c in known.days[max(known.days)]]

    assert volumes.forecast(day, by=yesterday) == list(volumes.days[sorted(volumes.days)[2]])
    assert max(shown) < day
    assert max(volumes.before(day + timedelta(days=1)).days) == day


def test_thinning_and_arrivals_keep_the_counts() -> None:
    counts = [100, 0, 50]
    assert thin(counts, 1.0, random.Random(1)) == counts
    assert sum(thin([10_000], 0.125, random.Random(1))) == pytest.approx(1250, rel=0.1)
    times = arrival_times(counts, 1000, random.Random(1))
    assert times == sorted(times)
    assert [sum(1000 + 300 * i <= t < 1300 + 300 * i for t in times) for i in range(3)] == counts
    with pytest.raises(ValueError, match="keep"):
        thin(counts, 0.0, random.Random(1))


def test_a_short_last_half_hour_counts_at_its_rate() -> None:
    assert half_hours([1.0] * 6 + [2.0]) == [6.0, 12.0]


def test_a_file_may_hold_several_queues(tmp_path: Path) -> None:
    text = "datetime,queue,calls\n2024-05-06 09:00,a,3\n2024-05-06 08:00,b,5\n2024-05-06 09:05,a,4\n"
    queues = load_queues(written(tmp_path, text))
    assert queues["a"].days[date(2024, 5, 6)] == (3, 4)
    assert (queues["a"].opens_at, queues["b"].opens_at) == (9 * 3600, 8 * 3600)
    with pytest.raises(ValueError, match="holds 2 call queues"):
        load(tmp_path / "counts.csv")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["2024-05-06 09:00,12x"], "line 2, column calls: '12x' is no whole number"),
        (["2024-05-06 09:00,-1"], "line 2, column calls: '-1'"),
        (["2024-05-06 09:00,1", "soon,1"], "line 3, column datetime: 'soon' is no date and time"),
        (["2024-05-06 09:00,1", "2024-05-06 09:10,1"], "line 3, column datetime: five minutes are missing"),
        (
            ["2024-05-06 09:00,1", "2024-05-07 08:00,1"],
            "line 3, column datetime: the day opens at another time",
        ),
        (["2024-05-06 09:00,1", "2024-05-06 09:05,1", "2024-05-07 09:00,1"], "differ in length"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, lines: list[str], told: str) -> None:
    path = written(tmp_path, "\n".join(["datetime,calls", *lines]))
    with pytest.raises(ValueError, match=r"counts\.csv") as error:
        load(path)
    assert told in str(error.value)
