"""What an agent does with offers and leases, once for the unary calls and once for the messages of a session.

The fence makes each of these repeatable: with the same fence a repeat answers the same, with an old one it is refused
as SUPERSEDED. That is what `request_id` promises, so it is only checked for its form.
"""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from router.dispatch.caller import Caller
from router.dispatch.router import Router
from router.domain.model import Task
from router.rpc import names
from router.rpc.validate import DAY_MS, HOUR_MS, MAX_CHECKPOINT, MAX_OUTCOME, MAX_REASON, MAX_RESULT, Check

MAX_PARK_MS = 7 * DAY_MS
Key = tuple[str, int]
"""A task's id and the fence of the offer or lease."""


class Holding:
    """Checks the words of a request, then calls the use case; InvalidInput comes before anything is done."""

    def __init__(self, router: Router, who: Caller) -> None:
        self._router = router
        self._agents = router.agents
        self._who = who

    def _key(self, task: str, fence: int, field: str, request_id: str) -> tuple[Key, Check]:
        check = Check(self._who.site)
        check.request_id(request_id)
        return (check.name(field, task, names.TASK), check.fence("fence", fence)), check

    async def accept(self, task: str, fence: int, *, field: str = "task", request_id: str = "") -> Task:
        """An offer becomes a lease."""
        key, check = self._key(task, fence, field, request_id)
        check.done()
        return await self._agents.accept(self._who, *key)

    async def decline(
        self, task: str, fence: int, reason: str, *, field: str = "task", request_id: str = ""
    ) -> Task:
        """An offer is refused."""
        key, check = self._key(task, fence, field, request_id)
        check.text("reason", reason, MAX_REASON)
        check.done()
        return await self._agents.decline(self._who, *key, reason)

    async def checkpoint(
        self, task: str, fence: int, data: bytes, *, field: str = "task", request_id: str = ""
    ) -> Task:
        """Progress is saved."""
        key, check = self._key(task, fence, field, request_id)
        check.data("checkpoint.data", data, MAX_CHECKPOINT)
        check.done()
        return await self._agents.checkpoint(self._who, *key, data)

    async def complete(
        self, task: str, fence: int, result: bytes, outcome: str, *, field: str = "task", request_id: str = ""
    ) -> Task:
        """A task is done."""
        key, check = self._key(task, fence, field, request_id)
        check.data("result", result, MAX_RESULT)
        check.text("outcome", outcome, MAX_OUTCOME)
        check.done()
        return await self._agents.complete(self._who, *key, result, outcome)

    async def park(
        self, task: str, fence: int, until: Timestamp | None, *, field: str = "task", request_id: str = ""
    ) -> Task:
        """A task is set aside, until a time within the next seven days."""
        key, check = self._key(task, fence, field, request_id)
        until_ms = check.time("until_time", until) if until else None
        now_ms = self._router.clock.now_ms()
        if until_ms is not None and not now_ms < until_ms <= now_ms + MAX_PARK_MS:
            check.add("until_time", "must lie in the future, at most 7 days ahead")
        check.done()
        return await self._agents.park(self._who, *key, until_ms)

    async def resume(self, task: str, fence: int, *, field: str = "task", request_id: str = "") -> Task:
        """A parked task is taken up again."""
        key, check = self._key(task, fence, field, request_id)
        check.done()
        return await self._agents.resume(self._who, *key)

    async def extend(
        self, task: str, fence: int, span: Duration | None, *, field: str = "task", request_id: str = ""
    ) -> Task:
        """A lease's deadline moves."""
        key, check = self._key(task, fence, field, request_id)
        lease_ms = check.duration("duration", span, 1000, HOUR_MS) if span else 0
        check.done()
        return await self._agents.extend(self._who, *key, lease_ms)

    async def release(
        self,
        task: str,
        fence: int,
        data: bytes | None,
        reason: str,
        *,
        field: str = "task",
        request_id: str = "",
    ) -> Task:
        """A task is handed back."""
        key, check = self._key(task, fence, field, request_id)
        check.data("checkpoint.data", data or b"", MAX_CHECKPOINT)
        check.text("reason", reason, MAX_REASON)
        check.done()
        return await self._agents.release(self._who, *key, reason, data)
