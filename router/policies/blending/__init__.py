"""The blending control law: when back-office tasks may be pushed to call agents, and whom to take back.

Pure code: a snapshot and a memory in, decisions out. No I/O, no clock, no randomness.
"""

from router.policies.blending.document import (
    AgentChoice,
    FieldChange,
    FieldProblem,
    PolicyDocument,
    PolicyError,
    diff,
)
from router.policies.blending.measures import Estimate, Measures
from router.policies.blending.model import (
    Candidate,
    ForecastInterval,
    GateDecision,
    Recall,
    RecallAction,
    RecallPlan,
    RecallReason,
    Snapshot,
)
from router.policies.blending.nowcast import Nowcast
from router.policies.blending.policy import (
    LAWS,
    BlendingPolicy,
    Greedy,
    Memory,
    NoBlending,
    PushSituation,
    ServiceLevelToGo,
    StaticReserve,
    build_policy,
    push_obstacle,
)
from router.policies.blending.service_level import ServiceLevelFormula

__all__ = [
    "LAWS",
    "AgentChoice",
    "BlendingPolicy",
    "Candidate",
    "Estimate",
    "FieldChange",
    "FieldProblem",
    "ForecastInterval",
    "GateDecision",
    "Greedy",
    "Measures",
    "Memory",
    "NoBlending",
    "Nowcast",
    "PolicyDocument",
    "PolicyError",
    "PushSituation",
    "Recall",
    "RecallAction",
    "RecallPlan",
    "RecallReason",
    "ServiceLevelFormula",
    "ServiceLevelToGo",
    "Snapshot",
    "StaticReserve",
    "build_policy",
    "diff",
    "push_obstacle",
]
