"""Explain: why this agent got this task, and why this task has not been routed.

The conditions are asked in the order in which a claim asks them, for every agent that could be meant; the answer
names the agent that came furthest and the condition that stopped it: the nearest one that fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from router.dispatch.figures import dedicated_state, every_agent
from router.dispatch.group_view import GroupView, look
from router.dispatch.policy_book import PolicyBook
from router.domain.model import ENDED_STATES, Agent, AgentState, NoTask, Task, TaskState
from router.domain.ports import Clock, QueueFigures, Store
from router.domain.routing import QueueSpec

_LISTED = 10


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a hand-over, and whether it holds. ``verdict``: the word for its failing."""

    name: str
    holds: bool
    detail: str
    needed: str = ""
    actual: str = ""
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why something is as it is. ``nearest``: the failing condition that is nearest to being met.

    ``agents``: (agent, its first failing condition), nearest first, at most ten.
    """

    subject: str
    verdict: str
    summary: str
    conditions: tuple[Condition, ...] = ()
    nearest: Condition | None = None
    decision: Mapping[str, str] = field(default_factory=dict)
    agents: tuple[tuple[str, Condition | None], ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a queued task waits."""

    queue: QueueSpec
    ahead: int
    paused: str


class Explain:
    """Answers from the store's state, looked at now."""

    def __init__(self, store: Store, clock: Clock, book: PolicyBook) -> None:
        self._store = store
        self._clock = clock
        self._book = book

    async def task(self, site: str, task_id: str) -> Explanation:
        """Why the task is with its agent, or why it is with nobody."""
        task = await self._store.task(site, task_id)
        if task.state in ENDED_STATES:
            words = f"Task {task.id} has ended: {task.state.value.lower()}"
            return Explanation(task.id, "ENDED", f"{words} ({task.end_reason or 'no reason given'}).")
        if task.state is TaskState.SCHEDULED:
            due = Condition("scheduled", False, "The task is not due yet.", _when(task.deadline_ms), "now")
            return Explanation(
                task.id, "SCHEDULED", f"Task {task.id} is scheduled for {due.needed}.", (due,), due
            )
        if task.state is not TaskState.QUEUED:
            return await self._held(site, task)
        return await self._waiting(site, task)

    async def agent(self, site: str, agent_id: str) -> Explanation:
        """What the agent does, or why it has no task."""
        agent = await self._store.agent(site, agent_id)
        if agent.held:
            held = await self._held(site, await self._store.task(site, agent.held[0]))
            return Explanation(agent_id, held.verdict, held.summary, held.conditions, None, held.decision)
        views = await self._views(site, [agent])
        conditions = self._conditions_of_agent(agent, views.get(agent.profile.blending_group))
        failing = _first_failing(conditions)
        if failing:
            summary = f"Agent {agent_id} gets no task: {failing.detail}"
            return Explanation(agent_id, failing.verdict, summary, conditions, failing)
        waiting = [
            queue for queue in await self._queues(site) if _serves(agent, queue.spec) and not queue.paused
        ]
        found = sum(queue.depth for queue in waiting)
        if not found:
            none = Condition("work", False, "Nothing is queued that this agent may do.", verdict="NO_TASK")
            return Explanation(
                agent_id,
                "NO_TASK",
                f"Agent {agent_id} gets no task: {none.detail}",
                (*conditions, none),
                none,
            )
        words = f"Agent {agent_id} can be given one of {found} queued tasks at any moment."
        return Explanation(agent_id, "IMMINENT", words, conditions)

    # -- a task with somebody --------------------------------------------------------------------------
    async def _held(self, site: str, task: Task) -> Explanation:
        history = await self._store.history(site, task.id)
        handed = next((t for t in reversed(history) if t.name in ("offer", "pull", "resume")), None)
        conditions = [
            Condition("agent", True, f"The task is {task.state.value.lower()} with agent {task.agent}."),
        ]
        if handed:
            conditions.append(
                Condition("handed_over", True, f"{handed.name} by {handed.actor} at {_when(handed.at_ms)}.")
            )
        why = task.why or "no reason was recorded"
        conditions.append(Condition("why", True, why))
        decision = {"policy_version": str(task.policy_version), "why": why}
        if handed:
            decision["decision_ms"] = str(handed.at_ms)
        summary = (
            f"Agent {task.agent} has task {task.id} ({task.state.value.lower()}, fence {task.fence}): "
            f"it was the most urgent task that the agent may do when it was handed over, by policy version "
            f"{task.policy_version}: {why}."
        )
        return Explanation(task.id, "ASSIGNED", summary, tuple(conditions), None, decision)

    # -- a task with nobody ----------------------------------------------------------------------------
    async def _waiting(self, site: str, task: Task) -> Explanation:
        place = await self._place(site, task)
        if place.paused:
            paused = Condition("not_paused", False, f"The queue is paused: {place.paused}.", verdict="PAUSED")
            return _explained(task, [paused], paused, ())
        agents = [agent async for agent in every_agent(self._store, site)]
        views = await self._views(site, agents)
        now_ms = self._clock.now_ms()
        looked = [
            (a, self._conditions(task, place, a, views.get(a.profile.blending_group), now_ms)) for a in agents
        ]
        if not looked:
            nobody = Condition(
                "agent", False, "The site has no agents.", "an agent", "none", verdict="NO_SKILLED_AGENT"
            )
            return _explained(task, [nobody], nobody, ())
        looked.sort(key=lambda item: (-_progress(item[1]), item[0].profile.id))
        near = tuple((agent.profile.id, _first_failing(conditions)) for agent, conditions in looked[:_LISTED])
        conditions = looked[0][1]
        return _explained(task, conditions, _first_failing(conditions), near, place.ahead)

    async def _place(self, site: str, task: Task) -> _Place:
        queues = {queue.id: queue for queue in await self._queues(site)}
        queue = queues[task.queue]
        paused = await self._store.paused(site)
        why = paused.get(f"wt:{queue.spec.work_type}") or paused.get(f"q:{task.queue.rstrip('!')}") or ""
        stopped = (why or "no reason given") if queue.paused else ""
        return _Place(queue.spec, await self._store.position(site, task.id), stopped)

    async def _queues(self, site: str) -> list[QueueFigures]:
        found: list[QueueFigures] = []
        cursor = ""
        while True:
            queues, cursor = await self._store.queues(site, cursor, 500)
            found += queues
            if not cursor:
                return found

    async def _views(self, site: str, agents: Iterable[Agent]) -> dict[str, GroupView]:
        groups = sorted({agent.profile.blending_group for agent in agents} - {""})
        now_ms = self._clock.now_ms()
        documents = [(await self._book.active(site, group))[1] for group in groups]
        views = await asyncio.gather(
            *(look(self._store, site, g, d, now_ms) for g, d in zip(groups, documents, strict=True))
        )
        return dict(zip(groups, views, strict=True))

    def _conditions(
        self, task: Task, place: _Place, agent: Agent, view: GroupView | None, now_ms: int
    ) -> tuple[Condition, ...]:
        """Everything that must hold for this agent to get this task, in the order in which it is asked."""
        return (
            *_target_conditions(place.queue, agent),
            *_skill_conditions(place.queue, agent),
            _exclusion(task, agent, now_ms),
            *self._conditions_of_agent(agent, view, task.interruptible),
        )

    def _conditions_of_agent(
        self, agent: Agent, view: GroupView | None, interruptible: bool = True
    ) -> tuple[Condition, ...]:
        id = agent.profile.id
        conditions = [
            Condition(
                "connected",
                agent.connected,
                f"Agent {id} has no desktop session open.",
                verdict="NOT_CONNECTED",
            ),
            Condition("ready", agent.ready, f"Agent {id} is not ready for tasks.", verdict="NOT_AVAILABLE"),
            Condition(
                "not_draining", not agent.draining, f"Agent {id} is being drained.", verdict="DRAINING"
            ),
            _availability(agent),
            _capacity(agent),
        ]
        if agent.profile.blending_group and view:
            conditions += _gate_conditions(view, self._clock.now_ms(), interruptible)
        return tuple(_worded(condition) for condition in conditions)


