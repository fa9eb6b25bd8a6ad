"""The recalls behind an agent's list of what it holds, read together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from router.domain.model import Task, TaskState, TaskTransition
from router.domain.ports import Store


async def recalls_of(store: Store, site: str, tasks: Iterable[Task]) -> dict[str, TaskTransition]:
    """The recall of each task that is to be handed back, by task: who asked for it, why and when."""
    ids = [task.id for task in tasks if task.state is TaskState.RECALLING]
    histories = await asyncio.gather(*(store.history(site, id) for id in ids), return_exceptions=True)
    recalls = {}
    for id, history in zip(ids, histories, strict=True):
        steps = [] if isinstance(history, BaseException) else history
        for step in steps:
            if step.name == "recall":
                recalls[id] = step
    return recalls
