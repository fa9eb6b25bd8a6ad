"""Leaders of blending groups, the gates they write, and the supervisor's word over them."""

from __future__ import annotations

from router.domain.errors import Superseded
from router.domain.model import Gate, GateMode
from router.state import records
from router.state.memory.transition import Transition, drop_zeros
from router.state.records import Record

_TOLD = ("mo", "op", "al", "re", "rf")
"""A gate hint goes out when one of these has changed."""


def lead(tx: Transition, group: str, worker: str, ttl_ms: int) -> int:
    """Become or stay the leader; a term never comes back."""
    leader = tx.site.leads.get(group)
    live = leader is not None and tx.now < leader["until"]
    if leader is not None and live and leader["w"] != worker:
        return 0
    term: int = (leader["term"] if leader else 0) + (0 if live else 1)
    tx.site.leads[group] = {"w": worker, "term": term, "until": tx.now + ttl_ms}
    return term


def set_gate(tx: Transition, gate: Gate) -> Gate:
    """The live leader writes the gate; a mode set by hand stays while it lasts."""
    leader = tx.site.leads.get(gate.group)
    if leader is None or leader["term"] != gate.term or tx.now >= leader["until"]:
        raise Superseded(f"term {gate.term} does not lead group {gate.group} (any more)")
    old = tx.site.gates.get(gate.group)
    new = records.gate_record(gate)
    if old is not None and old["mo"] != GateMode.AUTO and (not old.get("mu") or tx.now < old["mu"]):
        new.update(mo=old["mo"], mu=old.get("mu", 0), op=int(old["mo"] == GateMode.OPEN))
    else:
        new.update(mo=str(GateMode.AUTO), mu=0)
    return _save(tx, gate.group, old, new)


def set_mode(tx: Transition, group: str, mode: GateMode, until_ms: int, reason: str) -> Gate:
    """A supervisor opens or closes the gate by hand, or gives it back to the law."""
    old = tx.site.gates.get(group)
    new = dict(old) if old is not None else records.gate_record(Gate(group))
    new.update(mo=str(mode), rsn=reason)
    if mode is GateMode.AUTO:
        new["mu"] = 0
    else:
        new.update(mu=until_ms, op=int(mode is GateMode.OPEN))
    return _save(tx, group, old, new)


def _save(tx: Transition, group: str, old: Record | None, new: Record) -> Gate:
    drop_zeros(new)
    tx.site.gates[group] = new
    was = old or {}
    changed = any(was.get(name) != new.get(name) for name in _TOLD)
    if old is None or changed or tx.now >= old.get("vu", 0):
        tx.tell_site("gate", group=group)
    tx.commit()
    return tx.site.gate_value(group)
