"""Explain: why this agent got this task, and why this task has not been routed.

The conditions are asked in the order in which a claim asks them, for every agent that could be meant; the answer
names the agent that came furthest and the condition that stopped it: the nearest one that fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from router.dispatch.figures import dedicated_state, every_agent
from router.dispatch.group_view import GroupView, look
from router.dispatch.leader_figures import leader_figures
from router.dispatch.policy_book import PolicyBook
from router.domain.errors import NotFound, WrongState
from router.domain.model import ENDED_STATES, Agent, AgentState, Gate, NoTask, Task, TaskState, TaskTransition
from router.domain.ports import Clock, QueueFigures, Store
from router.domain.routing import QueueSpec

MOST_LISTED = 50
_TRIES = 3
"""Looks at a task that moves while it is looked at."""
_PULL, _ASSIGNED, _LONGEST_IDLE = "pull", "assigned", "longest_idle"


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

    ``agents``: (agent, its first failing condition), nearest first, at most MOST_LISTED. ``task``: the one that an
    agent's explanation is about. ``pull``: why the agent would get nothing by asking now (None: it would get a task).
    """

    subject: str
    verdict: str
    summary: str
    conditions: tuple[Condition, ...] = ()
    nearest: Condition | None = None
    decision: Decision | None = None
    agents: tuple[tuple[str, Condition | None], ...] = ()
    task: str = ""
    pull: NoTask | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a hand-over was or would be based on. None: not known, or not for this agent."""

    group: str
    policy_version: int
    at_ms: int
    agent_choice: str
    gate: Gate | None = None
    idle: int | None = None
    on_tasks: int | None = None
    data_age_ms: int | None = None
    urgency: float | None = None
    ahead: int | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a queued task waits. ``urgency`` None: it came back from an agent and goes first."""

    queue: QueueSpec
    ahead: int
    paused: str
    urgency: float | None


@dataclass(frozen=True, slots=True)
class _Group:
    """What is known of a blending group now. ``task_ms``: how long a task takes on average."""

    view: GroupView
    version: int
    agent_choice: str
    task_ms: int


class _Moved(Exception):
    """The task moved while it was looked at."""


