"""Stationary cases solved exactly: the best that any policy without recall can do, and what thresholds reach.

A group of ``s`` agents, Poisson calls at rate λ, exponential call and task times (rates μ1, μ2), calls that never give
up, a backlog of tasks that never ends, no recall. Its state is (x, y): x calls in the system, y agents on tasks.

- An arriving call is taken at once while x + y < s, else it waits; calls are served in the order of arrival.
- An agent who comes free, from a call or from a task, takes the first waiting call; only when none waits may a task
  be *pushed* to an idle agent: (x, y) becomes (x, y + 1) where x + y < s.

**Waiting time.** A call that arrives in (x, y) with x + y ≥ s waits until q + 1 agents have come free, q = x + y − s
calls being ahead of it. Nobody gets a task in the meantime, so with j agents still on tasks agents come free at
D(j) = (s − j)·μ1 + j·μ2, and j falls by one with probability j·μ2/D(j) each time. P(W > τ | q, j) follows from this
pure death process by uniformisation, and P(W > τ) = Σ π(x, y)·P(W > τ | x + y − s, y), as Poisson arrivals see time
averages.

**The best stationary policy** is a linear program in π and the push rates r: a push is an instantaneous move, so the
balance of each state holds with r as a free flow from (x, y) to (x, y + 1). Its optimum may randomise in one state.

**The recovered share** is E[y] / (s − λ/μ1): of the agents whom the calls do not need, those on tasks.

Sources: S. Bhulai and G. Koole, *A queueing model for call blending in call centers*, IEEE TAC 48(8), 2003; for
occupation measures with instantaneous control see M. Puterman, *Markov Decision Processes*, 1994, chapter 8.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import brentq
from scipy.sparse.linalg import spsolve
from scipy.stats import poisson

from callcenter.erlang import erlang_c_service_level

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Where the lattice is cut: enlarging these moves no figure by a thousandth of a point.
_CALLS_BELOW_MEAN = 6.0
_TASKS_ABOVE_MEAN = 5.0
_TAIL = 1e-9
# A price of late calls at which none is accepted that can be avoided, and a gain that is none.
_DEAR = 1e4
_NO_GAIN = 1e-11


@dataclass(frozen=True, slots=True)
class Case:
    """A stationary group: its agents, the calls' share of their time, mean times in seconds, the target."""

    agents: int
    occupancy: float
    aht_s: float
    task_s: float
    target: float = 0.8
    within_s: float = 20.0

    @property
    def load(self) -> float:
        """Erlangs of calls."""
        return self.agents * self.occupancy

    @property
    def rate_per_s(self) -> float:
        """Calls per second."""
        return self.load / self.aht_s

    @property
    def spare(self) -> float:
        """Agents whom the calls do not need, on average."""
        return self.agents - self.load

    @property
    def level_without_blending(self) -> float:
        """Share of calls answered within ``within_s`` by Erlang C."""
        return float(erlang_c_service_level(self.agents, self.load, self.aht_s, self.within_s))


