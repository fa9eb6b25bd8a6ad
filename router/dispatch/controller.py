"""The leader of one blending group: sets its gate by the policy, pushes work in dips and recalls in time.

One process leads a group at a time, under a lease with a growing term; a gate that its leader does not renew closes
by itself. Each step is: look, decide, commit the gate, recall, push. It runs when something was reported, when the
policy named a time to look again, and at least once in a renewal.
"""

from __future__ import annotations

import asyncio
import logging
import math
import operator
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace

from router.dispatch.forecasts import Forecasts
from router.dispatch.group_view import GroupView, look
from router.dispatch.lane import LOOP, Lane
from router.dispatch.leader_figures import KIND as LEADER
from router.dispatch.leader_figures import LeaderFigures
from router.dispatch.matcher import Matcher, PassRules
from router.dispatch.meter import Meter, Recalled
from router.dispatch.policy_book import PolicyBook
from router.dispatch.reasons import recalled_because
from router.dispatch.recorder import OFF, Recorder
from router.dispatch.signals import set_within
from router.dispatch.witness import Witness
from router.domain.errors import RouterError
from router.domain.model import CALL_STATES, Agent, AgentState, Gate, GateMode, Task, TaskState
from router.domain.ports import Change, Clock, Hint, Store
from router.policies.blending import (
    BlendingPolicy,
    Candidate,
    GateDecision,
    Memory,
    PolicyDocument,
    Recall,
    RecallAction,
    Snapshot,
    build_policy,
)

DEDICATED = "-"
"""The name under which agents without a blending group are matched: no gate, only pushes."""
LEASE_MS = 3_000
"""How long a leader leads and its gate is valid without a sign of it; both are renewed at a third of that."""
RETRY_S = 1.0
_SERVING = (*CALL_STATES, AgentState.AFTER_CALL)
"""An agent in one of these is with a call."""
_EVENTS = 1000
_TELL_S = 1.0
_RELEARN_UPDATES = 20
_RETURN_MS = 120_000
_HOLDERS = 2000
_REST_PER_LOOK = 3.0
"""Between two looks passes so many times what the last one took: floods of reports are looked at in bundles."""
_RULES_S = 0.25
"""How long new work may be offered under the rules of the last look."""

log = logging.getLogger(__name__)


