"""The blending control law: when back-office tasks may be pushed to call agents, and whom to take back.

Pure code: a snapshot and a memory in, decisions out. No I/O, no clock, no randomness.
"""

from router.policies.blending.document import AgentChoice, FieldChange, PolicyDocument, diff
from router.policies.blending.fields import FieldProblem, PolicyError
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
from router.policies.blending.protocol import BlendingPolicy, Memory
from router.policies.blending.registry import build_policy, law_names
from router.policies.blending.service_level import ServiceLevelFormula

__all__ = [
    "AgentChoice",
    "BlendingPolicy",
    "Candidate",
    "Estimate",
    "FieldChange",
    "FieldProblem",
    "ForecastInterval",
    "GateDecision",
    "Measures",
    "Memory",
    "Nowcast",
    "PolicyDocument",
    "PolicyError",
    "Recall",
    "RecallAction",
    "RecallPlan",
    "RecallReason",
    "ServiceLevelFormula",
    "Snapshot",
    "build_policy",
    "diff",
    "law_names",
]