CASES = (
    Case(20, 0.75, 180, 300),
    Case(50, 0.8, 180, 300),
    Case(50, 0.88, 240, 300),
    Case(200, 0.9, 240, 600),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stationary policy gives: service level, and the share of the spare agents that work on tasks."""

    level: float
    recovered: float


class Lattice:
    """The states (x, y) of a case, cut where nothing happens any more, with their exact waiting times."""

    def __init__(self, case: Case, idle_at_most: int | None = None) -> None:
        """Lay the states out; a threshold policy needs only those with at most so many agents idle."""
        self.case = case
        least = max(0, math.floor(case.load - _CALLS_BELOW_MEAN * math.sqrt(case.load)))
        most_tasks = min(case.agents, math.ceil(case.spare + _TASKS_ABOVE_MEAN * math.sqrt(case.load)))
        self.longest_queue = math.ceil(math.log(_TAIL) / math.log(case.occupancy))
        calls, tasks = np.meshgrid(
            np.arange(least, case.agents + self.longest_queue + 1), np.arange(most_tasks + 1), indexing="ij"
        )
        idle = case.agents - calls - tasks
        kept = (-idle <= self.longest_queue) & (
            idle <= (case.agents if idle_at_most is None else idle_at_most)
        )
        self.calls: Ints = calls[kept]
        self.tasks: Ints = tasks[kept]
        self.idle: Ints = idle[kept]
        self._least = least
        self._index = np.full(calls.shape, -1, dtype=np.int64)
        self._index[kept] = np.arange(self.calls.size)

    def __len__(self) -> int:
        return int(self.calls.size)

    def at(self, calls: Ints, tasks: Ints) -> Ints:
        """Numbers of the states; -1 for one outside the lattice."""
        row = calls - self._least
        inside = (row >= 0) & (row < self._index.shape[0]) & (tasks >= 0) & (tasks < self._index.shape[1])
        clipped = self._index[np.where(inside, row, 0), np.where(inside, tasks, 0)]
        return np.where(inside, clipped, -1)

    @cached_property
    def late(self) -> Floats:
        """P(W > τ) of a call that arrives in each state."""
        table = _late_table(self.case, self.longest_queue, int(self.tasks.max()))
        ahead = np.maximum(-self.idle, 0)
        return np.where(self.idle > 0, 0.0, table[ahead, self.tasks])

    def moves(self) -> tuple[tuple[Ints, Ints, Floats], ...]:
        """Arrivals, calls that end, tasks that end: the calls and tasks after each move, and its rate."""
        case = self.case
        on_calls = np.minimum(self.calls, case.agents - self.tasks)
        return (
            (self.calls + 1, self.tasks, np.full(len(self), case.rate_per_s)),
            (self.calls - 1, self.tasks, on_calls / case.aht_s),
            (self.calls, self.tasks - 1, self.tasks / case.task_s),
        )

    def outcome(self, share: Floats) -> Outcome:
        """The figures of a stationary distribution."""
        return Outcome(1.0 - float(share @ self.late), float(share @ self.tasks) / self.case.spare)


def _late_table(case: Case, longest: int, most_tasks: int) -> Floats:
    """P(W > τ) with q calls ahead (rows) and j agents on tasks (columns), by uniformisation."""
    tasks = np.arange(most_tasks + 1, dtype=np.float64)
    from_calls, from_tasks = (case.agents - tasks) / case.aht_s, tasks / case.task_s
    pace = case.agents * max(1.0 / case.aht_s, 1.0 / case.task_s)
    stay, calls, work = 1.0 - (from_calls + from_tasks) / pace, from_calls / pace, from_tasks / pace
    steps = int(poisson.ppf(1.0 - 1e-13, pace * case.within_s)) + 1
    left = np.ones((longest + 1, most_tasks + 1))
    late = np.zeros_like(left)
    for weight in poisson.pmf(np.arange(steps + 1), pace * case.within_s):
        late += weight * left
        ahead = np.vstack([np.zeros(most_tasks + 1), left[:-1]])
        fewer = np.hstack([np.zeros((longest + 1, 1)), ahead[:, :-1]])
        left = stay * left + calls * ahead + work * fewer
    return late


def threshold(case: Case, reserve: int, generosity: float = 0.0) -> Outcome:
    """The policy that keeps ``reserve`` agents idle; with probability ``generosity`` a push leaves one fewer.

    An agent who comes free and makes the idle agents ``reserve`` + 1 gets a task; one who makes them ``reserve``
    gets one with probability ``generosity``. So 0 and 1 are the thresholds ``reserve`` and ``reserve`` − 1.

    Raises ValueError for a reserve outside 1 … s, or 0 … s with a generosity of 0.
    """
    if not (0 if generosity == 0.0 else 1) <= reserve <= case.agents or not 0.0 <= generosity <= 1.0:
        raise ValueError(f"no threshold policy has reserve {reserve} and generosity {generosity:g}")
    lattice = Lattice(case, reserve)
    return lattice.outcome(_stationary(_generator(lattice, reserve, generosity)))


def _generator(lattice: Lattice, reserve: int, generosity: float) -> sparse.csc_array:
    """Rates between the states, pushes included in the move that makes them possible."""
    rows, columns, rates = [], [], []
    here = np.arange(len(lattice))
    for calls, tasks, rate in lattice.moves():
        idle = lattice.case.agents - calls - tasks
        freed = idle > lattice.idle
        sure = freed & (idle > reserve)
        chance = np.where(sure, 1.0, np.where(freed & (idle == reserve), generosity, 0.0))
        for pushed, share in ((0, 1.0 - chance), (1, chance)):
            to = lattice.at(calls, tasks + pushed)
            real = (to >= 0) & (rate * share > 0.0)
            rows.append(here[real])
            columns.append(to[real])
            rates.append((rate * share)[real])
    flow = sparse.coo_array(
        (np.concatenate(rates), (np.concatenate(rows), np.concatenate(columns))), shape=(len(lattice),) * 2
    ).tocsc()
    return flow - sparse.diags_array(flow.sum(axis=1), format="csc")


def _stationary(generator: sparse.csc_array) -> Floats:
    """The distribution that the rates leave as it is: one balance equation gives way to the sum of 1."""
    size = generator.shape[0]
    balance = generator.T.tolil()
    balance[size - 1, :] = 1.0
    right = np.zeros(size)
    right[-1] = 1.0
    return np.asarray(spsolve(balance.tocsc(), right), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold policy and what it gives; ``generosity`` as in ``threshold``."""

    reserve: int
    generosity: float
    outcome: Outcome


def best_threshold(case: Case) -> Threshold:
    """The smallest reserve that meets the target. Raises ValueError where none does."""
    reserve = _smallest(case.agents, lambda u: threshold(case, u).level >= case.target)
    return Threshold(reserve, 0.0, threshold(case, reserve))


def best_randomised(case: Case) -> Threshold:
    """Between the best threshold and the one below it, the mixture that meets the target without slack."""
    sure = best_threshold(case)
    if sure.reserve == 0:
        return sure

    def slack(chance: float) -> float:
        return threshold(case, sure.reserve, chance).level - case.target

    generosity = float(brentq(slack, 0.0, 1.0, xtol=1e-4))
    return Threshold(sure.reserve, generosity, threshold(case, sure.reserve, generosity))


def _smallest(most: int, enough: Callable[[int], bool]) -> int:
    if not enough(most):
        raise ValueError("the target is out of reach even without tasks")
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def best_policy(case: Case) -> Outcome:
    """The best stationary policy of all: the linear program, solved through its dual.

    With one side constraint its dual is a search for the price θ of a late call, and at a price the best policy comes
    by policy iteration. Two neighbouring policies are left, one within the target and one beyond; the optimum mixes
    them. (General solvers fail on the larger cases, whose shares span twelve orders of magnitude.)

    Raises ValueError where even no blending misses the target.
    """
    priced = _Priced(case)
    within, beyond = priced.best(_DEAR), priced.best(0.0)
    if within.level < case.target:
        raise ValueError("the target is out of reach even without tasks")
    while beyond.level < case.target:
        price = (beyond.recovered - within.recovered) / (within.level - beyond.level)
        found = priced.best(price)
        gain = found.recovered + price * found.level - (within.recovered + price * within.level)
        if gain < _NO_GAIN:
            break
        within, beyond = (found, beyond) if found.level >= case.target else (within, found)
    return _mixed(within, beyond, case.target)


def _mixed(within: Outcome, beyond: Outcome, target: float) -> Outcome:
    """Part of the time the one policy, part the other, so that together they meet the target."""
    if beyond.level >= target:
        return beyond
    share = (target - beyond.level) / (within.level - beyond.level)
    return Outcome(target, share * within.recovered + (1.0 - share) * beyond.recovered)


class _Priced:
    """Policy iteration at a price of late calls; the last policy found is the next one's start."""

    def __init__(self, case: Case) -> None:
        self._lattice = lattice = Lattice(case)
        self._rest = np.arange(len(lattice))
        self._pushed = np.where(lattice.idle > 0, lattice.at(lattice.calls, lattice.tasks + 1), -1)
        rows, columns, rates = [], [], []
        for calls, tasks, rate in lattice.moves():
            to = lattice.at(calls, tasks)
            real = (to >= 0) & (rate > 0.0)
            rows.append(self._rest[real])
            columns.append(to[real])
            rates.append(rate[real])
        entries = (np.concatenate(rates), (np.concatenate(rows), np.concatenate(columns)))
        flow = sparse.coo_array(entries, shape=(len(lattice),) * 2).tocsr()
        self._pace = float(flow.sum(axis=1).max())
        self._moves = (flow + sparse.diags_array(self._pace - flow.sum(axis=1))) / self._pace
        # Pushes go from fewer tasks to more: from the most tasks down, each state's successor is known already.
        self._order = [
            np.flatnonzero(lattice.tasks == tasks) for tasks in range(int(lattice.tasks.max()), -1, -1)
        ]

    def best(self, price: float) -> Outcome:
        """The policy that maximises recovered share less ``price`` times the share of late calls."""
        lattice = self._lattice
        worth = lattice.tasks / lattice.case.spare - price * lattice.late
        while True:
            value = self._value(worth)
            rest = self._choice(worth + self._moves @ value)
            if np.array_equal(rest, self._rest):
                return self._outcome()
            self._rest = rest

    def _value(self, worth: Floats) -> Floats:
        """Relative values of the states under the present policy (the first state's is 0), the gain eliminated."""
        step = self._moves[self._rest]
        system = (sparse.eye_array(len(self._rest)) - step).tolil()
        system[:, 0] = 1.0
        solved = np.asarray(spsolve(system.tocsc(), worth[self._rest]), dtype=np.float64)
        solved[0] = 0.0
        return solved

    def _choice(self, resting: Floats) -> Ints:
        """Where each state comes to rest: pushes go on as long as they gain; a tie leaves the policy as it is."""
        best, rest = resting.copy(), np.arange(resting.size)
        for states in self._order:
            to = self._pushed[states]
            gains = (to >= 0) & (best[to] > resting[states] + _NO_GAIN)
            best[states[gains]], rest[states[gains]] = best[to[gains]], rest[to[gains]]
        return np.where(best > resting[self._rest] + _NO_GAIN, rest, self._rest)

    def _outcome(self) -> Outcome:
        size = self._rest.size
        chosen = sparse.coo_array((np.ones(size), (np.arange(size), self._rest)), shape=(size, size)).tocsr()
        resting = (self._moves @ chosen - sparse.eye_array(size)).tocsc()
        return self._lattice.outcome(_stationary(resting))