class Controller:
    """One site's blending group as this worker sees it; acts only while it leads."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        book: PolicyBook,
        site: str,
        group: str,
        worker: str,
        lane: Lane = LOOP,
        recorder: Recorder = OFF,
        lease_ms: int = LEASE_MS,
    ) -> None:
        self._store = store
        self._lane = lane
        self._clock = clock
        self._book = book
        self._site = site
        self._group = group
        self._worker = worker
        self._actor = f"router:{worker}"
        self._lease_ms = lease_ms
        self._renew_s = lease_ms / 3000
        self._wake = asyncio.Event()
        self._term = 0
        self._leads_until = 0.0
        self.matcher = Matcher(store, clock, site, group, self._actor, lane)
        self._forecasts = Forecasts(store, site, group)
        self._witness = Witness(store, clock, book, recorder, site, group, lane)
        self._reset()

    def _reset(self) -> None:
        """What a leader knows is its own; a new term starts from the policy's beliefs."""
        self._version = -1
        self._document = PolicyDocument()
        self._policy: BlendingPolicy = build_policy(self._document)
        self._memory = Memory()
        self.meter = Meter.start(self._document)
        self._position = ""
        self.decision: GateDecision | None = None
        self._words = ""
        self._decided: tuple[float, tuple[int, ...]] | None = None
        self._stood: Gate | None = None
        """The stored gate that is as the last decision alone wants it; a supervisor's word is weighed each time."""
        self._told: tuple[object, object] = (None, None)
        self._told_at = -math.inf
        self._must_look = True
        self._look_due = self._not_before = 0.0
        self._rules = PassRules(room=0)
        self._room = 0
        """Tasks that may still be handed out, as far as is known: the store has the last word."""
        self._rules_until = 0.0
        self._last_recall_ms: int | None = None
        self._began_ms = self._clock.now_ms()
        self._recall_times_ms: list[int] = []
        self._forecasts.begin()
        self._looked: Snapshot | None = None
        self._witness.begin(self._term)

    @property
    def leads(self) -> bool:
        """Whether this worker is the group's leader, as far as it knows."""
        return self._clock.monotonic() < self._leads_until

    # -- hints -----------------------------------------------------------------------------------------
    def hint(self, hint: Hint) -> None:
        """Take note of a hint of this site and wake the loop if it may matter. Who does not lead has nothing to note:
        a new leader reads everything."""
        if not self.leads:
            return
        news = True
        if hint.kind == "work":
            news = self.matcher.work_arrived(hint.anchor, hint.at_ms, hint.arrived)
        elif hint.kind == "idle" and hint.about:
            news = self.matcher.agent_idle(hint.about, hint.at_ms, hint.queued)
            self._room += 1
        elif hint.kind == "busy":
            news = False
            self.matcher.agent_busy(hint.agent, hint.at_ms or math.inf)
        else:
            self._take_note(hint)
        if news:
            self._wake.set()

    def work_coming(self, anchors: Mapping[str, int]) -> AbstractContextManager[None]:
        """Within this, tasks are on their way to these shelves: the loop may claim them at once."""
        self._wake.set()
        return self.matcher.work_coming(anchors)

    def _take_note(self, hint: Hint) -> None:
        """What changes more than the matching: look again."""
        self._must_look = True
        if hint.kind == "idle":
            self.matcher.agents_changed()
        elif hint.kind == "doc":
            self._decided = None
        elif hint.kind == "resync":
            self.matcher.forget()

    # -- the loop --------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Step for ever; a failing store is waited out, and meanwhile the gate closes by itself."""
        while True:
            self._wake.clear()
            try:
                pause_s = await self.step()
            except RouterError as error:
                log.warning("group %s/%s: %s", self._site, self._group, error.message)
                pause_s = RETRY_S
            except Exception:
                log.exception("group %s/%s: a step failed", self._site, self._group)
                pause_s = RETRY_S
            await set_within(self._wake, pause_s)

    async def step(self) -> float:
        """One round of the routing loop; answers how long (s) it may rest if nothing is reported."""
        if not await self._lead():
            return RETRY_S
        if self._group == DEDICATED:
            await self.matcher.push(PassRules(room=_HOLDERS, why="pushed to a dedicated back-office agent"))
            return RETRY_S
        began = self._clock.monotonic()
        if self._may_push_at_once():
            await self._hand_out()
            return max(0.001, self._look_due - self._clock.monotonic())
        if began < self._not_before:
            return self._not_before - began
        pause_s = await self._whole_step()
        now = self._clock.monotonic()
        self._look_due, self._not_before = now + pause_s, now + self._rest_after(now - began)
        return pause_s

    @staticmethod
    def _rest_after(took_s: float) -> float:
        """How long to wait before the next look; a store that stood still is no reason to wait long."""
        return min(_RULES_S, _REST_PER_LOOK * took_s)

    def _may_push_at_once(self) -> bool:
        """Whether the last look is so fresh that new work goes out under it: the store checks each claim anyway."""
        return not self._must_look and self._clock.monotonic() < min(self._look_due, self._rules_until)

    async def _whole_step(self) -> float:
        self._must_look = False
        await self._read_policy()
        now_ms = self._clock.now_ms()
        view = await look(self._store, self._site, self._group, self._document, now_ms, self._lane)
        snapshot = await self._snapshot(view, now_ms)
        decision = await self._decide(snapshot)
        gate = await self._set_gate(view.gate, decision, snapshot)
        await self._tell_figures(decision)
        await self._witness.tell()
        next_recall_ms = await self._recall(snapshot, decision, gate)
        next_push_ms = await self._push(snapshot, decision, gate)
        return self._rest_s(next_recall_ms, next_push_ms, self._stale_ms(view, now_ms))

    def _rest_s(self, *next_ms: int | None) -> float:
        now_ms = self._clock.now_ms()
        times = [max(0.001, (at - now_ms) / 1000) for at in next_ms if at is not None]
        return min([self._renew_s, self._document.update_interval_s, *times])

    def _stale_ms(self, view: GroupView, now_ms: int) -> int | None:
        """When the group's feed will be too old, if nothing more is heard of it: the gate closes then, not later."""
        if view.feed_age_ms is None:
            return None
        too_old_ms = now_ms - view.feed_age_ms + math.floor(self._document.stale_after_s * 1000) + 1
        return too_old_ms if too_old_ms > now_ms else None

    async def _lead(self) -> bool:
        now = self._clock.monotonic()
        if self._leads_until - now > self._lease_ms / 1000 - self._renew_s:
            return True
        term = await self._store.lead(self._site, self._group, self._worker, self._lease_ms)
        if term != self._term:
            self._term = term
            self._reset()
        if not self.leads:
            self.matcher.forget()  # what hints told meanwhile was not noted
        self._leads_until = now + self._lease_ms / 1000 if term else 0.0
        return bool(term)

    async def _read_policy(self) -> None:
        version, document = await self._book.active(self._site, self._group)
        if (version, document) != (self._version, self._document):
            self._version, self._document = version, document
            self._policy = build_policy(document)
            self._decided = None
            if self._memory == Memory():
                self.meter = Meter.start(document)
        await self._witness.look(version, document)

    # -- look ------------------------------------------------------------------------------------------
    async def _snapshot(self, view: GroupView, now_ms: int) -> Snapshot:
        await self._learn(now_ms)
        feed_age_s = None if view.feed_age_ms is None else view.feed_age_ms / 1000
        forecast = await self._forecasts.of(view, not self._document.is_stale(feed_age_s), now_ms)
        states = view.figures.by_state
        on_call = sum([states.get(state, 0) for state in _SERVING])
        measures = self.meter.measures
        reports = [queue.report for queue in view.call_queues]
        aht_ms = max([report.aht_ms for report in reports], default=0)
        return Snapshot(
            now_ms=now_ms,
            idle=view.figures.idle,
            on_call=on_call,
            logged_in=states.get(AgentState.AVAILABLE, 0) + states.get(AgentState.RESERVED, 0) + on_call,
            on_tasks=view.figures.on_tasks,
            window_end_ms=max([report.window_end_ms for report in reports], default=0) or now_ms,
            waiting_ages_s=view.waiting_ages_s(now_ms),
            answered=view.total("answered"),
            answered_in_target=view.total("answered_in_target"),
            abandoned=view.total("abandoned"),
            short_abandoned=view.total("short_abandoned"),
            arrivals=view.total("offered"),
            forecast=forecast,
            aht_s=aht_ms / 1000 if aht_ms else None,
            task_s=measures.task.mean_s,
            recall_reaction_s=self._recall_reaction_s(now_ms),
            work_lost_s=measures.work_lost.mean_s,
            feed_age_s=feed_age_s,
            returning=len(self.meter.returning),
            last_recall_ms=self._last_recall_ms,
        )

    def _recall_reaction_s(self, now_ms: int) -> float:
        """What is measured; long after the last recall, the belief: a law once disarmed would never learn again."""
        silent_ms = now_ms - max(self._last_recall_ms or 0, self._began_ms)
        if silent_ms > _RELEARN_UPDATES * self._document.update_interval_s * 1000:
            return self._document.recall_reaction_initial_s
        return self.meter.measures.recall_reaction.mean_s

    async def _learn(self, now_ms: int) -> None:
        """Read new events, and see which recalled agents are free for calls by now."""
        if not self._position:
            self._position = await self._store.last_event(self._site)
        events = await self._store.events(self._site, self._position, _EVENTS)
        if events:
            self._position = events[-1].id
            self.meter.read(events)
        for id, recalled in list(self.meter.returning.items()):
            await self._see_return(id, recalled, now_ms)

    async def _see_return(self, id: str, recalled: Recalled, now_ms: int) -> None:
        agent = await self._store.agent(self._site, id)
        if agent.state is AgentState.OFFLINE or now_ms - recalled.sent_ms > _RETURN_MS:
            self.meter.recall_ended(id, None)
        elif agent.free_ms >= recalled.sent_ms:
            task = await self._store.task(self._site, recalled.task)
            saved_ms = task.checkpoint.at_ms if task.checkpoint else 0
            self.meter.recall_ended(id, agent.free_ms, saved_ms)

    # -- decide ----------------------------------------------------------------------------------------
    async def _decide(self, snapshot: Snapshot) -> GateDecision:
        """The policy's decision, renewed at its interval, when the staff changes and when the feed's health does."""
        stale = self._document.is_stale(snapshot.feed_age_s)
        cause = (snapshot.logged_in, self._version, int(stale))
        now = self._clock.monotonic()
        fresh = self._decided and now - self._decided[0] < self._document.update_interval_s
        if self.decision and fresh and self._decided and self._decided[1] == cause:
            return self.decision
        before = self._memory
        decision, self._memory = await self._lane.beside(self._policy.decide, snapshot, before)
        self.decision, self._decided, self._stood = decision, (now, cause), None
        self._words = f"{in_words(decision)}; {self._forecasts.words}"
        self._witness.decided(snapshot, before, decision)
        return decision

    async def _set_gate(self, stored: Gate, decision: GateDecision, snapshot: Snapshot) -> Gate:
        """Write the gate when it changed or is due for renewal."""
        wanted = stored if stored == self._stood else self._wanted(stored, decision, snapshot)
        now_ms = self._clock.now_ms()
        if wanted != stored or stored.valid_until_ms - now_ms <= self._lease_ms - self._renew_s * 500:
            renewed = replace(wanted, valid_until_ms=now_ms + self._lease_ms)
            stored = await self._store.set_gate(self._site, renewed)
        self._stood = stored if wanted.mode is GateMode.AUTO else None
        return stored

    def _wanted(self, stored: Gate, decision: GateDecision, snapshot: Snapshot) -> Gate:
        """The gate as the decision and a supervisor's word have it; how long it is valid stays."""
        document = self._document
        wanted = Gate(
            group=self._group,
            open=decision.open,
            allowance=decision.allowance,
            reserve=decision.reserve,
            reserve_firm=decision.reserve_firm,
            stale_after_ms=round(document.stale_after_s * 1000),
            min_idle_ms=round(document.min_idle_s * 1000),
            acd_control=document.acd_control,
            policy_version=self._version,
            term=self._term,
            reason=self._words,
            armed=decision.armed,
            mode=stored.mode,
            manual_until_ms=stored.manual_until_ms,
            valid_until_ms=stored.valid_until_ms,
        )
        return _by_hand(wanted, stored, snapshot, document)

    async def _tell_figures(self, decision: GateDecision) -> None:
        """Let every worker show what only the leader knows."""
        now, known = self._clock.monotonic(), (decision, self.meter.measures)
        if now - self._told_at < _TELL_S or all(map(operator.is_, known, self._told)):
            return
        self._told, self._told_at = known, now
        figures = LeaderFigures(
            decision.required_service_level,
            decision.rate_per_s * 3600,
            tuple(self.meter.reactions_s),
            self.meter.measures.task.mean_s,
        )
        await self._store.put_document(self._site, LEADER, self._group, figures.to_text(), None)

    # -- recall ----------------------------------------------------------------------------------------
    async def _recall(self, snapshot: Snapshot, decision: GateDecision, gate: Gate) -> int | None:
        """Take back exactly the agents that the policy names."""
        wanted = self._policy.may_recall(snapshot, decision) or self._witness.shadows
        if snapshot.on_tasks == 0 or not (wanted or snapshot.waiting_ages_s):
            return None
        candidates = await self._candidates(snapshot) if wanted else {}
        sent = [at for at in self._recall_times_ms if snapshot.now_ms - at < 1000]
        plan = self._policy.recalls(snapshot, decision, list(candidates), len(sent))
        self._witness.planned(snapshot, list(candidates), len(sent), plan, self.meter.returning)
        named = {candidate.task_id: (candidate, task) for candidate, task in candidates.items()}
        recalls = [(recall, *named[recall.task_id]) for recall in plan.recalls if recall.task_id in named]
        await self._lane.all(*(self._take_back(*chosen, snapshot, decision) for chosen in recalls))
        self._recall_times_ms = sent + [snapshot.now_ms] * len(plan.recalls)
        return plan.next_check_ms

    async def _candidates(self, snapshot: Snapshot) -> dict[Candidate, Task]:
        agents = await self._store.holding(self._site, self._group, _HOLDERS)
        holder = {id: agent for agent in agents for id in agent.held}
        tasks = await self._store.tasks_named(self._site, list(holder))
        return {
            _candidate(holder[task.id], task, snapshot): task
            for task in tasks
            if task.state in (TaskState.OFFERED, TaskState.ACTIVE)
        }

    async def _take_back(
        self,
        recall: Recall,
        candidate: Candidate,
        task: Task,
        snapshot: Snapshot,
        decision: GateDecision,
    ) -> None:
        why = recalled_because(recall, candidate, snapshot, decision)
        self.meter.recall_sent(recall.agent_id, task.id, self._clock.now_ms())
        try:
            await self._commit_recall(recall, task, why)
            self._last_recall_ms = self._clock.now_ms()
        except RouterError as error:
            self.meter.recall_ended(recall.agent_id, None)
            log.info("recall of %s from %s came too late: %s", recall.agent_id, task.id, error.message)

    async def _commit_recall(self, recall: Recall, task: Task, why: str) -> Change:
        site, version, reason = self._site, self._version, recall.reason.value
        if recall.action is RecallAction.RESCIND:
            return await self._store.rescind(
                site, task.id, task.fence, reason, self._actor, why=why, policy_version=version
            )
        notice_ms = round(self._document.notice_s * 1000)
        return await self._store.recall(
            site, task.id, task.fence, notice_ms, reason, self._actor, why=why, policy_version=version
        )

    # -- push ------------------------------------------------------------------------------------------
    async def _push(self, snapshot: Snapshot, decision: GateDecision, gate: Gate) -> int | None:
        """Offer work to idle agents, unless a call waits, and no more than a forecast shortage would leave there."""
        self._rules_until = 0.0
        if not gate.open or snapshot.waiting_ages_s:
            return None
        room = min(gate.allowance - snapshot.on_tasks, snapshot.idle - gate.reserve)
        if decision.tasks_ahead is not None:
            room = min(room, math.floor(decision.tasks_ahead) - snapshot.on_tasks)
        rules = PassRules(
            room=room,
            min_idle_ms=round(self._document.min_idle_s * 1000),
            task_ms=round((snapshot.task_s or 0.0) * 1000),
            agent_choice=self._document.agent_choice.value,
            why=f"{gate.reason}; idle {snapshot.idle}, on tasks {snapshot.on_tasks}",
        )
        self._rules, self._rules_until = rules, self._clock.monotonic() + _RULES_S
        self._looked, self._room = snapshot, room
        return await self._hand_out()

    async def _hand_out(self) -> int | None:
        """Offer work under the rules of the last look."""
        before = self.matcher.handed
        next_ms = await self.matcher.push(self._rules._replace(room=self._room))
        handed = self.matcher.handed - before
        self._room -= handed
        if self._looked:
            self._witness.pushed(self._looked, handed, self._rules.room)
        return next_ms


