"""Whether a queue, or one task in it, is open to an agent at all."""

from __future__ import annotations

from router.domain.routing import qualifies
from router.state import records
from router.state.memory.site import AgentTraits, QueueInfo, Site
from router.state.records import Record


def suits(info: QueueInfo, agent: str, traits: AgentTraits) -> bool:
    """Whether the agent is whom the queue is meant for and has what it asks."""
    if info.agent and info.agent != agent:
        return False
    if info.team and info.team not in traits.teams:
        return False
    return qualifies(traits.skills, info.requirement)


def is_paused(site: Site, info: QueueInfo) -> bool:
    """Whether the queue's work type or the queue itself is paused."""
    paused = site.paused
    return bool(paused) and (f"wt:{info.work_type}" in paused or f"q:{info.base}" in paused)


def is_excluded(record: Record, agent: str, now: int) -> bool:
    """Whether the task keeps away from the agent: named so, or declined a while ago."""
    if "ex" in record and agent in record["ex"].split():
        return True
    return "dec" in record and records.decode_until(record["dec"]).get(agent, 0) > now
