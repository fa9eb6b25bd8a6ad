"""Many submits in one call: in their order, each with its own answer, whatever batches they are stored in."""

from __future__ import annotations

from router.domain.errors import AlreadyExists, NotFound
from router.domain.model import TaskSpec
from router.domain.ports import Submitted
from tests.dispatch.scene import SITE, opened_scene


async def test_submits_over_several_batches_are_answered_in_their_order() -> None:
    async with opened_scene() as scene:
        items = [(TaskSpec("claims", payload=b"%d" % n), f"request {n}", "") for n in range(250)]
        items[30] = (TaskSpec("no such type"), "", "")
        items[220] = items[10]
        items[230] = (TaskSpec("claims", payload=b"other"), "request 20", "")
        answers = await scene.router.tasks.submit_many(scene.crm, items)
        assert isinstance(answers[30], NotFound)
        assert isinstance(answers[230], AlreadyExists)
        first, again = answers[10], answers[220]
        assert isinstance(first, Submitted)
        assert isinstance(again, Submitted)
        assert (first.created, again.created) == (True, False)
        assert again.task.id == first.task.id
        payloads = [answer.task.spec.payload for answer in answers if isinstance(answer, Submitted)]
        assert payloads == [items[n][0].payload for n in range(250) if n not in (30, 230)]
        assert sum((await scene.store.backlog(SITE)).by_priority.values()) == 247


async def test_no_submits_are_no_answers() -> None:
    async with opened_scene() as scene:
        assert await scene.router.tasks.submit_many(scene.crm, []) == []
