"""TelephonyService: what ACDs and their adapters call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager
from typing import Any

from router.dispatch.caller import Caller
from router.dispatch.router import Router
from router.dispatch.telephony import FeedStatus, Link
from router.domain.errors import InvalidInput, NotFound, WrongState
from router.rpc import names, paging
from router.rpc.auth import caller
from router.rpc.convert import telephony as convert
from router.rpc.convert.times import timestamp
from router.rpc.errors import StreamReplaced
from router.rpc.streams import Drain, Outbox, merged
from router.rpc.validate import MAX_REASON, Check
from router.v1 import telephony_pb2 as pb
from router.v1 import telephony_pb2_grpc

_Outbox = Outbox[pb.ReportResponse]
_COMMANDS_KEPT = 4096


class TelephonyService(telephony_pb2_grpc.TelephonyServiceServicer):
    """Translates; the use cases are in router.dispatch.telephony."""

    def __init__(self, router: Router, drain: Drain) -> None:
        self._router = router
        self._telephony = router.telephony
        self._drain = drain
        self._open: dict[tuple[str, str], asyncio.Event] = {}

    async def Report(  # noqa: N802
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[pb.ReportResponse]:
        """An ACD's stream: acknowledgements and commands out, one writer."""
        who = caller()
        first = await anext(request_iterator, None)
        if first is None:
            return
        source = first.source or who.id
        feed = _FeedStream(self._router, who, source, self._drain)
        async with AsyncExitStack() as stack:
            replaced = stack.enter_context(self._replacing(who.site, source))
            link = await stack.enter_async_context(self._telephony.open_link(who, source))
            messages = feed.messages(first, request_iterator, link, replaced)
            async for message in await stack.enter_async_context(aclosing(messages)):
                yield message

    @contextmanager
    def _replacing(self, site: str, source: str) -> Iterator[asyncio.Event]:
        """End the older stream of the source; the event says that a newer one has ended this one."""
        key = (site, source)
        replaced = asyncio.Event()
        if earlier := self._open.get(key):
            earlier.set()
        self._open[key] = replaced
        try:
            yield replaced
        finally:
            if self._open.get(key) is replaced:
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


class _FeedStream:
    """One ACD's stream while it lasts."""

    def __init__(self, router: Router, who: Caller, source: str, drain: Drain) -> None:
        self._telephony = router.telephony
        self._now_ms = router.clock.now_ms
        self._who = who
        self._source = source
        self._drain = drain
        self._epoch = ""
        self._agents: dict[str, str] = {}

    async def messages(
        self,
        first: pb.ReportRequest,
        requests: AsyncIterator[pb.ReportRequest],
        link: Link,
        replaced: asyncio.Event,
    ) -> AsyncGenerator[pb.ReportResponse, None]:
        """All that the ACD is told."""

        async def read(outbox: _Outbox) -> None:
            await self._handle(first, outbox)
            async for request in requests:
                await self._handle(request, outbox)

        async def command(outbox: _Outbox) -> None:
            async for order in link:
                self._remember(order.id, order.agent)
                await outbox.put(convert.command_out(order))

        async def end(outbox: _Outbox) -> None:
            await replaced.wait()
            raise StreamReplaced("a newer stream of this source took over", "FEED_REPLACED")

        async def drained(outbox: _Outbox) -> None:
            await self._drain.begun.wait()
            notice = pb.ReportResponse.Draining(deadline=timestamp(self._drain.deadline_ms))
            await outbox.put(pb.ReportResponse(draining=notice))

        async with aclosing(merged(read, command, end, drained)) as responses:
            async for response in responses:
                yield response

    async def _handle(self, request: pb.ReportRequest, outbox: _Outbox) -> None:
        if request.source and request.source != self._source:
            raise WrongState(
                f"the stream is that of {self._source!r}; open another for {request.source!r}",
                "SOURCE_CHANGED",
            )
        self._epoch = request.epoch or self._epoch
        if request.WhichOneof("report") == "command_result":
            await self._result(request.command_result)
        else:
            await outbox.put(await self._report(request))

    async def _report(self, request: pb.ReportRequest) -> pb.ReportResponse:
        """A report that is not valid is answered as such and changes nothing; the stream goes on."""
        check = Check(self._who.site)
        try:
            batch = convert.batch_in(request, self._source, self._epoch, self._now_ms(), check)
            check.done()
            return convert.ack_out(await self._telephony.report(self._who, batch), request.sequence)
        except InvalidInput as error:
            return convert.refusal_out(error, request.sequence)

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
