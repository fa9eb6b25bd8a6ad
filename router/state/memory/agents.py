"""Agents: their profiles and their desktop sessions."""

from __future__ import annotations

from router.domain.errors import READ_AGAIN, AlreadyExists, EtagMismatch, NotFound, WrongState
from router.domain.model import Agent, AgentProfile, AgentState
from router.state import records
from router.state.memory.transition import Transition, drop_zeros
from router.state.records import Record


def put_profile(tx: Transition, profile: AgentProfile, etag: int | None) -> Agent:
    """Create, replace or overwrite a profile; the live state stays."""
    site = tx.site
    record: Record | None = site.agents.get(profile.id)
    fields = records.profile_fields(profile)
    _check_profile(profile, record, fields, etag)
    if record is None:
        record = {"v": records.VERSION, "st": str(AgentState.OFFLINE), "sm": tx.now}
        site.agents[profile.id] = record
    tx.touch_agent(profile.id)
    record.update(fields)
    record["rev"] = record.get("rev", 0) + 1
    drop_zeros(record)
    site.profiles[profile.id] = records.pack_profile(profile)
    site.read_traits(profile.id, record)
    site.meta.setdefault("schema", records.VERSION)
    _tell(tx, profile.id, record)
    return tx.agent(profile.id)


def _check_profile(profile: AgentProfile, record: Record | None, fields: Record, etag: int | None) -> None:
    if record is None:
        if etag:
            raise NotFound(f"agent {profile.id} does not exist")
        return
    if etag == 0:
        raise AlreadyExists(f"agent {profile.id} exists already: give another id")
    if etag is not None and etag != record.get("rev"):
        raise EtagMismatch(
            f"the profile of agent {profile.id} is at etag {record.get('rev')}, not {etag}: {READ_AGAIN}"
        )
    held = record.get("on", "").split()
    if held and (record.get("gr", "") != fields["gr"] or len(held) > fields["cap"]):
        raise WrongState(f"agent {profile.id} holds tasks", "HOLDS_TASKS")


def delete_profile(tx: Transition, agent: str, etag: int | None) -> None:
    """Forget an agent that is disconnected and holds nothing."""
    site = tx.site
    record = site.agent_record_of(agent)
    if etag is not None and etag != record.get("rev"):
        raise EtagMismatch(
            f"the profile of agent {agent} is at etag {record.get('rev')}, not {etag}: {READ_AGAIN}"
        )
    if record.get("ss"):
        raise WrongState(f"agent {agent} is connected", "CONNECTED")
    if record.get("on") or record.get("pk"):
        raise WrongState(f"agent {agent} holds tasks", "HOLDS_TASKS")
    tx.touch_agent(agent)
    del site.agents[agent]
    site.profiles.pop(agent, None)
    site.traits.pop(agent, None)
    site.commands.pop(agent, None)
    tx.commit()


def connect(tx: Transition, agent: str, worker: str, session: str, ready: bool) -> Agent:
    """A desktop session opens; an older one is told so."""
    record = tx.site.agent_record_of(agent)
    tx.touch_agent(agent)
    if record.get("ss") and record["ss"] != session:
        tx.tell_agent_worker(record.get("wk", ""), agent, "SESSION_REPLACED", record["ss"])
    record.update(wk=worker, ss=session, rd=int(ready))
    if not record.get("gr") and not record.get("on"):
        record["is"] = tx.now
    return tx.agent(agent)


def disconnect(tx: Transition, agent: str, session: str) -> None:
    """The session is gone; another session's end changes nothing."""
    record = tx.site.agents.get(agent)
    if record is None or record.get("ss") != session:
        return
    tx.touch_agent(agent)
    for name in ("wk", "ss", "rd"):
        record.pop(name, None)
    tx.commit()


def set_ready(tx: Transition, agent: str, session: str, ready: bool) -> Agent:
    """The desktop says whether its agent wants tasks."""
    record = tx.site.agent_record_of(agent)
    if record.get("ss") != session:
        raise WrongState(f"agent {agent} has another session", "SESSION_REPLACED")
    return _set_flag(tx, agent, "rd", ready)


def set_draining(tx: Transition, agent: str, draining: bool, reason: str) -> Agent:
    """A supervisor lets an agent finish and receive nothing more."""
    tx.site.agent_record_of(agent)
    tx.touch_agent(agent)["drr"] = reason if draining else ""
    return _set_flag(tx, agent, "dr", draining)


def _set_flag(tx: Transition, agent: str, name: str, value: bool) -> Agent:
    record = tx.touch_agent(agent)
    record[name] = int(value)
    _tell(tx, agent, record)
    return tx.agent(agent)


def _tell(tx: Transition, agent: str, record: Record) -> None:
    if record.get("ss"):
        tx.tell_agent_worker(record.get("wk", ""), agent)
