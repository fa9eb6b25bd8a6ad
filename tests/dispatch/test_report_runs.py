"""Changes of a feed that are applied together say the same as one after the other."""

from __future__ import annotations

from typing import Any

import pytest

from router.dispatch.telephony import _runs
from router.domain.errors import PermissionDenied, StoreUnavailable
from router.domain.model import AgentReport, AgentState, ReportOutcome
from router.domain.ports import SLICE
from router.domain.telephony import CallQueueReport, ReportBatch
from tests.dispatch.scene import GROUP, SITE, opened_scene


def change(sequence: int, agents: int = 0, **queue: int) -> ReportBatch:
    reports = [AgentReport(f"a{n}", AgentState.ON_CALL) for n in range(agents)]
    queues = [CallQueueReport("main", GROUP, **queue)] if queue else []
    return ReportBatch("acd", "1", sequence, agents=reports, queues=queues)


async def test_what_a_later_change_leaves_out_is_kept_from_an_earlier_one() -> None:
    async with opened_scene() as scene:
        await scene.router.telephony.report(scene.acd, ReportBatch("acd", "1", 1, snapshot=True))
        run = [change(2, aht_ms=240_000, offered=5), change(3, offered=6, answered=4)]
        results = await scene.router.telephony.report_all(scene.acd, run)
        assert [result.sequence for result in results] == [2, 3]
        (record,) = await scene.store.call_queues(SITE)
        report = CallQueueReport.from_text(record.id, record.body)
        assert (report.aht_ms, report.offered, report.answered) == (240_000, 6, 4)


@pytest.mark.parametrize("together", [True, False])
async def test_a_report_that_is_not_applied_leaves_nothing_behind_for_later_ones(together: bool) -> None:
    """A change completes what it leaves out with what the store has, not with what was refused."""
    async with opened_scene() as scene:
        telephony = scene.router.telephony
        await telephony.report(scene.acd, ReportBatch("acd", "1", 1, snapshot=True))
        await telephony.report(scene.acd, change(2, aht_ms=240_000, offered=5))
        forged = [change(n, aht_ms=1_000)._replace(source="other") for n in ((3, 4) if together else (3,))]
        with pytest.raises(PermissionDenied):
            await telephony.report_all(scene.acd, forged)
        late = [change(n, aht_ms=2_000) for n in ((1, 2) if together else (1,))]
        assert {r.outcome for r in await telephony.report_all(scene.acd, late)} == {ReportOutcome.DUPLICATE}
        await telephony.report(scene.acd, change(3, offered=6))
        (record,) = await scene.store.call_queues(SITE)
        report = CallQueueReport.from_text(record.id, record.body)
        assert (report.aht_ms, report.offered) == (240_000, 6)


async def test_a_report_that_was_applied_unseen_is_what_later_ones_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with opened_scene() as scene:
        telephony, apply = scene.router.telephony, scene.store.report
        await telephony.report(scene.acd, ReportBatch("acd", "1", 1, snapshot=True))
        await telephony.report(scene.acd, change(2, aht_ms=240_000, offered=5))

        async def answer_lost(*args: Any, **more: Any) -> None:
            await apply(*args, **more)
            raise StoreUnavailable("the connection broke")

        with monkeypatch.context() as broken:
            broken.setattr(scene.store, "report", answer_lost)
            with pytest.raises(StoreUnavailable):
                await telephony.report(scene.acd, change(3, aht_ms=300_000))
        again = await telephony.report(scene.acd, change(3, aht_ms=300_000))
        assert again.outcome is ReportOutcome.DUPLICATE
        await telephony.report(scene.acd, change(4, offered=6))
        (record,) = await scene.store.call_queues(SITE)
        report = CallQueueReport.from_text(record.id, record.body)
        assert (report.aht_ms, report.offered) == (300_000, 6)


def numbers(batches: list[ReportBatch]) -> list[list[int]]:
    return [[batch.sequence for batch in run] for run in _runs(batches)]


def test_a_run_is_one_step_of_the_store_so_that_none_of_it_is_lost_half_way() -> None:
    assert numbers([change(2, agents=12), change(3, agents=SLICE - 12)]) == [[2, 3]]
    assert numbers([change(2, agents=13), change(3, agents=SLICE - 12)]) == [[2], [3]]
    assert numbers([change(2, agents=1), change(3, agents=SLICE + 1), change(4), change(5)]) == [
        [2],
        [3],
        [4, 5],
    ]
    assert numbers([change(2), change(4), change(5)]) == [[2], [4, 5]]
    assert numbers([change(2), change(3)._replace(epoch="2"), change(4)]) == [[2], [3], [4]]
    assert numbers([change(2), change(3)._replace(snapshot=True), change(4), change(5)]) == [[2], [3], [4, 5]]
    assert numbers([]) == []


async def test_more_changes_than_one_step_takes_are_still_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened_scene() as scene:
        await scene.router.telephony.report(scene.acd, ReportBatch("acd", "1", 1, snapshot=True))
        steps, apply = [], scene.store.report

        async def counted(*args: Any, **more: Any) -> Any:
            steps.append(args[3])
            return await apply(*args, **more)

        monkeypatch.setattr(scene.store, "report", counted)
        changes = [change(2 + n, agents=1) for n in range(2 * SLICE + 3)]
        results = await scene.router.telephony.report_all(scene.acd, changes)
        assert [result.sequence for result in results] == [batch.sequence for batch in changes]
        assert steps == [1 + SLICE, 1 + 2 * SLICE, 4 + 2 * SLICE]
