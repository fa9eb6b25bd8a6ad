"""Makes a day to be simulated out of a recording: its calls, the agents' presence, the work and the desktops.

What a recording does not tell is completed in the simplest way. A call's handling time is that of the agent who took
it, in the order of the answers; who gave up had just that much patience, who was answered had more, by the exponential
distribution of the mean that all waiting and all giving up gives (the estimate of greatest likelihood). Tasks hold the
times that were measured of their kind. Agents begin the day free of calls.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import pairwise

from callcenter.calls import Call
from callcenter.distributions import Deterministic, Distribution, Empirical
from callcenter.staffing import Shift
from router.dispatch.recording import Context, Recorded
from router.policies.blending import PolicyDocument, Snapshot
from router.simulation.scenario import (
    AcdLink,
    CallQueue,
    Day,
    Desktops,
    ForecastStep,
    Group,
    PlannedAgent,
    Work,
)

Skills = Mapping[str, int]
_STARTS = frozenset({"accept", "pull", "resume"})
_STOPS = frozenset({"complete", "release", "force", "park", "lease_timeout", "cancel"})
_AWAY = frozenset({"OFFLINE", "NOT_READY"})
_LEAST_CALLS = 20
_LEAST_TIME_S = 0.1
_FEW = 10
"""With fewer measured times than this a kind of work takes as long as it is expected to."""


class TooLittleRecorded(ValueError):
    """The recording does not tell enough for a day to be simulated; the text says what is missing and what to do."""


@dataclass(frozen=True, slots=True)
class Actual:
    """What really happened in the time that was recorded. Times in seconds, the level by the formula ``offered``."""

    offered: int = 0
    answered: int = 0
    in_target: int = 0
    abandoned: int = 0
    done: int = 0
    late: int = 0
    recalls: int = 0
    work_s: float = 0.0
    """Time on tasks, less the work that recalls lost."""

    @property
    def service_level(self) -> float:
        """Calls answered in target over calls resolved; 1 without any."""
        resolved = self.answered + self.abandoned
        return self.in_target / resolved if resolved else 1.0


@dataclass(frozen=True, slots=True)
class RecordedDay:
    """A day out of a recording, what really happened on it, and the policy that decided last."""

    day: Day
    actual: Actual
    version: int
    document: PolicyDocument
    begin_ms: int
    end_ms: int


@dataclass(slots=True)
class _Answer:
    """One call that an agent took."""

    agent: str
    at_s: float
    rang_s: float
    talk_s: float = 0.0
    after_s: float = 0.0


@dataclass(slots=True)
class _Attempts:
    """The work on one task: the attempt that runs, and the time of all."""

    begun_s: float | None = None
    spent_s: float = 0.0
    offered_s: float | None = None
    recalled_s: float | None = None


@dataclass(slots=True)
class _Queue:
    """A call queue's counters between two reports, and what they tell of its calls."""

    counts: tuple[int, ...] = ()
    arrivals: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    abandoned: list[float] = field(default_factory=list)
    in_target: int = 0
    aht_s: float = 0.0


