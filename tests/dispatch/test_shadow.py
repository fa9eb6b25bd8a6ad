"""A shadow decides on what the active policy decides on, is compared with it, and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from router.dispatch.comparison import LAST_KEPT, Comparison
from router.dispatch.lane import LOOP
from router.dispatch.shadow import Shadow
from router.domain.errors import EtagMismatch, NotFound, WrongState
from router.domain.model import AgentState, TaskState
from router.policies.blending import Candidate, GateDecision, PolicyDocument, RecallPlan, Snapshot
from router.policies.blending.laws.static_reserve import StaticReserve
from router.simulation.timeline import SerialLane
from tests.dispatch.scene import FAST_POLICY, GROUP, SITE, Scene, opened_scene
from tests.support.wait import wait_until

NOW = 1_700_000_000_000
ACTIVE = PolicyDocument(law="static_reserve", static_reserve=2)


def snapshot(at_ms: int = NOW, **more: Any) -> Snapshot:
    figures = {"idle": 5, "on_call": 3, "logged_in": 10, "on_tasks": 2, "window_end_ms": NOW + 3_600_000}
    return Snapshot(at_ms, recall_reaction_s=8.0, **(figures | more))


def shadow_of(**fields: Any) -> Shadow:
    document = replace(ACTIVE, **fields)
    return Shadow(document, Comparison(1, 2, NOW), SerialLane())


def decided(shadow: Shadow, seen: Snapshot) -> Any:
    outcomes: list[Any] = []
    shadow.decide(seen, active_decision(seen), outcomes.append)
    return outcomes[0]


def active_decision(seen: Snapshot) -> GateDecision:
    from router.policies.blending import Memory, build_policy

    return build_policy(ACTIVE).decide(seen, Memory())[0]


# -- alone -------------------------------------------------------------------------------------------------
def test_the_same_policy_decides_alike() -> None:
    shadow = shadow_of()
    for i in range(3):
        decided(shadow, snapshot(NOW + i))
    compared = shadow.comparison
    assert (compared.compared, compared.equal, compared.errors) == (3, 3, 0)
    assert compared.active == compared.shadow
    assert [pair.at_ms for pair in compared.last] == [NOW, NOW + 1, NOW + 2]


def test_another_policy_is_told_apart() -> None:
    shadow = shadow_of(static_reserve=4)
    assert decided(shadow, snapshot()).reserve == 4
    assert (shadow.comparison.compared, shadow.comparison.equal) == (1, 0)
    assert (shadow.comparison.active.reserve, shadow.comparison.shadow.reserve) == (2, 4)


def test_only_the_latest_decisions_are_kept() -> None:
    shadow = shadow_of()
    for i in range(LAST_KEPT + 5):
        decided(shadow, snapshot(NOW + i))
    assert len(shadow.comparison.last) == LAST_KEPT
    assert shadow.comparison.last[-1].at_ms == NOW + LAST_KEPT + 4
    assert shadow.comparison.compared == LAST_KEPT + 5


def test_a_comparison_survives_as_text() -> None:
    shadow = shadow_of(static_reserve=4)
    decided(shadow, snapshot())
    found = replace(shadow.comparison, errors=2, last_error="ValueError: ä", skipped=1)
    assert Comparison.from_text(found.to_text()) == found


def test_an_exception_is_counted_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    shadow = shadow_of()

    def fails(*args: object) -> GateDecision:
        raise ZeroDivisionError("nobody is there")

    monkeypatch.setattr(StaticReserve, "choose", fails)
    outcomes: list[Any] = []
    shadow.decide(snapshot(), GateDecision(True, 1, 1, 1, True, 0.8, 0.1), outcomes.append)
    assert outcomes == ["ZeroDivisionError: nobody is there"]
    assert (shadow.comparison.compared, shadow.comparison.errors) == (0, 1)
    assert shadow.comparison.last_error == outcomes[0]


def candidates(*names: str) -> list[Candidate]:
    return [Candidate(name, f"t-{name}", NOW - 60_000, True, 200.0) for name in names]


def planned(
    shadow: Shadow, seen: Snapshot, *names: str, returning: tuple[str, ...] = (), active: int = 0
) -> Any:
    outcomes: list[Any] = []
    plan = RecallPlan(tuple([None] * active))  # type: ignore[arg-type]
    shadow.plan(seen, candidates(*names), returning, plan, outcomes.append)
    return outcomes[0]


def test_whom_the_shadow_named_counts_as_returning_for_a_recall_s_time() -> None:
    shadow = shadow_of()
    decided(shadow, snapshot())
    call = snapshot(waiting_ages_s=(15.0,))
    first = planned(shadow, call, "ann", "bob", active=1)
    assert len(first) == 1
    assert planned(shadow, replace(call, now_ms=NOW + 4000), "ann", "bob") == []
    later = replace(call, now_ms=NOW + 8000, waiting_ages_s=(23.0,))
    assert len(planned(shadow, later, "ann", "bob")) == 1
    assert (shadow.comparison.active.recalls, shadow.comparison.shadow.recalls) == (1, 2)


def test_who_returns_in_fact_is_not_recalled_by_the_shadow_too() -> None:
    shadow = shadow_of()
    decided(shadow, snapshot())
    call = snapshot(waiting_ages_s=(15.0,), returning=1)
    assert planned(shadow, call, "bob", returning=("ann",)) == []


def test_before_its_first_decision_the_shadow_plans_nothing() -> None:
    assert planned(shadow_of(), snapshot(waiting_ages_s=(15.0,)), "ann") is None


class Slow(LOOP.__class__):  # type: ignore[misc,name-defined]
    """A lane whose computations end when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def beside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        await self.go.wait()
        return function(*arguments)


