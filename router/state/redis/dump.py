"""All that a site holds, decoded: for the audit, and to compare with the memory store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.state import records
from router.state.redis.client import Connections
from router.state.redis.keys import HASHES, LEXICAL, STREAMS, TIMED, key
from router.state.redis.looks import pairs, plain_members, stream_entry, text, timed_members

_PLAIN: dict[str, Callable[[bytes], Any]] = {
    "specs": text,
    "profiles": text,
    "history": records.unpack_all,
    "qrefs": int,
    "counts": int,
    "totals": int,
    "meta": int,
    "headof": text,
    "refs": text,
    "paused": text,
}
"""How fields of hashes are decoded that do not hold one packed record."""


_READ: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(HASHES, ("HGETALL",)),
    **dict.fromkeys(LEXICAL, ("ZRANGE", "0", "-1")),
    **dict.fromkeys(TIMED, ("ZRANGE", "0", "-1", "WITHSCORES")),
    **dict.fromkeys(STREAMS, ("XRANGE", "-", "+")),
}
"""How each key is read whole: the command and what follows the key."""


async def dump_site(connections: Connections, site: str) -> dict[str, Any]:
    """{key name: {field: value} | members | events} at one moment; a full read, not for the hot path."""
    commands = [(command, key(site, name), *rest) for name, (command, *rest) in _READ.items()]
    answers = await connections.at_one_moment(commands)
    return {name: _decoded(name, answer) for name, answer in zip(_READ, answers, strict=True)}


def _decoded(name: str, answer: Any) -> Any:
    if name in HASHES:
        decode = _PLAIN.get(name, records.unpack)
        return {text(field): decode(value) for field, value in pairs(answer)}
    if name in LEXICAL:
        return plain_members(answer)
    if name in TIMED:
        return timed_members(answer)
    return [records.unpack(stream_entry(entry)[1]) for entry in answer]
