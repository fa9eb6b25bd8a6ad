"""Who guards the guards: deliberate faults in the scripts, each of which a named check must catch.

Each row of FAULTS changes one line of Lua, loads the library so changed beside the sound one, and runs one test of
the conformance suite on it, then the audit. The test fails when nothing is caught, or when the line to be changed is
gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from router.domain.errors import RouterError, StoreUnavailable
from router.domain.model import AgentState
from tests.state.conformance import (
    test_acd,
    test_agents,
    test_claim,
    test_ending,
    test_gates,
    test_lease,
    test_looks,
    test_offer,
    test_park,
    test_recall,
    test_recording,
    test_submit,
    test_telephony,
    test_update,
    test_widening,
)
from tests.support import steps
from tests.support.faulty import changed_library
from tests.support.keywatch import KeyWatch
from tests.support.leaks import assert_no_leaks
from tests.support.stage import Stage
from tests.support.stores import fresh_site, opened, running_valkey

Check = Callable[[Stage], Awaitable[None]]
CHECK, AUDIT = "its own assertion", "the audit after it"
CAUGHT = (AssertionError, RouterError, pytest.fail.Exception)

pytestmark = pytest.mark.store


@dataclass(frozen=True)
class Fault:
    """One line of Lua, what it becomes, and the test that must fail."""

    name: str
    file: str
    old: str
    new: str
    check: Check
    by: str = CHECK


on_call = partial(
    test_telephony.test_a_state_that_ends_availability_rescinds_the_offer_at_once, state=AgentState.ON_CALL
)

FAULTS = [
    # -- fences and holders
    Fault(
        "no fence check in complete",
        "complete",
        "A.agent, A.fence,",
        "A.agent, (get_task(id) or {}).f or 0,",
        test_lease.test_every_word_of_an_old_holder_is_refused,
    ),
    Fault(
        "no holder check in accept",
        "accept",
        "held_by(id, A.agent, A.fence,",
        "held_by(id, (get_task(id) or {}).ag or '', A.fence,",
        test_offer.test_another_agent_does_not_answer_for_the_holder,
    ),
    Fault(
        "the old fence stays on a new offer",
        "lib",
        "agent_id, next_fence()",
        "agent_id, t.f or next_fence()",
        test_claim.test_fences_grow_with_every_hand_over,
    ),
    Fault(
        "a completion is not remembered",
        "complete",
        "{ACTIVE = true, RECALLING = true, COMPLETED = true}",
        "{ACTIVE = true, RECALLING = true}",
        test_lease.test_a_repeated_completion_answers_the_same_and_changes_nothing,
    ),
    Fault(
        "an expired offer is accepted",
        "accept",
        "if NOW >= (t.dl or 0)",
        "if false",
        test_offer.test_an_offer_ends_exactly_at_its_deadline,
    ),
    Fault(
        "a hidden offer is accepted",
        "accept",
        "if t.hid",
        "if false",
        test_acd.test_an_offer_stays_hidden_until_the_acd_confirms,
    ),
    # -- who may have what
    Fault(
        "no capacity check",
        "lib",
        "if size(a.on) >= (a.cap or 0) then",
        "if false then",
        partial(test_claim.test_offers_and_leases_fill_the_capacity, mode=test_claim.LEASE),
    ),
    Fault(
        "the feed's age does not matter",
        "lib",
        "return not feed or NOW - (feed.at or 0) >",
        "return not feed or 0 >",
        test_claim.test_a_silent_feed_fails_closed,
    ),
    Fault(
        "the allowance does not matter",
        "lib",
        "if (group.ont or 0) >= (gate.al or 0) then",
        "if false then",
        test_claim.test_the_allowance_counts_agents_with_offers_or_leases,
    ),
    Fault(
        "the reserve does not matter",
        "lib",
        "if (group.idle or 0) <= (gate.re or 0) then",
        "if false then",
        test_claim.test_the_reserve_keeps_idle_agents_for_calls,
    ),
    Fault(
        "a gate that was not renewed stays open",
        "lib",
        "if NOW >= (gate.vu or 0) then",
        "if false then",
        test_claim.test_a_gate_that_is_not_renewed_closes,
    ),
    Fault(
        "telephony's word does not matter",
        "lib",
        "if a.gr and (a.st ~= 'AVAILABLE' or",
        "if a.gr and (false or",
        partial(test_claim.test_only_available_agents_of_a_group_are_handed_tasks, state=AgentState.ON_CALL),
    ),
    Fault(
        "one level too low is enough",
        "lib",
        "if (skills[queue.needs[i][1]] or 0) < queue.needs[i][2] then",
        "if (skills[queue.needs[i][1]] or 0) + 1 < queue.needs[i][2] then",
        partial(
            test_claim.test_every_minimum_level_counts,
            has={"claims": 3, "french": 1},
            needs={"claims": 3, "french": 2},
            fits=False,
        ),
    ),
    Fault(
        "pauses are ignored",
        "claim",
        "if not any_paused then",
        "if true then",
        test_claim.test_a_paused_work_type_is_skipped,
    ),
    Fault(
        "a decline excludes nobody",
        "decline",
        "exclude(t, A.agent)",
        "",
        test_offer.test_a_decline_is_no_dead_end,
    ),
    Fault(
        "a decline excludes for ever",
        "lib",
        "if name == agent and tonumber(until_ms) > NOW then return true end",
        "if name == agent then return true end",
        test_offer.test_a_decline_is_no_dead_end,
    ),
    # -- order
    Fault(
        "queues are compared by origin alone",
        "claim",
        "if one.urgency ~= other.urgency then",
        "if false then",
        test_claim.test_the_faster_curve_overtakes,
    ),
    Fault(
        "a rescinded task goes to the end of the line",
        "lib",
        "local agent_id = let_go(id, t)\n  place(t, true)\n  arrow(id, t, 'rescind'",
        "local agent_id = let_go(id, t)\n  place(t, false)\n  arrow(id, t, 'rescind'",
        test_offer.test_a_rescinded_task_goes_to_the_front_and_excludes_nobody,
    ),
    Fault(
        "the agent of a recalled task has no first word",
        "lib",
        "if (t.rs or 0) <= 0 then return place(t, true) end",
        "if true then return place(t, true) end",
        test_recall.test_an_obeyed_recall_waits_for_the_same_agent_first,
    ),
    # -- telephony and recall
    Fault(
        "a call does not rescind the offer",
        "report",
        "if t.s == 'OFFERED' and unavailable then",
        "if false then",
        on_call,
    ),
    Fault(
        "a repeated report counts",
        "report",
        "(A.first > sequence or open)",
        "(A.first >= sequence or open)",
        partial(test_telephony.test_an_old_or_repeated_sequence_number_changes_nothing, snapshot=False),
    ),
    Fault(
        "a former life of the ACD counts",
        "report",
        "if before(A.ep, epoch) then",
        "if false then",
        test_telephony.test_an_epoch_before_the_current_one_is_stale,
    ),
    Fault(
        "work that may not be interrupted is recalled",
        "recall",
        "elseif not t.iv then",
        "elseif false then",
        test_recall.test_a_task_that_cannot_be_interrupted_is_never_recalled,
    ),
    Fault(
        "a recall forgets what it was decided on",
        "lib",
        "rescind = true, force = true}",
        "rescind = true}",
        test_recall.test_a_recall_without_notice_keeps_the_decision_too,
    ),
    Fault(
        "the built-in policy's recalls go by the version of the hand-over",
        "lib",
        "A.why, A.pv or t.pv or 0",
        "A.why, t.pv or 0",
        test_recall.test_a_withdrawn_offer_keeps_both_decisions,
    ),
    Fault(
        "events swell with the figures of decisions",
        "lib",
        "EVENT .. cmsgpack.pack(id, t.wt, t.sub or '') .. steps",
        "'\\157' .. cmsgpack.pack(id, t.wt, t.sub or '') .. steps .. cmsgpack.pack(A.why or '', 0)",
        test_recall.test_events_do_not_carry_the_figures,
    ),
    Fault(
        "a recording grows for ever",
        "record",
        "whole(math.max(0, NOW - A.keep))",
        "'0'",
        test_recording.test_chunks_older_than_is_kept_go_with_the_next_one,
    ),
    Fault(
        "chunks of a recording have another time than their transition",
        "record",
        "whole(math.max(NOW, before)) .. '-*'",
        "'*'",
        test_recording.test_an_id_tells_the_time_and_where_to_go_on,
    ),
    Fault(
        "a checkpoint lengthens the notice",
        "checkpoint",
        "if t.s == 'ACTIVE' then",
        "if true then",
        test_recall.test_a_checkpoint_within_the_notice_is_saved_but_does_not_lengthen_it,
    ),
    # -- the sweeper
    Fault(
        "a sweep without a look at the deadline",
        "advance",
        "if not t.dl or t.dl > NOW then",
        "if not t.dl then",
        test_widening.test_a_sweep_with_old_knowledge_takes_nothing_away,
    ),
    Fault(
        "failed attempts never end",
        "advance",
        "if t.at >= (t.ma or 0) then",
        "if false then",
        test_lease.test_too_many_failed_attempts_end_in_the_dead_letters,
    ),
    Fault(
        "deadlines are not put on the list",
        "lib",
        "if is.dl then redis.call('ZADD', K.due, whole(is.dl), id) else",
        "if is.dl then redis.call('ZREM', K.due, id) else",
        test_claim.test_an_offer_names_its_holder_fence_and_deadline,
        AUDIT,
    ),
    # -- indexes and counters
    Fault(
        "heads are not kept",
        "lib",
        "redis.call('ZADD', K.heads, 0, new)\nend",
        "end",
        test_submit.test_a_task_waits_in_the_first_queue_of_its_plan,
        AUDIT,
    ),
    Fault(
        "busy agents stay in the idle index",
        "lib",
        "if was.member then redis.call('ZREM', K.idle, was.member) end",
        "",
        test_claim.test_a_pull_leases_at_once,
        AUDIT,
    ),
    Fault(
        "counters are only added to",
        "lib",
        "count_priority(was, -1)",
        "",
        test_claim.test_a_pull_leases_at_once,
        AUDIT,
    ),
    Fault(
        "group counters are only added to",
        "lib",
        "count_agent(was, -1)",
        "",
        partial(test_agents.test_a_repeated_report_does_not_restart_the_idle_time),
        AUDIT,
    ),
    Fault(
        "queues are never forgotten",
        "lib",
        "commit_refs(-1)",
        "",
        test_looks.test_empty_queues_leave_nothing_behind,
    ),
    Fault(
        "a parked task leaves the agent's list only",
        "lib",
        "a.pk = without(a.pk, id)",
        "",
        test_park.test_a_parked_task_can_be_canceled,
    ),
    Fault(
        "a new plan does not move the task",
        "update",
        "place(t, was_front",
        "(function() end)(t, was_front",
        test_update.test_a_new_plan_moves_a_waiting_task,
    ),
    # -- names and leaders
    Fault(
        "request ids are not kept",
        "submit",
        "redis.call('HSET', K.requests, request, id)",
        "",
        test_submit.test_a_repeated_request_answers_with_the_first_task,
    ),
    Fault(
        "any term may write the gate",
        "set_gate",
        "lead.term ~= (A.gate.te or 0)",
        "false",
        test_gates.test_an_old_leader_writes_no_gate,
    ),
    Fault(
        "the law overrules the supervisor",
        "set_gate",
        "if old and old.mo ~= 'AUTO'",
        "if false and old.mo ~= 'AUTO'",
        test_gates.test_the_hand_of_a_supervisor_stays_over_the_law,
    ),
    Fault(
        "any revision may be canceled",
        "cancel",
        "A.rev ~= t.rev",
        "false",
        test_ending.test_a_cancel_that_read_an_older_revision_is_refused,
    ),
]


async def caught_by(fault: Fault, stage: Stage) -> str | None:
    """What noticed the fault."""
    try:
        await fault.check(stage)
    except StoreUnavailable:
        raise
    except CAUGHT:
        return CHECK
    try:
        await stage.assert_sound()
        await assert_no_leaks(stage)
    except CAUGHT:
        return AUDIT
    return None


@pytest.fixture(scope="module")
def own_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey for these tests alone: the sites that a fault leaves behind would trouble the routers of others."""
    with running_valkey(tmp_path_factory.mktemp("mutants"), cluster=False) as url:
        yield url


@pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited"
)  # what a check had still to try when it failed
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
async def test_a_fault_is_caught(fault: Fault, own_url: str) -> None:
    with changed_library(fault.file, fault.old, fault.new):
        async with opened(own_url) as store:
            caught = await caught_by(fault, Stage(store, fresh_site()))
    assert caught == fault.by
    name = getattr(fault.check, "__name__", "") or fault.check.func.__name__  # type: ignore[attr-defined]
    steps.note(f"fault caught: {fault.name} ({name}, {caught})")


@pytest.mark.cluster
async def test_an_undeclared_key_is_caught(cluster_url: str) -> None:
    """The cluster itself does not mind a key of the same slot; the watch on the feed does."""
    stolen_look = "redis.call('HLEN', 'wr1:{' .. A.si .. '}:tasks')\n-- due:"
    with changed_library("due", "-- due:", stolen_look):
        async with opened(cluster_url) as store, KeyWatch(cluster_url) as watch:
            stage = Stage(store, fresh_site())
            await stage.due()
            _, faults = await watch.undeclared()
    assert faults
    steps.note("fault caught: a key that is not declared (the key watch)")
