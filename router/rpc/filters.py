"""The filter language of the List calls: conditions joined by AND, such as `state = QUEUED AND priority >= 50`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from router.domain.errors import InvalidInput

_T = TypeVar("_T")
Value = str | int | float | bool

MAX_FILTER = 2000
_CONDITION = re.compile(r'\s*([A-Za-z_][\w.\-]*)\s*(!=|<=|>=|=|<|>)\s*("(?:[^"\\]|\\.)*"|[^\s"]+)\s*')
_AND = re.compile(r"AND\b")
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ORDERED = frozenset({"<", "<=", ">", ">="})


@dataclass(frozen=True, slots=True)
class Condition:
    """`field op value`; the value is of the field's type. ``key`` is that of `labels.KEY`."""

    field: str
    op: str
    value: Value
    key: str = ""

    def holds(self, have: Value | Sequence[str] | None) -> bool:
        """Whether a value passes. A list passes `=` when it contains the value. None passes `!=` alone."""
        if have is None:
            return self.op == "!="
        if isinstance(have, tuple | list):
            return (self.value in have) == (self.op == "=")
        return _OPERATORS[self.op](have, self.value)


Reader = Callable[[str], Value]


def parse(text: str, fields: Mapping[str, tuple[Reader, bool]]) -> list[Condition]:
    """The conditions of a filter. ``fields``: name -> (how a value is read, whether < and > make sense).

    A field ending in `.` takes any key after it. Raises InvalidInput with what may be written instead.
    """
    if len(text) > MAX_FILTER:
        raise _bad(f"has {len(text)} characters; write at most {MAX_FILTER}")
    conditions: list[Condition] = []
    position = 0
    while position < len(text) and text[position:].strip():
        if conditions:
            position = _after_and(text, position)
        match = _CONDITION.match(text, position)
        if match is None:
            raise _bad(f"cannot read {text[position:][:40]!r}; write conditions such as state = QUEUED")
        conditions.append(_condition(match[1], match[2], match[3], fields))
        position = match.end()
    return conditions


def _after_and(text: str, position: int) -> int:
    match = _AND.match(text, position)
    if match is None:
        raise _bad(f"cannot read {text[position:][:40]!r}; join conditions by AND")
    if not text[match.end() :].strip():
        raise _bad("ends with AND; write a condition after it or leave it out")
    return match.end()


def _condition(name: str, op: str, raw: str, fields: Mapping[str, tuple[Reader, bool]]) -> Condition:
    prefix, dot, key = name.partition(".")
    field = prefix + dot
    if field not in fields or (dot and not key):
        known = ", ".join(f + "KEY" if f.endswith(".") else f for f in fields)
        raise _bad(f"there is no field {name[:80]!r}; fields are {known}")
    read, ordered = fields[field]
    if op in _ORDERED and not ordered:
        raise _bad(f"{name} cannot be compared by {op}; use = or !=")
    value = re.sub(r"\\(.)", r"\1", raw[1:-1]) if raw.startswith('"') else raw
    try:
        return Condition(prefix, op, read(value), key)
    except ValueError as error:
        raise _bad(f"{name}: {error}") from None


def choice(words: Sequence[str]) -> Reader:
    """Reads one of some words."""

    def read(text: str) -> Value:
        if text not in words:
            raise ValueError(f"{text[:40]!r} is none of {', '.join(words)}")
        return text

    return read


def whole(text: str) -> Value:
    """Reads a whole number."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no whole number") from None


def flag(text: str) -> Value:
    """Reads true or false."""
    if text not in ("true", "false"):
        raise ValueError(f"{text[:40]!r} is neither true nor false")
    return text == "true"


def moment(text: str) -> Value:
    """Reads an RFC 3339 time as milliseconds since the epoch."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'{text[:40]!r} is no time such as "2026-01-31T08:00:00Z"') from None
    if parsed.tzinfo is None:
        raise ValueError(f"{text[:40]!r} has no time zone; end it with Z")
    return int(parsed.timestamp() * 1000)


def last_part(text: str) -> Value:
    """Reads an id or a resource name, of which the id counts."""
    return text.rpartition("/")[2]


def kept(
    items: Sequence[_T], conditions: Sequence[Condition], value: Callable[[_T, Condition], Any]
) -> list[_T]:
    """The items that pass every condition. ``value`` gives what an item has in a condition's field."""
    return [item for item in items if all(c.holds(value(item, c)) for c in conditions)]


def _bad(text: str) -> InvalidInput:
    return InvalidInput([("filter", text)])
