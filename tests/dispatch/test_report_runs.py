"""Changes of a feed that are applied together say the same as one after the other."""

from __future__ import annotations

from router.dispatch.telephony import _is_run
from router.domain.model import AgentReport, AgentState
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


def test_a_run_is_one_step_of_the_store_so_that_none_of_it_is_lost_half_way() -> None:
    assert _is_run([change(2, agents=12), change(3, agents=SLICE - 12)])
    assert not _is_run([change(2, agents=13), change(3, agents=SLICE - 12)])
    assert not _is_run([change(2), change(4)])
