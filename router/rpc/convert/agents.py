"""Agents: profiles in, profile and live status out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from router.domain.model import Agent, AgentProfile, AgentState, NoTask
from router.rpc import names
from router.rpc.convert.times import timestamp
from router.rpc.validate import MAX_AGENT_SKILLS, MAX_TEAMS, Check
from router.v1 import agents_pb2
from router.v1 import common_pb2 as pb

MAX_CAPACITY = 100
STATES: Mapping[AgentState, pb.AgentState.ValueType] = {
    state: pb.AgentState.Value(f"AGENT_STATE_{state.value}") for state in AgentState
}
STATES_IN: Mapping[int, AgentState] = {number: state for state, number in STATES.items()}
PROFILE_FIELDS = ("display_name", "skills", "teams", "blending_group", "capacity", "auto_accept")
"""Fields that UpdateAgent takes."""

NO_TASK_REASONS: Mapping[NoTask, agents_pb2.NoTaskReason.ValueType] = {
    reason: agents_pb2.NoTaskReason.Value(f"NO_TASK_REASON_{reason.value}")
    for reason in NoTask
    if reason not in (NoTask.MORE, NoTask.UNKNOWN_AGENT)
}
NO_TASK_SENTENCES: Mapping[NoTask, str] = {
    NoTask.NO_TASK: "Nothing is queued that this agent may do.",
    NoTask.MORE: "Many tasks were looked at and none fits yet; ask again.",
    NoTask.NOT_CONNECTED: "No desktop session is open.",
    NoTask.NOT_READY: "The desktop said that the agent is not ready.",
    NoTask.NOT_AVAILABLE: "The agent is not available at the telephone.",
    NoTask.NO_CAPACITY: "The agent has as many tasks as its capacity allows.",
    NoTask.DRAINING: "A supervisor drains this agent.",
    NoTask.TOO_SOON: "The agent has not been idle for as long as the policy asks.",
    NoTask.GATE_CLOSED: "The gate of the blending group is closed: its agents are needed for calls.",
    NoTask.GATE_EXPIRED: "The gate was not renewed in time, so it counts as closed.",
    NoTask.FEED_STALE: "The telephony feed is silent, so the state of the agent is not known.",
    NoTask.ALLOWANCE_REACHED: "As many agents of the group as allowed are on tasks.",
    NoTask.RESERVE_HELD: "The idle agents are kept back for calls.",
    NoTask.NOT_QUALIFIED: "The agent lacks a skill, or the task is kept for others.",
    NoTask.EXCLUDED: "The agent is excluded from the task.",
    NoTask.PAUSED: "The queue or work type is paused.",
    NoTask.NOT_QUEUED: "The task is not waiting.",
}


def agent_out(site: str, agent: Agent) -> pb.Agent:
    """An agent with profile and live status."""
    profile = agent.profile
    return pb.Agent(
        name=names.name(site, names.AGENT, profile.id),
        display_name=profile.display_name,
        skills=[pb.AgentSkill(skill=skill, level=level) for skill, level in sorted(profile.skills.items())],
        teams=profile.teams,
        blending_group=names.name(site, names.GROUP, profile.blending_group),
        capacity=profile.capacity,
        auto_accept=profile.auto_accept,
        state=STATES[agent.state] if agent.source else pb.AGENT_STATE_UNSPECIFIED,
        state_time=timestamp(agent.state_ms),
        connected=agent.connected,
        ready=agent.ready,
        held_tasks=[names.name(site, names.TASK, task) for task in agent.held],
        source=agent.source,
        leave_time=timestamp(agent.leave_ms),
        draining=agent.draining,
        drain_reason=agent.drain_reason,
        etag=str(agent.revision),
    )


def profile_in(id: str, message: pb.Agent, check: Check) -> AgentProfile:
    """A whole profile; what is not set takes its default."""
    skills = [(s.skill, "level", s.level) for s in message.skills]
    return AgentProfile(
        id=id,
        display_name=check.text("display_name", message.display_name),
        skills=check.levels("skills", skills, MAX_AGENT_SKILLS),
        teams=tuple(
            check.id(f"teams[{i}]", team)
            for i, team in enumerate(check.at_most("teams", message.teams, MAX_TEAMS))
        ),
        blending_group=check.optional_name("blending_group", message.blending_group, names.GROUP),
        capacity=check.number("capacity", message.capacity or 1, 1, MAX_CAPACITY),
        auto_accept=message.auto_accept,
    )


def merged(current: AgentProfile, message: pb.Agent, paths: Sequence[str], check: Check) -> AgentProfile:
    """The current profile with the fields of the mask taken from the message."""
    given = {field.name for field, _ in message.ListFields()}
    change = profile_in(current.id, message, check)
    taken = [path for path in check.mask(paths, PROFILE_FIELDS, given) if path in PROFILE_FIELDS]
    return replace(current, **{path: getattr(change, path) for path in taken})


def why_idle(agent: Agent) -> str:
    """One sentence for the screen where the agent itself is the reason that it gets no task; else empty."""
    if agent.held:
        return ""
    if agent.draining:
        why = f" ({agent.drain_reason})" if agent.drain_reason else ""
        return NO_TASK_SENTENCES[NoTask.DRAINING].replace(".", f"{why}.")
    if not agent.ready:
        return NO_TASK_SENTENCES[NoTask.NOT_READY]
    if agent.profile.blending_group and agent.state is not AgentState.AVAILABLE:
        return NO_TASK_SENTENCES[NoTask.NOT_AVAILABLE]
    return ""
