"""Live figures of a site: backlog, agents, gates, service levels, recalls; any worker can read them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from router.dispatch.group_view import GroupView, look
from router.dispatch.leader_figures import LeaderFigures, leader_figures
from router.dispatch.policy_book import PolicyBook
from router.domain.model import Agent, AgentState, TaskState
from router.domain.ports import Clock, Store
from router.policies.blending import PolicyDocument
from router.policies.blending.service_level import resolved

_PAGE = 500


@dataclass(frozen=True, slots=True)
class WorkTypeFigures:
    """Tasks of one work type. ``oldest_ms``: age of the oldest head among its queues."""

    work_type: str
    by_state: Mapping[TaskState, int]
    oldest_ms: int | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class BlendingGroupFigures:
    """One group: its view, the policy that decides and what follows from both.

    ``service_level`` is the share so far by the policy's formula.
    """

    view: GroupView
    policy_version: int
    document: PolicyDocument
    service_level: float | None = None
    queue_levels: Mapping[str, float | None] = field(default_factory=dict)
    leader: LeaderFigures = field(default_factory=LeaderFigures)

    @property
    def stale(self) -> bool:
        """Whether the telephony data are too old to act upon."""
        age = self.view.feed_age_ms
        return self.document.is_stale(None if age is None else age / 1000)


@dataclass(frozen=True, slots=True)
class SiteFigures:
    """A site at one moment."""

    at_ms: int
    work_types: tuple[WorkTypeFigures, ...]
    by_priority: Mapping[int, int]
    groups: tuple[BlendingGroupFigures, ...]
    dedicated: Mapping[AgentState, int]
    totals: Mapping[str, int]


class Figures:
    """Reads site figures."""

    def __init__(self, store: Store, clock: Clock, book: PolicyBook) -> None:
        self._store = store
        self._clock = clock
        self._book = book

    async def read(self, site: str) -> SiteFigures:
        """The site now."""
        backlog, groups, paused, dedicated = await asyncio.gather(
            self._store.backlog(site),
            self._store.groups(site),
            self._store.paused(site),
            self._dedicated(site),
        )
        named = sorted(
            {g.group for g in groups if g.group not in ("", "-")} | set(await self._book.groups(site))
        )
        return SiteFigures(
            at_ms=self._clock.now_ms(),
            work_types=await self._work_types(site, backlog.by_work_type, paused),
            by_priority=backlog.by_priority,
            groups=tuple(await asyncio.gather(*(self.group(site, name) for name in named))),
            dedicated=dedicated,
            totals=backlog.totals,
        )

    async def group(self, site: str, name: str) -> BlendingGroupFigures:
        """One group now."""
        version, document = await self._book.active(site, name)
        view = await look(self._store, site, name, document, self._clock.now_ms())
        return BlendingGroupFigures(
            view=view,
            policy_version=version,
            document=document,
            service_level=_level(document, view.total),
            queue_levels={
                q.report.id: _level(document, partial(getattr, q.report)) for q in view.call_queues
            },
            leader=await leader_figures(self._store, site, name),
        )

    async def _work_types(
        self, site: str, counts: Mapping[tuple[str, TaskState], int], paused: Mapping[str, str]
    ) -> tuple[WorkTypeFigures, ...]:
        oldest = await self._oldest(site)
        names = sorted({work_type for work_type, _ in counts})
        return tuple(
            WorkTypeFigures(
                name,
                {state: n for (work_type, state), n in counts.items() if work_type == name},
                oldest.get(name),
                f"wt:{name}" in paused,
            )
            for name in names
        )

    async def _oldest(self, site: str) -> dict[str, int]:
        now_ms = self._clock.now_ms()
        oldest: dict[str, int] = {}
        cursor = ""
        while True:
            queues, cursor = await self._store.queues(site, cursor, _PAGE)
            for queue in queues:
                age = now_ms - queue.head_create_ms
                oldest[queue.spec.work_type] = max(age, oldest.get(queue.spec.work_type, 0))
            if not cursor:
                return oldest

    async def _dedicated(self, site: str) -> dict[AgentState, int]:
        counts: dict[AgentState, int] = {}
        async for agent in every_agent(self._store, site):
            if not agent.profile.blending_group:
                state = dedicated_state(agent)
                counts[state] = counts.get(state, 0) + 1
        return counts


def dedicated_state(agent: Agent) -> AgentState:
    """The state of an agent whom no telephony reports: what the desktop says."""
    if not agent.connected:
        return AgentState.OFFLINE
    return AgentState.AVAILABLE if agent.ready else AgentState.NOT_READY


async def every_agent(store: Store, site: str) -> AsyncIterator[Agent]:
    """All agents of a site, page by page."""
    cursor = ""
    while True:
        agents, cursor = await store.agents(site, cursor, _PAGE)
        for agent in agents:
            yield agent
        if not cursor:
            return


def _level(document: PolicyDocument, total: Callable[[str], int]) -> float | None:
    counts = resolved(
        document.service_level_formula,
        total("answered"),
        total("answered_in_target"),
        total("abandoned"),
        total("short_abandoned"),
    )
    return counts.service_level
