"""What ACDs do: report agents and call queues, and carry out commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from router.dispatch.caller import ACD, Caller
from router.dispatch.recorder import OFF, Recorder
from router.domain.errors import PermissionDenied
from router.domain.model import AcdCommand, AgentReport, Feed, ReportOutcome
from router.domain.ports import SLICE, Clock, Hint, ReportResult, Store
from router.domain.telephony import CallQueueReport, ReportBatch

PART = 100
"""Agent states that one call of the store takes; a longer report is given to it in parts."""


_KEPT = ("group", "forecast", "window_start_ms", "window_end_ms", "aht_ms")
"""Fields of a call queue that a report may leave out when they have not changed."""


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How a telephony feed does."""

    feed: Feed
    age_ms: int
    stale: bool
    call_queues: tuple[str, ...] = ()
    open_commands: int = 0


class Link:
    """One ACD's open stream, as the commands see it."""

    def __init__(self) -> None:
        self._commands: asyncio.Queue[AcdCommand] = asyncio.Queue()
        self._last: dict[str, str] = {}

    def push(self, command: AcdCommand) -> None:
        """Queue a command, unless it is queued already."""
        if self._last.get(command.agent) != command.id:
            self._last[command.agent] = command.id
            self._commands.put_nowait(command)

    def __aiter__(self) -> AsyncIterator[AcdCommand]:
        return self

    async def __anext__(self) -> AcdCommand:
        return await self._commands.get()


