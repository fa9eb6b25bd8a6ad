"""What back-office systems do: submit, follow, change and cancel tasks."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from router.dispatch.caller import SUBMITTER, Caller
from router.dispatch.recorder import OFF, Recorder
from router.dispatch.signals import Signals, set_within
from router.dispatch.work_types import WorkTypes
from router.domain.errors import InvalidInput, NotFound, OutOfRange, RouterError, WrongState
from router.domain.model import ENDED_STATES, Task, TaskSpec, TaskState, TaskTransition, WorkType
from router.domain.ports import Clock, Event, Ids, NewTask, Page, Store, Submitted, TaskUpdate
from router.policies.planning import compile_plan, due_of, skills_of

BATCH = 100
"""Tasks that one transition stores; longer batches are cut."""
_SCAN_PAGES = 20
_WATCH_POLL_S = 0.25

NewSubmit = tuple[TaskSpec, str, str]
"""A task to submit, its request id and its id; both may be empty."""
Coming = Callable[[str, Mapping[str, int]], AbstractContextManager[None]]
"""(site, tasks by the shelf that they will reach) -> a context that lasts until they are stored or refused."""
OLDEST = "0-0"
"""The token of a watch that begins with the oldest event kept."""


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """A filter over tasks; empty fields let everything through."""

    states: frozenset[TaskState] = frozenset()
    work_type: str = ""
    submitter: str = ""
    reference: str = ""
    customer_reference: str = ""
    agent: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def matches(self, task: Task) -> bool:
        """Whether the task passes every stated condition."""
        wanted = (
            (self.work_type, task.spec.work_type),
            (self.submitter, task.submitter),
            (self.reference, task.spec.reference),
            (self.customer_reference, task.spec.customer_reference),
            (self.agent, task.agent),
        )
        return all(not want or want == have for want, have in wanted) and all(
            task.spec.labels.get(key) == value for key, value in self.labels.items()
        )


class Tasks:
    """The use cases of submitters; supervisors may use them for every submitter's tasks."""

    def __init__(
        self,
        store: Store,
        work_types: WorkTypes,
        signals: Signals,
        clock: Clock,
        ids: Ids,
        recorder: Recorder = OFF,
        coming: Coming = lambda site, anchors: nullcontext(),
    ) -> None:
        """``coming``: told while tasks are being stored."""
        self._store = store
        self._work_types = work_types
        self._signals = signals
        self._clock = clock
        self._ids = ids
        self._recorder = recorder
        self._coming = coming

    # -- submit ----------------------------------------------------------------------------------------
    async def submit(
        self, caller: Caller, spec: TaskSpec, request_id: str = "", task_id: str = ""
    ) -> Submitted:
        """Store one task; a repeated request id or reference with the same content answers the first task."""
        new = await self._compile(caller, spec, request_id, task_id)
        (answer,) = await self._stored(caller.site, [new])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _stored(self, site: str, new: Sequence[NewTask]) -> list[Submitted | Exception]:
        anchors = Counter(task.plan.steps[0].queue.anchor for task in new if task.spec.schedule_ms is None)
        with self._coming(site, anchors):
            answers = await self._store.submit(site, new)
        for task, answer in zip(new, answers, strict=True):
            if isinstance(answer, Submitted) and answer.created:
                self._recorder.note(site, "submit", answer.task.create_ms, task)
        return answers

    async def submit_many(self, caller: Caller, items: Sequence[NewSubmit]) -> list[Submitted | RouterError]:
        """Store up to 1000 tasks, in their order; each has its own answer or error, none waits for another's.

        While the store is at one batch the next is compiled.
        """
        if len(items) <= BATCH:
            return await self._submit_batch(caller, items)
        answers: list[Submitted | RouterError] = []
        under_way: deque[asyncio.Future[list[Submitted | RouterError]]] = deque()
        try:
            for start in range(0, len(items), BATCH):
                batch = self._submit_batch(caller, items[start : start + BATCH])
                under_way.append(asyncio.ensure_future(batch))
                if len(under_way) > 1:
                    answers += await under_way.popleft()
            return answers + await under_way.popleft()
        finally:
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _submit_batch(
        self, caller: Caller, items: Sequence[NewSubmit]
    ) -> list[Submitted | RouterError]:
        compiled: list[NewTask | RouterError] = []
        for spec, request_id, task_id in items:
            try:
                compiled.append(await self._compile(caller, spec, request_id, task_id))
            except RouterError as error:
                compiled.append(error)
        stored = iter(await self._stored(caller.site, [c for c in compiled if isinstance(c, NewTask)]))
        return [_refusal(c) if isinstance(c, RouterError) else _refusal(next(stored)) for c in compiled]

    async def _compile(self, caller: Caller, spec: TaskSpec, request_id: str, task_id: str) -> NewTask:
        work_type = await self._work_types.named(caller.site, spec.work_type)
        now_ms = self._clock.now_ms()
        filled = replace(
            spec,
            due_ms=due_of(work_type, spec, max(now_ms, spec.schedule_ms or 0)),
            required_skills=dict(skills_of(work_type, spec)),
            interruptible=work_type.interruptible if spec.interruptible is None else spec.interruptible,
            expected_handling_ms=spec.expected_handling_ms or work_type.expected_handling_ms,
        )
        check_times(filled, now_ms)
        return NewTask(
            id=task_id or self._ids.task_id(),
            spec=filled,
            plan=compile_plan(work_type, filled, now_ms),
            submitter=caller.id,
            request_id=request_id,
            fingerprint=fingerprint(spec) if request_id or spec.reference else "",
            **_limits(work_type),
        )

    # -- look ------------------------------------------------------------------------------------------
    async def get(self, caller: Caller, task_id: str) -> Task:
        """One task with its checkpoint and result. A submitter sees its own tasks only."""
        return self._visible(caller, await self._store.task(caller.site, task_id))

    async def history(self, caller: Caller, task_id: str) -> list[TaskTransition]:
        """The arrows that the task took."""
        await self.get(caller, task_id)
        return await self._store.history(caller.site, task_id)

    async def list(self, caller: Caller, query: TaskQuery, cursor: str, limit: int) -> Page:
        """A page of the tasks that match; it may be short or empty and still have a cursor: the scan is bounded."""
        if caller.role == SUBMITTER:
            query = replace(query, submitter=caller.id)
        if query.reference and query.submitter:
            return await self._by_reference(caller, query)
        found: list[Task] = []
        states = query.states or frozenset(TaskState)
        for _ in range(_SCAN_PAGES):
            page = await self._store.tasks(caller.site, states, cursor, limit - len(found))
            found += [task for task in page.tasks if query.matches(task)]
            cursor = page.cursor
            if not cursor or len(found) >= limit:
                break
        return Page(found, cursor)

    async def _by_reference(self, caller: Caller, query: TaskQuery) -> Page:
        try:
            task = await self._store.task_by_reference(caller.site, query.submitter, query.reference)
        except NotFound:
            return Page([])
        fits = query.matches(task) and (not query.states or task.state in query.states)
        return Page([task] if fits else [])

    def _visible(self, caller: Caller, task: Task) -> Task:
        if caller.role == SUBMITTER and task.submitter != caller.id:
            raise NotFound(f"task {task.id!r} does not exist")
        return task

    # -- change ----------------------------------------------------------------------------------------
    async def update(
        self, caller: Caller, task_id: str, fields: Mapping[str, Any], etag: int | None, reason: str = ""
    ) -> Task:
        """Change the named fields of a task that has not ended; its place in line follows."""
        task = await self.get(caller, task_id)
        if task.state in ENDED_STATES:
            raise WrongState(f"task {task_id} has ended ({task.state}) and cannot change", state=task.state)
        change = await self.replanned(caller.site, task, replace(task.spec, **fields), etag, reason=reason)
        return (await self._store.update(caller.site, task_id, change, caller.actor)).task

    async def replanned(
        self,
        site: str,
        task: Task,
        spec: TaskSpec,
        etag: int | None,
        *,
        take_back: bool = False,
        reason: str = "",
    ) -> TaskUpdate:
        """The update that gives a task a new spec and the plan that follows from it."""
        check_times(spec, self._clock.now_ms())
        work_type = await self._work_types.named(site, spec.work_type)
        preferred = (spec.preferred_agent, spec.preferred_team)
        stated_now = take_back or preferred != (task.spec.preferred_agent, task.spec.preferred_team)
        plan = compile_plan(work_type, spec, task.create_ms, self._clock.now_ms() if stated_now else 0)
        return TaskUpdate(spec=spec, plan=plan, revision=etag, take_back=take_back, reason=reason)

    async def cancel(self, caller: Caller, task_id: str, reason: str, etag: int | None) -> Task:
        """End a task that is not wanted any more; who holds it is told at once."""
        await self.get(caller, task_id)
        try:
            return (await self._store.cancel(caller.site, task_id, reason, caller.actor, etag)).task
        except WrongState as refusal:
            raise _still(refusal, task_id, "a task that has ended cannot be canceled") from None

    async def revive(self, caller: Caller, task_id: str, reason: str = "", etag: int | None = None) -> Task:
        """Put a dead letter back into its queue."""
        try:
            return (await self._store.revive(caller.site, task_id, caller.actor, reason, etag)).task
        except WrongState as refusal:
            raise _still(refusal, task_id, "only a DEAD_LETTER can be revived") from None

    # -- watch -----------------------------------------------------------------------------------------
    async def watch(
        self, caller: Caller, task_ids: frozenset[str], resume_token: str
    ) -> AsyncIterator[Event]:
        """Transitions as they are committed, from the token on (or from now), without gaps.

        Raises OutOfRange where what came after the token is not kept any more.
        """
        await self._check_token(caller.site, resume_token)
        position = resume_token or await self._store.last_event(caller.site)
        with self._signals.watching(caller.site) as changed:
            while True:
                changed.clear()
                events = await self._store.events(caller.site, position, 500)
                for event in events:
                    position = event.id
                    if _wanted(caller, task_ids, event):
                        yield event
                if not events:
                    await set_within(changed, _WATCH_POLL_S)

    async def _check_token(self, site: str, token: str) -> None:
        if token in ("", OLDEST):
            return
        if not _POSITION.fullmatch(token):
            raise InvalidInput(
                [("resume_token", f"{token[:40]!r} was not given out by this call; begin again without it")]
            )
        oldest = await self._store.events(site, "", 1)
        if not oldest or _order(token) < _order(oldest[0].id):
            raise OutOfRange(
                "events after the resume_token are not kept any more: list the tasks, then watch anew"
            )


