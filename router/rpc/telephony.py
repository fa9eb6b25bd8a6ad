"""TelephonyService: what ACDs and their adapters call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from router.dispatch.caller import Caller
from router.dispatch.router import Router
from router.dispatch.telephony import FeedStatus, Link
from router.domain.errors import InvalidInput, NotFound, WrongState
from router.domain.telephony import ReportBatch
from router.rpc import names, paging
from router.rpc.auth import caller
from router.rpc.convert import telephony as convert
from router.rpc.convert.times import timestamp
from router.rpc.errors import StreamReplaced
from router.rpc.reports import Reports, ReportStream
from router.rpc.streams import Drain
from router.rpc.validate import MAX_REASON, Check
from router.v1 import telephony_pb2 as pb
from router.v1 import telephony_pb2_grpc

_COMMANDS_KEPT = 4096


class TelephonyService(telephony_pb2_grpc.TelephonyServiceServicer):
    """Translates; the use cases are in router.dispatch.telephony."""

    def __init__(self, router: Router, drain: Drain) -> None:
        self._router = router
        self._telephony = router.telephony
        self._drain = drain
        self._open: dict[tuple[str, str], ReportStream] = {}

    async def Report(self, requests: Any, stream: ReportStream) -> None:  # type: ignore[override]  # noqa: N802
        """An ACD's stream: acknowledgements and commands out."""
        who = caller()
        first = await stream.read()
        if first is None:
            return
        source = first.source or who.id
        with self._replacing((who.site, source), stream):
            async with self._telephony.open_link(who, source) as link:
                await _Feed(self._router, who, source, stream, self._drain).serve(first, link)

    @contextmanager
    def _replacing(self, key: tuple[str, str], stream: ReportStream) -> Iterator[None]:
        """End the older stream of the site and source."""
        if earlier := self._open.get(key):
            earlier.end(StreamReplaced("a newer stream of this source took over", "FEED_REPLACED"))
        self._open[key] = stream
        try:
            yield
        finally:
            if self._open.get(key) is stream:
                del self._open[key]

    async def GetFeedStatus(self, request: pb.GetFeedStatusRequest, context: Any) -> pb.FeedStatus:  # noqa: N802
        """One feed."""
        who = caller()
        source = names.parse(request.name, names.FEED, who.site)
        for status in await self._telephony.feeds(who):
            if status.feed.source == source:
                return convert.feed_out(who.site, status)
        raise NotFound(f"no feed {source!r} has ever reported")

    async def ListFeeds(self, request: pb.ListFeedsRequest, context: Any) -> pb.ListFeedsResponse:  # noqa: N802
        """The feeds by name."""
        who = caller()
        names.check_parent(request.parent, who.site)
        check = Check(who.site)
        size = check.page_size(request.page_size)
        check.done()
        feeds = sorted(await self._telephony.feeds(who), key=_source_of)
        page, token = paging.page_of(feeds, _source_of, request.page_token, size, "feeds")
        return pb.ListFeedsResponse(
            feeds=[convert.feed_out(who.site, status) for status in page], next_page_token=token
        )


def _source_of(status: FeedStatus) -> str:
    return status.feed.source


class _Feed:
    """One ACD's stream while it lasts."""

    def __init__(self, router: Router, who: Caller, source: str, stream: ReportStream, drain: Drain) -> None:
        self._telephony = router.telephony
        self._now_ms = router.clock.now_ms
        self._who = who
        self._source = source
        self._stream = stream
        self._drain = drain
        self._epoch = ""
        self._agents: dict[str, str] = {}

    async def serve(self, first: pb.ReportRequest, link: Link) -> None:
        """Take the messages in their order, and give commands out."""
        self._stream.at_drain = self._tell_drain
        self._stream.beside(lambda: self._command(link))
        await Reports(self._stream, self._handle).serve(first)

    async def _command(self, link: Link) -> None:
        async for order in link:
            self._remember(order.id, order.agent)
            await self._stream.write(convert.command_out(order))

    async def _tell_drain(self) -> None:
        notice = pb.ReportResponse.Draining(deadline=timestamp(self._drain.deadline_ms))
        await self._stream.write(pb.ReportResponse(draining=notice))

    async def _handle(self, requests: Sequence[pb.ReportRequest]) -> None:
        """One message, or changes that follow one another."""
        for request in requests:
            self._check_source(request)
            self._epoch = request.epoch or self._epoch
        if requests[0].WhichOneof("report") == "command_result":
            return await self._result(requests[0].command_result)
        read = [self._read(request) for request in requests]
        good = [batch for batch in read if isinstance(batch, ReportBatch)]
        done = iter(await self._telephony.report_all(self._who, good))
        for request, batch in zip(requests, read, strict=True):
            if isinstance(batch, ReportBatch):
                await self._stream.write(convert.ack_out(next(done), request.sequence))
            else:
                await self._stream.write(convert.refusal_out(batch, request.sequence))

    def _check_source(self, request: pb.ReportRequest) -> None:
        if request.source and request.source != self._source:
            raise WrongState(
                f"the stream is that of {self._source!r}; open another for {request.source!r}",
                "SOURCE_CHANGED",
            )

    def _read(self, request: pb.ReportRequest) -> ReportBatch | InvalidInput:
        """A report that is not valid is answered as such and changes nothing; the stream goes on."""
        check = Check(self._who.site)
        try:
            batch = convert.batch_in(request, self._source, self._epoch, self._now_ms(), check)
            check.done()
        except InvalidInput as error:
            return error
        return batch

    async def _result(self, result: pb.ReportRequest.CommandResult) -> None:
        agent = self._agents.pop(result.command_id, "")
        await self._telephony.command_result(
            self._who, result.command_id, agent, result.ok, result.error[:MAX_REASON]
        )

    def _remember(self, command: str, agent: str) -> None:
        """Results name the command alone; those that never come are forgotten in the end."""
        self._agents[command] = agent
        if len(self._agents) > _COMMANDS_KEPT:
            del self._agents[next(iter(self._agents))]
