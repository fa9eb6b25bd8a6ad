"""Builds the function library from lua/lib.lua and one file per transition.

Each file's header names the keys that it touches; the library hands them to the transition under these names, and
a transition that reaches for another gets none. The library is named by its content: routers of two versions can
work side by side on one store.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from router.state.redis.keys import NAMES, PREFIX, key
from router.state.redis.wire import packed

SHARED = "lib.lua"
_HEADER = re.compile(r"^-- ([A-Z]+): (.*)$", re.MULTILINE)
_KEYSET = re.compile(r"^-- KEYSET (\w+): (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Transition:
    """One function: its full name in the store, and the keys to pass, in order."""

    function: str
    keys: tuple[str, ...]
    read_only: bool = False

    def call(self, site: str, now: bytes, arguments: bytes) -> tuple[bytes, str]:
        """The whole call in the protocol's form, and one of its keys. Its head is packed once for each site."""
        head, key = _packed_head(self.function, site, self.keys)
        return b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n" % (head, len(now), now, len(arguments), arguments), key


@dataclass(frozen=True, slots=True)
class Library:
    """What FUNCTION LOAD takes, and the transitions in it by their plain names."""

    name: str
    code: str
    transitions: Mapping[str, Transition]


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    body: str
    keys: tuple[str, ...]
    flags: tuple[str, ...]


@cache
def load_library() -> Library:
    """The library of this version of the router."""
    texts = dict(_lua_files())
    shared = texts.pop(SHARED)
    keysets = _keysets(shared)
    sources = [_parse(name, text, keysets) for name, text in sorted(texts.items())]
    content = shared + "".join(source.name + source.body for source in sources)
    name = f"{PREFIX}_{hashlib.sha256(content.encode()).hexdigest()[:8]}"
    code = "\n".join([f"#!lua name={name}", shared, *(_registration(name, source) for source in sources)])
    transitions = {
        source.name: Transition(f"{name}_{source.name}", source.keys, "no-writes" in source.flags)
        for source in sources
    }
    return Library(name, code, transitions)


def _lua_files() -> Iterator[tuple[str, str]]:
    for item in (resources.files("router.state.redis") / "lua").iterdir():
        if item.name.endswith(".lua"):
            yield item.name, item.read_text(encoding="utf-8")


def _keysets(shared: str) -> dict[str, list[str]]:
    """Names for sets of keys that many transitions share."""
    found: dict[str, list[str]] = {}
    for name, words in _KEYSET.findall(shared):
        found.setdefault(name, []).extend(words.split())
    return found


def _parse(file: str, text: str, keysets: Mapping[str, list[str]]) -> _Source:
    lines = _HEADER.findall(text)
    keys: list[str] = []
    for word in " ".join(words for name, words in lines if name == "KEYS").split():
        keys += keysets[word[1:]] if word.startswith("@") else [word]
    unknown = [name for name in keys if name not in NAMES]
    if unknown or len(set(keys)) != len(keys):
        raise ValueError(f"{file} declares keys that are unknown or named twice: {unknown or keys}")
    return _Source(file.removesuffix(".lua"), text, tuple(keys), tuple(dict(lines).get("FLAGS", "").split()))


def _registration(library: str, source: _Source) -> str:
    names = ", ".join(f"'{name}'" for name in source.keys)
    flags = ", ".join(f"'{flag}'" for flag in source.flags)
    return f"transition('{library}_{source.name}', {{{names}}}, {{{flags}}}, function()\n{source.body}\nend)"


@lru_cache(maxsize=10_000)
def _packed_head(function: str, site: str, names: tuple[str, ...]) -> tuple[bytes, str]:
    """``FCALL function n key...`` without its two arguments, and the first key."""
    keys = [key(site, name) for name in names]
    whole = packed(("FCALL", function, len(keys), *keys, b"", b""))
    without_arguments = whole.removesuffix(b"$0\r\n\r\n" * 2)
    return without_arguments, keys[0]
