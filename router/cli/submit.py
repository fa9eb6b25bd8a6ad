"""`workrouter submit`: tasks from a file, from standard input, or one from the options."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated, Any, TextIO

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from clients.channel import Connection
from clients.names import short
from clients.submissions import Submission, Submitted
from clients.submitter import Submitter
from router.cli.common import SUBMITTER, UserError, describe, run
from router.cli.failing import fail
from router.cli.inputs import label, lines_of_json, message, open_text, words
from router.cli.output import console, note, say
from router.v1 import common_pb2

_MAX_ERRORS_SHOWN = 20
# What a file may call a field besides its name in the API.
_ALIASES = {
    "due": "due_time",
    "schedule": "schedule_time",
    "expire": "expire_time",
    "skills": "required_skills",
    "customer": "customer_reference",
    "type": "work_type",
}
_LISTS = ("excluded_agents",)
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(slots=True)
class _Report:
    """What became of the lines of a file."""

    submitted: int = 0
    existing: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)


def submit(
    file: Annotated[
        str,
        typer.Argument(
            help="CSV or JSON lines; `-` for standard input. Left out: one task from the options."
        ),
    ] = "",
    work_type: Annotated[str, typer.Option(help="Work type, for lines that name none.")] = "",
    priority: Annotated[int | None, typer.Option(help="0 to 100, for lines that name none.")] = None,
    due: Annotated[str, typer.Option(help="When it should be done: RFC 3339, or a span such as 4h.")] = "",
    skill: Annotated[
        list[str] | None, typer.Option(help="Needed skill such as german:3; repeatable.")
    ] = None,
    payload: Annotated[str, typer.Option(help="What the desktop needs, as text.")] = "",
    reference: Annotated[
        str, typer.Option(help="Your own reference; a second submit with it makes no task.")
    ] = "",
    task_id: Annotated[str, typer.Option("--id", help="The task's id; left out, the router chooses.")] = "",
    label: Annotated[list[str] | None, typer.Option(help="Label as key=value; repeatable.")] = None,
    format: Annotated[str, typer.Option(help="csv or jsonl; guessed when left out.")] = "",
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Tasks in one call.")] = 200,
) -> None:
    """Submit tasks.

    One task:  workrouter submit --work-type claims --priority 70 --payload "claim 4711"

    From a file:  workrouter submit claims.csv

    A CSV file has a header. Columns are the fields of a task: work_type, priority, due (RFC 3339, or a span such as
    4h), skills (german:3 claims), payload, payload_type, reference, customer, schedule, expire, preferred_agent,
    preferred_team, excluded_agents, interruptible, expected_handling_time, id, and label.KEY for labels. JSON lines
    have the same names, and a payload may be any JSON value. Lines with a reference can be submitted again safely.
    The exit code is 1 if any line failed; each failure is reported with its line number.
    """
    defaults = _defaults(work_type, priority, due, skill, payload, reference, task_id, label)
    if file:
        run(SUBMITTER, lambda connection: _submit_file(connection, file, format, defaults, batch))
    else:
        run(SUBMITTER, lambda connection: _submit_one(connection, defaults))


def _defaults(
    work_type: str,
    priority: int | None,
    due: str,
    skill: list[str] | None,
    payload: str,
    reference: str,
    task_id: str,
    labels: list[str] | None,
) -> dict[str, Any]:
    given = {
        "work_type": work_type,
        "priority": priority,
        "due_time": due,
        "required_skills": skill,
        "payload": payload,
        "reference": reference,
        "id": task_id,
        "labels": labels,
    }
    return {name: value for name, value in given.items() if value not in ("", None, [])}


async def _submit_one(connection: Connection, values: dict[str, Any]) -> None:
    if "work_type" not in values:
        raise UserError("name a file, or a task: workrouter submit --work-type claims --payload TEXT")
    submission = submission_of(values)
    task = await Submitter(connection).submit(
        submission.task, task_id=submission.task_id, request_id=submission.request_id
    )
    say(short(task.name))


async def _submit_file(
    connection: Connection, name: str, format: str, defaults: dict[str, Any], batch: int
) -> None:
    report = _Report()
    with open_text(name) as stream:
        rows = _rows(stream, format or _guess(name, stream))
        await _submit_rows(Submitter(connection), rows, defaults, batch, report)
    _tell(report)


async def _submit_rows(
    submitter: Submitter,
    rows: Iterator[tuple[int, dict[str, Any] | UserError]],
    defaults: dict[str, Any],
    batch: int,
    report: _Report,
) -> None:
    numbers: list[int] = []

    async def items() -> AsyncIterator[Submission]:
        for number, values in rows:
            try:
                if isinstance(values, UserError):
                    raise values
                made = submission_of(defaults | values)
            except UserError as error:
                report.errors.append((number, str(error)))
                continue
            numbers.append(number)
            yield made
            # Reading a large file must not keep the answers waiting.
            await asyncio.sleep(0)

    with _progress() as progress:
        bar = progress.add_task("submitting", total=None)
        async with aclosing(submitter.submit_many(items(), batch_size=batch)) as answers:
            async for answer in answers:
                _count(answer, numbers[answer.index], report)
                progress.update(bar, completed=answer.index + 1, total=len(numbers))


def _progress() -> Progress:
    """Return a bar on standard error, which shows nothing where that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console(stderr=True), disable=not sys.stderr.isatty(), transient=True)


