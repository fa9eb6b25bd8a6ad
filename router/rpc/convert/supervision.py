"""Policies, figures, gates, queues and explanations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from router.dispatch.explain import Condition, Decision, Explanation
from router.dispatch.figures import BlendingGroupFigures, SiteFigures, WorkTypeFigures
from router.dispatch.group_view import CallQueueView
from router.dispatch.leader_figures import LeaderFigures
from router.dispatch.policy_book import PolicyRecord, PolicyVersion
from router.dispatch.policy_trials import Trials, Way
from router.dispatch.supervision import BY_HAND, Recalled
from router.domain.model import AgentState, Gate, GateMode, TaskState
from router.domain.ports import QueueFigures
from router.policies.blending import PolicyDocument
from router.rpc import names
from router.rpc.convert import agents, tasks
from router.rpc.convert.times import duration, timestamp
from router.v1 import supervision_pb2 as pb

MODES: Mapping[GateMode, pb.GateMode.ValueType] = {
    mode: pb.GateMode.Value(f"GATE_MODE_{mode.value}") for mode in GateMode
}
MODES_IN: Mapping[int, GateMode] = {number: mode for mode, number in MODES.items()}

COUNTERS: Mapping[str, tuple[str, ...]] = {
    "submitted": ("submitted",),
    "offers": ("offered",),
    "accepted": ("accepted",),
    "declined": ("declined",),
    "offers_expired": ("offer_timeout",),
    "offers_rescinded": ("rescinded",),
    "pulled": ("pulled",),
    "completed": ("completed",),
    "released": ("released",),
    "recalls": ("recalled",),
    "forced": ("forced",),
    "leases_expired": ("lease_timeout",),
    "canceled": ("canceled",),
    "expired": ("expired",),
    "dead_letters": ("dead",),
}
"""Field of Counters -> the store's totals that add up to it."""

TRIALS: Mapping[Way, pb.PolicyTrial.ValueType] = {
    way: pb.PolicyTrial.Value(f"POLICY_TRIAL_{way.value}") for way in Way
}

VERDICTS = {word.removeprefix("VERDICT_"): number for word, number in pb.Verdict.items()}
_DEFAULT_AUTHOR = "router"


# -- policies ----------------------------------------------------------------------------------------------
def policy_out(
    site: str, record: PolicyRecord, version: int, trials: Trials, whole: bool = True
) -> pb.Policy:
    """One version of a policy; version 0 is the built-in default. Raises NotFound."""
    text = record.text_of(version)
    stored = next((v for v in record.versions if v.version == version), None)
    stored = stored or PolicyVersion(version, text, _DEFAULT_AUTHOR, 0)
    activated = max((at for v, at in record.activations if v == version), default=0)
    trial = trials.of(text)
    return pb.Policy(
        name=names.name(site, names.POLICY, record.group),
        version=version,
        active_version=record.active,
        latest_version=record.latest,
        document=text if whole else "",
        metadata=metadata_out(PolicyDocument.parse(text)) if whole else None,
        comment=stored.comment,
        author=stored.author,
        create_time=timestamp(stored.at_ms),
        activate_time=timestamp(activated),
        etag=str(record.etag) if record.etag else "",
        shadow_version=record.shadow,
        try_time=timestamp(trial.at_ms) if trial else None,
        trial=TRIALS[trial.way] if trial else pb.POLICY_TRIAL_UNSPECIFIED,
    )


def activation_warnings(policy: pb.Policy) -> list[str]:
    """What to think over about a version that now decides; the built-in default needs no trial."""
    if policy.version == 0 or policy.HasField("try_time"):
        return []
    return [
        f"version {policy.version} was never simulated, replayed or shadowed; it decides all the same, RollbackPolicy"
        " takes that back"
    ]


def metadata_out(document: PolicyDocument) -> pb.PolicyMetadata:
    """The main settings of a document as they were understood."""
    settings = {name: _as_text(value) for name, value in document.to_mapping().items()}
    return pb.PolicyMetadata(
        law=document.law,
        target_share=document.target_share,
        target_time=_seconds(document.target_s),
        service_level_formula=document.service_level_formula.value,
        stale_after=_seconds(document.stale_after_s),
        recall_notice=_seconds(document.notice_s),
        acd_control=document.acd_control,
        settings=settings,
    )


def problems_out(problems: Iterable[tuple[str, str]]) -> list[pb.PolicyProblem]:
    """What is wrong with a document."""
    return [pb.PolicyProblem(path=field, message=text) for field, text in problems]


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _seconds(seconds: float | None) -> Any:
    return duration(None if seconds is None else round(seconds * 1000))


