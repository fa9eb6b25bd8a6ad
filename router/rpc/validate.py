"""Hand-written checks of requests. A `Check` collects every fault of a request, each with its field path and the fix.

What only the router can know (an absent work type, a policy's limits) is checked by the use cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from router.domain.errors import InvalidInput
from router.domain.routing import ID_RULE, MAX_LEVEL, valid_id
from router.rpc import names

KIB = 1024
MAX_PAYLOAD = 64 * KIB
MAX_CHECKPOINT = 64 * KIB
MAX_RESULT = 64 * KIB
MAX_DOCUMENT = 256 * KIB
MAX_GUIDANCE = 16 * KIB
MAX_TEXT = 128
MAX_REASON = 256
MAX_OUTCOME = 64
MAX_SKILLS = 16
MAX_AGENT_SKILLS = 64
MAX_TEAMS = 16
MAX_EXCLUDED = 64
MAX_LABELS = 32
MAX_LABEL_KEY = 63
MAX_LABEL_VALUE = 256
MAX_BATCH = 1000
MAX_PAGE = 1000
DEFAULT_PAGE = 100
MAX_REQUEST_ID = 64

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MAX_TIME_S = 253_402_300_799
"""The end of the year 9999, which google.protobuf.Timestamp ends with."""

_T = TypeVar("_T")


class Check:
    """Collects faults; :meth:`done` raises them together as one InvalidInput."""

    def __init__(self, site: str, prefix: str = "") -> None:
        self.site = site
        self._prefix = prefix
        self._found: list[tuple[str, str]] = []

    def add(self, field: str, text: str) -> None:
        """Note one fault."""
        self._found.append((self._prefix + field, text))

    def done(self) -> None:
        """Raise InvalidInput if anything was noted."""
        if self._found:
            raise InvalidInput(self._found)

    def take(self, other: Check) -> None:
        """Note what another check has found."""
        self._found += other._found

    def _tried(self, read: Callable[[], str]) -> str:
        try:
            return read()
        except InvalidInput as error:
            self._found += error.violations
            return ""

    # -- names and ids ---------------------------------------------------------------------------------
    def name(self, field: str, text: str, collection: str) -> str:
        """The id in a required resource name."""
        return self._tried(lambda: names.parse(text, collection, self.site, self._prefix + field))

    def optional_name(self, field: str, text: str, collection: str) -> str:
        """The id in a resource name that may be empty."""
        return self.name(field, text, collection) if text else ""

    def name_or_id(self, field: str, text: str, collection: str) -> str:
        """The id in a required name, or the bare id."""
        return self._tried(lambda: names.parse_or_id(text, collection, self.site, self._prefix + field))

    def id(self, field: str, text: str) -> str:
        """A required id."""
        if not valid_id(text):
            self.add(field, f"{text[:80]!r} is no id; {ID_RULE}" if text else f"is missing; {ID_RULE}")
        return text

    def optional_id(self, field: str, text: str) -> str:
        """An id that may be empty."""
        return self.id(field, text) if text else ""

    def request_id(self, text: str, field: str = "request_id") -> str:
        """A UUID, or empty."""
        if text and (len(text) > MAX_REQUEST_ID or not _is_uuid(text)):
            self.add(field, "is no UUID; make a fresh one for each call and repeat it with the same call")
        return text

    def etag(self, text: str) -> int | None:
        """The revision in an etag; None for any. What the router never gave out matches nothing."""
        if not text:
            return None
        known = text.isascii() and text.isdigit() and len(text) <= 18 and int(text) > 0
        return int(text) if known else -1

    # -- sizes and numbers -----------------------------------------------------------------------------
    def text(self, field: str, text: str, limit: int = MAX_TEXT) -> str:
        """A text of at most ``limit`` characters."""
        if len(text) > limit:
            self.add(field, f"has {len(text)} characters; at most {limit} are kept")
        return text

    def required_text(self, field: str, text: str, limit: int) -> str:
        """A text that may not be empty."""
        if not text:
            self.add(field, "is missing")
        return self.text(field, text, limit)

    def data(self, field: str, data: bytes, limit: int) -> bytes:
        """Bytes within a bound."""
        if len(data) > limit:
            self.add(
                field, f"has {len(data)} bytes; at most {limit} are kept: store it elsewhere and send a link"
            )
        return data

    def number(self, field: str, value: int, low: int, high: int) -> int:
        """A whole number within bounds."""
        if not low <= value <= high:
            self.add(field, f"is {value}; give {low} to {high}")
        return value

    def real(self, field: str, value: float, low: float, high: float) -> float:
        """A number within bounds; NaN is in none."""
        if not low <= value <= high:
            self.add(field, f"is {value:g}; give {low:g} to {high:g}")
        return value

    def not_negative(self, field: str, value: int) -> int:
        """A count."""
        if value < 0:
            self.add(field, f"is {value}; a count cannot be negative")
        return value

    def fence(self, field: str, value: int) -> int:
        """The number of a hand-over."""
        if value <= 0:
            self.add(field, "is missing; send the fence that came with the offer or lease")
        return value

    def page_size(self, value: int, limit: int = MAX_PAGE, default: int = DEFAULT_PAGE) -> int:
        """How many to answer; 0 stands for the default, more than the limit for the limit (AIP-158)."""
        if value < 0:
            self.add("page_size", f"is {value}; give 1 to {limit}, or 0 for {default}")
        return min(value, limit) or default

    def at_most(self, field: str, items: Sequence[_T], limit: int) -> Sequence[_T]:
        """A list within a bound."""
        if len(items) > limit:
            self.add(field, f"has {len(items)} entries; give at most {limit}")
        return items[:limit]

    # -- times -----------------------------------------------------------------------------------------
    def time(self, field: str, value: Timestamp) -> int:
        """A moment as milliseconds since the epoch."""
        if not 0 <= value.seconds <= MAX_TIME_S or not 0 <= value.nanos < 1_000_000_000:
            self.add(field, "is no time between the years 1970 and 9999")
            return 0
        return value.seconds * 1000 + value.nanos // 1_000_000

    def duration(self, field: str, value: Duration, low_ms: int, high_ms: int) -> int:
        """A duration in milliseconds, within bounds."""
        millis = value.seconds * 1000 + value.nanos // 1_000_000
        if not low_ms <= millis <= high_ms:
            self.add(field, f"is {_span(millis)}; give {_span(low_ms)} to {_span(high_ms)}")
        return millis

    # -- skills and labels -----------------------------------------------------------------------------
    def levels(self, field: str, items: Sequence[tuple[str, str, int]], limit: int) -> dict[str, int]:
        """Skills with levels 1 to 5, each skill once, from (skill, name of the level's field, level)."""
        levels: dict[str, int] = {}
        for i, (skill, level_field, level) in enumerate(self.at_most(field, items, limit)):
            self.id(f"{field}[{i}].skill", skill)
            if skill in levels:
                self.add(f"{field}[{i}].skill", f"{skill!r} occurs twice; give each skill once")
            levels[skill] = self.number(f"{field}[{i}].{level_field}", level, 1, MAX_LEVEL)
        return levels

    def labels(self, field: str, labels: Mapping[str, str]) -> dict[str, str]:
        """Labels within their bounds."""
        if len(labels) > MAX_LABELS:
            self.add(field, f"has {len(labels)} entries; give at most {MAX_LABELS}")
        for key, value in labels.items():
            if not key or len(key) > MAX_LABEL_KEY:
                self.add(field, f"the key {key[:80]!r} must have 1 to {MAX_LABEL_KEY} characters")
            if len(value) > MAX_LABEL_VALUE:
                self.add(
                    f"{field}[{key[:80]}]", f"has {len(value)} characters; at most {MAX_LABEL_VALUE} are kept"
                )
        return dict(sorted(labels.items()))

    def mask(self, paths: Sequence[str], allowed: Sequence[str], given: Iterable[str]) -> list[str]:
        """The fields to take: those of the mask, or without one the allowed ones that are set."""
        for path in paths:
            if path not in allowed:
                self.add("update_mask", f"{path[:80]!r} cannot be changed; name some of {', '.join(allowed)}")
        return list(dict.fromkeys(paths)) if paths else [field for field in allowed if field in set(given)]


def _span(ms: int) -> str:
    days, rest = divmod(ms, DAY_MS)
    return f"{days} days" if days > 1 and not rest else f"{ms / 1000:g} s"


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
