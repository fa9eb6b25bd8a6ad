"""The process of one replay or simulation: reads a job as JSON from its input, answers JSON lines.

``{"share", "stage"}`` tells how far it is, ``{"result"}`` or ``{"error", "reason"}`` ends it.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from router.dispatch.recording import Recorded, unpack
from router.policies.blending import PolicyDocument
from router.simulation.counterfactual import compare
from router.simulation.recorded_day import TooLittleRecorded, recorded_day
from router.simulation.replay import ReplayResult, replay
from router.simulation.timeline import run_now

NOTHING_RECORDED = "NOTHING_RECORDED"
_TELL_EACH = 100


def main() -> None:
    """Do the job on the standard input."""
    with suppress(OSError):
        os.nice(10)
    job = json.load(sys.stdin)
    entries = [entry for chunk in job["chunks"] for entry in unpack(base64.b64decode(chunk))]
    try:
        result = _JOBS[job["run"]](job, entries)
    except ValueError as error:
        reason = NOTHING_RECORDED if isinstance(error, TooLittleRecorded) else "RECORDING_UNREADABLE"
        _say(error=str(error), reason=reason)
        return
    _say(result=asdict(result))


def _replayed(job: Mapping[str, Any], entries: Sequence[Recorded]) -> Any:
    _expect_decisions(job["group"], entries)
    total = sum(1 for entry in entries if entry.kind in ("decision", "recalls"))
    done = 0

    def told(result: ReplayResult) -> None:
        nonlocal done
        done += 1
        if done % _TELL_EACH == 0:
            _say(share=min(1.0, done / total), stage="deciding again")

    async def each() -> AsyncIterator[Recorded]:
        for entry in entries:
            yield entry

    return run_now(replay(each(), job["group"], told))


def _expect_decisions(group: str, entries: Sequence[Recorded]) -> None:
    if not any(entry.kind == "decision" and entry.fields[0] == group for entry in entries):
        raise TooLittleRecorded(
            f"no decision of group {group!r} is recorded in this time: let the router run with --recording-hours"
            " above 0"
        )


def _simulated(job: Mapping[str, Any], entries: Sequence[Recorded]) -> Any:
    day = recorded_day(entries, job["group"], job["agents"], job["backlog"], job["requirements"])
    return compare(
        day, PolicyDocument.parse(job["candidate"]), lambda share, stage: _say(share=share, stage=stage)
    )


_JOBS = {"replay": _replayed, "simulate": _simulated}


def _say(**answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