class Explain:
    """Answers from the store's state, looked at now."""

    def __init__(self, store: Store, clock: Clock, book: PolicyBook) -> None:
        self._store = store
        self._clock = clock
        self._book = book

    async def task(self, site: str, task_id: str) -> Explanation:
        """Why the task is with its agent, or why it is with nobody."""
        for _ in range(_TRIES):
            try:
                return await self._task(site, await self._store.task(site, task_id))
            except _Moved:
                continue
        raise WrongState(f"task {task_id} moves too fast to be explained; ask again")

    async def _task(self, site: str, task: Task) -> Explanation:
        decided = [step for step in await self._store.history(site, task.id) if step.why]
        if task.state is TaskState.QUEUED:
            told = await self._waiting(site, task)
        else:
            told = _not_due(task) or await self._held(site, task)
        return _with_decisions(told, task, decided)

    async def agent(self, site: str, agent_id: str, task_id: str = "") -> Explanation:
        """What the agent does, or why it has no task; with a task, how it stands for that one."""
        agent = await self._store.agent(site, agent_id)
        if task_id:
            return await self._agent_for(site, agent, task_id)
        group = (await self._groups(site, [agent])).get(agent.profile.blending_group)
        conditions = self._conditions_of_agent(agent, group)
        if agent.held:
            held = await self._held_by(site, agent)
            if held:
                return replace(held, subject=agent_id, pull=_pull_refusal(agent, conditions))
        decision = self._decision(agent, group)
        failing = _first_failing(conditions)
        found = sum(queue.depth for queue in await self._queues(site) if _open_to(agent, queue))
        pull = _pull_refusal(agent, conditions) or (None if found else NoTask.NO_TASK)
        if failing is None and not found:
            failing = Condition("work", False, "Nothing is queued that this agent may do.", verdict="NO_TASK")
            conditions = (*conditions, failing)
        if failing:
            words = f"Agent {agent_id} gets no task: {failing.detail}"
            return Explanation(agent_id, failing.verdict, words, conditions, failing, decision, pull=pull)
        words = f"Agent {agent_id} can be given one of {found} queued tasks at any moment."
        return Explanation(agent_id, "IMMINENT", words, conditions, None, decision, pull=pull)

    async def _agent_for(self, site: str, agent: Agent, task_id: str) -> Explanation:
        for _ in range(_TRIES):
            task = await self._store.task(site, task_id)
            try:
                found = await self._agent_for_task(site, agent, task)
            except _Moved:
                continue
            return replace(found, subject=agent.profile.id, task=task_id)
        raise WrongState(f"task {task_id} moves too fast to be explained; ask again")

    async def _agent_for_task(self, site: str, agent: Agent, task: Task) -> Explanation:
        if task.state is not TaskState.QUEUED:
            told = _not_due(task) or await self._held(site, task)
            return replace(told, pull=NoTask.NOT_QUEUED)
        place = await self._place(site, task)
        group = (await self._groups(site, [agent])).get(agent.profile.blending_group)
        conditions = (_not_paused(place), *self._conditions(task, place, agent, group))
        failing = _first_failing(conditions)
        decision = self._decision(agent, group, place)
        told = _explained(task, conditions, failing, (), decision)
        summary = (
            f"Agent {agent.profile.id} does not get task {task.id}: {failing.detail}"
            if failing
            else told.summary
        )
        return replace(told, summary=summary, pull=_pull_refusal(agent, conditions))

    # -- a task with somebody --------------------------------------------------------------------------
    async def _held_by(self, site: str, agent: Agent) -> Explanation | None:
        try:
            task = await self._store.task(site, agent.held[0])
        except NotFound:
            return None
        return replace(await self._held(site, task), task=task.id) if task.agent == agent.profile.id else None

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
        decision = await self._decision_made(site, task, handed) if handed else None
        best = (
            ""
            if decision and decision.agent_choice == _ASSIGNED
            else ("it was the most urgent task that the agent may do when it was handed over, ")
        )
        summary = (
            f"Agent {task.agent} has task {task.id} ({task.state.value.lower()}, fence {task.fence}): "
            f"{best}by policy version {task.policy_version}: {why}."
        )
        return Explanation(task.id, "ASSIGNED", summary, tuple(conditions), None, decision)

    async def _decision_made(self, site: str, task: Task, handed: TaskTransition) -> Decision:
        """What is recorded of a hand-over that was made."""
        group = (await self._store.agent(site, task.agent)).profile.blending_group
        choice = _PULL if handed.name in ("pull", "resume") else _LONGEST_IDLE
        if handed.actor.startswith("supervisor:"):
            choice = _ASSIGNED
        elif group and choice != _PULL:
            version, document = await self._book.active(site, group)
            choice = document.agent_choice.value if version == task.policy_version else ""
        return Decision(group, task.policy_version, handed.at_ms, choice)

    # -- a task with nobody ----------------------------------------------------------------------------
    async def _waiting(self, site: str, task: Task) -> Explanation:
        place = await self._place(site, task)
        if place.paused:
            paused = _not_paused(place)
            return _explained(task, [paused], paused, ())
        agents = [agent async for agent in every_agent(self._store, site)]
        groups = await self._groups(site, agents)
        looked = [(a, self._conditions(task, place, a, groups.get(a.profile.blending_group))) for a in agents]
        if not looked:
            nobody = Condition(
                "agent", False, "The site has no agents.", "an agent", "none", verdict="NO_SKILLED_AGENT"
            )
            return _explained(task, [nobody], nobody, ())
        looked.sort(key=lambda item: (-_progress(item[1]), item[0].profile.id))
        near = tuple(
            (agent.profile.id, _first_failing(conditions)) for agent, conditions in looked[:MOST_LISTED]
        )
        nearest, conditions = looked[0]
        decision = self._decision(nearest, groups.get(nearest.profile.blending_group), place)
        return _explained(task, conditions, _first_failing(conditions), near, decision)

    async def _place(self, site: str, task: Task) -> _Place:
        queue = next((queue for queue in await self._queues(site) if queue.id == task.queue), None)
        if queue is None:
            raise _Moved
        paused = await self._store.paused(site)
        why = paused.get(f"wt:{queue.spec.work_type}") or paused.get(f"q:{task.queue.rstrip('!')}") or ""
        stopped = (why or "no reason given") if queue.paused else ""
        urgency = None if queue.front else queue.spec.curve.at(self._clock.now_ms() - task.origin_ms)
        try:
            return _Place(queue.spec, await self._store.position(site, task.id), stopped, urgency)
        except WrongState:
            raise _Moved from None

    async def _queues(self, site: str) -> list[QueueFigures]:
        found: list[QueueFigures] = []
        cursor = ""
        while True:
            queues, cursor = await self._store.queues(site, cursor, 500)
            found += queues
            if not cursor:
                return found

    async def _groups(self, site: str, agents: Iterable[Agent]) -> dict[str, _Group]:
        names = sorted({agent.profile.blending_group for agent in agents} - {""})
        groups = await asyncio.gather(*(self._group(site, name) for name in names))
        return dict(zip(names, groups, strict=True))

    async def _group(self, site: str, name: str) -> _Group:
        version, document = await self._book.active(site, name)
        view, leader = await asyncio.gather(
            look(self._store, site, name, document, self._clock.now_ms()),
            leader_figures(self._store, site, name),
        )
        task_s = document.prior_task_s if leader.task_s is None else leader.task_s
        return _Group(view, version, document.agent_choice.value, round(task_s * 1000))

    def _decision(self, agent: Agent, group: _Group | None, place: _Place | None = None) -> Decision:
        """What a hand-over to this agent would be based on now."""
        urgency, ahead = (place.urgency, place.ahead) if place else (None, None)
        now_ms = self._clock.now_ms()
        if group is None:
            return Decision("", 0, now_ms, _LONGEST_IDLE, urgency=urgency, ahead=ahead)
        view = group.view
        return Decision(
            agent.profile.blending_group,
            group.version,
            now_ms,
            group.agent_choice,
            view.gate,
            view.figures.idle,
            view.figures.on_tasks,
            view.feed_age_ms,
            urgency,
            ahead,
        )

    def _conditions(
        self, task: Task, place: _Place, agent: Agent, group: _Group | None
    ) -> tuple[Condition, ...]:
        """Everything that must hold for this agent to get this task, in the order in which it is asked."""
        return (
            *_target_conditions(place.queue, agent),
            *_skill_conditions(place.queue, agent),
            _exclusion(task, agent, self._clock.now_ms()),
            *self._conditions_of_agent(agent, group, task.interruptible),
        )

    def _conditions_of_agent(
        self, agent: Agent, group: _Group | None, interruptible: bool = True
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
            Condition("not_draining", not agent.draining, _drained(agent), verdict="DRAINING"),
            _availability(agent),
            _capacity(agent),
        ]
        now_ms = self._clock.now_ms()
        conditions.append(_staying(agent, group.task_ms if group else 0, now_ms))
        if group:
            conditions += _gate_conditions(group.view, now_ms)
            conditions.append(_rested(agent, group.view.gate, now_ms))
        if group and not agent.held:  # who has a task already takes nobody idle away from the calls
            conditions += _room_conditions(group.view, interruptible)
        return tuple(_worded(condition) for condition in conditions)


