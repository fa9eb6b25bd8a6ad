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


_PLAIN: dict[str, Callable[[str], Any]] = {
    "specs": _text,
    "profiles": _text,
    "qrefs": int,
    "counts": int,
    "meta": int,
    "requests": _text,
    "refs": _text,
    "paused": _text,
}
"""How fields of hashes are decoded that do not hold one packed record."""


def decode_dump(found: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """{key name: {field: value} | members | events} from the dump function's answer, histories and totals apart."""
    content = {name: _decoded(name, answer) for name, answer in found.items() if name != "tasks"}
    content["tasks"], content["history"] = _tasks(found["tasks"])
    content["counts"], content["totals"] = records.tally(content["counts"])
    return content


def _tasks(answer: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    records_of, arrows_of = {}, {}
    for id, blob in _pairs(answer):
        records_of[id], arrows_of[id] = records.unpack_task(records.as_bytes(blob))
    return records_of, arrows_of


def _pairs(answer: Sequence[Any]) -> list[tuple[str, Any]]:
    return list(zip(answer[::2], answer[1::2], strict=True))


def _decoded(name: str, answer: Sequence[Any]) -> Any:
    if name in LEXICAL:
        return sorted(answer)
    if name == "recording":
        return [[id, fields[1]] for id, fields in answer]
    if name in STREAMS:
        return [_packed(fields[1]) for _, fields in answer]
    pairs = _pairs(answer)
    if name in TIMED:
        return sorted([member, int(float(score))] for member, score in pairs)
    decode = _PLAIN.get(name, _packed)
    return {field: decode(value) for field, value in pairs}
