"""What an ACD or its adapter does: report agents and call queues, and obey commands about agents."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
import uuid
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from functools import cached_property

import grpc

from clients.backoff import Backoff
from clients.channel import Connection
from clients.errors import ApiError, NotFoundError, UnavailableError, from_status
from clients.streams import StreamClient, messages, settle
from clients.values import moment, optional_timestamp, timestamp
from router.v1 import common_pb2, telephony_pb2, telephony_pb2_grpc

Report = telephony_pb2.ReportRequest
Answer = telephony_pb2.ReportResponse
SnapshotSource = Callable[[], Report.Snapshot | Awaitable[Report.Snapshot]]
CommandHandler = Callable[[telephony_pb2.AcdCommand], Awaitable[None]]
_Call = grpc.aio.StreamStreamCall[Report, Answer]

_log = logging.getLogger(__name__)
_MAX_EPOCH = 64
_MAX_KNOWN_COMMANDS = 10_000


class CommandRefusedError(Exception):
    """A command cannot be carried out; the text tells the router why, such as `agent is in a call`."""


class TelephonyReporter(StreamClient):
    """Keeps one feed alive: `async with TelephonyReporter(connection, "pbx1") as reporter`, then
    `reporter.agent("alice", AGENT_STATE_AVAILABLE)` whenever something changes.

    Reports are numbered and sent at once; what changes faster than the router takes it is coalesced, so that only
    the latest state of each agent and queue waits, and at most `window` messages lack their acknowledgement. At each
    (re)connect, and whenever the router asks, a snapshot is sent: that of the callback, or else the latest that was
    reported of each agent and queue. The feed ends for good when another reporter of the same source takes over
    (`ConflictError`, FEED_REPLACED).
    """

    def __init__(
        self,
        connection: Connection,
        source: str,
        *,
        snapshot: SnapshotSource | None = None,
        on_command: CommandHandler | None = None,
        on_problem: Callable[[ApiError], None] | None = None,
        heartbeat_s: float = 2.0,
        ack_timeout_s: float = 8.0,
        connect_timeout_s: float = 10.0,
        window: int = 64,
        max_message_agents: int = 500,
        backoff: Backoff | None = None,
    ) -> None:
        """Use a connection of an ACD.

        `on_command` carries out a command and then reports the agent's new state; it raises CommandRefusedError
        when it cannot. Without it every command is refused. `on_problem` is told of reports that the router found
        invalid or that name agents without a profile; without it they are logged.
        """
        super().__init__(connection, backoff, connect_timeout_s)
        self.source = source
        self.epoch = ""
        self._snapshot_source = snapshot or self._own_snapshot
        self._on_command = on_command
        self._on_problem = on_problem or _log_problem
        self._heartbeat_s = heartbeat_s
        self._ack_timeout_s = ack_timeout_s
        self._window = window
        self._max_message_agents = max_message_agents
        # The latest of each, for the snapshot.
        self._agents: dict[str, telephony_pb2.AgentStateReport] = {}
        self._queues: dict[str, telephony_pb2.CallQueueReport] = {}
        # Not sent yet, in the order of the last change.
        self._new_agents: dict[str, telephony_pb2.AgentStateReport] = {}
        self._new_queues: dict[str, telephony_pb2.CallQueueReport] = {}
        self._changes = 0
        self._changes_acknowledged = 0
        self._sequence = 0
        # (sequence, changes made until it was sent) of each message without an acknowledgement.
        self._unacknowledged: deque[tuple[int, int]] = deque()
        self._snapshot_sequence = 0
        self._snapshot_wanted = True
        self._results: deque[Report.CommandResult] = deque()
        self._commands: OrderedDict[str, asyncio.Task[Report.CommandResult]] = OrderedDict()
        self._wake = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._warned: set[str] = set()

    # What the ACD says.

    @property
    def unacknowledged(self) -> int:
        """Return the number of changes that the router has not acknowledged yet."""
        return self._changes - self._changes_acknowledged

    def agent(
        self,
        agent: str,
        state: common_pb2.AgentState.ValueType,
        *,
        reason: str = "",
        since: datetime | None = None,
        shift_end: datetime | None = None,
        break_start: datetime | None = None,
    ) -> None:
        """Report the state of an agent, since now if not told otherwise. Does not wait."""
        report = telephony_pb2.AgentStateReport(
            agent=agent,
            state=state,
            reason=reason,
            state_time=timestamp(since or datetime.now(UTC)),
            shift_end_time=optional_timestamp(shift_end),
            break_start_time=optional_timestamp(break_start),
        )
        self.agents([report])

    def agents(self, reports: Iterable[telephony_pb2.AgentStateReport]) -> None:
        """Report the states of agents, in order of time. Does not wait."""
        for report in reports:
            self._agents[report.agent] = report
            # Moved to the end: the router wants changes in order of time.
            self._new_agents.pop(report.agent, None)
            self._new_agents[report.agent] = report
            self._changes += 1
        self._wake.set()

    def call_queue(self, report: telephony_pb2.CallQueueReport) -> None:
        """Report the figures of a call queue; `figures_time` is set to now if it is not. Does not wait."""
        if not report.HasField("figures_time"):
            report.figures_time.CopyFrom(timestamp(datetime.now(UTC)))
        known = self._queues.get(report.call_queue)
        self._queues[report.call_queue] = _with_lasting(report, known)
        waiting = self._new_queues.get(report.call_queue)
        self._new_queues[report.call_queue] = _with_lasting(report, waiting)
        self._changes += 1
        self._wake.set()

    async def flush(self, timeout_s: float | None = None) -> None:
        """Return when the router has acknowledged all that was reported until now.

        Raises TimeoutError after `timeout_s`, and the ApiError by which the router ended the feed.
        """
        goal = self._changes
        async with asyncio.timeout(timeout_s):
            while self._changes_acknowledged < goal:
                if self.failure is not None:
                    raise self.failure
                self._acknowledged.clear()
                await self._acknowledged.wait()

    # One stream.

    @cached_property
    def _stub(self) -> telephony_pb2_grpc.TelephonyServiceAsyncStub:
        return telephony_pb2_grpc.TelephonyServiceStub(self.connection.channel)

    async def _serve_stream(self) -> None:
        self.epoch = self.epoch or new_epoch()
        self._unacknowledged.clear()
        self._snapshot_wanted = True
        call = self._stub.Report(metadata=self.connection.metadata())
        writer = asyncio.create_task(self._write(call))
        reader = asyncio.create_task(self._read(call))
        try:
            await asyncio.wait({writer, reader}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done() or writer.exception() is None:
                await reader
            else:
                writer.result()
        finally:
            await settle(writer, reader)
            call.cancel()

    async def _read(self, call: _Call) -> None:
        async for message in messages(call, lambda: self._ack_timeout_s):
            kind = message.WhichOneof("message")
            if kind == "ack":
                await self._heard(message.ack)
            elif kind == "command":
                self._obey(message.command)
            elif kind == "draining":
                return

    async def _write(self, call: _Call) -> None:
        try:
            while True:
                await call.write(await self._next_report())
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The stream is over; the reader learns why.
            return

    async def _next_report(self) -> Report:
        """Wait for what is to be sent next: a result, a snapshot, changes, or a heartbeat."""
        loop = asyncio.get_running_loop()
        silent_until = loop.time() + self._heartbeat_s
        while True:
            self._wake.clear()
            if self._results:
                return Report(source=self.source, epoch=self.epoch, command_result=self._results.popleft())
            if self._snapshot_wanted:
                return await self._snapshot_report()
            if (self._new_agents or self._new_queues) and len(self._unacknowledged) < self._window:
                return self._changes_report()
            try:
                async with asyncio.timeout_at(silent_until):
                    await self._wake.wait()
            except TimeoutError:
                return self._numbered(Report(heartbeat=Report.Heartbeat()), None)

    async def _snapshot_report(self) -> Report:
        self._snapshot_wanted = False
        # What changes while the callback works is sent after the snapshot.
        waiting_agents, waiting_queues = self._new_agents, self._new_queues
        self._new_agents, self._new_queues = {}, {}
        changes = self._changes
        try:
            made = self._snapshot_source()
            snapshot = await made if inspect.isawaitable(made) else made
        except BaseException:
            self._new_agents = waiting_agents | self._new_agents
            self._new_queues = waiting_queues | self._new_queues
            raise
        report = self._numbered(Report(snapshot=snapshot), changes)
        self._snapshot_sequence = self._sequence
        return report

    def _own_snapshot(self) -> Report.Snapshot:
        return Report.Snapshot(agents=self._agents.values(), call_queues=self._queues.values())

    def _changes_report(self) -> Report:
        agents = list(itertools.islice(self._new_agents.values(), self._max_message_agents))
        for report in agents:
            del self._new_agents[report.agent]
        changes = Report.Changes(agents=agents, call_queues=self._new_queues.values())
        self._new_queues.clear()
        if self._new_agents:
            self._wake.set()
            return self._numbered(Report(changes=changes), None)
        return self._numbered(Report(changes=changes), self._changes)

    def _numbered(self, report: Report, changes: int | None) -> Report:
        self._sequence += 1
        report.source, report.epoch, report.sequence = self.source, self.epoch, self._sequence
        report.report_time.CopyFrom(timestamp(datetime.now(UTC)))
        covered = self._changes_acknowledged if changes is None else changes
        self._unacknowledged.append((self._sequence, covered))
        return report

    # What the router answers.

    async def _heard(self, ack: Answer.Ack) -> None:
        if ack.outcome == telephony_pb2.REPORT_OUTCOME_STALE:
            await self._renew_epoch(ack)
        elif ack.outcome == telephony_pb2.REPORT_OUTCOME_NEEDS_SNAPSHOT:
            self._settle_up_to(ack.sequence, counts=False)
            # Those sent before the last snapshot are cured by it.
            self._snapshot_wanted |= ack.sequence > self._snapshot_sequence
        elif ack.outcome == telephony_pb2.REPORT_OUTCOME_INVALID:
            self._settle_up_to(ack.sequence)
            self._on_problem(from_status(ack.status))
            if ack.sequence == self._snapshot_sequence:
                raise UnavailableError(f"the router does not take the snapshot: {ack.status.message}")
        else:
            self._settle_up_to(max(ack.sequence, ack.applied_sequence))
            self._warn_of_unknown(ack.unknown_agents)
            if not self.connected:
                self._is_up()
        self._wake.set()

    def _settle_up_to(self, sequence: int, *, counts: bool = True) -> None:
        while self._unacknowledged and self._unacknowledged[0][0] <= sequence:
            _, changes = self._unacknowledged.popleft()
            if counts:
                self._changes_acknowledged = max(self._changes_acknowledged, changes)
        self._acknowledged.set()

    async def _renew_epoch(self, ack: Answer.Ack) -> None:
        """Begin an epoch after the one that the router knows: this machine's clock may have been set back."""
        known = self.epoch
        try:
            status = await self.connection.call(
                self._stub.GetFeedStatus,
                telephony_pb2.GetFeedStatusRequest(name=self.names.feed(self.source)),
                repeatable=True,
            )
            known = max(known, status.epoch)
        except NotFoundError:
            pass
        self.epoch, self._sequence = new_epoch(known), 0
        raise UnavailableError(f"report {ack.sequence} was stale; the feed begins a new epoch")

    def _warn_of_unknown(self, agents: Iterable[str]) -> None:
        unknown = set(agents) - self._warned
        if unknown:
            self._warned |= unknown
            names = ", ".join(sorted(unknown))
            self._on_problem(NotFoundError(f"the router has no profile of these agents: {names}"))

    # Commands.

    def _obey(self, command: telephony_pb2.AcdCommand) -> None:
        known = self._commands.get(command.command_id)
        if known is None:
            known = asyncio.create_task(self._carry_out(command))
            self._commands[command.command_id] = known
            while len(self._commands) > _MAX_KNOWN_COMMANDS:
                self._commands.popitem(last=False)
            known.add_done_callback(self._answer_command)
        elif known.done():
            self._answer_command(known)

    def _answer_command(self, done: asyncio.Task[Report.CommandResult]) -> None:
        if not done.cancelled():
            self._results.append(done.result())
            self._wake.set()

    async def _carry_out(self, command: telephony_pb2.AcdCommand) -> Report.CommandResult:
        error = ""
        try:
            if self._on_command is None:
                raise CommandRefusedError("this feed takes no commands")
            if command.HasField("deadline") and moment(command.deadline) < datetime.now(UTC):
                raise CommandRefusedError("the deadline has passed")
            await self._on_command(command)
        except CommandRefusedError as refusal:
            error = str(refusal) or "refused"
        except Exception as failure:
            _log.exception("command %s failed", command.command_id)
            error = f"{type(failure).__name__}: {failure}"
        return Report.CommandResult(command_id=command.command_id, ok=not error, error=error)

    def _on_down(self, error: ApiError, retry_in_s: float) -> None:
        _log.warning("feed %s: %s; next attempt in %.1f s", self.source, error, retry_in_s)

    def _ended(self, error: ApiError | None) -> None:
        self._acknowledged.set()

    async def close(self, flush_s: float = 1.0) -> None:
        """End the feed, after giving the last changes `flush_s` seconds to be acknowledged."""
        if self.connected and self.unacknowledged:
            try:
                await self.flush(flush_s)
            except (TimeoutError, ApiError) as error:
                _log.warning(
                    "feed %s: closed before the last changes were acknowledged (%s)", self.source, error
                )
        await super().close()
        await settle(*self._commands.values())


