"""Plays one day: a modelled call center and desktops around the router's own dispatch, policies and store.

One heap of events and no event loop, no thread, no wall clock: the same day under the same policy is the same to the
bit, and all that chance decides is drawn per call, task and agent, so that two policies see the same day.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from callcenter.center import AgentChange, AgentState
from router.dispatch.call_history import KIND as HISTORY
from router.dispatch.call_history import days_text
from router.dispatch.recorder import FLUSH_S, KEPT_CHUNKS
from router.domain.model import HELD_STATES, AcdCommand, AgentProfile, TaskState
from router.domain.ports import Hint, RecordedChunk
from router.policies.blending import PolicyDocument
from router.simulation.acd import SOURCE, SimulatedAcd, center_of
from router.simulation.backlog import Backlog
from router.simulation.desktops import Desktop, Tally, habits_of
from router.simulation.result import CallFigures, DayResult, Figures, Minute, WorkFigures, call_figures
from router.simulation.scenario import Day, Group
from router.simulation.site import SITE, SUPERVISED_BY, WORKER, SimulatedSite
from router.simulation.timeline import Timeline, VirtualClock, run_now

_BEFORE_S = 60.0
"""The router runs so long before the call center opens."""
_AFTER_S = 4 * 3600.0
"""After the last shift's end, what is still on a desk has so long to end."""
_MINUTE_S = 60.0
_DAY_MS = 86_400_000
_RECORDING_MS = 7 * 86_400_000
_ON_CALL = (AgentState.RINGING, AgentState.ON_CALL, AgentState.AFTER_CALL)

Policy = PolicyDocument | str
"""A policy's document, read or as its YAML or JSON text."""
Baselines = Mapping[str, CallFigures]


def simulate(
    day: Day,
    policies: Policy | Mapping[str, Policy] | None,
    *,
    name: str = "",
    trace: bool = False,
    baseline: Baselines | None = None,
    recording: list[RecordedChunk] | None = None,
) -> DayResult:
    """Play a day. ``policies``: one for all groups, or one per group; None: without blending.

    ``baseline``: what :func:`without_blending` gave for this day, to spare the time of playing it again. ``recording``
    is given the chunks that a router would have recorded of the day.
    Raises PolicyError for a document that is not valid and ValueError for a group without a policy.
    """
    baseline = baseline or without_blending(day)
    if policies is None:
        return unblended(day, baseline, name)
    play = Play(day, policies, trace, recorded=recording is not None)
    result = play.run(name, baseline)
    if recording is not None:
        recording += play.recording()
    return result


def without_blending(day: Day) -> dict[str, CallFigures]:
    """Each group's day without the router: its service level, and the spare time that there is to recover."""
    return {group.id: _played_alone(group) for group in day.groups}


def unblended(day: Day, baseline: Baselines, name: str = "") -> DayResult:
    """The result of a day on which no task is pushed."""
    groups = {
        group.id: Figures(baseline[group.id], baseline[group.id], target=group.queues[0].target_share)
        for group in day.groups
    }
    return DayResult(name, groups)


def _played_alone(group: Group) -> CallFigures:
    center = center_of(group)
    center.run()
    return call_figures(center)