def _target_conditions(queue: QueueSpec, agent: Agent) -> list[Condition]:
    """Whether the queue is kept for somebody else."""
    waits = "WAITING_FOR_PREFERRED"
    if queue.agent:
        fits = queue.agent == agent.profile.id
        return [Condition("preferred_agent", fits, f"The task waits for agent {queue.agent}.", verdict=waits)]
    if queue.team:
        fits = queue.team in agent.profile.teams
        return [Condition("preferred_team", fits, f"The task waits for team {queue.team}.", verdict=waits)]
    return []


def _skill_conditions(queue: QueueSpec, agent: Agent) -> list[Condition]:
    found = []
    for skill, level in queue.requirement:
        has = agent.profile.skills.get(skill, 0)
        actual = f"level {has}" if has else "does not have it"
        words = f"Agent {agent.profile.id} needs skill {skill} at level {level} and {_has(has)}."
        found.append(
            Condition(f"skill:{skill}", has >= level, words, f"level {level}", actual, "NO_SKILLED_AGENT")
        )
    return found


def _has(level: int) -> str:
    return f"has level {level}" if level else "does not have it"


def _exclusion(task: Task, agent: Agent, now_ms: int) -> Condition:
    id = agent.profile.id
    until = task.declined_by.get(id, 0)
    if id in task.spec.excluded_agents:
        return Condition("not_excluded", False, f"The task excludes agent {id}.", verdict="EXCLUDED")
    words = f"Agent {id} let this task pass and is not asked again before {_when(until)}."
    return Condition("not_excluded", until <= now_ms, words, verdict="EXCLUDED")


