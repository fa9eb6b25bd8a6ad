"""A simulated day: the same every time, nothing lost, and what the policies do is what they say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from callcenter.center import AgentState
from callcenter.distributions import Deterministic
from router.domain.model import TaskState
from router.domain.ports import Event
from router.policies.blending import PolicyError
from router.simulation.acd import center_of
from router.simulation.day import Play, simulate, without_blending
from router.simulation.result import DayResult, call_figures
from router.simulation.scenario import AcdLink, Desktops, Work
from router.simulation.site import SITE
from router.simulation.timeline import run_now
from tests.support.played import (
    HOUR_S,
    MORNING,
    SAME_TIME,
    day_of,
    morning,
    morning_alone,
    played,
    policy,
    small_group,
)


def events(play: Play, *names: str) -> list[Event]:
    """The day's transitions of these names."""
    return [e for e in run_now(play.site.store.events(SITE, "", 1_000_000)) if e.transition.name in names]


def at_s(play: Play, event: Event) -> float:
    return play.site.clock.seconds(event.transition.at_ms)


def assert_nothing_lost(play: Play, result: DayResult) -> None:
    """Every task is in one place, the store finds nothing wrong, and the work kept is in the tasks."""
    assert result.violations == ()
    assert result.submitted == result.total.work.done + result.queued + result.held > 0
    assert result.held == 0
    tasks = run_now(play.site.store.tasks(SITE, frozenset(TaskState), "", 100_000)).tasks
    in_tasks = sum(
        play.backlog.items[task.id].work_s
        if task.state is TaskState.COMPLETED
        else float(task.checkpoint.data)
        for task in tasks
        if task.state is TaskState.COMPLETED or task.checkpoint
    )
    assert in_tasks == pytest.approx(result.total.work.kept_s)


# -- the same every time, nothing lost -----------------------------------------------------------------------
@pytest.mark.parametrize("law", ["service_level_to_go", "static_reserve"])
def test_the_same_day_under_the_same_policy_is_the_same_to_the_bit(law: str) -> None:
    (one, first), (other, second) = (played(morning(), policy(law), trace=True) for _ in range(2))
    assert first == second
    assert len(first.trace) == 121
    assert one.site.store.dump(SITE) == other.site.store.dump(SITE)


def test_another_seed_is_another_day() -> None:
    other = replace(morning(), seed=8)
    assert played(other, policy())[1].total.work != played(morning(), policy())[1].total.work


def test_nothing_is_lost_over_a_day_with_recalls() -> None:
    play, result = played(morning(), policy())
    assert_nothing_lost(play, result)
    assert result.total.work.recalls > 0
    assert result.total.work.refused == 0


def test_without_blending_the_day_is_that_of_the_model_alone() -> None:
    (group,) = morning().groups
    center = center_of(group)
    center.run()
    alone = call_figures(center)
    assert without_blending(morning()) == {group.id: alone}
    unblended = simulate(morning(), None).total
    assert (unblended.calls, unblended.without, unblended.work.done) == (alone, alone, 0)
    play, result = played(morning(), policy("no_blending"))
    assert result.total.calls == alone
    assert play.acds[group.id].center.history == center.history
    assert result.queued == result.submitted > 0


def test_the_service_level_and_spare_time_are_those_that_a_count_by_hand_gives() -> None:
    (group,) = morning().groups
    center, idle_s = center_of(group), 0
    for now_s in range(int(MORNING[0]), int(MORNING[1] + HOUR_S), 2):
        center.advance_to(now_s)
        idle_s += 2 * center.states()[AgentState.AVAILABLE]
    center.run()
    good = sum(o.answered_within(20.0) for o in center.outcomes)
    resolved = sum(o.resolved_at is not None for o in center.outcomes)
    figures = morning_alone()[group.id]
    assert figures.service_level == good / resolved
    assert figures.offered == len(center.outcomes)
    assert figures.idle_s == pytest.approx(idle_s, rel=0.01)
    planned_s = sum(agent.shift.end - agent.shift.start for agent in group.agents)
    assert planned_s < figures.paid_s < 1.1 * planned_s


