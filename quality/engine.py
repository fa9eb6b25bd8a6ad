"""A fast play of one day under a reserve per half hour and no recall: what a search needs thousands of times.

The same day and the same rules as the simulator around the real router (`router.simulation`): a call goes to the
longest-idle agent; a freed agent leaves, takes an owed break, takes the first waiting call or becomes idle, in this
order; while no call waits and more agents are idle than the reserve, the longest idle of those who have been idle for
``min_idle_s`` and whose next break or shift end is not sooner than a task takes on average is given a task, which is
never taken back. Compiled by numba; a test holds it to the simulator's figures. Times in seconds after midnight.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_OFF, _IDLE, _CALL, _TASK, _BREAK = range(5)
# Kinds of events.
_FREE, _GIVES_UP, _PUSH, _STEP, _STARTS, _BREAK_DUE, _ENDS = range(7)
# Counts.
_EVENTS, _IDLERS, _HEAD, _TAIL, _WAITING, _ANSWERED, _IN_TARGET, _ABANDONED, _PUSHES, _PLANNED = range(10)
# Sums.
_NOW, _IDLE_S, _TASK_S = range(3)
_SLACK_S = 1e-9


class Center(NamedTuple):
    """One day's calls and agents. ``breaks[agent, n]`` is (start, length), infinite start where there is none."""

    opens_s: float
    arrives: Floats
    patience: Floats
    handling: Floats
    starts: Floats
    ends: Floats
    breaks: Floats
    tasks: Floats
    """Seconds of work in each task, in the order of the backlog; used again from the start when it is at its end."""


class Rules(NamedTuple):
    """What does not change in a search; ``task_s`` is the time that a push expects a task to take."""

    target_s: float = 20.0
    ring_s: float = 1.0
    min_idle_s: float = 5.0
    task_s: float = 300.0
    step_s: float = 1800.0


class Played(NamedTuple):
    """What came of it. ``kept_s`` is work on tasks, ``idle_s`` agents' available time, in seconds."""

    answered: int
    in_target: int
    abandoned: int
    idle_s: float
    kept_s: float
    starts: int

    @property
    def level(self) -> float:
        """Answered within the target over answered and abandoned."""
        return self.in_target / max(1, self.answered + self.abandoned)


class _State(NamedTuple):
    heap: Floats
    """Rows of time, order of planning, kind and whom it concerns; row 0 is free for the one being moved."""
    counts: Ints
    total: Floats
    state: Ints
    since: Floats
    idlers: Ints
    answered: NDArray[np.int8]
    line: Ints
    breaks_due: Ints
    breaks_had: Ints
    leaving: NDArray[np.int8]


NEVER = 1 << 40
"""A reserve that no group can fill: no task is pushed."""


def play(center: Center, reserve: Ints, rules: Rules | None = None) -> Played:
    """Play the day with ``reserve[n]`` idle agents kept back in the n-th step after the opening; the last one stays."""
    played, _ = _run(center, np.asarray(reserve, np.int64), rules or Rules(), np.zeros((0, 2)))
    return played


def idle_profile(center: Center, rules: Rules | None = None) -> Floats:
    """How many agents are idle without blending: rows of (from when, how many), in order of time."""
    room = np.zeros((4 * center.arrives.size + 40 * center.starts.size + 16, 2))
    _, used = _run(center, np.array([NEVER], np.int64), rules or Rules(), room)
    return room[:used]


def _run(center: Center, reserve: Ints, rules: Rules, profile: Floats) -> tuple[Played, int]:
    count, total, used = _played(center, reserve, rules, profile)
    figures = Played(
        answered=int(count[_ANSWERED]),
        in_target=int(count[_IN_TARGET]),
        abandoned=int(count[_ABANDONED]),
        idle_s=float(total[_IDLE_S]),
        kept_s=float(total[_TASK_S]),
        starts=int(count[_PUSHES]),
    )
    return figures, int(used)


@numba.njit(cache=True)
def _sooner(heap, a, b):
    """Whether one place of the heap holds an earlier event; those of one moment come as they were planned."""
    return heap[a, 0] < heap[b, 0] or (heap[a, 0] == heap[b, 0] and heap[a, 1] < heap[b, 1])


