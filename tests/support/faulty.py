"""Scripts with a deliberate fault, for the tests that test the tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

from router.state.redis import library


@contextlib.contextmanager
def changed_library(file: str, old: str, new: str) -> Iterator[None]:
    """Within this, stores load a library in which the one ``old`` of ``file`` has become ``new``."""
    texts = dict(library._lua_files())
    name = f"{file}.lua"
    found = texts[name].count(old)
    assert found >= 1, f"{name} no longer says {old!r}: choose another line for this fault"
    assert found == 1, f"{name} says {old!r} {found} times: name one of them"
    texts[name] = texts[name].replace(old, new)
    with mock.patch.object(library, "_lua_files", return_value=list(texts.items())):
        library.load_library.cache_clear()
        try:
            yield
        finally:
            library.load_library.cache_clear()
