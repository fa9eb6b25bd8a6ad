"""What must be true between any two moments of a site, whatever happened (DESIGN section 6, lifecycle table)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.domain.lifecycle import SUBMIT_TARGETS, TRANSITIONS
from router.domain.model import TERMINAL_STATES
from router.state.audit import audit_step

_TERMINAL = frozenset(str(state) for state in TERMINAL_STATES)
Content = Mapping[str, Any]


def broken_laws(before: Content, after: Content) -> list[str]:
    """One line per law that the step from ``before`` to ``after`` broke."""
    old, new = before.get("tasks", {}), after.get("tasks", {})
    lines: list[str] = []
    for id in old.keys() | new.keys():
        lines += _broken_by_task(id, old.get(id), new.get(id))
    if before.get("meta", {}).get("fence", 0) > after.get("meta", {}).get("fence", 0):
        lines.append("the site's fence counter fell")
    return lines + _broken_by_events(before, after) + audit_step(before, after)


def _broken_by_task(id: str, old: Content | None, new: Content | None) -> list[str]:
    if new is None:
        assert old is not None
        return [] if old["s"] in _TERMINAL | {"DEAD_LETTER"} else [f"{id} vanished in state {old['s']}"]
    if old is None:
        return [] if new["s"] in SUBMIT_TARGETS else [f"{id} was born in state {new['s']}"]
    lines = []
    if old["s"] in _TERMINAL and old != new:
        lines.append(f"{id} changed after its end: {old} -> {new}")
    if new.get("f", 0) < old.get("f", 0):
        lines.append(f"{id}'s fence fell from {old['f']} to {new.get('f', 0)}")
    if old != new and new["rev"] <= old["rev"]:
        lines.append(f"{id} changed without a new revision")
    handed = new.get("ag") and new["s"] in {"OFFERED", "ACTIVE"} and old.get("ag") != new["ag"]
    if handed and new.get("f", 0) <= old.get("f", 0):
        lines.append(f"{id} was handed to {new['ag']} under the old fence {old.get('f', 0)}")
    return lines


def _broken_by_events(before: Content, after: Content) -> list[str]:
    """Every new event is an arrow of the lifecycle, and the arrows lead from the old state to the new one."""
    states = {id: record["s"] for id, record in before.get("tasks", {}).items()}
    seen = len(before.get("events", []))
    lines = []
    for entry in after.get("events", [])[seen:]:
        id, (source, target, name) = entry[0], entry[4:7]
        if states.get(id, "") != source and name != "submit":
            lines.append(f"{name} of {id} says it came from {source}, it was {states.get(id)}")
        if not _is_arrow(name, source, target):
            lines.append(f"{name} of {id} from {source} to {target} is no arrow of the lifecycle")
        states[id] = target
    for id, record in after.get("tasks", {}).items():
        if states.get(id) != record["s"]:
            lines.append(f"{id} is {record['s']}, its events end in {states.get(id)}")
    return lines


def _is_arrow(name: str, source: str, target: str) -> bool:
    if name == "submit":
        return source == "" and target in SUBMIT_TARGETS
    if name not in TRANSITIONS:
        return False
    sources, targets = TRANSITIONS[name]
    return source in sources and target in targets
