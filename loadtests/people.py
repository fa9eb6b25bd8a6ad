"""The kinds of work of a load test, and who can do which: fixed, so that every process knows them."""

from __future__ import annotations

from collections.abc import Mapping

from clients.names import short
from router.v1 import common_pb2

KINDS = 5
GROUP = "floor"
_ENOUGH, _TOO_LOW = 2, 1


def kind(number: int) -> str:
    """The id of a kind of work, and of the skill that it needs."""
    return f"kind{number % KINDS}"


def needs_of(work_type: str) -> dict[str, int]:
    """The skills that a kind of work needs, with their lowest levels; every second kind needs English too."""
    number = int(work_type.removeprefix("kind"))
    return {work_type: _ENOUGH} | ({"english": _ENOUGH} if number % 2 else {})


def skills_of(number: int) -> dict[str, int]:
    """The skills of agent ``number``: two kinds well enough and a third not quite; every second speaks English."""
    kinds = {kind(number): 3, kind(number + 1): _ENOUGH, kind(number + 2): _TOO_LOW}
    return kinds | {"english": 3 if number % 2 else _TOO_LOW}


def lacking(skills: Mapping[str, int], task: common_pb2.Task) -> str:
    """What an agent lacks for a task, in words; empty when nothing. Both the task's and its kind's needs count."""
    needs = needs_of(short(task.work_type))
    for need in task.required_skills:
        needs[need.skill] = max(need.min_level, needs.get(need.skill, 0))
    short_of = [skill for skill, level in sorted(needs.items()) if skills.get(skill, 0) < level]
    return f"{', '.join(short_of)} for {task.name}" if short_of else ""