class Reader:
    """Reads a group's entries in the order of their times. ``agents``: the group's, with their skills."""

    def __init__(self, group: str, agents: Mapping[str, Skills], midnight_ms: int) -> None:
        self._group = group
        self._agents = agents
        self._midnight_ms = midnight_ms
        self._context = Context()
        self.version, self.document = 0, PolicyDocument()
        self.windows: dict[str, tuple[str, int, int, list[list[float]]]] = {}
        self.queues: dict[str, _Queue] = defaultdict(_Queue)
        self.states: dict[str, list[tuple[float, str]]] = defaultdict(list)
        self._leaves: dict[str, float] = {}
        self.planned: dict[tuple[str, float], float] = {}
        """(agent, when it left for a break or for good) -> when it had announced to."""
        self.submits: dict[str, tuple[float, str, int, int, int, bool]] = {}
        self.attempts: dict[str, _Attempts] = defaultdict(_Attempts)
        self.first_by: dict[str, str] = {}
        self.types: dict[str, str] = {}
        self.times: dict[str, list[float]] = defaultdict(list)
        self.accepts: list[float] = []
        self.hand_backs: list[float] = []
        self.reactions: list[float] = []
        """Seconds from a recall until the ACD had the agent back."""
        self._called_back: dict[str, float] = {}
        self.done: dict[str, float] = {}
        self.recalls = 0
        self.work_s = 0.0
        self.snapshot: Snapshot | None = None

    def read(self, entry: Recorded) -> None:
        """Take note of one entry."""
        self._context.read(entry)
        reading = getattr(self, f"_{entry.kind}", None)
        if reading:
            reading((entry.at_ms - self._midnight_ms) / 1000, *entry.fields)

    # -- telephony -------------------------------------------------------------------------------------
    def _window(
        self, at_s: float, queue: str, group: str, begin_ms: int, end_ms: int, steps: list[list[float]]
    ) -> None:
        self.windows[queue] = (group, begin_ms, end_ms, steps or self.windows.get(queue, ("", 0, 0, []))[3])

    def _report(
        self,
        at_s: float,
        source: str,
        snapshot: int,
        agents: Sequence[Sequence[object]],
        queues: Sequence[list[int]],
    ) -> None:
        for agent, state, age_ms, *leave in agents:
            if str(agent) in self._agents:
                self._change(str(agent), str(state), at_s - float(str(age_ms)) / 1000)
                self._plan(str(agent), at_s, *leave)
        if snapshot:
            named = {row[0] for row in agents}
            for agent in [agent for agent in self.states if agent not in named]:
                self._change(agent, "OFFLINE", at_s)
        for id, *counts in queues:
            self._count(self.queues[str(id)], at_s, counts)

    def _plan(self, agent: str, at_s: float, leave_ms: object = 0) -> None:
        """A leave announced ahead of time is a plan; one that is due by now says only that the plan is overdue."""
        leave_s = (int(str(leave_ms)) - self._midnight_ms) / 1000
        if leave_s > at_s:
            self._leaves[agent] = leave_s

    def _change(self, agent: str, state: str, since_s: float) -> None:
        changes = self.states[agent]
        if changes and changes[-1][1] == state:
            return
        since_s = max(since_s, changes[-1][0] if changes else since_s)
        if changes and changes[-1][1] == "RESERVED" and agent in self._called_back:
            self.reactions.append(max(0.0, since_s - self._called_back.pop(agent)))
        planned_s = self._leaves.get(agent, 0.0) if state in _AWAY and changes else 0.0
        if planned_s > 0 and changes[0][0] <= planned_s < since_s:
            self.planned[agent, since_s] = planned_s
        changes.append((since_s, state))

    @staticmethod
    def _count(queue: _Queue, at_s: float, counts: list[int]) -> None:
        """What came since the last report. Counters that fell were begun anew."""
        *totals, _waiting, aht_ms = counts
        fresh = queue.counts and all(now >= was for now, was in zip(totals, queue.counts, strict=True))
        before = queue.counts if fresh else ((0,) * len(totals) if queue.counts else tuple(totals))
        offered, answered, in_target, abandoned, _ = (n - b for n, b in zip(totals, before, strict=True))
        queue.counts, queue.aht_s = tuple(totals), aht_ms / 1000
        queue.arrivals += [at_s] * offered
        queue.answered += [at_s] * answered
        queue.abandoned += [at_s] * abandoned
        queue.in_target += in_target

    # -- work ------------------------------------------------------------------------------------------
    def _submit(
        self,
        at_s: float,
        task: str,
        work_type: str,
        priority: int,
        due_ms: int,
        expected_ms: int,
        interruptible: int,
    ) -> None:
        self.submits[task] = (at_s, work_type, priority, due_ms, expected_ms, bool(interruptible))

    def _event(self, at_s: float, name: str, task: str, work_type: str, agent: str, reason: str) -> None:
        self.types[task] = work_type
        if agent not in self._agents:
            if name in _STARTS:
                self.first_by.setdefault(task, agent)
            return
        work = self.attempts[task]
        if name == "offer":
            work.offered_s = at_s
        elif name == "recall":
            self.recalls += 1
            work.recalled_s = self._called_back[agent] = at_s
        elif name in _STARTS:
            self._begin(task, agent, work, at_s)
        elif name in _STOPS:
            self._stop(task, work, at_s, name)

    def _begin(self, task: str, agent: str, work: _Attempts, at_s: float) -> None:
        self.first_by.setdefault(task, agent)
        work.begun_s = at_s
        if work.offered_s is not None:
            self.accepts.append(at_s - work.offered_s)
            work.offered_s = None

    def _stop(self, task: str, work: _Attempts, at_s: float, name: str) -> None:
        if work.begun_s is None:
            return
        spent_s, work.begun_s = at_s - work.begun_s, None
        work.spent_s += spent_s
        self.work_s += spent_s
        if work.recalled_s is not None:
            self.hand_backs.append(at_s - work.recalled_s)
            work.recalled_s = None
        if name == "complete":
            self.done[task] = at_s
            self.times[self.types[task]].append(work.spent_s)

    # -- decisions -------------------------------------------------------------------------------------
    def _decision(
        self,
        at_s: float,
        group: str,
        version: int,
        term: int,
        number: int,
        seen: dict[str, object],
        *rest: object,
    ) -> None:
        if group != self._group:
            return
        self.snapshot = self._context.snapshot(seen) or self.snapshot
        document = self._context.document(group, version)
        if document:
            self.version, self.document = version, document