# -- gates and figures -------------------------------------------------------------------------------------
def gate_out(site: str, gate: Gate) -> pb.Gate:
    """A gate."""
    return pb.Gate(
        blending_group=names.name(site, names.GROUP, gate.group),
        mode=MODES[gate.mode],
        open=gate.open,
        allowance=gate.allowance,
        reserve=gate.reserve,
        reserve_firm=gate.reserve_firm,
        armed=gate.armed,
        reason=gate.reason,
        valid_until_time=timestamp(gate.valid_until_ms),
        mode_expire_time=timestamp(gate.manual_until_ms),
        policy_version=gate.policy_version,
    )


def figures_out(site: str, figures: SiteFigures, groups: frozenset[str]) -> pb.Figures:
    """A site's figures, of the groups named or of all."""
    return pb.Figures(
        site=f"sites/{site}",
        read_time=timestamp(figures.at_ms),
        work_types=[_work_type_out(site, item) for item in figures.work_types],
        priorities=[
            pb.PriorityFigures(priority=priority, tasks=n)
            for priority, n in sorted(figures.by_priority.items(), reverse=True)
            if n
        ],
        blending_groups=[
            group_figures_out(site, group, figures.at_ms)
            for group in figures.groups
            if not groups or group.view.figures.group in groups
        ],
        dedicated_agents=_states_out(figures.dedicated),
        counters=pb.Counters(
            **{
                field: sum(figures.totals.get(total, 0) for total in totals)
                for field, totals in COUNTERS.items()
            }
        ),
    )


def _work_type_out(site: str, figures: WorkTypeFigures) -> pb.WorkTypeFigures:
    return pb.WorkTypeFigures(
        work_type=names.name(site, names.WORK_TYPE, figures.work_type),
        states=[
            pb.TaskStateFigures(state=tasks.STATES[state], tasks=figures.by_state[state])
            for state in TaskState
            if figures.by_state.get(state)
        ],
        oldest_age=duration(figures.oldest_ms),
        paused=figures.paused,
    )


def _states_out(counts: Mapping[AgentState, int]) -> list[pb.AgentStateFigures]:
    return [
        pb.AgentStateFigures(state=agents.STATES[state], agents=counts[state])
        for state in AgentState
        if counts.get(state)
    ]


def group_figures_out(site: str, group: BlendingGroupFigures, now_ms: int) -> pb.BlendingGroupFigures:
    """One blending group."""
    view = group.view
    return pb.BlendingGroupFigures(
        name=names.name(site, names.GROUP, view.figures.group),
        gate=gate_out(site, view.gate),
        agents=_states_out(view.figures.by_state),
        agents_on_tasks=view.figures.on_tasks,
        agents_idle=view.figures.idle,
        call_queues=[
            _call_queue_out(site, queue, group.queue_levels.get(queue.report.id), now_ms)
            for queue in view.call_queues
        ],
        service_level=pb.ServiceLevel(
            target_share=group.document.target_share,
            target_time=_seconds(group.document.target_s),
            so_far=group.service_level,
            to_go=group.leader.to_go,
        ),
        recall_reaction=_reactions_out(group.leader),
        data_age=duration(view.feed_age_ms),
        stale=group.stale,
        call_rate=group.leader.calls_per_hour,
    )


def _call_queue_out(site: str, queue: CallQueueView, level: float | None, now_ms: int) -> pb.CallQueueFigures:
    report = queue.report
    ages = queue.waiting_ages_ms(now_ms)
    return pb.CallQueueFigures(
        name=names.name(site, names.CALL_QUEUE, report.id),
        calls_waiting=report.calls_waiting,
        oldest_wait=duration(max(ages, default=None)),
        offered=report.offered,
        answered=report.answered,
        answered_in_target=report.answered_in_target,
        abandoned=report.abandoned,
        short_abandoned=report.short_abandoned,
        average_handling_time=duration(report.aht_ms or None),
        service_level=level,
        data_age=duration(max(0, now_ms - queue.at_ms)),
    )


def _reactions_out(leader: LeaderFigures) -> pb.ReactionTimes:
    return pb.ReactionTimes(
        count=len(leader.reactions_s),
        p50=_seconds(leader.quantile(0.5)),
        p90=_seconds(leader.quantile(0.9)),
        p99=_seconds(leader.quantile(0.99)),
        max=_seconds(max(leader.reactions_s, default=None)),
    )


