"""A tape of random operations from a seed: the quick cousin of the state machine, for runs that need no shrinking."""

from __future__ import annotations

from collections.abc import Callable

from tests.support import steps
from tests.support.laws import broken_laws
from tests.support.operations import COMMON, MUTATIONS, Operation, Seeded, World, opening, perform
from tests.support.stage import DumpStore, dump_of


async def play(store: DumpStore, site: str, seed: int, length: int, *, label: str = "tapes") -> int:
    """Apply ``length`` random operations, and say how many; AssertionError at the first that breaks an invariant."""
    chance = Seeded(seed)
    world = World(chance)
    beginning = opening(world.now)
    for operation in beginning:
        await _step(store, site, world, operation)
    played = len(beginning)
    for _ in range(length):
        name = chance.pick((*MUTATIONS, *COMMON, *COMMON))
        if name == "tick":
            world.tick()
            continue
        make: Callable[[], Operation] = getattr(world, name)
        await _step(store, site, world, make())
        steps.count(label)
        played += 1
    return played


async def _step(store: DumpStore, site: str, world: World, operation: Operation) -> None:
    before = world.content
    answer = await perform(store, site, operation, world.now)
    audit = await store.audit(site, now_ms=world.now)
    assert list(audit.violations) == [], f"{operation}: {audit.violations}"
    world.content = await dump_of(store, site)
    assert broken_laws(before, world.content) == [], str(operation)
    if answer.idle:
        assert world.content == before, f"without effect, yet changed: {operation}"
