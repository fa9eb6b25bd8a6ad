"""Every key is born here. All keys of a site share its hash tag, so that a transition touches one slot.

docs/redis-schema.md tells each key's type, owner and bound.
"""

from __future__ import annotations

PREFIX = "wr1"
"""Names the schema's generation: a change of layout that old routers cannot read takes another."""

HASHES = (
    "tasks", "specs", "checkpoints", "results", "queues", "qrefs", "agents", "profiles",
    "groups", "gates", "feeds", "callqueues", "commands", "leads", "docs", "requests", "refs", "paused",
    "counts", "meta",
)  # fmt: skip
LEXICAL = ("queue", "heads", "idle", "busy")
"""Sorted sets whose scores are all 0: the members' text is the order."""
TIMED = ("due", "ended", "workers")
"""Sorted sets by a time in ms."""
STREAMS = ("events", "recording")
NAMES = frozenset((*HASHES, *LEXICAL, *TIMED, *STREAMS))

SITES = f"{PREFIX}:sites"
"""The set of sites that hold anything; it has a slot of its own and is written outside the transitions."""


def key(site: str, name: str) -> str:
    """The key of a site's ``name``, which must be one of :data:`NAMES`."""
    if name not in NAMES:
        raise KeyError(f"no such key: {name}")
    return f"{PREFIX}:{{{site}}}:{name}"


def mark(key: str) -> str:
    """What is written to let a replica confirm all before it (see ``confirmed.py``): in the slot of ``key``."""
    tag = key.partition("{")[2].partition("}")[0] or key
    return f"{PREFIX}:{{{tag}}}:mark"


def worker_channel(worker: str) -> str:
    """Where hints for one router process are published."""
    return f"{PREFIX}:w:{worker}"


def site_channel(site: str) -> str:
    """Where hints for everyone who serves a site are published (``*``: of all sites, as a pattern)."""
    return f"{PREFIX}:s:{site}"


def below(prefix: str, after: str = "") -> tuple[str, str]:
    """The lexical range of the members that start with ``prefix|``, after the member ``after`` if given."""
    low = f"({after}" if after else f"[{prefix}|"
    return low, f"({prefix}}}"