def _availability(agent: Agent) -> Condition:
    blended = bool(agent.profile.blending_group)
    state = agent.state if blended else dedicated_state(agent)
    words = f"Agent {agent.profile.id} is {state.value.lower().replace('_', ' ')}, not available."
    holds = state is AgentState.AVAILABLE
    return Condition("available", holds, words, AgentState.AVAILABLE.value, state.value, "NOT_AVAILABLE")


def _capacity(agent: Agent) -> Condition:
    holds, most = len(agent.held), agent.profile.capacity
    words = f"Agent {agent.profile.id} holds {holds} of at most {most} tasks."
    return Condition("capacity", holds < most, words, f"fewer than {most}", str(holds), "AT_CAPACITY")


def _gate_conditions(view: GroupView, now_ms: int, interruptible: bool) -> list[Condition]:
    gate, figures = view.gate, view.figures
    age = view.feed_age_ms
    fresh = age is not None and age <= gate.stale_after_ms
    told = "has never reported" if age is None else f"is silent for {age / 1000:.1f} s"
    reserve = gate.reserve if interruptible else gate.reserve_firm
    name = gate.group
    return [
        Condition(
            "feed_fresh",
            fresh,
            f"The telephony feed of group {name} {told}.",
            f"at most {gate.stale_after_ms / 1000:g} s",
            "never" if age is None else f"{age / 1000:.1f} s",
            "FEED_STALE",
        ),
        Condition(
            "gate_valid",
            now_ms < gate.valid_until_ms,
            f"No leader has renewed the gate of group {name}, so it counts as closed.",
            verdict="GATE_CLOSED",
        ),
        Condition(
            "gate_open",
            gate.open,
            f"The gate of group {name} is closed: {gate.reason or 'no reason given'}.",
            "open",
            f"closed ({gate.mode.value})",
            "GATE_CLOSED",
        ),
        Condition(
            "allowance",
            figures.on_tasks < gate.allowance,
            f"{figures.on_tasks} agents of group {name} are on tasks and {gate.allowance} may be.",
            f"fewer than {gate.allowance}",
            str(figures.on_tasks),
            "GATE_FULL",
        ),
        Condition(
            "reserve",
            figures.idle > reserve,
            f"{figures.idle} agents of group {name} are idle and {reserve} are kept back for calls.",
            f"more than {reserve}",
            str(figures.idle),
            "GATE_FULL",
        ),
    ]