def _by_hand(wanted: Gate, stored: Gate, snapshot: Snapshot, document: PolicyDocument) -> Gate:
    """What a supervisor's standing word makes of the gate. Held open, it still closes on stale data."""
    lasts = stored.manual_until_ms == 0 or stored.manual_until_ms > snapshot.now_ms
    if stored.mode is GateMode.AUTO or not lasts:
        return wanted
    open = stored.mode is GateMode.OPEN and not document.is_stale(snapshot.feed_age_s)
    staff = snapshot.logged_in
    allowance, reserve = (staff, 0) if open else (0, staff)
    return replace(
        wanted,
        open=open,
        allowance=allowance,
        reserve=reserve,
        reserve_firm=reserve,
        reason=f"held {stored.mode.value.lower()} by hand: {_without_prefix(stored.reason)}",
    )


def _without_prefix(reason: str) -> str:
    return reason.split(" by hand: ", 1)[-1]


def in_words(decision: GateDecision) -> str:
    """A decision as one line of figures, for people."""
    told = decision.explanation
    words = [f"{told.get('law', 'policy')}: {told.get('reason', '')}".rstrip(": ")]
    words.append(f"allowance {decision.allowance}, reserve {decision.reserve}/{decision.reserve_firm}")
    words.append(f"service level to go {decision.required_service_level:.0%}")
    words.append(f"{decision.rate_per_s * 3600:.0f} calls/h")
    words.append("recall armed" if decision.armed else "recall not armed")
    return "; ".join(words)


def _candidate(agent: Agent, task: Task, snapshot: Snapshot) -> Candidate:
    started_ms = task.accept_ms or task.offer_ms
    spent_s = max(0, snapshot.now_ms - started_ms) / 1000
    expected_s = task.expected_handling_ms / 1000 or snapshot.task_s or 0.0
    hour_ago = snapshot.now_ms - 3_600_000
    return Candidate(
        agent_id=agent.profile.id,
        task_id=task.id,
        started_ms=started_ms,
        interruptible=task.interruptible,
        expected_remaining_s=_remaining_s(expected_s, spent_s),
        accepted=task.state is TaskState.ACTIVE,
        last_checkpoint_ms=task.checkpoint.at_ms if task.checkpoint else None,
        recalls_last_hour=sum(1 for at in agent.recall_times_ms if at > hour_ago),
    )


def _remaining_s(expected_s: float, spent_s: float) -> float:
    """Expected remaining time. Handling times are skewed: a task over its time is not about to end."""
    return max(expected_s - spent_s, expected_s / 4)
