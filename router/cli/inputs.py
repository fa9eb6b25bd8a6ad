"""How things are written: spans and times, skills, and documents in YAML, JSON and CSV."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO, TypeVar

import typer
import yaml
from google.protobuf.descriptor import FieldDescriptor as PythonFieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from router.cli.common import UserError

# The stubs know two kinds of descriptor, of which a message has either.
FieldDescriptor = PythonFieldDescriptor | Any
AnyMessage = TypeVar("AnyMessage", bound=Message)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|s|m|h|d)")


def span_s(text: str) -> float:
    """Return a span such as `90s`, `10m`, `1h30m` or plain seconds as seconds. Raises UserError."""
    compact = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", compact):
        return float(compact)
    parts = _SPAN_PART.findall(compact)
    if not parts or _SPAN_PART.sub("", compact).strip():
        raise UserError(f"{text!r} is no length of time: write 90s, 10m, 4h, 1h30m or 2d")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def when(text: str) -> datetime:
    """Return a moment: RFC 3339 such as `2030-01-31T15:00:00Z`, or a span from now such as `2h`."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        try:
            return datetime.now(UTC) + timedelta(seconds=span_s(text))
        except UserError:
            raise UserError(
                f"{text!r} is no time: write 2030-01-31T15:00:00Z, or 2h for two hours from now"
            ) from None
    return found if found.tzinfo else found.astimezone()


def level(text: str, default: int) -> tuple[str, int]:
    """Return a skill and its level from `german:3` or `german`. Raises UserError."""
    skill, colon, number = text.strip().partition(":")
    if not skill or (colon and number not in ("1", "2", "3", "4", "5")):
        raise UserError(f"{text!r} is no skill: write german or german:3, with a level from 1 to 5")
    return skill, int(number) if colon else default


def words(text: str) -> list[str]:
    """Return the parts of a list written with commas, semicolons or spaces."""
    return [part for part in re.split(r"[,;\s]+", text) if part]


def label(text: str) -> tuple[str, str]:
    """Return a label from `key=value`. Raises UserError."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserError(f"{text!r} is no label: write key=value")
    return key, value


def open_text(name: str) -> TextIO:
    """Open a file for reading, `-` for standard input. Raises UserError."""
    if name == "-":
        return typer.get_text_stream("stdin")
    try:
        return Path(name).open(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror}") from None


def documents(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (id, values) of each thing in a YAML or JSON file: mappings with an `id`, or a list of them.

    Raises UserError.
    """
    with open_text(name) as stream:
        try:
            loaded = list(yaml.safe_load_all(stream))
        except yaml.YAMLError as error:
            raise UserError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    things = [thing for part in loaded if part for thing in (part if isinstance(part, list) else [part])]
    if not things:
        raise UserError(f"{name}: there is nothing in it")
    for number, thing in enumerate(things, 1):
        yield _identified(name, number, thing)


def _identified(name: str, number: int, thing: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(thing, dict) or not isinstance(thing.get("id"), str | int):
        raise UserError(f"{name}: item {number} has no id: write fields such as `id: claims`, one a line")
    values = {str(key): value for key, value in thing.items() if key != "id"}
    return str(thing["id"]), values


def message(kind: type[AnyMessage], values: Mapping[str, Any], where: str) -> AnyMessage:
    """Build a message from plain values, with spans as `10m` and skills as `german:3`. Raises UserError."""
    made = kind()
    try:
        ParseDict(_plain(made, values, where), made)
    except ParseError as error:
        raise UserError(f"{where}: {error}") from None
    return made


def _plain(kind: Message, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    known = {field.name: field for field in kind.DESCRIPTOR.fields}
    plain = {}
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
            raise UserError(f"{where}.{key}: there is no such field; {fix}")
        plain[key] = _value(known[key], value, f"{where}.{key}")
    return plain


def _value(field: FieldDescriptor, value: Any, where: str) -> Any:
    if field.message_type is None or value is None or _is_map(field):
        return value
    if field.is_repeated:
        items = words(value) if isinstance(value, str) else value
        if not isinstance(items, list):
            raise UserError(f"{where}: write a list")
        return [_single(field, item, f"{where}[{number}]") for number, item in enumerate(items)]
    return _single(field, value, where)


def _single(field: FieldDescriptor, value: Any, where: str) -> Any:
    kind = field.message_type
    if kind is None:
        return value
    if kind.full_name == "google.protobuf.Duration":
        return f"{_span(value, where):.9f}s"
    if kind.full_name == "google.protobuf.Timestamp":
        return _moment(value, where)
    if isinstance(value, str) and kind.name in ("SkillRequirement", "AgentSkill"):
        skill, number = level(value, 1)
        return {"skill": skill, ("min_level" if kind.name == "SkillRequirement" else "level"): number}
    if isinstance(value, str) and kind.name == "Urgency":
        value = {value: {}}
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: write fields, not {value!r}")
    return _plain(GetMessageClass(kind)(), value, where)


def _span(value: Any, where: str) -> float:
    try:
        return span_s(str(value))
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _moment(value: Any, where: str) -> str:
    # YAML reads a time by itself; a bare one counts as local time, as everywhere here.
    try:
        found = value if isinstance(value, datetime) else when(str(value))
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return found.astimezone(UTC).isoformat()


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def lines_of_json(stream: Iterable[str]) -> Iterator[tuple[int, dict[str, Any] | UserError]]:
    """Yield the objects of a JSON lines file with their line numbers, or what is wrong with the line."""
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            yield number, UserError(f"not JSON: {error}")
            continue
        if isinstance(values, dict):
            yield number, values
        else:
            yield number, UserError('write one object a line, such as {"work_type": "claims"}')