_HOLDS = {
    "connected": "A desktop session is open.",
    "ready": "The agent is ready.",
    "not_draining": "The agent is not being drained.",
    "available": "The agent is available.",
    "capacity": "The agent has room for a task.",
    "feed_fresh": "The telephony feed is alive.",
    "gate_valid": "The gate is renewed.",
    "gate_open": "The gate is open.",
    "allowance": "The allowance is not used up.",
    "reserve": "The reserve is kept.",
    "not_excluded": "The agent is not excluded.",
}


def _worded(condition: Condition) -> Condition:
    """A condition that holds says so, instead of what would be wrong."""
    if not condition.holds or condition.name not in _HOLDS:
        return condition
    return Condition(
        condition.name, True, _HOLDS[condition.name], condition.needed, condition.actual, condition.verdict
    )


def _serves(agent: Agent, queue: QueueSpec) -> bool:
    return all(c.holds for c in (*_target_conditions(queue, agent), *_skill_conditions(queue, agent)))


def _first_failing(conditions: Sequence[Condition]) -> Condition | None:
    return next((condition for condition in conditions if not condition.holds), None)


def _progress(conditions: Sequence[Condition]) -> float:
    """How far an agent comes: the share of conditions met before the first that fails, then how few fail."""
    for i, condition in enumerate(conditions):
        if not condition.holds:
            failing = sum(1 for c in conditions if not c.holds)
            return i - failing / 100
    return len(conditions) + 1.0


def _explained(
    task: Task,
    conditions: Sequence[Condition],
    failing: Condition | None,
    agents: tuple[tuple[str, Condition | None], ...],
    ahead: int = 0,
) -> Explanation:
    if failing is None:
        verdict = "OUTRANKED" if ahead else "IMMINENT"
        words = (
            f"{ahead} tasks of its queue stand before it" if ahead else "every condition holds, it is next"
        )
        return Explanation(
            task.id, verdict, f"Task {task.id} is queued: {words}.", tuple(conditions), None, {}, agents
        )
    summary = f"Task {task.id} is with nobody: {failing.detail}"
    return Explanation(task.id, failing.verdict, summary, tuple(conditions), failing, {}, agents)


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


NO_TASK_WORDS: Mapping[NoTask, str] = {
    NoTask.NO_TASK: "nothing is queued that you may do",
    NoTask.UNKNOWN_AGENT: "no profile of this agent exists; a supervisor creates it",
    NoTask.NOT_CONNECTED: "no desktop session is open",
    NoTask.NOT_READY: "your desktop says that you are not ready",
    NoTask.NOT_AVAILABLE: "you are not available at the telephone",
    NoTask.NO_CAPACITY: "you hold as many tasks as your capacity allows",
    NoTask.DRAINING: "a supervisor is draining you",
    NoTask.TOO_SOON: "you have not been idle long enough yet",
    NoTask.GATE_CLOSED: "the gate of your blending group is closed",
    NoTask.GATE_EXPIRED: "the gate of your blending group was not renewed, so it counts as closed",
    NoTask.FEED_STALE: "the telephony feed is silent",
    NoTask.ALLOWANCE_REACHED: "as many agents of your group as allowed are on tasks",
    NoTask.RESERVE_HELD: "the idle agents of your group are kept back for calls",
}
"""What GetNextTask tells an agent who gets nothing."""