def _count(answer: Submitted, line: int, report: _Report) -> None:
    if answer.error is not None:
        report.errors.append((line, describe(answer.error)))
    elif answer.existing:
        report.existing += 1
    else:
        report.submitted += 1


def _tell(report: _Report) -> None:
    known = f", {report.existing} known already" if report.existing else ""
    say(f"{report.submitted} submitted{known}, {len(report.errors)} failed")
    for line, text in sorted(report.errors)[:_MAX_ERRORS_SHOWN]:
        note(f"line {line}: {text}")
    hidden = len(report.errors) - _MAX_ERRORS_SHOWN
    if hidden > 0:
        note(f"and {hidden} more")
    if report.errors:
        raise typer.Exit(1)


def _guess(name: str, stream: TextIO) -> str:
    if name.endswith((".jsonl", ".ndjson", ".json")):
        return "jsonl"
    if name.endswith(".csv") or name != "-":
        return "csv"
    if sys.stdin.isatty():
        note("reading tasks from the terminal, one JSON object a line; end with Ctrl-D")
    return "jsonl"


def _rows(stream: TextIO, format: str) -> Iterator[tuple[int, dict[str, Any] | UserError]]:
    if format == "jsonl":
        return lines_of_json(stream)
    if format == "csv":
        return _csv_rows(stream)
    raise UserError(f"--format: {format!r} is not known; write csv or jsonl")


def _csv_rows(stream: TextIO) -> Iterator[tuple[int, dict[str, Any] | UserError]]:
    reader = csv.DictReader(stream, skipinitialspace=True)
    if not reader.fieldnames:
        fail("the file is empty: the first line names the columns, such as work_type,priority,payload")
    for row in reader:
        if row.get(None) or None in row.values():
            yield reader.line_num, UserError("the line has not as many columns as the header")
            continue
        yield reader.line_num, {key.strip(): value for key, value in row.items() if value}


def submission_of(values: dict[str, Any]) -> Submission:
    """Return the submission that a line stands for. Raises UserError naming the field."""
    fields = {_ALIASES.get(key, key): value for key, value in values.items()}
    task_id = str(fields.pop("id", fields.pop("task_id", "")))
    payload = fields.pop("payload", None)
    labels = _labels(fields)
    for name in _LISTS:
        if isinstance(fields.get(name), str):
            fields[name] = words(fields[name])
    if isinstance(fields.get("interruptible"), str):
        fields["interruptible"] = _flag(fields["interruptible"])
    task = message(common_pb2.Task, fields, "task")
    if not task.work_type:
        raise UserError("task.work_type: it is missing; name it in the line or with --work-type")
    task.labels.update(labels)
    if payload is not None:
        _set_payload(task, payload)
    return Submission(task, task_id)


def _labels(fields: dict[str, Any]) -> dict[str, str]:
    given = fields.pop("labels", {})
    found = dict(map(label, given)) if isinstance(given, list) else {str(k): str(v) for k, v in given.items()}
    for name in [name for name in fields if name.startswith("label.")]:
        found[name.removeprefix("label.")] = str(fields.pop(name))
    return found


def _flag(text: str) -> bool:
    if text.strip().lower() not in _FLAGS:
        raise UserError(f"task.interruptible: {text!r} is neither yes nor no")
    return _FLAGS[text.strip().lower()]


def _set_payload(task: common_pb2.Task, payload: Any) -> None:
    if isinstance(payload, str):
        task.payload = payload.encode()
        task.payload_type = task.payload_type or "text/plain"
        return
    task.payload = json.dumps(payload, ensure_ascii=False).encode()
    task.payload_type = task.payload_type or "application/json"
