"""The claim: whether an agent may be given work, which task is its next-best one, and the hand-over."""

from __future__ import annotations

from router.domain.errors import WrongState
from router.domain.model import AgentState, ClaimMode, CommandKind, GateMode, NoTask, TaskState
from router.domain.ports import Change, Claim
from router.state import records
from router.state.memory import placing
from router.state.memory.eligibility import is_excluded, is_paused, suits
from router.state.memory.holding import activate, command, held_by, take_up, unpark_from
from router.state.memory.site import Site
from router.state.memory.transition import Transition
from router.state.memory.walking import Walk
from router.state.records import Record

USUAL_STALE_AFTER_MS = 10_000
"""How long a feed may be silent for an agent whose group has no gate yet."""


# -- may this agent be given work? ---------------------------------------------------------------------------
def refusal(tx: Transition, agent: str, mode: ClaimMode) -> NoTask | None:
    """Why the agent may get nothing now; None if nothing is in the way."""
    record = tx.site.agents.get(agent)
    if record is None:
        return NoTask.UNKNOWN_AGENT
    reason = _desktop_refusal(record, mode)
    if reason is not None:
        return reason
    if record.get("gr") and (record["st"] != AgentState.AVAILABLE or _being_reserved(tx.site, agent)):
        return NoTask.NOT_AVAILABLE
    if len(record.get("on", "").split()) >= record.get("cap", 0):
        return NoTask.NO_CAPACITY
    return _group_refusal(tx, record) if record.get("gr") else None


def _desktop_refusal(record: Record, mode: ClaimMode) -> NoTask | None:
    if mode is ClaimMode.OFFER and not record.get("ss"):
        return NoTask.NOT_CONNECTED
    pulls_freely = mode is ClaimMode.LEASE and not record.get("gr")
    if record.get("ss") and not record.get("rd") and not pulls_freely:
        return NoTask.NOT_READY
    return NoTask.DRAINING if record.get("dr") else None


def _being_reserved(site: Site, agent: str) -> bool:
    """While the ACD is still asked to take the agent out of the call distribution, it gets nothing more."""
    return site.commands.get(agent, {}).get("kind") == CommandKind.RESERVE


def _group_refusal(tx: Transition, record: Record) -> NoTask | None:
    gate = tx.site.gates.get(record["gr"])
    if _feed_is_stale(tx, record, gate):
        return NoTask.FEED_STALE
    reason = _gate_refusal(gate, tx.now)
    if reason is not None:
        return reason
    assert gate is not None
    if tx.now - record.get("is", 0) < gate.get("mi", 0):
        return NoTask.TOO_SOON
    if record.get("on"):
        return None  # One who holds something already takes nobody idle away, and counts in the allowance.
    figures = tx.site.groups.get(record["gr"], {})
    if figures.get("ont", 0) >= gate.get("al", 0):
        return NoTask.ALLOWANCE_REACHED
    return NoTask.RESERVE_HELD if figures.get("idle", 0) <= gate.get("re", 0) else None


def _feed_is_stale(tx: Transition, record: Record, gate: Record | None) -> bool:
    feed = tx.site.feeds.get(record.get("src", ""))
    stale_after = USUAL_STALE_AFTER_MS if gate is None else gate.get("sa", 0)
    return feed is None or tx.now - feed.get("at", 0) > stale_after


def _gate_refusal(gate: Record | None, now: int) -> NoTask | None:
    if gate is None or gate["mo"] == GateMode.CLOSED:
        return NoTask.GATE_CLOSED
    if now >= gate.get("vu", 0):
        return NoTask.GATE_EXPIRED
    manual_is_over = gate["mo"] != GateMode.AUTO and gate.get("mu") and now >= gate["mu"]
    return NoTask.GATE_CLOSED if manual_is_over or not gate.get("op") else None


def firm_held_back(site: Site, record: Record) -> bool:
    """Whether the group's reserve keeps the agent from work that may not be interrupted."""
    group = record.get("gr")
    if not group or record.get("on"):
        return False
    idle: int = site.groups.get(group, {}).get("idle", 0)
    reserve: int = site.gates.get(group, {}).get("rf", 0)
    return idle <= reserve


# -- which task? -----------------------------------------------------------------------------------------------
def claim(
    tx: Transition, agent: str, mode: ClaimMode, task: str, cursor: str, actor: str, why: str, once: bool
) -> Claim:
    """Hand the agent its next-best task, or the named one, or say why not."""
    leased = _leased_before(tx.site, agent, why) if once else ""
    if leased:
        return Claim(tx.task(leased))
    reason = refusal(tx, agent, mode)
    if reason is not None:
        return Claim(None, reason)
    if task:
        reason = _named_refusal(tx, agent, task)
        found = task
    else:
        walk = Walk(tx.site, tx.now, agent, firm_held_back(tx.site, tx.site.agents[agent]), cursor)
        found = walk.find()
        reason = None if found else walk.reason
        cursor = walk.cursor if reason is NoTask.MORE else ""
    if reason is not None:
        told = tx.site.queued if reason in (NoTask.NO_TASK, NoTask.RESERVE_HELD) and not task else None
        return Claim(None, reason, "" if task else cursor, queued=told)
    tx.offering = mode is ClaimMode.OFFER
    anchor = tx.site.queue_info(tx.site.tasks[found]["q"]).anchor
    hand_over(tx, found, agent, mode, actor, why)
    return Claim(tx.task(found), anchor=anchor, queued=tx.site.queued)


