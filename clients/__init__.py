"""Asyncio clients of the work router, one for each role.

    Submitter            back-office systems: submit tasks, follow them, keep the work types
    AgentSession         agent desktops that are offered tasks over a stream
    PullingAgent         agent desktops that ask for the next task
    TelephonyReporter    ACDs and their adapters
    Supervisor           policies, gates, figures, agents, explanations

Each takes a `Connection`. Of the router's own code only `router.v1`, the generated messages, is used.
"""

from __future__ import annotations

from clients.agent import AgentHandlers, AgentSession, NoTask, PullingAgent
from clients.backoff import Backoff
from clients.channel import Connection, Tls
from clients.errors import ApiError, Outcome, Violation
from clients.names import Names, short
from clients.reporter import CommandRefusedError, TelephonyReporter
from clients.submissions import Submission, Submitted
from clients.submitter import Submitter
from clients.supervisor import Supervisor

__all__ = [
    "AgentHandlers",
    "AgentSession",
    "ApiError",
    "Backoff",
    "CommandRefusedError",
    "Connection",
    "Names",
    "NoTask",
    "Outcome",
    "PullingAgent",
    "Submission",
    "Submitted",
    "Submitter",
    "Supervisor",
    "TelephonyReporter",
    "Tls",
    "Violation",
    "short",
]
