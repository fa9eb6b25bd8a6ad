"""A call queue's figures as the store keeps them: read back as they were, whoever wrote them."""

from __future__ import annotations

import json

from router.domain.telephony import CallQueueReport, ForecastInterval, _report_from

FORECAST = (ForecastInterval(0, 900_000, 12.5, 4.0), ForecastInterval(900_000, 900_000, 3.0))
REPORT = CallQueueReport("cards", "blue", 2, 9000, (9000, 10), offered=7, aht_ms=1, forecast=FORECAST)


def test_a_text_is_read_back_as_it_was_written_with_and_without_what_was_remembered() -> None:
    text = REPORT.to_text()
    assert CallQueueReport.from_text("cards", text) == _report_from("cards", text) == REPORT
    assert json.loads(text)["forecast"][0] == {
        "start_ms": 0,
        "length_ms": 900_000,
        "calls": 12.5,
        "staff": 4.0,
    }


def test_a_text_is_read_under_the_name_that_is_asked_for() -> None:
    assert CallQueueReport.from_text("loans", REPORT.to_text()).id == "loans"


def test_forecasts_of_equal_place_in_memory_do_not_get_each_others_text() -> None:
    texts = [CallQueueReport("cards", forecast=(ForecastInterval(n, 1, 1.0),)).to_text() for n in range(1000)]
    assert [json.loads(text)["forecast"][0]["start_ms"] for text in texts] == list(range(1000))


def test_a_writer_that_orders_or_adds_fields_is_understood() -> None:
    fields = json.loads(REPORT.to_text())
    first = {"forecast": fields.pop("forecast"), **fields}
    assert CallQueueReport.from_text("cards", json.dumps(first)) == REPORT
    compact = json.dumps({**fields, "forecast": first["forecast"], "mood": "good"}, separators=(",", ":"))
    assert CallQueueReport.from_text("cards", compact) == REPORT