_DECIDED = {"offer": "pushed", "recall": "recalled", "force": "recalled", "rescind": "withdrawn"}
"""How a step of the router's is told that was decided on figures."""
_DECISIONS_TOLD = 6


def _with_decisions(told: Explanation, task: Task, decided: Sequence[TaskTransition]) -> Explanation:
    """An explanation with the latest decisions about the task; its summary tells the last one that took it back."""
    steps = tuple(
        Condition(_DECIDED[step.name], True, f"{_decision_in_words(step)}.")
        for step in decided[-_DECISIONS_TOLD:]
    )
    summary = told.summary
    if decided and decided[-1].name != "offer" and task.state not in ENDED_STATES:
        summary += f" It was {_decision_in_words(decided[-1])}."
    return replace(told, summary=summary, conditions=(*told.conditions, *steps))


def _decision_in_words(step: TaskTransition) -> str:
    """For example: recalled from agent ann at ... by policy version 3: a call had waited 8.2 s with ..."""
    word = _DECIDED[step.name]
    whom = f"{'to' if word == 'pushed' else 'from'} agent {step.agent}"
    by = f"policy version {step.policy_version}" if step.actor.startswith("router") else step.actor
    return f"{word} {whom} at {_when(step.at_ms)} by {by}: {step.why}"


def _not_due(task: Task) -> Explanation | None:
    """A task that has ended, or is not to begin yet."""
    if task.state in ENDED_STATES:
        words = f"Task {task.id} has ended: {task.state.value.lower()}"
        return Explanation(task.id, "ENDED", f"{words} ({task.end_reason or 'no reason given'}).")
    if task.state is not TaskState.SCHEDULED:
        return None
    due = Condition("scheduled", False, "The task is not due yet.", _when(task.deadline_ms), "now")
    return Explanation(task.id, "SCHEDULED", f"Task {task.id} is scheduled for {due.needed}.", (due,), due)


def _not_paused(place: _Place) -> Condition:
    if place.paused:
        return Condition("not_paused", False, f"The queue is paused: {place.paused}.", verdict="PAUSED")
    return Condition("not_paused", True, "The queue is not paused.")


def _drained(agent: Agent) -> str:
    why = f": {agent.drain_reason}" if agent.drain_reason else ""
    return f"Agent {agent.profile.id} is being drained{why}."


