"""Fields of policy documents and of the parameters of a law: declared once, checked and explained from that.

A class of constants is a frozen dataclass whose fields are made by ``number``, ``share``, ``seconds``, ``count``,
or ``flag``, or have a text, a list of names or a word of an enumeration as default. What is wrong with a value is
told with the field's name and a fix.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import Field, field, fields
from enum import StrEnum
from typing import Any, NamedTuple


class FieldProblem(NamedTuple):
    """One thing wrong with a document: where, what, and what to write instead."""

    field: str
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}; {self.fix}"


class PolicyError(ValueError):
    """A policy document cannot be used; ``problems`` names each field and its fix."""

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


def number(default: float, about: str, low: float = 0.0, high: float = math.inf) -> float:
    """A number from ``low`` to ``high``."""
    value: float = field(default=default, metadata={"about": about, "low": low, "high": high})
    return value


def share(default: float, about: str) -> float:
    """A number from 0 to 1."""
    return number(default, about, 0.0, 1.0)


def seconds(default: float, about: str, low: float = 0.0, high: float = 86_400.0) -> float:
    """A time in seconds, of a day at most; by custom its name ends in ``_s``."""
    return number(default, about, low, high)


def count(default: int, about: str, low: int = 0, high: int = 1_000_000) -> int:
    """A whole number from ``low`` to ``high``."""
    value: int = field(default=default, metadata={"about": about, "low": low, "high": high})
    return value


def flag(default: bool, about: str) -> bool:
    """True or false."""
    value: bool = field(default=default, metadata={"about": about})
    return value


def read_fields(
    kind: type, values: Mapping[str, Any], path: str = ""
) -> tuple[dict[str, Any], list[FieldProblem]]:
    """Plain values as those of a class of constants, and all that is wrong; ``path`` comes before each name."""
    known = {f.name: f for f in fields(kind)}
    problems = [_unknown(path, str(name), tuple(known)) for name in values if name not in known]
    taken = {name: plain_to_typed(about, values[name]) for name, about in known.items() if name in values}
    found = (field_problem(known[name], value, path) for name, value in taken.items())
    return taken, problems + [problem for problem in found if problem is not None]


def plain_to_typed(about: Field[Any], value: Any) -> Any:
    """Enums by their word in any case, lists as tuples, whole numbers as floats; what does not fit stays."""
    default = about.default
    if isinstance(default, StrEnum) and isinstance(value, str):
        return next((word for word in type(default) if word == value.strip().lower()), value)
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    if type(default) is float and type(value) is int and abs(value) < 2**53:
        return float(value)
    return value


def field_problem(about: Field[Any], value: Any, path: str = "") -> FieldProblem | None:
    """What is wrong with a field's value, or None."""
    default, name = about.default, path + about.name
    if isinstance(default, StrEnum):
        words = tuple(word.value for word in type(default))
        return None if isinstance(value, type(default)) else choice_problem(name, value, words)
    if isinstance(default, bool):
        found = f"{value!r} is no truth value"
        return None if isinstance(value, bool) else FieldProblem(name, found, "write true or false")
    if isinstance(default, str):
        return None if isinstance(value, str) else FieldProblem(name, f"{value!r} is no text", "write a text")
    if isinstance(default, tuple):
        return _list_problem(name, value)
    return _number_problem(about, name, value) if isinstance(default, int | float) else None


def choice_problem(name: str, value: object, words: tuple[str, ...]) -> FieldProblem:
    """The value is none of the words."""
    return FieldProblem(name, f"{value!r} is not known", f"write one of {', '.join(words)}")


def _unknown(path: str, name: str, known: tuple[str, ...]) -> FieldProblem:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    fix = f"did you mean '{near[0]}'?" if near else "remove it"
    return FieldProblem(path + name, "there is no such field", fix)


def _list_problem(name: str, value: object) -> FieldProblem | None:
    fix = f"write a list such as '{name}: [billing, support]'"
    if not isinstance(value, tuple) or not all(_is_name(v) for v in value):
        return FieldProblem(name, "it must be a list of names", fix)
    return FieldProblem(name, "a name is given twice", fix) if len(set(value)) < len(value) else None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != "" and value == value.strip() and value.isprintable()


def _number_problem(about: Field[Any], name: str, value: object) -> FieldProblem | None:
    low, high = about.metadata.get("low", -math.inf), about.metadata.get("high", math.inf)
    whole = type(about.default) is int
    fix = f"write a {'whole number' if whole else 'number'} from {low:g} to {high:g}"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return FieldProblem(name, f"{value!r} is no {'whole number' if whole else 'number'}", fix)
    if not low <= value <= high:
        return FieldProblem(name, f"{value!r} is out of range", fix)
    return None
