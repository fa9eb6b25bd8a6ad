"""Comparisons, replays and simulations of policies."""

from __future__ import annotations

from router.dispatch.comparison import Brief, Comparison, Pair, Side
from router.rpc import names
from router.rpc.convert.times import duration, timestamp
from router.simulation.played import Column, Counterfactual
from router.simulation.replay import Difference, ReplayResult
from router.simulation.runs import Progress
from router.v1 import supervision_pb2 as pb


def comparison_out(site: str, group: str, comparison: Comparison) -> pb.PolicyComparison:
    """A shadow beside the active version."""
    compared = comparison.compared
    return pb.PolicyComparison(
        name=names.name(site, names.POLICY, group),
        active_version=comparison.active_version,
        shadow_version=comparison.shadow_version,
        begin_time=timestamp(comparison.since_ms),
        decisions=compared,
        equal_share=comparison.equal / compared if compared else None,
        active=_side_out(comparison.active, compared),
        shadow=_side_out(comparison.shadow, compared),
        errors=comparison.errors,
        last_error=comparison.last_error,
        skipped=comparison.skipped,
        latest=[_pair_out(pair) for pair in reversed(comparison.last)],
    )


def _side_out(side: Side, compared: int) -> pb.DecisionFigures:
    number = max(1, compared)
    return pb.DecisionFigures(
        open_share=side.open / number,
        mean_allowance=side.allowance / number,
        mean_reserve=side.reserve / number,
        mean_reserve_firm=side.reserve_firm / number,
        armed_share=side.armed / number,
        recalls=side.recalls,
    )


def _pair_out(pair: Pair) -> pb.DecisionPair:
    return pb.DecisionPair(
        decision_time=timestamp(pair.at_ms), active=_brief_out(pair.active), shadow=_brief_out(pair.shadow)
    )


def _brief_out(brief: Brief) -> pb.DecisionSummary:
    return pb.DecisionSummary(
        open=brief.open,
        allowance=brief.allowance,
        reserve=brief.reserve,
        reserve_firm=brief.reserve_firm,
        armed=brief.armed,
        reason=brief.reason,
    )


def _progress_out(progress: Progress) -> pb.RunProgress:
    return pb.RunProgress(share=progress.share, stage=progress.stage)


def replay_out(answer: Progress | ReplayResult) -> pb.ReplayPolicyResponse:
    """How far a replay is, or its result."""
    if isinstance(answer, Progress):
        return pb.ReplayPolicyResponse(progress=_progress_out(answer))
    return pb.ReplayPolicyResponse(
        result=pb.ReplayResult(
            begin_time=timestamp(answer.begin_ms),
            end_time=timestamp(answer.end_ms),
            decisions=answer.decisions,
            decisions_identical=answer.decisions_identical,
            plans=answer.plans,
            plans_identical=answer.plans_identical,
            skipped=answer.skipped,
            first_difference=_difference_out(answer.first) if answer.first else None,
        )
    )


def _difference_out(difference: Difference) -> pb.ReplayDifference:
    return pb.ReplayDifference(
        what=difference.what,
        decision_time=timestamp(difference.at_ms),
        policy_version=difference.policy_version,
        fields=[
            pb.FieldDifference(field=item.field, recorded=item.recorded, replayed=item.replayed)
            for item in difference.fields
        ],
    )


def simulation_out(answer: Progress | Counterfactual) -> pb.SimulatePolicyResponse:
    """How far a simulation is, or its result."""
    if isinstance(answer, Progress):
        return pb.SimulatePolicyResponse(progress=_progress_out(answer))
    return pb.SimulatePolicyResponse(
        result=pb.SimulationResult(
            begin_time=timestamp(answer.begin_ms),
            end_time=timestamp(answer.end_ms),
            calls=answer.calls,
            agents=answer.agents,
            active_version=answer.active_version,
            recorded=_column_out(answer.recorded),
            active=_column_out(answer.active),
            candidate=_column_out(answer.candidate),
            service_level_without=answer.without_blending,
            target_share=answer.target,
            trustworthy=answer.trustworthy,
        )
    )


def _column_out(column: Column) -> pb.DayFigures:
    return pb.DayFigures(
        service_level=column.service_level,
        tasks_done=column.done,
        tasks_late=column.late,
        recalls=column.recalls,
        recovered_time=duration(round(column.recovered_hours * 3_600_000)),
        recovered_share=column.recovered_share,
        abandoned=column.abandoned,
    )
