"""How things are written on the command line and in files."""

from __future__ import annotations

import inspect
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from router.cli.common import UserError, hoist
from router.cli.inputs import documents, level, message, span_s, when
from router.cli.output import span
from router.cli.serve import serve
from router.cli.submit import submission_of
from router.config import Settings
from router.v1 import common_pb2, tasks_pb2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172800), ("200ms", 0.2), ("1.5 min", 90)],
)
def test_spans(text: str, seconds: float) -> None:
    assert span_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "10x", "-5s", "10m later"])
def test_what_is_no_span_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UserError, match="write 90s"):
        span_s(text)


def test_moments() -> None:
    assert when("2030-01-31T15:00:00Z") == datetime(2030, 1, 31, 15, tzinfo=UTC)
    assert abs(when("2h") - datetime.now(UTC) - timedelta(hours=2)) < timedelta(seconds=5)
    assert when("2030-01-31 15:00").tzinfo is not None
    with pytest.raises(UserError, match="no time"):
        when("tomorrow")


def test_skills() -> None:
    assert level("german:3", 1) == ("german", 3)
    assert level("german", 1) == ("german", 1)
    for wrong in ("german:6", "german:x", ":3", "german:"):
        with pytest.raises(UserError, match="from 1 to 5"):
            level(wrong, 1)


def test_spans_are_told_as_people_read_them() -> None:
    told = [span(s) for s in (0, 2.5, 25, 300, 7200, 400000)]
    assert told == ["0 s", "2.5 s", "25 s", "5 min", "2 h", "5 d"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["tasks", "list", "--site", "x"], ["--site", "x", "tasks", "list"]),
        (["tasks", "list", "--as=bob", "--json"], ["--as=bob", "tasks", "list", "--json"]),
        (["serve", "--tls-cert", "c.pem"], ["serve", "--tls-cert", "c.pem"]),
        (["--address", "h:1", "demo", "--address", "x"], ["--address", "h:1", "demo", "--address", "x"]),
        (["submit", "--", "--site"], ["submit", "--", "--site"]),
        (["tasks", "--token"], ["--token", "tasks"]),
    ],
)
def test_common_options_may_stand_anywhere(given: list[str], expected: list[str]) -> None:
    assert hoist(given) == expected


def test_a_work_type_from_yaml(tmp_path: Path) -> None:
    file = tmp_path / "types.yaml"
    file.write_text(
        """
id: claims
required_skills: [german:2, claims]
service_goal: 4h
interruptible: false
urgency:
  linear_aging: {initial: 10, rate_per_minute: 0.5}
  max_wait: 8h
relaxation:
  - {after: 10m, lower_by: 1}
---
- id: refunds
  urgency: earliest_due
""",
        encoding="utf-8",
    )
    (claims_id, claims), (refunds_id, refunds) = list(documents(str(file)))
    made = message(tasks_pb2.WorkType, claims, claims_id)
    assert [(s.skill, s.min_level) for s in made.required_skills] == [("german", 2), ("claims", 1)]
    assert (made.service_goal.seconds, made.urgency.max_wait.seconds) == (4 * 3600, 8 * 3600)
    assert made.urgency.linear_aging.rate_per_minute == 0.5
    assert made.relaxation[0].after.seconds == 600
    other = message(tasks_pb2.WorkType, refunds, refunds_id)
    assert other.urgency.WhichOneof("rule") == "earliest_due"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"service_gaol": "4h"}, "claims.service_gaol: there is no such field; did you mean service_goal?"),
        ({"service_goal": "soon"}, "claims.service_goal: 'soon' is no length of time"),
        ({"required_skills": ["german:9"]}, "is no skill"),
        ({"urgency": {"linear": {}}}, "claims.urgency.linear: there is no such field"),
        ({"max_attempts": "many"}, "claims:"),
        ({"urgency": 5}, "claims.urgency: write fields"),
    ],
)
def test_faults_in_a_document_are_told_with_their_place(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        message(tasks_pb2.WorkType, values, "claims")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "nothing in it"), ("name: x", "has no id"), ("{", "not YAML"), ("- just a word", "has no id")],
)
def test_files_without_documents_are_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=said):
        list(documents(str(file)))


def test_a_line_becomes_a_task() -> None:
    made = submission_of(
        {
            "work_type": "claims",
            "priority": "70",
            "due": "2030-01-31T15:00:00Z",
            "skills": "german:3 claims",
            "payload": {"claim": 4711},
            "label.region": "north",
            "excluded_agents": "bob;carol",
            "interruptible": "no",
            "id": "t1",
        }
    )
    task = made.task
    assert (made.task_id, task.work_type, task.priority) == ("t1", "claims", 70)
    assert task.due_time.ToJsonString() == "2030-01-31T15:00:00Z"
    assert [(s.skill, s.min_level) for s in task.required_skills] == [("german", 3), ("claims", 1)]
    assert json.loads(task.payload) == {"claim": 4711}
    assert task.payload_type == "application/json"
    assert dict(task.labels) == {"region": "north"}
    assert list(task.excluded_agents) == ["bob", "carol"]
    assert task.HasField("interruptible")
    assert not task.interruptible


def test_a_text_payload_stays_text() -> None:
    task = submission_of({"work_type": "claims", "payload": "claim 4711"}).task
    assert (task.payload, task.payload_type) == (b"claim 4711", "text/plain")
    assert task == common_pb2.Task(work_type="claims", payload=b"claim 4711", payload_type="text/plain")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "task.work_type: it is missing"),
        ({"work_type": "claims", "priority": "high"}, "priority"),
        ({"work_type": "claims", "colour": "red"}, "task.colour: there is no such field"),
        ({"work_type": "claims", "interruptible": "maybe"}, "neither yes nor no"),
    ],
)
def test_faults_in_a_line_name_the_field(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        submission_of(values)
    assert said in str(caught.value)


def test_serve_has_every_setting_of_the_router() -> None:
    assert tuple(inspect.signature(serve).parameters) == Settings.option_names()
