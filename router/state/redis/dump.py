"""All that a site holds, decoded: for the audit, and to compare with the memory store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from router.state import records
from router.state.redis.keys import HASHES, LEXICAL, STREAMS, TIMED

KINDS = {"hashes": HASHES, "lexical": LEXICAL, "timed": TIMED, "streams": STREAMS}
"""What the dump function is told of the keys."""


def _text(value: str) -> str:
    return value


def _packed(value: str) -> Any:
    return records.unpack(records.as_bytes(value))


def _entries(value: str) -> list[Any]:
    return records.unpack_all(records.as_bytes(value))


_PLAIN: dict[str, Callable[[str], Any]] = {
    "specs": _text,
    "profiles": _text,
    "history": _entries,
    "qrefs": int,
    "counts": int,
    "totals": int,
    "meta": int,
    "headof": _text,
    "refs": _text,
    "paused": _text,
}
"""How fields of hashes are decoded that do not hold one packed record."""


def decode_dump(found: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """{key name: {field: value} | members | events} from the dump function's answer."""
    return {name: _decoded(name, answer) for name, answer in found.items()}


def _decoded(name: str, answer: Sequence[Any]) -> Any:
    if name in LEXICAL:
        return sorted(answer)
    if name == "recording":
        return [[id, fields[1]] for id, fields in answer]
    if name in STREAMS:
        return [_packed(fields[1]) for _, fields in answer]
    pairs = list(zip(answer[::2], answer[1::2], strict=True))
    if name in TIMED:
        return sorted([member, int(float(score))] for member, score in pairs)
    decode = _PLAIN.get(name, _packed)
    return {field: decode(value) for field, value in pairs}