def test_greedy_gets_more_work_done_than_a_reserve_and_answers_fewer_calls_in_time() -> None:
    greedy, careful = (played(morning(), policy(law))[1].total for law in ("greedy", "service_level_to_go"))
    assert greedy.recovered_share > careful.recovered_share > 0.2
    assert greedy.service_level < careful.service_level - 0.1
    assert greedy.work.recalls == 0


def test_all_policies_meet_the_same_calls_and_tasks() -> None:
    (one, _), (other, _) = (played(morning(), policy(law)) for law in ("greedy", "static_reserve"))
    common = one.backlog.items.keys() & other.backlog.items.keys()
    assert len(common) >= 100
    assert all(one.backlog.items[id].work_s == other.backlog.items[id].work_s for id in common)
    assert one.acds["front"].center.calls == other.acds["front"].center.calls


# -- recalls -------------------------------------------------------------------------------------------------
def test_a_recalled_agent_is_back_when_the_scenario_says_and_the_router_learns_it() -> None:
    play, result = played(morning(), policy())
    assert set(map(round, result.total.reactions_s)) == {10}
    meter = play.site.leaders["front"].controller.meter
    assert set(map(round, meter.reactions_s)) == {10}
    assert meter.measures.work_lost.mean_s == pytest.approx(30, abs=5)


def test_a_recalled_task_goes_on_from_where_it_was_saved() -> None:
    play, result = played(replace(morning(), work=(Work(time=SAME_TIME, endless=True),)), policy())
    recalled = {e.task for e in events(play, "recall")}
    done = {e.task for e in events(play, "complete")}
    again = recalled & done
    assert again
    starts = {task: [e for e in events(play, "accept") if e.task == task] for task in again}
    ends = {e.task: e for e in events(play, "complete")}
    for task in again:
        last_attempt_s = at_s(play, ends[task]) - at_s(play, starts[task][-1])
        assert last_attempt_s <= 300.001
        assert len(starts[task]) >= 2
    assert any(at_s(play, ends[t]) - at_s(play, starts[t][-1]) < 270 for t in again)
    assert result.total.work.kept_s < result.total.work.spent_s


def test_saving_often_loses_less_and_no_more_than_was_done() -> None:
    lost = {}
    for name, desktops in (("never", Desktops(lost_s=1e6)), ("often", Desktops(autosave_s=10))):
        play, result = played(replace(morning(), desktops=desktops), policy())
        assert_nothing_lost(play, result)
        work = result.total.work
        lost[name] = (work.spent_s - work.kept_s) / work.recalls
    assert lost["often"] < 20 < lost["never"]


def test_a_slow_desktop_is_forced_at_the_end_of_its_notice() -> None:
    slow = replace(morning(), desktops=Desktops(hand_back_s=Deterministic(60.0)))
    play, result = played(slow, policy(notice_s=5.0))
    assert result.total.work.forced == result.total.work.recalls > 0
    assert_nothing_lost(play, result)


def test_agents_whom_the_acd_does_not_hold_are_interrupted_by_calls() -> None:
    play, result = played(morning(), policy(acd_control=False, min_idle_s=0.0))
    assert result.total.work.interruptions > result.total.work.recalls
    assert_nothing_lost(play, result)
    held, _ = played(morning(), policy()), None
    assert held[1].total.work.interruptions == 0


def test_nobody_gets_a_task_that_would_last_beyond_the_next_break_or_the_shift() -> None:
    day = replace(morning(), work=(Work(time=SAME_TIME, endless=True),))
    play, _ = played(day, policy("greedy", recall_enabled=False))
    shifts = {agent.id: agent.shift for agent in day.groups[0].agents}
    offers = events(play, "offer")
    assert len(offers) > 20
    for offer in offers:
        shift, now_s = shifts[offer.transition.agent], at_s(play, offer)
        leaves_s = min([b for b, _ in shift.breaks if b > now_s], default=shift.end)
        assert leaves_s - now_s > 290, offer