def group_out(site: str, group: BlendingGroupFigures) -> pb.BlendingGroup:
    """A blending group as a resource."""
    figures = group.view.figures
    queues = group.view.call_queues
    return pb.BlendingGroup(
        name=names.name(site, names.GROUP, figures.group),
        agents=sum(figures.by_state.values()),
        call_queues=sorted(names.name(site, names.CALL_QUEUE, queue.report.id) for queue in queues),
        feeds=sorted({names.name(site, names.FEED, queue.source) for queue in queues}),
        policy=names.name(site, names.POLICY, figures.group),
        policy_version=group.policy_version,
        gate=gate_out(site, group.view.gate),
    )


# -- queues and recalls ------------------------------------------------------------------------------------
def queue_out(site: str, queue: QueueFigures, now_ms: int, reasons: Mapping[str, str]) -> pb.Queue:
    """One queue. ``reasons``: why what is paused (`wt:x`, `q:x`)."""
    spec = queue.spec
    reason = reasons.get(f"q:{queue.id.rstrip('!')}") or reasons.get(f"wt:{spec.work_type}") or ""
    return pb.Queue(
        name=names.name(site, names.QUEUE, queue.id.rstrip("!")),
        work_type=names.name(site, names.WORK_TYPE, spec.work_type),
        required_skills=tasks.requirements_out(spec.requirement),
        agent=names.name(site, names.AGENT, spec.agent),
        team=spec.team,
        tasks=queue.depth,
        oldest_age=duration(max(0, now_ms - queue.head_create_ms) if queue.head_create_ms else None),
        paused=queue.paused,
        pause_reason=reason,
        front=queue.front,
        head_task=names.name(site, names.TASK, queue.head),
    )


def recalled_out(site: str, recalled: Recalled, reason: str) -> pb.RecallAgentsResponse:
    """Whom a recall by hand reached."""
    return pb.RecallAgentsResponse(
        recalled=[
            pb.RecalledAgent(
                agent=names.name(site, names.AGENT, agent),
                recall=tasks.recall_out(site, task, reason or BY_HAND),
            )
            for agent, task in recalled.tasks
        ],
        not_recalled=[
            pb.UnrecalledAgent(
                agent=names.name(site, names.AGENT, no.agent), reason=no.reason, detail=no.detail
            )
            for no in recalled.refused
        ],
    )


# -- explanations ------------------------------------------------------------------------------------------
def condition_out(condition: Condition) -> pb.Condition:
    """One condition."""
    return pb.Condition(
        name=condition.name,
        holds=condition.holds,
        detail=condition.detail,
        needed=condition.needed,
        actual=condition.actual,
    )


def explanation_out(site: str, explanation: Explanation) -> pb.Explanation:
    """Why something is as it is."""
    decision = explanation.decision
    return pb.Explanation(
        verdict=verdict_out(explanation.verdict),
        summary=explanation.summary,
        conditions=[condition_out(condition) for condition in explanation.conditions],
        nearest=condition_out(explanation.nearest) if explanation.nearest else None,
        decision=decision_out(site, decision) if decision else None,
    )


def decision_out(site: str, decision: Decision) -> pb.DecisionRecord:
    """What a hand-over was or would be based on."""
    return pb.DecisionRecord(
        policy=names.name(site, names.POLICY, decision.group),
        policy_version=decision.policy_version,
        decision_time=timestamp(decision.at_ms),
        gate=gate_out(site, decision.gate) if decision.gate else None,
        agents_idle=decision.idle,
        agents_on_tasks=decision.on_tasks,
        urgency=decision.urgency,
        tasks_ahead=decision.ahead,
        agent_choice=decision.agent_choice,
        data_age=duration(decision.data_age_ms),
    )


def verdict_out(word: str) -> pb.Verdict.ValueType:
    """The verdict's number; a word that the API does not have is UNSPECIFIED, the sentence still says it."""
    return VERDICTS.get(word, pb.VERDICT_UNSPECIFIED)


def candidates_out(site: str, explanation: Explanation, limit: int) -> list[pb.Candidate]:
    """The agents that are nearest to a task."""
    return [
        pb.Candidate(
            agent=names.name(site, names.AGENT, agent),
            verdict=verdict_out(failing.verdict if failing else "IMMINENT"),
            failing=[condition_out(failing)] if failing else [],
        )
        for agent, failing in explanation.agents[:limit]
    ]
