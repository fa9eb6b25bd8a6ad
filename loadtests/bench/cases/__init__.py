"""What is measured: a module for each kind of question, a function for each case."""

from __future__ import annotations

from loadtests.bench.cases import capacity, control, latency, peers, processes, scale
from loadtests.bench.cases.common import Case

CASES = (
    Case("pull", latency.pull, 150, quick=True),
    Case("push", latency.push, 150, quick=True),
    Case("stream", latency.stream, 150, quick=True),
    Case("cpu", latency.cpu, 300, quick=True),
    Case("sustainable", capacity.sustainable, 300, quick=True),
    Case("batch", capacity.batch, 240, quick=True),
    Case("telephony", control.telephony, 90, quick=True),
    Case("recall", control.recall, 120, quick=True),
    Case("gate", control.gate, 120, quick=True),
    Case("start", processes.start, 90, quick=True),
    Case("sessions", processes.sessions, 120),
    Case("workers", processes.workers, 120),
    Case("telemetry", processes.telemetry, 120),
    Case("cluster", processes.spread, 150),
    Case("claim", scale.claim, 900),
    Case("peers", peers.peers, 1300),
)
"""All cases, in the order in which they run."""
