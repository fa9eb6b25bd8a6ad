"""Resource names: `sites/{site}/{collection}/{id}`, built and taken apart.

A name of another site is NOT_FOUND, so that nobody learns what other sites have; a `parent` of another site is
PERMISSION_DENIED, as router.v1 says.
"""

from __future__ import annotations

from router.domain.errors import InvalidInput, NotFound, PermissionDenied
from router.domain.routing import ID_RULE, valid_id

TASK, WORK_TYPE, AGENT, POLICY = "tasks", "workTypes", "agents", "policies"
CALL_QUEUE, GROUP, FEED, QUEUE = "callQueues", "blendingGroups", "feeds", "queues"

_EXAMPLE_ID = {TASK: "task", WORK_TYPE: "work_type", AGENT: "agent", POLICY: "blending_group"} | {
    CALL_QUEUE: "call_queue",
    GROUP: "blending_group",
    FEED: "source",
    QUEUE: "queue",
}


def name(site: str, collection: str, id: str) -> str:
    """The resource's name, or '' for no resource."""
    return f"sites/{site}/{collection}/{id}" if id else ""


def parse(text: str, collection: str, site: str, field: str = "name") -> str:
    """The id in a resource name of the caller's site. Raises InvalidInput or NotFound."""
    prefix = f"sites/{site}/{collection}/"
    if text.startswith(prefix) and valid_id(id := text[len(prefix) :]):
        return id
    parts = text.split("/")
    well_formed = len(parts) == 4 and parts[0] == "sites" and parts[2] == collection
    if not well_formed or not valid_id(parts[1]) or not valid_id(parts[3]):
        raise InvalidInput([(field, _how_to_write(text, collection))])
    if parts[1] != site:
        raise NotFound(f"{text} does not exist")
    return parts[3]


def parse_or_id(text: str, collection: str, site: str, field: str) -> str:
    """As :func:`parse`, where the bare id is accepted too."""
    return text if valid_id(text) else parse(text, collection, site, field)


def parse_any(text: str, collections: tuple[str, ...], site: str, field: str = "name") -> tuple[str, str]:
    """(collection, id) of a name that may be of one of several collections."""
    for collection in collections:
        if f"/{collection}/" in text:
            return collection, parse(text, collection, site, field)
    raise InvalidInput([(field, " or ".join(_how_to_write(text, c) for c in collections))])


def check_parent(text: str, site: str, field: str = "parent") -> None:
    """Empty or the caller's own site. Raises InvalidInput or PermissionDenied."""
    if not text or text == f"sites/{site}":
        return
    parts = text.split("/")
    if len(parts) != 2 or parts[0] != "sites" or not valid_id(parts[1]):
        raise InvalidInput([(field, f"{_shown(text)} is no parent; write sites/{site} or leave it empty")])
    raise PermissionDenied(f"the credentials are for sites/{site}, not for {text}", "OTHER_SITE")


def _how_to_write(text: str, collection: str) -> str:
    wanted = f"sites/{{site}}/{collection}/{{{_EXAMPLE_ID[collection]}}}"
    if not text:
        return f"is missing; write {wanted}"
    parts = text.split("/")
    wrong = next((part for part in parts[1::2] if not valid_id(part)), "")
    if len(parts) == 4 and (parts[0], parts[2]) == ("sites", collection) and wrong:
        return f"{_shown(text)} is no such name: {_shown(wrong)} is no id; {ID_RULE}"
    return f"{_shown(text)} is no such name; write {wanted}"


def _shown(text: str) -> str:
    """What the caller wrote, short enough for a message."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
