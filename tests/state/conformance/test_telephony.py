"""Reports of an ACD: sequence, epochs, snapshots, and what a call does to work in hand."""

from __future__ import annotations

import pytest

from router.domain.model import AgentReport, AgentState, Feed, NoTask, ReportOutcome, TaskState
from router.domain.ports import ReportResult
from tests.support.builders import GROUP, HOUR, MINUTE, SECOND, SOURCE, T0
from tests.support.stage import Stage

S = AgentState
APPLIED, DUPLICATE = ReportOutcome.APPLIED, ReportOutcome.DUPLICATE
STALE, NEEDS_SNAPSHOT = ReportOutcome.STALE, ReportOutcome.NEEDS_SNAPSHOT


async def people(stage: Stage, *ids: str) -> None:
    for id in ids:
        await stage.agent(id, group=GROUP)
    await stage.gate()


async def state_of(stage: Stage, id: str = "ann") -> AgentState:
    return (await stage.read_agent(id)).state


# -- order -------------------------------------------------------------------------------------------------
async def test_a_report_moves_the_state_and_its_time(stage: Stage) -> None:
    await people(stage, "ann")
    stage.later(MINUTE)
    report = AgentReport("ann", S.NOT_READY, "lunch", leave_ms=stage.now + HOUR)
    result = await stage.raw_report(stage.sequence + 1, [report])
    assert (result.outcome, result.sequence) == (APPLIED, stage.sequence + 1)
    agent = await stage.read_agent()
    assert (agent.state, agent.state_ms, agent.reason) == (S.NOT_READY, stage.now, "lunch")
    assert (agent.leave_ms, agent.source) == (stage.now + HOUR, SOURCE)


async def test_the_first_report_must_be_a_snapshot(stage: Stage) -> None:
    result = await stage.raw_report(1, [], snapshot=False)
    assert result.outcome is NEEDS_SNAPSHOT
    assert await stage.store.feeds(stage.site) == []
    assert (await stage.raw_report(1, [], snapshot=True)).outcome is APPLIED


@pytest.mark.parametrize("snapshot", [False, True])
async def test_an_old_or_repeated_sequence_number_changes_nothing(stage: Stage, snapshot: bool) -> None:
    await people(stage, "ann")
    report = [AgentReport("ann", S.ON_CALL)]
    assert (await stage.raw_report(10, report)).outcome is APPLIED
    before = await stage.dump()
    stage.later(SECOND)
    for sequence in (10, 9, 1):
        result = await stage.raw_report(sequence, [AgentReport("ann", S.AVAILABLE)], snapshot=snapshot)
        assert (result.outcome, result.sequence) == (DUPLICATE, 10)
    assert await stage.dump() == before


async def test_gaps_in_the_sequence_are_no_obstacle(stage: Stage) -> None:
    await people(stage, "ann")
    assert (await stage.raw_report(100, [AgentReport("ann", S.ON_CALL)])).outcome is APPLIED
    assert await state_of(stage) is S.ON_CALL


async def test_a_new_epoch_begins_with_a_snapshot(stage: Stage) -> None:
    await people(stage, "ann")
    report = [AgentReport("ann", S.ON_CALL)]
    before = await stage.dump()
    assert (await stage.raw_report(1, report, epoch="2")).outcome is NEEDS_SNAPSHOT
    assert await stage.dump() == before
    assert (await stage.raw_report(1, report, epoch="2", snapshot=True)).outcome is APPLIED
    assert await stage.store.feeds(stage.site) == [Feed(SOURCE, "2", 1, stage.now)]


async def test_an_epoch_before_the_current_one_is_stale(stage: Stage) -> None:
    await people(stage, "ann")
    await stage.raw_report(1, [], epoch="10", snapshot=True)
    before = await stage.dump()
    for epoch in ("9", "1"):  # as numbers, not as words
        result = await stage.raw_report(99, [AgentReport("ann", S.ON_CALL)], epoch=epoch, snapshot=True)
        assert result.outcome is STALE
    assert await stage.dump() == before