def recorded_day(
    entries: Iterable[Recorded],
    group: str,
    agents: Mapping[str, Skills],
    backlog: Mapping[str, int] | None = None,
    requirements: Mapping[str, Skills] | None = None,
    seed: int = 1,
) -> RecordedDay:
    """The day of a recording. ``backlog``: tasks of each work type that are queued at its end; ``requirements``: the
    skills that it asks for.

    Raises TooLittleRecorded where calls, agents or decisions are missing.
    """
    ordered = sorted(entries, key=lambda entry: entry.at_ms)
    if not ordered:
        raise TooLittleRecorded(_NOTHING)
    # A leader goes on deciding when the telephony has ended its day.
    seen_ms = [entry.at_ms for entry in ordered if entry.kind in ("report", "event")] or [ordered[-1].at_ms]
    begin_ms, end_ms = ordered[0].at_ms, seen_ms[-1]
    midnight_ms = begin_ms - begin_ms % 86_400_000
    reader = Reader(group, agents, midnight_ms)
    for entry in ordered:
        reader.read(entry)
    queues = _queues_of(reader, group)
    _check(reader, group, queues)
    begin_s, end_s = (begin_ms - midnight_ms) / 1000, (end_ms - midnight_ms) / 1000
    planned = _planned(reader, end_s)
    answers = _answers(reader, end_s)
    rings = [answer.rang_s for answer in answers]
    ring_s = sum(rings) / len(rings) if rings else 0.0
    played = Group(group, _call_queues(reader, queues, answers, end_s, seed), planned, ring_s)
    day = Day(
        _day(midnight_ms),
        seed,
        begin_s,
        end_s,
        (played,),
        _work(reader, backlog or {}, requirements or {}),
        _desktops(reader),
        AcdLink(),
    )
    return RecordedDay(day, _actual(reader, queues), reader.version, reader.document, begin_ms, end_ms)


_NOTHING = (
    "nothing is recorded yet: let the router run with --recording-hours above 0, or play stored volumes with"
    " `workrouter simulate`"
)


def _check(reader: Reader, group: str, queues: Sequence[str]) -> None:
    if reader.snapshot is None:
        raise TooLittleRecorded(f"no decision of group {group!r} is recorded in this time; {_NOTHING}")
    calls = sum(len(reader.queues[queue].arrivals) for queue in queues)
    if calls < _LEAST_CALLS:
        raise TooLittleRecorded(
            f"only {calls} calls of group {group!r} are recorded in this time; let the router record for longer, or"
            " play stored volumes with `workrouter simulate`"
        )
    if not reader.states:
        raise TooLittleRecorded(f"no agent of group {group!r} is in the recording of this time")


def _queues_of(reader: Reader, group: str) -> list[str]:
    named = reader.document.call_queues
    if named:
        return [queue for queue in named if queue in reader.queues]
    return [
        queue for queue, window in reader.windows.items() if window[0] == group and queue in reader.queues
    ]


# -- calls -------------------------------------------------------------------------------------------------
def _answers(reader: Reader, end_s: float) -> list[_Answer]:
    """The calls that agents took, in the order of the answers, without those under way when the recording begins."""
    found: list[_Answer] = []
    for agent, changes in reader.states.items():
        ringing_s, last = None, None
        for place, ((at_s, state), (until_s, _)) in enumerate(pairwise([*changes, (end_s, "")])):
            if state == "ON_CALL" and place:
                last = _Answer(
                    agent, at_s, at_s - ringing_s if ringing_s is not None else 0.0, until_s - at_s
                )
                found.append(last)
            elif state == "AFTER_CALL" and last:
                last.after_s += until_s - at_s
            else:
                last = None
            ringing_s = at_s if state == "RINGING" else None
    return sorted(found, key=lambda answer: answer.at_s)


