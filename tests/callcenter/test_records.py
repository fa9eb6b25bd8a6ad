"""Call-by-call records: what they tell is kept, the rest is drawn, and a bad line is named."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from callcenter.calls import Handling
from callcenter.center import Center
from callcenter.distributions import Deterministic, Exponential
from callcenter.records import calls_of, count, read_records
from callcenter.staffing import Shift

DAY = date(2024, 5, 6)
LINES = """arrival,queue,wait_s,abandoned,talk_s,after_s,handling_s,clerk
2024-05-06 09:00:30,loans,12,0,100,20,,x
2024-05-06 08:59:00,loans,95.5,1,,,,x
2024-05-06T09:10:00+02:00,cards,0,no,,,200,x
2024-05-06 09:20:00,cards,300,,50,,,x
2024-05-07 09:00:00,cards,,,,,,x
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "calls.csv"
    path.write_text(text)
    return path


def test_records_become_the_calls_of_a_day(tmp_path: Path) -> None:
    records = read_records(written(tmp_path, LINES))
    assert len(records) == 5
    handling = Handling(Deterministic(240.0), after_share=0.25, patience=Exponential(500.0))
    given_up, answered, shared, partly = calls_of(records, DAY, handling, "7")
    assert [c.number for c in (given_up, answered, shared, partly)] == [0, 1, 2, 3]
    assert given_up.arrives_at == 9 * 3600 - 60
    assert given_up.patience_s == 95.5
    assert (given_up.talk_s, given_up.after_s) == (180.0, 60.0)
    assert (answered.talk_s, answered.after_s, answered.queue) == (100.0, 20.0, "loans")
    assert answered.patience_s > 12.0
    assert (shared.talk_s, shared.after_s, shared.queue) == (150.0, 50.0, "cards")
    assert partly.patience_s > 300.0
    assert (partly.talk_s, partly.after_s) == (50.0, 60.0)


def test_the_calls_of_a_day_are_the_same_whatever_is_read_beside_them(tmp_path: Path) -> None:
    records = read_records(written(tmp_path, LINES))
    loans = [r for r in records if r.queue == "loans"]
    alone = calls_of(loans, DAY, Handling(), "7")
    together = [c for c in calls_of(records, DAY, Handling(), "7") if c.queue == "loans"]
    assert [(c.patience_s, c.talk_s) for c in alone] == [(c.patience_s, c.talk_s) for c in together]


def test_a_caller_more_patient_than_the_distribution_still_outwaits_the_wait(tmp_path: Path) -> None:
    text = "arrival,wait_s\n2024-05-06 09:00,600\n"
    (call,) = calls_of(
        read_records(written(tmp_path, text)), DAY, Handling(patience=Deterministic(60.0)), "7"
    )
    assert call.patience_s == 660.0


def test_records_are_played_with_as_many_kept_as_asked_for(tmp_path: Path) -> None:
    lines = "".join(f"2024-05-06 {9 + i // 60:02d}:{i % 60:02d}:00\n" for i in range(600))
    records = read_records(written(tmp_path, "arrival\n" + lines))
    kept = calls_of(records, DAY, Handling(), "7", keep=0.25)
    assert 110 <= len(kept) <= 190
    center = Center(kept, [Shift(f"a{i}", 0.0, 90_000.0) for i in range(9)])
    center.run()
    assert center.queue().resolved == len(kept)


def test_records_are_counted_to_forecast_from(tmp_path: Path) -> None:
    records = read_records(written(tmp_path, LINES))
    nine, ten = 9 * 3600, 10 * 3600
    cards = count(records, "cards", nine, ten)
    assert cards.days[DAY] == (0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0)
    assert sum(cards.days[date(2024, 5, 7)]) == 1
    assert count(records, "loans", nine, ten).days[DAY][0] == 2
    with pytest.raises(ValueError, match="opening hours"):
        count(records, "cards", nine, nine)


def test_the_files_own_column_names_can_be_told(tmp_path: Path) -> None:
    path = written(tmp_path, "Started,Q\n2024-05-06 09:00,cards\n")
    (record,) = read_records(path, {"Started": "arrival", "Q": "queue"})
    assert record.queue == "cards"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: the header lacks the column 'arrival'"),
        ("when\n1\n", "line 1: the header lacks the column 'arrival'; it has when"),
        ("arrival\n", "there is no line after the header"),
        ("arrival\nyesterday\n", "line 2, column arrival: 'yesterday' is no date and time"),
        ("arrival,wait_s\n2024-05-06 09:00,5\n2024-05-06 09:01,soon\n", "line 3, column wait_s: 'soon'"),
        ("arrival,wait_s\n2024-05-06 09:00,-1\n", "line 2, column wait_s: '-1'"),
        (
            "arrival,abandoned\n2024-05-06 09:00,maybe\n",
            "line 2, column abandoned: 'maybe' is neither yes nor no",
        ),
        (
            "arrival,abandoned\n2024-05-06 09:00,1\n",
            "line 2, column wait_s: is empty for a call that was given up",
        ),
        ("arrival,queue\n2024-05-06 09:00\n", "line 2: 1 columns, the header has 2"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"calls\.csv") as error:
        read_records(written(tmp_path, text))
    assert told in str(error.value)