async def test_large_epochs_compare_exactly(stage: Stage) -> None:
    low, high = "9007199254740992", "9007199254740993"
    assert (await stage.raw_report(1, [], epoch=high, snapshot=True)).outcome is APPLIED
    assert (await stage.raw_report(2, [], epoch=low, snapshot=True)).outcome is STALE


async def test_sources_have_their_own_sequences(stage: Stage) -> None:
    assert (await stage.raw_report(50, [], source="one", snapshot=True)).outcome is APPLIED
    assert (await stage.raw_report(1, [], source="two", snapshot=True)).outcome is APPLIED
    assert {feed.source: feed.sequence for feed in await stage.store.feeds(stage.site)} == {
        "one": 50,
        "two": 1,
    }


async def test_a_heartbeat_renews_the_feed(stage: Stage) -> None:
    await people(stage, "ann")
    stage.later(MINUTE)
    await stage.report({})
    [feed] = await stage.store.feeds(stage.site)
    assert (feed.last_ms, feed.sequence) == (stage.now, stage.sequence)
    assert await state_of(stage) is S.AVAILABLE


async def test_a_duplicate_does_not_keep_a_dead_feed_alive(stage: Stage) -> None:
    await people(stage, "ann")
    await stage.gate(stale_after_ms=10 * SECOND)
    await stage.add()
    stage.later(11 * SECOND)
    await stage.raw_report(stage.sequence, [])
    assert await stage.refusal() is NoTask.FEED_STALE


async def test_unknown_agents_are_ignored(stage: Stage) -> None:
    await people(stage, "ann")
    result = await stage.report({"nobody": S.AVAILABLE, "ann": S.ON_CALL})
    assert result.outcome is APPLIED
    assert await state_of(stage) is S.ON_CALL
    assert "nobody" not in (await stage.dump())["agents"]


# -- snapshots ---------------------------------------------------------------------------------------------
async def test_a_snapshot_sets_those_offline_whom_it_does_not_name(stage: Stage) -> None:
    await people(stage, "ann", "bob")
    await stage.report({"ann": S.ON_CALL}, snapshot=True)
    assert [await state_of(stage, id) for id in ("ann", "bob")] == [S.ON_CALL, S.OFFLINE]


async def test_a_snapshot_leaves_the_agents_of_other_sources_alone(stage: Stage) -> None:
    await people(stage, "ann", "bob")
    await stage.raw_report(1, [], source="other", snapshot=True)
    assert await state_of(stage, "ann") is S.AVAILABLE


async def test_a_long_snapshot_comes_in_parts(stage: Stage) -> None:
    await people(stage, "ann", "bob", "cyd")
    sequence = stage.sequence + 1
    first, second = [AgentReport("ann", S.ON_CALL)], [AgentReport("bob", S.NOT_READY)]
    assert (await stage.raw_report(sequence, first, snapshot=True, last=False)).outcome is APPLIED
    assert (await stage.raw_report(sequence, second, snapshot=True)).outcome is APPLIED
    states = [await state_of(stage, id) for id in ("ann", "bob", "cyd")]
    assert states == [S.ON_CALL, S.NOT_READY, S.OFFLINE]
    assert (await stage.raw_report(sequence, first, snapshot=True)).outcome is DUPLICATE


async def test_a_snapshot_mark_of_another_source_means_nothing(stage: Stage) -> None:
    """The agent moves from one ACD to another whose sequence numbers happen to be the same."""
    await people(stage, "ann")
    await stage.raw_report(3, [AgentReport("ann", S.AVAILABLE)], snapshot=True)
    await stage.raw_report(1, [], source="other", snapshot=True)
    stage.later(10 * MINUTE)
    await stage.raw_report(2, [AgentReport("ann", S.AVAILABLE)], source="other")
    assert (await stage.read_agent()).source == "other"
    await stage.raw_report(3, [], source="other", snapshot=True)
    assert await state_of(stage) is S.OFFLINE