@numba.njit(cache=True)
def _copy(heap, to, source):
    for n in range(4):
        heap[to, n] = heap[source, n]


@numba.njit(cache=True)
def _rise(heap, n):
    """Move the event kept in place 0 up from place n, to where it belongs."""
    while n > 1 and _sooner(heap, 0, n >> 1):
        _copy(heap, n, n >> 1)
        n >>= 1
    _copy(heap, n, 0)


@numba.njit(cache=True)
def _sink(heap, size):
    """Move the event kept in place 0 down from the top, to where it belongs."""
    n, child = 1, 2
    while child <= size:
        if child < size and _sooner(heap, child + 1, child):
            child += 1
        if not _sooner(heap, child, 0):
            break
        _copy(heap, n, child)
        n, child = child, 2 * child
    _copy(heap, n, 0)


@numba.njit(cache=True)
def _plan(s, at, kind, who):
    """Put an event on the heap."""
    count, heap = s.counts, s.heap
    count[_EVENTS] += 1
    count[_PLANNED] += 1
    heap[0, 0], heap[0, 1], heap[0, 2], heap[0, 3] = at, count[_PLANNED], kind, who
    _rise(heap, count[_EVENTS])


@numba.njit(cache=True)
def _take(s):
    """The next event, off the heap."""
    heap = s.heap
    at, kind, who = heap[1, 0], int(heap[1, 2]), int(heap[1, 3])
    _copy(heap, 0, s.counts[_EVENTS])
    s.counts[_EVENTS] -= 1
    _sink(heap, s.counts[_EVENTS])
    return at, kind, who


@numba.njit(cache=True)
def _leave_idle(s, place):
    """Take the idle agent at this place of the line, the longest idle first, out of it."""
    agent = s.idlers[place]
    s.counts[_IDLERS] -= 1
    for n in range(place, s.counts[_IDLERS]):
        s.idlers[n] = s.idlers[n + 1]
    return agent


@numba.njit(cache=True)
def _answer(s, center, rules, agent, call):
    s.answered[call] = 1
    s.counts[_ANSWERED] += 1
    if s.total[_NOW] + rules.ring_s - center.arrives[call] <= rules.target_s:
        s.counts[_IN_TARGET] += 1
    s.state[agent] = _CALL
    _plan(s, s.total[_NOW] + rules.ring_s + center.handling[call], _FREE, agent)


@numba.njit(cache=True)
def _next_waiting(s):
    """The first call still waiting, off its line; -1 if there is none."""
    while s.counts[_HEAD] < s.counts[_TAIL]:
        call = s.line[s.counts[_HEAD]]
        s.counts[_HEAD] += 1
        if s.answered[call] == 0:
            s.counts[_WAITING] -= 1
            return call
    return -1


@numba.njit(cache=True)
def _free(s, center, rules, agent):
    """Let an agent do what comes next."""
    now = s.total[_NOW]
    if s.leaving[agent]:
        s.state[agent] = _OFF
        return
    if s.breaks_due[agent] > s.breaks_had[agent]:
        length = center.breaks[agent, s.breaks_had[agent], 1]
        s.breaks_had[agent] += 1
        s.state[agent] = _BREAK
        _plan(s, now + length, _FREE, agent)
        return
    call = _next_waiting(s)
    if call >= 0:
        _answer(s, center, rules, agent, call)
        return
    s.state[agent], s.since[agent] = _IDLE, now
    s.idlers[s.counts[_IDLERS]] = agent
    s.counts[_IDLERS] += 1
    _plan(s, now + rules.min_idle_s, _PUSH, agent)


@numba.njit(cache=True)
def _stop_idling(s, agent):
    for place in range(s.counts[_IDLERS]):
        if s.idlers[place] == agent:
            _leave_idle(s, place)
            return


@numba.njit(cache=True)
def _stays_s(s, center, agent):
    """Time until the agent's next planned absence."""
    due = center.ends[agent]
    had = s.breaks_had[agent]
    if had < center.breaks.shape[1]:
        due = min(due, center.breaks[agent, had, 0])
    return due - s.total[_NOW]


