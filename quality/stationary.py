"""The exact cases beside what the router's own law makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from quality.contenders import document
from quality.exact import (
    CASES,
    Case,
    Outcome,
    Threshold,
    best_policy,
    best_randomised,
    best_threshold,
    threshold,
)
from quality.jobs import Job, Row, Runner, Wanted, named
from quality.measures import Summary, summary
from quality.situations import Steady
from router.policies.blending import PolicyDocument
from router.policies.blending.chain import Chain
from router.policies.blending.reserve import ReserveQuestion, reserves

STATED = {
    # CONTROL's figures for these cases: Erlang C, best threshold, best policy, with recall.
    CASES[0]: (0.908, 0.495, 0.522, 0.794),
    CASES[1]: (0.971, 0.778, 0.825, 0.882),
    CASES[2]: (0.828, 0.203, 0.224, 0.757),
    CASES[3]: (0.982, 0.824, 0.859, 0.912),
}

_LAWS = (document(recall_enabled=False), document())
_MOST_DRAWS = 6
_AGENT_DAYS = 200


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A stationary case: exact figures, the reserve by the router's chain, and the router's law played on it."""

    case: Case
    sure: Threshold
    randomised: Threshold
    best: Outcome
    by_chain: Threshold
    without_recall: Summary
    with_recall: Summary


def case_jobs() -> list[Wanted]:
    """What has to be computed for all cases."""
    solved: list[Wanted] = [Exact(case) for case in CASES]
    return [*solved, *(job for case in CASES for law in _LAWS for job in _days(case, law))]


def solve_cases(runner: Runner) -> list[CaseResult]:
    """Solve every case and play the default law on it."""
    runner.run(case_jobs())
    return [_solved(case, runner) for case in CASES]


def _solved(case: Case, runner: Runner) -> CaseResult:
    without, recalled = (summary(runner.run(_days(case, law))) for law in _LAWS)
    reserve = chain_reserve(case)
    (exact,) = runner.run([Exact(case)])
    return CaseResult(
        case=case,
        sure=_threshold(exact["sure"]),
        randomised=_threshold(exact["randomised"]),
        best=Outcome(**exact["best"]),
        by_chain=Threshold(reserve, 0.0, threshold(case, reserve)),
        without_recall=without,
        with_recall=recalled,
    )


@dataclass(frozen=True, slots=True)
class Exact:
    """The exact figures of a case, to be computed once."""

    case: Case

    def key(self) -> str:
        """A name for the result."""
        return named("exact", repr(self.case))

    def compute(self) -> Row:
        """The best threshold, randomised and not, and the best policy; seconds, or minutes for 200 agents."""
        case = self.case
        return {
            "sure": asdict(best_threshold(case)),
            "randomised": asdict(best_randomised(case)),
            "best": asdict(best_policy(case)),
        }


def _threshold(row: Mapping[str, Any]) -> Threshold:
    return Threshold(row["reserve"], row["generosity"], Outcome(**row["outcome"]))


def _days(case: Case, law: PolicyDocument) -> list[Job]:
    """Some days of eight hours under a law: more of them where a day has fewer calls, for the same precision."""
    draws = range(1, 1 + min(_MOST_DRAWS, _AGENT_DAYS // case.agents))
    days = (
        Steady(
            agents=case.agents, rate_per_s=case.rate_per_s, aht_s=case.aht_s, task_s=case.task_s, seed=draw
        )
        for draw in draws
    )
    return [Job(day, policy=law.to_yaml()) for day in days]


def chain_reserve(case: Case) -> int:
    """The reserve without recall that the router's approximation finds for the target."""
    chain = Chain(case.rate_per_s, case.aht_s, case.task_s, case.agents)
    question = ReserveQuestion(chain, case.target, case.within_s, 10.0, 30.0, recall_allowed=False)
    return reserves(question).without_recall