async def test_parts_of_a_report_that_is_no_snapshot(stage: Stage) -> None:
    await people(stage, "ann", "bob")
    sequence = stage.sequence + 1
    await stage.raw_report(sequence, [AgentReport("ann", S.ON_CALL)], last=False)
    await stage.raw_report(sequence, [AgentReport("bob", S.ON_CALL)])
    assert [await state_of(stage, id) for id in ("ann", "bob")] == [S.ON_CALL] * 2


# -- what a state does to work in hand ---------------------------------------------------------------------
@pytest.mark.parametrize("state", sorted(set(S) - {S.AVAILABLE, S.RESERVED}))
async def test_a_state_that_ends_availability_rescinds_the_offer_at_once(
    stage: Stage, state: AgentState
) -> None:
    await people(stage, "ann", "bob")
    await stage.add("t1")
    await stage.offer("ann")
    await stage.add("older", origin_ms=T0 - 100 * HOUR)
    result = await stage.report({"ann": state})
    assert [(task.id, task.state) for task in result.touched] == [("t1", TaskState.QUEUED)]
    assert (await stage.read_agent("ann")).held == ()
    assert (await stage.pull("bob")).id == "t1"  # first in line again


@pytest.mark.parametrize("state", [S.RINGING, S.ON_CALL])
async def test_a_call_recalls_work_that_can_be_interrupted(stage: Stage, state: AgentState) -> None:
    await people(stage, "ann")
    await stage.add("t1")
    await stage.pull("ann")
    result = await stage.report({"ann": state}, recall_notice_ms=7 * SECOND)
    [touched] = result.touched
    assert (touched.state, touched.deadline_ms) == (TaskState.RECALLING, stage.now + 7 * SECOND)
    assert (await stage.task()).state is TaskState.RECALLING


async def test_a_call_leaves_work_alone_that_cannot_be_interrupted(stage: Stage) -> None:
    await people(stage, "ann")
    await stage.add("t1", interruptible=False)
    await stage.pull("ann")
    result = await stage.report({"ann": S.ON_CALL})
    assert result.touched == ()
    assert await stage.state() is TaskState.ACTIVE


async def test_a_second_report_of_the_same_call_does_not_recall_again(stage: Stage) -> None:
    await people(stage, "ann")
    await stage.add("t1")
    await stage.pull("ann")
    await stage.report({"ann": S.RINGING})
    before = await stage.task()
    stage.later(SECOND)
    assert (await stage.report({"ann": S.ON_CALL})).touched == ()
    assert await stage.task() == before


async def test_a_break_leaves_the_lease_alone(stage: Stage) -> None:
    await people(stage, "ann")
    await stage.add("t1")
    await stage.pull("ann")
    assert (await stage.report({"ann": S.NOT_READY})).touched == ()
    assert await stage.state() is TaskState.ACTIVE


async def test_several_offers_are_rescinded_together(stage: Stage) -> None:
    await stage.agent("ann", group=GROUP, capacity=3)
    await stage.agent("bob", group=GROUP)
    await stage.gate()
    for n in range(3):
        await stage.add(f"t{n}", interruptible=n != 1)
    await stage.offer("ann", task="t0")
    await stage.pull("ann", task="t1")
    await stage.pull("ann", task="t2")
    await stage.report({"ann": S.RINGING})
    states = [await stage.state(f"t{n}") for n in range(3)]
    assert states == [TaskState.QUEUED, TaskState.ACTIVE, TaskState.RECALLING]


async def test_a_reserved_agent_keeps_its_offer(stage: Stage) -> None:
    await people(stage, "ann")
    await stage.add("t1")
    task = await stage.offer("ann")
    assert (await stage.report({"ann": S.RESERVED})).touched == ()
    assert (await stage.accept(task)).state is TaskState.ACTIVE


async def test_a_duplicate_report_of_a_call_rescinds_nothing(stage: Stage) -> None:
    await people(stage, "ann")
    await stage.add("t1")
    await stage.offer("ann")
    await stage.raw_report(stage.sequence, [AgentReport("ann", S.ON_CALL)])
    assert await stage.state() is TaskState.OFFERED


