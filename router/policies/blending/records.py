"""Plain values that can be written down and read back exactly: what recordings and replays are made of.

``to_mapping`` gives numbers, texts, lists and mappings only, which JSON and msgpack keep exactly (a float is written
with all its digits); ``from_mapping`` gives an equal value. A name not known here is passed over and one that is
missing has its default, so that a recording of a neighbouring version can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Self, TypeVar

Value = TypeVar("Value")


class FrozenMap(Mapping[str, Value]):
    """A mapping that never changes, so that a frozen dataclass may hold it and be hashed."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Value] | None = None) -> None:
        self._values = dict(values or {})

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return f"FrozenMap({self._values!r})"


class Record:
    """Gives a dataclass ``to_mapping`` and ``from_mapping``; a field's metadata ``read`` turns plain values back."""

    __slots__ = ()

    def to_mapping(self) -> dict[str, Any]:
        """Every field as a plain value."""
        return {f.name: _plain(getattr(self, f.name)) for f in _fields(type(self))}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Build one from what ``to_mapping`` gave. Raises TypeError where a field without default is missing."""
        given = (f for f in _fields(cls) if f.name in values)
        return cls(**{f.name: f.metadata.get("read", _as_it_is)(values[f.name]) for f in given})


def each(read: Callable[[Any], Value]) -> Callable[[Any], tuple[Value, ...]]:
    """How to read a tuple whose items are read by ``read``."""
    return lambda values: tuple(read(value) for value in values)


def maybe(read: Callable[[Any], Value]) -> Callable[[Any], Value | None]:
    """How to read what may be None."""
    return lambda value: None if value is None else read(value)


def _fields(kind: Any) -> Any:
    return fields(kind)


def _as_it_is(value: Any) -> Any:
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return value
