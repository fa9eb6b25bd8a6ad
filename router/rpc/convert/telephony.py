"""Telephony reports in; acknowledgements, commands and the status of feeds out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from router.dispatch.telephony import FeedStatus
from router.domain.errors import RouterError
from router.domain.model import AcdCommand, AgentReport, AgentState, CommandKind, ReportOutcome
from router.domain.ports import ReportResult
from router.domain.telephony import CallQueueReport, ForecastInterval, ReportBatch
from router.rpc import names
from router.rpc.convert.agents import STATES_IN
from router.rpc.convert.times import timestamp
from router.rpc.errors import item_status
from router.rpc.validate import DAY_MS, MAX_TEXT, Check
from router.v1 import telephony_pb2 as pb

MAX_AGENTS = 10_000
MAX_CALL_QUEUES = 500
MAX_AGES = 100
MAX_INTERVALS = 400
MAX_EPOCH = 64
MAX_CALLS = 1e7
MAX_UNKNOWN = 100
RESERVE_DEADLINE_MS = 5_000

OUTCOMES = {outcome: pb.ReportOutcome.Value(f"REPORT_OUTCOME_{outcome.value}") for outcome in ReportOutcome}
_ACTIONS = {CommandKind.RESERVE: pb.ACD_ACTION_RESERVE, CommandKind.RELEASE: pb.ACD_ACTION_RELEASE}


def batch_in(message: pb.ReportRequest, source: str, epoch: str, now_ms: int, check: Check) -> ReportBatch:
    """A numbered report: snapshot, changes or heartbeat. ``now_ms``: the router's time, for the ACD's to relate to."""
    check.id("source", source)
    check.required_text("epoch", epoch, MAX_EPOCH)
    if message.sequence <= 0:
        check.add("sequence", f"is {message.sequence}; number the reports of an epoch from 1")
    made_ms = check.time("report_time", message.report_time) or now_ms
    clock = AcdClock(made_ms, now_ms - made_ms)
    kind = message.WhichOneof("report")
    agents: Sequence[pb.AgentStateReport] = ()
    queues: Sequence[pb.CallQueueReport] = ()
    if kind in ("snapshot", "changes"):
        part: pb.ReportRequest.Snapshot | pb.ReportRequest.Changes = getattr(message, kind)
        agents = check.at_most(f"{kind}.agents", part.agents, MAX_AGENTS)
        queues = check.at_most(f"{kind}.call_queues", part.call_queues, MAX_CALL_QUEUES)
    elif kind is None:
        check.add("report", "is missing; send a snapshot, changes, heartbeat or command_result")
    return ReportBatch(
        source=source,
        epoch=epoch,
        sequence=message.sequence,
        snapshot=kind == "snapshot",
        agents=[agent_in(f"{kind}.agents[{i}]", agent, clock, check) for i, agent in enumerate(agents)],
        queues=[queue_in(f"{kind}.call_queues[{i}]", queue, clock, check) for i, queue in enumerate(queues)],
    )


class AcdClock(NamedTuple):
    """The ACD's clock: when it made the report, and how far it is behind the router's, in milliseconds."""

    made_ms: int
    behind_ms: int


def agent_in(field: str, report: pb.AgentStateReport, clock: AcdClock, check: Check) -> AgentReport:
    """One agent's state; it leaves at the earlier of its next break and the end of its shift."""
    state = STATES_IN.get(report.state)
    if state is None:
        check.add(f"{field}.state", "is not set or not known; give one of AgentState")
    since_ms = check.time(f"{field}.state_time", report.state_time)
    leaves = [
        check.time(f"{field}.{name}", getattr(report, name))
        for name in ("shift_end_time", "break_start_time")
        if report.HasField(name)
    ]
    return AgentReport(
        agent=check.id(f"{field}.agent", report.agent),
        state=state or AgentState.OFFLINE,
        reason=check.text(f"{field}.reason", report.reason, MAX_TEXT),
        leave_ms=min(leaves, default=0),
        since_ms=since_ms + clock.behind_ms if since_ms else 0,
    )


