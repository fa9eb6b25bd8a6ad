"""Decides a recorded day again: every decision and recall plan, from what it was made of, under the recorded policy.

The law is pure, so the answers must be those of the recording, bit by bit; the first one that is not is told with its
figures. A difference means that the law's code has changed since, or that something in it is not pure.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from router.dispatch.recording import Context, Recorded
from router.policies.blending import (
    BlendingPolicy,
    Candidate,
    GateDecision,
    Memory,
    PolicyDocument,
    build_policy,
)

MOST_FIELDS = 8
"""Figures told of a difference."""


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One figure that differs: as recorded and as decided again, both as JSON."""

    field: str
    recorded: str
    replayed: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Something recorded that did not come out again. ``what``: ``decision``, ``memory`` or ``recalls``."""

    what: str
    at_ms: int
    policy_version: int
    fields: tuple[FieldDifference, ...]


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """How far a recording was decided again.

    ``skipped``: entries whose policy or forecast is kept no more. ``versions``: those whose decisions were made again.
    ``first``: the first difference, if there is one.
    """

    group: str
    decisions: int = 0
    decisions_identical: int = 0
    plans: int = 0
    plans_identical: int = 0
    skipped: int = 0
    begin_ms: int = 0
    end_ms: int = 0
    versions: tuple[int, ...] = ()
    first: Difference | None = None

    @property
    def identical(self) -> bool:
        """Whether something was decided again, and all of it as recorded."""
        return self.decisions > 0 and self.first is None


async def replay(
    entries: AsyncIterable[Recorded], group: str, told: Callable[[ReplayResult], None] | None = None
) -> ReplayResult:
    """Decide a group's recording again. ``told`` is called after each entry that was."""
    replayer = Replayer(group)
    async for entry in entries:
        if replayer.read(entry) and told:
            told(replayer.result)
    return replayer.result


class Replayer:
    """Decides again entry by entry."""

    def __init__(self, group: str) -> None:
        self.result = ReplayResult(group)
        self._group = group
        self._context = Context()
        self._policies: dict[PolicyDocument, BlendingPolicy] = {}
        self._decisions: dict[tuple[Any, ...], GateDecision] = {}
        self._expected: tuple[tuple[Any, ...], str] | None = None
        """The decision that comes next in this term, and the memory with which it must begin."""

    def read(self, entry: Recorded) -> bool:
        """Whether the entry was one to decide again."""
        self._context.read(entry)
        if entry.kind not in ("decision", "recalls") or entry.fields[0] != self._group:
            return False
        self.result = replace(self.result, begin_ms=self.result.begin_ms or entry.at_ms, end_ms=entry.at_ms)
        again = self._decision if entry.kind == "decision" else self._recalls
        if not again(entry):
            self.result = replace(self.result, skipped=self.result.skipped + 1)
        return True

    def _decision(self, entry: Recorded) -> bool:
        group, version, term, number, seen, remembered, recorded = entry.fields
        self._note_decision((term, number), recorded)
        policy, snapshot = self._policy(group, version), self._context.snapshot(seen)
        if policy is None or snapshot is None:
            self._expected = None
            return False
        self._check_memory(entry, (term, number), remembered)
        decision, after = policy.decide(snapshot, Memory.from_mapping(remembered))
        self._expected = ((term, number + 1), _exact(after.to_mapping()))
        same = self._compare("decision", entry, recorded, decision.to_mapping())
        result = self.result
        self.result = replace(
            result,
            decisions=result.decisions + 1,
            decisions_identical=result.decisions_identical + same,
            versions=tuple(sorted({*result.versions, version})),
        )
        return True

    def _note_decision(self, place: tuple[int, int], recorded: Mapping[str, Any]) -> None:
        """Recall plans refer to the decision in force: the last one of their term."""
        self._decisions = {place: GateDecision.from_mapping(recorded)}

    def _check_memory(self, entry: Recorded, place: tuple[int, int], remembered: Mapping[str, Any]) -> None:
        """What the last decision of the term remembered is what this one began with."""
        if self._expected and self._expected[0] == place:
            self._compare("memory", entry, remembered, json.loads(self._expected[1]))

    def _recalls(self, entry: Recorded) -> bool:
        group, version, term, number, seen, rows, sent, recorded = entry.fields
        policy, snapshot = self._policy(group, version), self._context.snapshot(seen)
        decision = self._decisions.get((term, number))
        if policy is None or snapshot is None or decision is None:
            return False
        plan = policy.recalls(snapshot, decision, [Candidate.from_mapping(row) for row in rows], sent)
        same = self._compare("recalls", entry, recorded, plan.to_mapping())
        result = self.result
        self.result = replace(result, plans=result.plans + 1, plans_identical=result.plans_identical + same)
        return True

    def _policy(self, group: str, version: int) -> BlendingPolicy | None:
        document = self._context.document(group, version)
        if document is None:
            return None
        if document not in self._policies:
            self._policies[document] = build_policy(document)
        return self._policies[document]

    def _compare(self, what: str, entry: Recorded, recorded: Any, replayed: Any) -> bool:
        if _exact(recorded) == _exact(replayed):
            return True
        if self.result.first is None:
            found = tuple(_differences("", recorded, json.loads(_exact(replayed))))[:MOST_FIELDS]
            first = Difference(what, entry.at_ms, int(entry.fields[1]), found)
            self.result = replace(self.result, first=first)
        return False


def _exact(value: Any) -> str:
    """A value with all its digits."""
    return json.dumps(value, sort_keys=True)


def _differences(path: str, recorded: Any, replayed: Any) -> list[FieldDifference]:
    if isinstance(recorded, dict) and isinstance(replayed, dict):
        names = [*recorded, *(name for name in replayed if name not in recorded)]
        pairs = ((f"{path}.{name}".strip("."), recorded.get(name), replayed.get(name)) for name in names)
        return [found for name, old, new in pairs for found in _differences(name, old, new)]
    if _exact(recorded) == _exact(replayed):
        return []
    return [FieldDifference(path or "(all)", _exact(recorded), _exact(replayed))]


def in_words(result: ReplayResult) -> list[str]:
    """A result for people."""
    if not result.decisions:
        return [
            f"nothing of group {result.group} could be decided again: {result.skipped} entries lack their policy"
        ]
    lines = [
        f"{_when(result.begin_ms)} to {_when(result.end_ms)}: {result.decisions_identical} of {result.decisions}"
        f" decisions and {result.plans_identical} of {result.plans} recall plans came out again bit by bit"
    ]
    if result.skipped:
        lines.append(f"{result.skipped} at the beginning were left out: what they refer to is kept no more")
    if first := result.first:
        lines.append(
            f"first difference: {first.what} at {_when(first.at_ms)}, policy version {first.policy_version}"
        )
        lines += [f"  {f.field}: recorded {f.recorded}, replayed {f.replayed}" for f in first.fields]
    return lines


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def result_from(values: Mapping[str, Any]) -> ReplayResult:
    """The inverse of ``dataclasses.asdict``."""
    first = values["first"]
    if first:
        fields = tuple(FieldDifference(**field) for field in first["fields"])
        first = Difference(**{**first, "fields": fields})
    return ReplayResult(**{**values, "versions": tuple(values["versions"]), "first": first})
