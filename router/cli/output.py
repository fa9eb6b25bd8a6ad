"""How things are shown: tables, words, times."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clients.names import short
from clients.values import moment, seconds
from router.v1 import agents_pb2, common_pb2, supervision_pb2

# Wide enough that nothing is cut where the output goes into a file or another program.
_PIPE_WIDTH = 240


def console(*, stderr: bool = False) -> Console:
    """Return a console on standard output or error, as it is now."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=True)


def say(text: str = "") -> None:
    """Print one line of plain text."""
    console().print(Text(text))


def note(text: str) -> None:
    """Print one line beside the result, on standard error."""
    console(stderr=True).print(Text(text))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
    """Print a table, or a sentence when there is nothing in it."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    if made.row_count:
        console().print(made, soft_wrap=False)
    else:
        say(empty)


def pairs(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values, leaving out what is empty."""
    filled = [(name, value) for name, value in rows if value]
    width = max((len(name) for name, _ in filled), default=0)
    for name, value in filled:
        say(f"{name:<{width}}  {value}")


def print_json(message: Message | Sequence[Message]) -> None:
    """Print one message, or several one a line, as JSON with the field names of the API."""
    if isinstance(message, Message):
        sys.stdout.write(json.dumps(as_dict(message), indent=2, ensure_ascii=False) + "\n")
        return
    for item in message:
        sys.stdout.write(json.dumps(as_dict(item), ensure_ascii=False) + "\n")


def as_dict(message: Message) -> dict[str, Any]:
    """Return a message as plain values."""
    made: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return made


def task_state(state: common_pb2.TaskState.ValueType) -> str:
    """Return a task's state as a word."""
    return common_pb2.TaskState.Name(state).removeprefix("TASK_STATE_")


def agent_state(state: common_pb2.AgentState.ValueType) -> str:
    """Return an agent's telephony state as a word."""
    word = common_pb2.AgentState.Name(state).removeprefix("AGENT_STATE_")
    return "-" if word == "UNSPECIFIED" else word


def gate_mode(mode: supervision_pb2.GateMode.ValueType) -> str:
    """Return a gate's mode as a word."""
    return supervision_pb2.GateMode.Name(mode).removeprefix("GATE_MODE_")


def verdict(word: supervision_pb2.Verdict.ValueType) -> str:
    """Return a verdict as words."""
    return supervision_pb2.Verdict.Name(word).removeprefix("VERDICT_").replace("_", " ").lower()


def no_task_reason(word: agents_pb2.NoTaskReason.ValueType) -> str:
    """Return why there is no task, as a word."""
    return agents_pb2.NoTaskReason.Name(word).removeprefix("NO_TASK_REASON_")


def skills(required: Iterable[common_pb2.SkillRequirement]) -> str:
    """Return required skills as they are written: `german:3 claims`."""
    return " ".join(f"{s.skill}:{s.min_level}" if s.min_level > 1 else s.skill for s in required)


def levels(held: Iterable[common_pb2.AgentSkill]) -> str:
    """Return an agent's skills as they are written: `german:3 claims:5`."""
    return " ".join(f"{s.skill}:{s.level}" for s in held)


def span(length: float) -> str:
    """Return a length of time in seconds, as people read it."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if abs(length) >= 2 * size:
            return f"{length / size:.0f} {unit}"
    return f"{length:.1f} s" if 0 < abs(length) < 10 else f"{length:.0f} s"


def duration(message: Duration) -> str:
    """Return a duration of the wire as people read it."""
    return span(seconds(message))


def clock(stamp: Timestamp) -> str:
    """Return a moment in local time; empty when it is not set."""
    if not stamp.seconds:
        return ""
    local = moment(stamp).astimezone()
    today = local.date() == datetime.now(UTC).astimezone().date()
    return f"{local:%H:%M:%S}" if today else f"{local:%Y-%m-%d %H:%M:%S}"


def ago(stamp: Timestamp) -> str:
    """Return how long ago a moment was; empty when it is not set."""
    return span((datetime.now(UTC) - moment(stamp)).total_seconds()) if stamp.seconds else ""


def ahead(stamp: Timestamp) -> str:
    """Return how far ahead a moment is, or how long it has passed; empty when it is not set."""
    if not stamp.seconds:
        return ""
    left = (moment(stamp) - datetime.now(UTC)).total_seconds()
    return f"in {span(left)}" if left >= 0 else f"{span(-left)} ago"


def text_of(data: bytes) -> str:
    """Return bytes as text where they are text, else their number."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"({len(data)} bytes)"


def agent_line(agent: common_pb2.Agent) -> tuple[str, ...]:
    """Return an agent as a row of a table."""
    flags = [word for word, on in _flags(agent) if on]
    return (
        short(agent.name),
        agent_state(agent.state),
        " ".join(flags) or "-",
        short(agent.blending_group) or "-",
        levels(agent.skills) or "-",
        ",".join(map(short, agent.held_tasks)) or "-",
    )


def _flags(agent: common_pb2.Agent) -> tuple[tuple[str, bool], ...]:
    return (
        ("connected", agent.connected),
        ("ready", agent.ready),
        ("draining", agent.draining),
        ("auto-accept", agent.auto_accept),
    )