def queue_in(field: str, report: pb.CallQueueReport, clock: AcdClock, check: Check) -> CallQueueReport:
    """One call queue's figures, its ages brought up to the time of the report."""
    within = Check(check.site, f"{field}.")
    counts = ("calls_waiting", "offered", "answered", "answered_in_target", "abandoned", "short_abandoned")
    numbers = {name: within.not_negative(name, getattr(report, name)) for name in counts}
    forecast = forecast_in(report, within)
    end_ms = within.time("window_end_time", report.window_end_time)
    passed_ms = max(0, clock.made_ms - (within.time("figures_time", report.figures_time) or clock.made_ms))
    oldest_ms = within.duration("oldest_wait", report.oldest_wait, 0, DAY_MS)
    ages_ms = [
        within.duration(f"waiting_ages[{i}]", age, 0, DAY_MS)
        for i, age in enumerate(within.at_most("waiting_ages", report.waiting_ages, MAX_AGES))
    ]
    result = CallQueueReport(
        id=within.id("call_queue", report.call_queue),
        group=within.id("blending_group", report.blending_group),
        oldest_wait_ms=oldest_ms + passed_ms if report.calls_waiting else 0,
        waiting_ages_ms=tuple(age + passed_ms for age in ages_ms),
        window_start_ms=within.time("window_start_time", report.window_start_time),
        window_end_ms=end_ms or (forecast[-1].start_ms + forecast[-1].length_ms if forecast else 0),
        aht_ms=within.duration("average_handling_time", report.average_handling_time, 0, DAY_MS),
        forecast=forecast,
        **numbers,
    )
    check.take(within)
    return result


def forecast_in(report: pb.CallQueueReport, check: Check) -> tuple[ForecastInterval, ...]:
    """The intervals of the forecast, each as long as until the next one; the last is as long as the one before."""
    items = check.at_most("forecast", report.forecast, MAX_INTERVALS)
    starts = [check.time(f"forecast[{i}].start_time", item.start_time) for i, item in enumerate(items)]
    lengths = [after - start for start, after in pairwise(starts)]
    if any(length <= 0 for length in lengths):
        check.add("forecast", "must be sorted by start_time, each interval once")
    if len(items) == 1:
        check.add("forecast", "has one interval, whose length is unknown; give two or more")
    if starts:
        lengths.append(lengths[-1] if lengths else 0)
    return tuple(
        ForecastInterval(
            start,
            length,
            check.real(f"forecast[{i}].calls", item.calls, 0, MAX_CALLS),
            check.real(f"forecast[{i}].staff", item.staff, 0, MAX_CALLS),
        )
        for i, (item, start, length) in enumerate(zip(items, starts, lengths, strict=True))
    )


def ack_out(result: ReportResult, sequence: int) -> pb.ReportResponse:
    """What became of a report."""
    ack = pb.ReportResponse.Ack(
        sequence=sequence,
        outcome=OUTCOMES[result.outcome],
        applied_sequence=result.sequence,
        unknown_agents=result.unknown[:MAX_UNKNOWN],
    )
    return pb.ReportResponse(ack=ack)


def refusal_out(error: RouterError, sequence: int) -> pb.ReportResponse:
    """The answer to a report whose content is not valid."""
    return pb.ReportResponse(
        ack=pb.ReportResponse.Ack(
            sequence=sequence, outcome=pb.REPORT_OUTCOME_INVALID, status=item_status(error)
        )
    )


def command_out(command: AcdCommand) -> pb.ReportResponse:
    """A request to the ACD. To put an agent back is never too late."""
    ends_ms = command.at_ms + RESERVE_DEADLINE_MS if command.kind is CommandKind.RESERVE else None
    return pb.ReportResponse(
        command=pb.AcdCommand(
            command_id=command.id,
            agent=command.agent,
            action=_ACTIONS[command.kind],
            deadline=timestamp(ends_ms),
        )
    )


def feed_out(site: str, status: FeedStatus) -> pb.FeedStatus:
    """How a feed does."""
    return pb.FeedStatus(
        name=names.name(site, names.FEED, status.feed.source),
        epoch=status.feed.epoch,
        applied_sequence=status.feed.sequence,
        stale=status.stale,
        last_report_time=timestamp(status.feed.last_ms),
        call_queues=[names.name(site, names.CALL_QUEUE, queue) for queue in status.call_queues],
        open_commands=status.open_commands,
    )
