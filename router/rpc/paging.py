"""Page tokens: a cursor, and a digest of what was asked, so that a token cannot be used with another question."""

from __future__ import annotations

import binascii
import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeVar

from router.domain.errors import InvalidInput

_T = TypeVar("_T")
_DIGEST_BYTES = 6


def encode(cursor: str, *question: str) -> str:
    """The token of the next page; empty at the end."""
    return urlsafe_b64encode(_digest(question) + cursor.encode()).decode() if cursor else ""


def decode(token: str, *question: str) -> str:
    """The cursor in a token; InvalidInput if it was not given out for this question."""
    if not token:
        return ""
    try:
        raw = urlsafe_b64decode(token.encode("ascii"))
        cursor = raw[_DIGEST_BYTES:].decode()
    except (ValueError, binascii.Error):
        raise _bad_token() from None
    if raw[:_DIGEST_BYTES] != _digest(question) or not cursor:
        raise _bad_token()
    return cursor


def page_of(
    items: Sequence[_T], key: Callable[[_T], str], token: str, size: int, *question: str
) -> tuple[Sequence[_T], str]:
    """A page out of a list that is sorted by ``key``, and the next token."""
    cursor = decode(token, *question)
    start = bisect_right([key(item) for item in items], cursor) if cursor else 0
    page = items[start : start + size]
    return page, encode(key(page[-1]), *question) if start + size < len(items) else ""


def _digest(question: Sequence[str]) -> bytes:
    return hashlib.blake2b("\0".join(question).encode(), digest_size=_DIGEST_BYTES).digest()


def _bad_token() -> InvalidInput:
    return InvalidInput([("page_token", "was not given out for this question; begin again without it")])