def _call_queues(
    reader: Reader, queues: Sequence[str], answers: Sequence[_Answer], end_s: float, seed: int
) -> tuple[CallQueue, ...]:
    taken = _by_queue(reader, queues, answers)
    calls = {
        id: _calls(id, reader.queues[id], taken[id], end_s, random.Random(f"{seed}/{id}")) for id in queues
    }
    numbers = {
        (id, at): n
        for n, (_, id, at) in enumerate(
            sorted((call.arrives_at, id, at) for id in queues for at, call in enumerate(calls[id]))
        )
    }
    document = reader.document
    return tuple(
        CallQueue(
            id,
            tuple(
                Call(numbers[id, at], c.arrives_at, c.patience_s, c.talk_s, c.after_s, id)
                for at, c in enumerate(calls[id])
            ),
            _forecast(reader, id),
            document.target_s,
            document.target_share,
            reader.queues[id].aht_s or document.prior_aht_s,
        )
        for id in queues
    )


def _by_queue(reader: Reader, queues: Sequence[str], answers: Sequence[_Answer]) -> dict[str, deque[_Answer]]:
    """Which queue each answered call came from: the n-th answer that was counted is the n-th that an agent gave."""
    counted = sorted((at_s, id) for id in queues for at_s in reader.queues[id].answered)
    taken: dict[str, deque[_Answer]] = {id: deque() for id in queues}
    for (_, id), answer in zip(counted, answers, strict=False):
        taken[id].append(answer)
    return taken


def _calls(id: str, queue: _Queue, answers: deque[_Answer], end_s: float, draw: random.Random) -> list[Call]:
    """Each arrival with its patience and its handling time."""
    waits, answered = _waits(queue, end_s)
    lost = len(queue.abandoned)
    mean_s = sum(waits) / lost if lost else math.inf
    measured = [(answer.talk_s, answer.after_s) for answer in answers] or [(queue.aht_s or 240.0, 0.0)]
    calls = []
    for number, (at_s, wait_s, was_answered) in enumerate(zip(queue.arrivals, waits, answered, strict=True)):
        own = answers.popleft() if was_answered and answers else None
        talk_s, after_s = (own.talk_s, own.after_s) if own else draw.choice(measured)
        more_s = draw.expovariate(1 / mean_s) if math.isfinite(mean_s) and mean_s > 0 else 86_400.0
        gave_up = was_answered is False
        patience_s = wait_s if gave_up else wait_s + more_s
        calls.append(Call(number, at_s, patience_s, max(talk_s, _LEAST_TIME_S), after_s, id))
    return calls


def _waits(queue: _Queue, end_s: float) -> tuple[list[float], list[bool | None]]:
    """How long each call waited, and whether it was answered (None: still waiting), first come, first served."""
    waits = [max(0.0, end_s - at_s) for at_s in queue.arrivals]
    answered: list[bool | None] = [None] * len(waits)
    ends = sorted([(at_s, 0) for at_s in queue.answered] + [(at_s, 1) for at_s in queue.abandoned])
    first = 0
    for at_s, gave_up in ends:
        if first < len(waits) and queue.arrivals[first] <= at_s:
            waits[first], answered[first] = at_s - queue.arrivals[first], not gave_up
            first += 1
    return waits, answered


def _forecast(reader: Reader, queue: str) -> tuple[ForecastStep, ...]:
    steps = reader.windows[queue][3] if queue in reader.windows else []
    midnight_s = reader._midnight_ms / 1000
    return tuple(
        ForecastStep(start / 1000 - midnight_s, length / 1000, calls, staff)
        for start, length, calls, staff in steps
    )


# -- agents ------------------------------------------------------------------------------------------------
def _planned(reader: Reader, end_s: float) -> tuple[PlannedAgent, ...]:
    planned = []
    for agent, changes in sorted(reader.states.items()):
        away: list[tuple[float, float]] = []
        there: list[tuple[float, float]] = []
        for (at_s, state), (until_s, _) in pairwise([*changes, (end_s, "")]):
            (away if state in _AWAY else there).append((at_s, until_s))
        if there:
            begin_s, left_s = there[0][0], max(until_s for _, until_s in there)
            leave_s = reader.planned.get((agent, left_s), left_s)
            taken = [(reader.planned.get((agent, b), b), b, e) for b, e in _joined(away)]
            # A break that began late, for a call or a task, lasted as long as it was planned to all the same.
            breaks = tuple((p, p + e - b) for p, b, e in taken if begin_s < p and e < left_s)
            shift = Shift(agent, begin_s, leave_s, breaks)
            planned.append(PlannedAgent(shift, dict(reader._agents[agent])))
    return tuple(planned)


