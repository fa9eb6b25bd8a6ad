"""What a candidate policy would have made of a recorded day, beside the policy that was in force on it.

Both are played on the same simulated day with the same random numbers. How well the simulated active policy meets
what really happened says how far the simulation is to be trusted.
"""

from __future__ import annotations

from collections.abc import Callable

from router.policies.blending import PolicyDocument
from router.simulation.day import simulate, without_blending
from router.simulation.played import Column, Counterfactual
from router.simulation.recorded_day import RecordedDay
from router.simulation.result import Figures

Told = Callable[[float, str], None]
"""How far it is (share), and what comes next."""


def compare(
    recorded: RecordedDay, candidate: PolicyDocument, told: Told = lambda share, next: None
) -> Counterfactual:
    """Play the day under both policies; takes seconds to minutes."""
    day, group = recorded.day, recorded.day.groups[0].id
    told(0.05, "the day without blending")
    baseline = without_blending(day)
    told(0.1, "the policy in force")
    active = simulate(day, {group: recorded.document}, baseline=baseline).groups[group]
    told(0.55, "the candidate")
    other = simulate(day, {group: candidate}, baseline=baseline).groups[group]
    told(1.0, "done")
    actual = recorded.actual
    return Counterfactual(
        group=group,
        begin_ms=recorded.begin_ms,
        end_ms=recorded.end_ms,
        calls=actual.offered,
        agents=len(day.groups[0].agents),
        active_version=recorded.version,
        recorded=Column(
            actual.service_level,
            actual.done,
            actual.late,
            actual.recalls,
            actual.work_s / 3600,
            None,
            actual.abandoned,
        ),
        active=_column(active),
        candidate=_column(other),
        without_blending=baseline[group].service_level,
        target=recorded.document.target_share,
    )


def _column(figures: Figures) -> Column:
    work = figures.work
    return Column(
        figures.service_level,
        work.done,
        work.late,
        work.recalls,
        figures.recovered_hours,
        figures.recovered_share,
        figures.calls.abandoned,
    )