async def test_a_snapshot_that_misses_an_agent_rescinds_its_offer(stage: Stage) -> None:
    await people(stage, "ann")
    await stage.add("t1")
    await stage.offer("ann")
    result = await stage.report({}, snapshot=True)
    assert [task.id for task in result.touched] == ["t1"]
    assert await stage.state() is TaskState.QUEUED


async def test_busy_time_and_login_are_kept(stage: Stage) -> None:
    await people(stage, "ann")
    assert (await stage.read_agent()).login_ms == T0
    await stage.report({"ann": S.ON_CALL})
    stage.later(3 * MINUTE)
    await stage.report({"ann": S.AVAILABLE})
    assert (await stage.read_agent()).busy_ms == 3 * MINUTE


# -- figures -----------------------------------------------------------------------------------------------
async def test_groups_are_counted_by_state(stage: Stage) -> None:
    await people(stage, "ann", "bob", "cyd")
    await stage.report({"bob": S.ON_CALL})
    await stage.add()
    await stage.offer("ann")
    [figures] = await stage.store.groups(stage.site)
    assert figures.group == GROUP
    assert {state: n for state, n in figures.by_state.items() if n} == {S.AVAILABLE: 2, S.ON_CALL: 1}
    assert (figures.idle, figures.on_tasks) == (1, 1)


async def test_call_queue_figures_are_kept_with_their_source(stage: Stage) -> None:
    await stage.raw_report(1, [], snapshot=True, call_queues={"sales": '{"waiting": 3}'})
    stage.later(SECOND)
    await stage.raw_report(2, [], call_queues={"service": "ü"})
    await stage.raw_report(2, [], call_queues={"sales": "duplicate"})
    records = {record.id: record for record in await stage.store.call_queues(stage.site)}
    assert {id: record.body for id, record in records.items()} == {"sales": '{"waiting": 3}', "service": "ü"}
    assert (records["sales"].source, records["sales"].at_ms) == (SOURCE, T0)
    assert records["service"].at_ms == stage.now


async def test_a_report_may_stand_for_several_numbers_and_is_old_if_one_of_them_is(stage: Stage) -> None:
    await stage.agent(group=GROUP)
    await stage.agent("bob", group=GROUP)

    async def run(first: int, last: int, *reports: AgentReport) -> ReportResult:
        return await stage.store.report(
            stage.site, SOURCE, "1", last, reports, snapshot=False, first=first, now_ms=stage.now
        )

    seen = stage.sequence
    to_call, back = AgentReport("ann", AgentState.ON_CALL), AgentReport("ann", AgentState.AFTER_CALL)
    done = await run(seen + 1, seen + 3, to_call, AgentReport("bob", AgentState.ON_CALL), back)
    assert (done.outcome, done.sequence) == (ReportOutcome.APPLIED, seen + 3)
    assert (await stage.read_agent("ann")).state is AgentState.AFTER_CALL, "in their order"
    before = await stage.dump()
    again = await run(seen + 3, seen + 4, AgentReport("bob", AgentState.AVAILABLE))
    assert (again.outcome, again.sequence) == (ReportOutcome.DUPLICATE, seen + 3)
    assert await stage.dump() == before


async def test_a_snapshot_of_many_agents_keeps_its_call_queues_and_forgets_the_others(stage: Stage) -> None:
    await stage.agent(group=GROUP)
    await stage.raw_report(stage.sequence + 1, [], call_queues={"old": "{}"})
    many = [AgentReport(f"agent{n:03d}", S.AVAILABLE) for n in range(260)]
    result = await stage.raw_report(
        stage.sequence + 2, many, snapshot=True, call_queues={"main": "1", "spare": "2"}
    )
    assert result.outcome is APPLIED
    assert len(result.unknown) == 260
    queues = await stage.store.call_queues(stage.site)
    assert [(queue.id, queue.body) for queue in queues] == [("main", "1"), ("spare", "2")]
    more = await stage.raw_report(stage.sequence + 3, [])
    assert more.outcome is APPLIED, "the feed is not left half-way"
