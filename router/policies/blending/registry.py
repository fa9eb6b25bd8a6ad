"""The control laws by name: the built-in ones, and those that installed packages offer.

A package offers a law by an entry point of the group ``workrouter.policies``; ``docs/policies.md`` shows one. Laws
are loaded when a document first names them. A package that cannot be loaded, or that takes the name of another law,
makes that name unusable and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol, cast

from router.policies.blending.fields import FieldProblem, PolicyError, choice_problem

if TYPE_CHECKING:
    from router.policies.blending.document import PolicyDocument
    from router.policies.blending.protocol import BlendingPolicy

GROUP = "workrouter.policies"

# Named like entry points, so that both kinds are found and loaded in one way, and none before it is needed.
_HERE = "router.policies.blending.laws"
_BUILT_IN = {
    name: EntryPoint(name, f"{_HERE}.{name}:{kind}", GROUP)
    for name, kind in {
        "lateness_price": "LatenessPrice",
        "service_level_to_go": "ServiceLevelToGo",
        "adaptive_threshold": "AdaptiveThreshold",
        "forecast_schedule": "ForecastSchedule",
        "static_reserve": "StaticReserve",
        "greedy": "Greedy",
        "no_blending": "NoBlending",
    }.items()
}
BUILT_IN_LAWS = tuple(_BUILT_IN)


class LawClass(Protocol):
    """What an entry point leads to: a class, or anything that is called and asked like one."""

    def __call__(self, document: PolicyDocument) -> BlendingPolicy:
        """The law with the constants of a document."""
        ...

    def parameter_problems(self, parameters: Mapping[str, Any]) -> Sequence[FieldProblem]:
        """What is wrong with the document's ``parameters``; each field is named ``parameters.x``."""
        ...


def law_names() -> tuple[str, ...]:
    """Every law that a document may name: the built-in ones first, then those of packages by name."""
    return (*BUILT_IN_LAWS, *sorted(name for name, found in _offered().items() if len(found) == 1))


def build_policy(document: PolicyDocument) -> BlendingPolicy:
    """The law that the document names, with its constants. Raises PolicyError where its package is broken."""
    law = _law(document.law)
    try:
        return law(document)
    except Exception as error:
        raise _unusable(document.law, error) from error


def parameter_problems(law: object, parameters: Mapping[str, Any]) -> list[FieldProblem]:
    """What is wrong with the name of a law, or else with its parameters, in the law's own words."""
    if not isinstance(law, str):
        return [_unknown(law)]
    try:
        return list(_law(law).parameter_problems(parameters))
    except PolicyError as error:
        return list(error.problems)
    except Exception as error:
        return list(_unusable(law, error).problems)


def refused_packages() -> tuple[str, ...]:
    """The entry points that offer no law because their name is taken, each with the reason."""
    shadowing = [
        f"{_words(point)}: the name of a built-in law cannot be taken"
        for point in _points()
        if point.name in _BUILT_IN
    ]
    doubled = [_two_offer(found) for found in _offered().values() if len(found) > 1]
    return (*shadowing, *doubled)


def forget_packages() -> None:
    """Look for packages anew with the next question, as after an installation."""
    _points.cache_clear()
    _law.cache_clear()


@cache
def _points() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP))


def _offered() -> dict[str, list[EntryPoint]]:
    """The entry points of packages by name, without those that would shadow a built-in law."""
    offered: dict[str, list[EntryPoint]] = {}
    for point in _points():
        if point.name not in _BUILT_IN:
            offered.setdefault(point.name, []).append(point)
    return offered


@cache
def _law(name: str) -> LawClass:
    """The class of a law. Raises PolicyError."""
    point = _point(name)
    try:
        law = point.load()
    except Exception as error:
        raise _unusable(name, error) from error
    if not (callable(law) and callable(getattr(law, "parameter_problems", None))):
        raise _unusable(name, TypeError("it is no law: it lacks 'parameter_problems'"))
    return cast(LawClass, law)


def _point(name: str) -> EntryPoint:
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    found = _offered().get(name, [])
    if not found:
        raise PolicyError((_unknown(name),))
    if len(found) > 1:
        raise PolicyError((FieldProblem("law", _two_offer(found), "uninstall all but one of them"),))
    return found[0]


def _unknown(name: object) -> FieldProblem:
    return choice_problem("law", name, law_names())


def _unusable(name: str, error: Exception) -> PolicyError:
    problem = f"{_words(_point(name))} cannot be used ({type(error).__name__}: {error})"
    return PolicyError((FieldProblem("law", problem, "repair or remove that package"),))


def _two_offer(found: Sequence[EntryPoint]) -> str:
    return f"more than one package offers {found[0].name!r}: {', '.join(_words(point) for point in found)}"


def _words(point: EntryPoint) -> str:
    package = f" of {point.dist.name}" if point.dist else ""
    return f"the entry point '{point.name} = {point.value}'{package}"