def new_epoch(after: str = "") -> str:
    """Return an epoch that sorts, as text, after an earlier one: the time, and a part by chance."""
    epoch = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}-{uuid.uuid4().hex[:8]}"
    if epoch > after:
        return epoch
    # Longer sorts after; at the limit the last character that can grow does.
    if len(after) < _MAX_EPOCH:
        return after + "~"
    head = after.rstrip("~")
    return head[:-1] + "~" if head else after


_LASTING_FIELDS = ("forecast", "window_start_time", "window_end_time", "average_handling_time")


def _with_lasting(
    report: telephony_pb2.CallQueueReport, earlier: telephony_pb2.CallQueueReport | None
) -> telephony_pb2.CallQueueReport:
    """Return the report with what it leaves as reported before, so that coalescing drops nothing that lasts."""
    merged = telephony_pb2.CallQueueReport()
    merged.CopyFrom(report)
    present = {field.name for field, _ in report.ListFields()}
    for name, value in () if earlier is None else [(f.name, v) for f, v in earlier.ListFields()]:
        if name not in _LASTING_FIELDS or name in present:
            continue
        if name == "forecast":
            merged.forecast.extend(value)
        else:
            getattr(merged, name).CopyFrom(value)
    return merged


def _log_problem(problem: ApiError) -> None:
    _log.warning("the router answered: %s", problem)