class Telephony:
    """The telephony contract (DESIGN section 4). A source is the id of the ACD's credentials."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        stale_after_ms: int,
        notice_ms: Callable[[str], int],
        recorder: Recorder = OFF,
    ) -> None:
        self._store = store
        self._clock = clock
        self._stale_after_ms = stale_after_ms
        self._notice_ms = notice_ms
        self._recorder = recorder
        self._queues: dict[tuple[str, str], CallQueueReport] = {}
        self._links: dict[tuple[str, str], set[Link]] = {}

    async def report_all(self, caller: Caller, batches: Sequence[ReportBatch]) -> list[ReportResult]:
        """Apply messages in their order. Changes that follow one another without a gap are one step of the store."""
        return [result for run in _runs(batches) for result in await self._report_run(caller, run)]

    async def _report_run(self, caller: Caller, batches: Sequence[ReportBatch]) -> list[ReportResult]:
        if len(batches) == 1:
            return [await self.report(caller, batches[0])]
        whole = batches[-1]._replace(
            agents=[agent for batch in batches for agent in batch.agents],
            queues=[queue for batch in batches for queue in batch.queues],
        )
        result = await self.report(caller, whole, first=batches[0].sequence)
        if result.outcome is not ReportOutcome.APPLIED:  # and nothing changed: what is old is told one by one
            return [await self.report(caller, batch) for batch in batches]
        unknown = set(result.unknown)
        return [
            result._replace(
                sequence=batch.sequence,
                unknown=tuple(each.agent for each in batch.agents if each.agent in unknown),
            )
            for batch in batches
        ]

    async def report(self, caller: Caller, batch: ReportBatch, first: int = 0) -> ReportResult:
        """Apply one message of the feed. ``first``: it stands for all from this number on."""
        if caller.role == ACD and batch.source != caller.id:
            raise PermissionDenied(
                f"credentials of {caller.id!r} cannot report as {batch.source!r}", "SOURCE_MISMATCH"
            )
        if batch.queues:
            batch = batch._replace(queues=await self._completed(caller.site, batch.queues))
        known = {(caller.site, queue.id): queue for queue in batch.queues}
        for key in known:  # until it is certain that the store has the new one
            self._queues.pop(key, None)
        parts = [batch.agents[i : i + PART] for i in range(0, len(batch.agents), PART)] or [()]
        result = await self._apply(caller.site, batch, parts[0], last=len(parts) == 1, first=first)
        for i, part in enumerate(parts[1:], 2):
            if result.outcome is not ReportOutcome.APPLIED:
                break
            more = await self._apply(caller.site, batch, part, last=i == len(parts))
            touched, unknown = result.touched + more.touched, result.unknown + more.unknown
            result = more._replace(touched=touched, unknown=unknown)
        if result.outcome is ReportOutcome.APPLIED:
            self._queues |= known
            self._recorder.note(caller.site, "report", self._clock.now_ms(), batch)
        return result

    async def _apply(
        self, site: str, batch: ReportBatch, agents: Sequence[AgentReport], last: bool, first: int = 0
    ) -> ReportResult:
        return await self._store.report(
            site,
            batch.source,
            batch.epoch,
            batch.sequence,
            agents,
            snapshot=batch.snapshot,
            last=last,
            first=first,
            call_queues={queue.id: queue.to_text() for queue in batch.queues} if last else None,
            recall_notice_ms=self._notice_ms(site),
        )

    async def _completed(self, site: str, queues: Sequence[CallQueueReport]) -> list[CallQueueReport]:
        """The last report of each queue, with what it leaves out as it was reported before."""
        completed: dict[str, CallQueueReport] = {}
        for queue in queues:
            before = completed.get(queue.id) or await self._reported(site, queue.id) or queue
            kept = {name: getattr(before, name) for name in _KEPT if not getattr(queue, name)}
            completed[queue.id] = queue._replace(**kept)
        return list(completed.values())

    async def _reported(self, site: str, queue: str) -> CallQueueReport | None:
        """What was last reported of a queue, as the store has it."""
        if (site, queue) not in self._queues:
            for record in await self._store.call_queues(site):
                self._queues[site, record.id] = CallQueueReport.from_text(record.id, record.body)
        return self._queues.get((site, queue))

    async def command_result(self, caller: Caller, command: str, agent: str, ok: bool, error: str) -> None:
        """What the ACD answered to a command."""
        await self._store.command_result(caller.site, command, agent, ok, error)

    @asynccontextmanager
    async def open_link(self, caller: Caller, source: str) -> AsyncIterator[Link]:
        """An ACD's stream is open: it gets the standing commands first, then new ones."""
        link = Link()
        links = self._links.setdefault((caller.site, source), set())
        links.add(link)
        try:
            for command in await self._store.commands(caller.site, source):
                link.push(command)
            yield link
        finally:
            links.discard(link)

    def deliver(self, hint: Hint) -> None:
        """Pass a command on to the ACD, if its link is here."""
        if hint.kind == "command" and hint.command:
            for link in self._links.get((hint.site, hint.command.source), ()):
                link.push(hint.command)

    async def resync(self) -> None:
        """Hints may have been lost: hand every open link its standing commands."""
        for (site, source), links in list(self._links.items()):
            for command in await self._store.commands(site, source) if links else ():
                for link in links:
                    link.push(command)

    async def feeds(self, caller: Caller) -> list[FeedStatus]:
        """Every source that has reported, and whether it still speaks."""
        site = caller.site
        now_ms, feeds, queues = await asyncio.gather(
            self._store.now(), self._store.feeds(site), self._store.call_queues(site)
        )
        commands = await asyncio.gather(*(self._store.commands(site, feed.source) for feed in feeds))
        return [
            FeedStatus(
                feed,
                now_ms - feed.last_ms,
                now_ms - feed.last_ms > self._stale_after_ms,
                tuple(queue.id for queue in queues if queue.source == feed.source),
                len(standing),
            )
            for feed, standing in zip(feeds, commands, strict=True)
        ]


def _runs(batches: Sequence[ReportBatch]) -> Iterator[list[ReportBatch]]:
    """The messages in their order; changes numbered without a gap are together, as many as one step applies."""
    run: list[ReportBatch] = []
    agents = 0
    for batch in batches:
        if run and not (_follows(run[-1], batch) and agents + len(batch.agents) <= SLICE):
            yield run
            run, agents = [], 0
        run.append(batch)
        agents += len(batch.agents)
    if run:
        yield run


def _follows(before: ReportBatch, batch: ReportBatch) -> bool:
    one_life = batch.epoch == before.epoch and batch.sequence == before.sequence + 1
    return one_life and not (before.snapshot or batch.snapshot)
