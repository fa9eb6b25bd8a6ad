"""The policies that are compared, and how those with a free constant are tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from quality.jobs import Job, Runner
from quality.measures import Summary, summary
from quality.situations import Situation
from router.policies.blending import PolicyDocument

REFERENCE_LAW = "service_level_to_go"
KEPT_ENOUGH = 0.9
"""A tuned policy keeps so many of the feasible days it is tuned on, and as much work as it can beside that."""


def document(**fields: object) -> PolicyDocument:
    """A policy for a center whose ACD takes agents on tasks out of the call distribution."""
    return PolicyDocument.from_mapping({"acd_control": True, **fields})


@dataclass(frozen=True, slots=True)
class Contender:
    """A policy to be compared. ``grid``: the documents among which tuning chooses; one document is taken as it is.

    ``back_s`` and ``lost_s``: what a recall costs, where it differs from the standard 10 s and 30 s.
    """

    id: str
    title: str
    grid: tuple[PolicyDocument | None, ...]
    back_s: float = 10.0
    lost_s: float = 30.0
    ink: str = "black"

    def job(self, situation: Situation, chosen: PolicyDocument | None) -> Job:
        """The day under this policy."""
        desktops = replace(situation.plan.desktops, back_s=self.back_s, lost_s=self.lost_s)
        plan = replace(situation.plan, desktops=desktops)
        return Job(replace(situation, plan=plan), policy="" if chosen is None else chosen.to_yaml())


DEFAULT = Contender("default", "default law, recall 10 s / 30 s", (document(),), ink="tab:red")
WITHOUT_RECALL = Contender(
    "default-no-recall", "default law without recall", (document(recall_enabled=False),), ink="tab:purple"
)
FAST_RECALL = Contender("default-fast", "default law, recall 5 s / 15 s", (document(),), 5.0, 15.0, "darkred")
STATIC_RECALL = Contender(
    "static-recall",
    "reserve 1 and recall",
    (document(law="static_reserve", static_reserve=1),),
    ink="tab:orange",
)
REFERENCE = Contender(
    "reference",
    "reference law, recall 10 s / 30 s",
    (document(law=REFERENCE_LAW, margin=0.02, z=1.0, required_min=0.6, update_interval_s=30.0),),
    ink="tab:brown",
)
"""The law that the default one set out to beat, with the constants that it was published with."""
NONE = Contender("none", "no blending", (None,), ink="tab:gray")
GREEDY = Contender("greedy", "greedy", (document(law="greedy"),), ink="black")


def contenders(agents: int) -> tuple[Contender, ...]:
    """All policies for a group of about so many agents at its peak; the grids of reserves grow with its root."""
    scale = (agents / 40) ** 0.5
    reserves = sorted({max(1, round(scale * step)) for step in (3, 4, 5, 6, 7, 8, 10, 12)})
    static = tuple(
        document(law="static_reserve", static_reserve=reserve, recall_enabled=False) for reserve in reserves
    )
    margins = tuple(
        document(law="forecast_schedule", margin=margin, recall_enabled=False)
        for margin in (0.0, 0.03, 0.06, 0.09, 0.12, 0.15)
    )
    adaptive = tuple(
        document(
            law="adaptive_threshold",
            recall_enabled=False,
            parameters={"first_threshold": max(1, round(5 * scale)), "agents_per_call": step},
        )
        for step in (0.02, 0.05, 0.1, 0.2, 0.4)
    )
    return (
        NONE,
        GREEDY,
        Contender("static", "static reserve, tuned", static, ink="tab:blue"),
        Contender("schedule", "forecast schedule, tuned", margins, ink="tab:cyan"),
        Contender("adaptive", "adaptive threshold, tuned", adaptive, ink="tab:green"),
        WITHOUT_RECALL,
        STATIC_RECALL,
        REFERENCE,
        DEFAULT,
        FAST_RECALL,
    )


Choice = Mapping[str, PolicyDocument | None]


def tune(runner: Runner, chosen_from: Sequence[Contender], days: Sequence[Situation]) -> Choice:
    """The document of each contender that does best on these days."""
    trials = _trials(chosen_from, days)
    rows = iter(runner.run([job for _, _, jobs in trials for job in jobs]))
    best: dict[str, tuple[tuple[bool, float], PolicyDocument | None]] = {
        contender.id: ((False, 0.0), contender.grid[0]) for contender in chosen_from
    }
    for contender, tried, jobs in trials:
        rank = _rank(summary([next(rows) for _ in jobs]))
        if tried is contender.grid[0] or rank > best[contender.id][0]:
            best[contender.id] = rank, tried
    return {name: found for name, (_, found) in best.items()}


def tuning_jobs(chosen_from: Sequence[Contender], days: Sequence[Situation]) -> list[Job]:
    """What has to be played to tune on these days."""
    return [job for _, _, jobs in _trials(chosen_from, days) for job in jobs]


def _trials(
    chosen_from: Sequence[Contender], days: Sequence[Situation]
) -> list[tuple[Contender, PolicyDocument | None, list[Job]]]:
    return [
        (contender, document, [contender.job(day, document) for day in days])
        for contender in chosen_from
        if len(contender.grid) > 1
        for document in contender.grid
    ]


def _rank(found: Summary) -> tuple[bool, float]:
    """Enough feasible days kept goes first; then work, or as long as too few are kept, days."""
    enough = found.days_kept >= KEPT_ENOUGH
    return enough, found.recovered if enough else found.days_kept


def told(document: PolicyDocument | None) -> str:
    """What tuning chose, in words."""
    if document is None:
        return ""
    if document.law == "static_reserve":
        return f"reserve {document.static_reserve}"
    if document.law == "forecast_schedule":
        return f"margin {document.margin:g}"
    step = document.parameters.get("agents_per_call")
    return f"{step:g} agents a call" if step is not None else ""