def _staying(agent: Agent, task_ms: int, now_ms: int) -> Condition:
    """Whether there is time for a task before the agent's next break or the end of its shift; pulls do not ask."""
    leaves = agent.leave_ms and now_ms + task_ms > agent.leave_ms
    words = f"Agent {agent.profile.id} leaves at {_when(agent.leave_ms)}, and a task takes {task_ms / 1000:.0f} s."
    return Condition("stays", not leaves, words, verdict="SHIFT_END")


def _rested(agent: Agent, gate: Gate, now_ms: int) -> Condition:
    idle_ms = now_ms - agent.idle_since_ms if agent.state is AgentState.AVAILABLE else 0
    needed, actual = f"{gate.min_idle_ms / 1000:g} s", f"{idle_ms / 1000:.1f} s"
    words = f"Agent {agent.profile.id} has been idle for {actual}, and the policy asks for {needed}."
    return Condition("idle_time", idle_ms >= gate.min_idle_ms, words, needed, actual, "TOO_SOON")


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


def _gate_conditions(view: GroupView, now_ms: int) -> list[Condition]:
    gate, age = view.gate, view.feed_age_ms
    fresh = age is not None and age <= gate.stale_after_ms
    told = "has never reported" if age is None else f"is silent for {age / 1000:.1f} s"
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
            f"{'open' if gate.open else 'closed'} ({gate.mode.value})",
            "GATE_CLOSED",
        ),
        _no_call_waits(view, now_ms),
    ]


def _no_call_waits(view: GroupView, now_ms: int) -> Condition:
    """Nothing is pushed while a call waits, whatever the gate allows; a pull may still succeed."""
    waiting = len(view.waiting_ages_s(now_ms))
    words = f"{waiting} calls wait in group {view.gate.group}, and nothing is pushed while one does."
    return Condition("no_call_waits", waiting == 0, words, "0", str(waiting), "GATE_FULL")


def _room_conditions(view: GroupView, interruptible: bool) -> list[Condition]:
    gate, figures = view.gate, view.figures
    reserve = gate.reserve if interruptible else gate.reserve_firm
    name = gate.group
    return [
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
    "stays": "The agent stays long enough.",
    "idle_time": "The agent has been idle for long enough.",
    "feed_fresh": "The telephony feed is alive.",
    "gate_valid": "The gate is renewed.",
    "gate_open": "The gate is open.",
    "no_call_waits": "No call waits.",
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


def _open_to(agent: Agent, queue: QueueFigures) -> bool:
    conditions = (*_target_conditions(queue.spec, agent), *_skill_conditions(queue.spec, agent))
    return not queue.paused and all(condition.holds for condition in conditions)


_PULL_WORDS = {
    "not_paused": NoTask.PAUSED,
    "preferred_agent": NoTask.NOT_QUALIFIED,
    "preferred_team": NoTask.NOT_QUALIFIED,
    "not_excluded": NoTask.EXCLUDED,
    "ready": NoTask.NOT_READY,
    "not_draining": NoTask.DRAINING,
    "available": NoTask.NOT_AVAILABLE,
    "capacity": NoTask.NO_CAPACITY,
    "feed_fresh": NoTask.FEED_STALE,
    "gate_valid": NoTask.GATE_EXPIRED,
    "gate_open": NoTask.GATE_CLOSED,
    "idle_time": NoTask.TOO_SOON,
    "allowance": NoTask.ALLOWANCE_REACHED,
    "reserve": NoTask.RESERVE_HELD,
}
"""What GetNextTask answers where a condition fails; the others are for pushes only."""


def _pull_refusal(agent: Agent, conditions: Sequence[Condition]) -> NoTask | None:
    """Why the agent would get nothing by asking, as far as the conditions tell."""
    free = not agent.profile.blending_group
    not_asked = {"ready", "available"} if free else set() if agent.connected else {"ready"}
    for condition in conditions:
        if condition.holds or condition.name in not_asked:
            continue
        word = (
            NoTask.NOT_QUALIFIED if condition.name.startswith("skill:") else _PULL_WORDS.get(condition.name)
        )
        if word:
            return word
    return None


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
    decision: Decision | None = None,
) -> Explanation:
    ahead = decision.ahead if decision else 0
    if failing is None:
        verdict = "OUTRANKED" if ahead else "IMMINENT"
        words = (
            f"{ahead} tasks of its queue stand before it" if ahead else "every condition holds, it is next"
        )
        summary = f"Task {task.id} is queued: {words}."
        return Explanation(task.id, verdict, summary, tuple(conditions), None, decision, agents)
    summary = f"Task {task.id} is with nobody: {failing.detail}"
    return Explanation(task.id, failing.verdict, summary, tuple(conditions), failing, decision, agents)


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