def _leased_before(site: Site, agent: str, why: str) -> str:
    """The task that the agent still holds and was given for this very reason."""
    for task in site.agents.get(agent, {}).get("on", "").split():
        record = site.tasks[task]
        if record["s"] != TaskState.OFFERED and record.get("why", "") == why:
            return str(task)
    return ""


def _named_refusal(tx: Transition, agent: str, task: str) -> NoTask | None:
    site = tx.site
    record = site.record_of(task)
    if record["s"] != TaskState.QUEUED:
        return NoTask.NOT_QUEUED
    info = site.queue_info(record["q"])
    if not suits(info, agent, site.traits[agent]):
        return NoTask.NOT_QUALIFIED
    if is_excluded(record, agent, tx.now):
        return NoTask.EXCLUDED
    if is_paused(site, info):
        return NoTask.PAUSED
    held_back = not info.interruptible and firm_held_back(site, site.agents[agent])
    return NoTask.RESERVE_HELD if held_back else None


# -- the hand-over ---------------------------------------------------------------------------------------------
def hand_over(tx: Transition, task: str, agent: str, mode: ClaimMode, actor: str, why: str) -> None:
    """Give a QUEUED task to the agent under a new fence."""
    placing.leave_queue(tx, task)
    record = _take(tx, task, agent)
    record["why"] = tx.why = why
    controlled = _acd_control(tx.site, tx.site.agents[agent])
    if mode is ClaimMode.OFFER:
        _offer(tx, task, agent, actor, hidden=controlled)
    else:
        _lease(tx, task, agent, "pull", actor)
    if controlled:
        _reserve(tx, task, agent, record["f"])


def _take(tx: Transition, task: str, agent: str) -> Record:
    record = tx.touch(task)
    gate = tx.site.gates.get(tx.site.agents[agent].get("gr", ""), {})
    record["ag"] = agent
    record.pop("le", None)
    record.pop("rf", None)
    record["f"] = tx.next_number("fence")
    record["pv"] = gate.get("pv", 0)
    take_up(tx, task, agent)
    return record


def _acd_control(site: Site, record: Record) -> bool:
    return bool(site.gates.get(record.get("gr", ""), {}).get("ac"))


def _offer(tx: Transition, task: str, agent: str, actor: str, *, hidden: bool) -> None:
    record = tx.touch(task)
    record["oa"] = tx.now
    record["hid"] = int(hidden)
    record.pop("aa", None)
    tx.site.set_deadline(task, record, tx.now + record.get("of", 0))
    tx.arrow(task, "offer", TaskState.OFFERED, actor, "", agent)
    if not hidden:
        if tx.site.agents[agent].get("aa"):
            activate(tx, task)
        tx.tell_worker("offer", agent, task)


def _lease(tx: Transition, task: str, agent: str, name: str, actor: str) -> None:
    record = tx.touch(task)
    record["aa"] = tx.now
    record.pop("oa", None)
    tx.site.set_deadline(task, record, tx.now + record.get("ls", 0))
    tx.arrow(task, name, TaskState.ACTIVE, actor, "", agent)


def _reserve(tx: Transition, task: str, agent: str, fence: int) -> None:
    """Ask the ACD to take the agent out of the call distribution."""
    tx.stand(agent, records.command_record(command(tx, CommandKind.RESERVE, agent, task, fence)))


def resume(tx: Transition, task: str, agent: str, fence: int) -> Change:
    """PARKED -> ACTIVE with a new fence, under the same conditions as a pull."""
    held = tx.site.record_of(task)
    if (held["s"], held.get("ag"), held.get("rf")) == (TaskState.ACTIVE, agent, fence):
        return tx.change(task)
    record = held_by(tx, task, agent, fence, (TaskState.PARKED,))
    reason = refusal(tx, agent, ClaimMode.LEASE)
    if reason is None and not record.get("iv") and firm_held_back(tx.site, tx.site.agents[agent]):
        reason = NoTask.RESERVE_HELD
    if reason is not None:
        raise WrongState(f"agent {agent} may not take up task {task} now: {reason}", str(reason))
    unpark_from(tx, task)
    record = _take(tx, task, agent)
    record["rf"] = fence
    _lease(tx, task, agent, "resume", f"agent:{agent}")
    if _acd_control(tx.site, tx.site.agents[agent]):
        _reserve(tx, task, agent, record["f"])
    return tx.change(task)