# -- the link to the ACD ---------------------------------------------------------------------------------------
def test_in_a_silence_the_gate_closes_and_nothing_is_pushed_until_it_is_over() -> None:
    begin_s, end_s = MORNING[0] + HOUR_S / 2, MORNING[0] + HOUR_S
    day = replace(morning(), link=AcdLink(silences=((begin_s, end_s),)))
    play, result = played(day, policy(stale_after_s=10.0), trace=True)
    offers = [at_s(play, e) for e in events(play, "offer")]
    # The last heartbeat may have come just before; ten seconds after it the data are too old.
    assert not [t for t in offers if begin_s + 10 < t < end_s]
    assert [t for t in offers if t < begin_s]
    assert [t for t in offers if t > end_s]
    silent = [m for m in result.trace if begin_s + 60 < m.at_s < end_s]
    assert len(silent) > 25
    assert {m.allowance for m in silent} == {0}
    assert_nothing_lost(play, result)


@pytest.mark.parametrize(
    "link",
    [AcdLink(lag_s=5.0), AcdLink(loss=0.2, snapshot_s=20.0), AcdLink(lag_s=2.0, loss=0.1, command_s=3.0)],
    ids=["lag", "loss", "both"],
)
def test_a_bad_link_costs_service_but_no_task(link: AcdLink) -> None:
    play, result = played(replace(morning(), link=link), policy())
    assert_nothing_lost(play, result)
    assert result.total.work.done > 5


def test_a_lag_delays_what_the_router_knows() -> None:
    prompt, late = (
        played(replace(morning(), link=AcdLink(lag_s=lag)), policy("greedy", min_idle_s=0.0))[0]
        for lag in (0.0, 5.0)
    )
    first = [at_s(play, events(play, "offer")[0]) for play in (prompt, late)]
    assert first[1] == pytest.approx(first[0] + 5.0, abs=0.01)


def test_an_acd_that_takes_few_commands_gives_agents_back_late() -> None:
    slow = replace(morning(), link=AcdLink(commands_per_s=0.06))
    play, result = played(slow, policy())
    assert max(result.total.reactions_s) > 12
    assert min(result.total.reactions_s) > 9.99
    assert_nothing_lost(play, result)


# -- groups and work -------------------------------------------------------------------------------------------
def test_two_groups_do_not_mix() -> None:
    red, blue = small_group("red", 6, 5), small_group("blue", 6, 5)
    day = day_of(red, blue)
    play, result = played(day, {"red": policy(), "blue": policy("no_blending")})
    assert result.groups["blue"].calls == without_blending(day)["blue"]
    assert result.groups["blue"].work.offers == 0
    assert result.groups["red"].work.done > 5
    assert {e.transition.agent.split("-")[0] for e in events(play, "offer")} == {"red"}
    assert_nothing_lost(play, result)
    alone = played(day_of(red), policy())[1]
    assert alone.groups["red"].calls == result.groups["red"].calls


def test_work_goes_to_those_who_have_the_skill() -> None:
    skilled, others = small_group("red", 4, 2, {"claims": 2}), small_group("blue", 4, 2)
    day = day_of(skilled, others, work=(Work("claims", skills={"claims": 2}, endless=True),))
    _, result = played(day, policy())
    assert result.groups["red"].work.done > 5
    assert result.groups["blue"].work.offers == 0


def test_urgent_work_is_done_first_and_late_work_is_counted() -> None:
    work = (
        Work("urgent", priority=90, waiting=20, per_hour=30, goal_s=600),
        Work("other", priority=10, waiting=200, goal_s=600),
    )
    play, result = played(replace(morning(), work=work), policy())
    items = play.backlog.items
    first = [items[f"urgent-{n:06}"].begun_s for n in range(20)]
    others = [item.begun_s for item in items.values() if item.work.id == "other" and item.begun_s]
    assert None not in first
    assert max(first) < min(others)
    assert result.total.work.late > 0
    assert result.late_open > 100
    assert result.least_urgent_wait_s > 600
    assert_nothing_lost(play, result)


def test_work_that_may_not_be_interrupted_is_never_recalled() -> None:
    day = replace(morning(), work=(Work(interruptible=False, endless=True),))
    play, result = played(day, policy())
    assert (result.total.work.recalls, result.total.work.interruptions) == (0, 0)
    assert result.total.work.done > 0
    assert_nothing_lost(play, result)


def test_a_group_without_a_policy_and_a_wrong_document_are_refused() -> None:
    with pytest.raises(ValueError, match="group 'front' has no policy"):
        simulate(morning(), {"back": policy()})
    with pytest.raises(PolicyError, match="static_reserve"):
        simulate(morning(), "static_reserve: -1")