def _still(refusal: WrongState, task_id: str, rule: str) -> WrongState:
    state = refusal.metadata.get("state")
    return WrongState(f"task {task_id} is {state}: {rule}" if state else refusal.message, **refusal.metadata)


_POSITION = re.compile(r"\d{1,16}-\d{1,16}")


def _order(position: str) -> tuple[int, ...]:
    return tuple(int(part) for part in position.split("-"))


def _wanted(caller: Caller, task_ids: frozenset[str], event: Event) -> bool:
    mine = caller.role != SUBMITTER or event.submitter == caller.id
    return mine and (not task_ids or event.task in task_ids)


def _refusal(answer: Any) -> Submitted | RouterError:
    if isinstance(answer, Submitted | RouterError):
        return answer
    raise answer


def _limits(work_type: WorkType) -> dict[str, int]:
    return {
        "offer_timeout_ms": work_type.offer_timeout_ms,
        "lease_ms": work_type.lease_ms,
        "max_attempts": work_type.max_attempts,
        "decline_exclusion_ms": work_type.decline_exclusion_ms,
        "resume_window_ms": work_type.resume_window_ms,
    }


def check_times(spec: TaskSpec, now_ms: int) -> None:
    """InvalidInput where the times of a task contradict each other."""
    if spec.expire_ms is not None and spec.expire_ms <= max(now_ms, spec.schedule_ms or 0):
        raise InvalidInput([("task.expire_time", "must lie after now and after schedule_time")])


def fingerprint(spec: TaskSpec) -> str:
    """What tells a repeated submit from a reused id: a digest of everything the submitter said."""
    return hashlib.blake2b(repr(spec).encode(), digest_size=12).hexdigest()