def _joined(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans that follow one another without a gap as one."""
    joined: list[tuple[float, float]] = []
    for begin_s, until_s in spans:
        if joined and begin_s <= joined[-1][1]:
            joined[-1] = (joined[-1][0], until_s)
        elif until_s > begin_s:
            joined.append((begin_s, until_s))
    return joined


# -- work --------------------------------------------------------------------------------------------------
def _work(reader: Reader, backlog: Mapping[str, int], requirements: Mapping[str, Skills]) -> tuple[Work, ...]:
    """The kinds of work. What waited in the morning is what was done, held or queued at the end and never submitted."""
    held = [task for task, work in reader.attempts.items() if work.begun_s is not None]
    taken = Counter(reader.types[task] for task in (*reader.done, *held))
    elsewhere = {task for task, by in reader.first_by.items() if by not in reader._agents}
    by_type: dict[str, list[tuple[float, str, int, int, int, bool]]] = defaultdict(list)
    for task, submit in sorted(reader.submits.items(), key=lambda item: item[1][0]):
        if task not in elsewhere:
            by_type[submit[1]].append(submit)
    kinds = sorted({*taken, *by_type, *backlog})
    return tuple(
        replace(
            _kind(reader, kind, by_type[kind], taken[kind] + backlog.get(kind, 0)),
            skills=dict(requirements.get(kind, {})),
        )
        for kind in kinds
    )


def _kind(
    reader: Reader,
    kind: str,
    submits: Sequence[tuple[float, str, int, int, int, bool]],
    seen: int,
) -> Work:
    """One kind of work; ``seen``: tasks of it that were done, held or queued at the end."""
    last = submits[-1] if submits else (0.0, kind, 50, 0, 0, True)
    goals = [
        due_ms / 1000 - reader._midnight_ms / 1000 - at_s for at_s, _, _, due_ms, _, _ in submits if due_ms
    ]
    return Work(
        kind,
        time=_task_time(reader, kind, last[4] / 1000),
        interruptible=last[5],
        priority=last[2],
        goal_s=max(1.0, sum(goals) / len(goals)) if goals else 86_400.0,
        waiting=max(0, seen - len(submits)),
        arrivals_s=tuple(at_s for at_s, *_ in submits),
    )


def _task_time(reader: Reader, kind: str, expected_s: float) -> Distribution:
    """The times measured of this kind, else of all kinds, else as long as it is expected to take.

    Times of tasks that were done count work that recalls lost, and long tasks are more often still under way at the
    end: all are stretched so that as much work is in a task done as there really was.
    """
    every = [time for times in reader.times.values() for time in times]
    stretch = _net_work_s(reader) / sum(every) if sum(every) else 1.0
    for times in (reader.times.get(kind, []), every):
        if len(times) >= _FEW:
            return Empirical(tuple(time * stretch for time in times))
    return Deterministic(expected_s or reader.document.prior_task_s)


def _net_work_s(reader: Reader) -> float:
    return max(0.0, reader.work_s - reader.recalls * _desktops(reader).lost_s)


def _desktops(reader: Reader) -> Desktops:
    seen, document = reader.snapshot, reader.document
    reaction_s = sum(reader.reactions) / len(reader.reactions) if reader.reactions else None
    lost_s = seen.work_lost_s if seen else None
    return Desktops(
        accept_s=Empirical(tuple(reader.accepts)) if reader.accepts else Deterministic(0.0),
        hand_back_s=Empirical(tuple(reader.hand_backs)) if reader.hand_backs else Deterministic(3.0),
        back_s=document.recall_reaction_initial_s if reaction_s is None else reaction_s,
        lost_s=document.work_lost_initial_s if lost_s is None else lost_s,
    )


# -- what really happened ----------------------------------------------------------------------------------
def _actual(reader: Reader, queues: Sequence[str]) -> Actual:
    counted = [reader.queues[id] for id in queues]
    late = sum(
        1
        for task, done_s in reader.done.items()
        if (submit := reader.submits.get(task)) and 0 < submit[3] < done_s * 1000 + reader._midnight_ms
    )
    return Actual(
        offered=sum(len(queue.arrivals) for queue in counted),
        answered=sum(len(queue.answered) for queue in counted),
        in_target=sum(queue.in_target for queue in counted),
        abandoned=sum(len(queue.abandoned) for queue in counted),
        done=len(reader.done),
        late=late,
        recalls=reader.recalls,
        work_s=_net_work_s(reader),
    )


def _day(midnight_ms: int) -> date:
    return datetime.fromtimestamp(midnight_ms / 1000, UTC).date()
