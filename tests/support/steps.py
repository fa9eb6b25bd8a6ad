"""How long the random tests go on (``STEPS=quick`` or ``STEPS=long``), and how much they did."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, Phase, settings

_SIZES = {"quick": (25, 40), "long": (500, 80)}
"""Name -> (examples per machine, steps per example)."""

_taken: Counter[str] = Counter()
_notes: list[str] = []


def load_profile() -> None:
    """Make the profile named by ``STEPS`` Hypothesis's own."""
    for name, (examples, length) in _SIZES.items():
        settings.register_profile(
            name,
            max_examples=examples,
            stateful_step_count=length,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            # All but `explain`, which costs minutes and names lines of the tests.
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink],
        )
    settings.load_profile(os.environ.get("STEPS", "quick"))


def count(machine: str, refused: bool = False) -> None:
    """One more random step of ``machine``."""
    _taken[machine] += 1
    if refused:
        _taken[f"{machine}: refused"] += 1


def note(line: str) -> None:
    """A line for the end of the run."""
    _notes.append(line)


def export() -> dict[str, object]:
    """What this process did, for the one that reports (runs with ``-n``)."""
    return {"taken": dict(_taken), "notes": list(_notes)}


def add(other: dict[str, Any]) -> None:
    """Count what another process did."""
    _taken.update(other["taken"])
    _notes.extend(other["notes"])


def summary() -> list[str]:
    """What was tried, for the end of a run (empty when no random test ran in this process)."""
    machines = sorted(name for name in _taken if not name.endswith(": refused"))
    lines = [
        f"random steps, {name}: {_taken[name]:,} ({_taken[f'{name}: refused']:,} of them refused or without effect)"
        for name in machines
    ]
    if machines:
        lines.append(f"random steps in all: {sum(_taken[name] for name in machines):,}")
    return lines + _notes
