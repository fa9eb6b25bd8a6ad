"""The law of one price: what makes late calls dear, what they cost in reserve, and which of them recall an agent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.policies.blending import (
    Candidate,
    ForecastInterval,
    GateDecision,
    Memory,
    PolicyDocument,
    Snapshot,
    build_policy,
)
from router.policies.blending import outlook as tables
from router.policies.blending.chain import Chain
from router.policies.blending.recall import calls_due, chance_late

HALF_HOUR_MS = 1_800_000
DAY = tuple(ForecastInterval(h * HALF_HOUR_MS, (h + 1) * HALF_HOUR_MS, 240.0, 40.0) for h in range(16))


def look(**changes: Any) -> Snapshot:
    """40 agents at a load of 32 erlangs, an eighth of the day gone as it should."""
    base = Snapshot(
        now_ms=2 * HALF_HOUR_MS,
        idle=4,
        on_call=32,
        logged_in=40,
        on_tasks=4,
        window_end_ms=16 * HALF_HOUR_MS,
        answered=480,
        answered_in_target=390,
        arrivals=480,
        forecast=DAY,
        aht_s=240.0,
        task_s=300.0,
        recall_reaction_s=10.0,
        work_lost_s=30.0,
    )
    return replace(base, **changes)


def law(**changes: Any) -> PolicyDocument:
    return PolicyDocument(law="lateness_price", **changes)


def alone(**changes: Any) -> PolicyDocument:
    return law(recall_enabled=False, **changes)


def decide(snapshot: Snapshot, document: PolicyDocument | None = None) -> GateDecision:
    return build_policy(document or law()).decide(snapshot, Memory())[0]


def price(gate: GateDecision) -> float:
    told = gate.explanation["price_of_a_late_call_s"]
    assert isinstance(told, float)
    return told


def test_late_calls_are_dearer_after_a_bad_morning_and_cheaper_after_a_good_one() -> None:
    free = law(parameters={"lowest_price_s": 1.0, "bias_first": 1.0})
    bad, good = (decide(look(answered_in_target=hits), free) for hits in (100, 480))
    assert price(good) < price(bad)
    assert good.reserve_firm < bad.reserve_firm
    assert good.recall_chance > bad.recall_chance


def test_without_recall_more_agents_stay_back() -> None:
    armed, held = decide(look()), decide(look(), alone())
    assert armed.armed
    assert not held.armed
    assert held.recall_chance == 0.0
    assert 1 <= armed.reserve < held.reserve == held.reserve_firm


def test_the_lower_bound_of_the_price_is_for_recalls_alone() -> None:
    good = look(answered_in_target=480)
    low, high = ({"lowest_price_s": 1.0}, {"lowest_price_s": 3000.0})
    assert price(decide(good, law(parameters=high))) == pytest.approx(3000.0)
    assert price(decide(good, law(parameters=low))) < 3000.0
    held = [decide(good, law(parameters=p, recall_enabled=False)) for p in (low, high)]
    assert price(held[0]) == price(held[1])


def test_the_price_has_an_upper_bound() -> None:
    capped = law(parameters={"highest_price_s": 50.0})
    assert price(decide(look(answered_in_target=0), capped)) == pytest.approx(50.0)


def test_under_overload_nothing_that_may_not_be_interrupted_is_pushed() -> None:
    crowded = tuple(replace(interval, calls=400.0) for interval in DAY)
    assert decide(look(forecast=crowded)).reserve_firm == 40
    held = decide(look(forecast=crowded), alone())
    assert not held.open
    assert held.reserve == 40


def test_more_late_calls_than_predicted_make_the_law_careful() -> None:
    def after(late_of_40: int) -> GateDecision:
        policy, memory = build_policy(law()), Memory()
        for step in range(20):
            answered = 40 * step
            snapshot = look(
                now_ms=2 * HALF_HOUR_MS + step * 300_000,
                answered=480 + answered,
                answered_in_target=390 + answered - late_of_40 * step,
                arrivals=480 + answered,
            )
            gate, memory = policy.decide(snapshot, memory)
        return gate

    careful, calm = after(20), after(2)
    assert careful.explanation["late_seen_over_predicted"] > 1.2  # type: ignore[operator]
    assert price(careful) > price(calm)


# -- without recall ----------------------------------------------------------------------------------------
def steady(staff: int, occupancy: float, **changes: Any) -> Snapshot:
    """A day on which nothing changes, at its beginning, with as many calls in work as there will be."""
    calls = staff * occupancy * HALF_HOUR_MS / 240_000
    day = tuple(replace(interval, calls=calls, staff=float(staff)) for interval in DAY)
    load = round(staff * occupancy)
    seen = {"answered": 0, "answered_in_target": 0, "arrivals": 0, "idle": staff - load, "on_tasks": 0}
    return look(now_ms=0, forecast=day, logged_in=staff, on_call=load, **seen, **changes)


def kept_back(snapshot: Snapshot, looks: int, document: PolicyDocument) -> list[int]:
    """The reserves of some looks at the same, one after the other."""
    policy, memory, reserves = build_policy(document), Memory(), []
    for _ in range(looks):
        gate, memory = policy.decide(snapshot, memory)
        reserves.append(gate.reserve)
    return reserves


def test_without_recall_a_steady_day_keeps_back_what_the_level_takes_and_no_more() -> None:
    snapshot = steady(200, 0.9, task_s=600.0)
    needed = tables.Outlook((Chain(0.75, 240.0, 600.0, 200),), tables.Rules(20.0, 4000.0))
    required = build_policy(alone()).decide(snapshot, Memory())[0].required_service_level
    reserves = kept_back(snapshot, 40, alone())
    assert sum(reserves) / 40 == pytest.approx(needed.reserve_for(1.0 - required), abs=0.3)


def test_a_reserve_between_two_whole_numbers_is_kept_in_the_mean() -> None:
    reserves = kept_back(steady(60, 0.85), 60, alone())
    below, above = min(reserves), max(reserves)
    assert above == below + 1
    runs = [n for n in range(1, 60) if reserves[n] != reserves[n - 1]]
    assert len(runs) > 5


def test_without_recall_an_empty_center_does_not_send_everybody_to_tasks() -> None:
    opening = steady(200, 0.9, task_s=600.0)
    empty = replace(opening, on_call=0, idle=200)
    gate = decide(empty, alone())
    assert gate.reserve < 40
    assert gate.allowance == math.floor(200 - 180 + math.sqrt(180))
    assert decide(empty, alone(shortage_sigmas=0.0)).allowance == 20
    assert decide(empty).allowance > 150


@pytest.mark.parametrize(("staff", "bound"), [(500, 120_000), (1000, 180_000)])
def test_a_decision_looks_at_a_bounded_number_of_cells_when_nothing_is_known_yet(
    staff: int, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of stretch, mean and reserve, and of stretch, reserve and place in line; 100,000 take some milliseconds."""
    cells, passes = [0], [0]

    class Counted(tables.Outlook):
        def __init__(self, chains: Sequence[Chain], rules: tables.Rules) -> None:
            super().__init__(chains, rules)
            passes[0] += 1
            cells[0] += (
                len(chains) * tables.MEANS * (int(self.reserves.max()) + 1) + self.places * self.idle.size
            )

    monkeypatch.setattr(tables, "Outlook", Counted)
    for stretch_s in (3600.0, 60.0, 1.0):
        cells[0] = passes[0] = 0
        tables.outlook.cache_clear()
        decide(steady(staff, 0.97), law(parameters={"stretch_s": stretch_s}))
        assert passes[0] == 2
        assert 10_000 < cells[0] < bound
    tables.outlook.cache_clear()


