"""The kinds of work of a load test, and who can do which: fixed, so that every process knows them."""

from __future__ import annotations

from collections.abc import Mapping

from clients.names import short
from router.v1 import common_pb2

KINDS = 5
MIN_LEVEL = 2
GROUP = "floor"


def kind(number: int) -> str:
    """The id of a kind of work, and of the skill that it needs."""
    return f"kind{number % KINDS}"


def skills_of(number: int) -> dict[str, int]:
    """The skills of agent ``number``: two kinds well enough, a third one a level too low."""
    return {kind(number): 3, kind(number + 1): MIN_LEVEL, kind(number + 2): MIN_LEVEL - 1}


def lacking(skills: Mapping[str, int], task: common_pb2.Task) -> str:
    """What an agent lacks for a task, in words; empty when nothing. Both the task's and its kind's needs count."""
    needs = {need.skill: need.min_level for need in task.required_skills}
    work_type = short(task.work_type)
    needs[work_type] = max(MIN_LEVEL, needs.get(work_type, 0))
    short_of = [skill for skill, level in sorted(needs.items()) if skills.get(skill, 0) < level]
    return f"{', '.join(short_of)} for {task.name}" if short_of else ""
