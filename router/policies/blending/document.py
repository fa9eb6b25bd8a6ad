"""The policy document of a blending group: every constant of the law, parsed and checked.

The document is flat YAML or JSON. Durations are in seconds and end in ``_s``, shares are between 0 and 1,
agents and calls are counts. A field left out has the default given here; defaults are those with which the
law was measured. What is wrong is reported for all fields at once, each with its name and a fix.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from typing import Any, NamedTuple

from router.policies.blending.service_level import ServiceLevelFormula

LAW_NAMES = ("service_level_to_go", "static_reserve", "greedy", "no_blending")

_HOW_TO_WRITE = "write fields such as 'target_s: 20', one a line"

Scalar = str | int | float | bool | None


class AgentChoice(StrEnum):
    """Which of several agents able to do a task gets it."""

    LONGEST_IDLE = "longest_idle"
    LEAST_OCCUPIED = "least_occupied"
    BEST_FIT = "best_fit"


class FieldProblem(NamedTuple):
    """One thing wrong with a document: where, what, and what to write instead."""

    field: str
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}; {self.fix}"


class PolicyError(ValueError):
    """A policy document cannot be used; ``problems`` names each field and its fix."""

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class FieldChange(NamedTuple):
    """A field that differs between two documents."""

    field: str
    before: object
    after: object


def _share(default: float, about: str) -> float:
    return _number(default, about, 0.0, 1.0)


def _number(default: float, about: str, low: float = 0.0, high: float = math.inf) -> float:
    value: float = field(default=default, metadata={"about": about, "low": low, "high": high})
    return value


def _seconds(default: float, about: str, low: float = 0.0, high: float = 86_400.0) -> float:
    return _number(default, about, low, high)


def _count(default: int, about: str, low: int = 0, high: int = 1_000_000) -> int:
    value: int = field(default=default, metadata={"about": about, "low": low, "high": high})
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDocument:
    """One version of a blending policy. Building one checks it; raises PolicyError."""

    law: str = field(default="service_level_to_go", metadata={"about": "name of the control law"})
    call_queues: tuple[str, ...] = field(
        default=(), metadata={"about": "call queues whose service level is protected"}
    )
    target_share: float = _number(0.80, "share of calls to answer in target", 0.01, 0.999)
    target_s: float = _seconds(20.0, "answer target of a call", 0.01, 3600.0)
    service_level_formula: ServiceLevelFormula = field(
        default=ServiceLevelFormula.OFFERED, metadata={"about": "what the calls in target are divided by"}
    )
    margin: float = _number(0.02, "added to the target share when computing what is left to reach", 0.0, 0.5)
    z: float = _number(1.0, "standard deviations of chance allowed for", 0.0, 5.0)
    required_min: float = _share(0.60, "lower bound of the required service level to go")
    required_max: float = _share(0.98, "upper bound of the required service level to go")
    nowcast_kappa_calls: float = _number(200.0, "calls' worth of belief in the forecast", 0.0, 1e6)
    nowcast_half_life_s: float = _seconds(1800.0, "half-life of observed and forecast arrivals", 0.1)
    update_interval_s: float = _seconds(30.0, "time between two decisions", 0.02, 600.0)
    min_idle_s: float = _seconds(5.0, "idle time before an agent is offered a task")
    reserve_min: int = _count(0, "idle agents always kept back; at least 1 while recall is armed")
    static_reserve: int = _count(5, "idle agents kept back by the law static_reserve")
    max_share_on_tasks: float = _share(1.0, "largest share of the logged-in agents on tasks at once")
    hysteresis_agents: int = _count(
        0, "agents added to the reserve for a while after a call waited or a recall"
    )
    hysteresis_hold_s: float = _seconds(60.0, "how long after a recall the larger reserve holds")
    recall_enabled: bool = field(default=True, metadata={"about": "whether agents are taken back from tasks"})
    recall_guard_s: float = _seconds(2.0, "time kept in hand when a recall is timed")
    loss_floor_s: float = _seconds(10.0, "least cost of a recall in seconds of work, whatever is measured")
    minimum_dwell_s: float = _seconds(15.0, "a task is left alone for so long after its start")
    notice_s: float = _seconds(5.0, "notice in which the desktop saves a checkpoint before force")
    interruptions_per_agent_hour: int = _count(6, "most recalls of one agent in an hour", 0, 3600)
    max_recalls_per_second: int = _count(200, "most recalls the ACD can take in a second", 1)
    staged_recalls_per_second: int = _count(2, "recalls in a second ahead of a forecast shortage; 0: none")
    shortage_lookahead_s: float = _seconds(120.0, "how far ahead a shortage is looked for")
    shortage_sigmas: float = _number(
        1.0, "standard deviations of calls in work before it is a shortage", 0.0, 5.0
    )
    stale_after_s: float = _seconds(10.0, "age of the telephony feed at which the gate closes", 0.5, 600.0)
    recall_on_stale: bool = field(
        default=False, metadata={"about": "whether running tasks are recalled when the feed is stale"}
    )
    recall_reaction_initial_s: float = _seconds(
        10.0, "recall reaction believed before it is measured", 0.0, 3600.0
    )
    work_lost_initial_s: float = _seconds(30.0, "work lost by a recall believed before it is measured")
    prior_aht_s: float = _seconds(240.0, "handling time of a call believed before it is measured", 0.01)
    prior_task_s: float = _seconds(300.0, "time of a task believed before it is measured", 0.01)
    prior_weight: float = _number(30.0, "observations that such a belief is worth", 0.0, 1e6)
    measure_half_life: float = _number(
        200.0, "observations after which a measured value counts half", 1.0, 1e6
    )
    acd_control: bool = field(
        default=False,
        metadata={"about": "take an agent out of the call distribution before an offer is shown"},
    )
    agent_choice: AgentChoice = field(
        default=AgentChoice.LONGEST_IDLE, metadata={"about": "which of several able agents gets a task"}
    )

    def __post_init__(self) -> None:
        problems = [p for f in fields(self) if (p := _field_problem(f, getattr(self, f.name))) is not None]
        if problems := problems or _relation_problems(self):
            raise PolicyError(tuple(problems))

    @classmethod
    def parse(cls, text: str) -> PolicyDocument:
        """Read a document from YAML or JSON text; raises PolicyError."""
        return cls.from_mapping(_load(text))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> PolicyDocument:
        """Build a document from plain values; raises PolicyError for unknown fields and wrong values."""
        known = {f.name: f for f in fields(cls)}
        problems = [_unknown(str(name), tuple(known)) for name in values if name not in known]
        taken = {name: _plain_to_typed(known[name], values[name]) for name in known if name in values}
        found = (_field_problem(known[name], value) for name, value in taken.items())
        problems += [problem for problem in found if problem is not None]
        if problems:
            raise PolicyError(tuple(problems))
        return cls(**taken)

    def to_mapping(self) -> dict[str, Scalar | list[str]]:
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
    """The fields that differ, in the order of the document."""
    pairs = ((f.name, getattr(before, f.name), getattr(after, f.name)) for f in fields(PolicyDocument))
    return tuple(FieldChange(name, old, new) for name, old, new in pairs if old != new)


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


def _unknown(name: str, known: tuple[str, ...]) -> FieldProblem:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    fix = f"did you mean '{near[0]}'?" if near else "remove it"
    return FieldProblem(name, "there is no such field", fix)


def _plain_to_typed(about: Field[Any], value: Any) -> Any:
    """Enums by their word in any case, lists as tuples, whole numbers as floats; what does not fit stays."""
    default = about.default
    if isinstance(default, StrEnum) and isinstance(value, str):
        return next((word for word in type(default) if word == value.strip().lower()), value)
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    if type(default) is float and type(value) is int and abs(value) < 2**53:
        return float(value)
    return value


def _typed_to_plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def _field_problem(about: Field[Any], value: Any) -> FieldProblem | None:
    default = about.default
    if about.name == "law":
        return None if value in LAW_NAMES else _choice_problem("law", value, LAW_NAMES)
    if isinstance(default, StrEnum):
        words = tuple(word.value for word in type(default))
        return None if isinstance(value, type(default)) else _choice_problem(about.name, value, words)
    if isinstance(default, bool):
        found = f"{value!r} is no truth value"
        return None if isinstance(value, bool) else FieldProblem(about.name, found, "write true or false")
    if isinstance(default, tuple):
        return _list_problem(about.name, value)
    return _number_problem(about, value)


def _choice_problem(name: str, value: object, words: tuple[str, ...]) -> FieldProblem:
    return FieldProblem(name, f"{value!r} is not known", f"write one of {', '.join(words)}")


def _list_problem(name: str, value: object) -> FieldProblem | None:
    fix = f"write a list such as '{name}: [billing, support]'"
    if not isinstance(value, tuple) or not all(_is_name(v) for v in value):
        return FieldProblem(name, "it must be a list of names", fix)
    return FieldProblem(name, "a name is given twice", fix) if len(set(value)) < len(value) else None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != "" and value == value.strip() and value.isprintable()


def _number_problem(about: Field[Any], value: object) -> FieldProblem | None:
    low, high = about.metadata["low"], about.metadata["high"]
    whole = type(about.default) is int
    fix = f"write a {'whole number' if whole else 'number'} from {low:g} to {high:g}"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return FieldProblem(about.name, f"{value!r} is no {'whole number' if whole else 'number'}", fix)
    if not low <= value <= high:
        return FieldProblem(about.name, f"{value!r} is out of range", fix)
    return None


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