async def test_nobody_waits_for_a_slow_shadow_and_what_it_misses_is_counted() -> None:
    lane = Slow()
    shadow = Shadow(ACTIVE, Comparison(1, 2, NOW), lane)
    for i in range(30):
        shadow.decide(snapshot(NOW + i), active_decision(snapshot()), lambda outcome: None)
        await asyncio.sleep(0)
    assert shadow.comparison.compared == 0
    assert shadow.comparison.skipped == 30 - 17
    lane.go.set()
    await wait_until(lambda: shadow.comparison.compared == 17, "what waited should be decided")


# -- in a live router --------------------------------------------------------------------------------------
@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with opened_scene() as scene:
        feed = asyncio.create_task(scene.keep_reporting())
        yield scene
        feed.cancel()


async def shadowed(scene: Scene, text: str) -> int:
    book = scene.router.supervision
    version = (await book.put_policy(scene.boss, GROUP, text, None)).latest
    await book.set_shadow(scene.boss, GROUP, version, None)
    return version


async def compared(scene: Scene) -> Comparison:
    found: list[Comparison] = []

    async def there() -> bool:
        try:
            found.append(await scene.router.supervision.comparison(scene.boss, GROUP))
        except WrongState:
            return False
        return found[-1].compared > 2

    await wait_until(there, "the shadow should be compared", 10)
    return found[-1]


async def test_a_shadow_that_would_hold_everybody_back_holds_nobody_back(scene: Scene) -> None:
    await shadowed(scene, FAST_POLICY.replace("static_reserve: 1\n", "static_reserve: 50\n"))
    await scene.hire("ann", "bob")
    await scene.report(dict.fromkeys(("ann", "bob"), AgentState.AVAILABLE), snapshot=True)
    await scene.sit_down("ann", "bob")
    found = await compared(scene)
    task = await scene.submit()
    offered = await scene.until(task, TaskState.OFFERED)
    assert offered.policy_version == 1
    assert (found.active_version, found.shadow_version, found.equal) == (1, 2, 0)
    assert (found.active.open, found.shadow.open) == (found.compared, 0)
    assert (await scene.store.gate(SITE, GROUP)).policy_version == 1


async def test_without_a_shadow_there_is_nothing_to_compare(scene: Scene) -> None:
    with pytest.raises(WrongState) as refused:
        await scene.router.supervision.comparison(scene.boss, GROUP)
    assert refused.value.reason == "NO_SHADOW"
    await shadowed(scene, FAST_POLICY)
    with pytest.raises(WrongState) as refused:
        await scene.router.supervision.comparison(scene.boss, GROUP)
    assert refused.value.reason == "NOT_COMPARED_YET"


async def test_a_shadow_is_taken_away_and_ends_when_it_becomes_active(scene: Scene) -> None:
    use, boss = scene.router.supervision, scene.boss
    version = await shadowed(scene, FAST_POLICY)
    assert (await use.get_policy(boss, GROUP)).shadow == version
    assert (await use.activate_policy(boss, GROUP, version, None)).shadow is None
    assert (await use.set_shadow(boss, GROUP, 0, None)).shadow == 0
    assert (await use.set_shadow(boss, GROUP, None, None)).shadow is None
    with pytest.raises(NotFound):
        await use.set_shadow(boss, GROUP, 99, None)
    with pytest.raises(EtagMismatch):
        await use.set_shadow(boss, GROUP, 1, 1)