@numba.njit(cache=True)
def _push(s, center, rules, reserve):
    """Give tasks to the idle agents beyond the reserve, the longest idle first."""
    place = 0
    while s.counts[_WAITING] == 0 and s.counts[_IDLERS] > reserve and place < s.counts[_IDLERS]:
        agent = s.idlers[place]
        if s.total[_NOW] - s.since[agent] < rules.min_idle_s - _SLACK_S:
            return
        if _stays_s(s, center, agent) < rules.task_s:
            place += 1
            continue
        _leave_idle(s, place)
        work = center.tasks[s.counts[_PUSHES] % center.tasks.size]
        s.counts[_PUSHES] += 1
        s.total[_TASK_S] += work
        s.state[agent] = _TASK
        _plan(s, s.total[_NOW] + work, _FREE, agent)


@numba.njit(cache=True)
def _planned(s, center, agent, kind):
    """A shift begins or ends, or a break is due."""
    if kind == _BREAK_DUE:
        s.breaks_due[agent] += 1
    elif kind == _ENDS:
        s.leaving[agent] = 1
    return kind == _STARTS or s.state[agent] == _IDLE


@numba.njit(cache=True)
def _set_up(center, rules, steps):
    calls, agents = center.arrives.size, center.starts.size
    room = 4 * calls + 40 * agents + steps + 4096
    s = _State(
        np.zeros((room, 4)), np.zeros(10, np.int64), np.zeros(3),
        np.zeros(agents, np.int64), np.zeros(agents), np.zeros(agents + 1, np.int64), np.zeros(calls, np.int8),
        np.zeros(calls + 1, np.int64), np.zeros(agents, np.int64), np.zeros(agents, np.int64),
        np.zeros(agents, np.int8),
    )  # fmt: skip
    for agent in range(agents):
        _plan(s, center.starts[agent], _STARTS, agent)
        for n in range(center.breaks.shape[1]):
            if math.isfinite(center.breaks[agent, n, 0]):
                _plan(s, center.breaks[agent, n, 0], _BREAK_DUE, agent)
        _plan(s, center.ends[agent], _ENDS, agent)
    for step in range(1, steps):
        _plan(s, center.opens_s + step * rules.step_s, _STEP, step)
    return s


@numba.njit(cache=True)
def _happen(s, center, rules, kind, who):
    """One event but an arrival."""
    if kind == _GIVES_UP:
        if s.answered[who] == 0:
            s.answered[who] = 2
            s.counts[_WAITING] -= 1
            s.counts[_ABANDONED] += 1
    elif kind == _FREE:
        _free(s, center, rules, who)
    elif kind in (_STARTS, _BREAK_DUE, _ENDS) and _planned(s, center, who, kind):
        _stop_idling(s, who)
        _free(s, center, rules, who)


@numba.njit(cache=True)
def _arrive(s, center, rules, call):
    if s.counts[_IDLERS] > 0:
        _answer(s, center, rules, _leave_idle(s, 0), call)
        return
    s.line[s.counts[_TAIL]] = call
    s.counts[_TAIL] += 1
    s.counts[_WAITING] += 1
    _plan(s, s.total[_NOW] + center.patience[call], _GIVES_UP, call)


@numba.njit(cache=True)
def _played(center, reserve, rules, profile):
    """Play the day to its end: counts, sums, and how many rows of the idle profile were written."""
    s = _set_up(center, rules, reserve.size)
    calls, arrived, kept_back, rows, idle = center.arrives.size, 0, reserve[0], 0, 0
    while arrived < calls or s.counts[_EVENTS] > 0:
        arrival = arrived < calls and (s.counts[_EVENTS] == 0 or center.arrives[arrived] <= s.heap[1, 0])
        if arrival:
            at, kind, who = center.arrives[arrived], -1, arrived
            arrived += 1
        else:
            at, kind, who = _take(s)
        s.total[_IDLE_S] += s.counts[_IDLERS] * (at - s.total[_NOW])
        s.total[_NOW] = at
        if arrival:
            _arrive(s, center, rules, who)
        elif kind == _STEP:
            kept_back = reserve[who]
        else:
            _happen(s, center, rules, kind, who)
        _push(s, center, rules, kept_back)
        if profile.shape[0] > 0 and s.counts[_IDLERS] != idle:
            idle = s.counts[_IDLERS]
            profile[rows, 0], profile[rows, 1] = at, idle
            rows += 1
    return s.counts, s.total, rows