# -- recall ------------------------------------------------------------------------------------------------
@given(st.integers(0, 400), st.integers(0, 40), st.floats(0.1, 60.0), st.integers(1, 60))
def test_the_chance_to_be_late_is_that_of_a_poisson_number_of_free_agents(
    on_call: int, on_tasks: int, left_s: float, place: int
) -> None:
    gate = GateDecision(True, 5, 1, 1, True, 0.8, 0.1, 8.0).recalling_by_chance(0.2, 240.0, 300.0)
    mean = (on_call / 240.0 + on_tasks / 300.0) * left_s
    terms, term = [], math.exp(-mean)
    for n in range(1, place + 1):
        terms.append(term)
        term *= mean / n
    chance = chance_late(look(on_call=on_call, on_tasks=on_tasks), gate, left_s, place)
    assert chance == pytest.approx(min(1.0, sum(terms)), abs=1e-9)


def due(*ages_s: float, chance: float = 0.3, **changes: Any) -> int:
    gate = GateDecision(True, 5, 1, 1, True, 0.8, 0.1, 8.0).recalling_by_chance(chance, 240.0, 300.0)
    return calls_due(law(), look(waiting_ages_s=ages_s, **changes), gate)


def test_a_call_recalls_only_if_it_would_probably_be_late() -> None:
    # 36 agents at work free 1.6 in 11 s: the first in line is late with 20 %, the third with 77 %.
    assert due(8.0) == 0
    assert due(8.0, chance=0.1) == 1
    assert due(8.0, 8.0, 8.0) > 0
    assert due(8.0, 8.0, 8.0, returning=3) == 0
    assert due(7.9, 7.9, 7.9) == 0


def test_a_call_that_no_recall_can_save_waits_until_it_has_waited_too_long() -> None:
    assert due(15.0) == 0
    assert due(49.0, on_call=0, on_tasks=0) == 0
    assert due(50.0) == 1


def test_the_law_sends_the_recalls_that_it_counted() -> None:
    policy = build_policy(law())
    snapshot = look(waiting_ages_s=(9.0,) * 8, idle=0, on_tasks=8)
    gate, _ = policy.decide(snapshot, Memory())
    crew = [Candidate(f"a{n}", f"t{n}", 0, True, 200.0) for n in range(8)]
    plan = policy.recalls(snapshot, gate, crew)
    assert 0 < len(plan.recalls) == calls_due(policy.document, snapshot, gate) < 8
