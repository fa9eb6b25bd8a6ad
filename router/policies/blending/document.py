"""The policy document of a blending group: every constant of the law, parsed and checked.

The document is flat YAML or JSON. Durations are in seconds and end in ``_s``, shares are between 0 and 1,
agents and calls are counts. A field left out has the default given here; defaults are those with which the
law was measured. What is wrong is reported for all fields at once, each with its name and a fix.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, NamedTuple

from router.policies.blending.fields import (
    FieldProblem,
    PolicyError,
    count,
    field_problem,
    flag,
    number,
    read_fields,
    seconds,
    share,
)
from router.policies.blending.records import FrozenMap
from router.policies.blending.registry import parameter_problems
from router.policies.blending.service_level import ServiceLevelFormula

_HOW_TO_WRITE = "write fields such as 'target_s: 20', one a line"
_DEFAULT_LAW = "lateness_price"
_HOW_TO_GIVE = "write names and values such as 'parameters: {threshold: 5}'"

Scalar = str | int | float | bool | None


class AgentChoice(StrEnum):
    """Which of several agents able to do a task gets it."""

    LONGEST_IDLE = "longest_idle"
    LEAST_OCCUPIED = "least_occupied"
    BEST_FIT = "best_fit"


class FieldChange(NamedTuple):
    """A field that differs between two documents; None where one of them does not give it."""

    field: str
    before: object
    after: object


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDocument:
    """One version of a blending policy. Building one checks it; raises PolicyError."""

    law: str = field(default=_DEFAULT_LAW, metadata={"about": "name of the control law"})
    call_queues: tuple[str, ...] = field(
        default=(), metadata={"about": "call queues whose service level is protected"}
    )
    target_share: float = number(0.80, "share of calls to answer in target", 0.01, 0.999)
    target_s: float = seconds(20.0, "answer target of a call", 0.01, 3600.0)
    service_level_formula: ServiceLevelFormula = field(
        default=ServiceLevelFormula.OFFERED, metadata={"about": "what the calls in target are divided by"}
    )
    margin: float = number(0.01, "added to the target share when computing what is left to reach", 0.0, 0.5)
    z: float = number(3.0, "standard deviations of chance allowed for", 0.0, 5.0)
    required_min: float = share(0.75, "lower bound of the required service level to go")
    required_max: float = share(0.98, "upper bound of the required service level to go")
    nowcast_kappa_calls: float = number(200.0, "calls' worth of belief in the forecast", 0.0, 1e6)
    nowcast_half_life_s: float = seconds(1800.0, "half-life of observed and forecast arrivals", 0.1)
    update_interval_s: float = seconds(60.0, "time between two decisions", 0.02, 600.0)
    min_idle_s: float = seconds(5.0, "idle time before an agent is offered a task")
    reserve_min: int = count(0, "idle agents always kept back; at least 1 while recall is armed")
    static_reserve: int = count(5, "idle agents kept back by the law static_reserve")
    max_share_on_tasks: float = share(1.0, "largest share of the logged-in agents on tasks at once")
    hysteresis_agents: int = count(
        0, "agents added to the reserve for a while after a call waited or a recall"
    )
    hysteresis_hold_s: float = seconds(60.0, "how long after a recall the larger reserve holds")
    recall_enabled: bool = flag(True, "whether agents are taken back from tasks")
    recall_guard_s: float = seconds(2.0, "time kept in hand when a recall is timed")
    longest_wait_s: float = seconds(
        60.0,
        "wait that no call is to reach while an agent could be taken back, whatever that costs",
        0.01,
        3600.0,
    )
    loss_floor_s: float = seconds(10.0, "least cost of a recall in seconds of work, whatever is measured")
    minimum_dwell_s: float = seconds(15.0, "a task is left alone for so long after its start")
    notice_s: float = seconds(5.0, "notice in which the desktop saves a checkpoint before force")
    interruptions_per_agent_hour: int = count(6, "most recalls of one agent in an hour", 0, 3600)
    max_recalls_per_second: int = count(200, "most recalls the ACD can take in a second", 1)
    staged_recalls_per_second: int = count(2, "recalls in a second ahead of a forecast shortage; 0: none")
    shortage_lookahead_s: float = seconds(120.0, "how far ahead a shortage is looked for")
    shortage_sigmas: float = number(
        1.0, "standard deviations of the calls in work granted to agents on tasks", 0.0, 5.0
    )
    stale_after_s: float = seconds(10.0, "age of the telephony feed at which the gate closes", 0.5, 600.0)
    recall_on_stale: bool = flag(False, "whether running tasks are recalled when the feed is stale")
    recall_reaction_initial_s: float = seconds(
        10.0, "recall reaction believed before it is measured", 0.0, 3600.0
    )
    work_lost_initial_s: float = seconds(30.0, "work lost by a recall believed before it is measured")
    prior_aht_s: float = seconds(240.0, "handling time of a call believed before it is measured", 0.01)
    prior_task_s: float = seconds(300.0, "time of a task believed before it is measured", 0.01)
    prior_weight: float = number(30.0, "observations that such a belief is worth", 0.0, 1e6)
    measure_half_life: float = number(
        200.0, "observations after which a measured value counts half", 1.0, 1e6
    )
    acd_control: bool = flag(False, "take an agent out of the call distribution before an offer is shown")
    agent_choice: AgentChoice = field(
        default=AgentChoice.LONGEST_IDLE, metadata={"about": "which of several able agents gets a task"}
    )
    parameters: Mapping[str, Scalar] = field(
        default=FrozenMap(), metadata={"about": "constants of the law's own, by name"}
    )

    def __post_init__(self) -> None:
        if isinstance(self.parameters, Mapping):
            object.__setattr__(self, "parameters", FrozenMap(self.parameters))
        problems = [p for f in fields(self) if (p := field_problem(f, getattr(self, f.name))) is not None]
        problems += _law_problems(self.law, self.parameters)
        if problems := problems or _relation_problems(self):
            raise PolicyError(tuple(problems))

    @classmethod
    def parse(cls, text: str) -> PolicyDocument:
        """Read a document from YAML or JSON text; raises PolicyError."""
        return cls.from_mapping(_load(text))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> PolicyDocument:
        """Build a document from plain values; raises PolicyError for unknown fields and wrong values."""
        taken, problems = read_fields(cls, values)
        law = taken.get("law", _DEFAULT_LAW)
        problems += _law_problems(law, taken.get("parameters", {}))
        if problems:
            raise PolicyError(tuple(problems))
        return cls(**taken)

    def to_mapping(self) -> dict[str, Any]:
        """Every field as a plain value, in the order of the document."""
        return {f.name: _typed_to_plain(getattr(self, f.name)) for f in fields(self)}

    def to_yaml(self) -> str:
        """The whole document; parsing it gives an equal one."""
        from router.policies.blending.yaml_text import written

        return written(self.to_mapping())

    def is_stale(self, feed_age_s: float | None) -> bool:
        """Whether a telephony feed of this age is too old to decide on; None and no number are."""
        return feed_age_s is None or not feed_age_s <= self.stale_after_s


def diff(before: PolicyDocument, after: PolicyDocument) -> tuple[FieldChange, ...]:
    """The fields that differ, in the order of the document; a parameter of the law as ``parameters.name``."""
    old, new = dict(_flat(before)), dict(_flat(after))
    names = [*old, *(name for name in new if name not in old)]
    pairs = ((name, old.get(name), new.get(name)) for name in names)
    return tuple(FieldChange(name, was, now) for name, was, now in pairs if was != now)


def _flat(document: PolicyDocument) -> Iterator[tuple[str, object]]:
    for f in fields(document):
        if f.name != "parameters":
            yield f.name, getattr(document, f.name)
    for name, value in document.parameters.items():
        yield f"parameters.{name}", value


def _load(text: str) -> Mapping[str, Any]:
    try:
        if text.lstrip().startswith("{"):
            values = json.loads(text, object_pairs_hook=_unique_pairs)
        else:
            # The library is loaded with the first document: a router whose groups have none starts without it.
            from router.policies.blending.yaml_text import read

            values = read(text, _refuse_repeated)
    except (ValueError, RecursionError) as error:
        if isinstance(error, PolicyError):
            raise
        problem = f"the text is neither YAML nor JSON ({' '.join(str(error).split())})"
        raise PolicyError((FieldProblem("(document)", problem, _HOW_TO_WRITE),)) from error
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        found = f"the document is {_kind(values)}"
        raise PolicyError((FieldProblem("(document)", found, _HOW_TO_WRITE),))
    return values


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_repeated([name for name, _ in pairs])
    return dict(pairs)


def _refuse_repeated(names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        twice = "the field is given twice"
        raise PolicyError(tuple(FieldProblem(name, twice, "keep one of them") for name in repeated))


def _typed_to_plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _law_problems(law: object, parameters: object) -> list[FieldProblem]:
    """What is wrong with the law's name and with its own constants, by the law itself."""
    if not isinstance(parameters, Mapping):
        found = f"it must be names and values, not {_kind(parameters)}"
        return [FieldProblem("parameters", found, _HOW_TO_GIVE)]
    if problems := [p for item in parameters.items() if (p := _scalar_problem(*item)) is not None]:
        return problems
    return parameter_problems(law, parameters)


def _scalar_problem(name: object, value: object) -> FieldProblem | None:
    infinite = isinstance(value, float) and not math.isfinite(value)
    if isinstance(name, str) and isinstance(value, str | int | float) and not infinite:
        return None
    fix = "write a number, a text, true or false"
    return FieldProblem(f"parameters.{name}", f"{value!r} is no plain value", fix)


def _relation_problems(document: PolicyDocument) -> list[FieldProblem]:
    problems = []
    if document.required_min > document.required_max:
        found = f"{document.required_min:g} is above required_max ({document.required_max:g})"
        problems.append(FieldProblem("required_min", found, "lower it, or raise required_max"))
    if document.recall_enabled and document.notice_s + document.recall_guard_s >= document.target_s:
        limit = max(document.target_s - document.recall_guard_s, 0.0)
        found = f"a recall with {document.notice_s:g} s of notice always comes too late for the answer target"
        problems.append(
            FieldProblem("notice_s", found, f"write less than {limit:g}, or recall_enabled: false")
        )
    return problems


def _kind(value: object) -> str:
    return {list: "a list", str: "a text", bool: "a truth value"}.get(type(value), "a number")