@contextmanager
def _without_looking_for_cycles() -> Iterator[None]:
    """What a day makes, it keeps: looking through it for garbage again and again would cost a sixth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _nothing() -> None:
    """At the router alone something is due."""


def _per_group(day: Day, policies: Policy | Mapping[str, Policy]) -> dict[str, str]:
    texts = {}
    for group in day.groups:
        policy = policies.get(group.id) if isinstance(policies, Mapping) else policies
        if policy is None:
            raise ValueError(f"group {group.id!r} has no policy: give one for each group, or one for all")
        document = PolicyDocument.parse(policy) if isinstance(policy, str) else policy
        texts[group.id] = document.to_yaml()
    return texts


class Play:
    """One day under way; ``site``, ``backlog`` and ``acds`` can be looked at when it is over."""

    def __init__(
        self,
        day: Day,
        policies: Policy | Mapping[str, Policy],
        trace: bool = False,
        recorded: bool = False,
    ) -> None:
        self._day = day
        self._clock = VirtualClock(day.date)
        self._timeline = Timeline()
        keep_ms = _RECORDING_MS if recorded else 0
        self.site = SimulatedSite(self._clock, self._on_task, self._on_command, keep_ms)
        self.backlog = Backlog(day, self.site, self._timeline)
        self._tallies = {group.id: Tally() for group in day.groups}
        self._desktops: dict[str, Desktop] = {}
        self._logged_in: set[str] = set()
        self.acds: dict[str, SimulatedAcd] = {}
        self._policies = _per_group(day, policies)
        self._wants_trace = trace
        self._trace: list[Minute] = []
        for group in day.groups:
            self._add(group)

    def _add(self, group: Group) -> None:
        habits = habits_of(self._day.desktops)
        tally = self._tallies[group.id]
        for agent in group.agents:
            self._desktops[agent.id] = Desktop(
                agent.id, self._day.seed, habits, self.site, self._timeline, self.backlog, tally
            )
        acd = SimulatedAcd(self._day, group, self.site, self._timeline, self._back_at, self._on_agent)
        self.acds[group.id] = acd

    # -- the day ---------------------------------------------------------------------------------------
    def run(self, name: str = "", baseline: Baselines | None = None) -> DayResult:
        """Play the day to its end."""
        with _without_looking_for_cycles():
            self._open()
            limit_s = min(self._day.ends_s + _AFTER_S, self._day.stops_s)
            now_s, happen = self._next()
            while now_s < limit_s:
                self._clock.move_to(now_s)
                happen()
                self.site.step()
                now_s, happen = self._next()
        if self._day.stops_s < math.inf:
            self._stop()
        return self._result(name, baseline or without_blending(self._day))

    def _open(self) -> None:
        begin_s = min(self._day.opens_s, min(acd.next_s for acd in self.acds.values())) - _BEFORE_S
        self._clock.move_to(begin_s)
        for group in self._day.groups:
            self.site.lead(group.id, self._policies[group.id])
            self._remember(group)
            for agent in group.agents:
                profile = AgentProfile(agent.id, skills=dict(agent.skills), blending_group=group.id)
                run_now(self.site.agents.create_agent(SUPERVISED_BY, profile))
        self.backlog.open()
        for acd in self.acds.values():
            acd.open(begin_s)
        if self.site.recorder.on:
            self._timeline.at(begin_s, self._record)
        if self._wants_trace:
            self._timeline.at(self._day.opens_s, self._note_minute)

    def _remember(self, group: Group) -> None:
        """Keep the volumes of earlier days where a leader finds them."""
        if group.history:
            opens_ms, today = self._clock.ms(self._day.opens_s), self._day.date
            days = {opens_ms + (day - today).days * _DAY_MS: calls for day, calls in group.history.items()}
            run_now(self.site.store.put_document(SITE, HISTORY, group.id, days_text(days), None))

    def _stop(self) -> None:
        """Everybody is free for calls, and these run out."""
        self._clock.move_to(self._day.stops_s)
        for desktop in self._desktops.values():
            desktop.stop()
        for acd in self.acds.values():
            acd.run_out(self._day.stops_s)

    def _next(self) -> tuple[float, Callable[[], None]]:
        """The next event and its time: of a center first, else of the timeline, else only the router's time has come.

        The time is infinite when every call and shift has ended and every desk is free.
        """
        acds_s, first = math.inf, None
        for acd in self.acds.values():
            if (next_s := acd.next_s) < acds_s:
                acds_s, first = next_s, acd
        if first is None and not self._logged_in and not any(d.busy for d in self._desktops.values()):
            return math.inf, _nothing
        timeline_s, site_s = self._timeline.next_s, self.site.next_s
        if first is not None and acds_s <= timeline_s and acds_s <= site_s:
            return acds_s, partial(first.play, acds_s)
        return (timeline_s, self._timeline.happen) if timeline_s <= site_s else (site_s, _nothing)

    # -- what the parts tell one another ---------------------------------------------------------------
    def _on_task(self, hint: Hint) -> None:
        self._desktops[hint.agent].told(hint)

    def _on_command(self, command: AcdCommand) -> None:
        self.acds[command.source.removeprefix(SOURCE)].command(command)

    def _back_at(self, agent: str) -> float:
        return self._desktops[agent].recalled_s + self._day.desktops.back_s

    def _on_agent(self, change: AgentChange) -> None:
        """An agent's desktop is connected as long as the agent is at work, and while something is on the desk."""
        store, agent = self.site.store, change.agent
        if change.before is AgentState.OFFLINE:
            self._logged_in.add(agent)
            run_now(store.connect(SITE, agent, WORKER, f"s-{agent}", True))
        elif change.state is AgentState.OFFLINE:
            self._logged_in.discard(agent)
        elif change.before is AgentState.RESERVED:
            self._desktops[agent].back()

    # -- the recording ---------------------------------------------------------------------------------
    def _record(self) -> None:
        run_now(self.site.recorder.flush(SITE))
        self._timeline.at(self._clock.now_s + FLUSH_S, self._record)

    def recording(self) -> list[RecordedChunk]:
        """All that was recorded of the day."""
        run_now(self.site.recorder.flush(SITE))
        return run_now(self.site.store.recording(SITE, "", KEPT_CHUNKS))

    # -- what came of it -------------------------------------------------------------------------------
    def _note_minute(self) -> None:
        for group in self._day.groups:
            self._trace.append(self._minute(group))
        if self._clock.now_s < self._day.closes_s:
            self._timeline.at(self._clock.now_s + _MINUTE_S, self._note_minute)

    def _minute(self, group: Group) -> Minute:
        center = self.acds[group.id].center
        gate = run_now(self.site.store.gate(SITE, group.id))
        counted = {figures.group: figures for figures in run_now(self.site.store.groups(SITE))}
        states, queue = center.states(), center.queue()
        decision = self.site.leaders[group.id].controller.decision
        figures, tally = counted.get(group.id), self._tallies[group.id]
        return Minute(
            at_s=self._clock.now_s,
            group=group.id,
            waiting=queue.waiting,
            idle=figures.idle if figures else 0,
            on_call=sum(states[state] for state in _ON_CALL),
            on_tasks=figures.on_tasks if figures else 0,
            reserve=gate.reserve,
            reserve_firm=gate.reserve_firm,
            allowance=gate.allowance,
            armed=gate.armed,
            required=decision.required_service_level if decision else 0.0,
            service_level=queue.service_level,
            offered=queue.offered,
            starts=tally.starts,
            recalls=tally.recalls,
        )

    def _result(self, name: str, baseline: Baselines) -> DayResult:
        counts = run_now(self.site.store.backlog(SITE)).by_work_type
        by_state = {state: sum(n for (_, s), n in counts.items() if s is state) for state in TaskState}
        return DayResult(
            name,
            {group.id: self._figures(group, baseline[group.id]) for group in self._day.groups},
            queued=by_state[TaskState.QUEUED],
            held=sum(by_state[state] for state in HELD_STATES),
            submitted=len(self.backlog.items),
            late_open=self.backlog.late_at(self._clock.now_s),
            least_urgent_wait_s=self.backlog.least_urgent_wait_s(),
            violations=tuple(run_now(self.site.store.audit(SITE)).violations),
            trace=tuple(self._trace),
        )

    def _figures(self, group: Group, without: CallFigures) -> Figures:
        queue, tally = group.queues[0], self._tallies[group.id]
        ledgers = [self._desktops[agent.id].desk.ledger for agent in group.agents]
        work = WorkFigures(
            kept_s=sum(ledger.kept_s for ledger in ledgers),
            spent_s=sum(ledger.spent_s for ledger in ledgers),
            done=tally.done,
            late=tally.late,
            offers=tally.offers,
            starts=tally.starts,
            recalls=tally.recalls,
            interruptions=tally.interruptions,
            rescinded=tally.rescinded,
            forced=tally.forced,
            refused=tally.refused,
            resumed_here=tally.resumed_here,
        )
        calls = call_figures(self.acds[group.id].center)
        return Figures(calls, without, work, queue.target_share, tuple(tally.reactions_s))
