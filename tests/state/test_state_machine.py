"""Random operations against the invariants, on each store and on two in lockstep.

Hypothesis picks operations of every kind, many of which must be refused, and lets time pass in between. After each
step `audit()` finds nothing, the step obeys the laws of `tests.support.laws`, and a refusal has changed nothing. In
lockstep the same operation goes to memory and to a real server with the same time: answers and dumps must be equal.
`STEPS=long` goes on for longer; the number of steps is printed at the end of the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from router.domain.model import ClaimMode
from tests.conftest import url_of
from tests.support import steps
from tests.support.builders import T0
from tests.support.keywatch import KeyWatch
from tests.support.laws import broken_laws
from tests.support.operations import Answer, Operation, World, opening, perform
from tests.support.stage import DumpStore, dump_of
from tests.support.stores import CLUSTER, SINGLE, fresh_site, opened
from tests.support.tape import play

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, Any]], Any]

_MOSTLY = st.sampled_from((True,) * 7 + (False,))


class Drawn:
    """Choices of Hypothesis, which it shrinks when a run fails."""

    def __init__(self) -> None:
        self.data: st.DataObject | None = None

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        assert self.data is not None
        return self.data.draw(st.sampled_from(items))

    def often(self) -> bool:
        """True most of the time."""
        assert self.data is not None
        mostly: bool = self.data.draw(_MOSTLY)
        return mostly


class Trial:
    """One site on one or two stores, and everything that is checked after a step."""

    def __init__(self, label: str, stores: Sequence[DumpStore], run: Run) -> None:
        self.label, self.stores, self._run = label, stores, run
        self.site = fresh_site()
        self.drawn = Drawn()
        self.world = World(self.drawn)

    def step(self, operation: Operation) -> None:
        """Apply the operation to each store, and check."""
        note(f"{self.world.now - T0:>10} ms: {operation}")
        answers, contents = [], []
        for store in self.stores:
            answer, content = self._run(self._one(store, operation))
            answers.append(answer)
            contents.append(content)
        assert all(answer == answers[0] for answer in answers), f"{operation}: {answers}"
        assert all(content == contents[0] for content in contents), f"{operation}: {differences(*contents)}"
        assert self._run(self.faults(self.stores[0])) == [], str(operation)
        before, self.world.content = self.world.content, contents[0]
        steps.count(self.label, refused=answers[0].idle)
        assert broken_laws(before, contents[0]) == [], str(operation)
        if answers[0].idle:
            assert contents[0] == before, (
                f"without effect, yet changed: {operation}: {differences(before, contents[0])}"
            )

    async def _one(self, store: DumpStore, operation: Operation) -> tuple[Answer, dict[str, Any]]:
        answer = await perform(store, self.site, operation, self.world.now)
        return answer, await dump_of(store, self.site)

    async def faults(self, store: DumpStore) -> list[str]:
        """What the store's own audit finds."""
        return list((await store.audit(self.site, now_ms=self.world.now)).violations)

    def end(self) -> None:
        """The other stores' audits: they held the same all the time, so once is enough."""
        for store in self.stores[1:]:
            assert self._run(self.faults(store)) == []


def differences(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[str]:
    """What differs between two dumps, entry by entry."""
    lines = []
    for key in sorted(one.keys() | two.keys()):
        left, right = one.get(key), two.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            lines += [
                f"{key}[{name}]: {left.get(name)} != {right.get(name)}"
                for name in sorted(left.keys() | right.keys())
                if left.get(name) != right.get(name)
            ]
        elif left != right:
            lines.append(f"{key}: {left} != {right}")
    return lines


class Machine(RuleBasedStateMachine):
    """One rule per kind of operation; subclasses say on which stores."""

    def __init__(self, trial: Trial) -> None:
        super().__init__()
        self.trial = trial
        self.world = trial.world

    @initialize(busy=st.booleans())
    def open_site(self, busy: bool) -> None:
        """Begin with people at work, or with nothing at all."""
        for operation in opening(self.world.now) if busy else []:
            self.trial.step(operation)

    def teardown(self) -> None:
        self.trial.end()

    @rule(data=st.data())
    def tick(self, data: st.DataObject) -> None:
        self.trial.drawn.data = data
        self.world.tick()

    @rule(data=st.data())
    def tick_and_sweep(self, data: st.DataObject) -> None:
        """Time passes, and the sweeper does everything that is due."""
        self.tick(data)
        for id, at in list(self.world.content.get("due", [])):
            if at <= self.world.now:
                self.trial.step(Operation("advance", (id,)))


def _add_rule(name: str, make: Callable[[World], Operation]) -> None:
    def step(self: Machine, data: st.DataObject) -> None:
        self.trial.drawn.data = data
        self.trial.step(make(self.world))

    step.__name__ = name
    setattr(Machine, name, rule(data=st.data())(step))


for _name in (
    "submit", "accept", "decline", "rescind", "show", "checkpoint", "extend", "complete", "release", "park",
    "resume", "recall", "force", "cancel", "update", "revive", "advance", "purge", "put_profile", "delete_profile",
    "connect", "disconnect", "set_ready", "set_draining", "beat", "report", "put_command", "command_result", "lead",
    "set_gate", "set_gate_mode", "pause", "put_document", "delete_document", "look",
):  # fmt: skip
    _add_rule(_name, getattr(World, _name))
_add_rule("offer", lambda world: world.claim(ClaimMode.OFFER))
_add_rule("pull", lambda world: world.claim(ClaimMode.LEASE))


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Drive a coroutine that never waits: the memory store's."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("the memory store waited for something")


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop for a whole run, so that its connections last."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


def explore(make: Callable[[], Trial], share: float) -> None:
    """Run the machine for its share of the profile's examples."""
    profile = settings()
    examples = max(1, round(profile.max_examples * share))

    class Bound(Machine):
        def __init__(self) -> None:
            super().__init__(make())

    run_state_machine_as_test(Bound, settings=settings(profile, max_examples=examples))


@pytest.mark.timeout(7200)
def test_memory() -> None:
    """The store of simulator and tests, quick enough for the most steps."""
    opening_store = opened(None)
    store = at_once(opening_store.__aenter__())
    explore(lambda: Trial("memory", [store], at_once), 4)


@pytest.mark.store
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", [SINGLE, pytest.param(CLUSTER, marks=pytest.mark.cluster)])
def test_lockstep(kind: str, request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop) -> None:
    """Memory and a real server say and hold the same, step by step."""
    url = url_of(kind, request)
    memory_opening, server_opening = opened(None), opened(url)
    memory = loop.run_until_complete(memory_opening.__aenter__())
    server = loop.run_until_complete(server_opening.__aenter__())
    try:
        explore(lambda: Trial(f"lockstep, {kind}", [memory, server], loop.run_until_complete), 1.5)
    finally:
        loop.run_until_complete(server_opening.__aexit__(None, None, None))


@pytest.mark.store
@pytest.mark.cluster
async def test_random_operations_touch_declared_keys_only(cluster_url: str) -> None:
    """A long tape of random operations, watched by the server itself."""
    async with opened(cluster_url) as store, KeyWatch(cluster_url) as watch:
        played = await play(store, fresh_site(), seed=1, length=600)
        calls, faults = await watch.undeclared()
    assert faults == []
    assert calls >= played
