"""What ACDs report of the agents, and what they answer to commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from router.domain.model import (
    CALL_STATES,
    OFFERABLE_STATES,
    AcdCommand,
    AgentReport,
    AgentState,
    CommandKind,
    ReportOutcome,
    Task,
    TaskState,
)
from router.domain.ports import ReportResult
from router.state import records
from router.state.memory import holding
from router.state.memory.transition import Transition
from router.state.records import Record

SILENT_AFTER_MS = 60_000
"""An agent whose source has been silent for longer may move to another source."""
LONGEST_MS = 86_400_000
"""A state that began earlier counts from then."""


class Report:
    """One report of ``source`` on its way into the site."""

    def __init__(self, tx: Transition, source: str, epoch: str, sequence: int, snapshot: bool) -> None:
        self.tx = tx
        self.source = source
        self.epoch = epoch
        self.sequence = sequence
        self.snapshot = snapshot
        self.mark = f"{epoch}:{sequence}" if snapshot else ""
        self.touched: list[str] = []
        self.unknown: list[str] = []
        self.groups: set[str] = set()

    def outcome(self, first: int) -> ReportOutcome:
        """Whether all from ``first`` on is news (invariant 12)."""
        feed = self.tx.site.feeds.get(self.source)
        if feed is not None:
            epoch, sequence = feed.get("ep", ""), feed.get("sq", 0)
            if self.epoch == epoch:
                goes_on = feed.get("op") and self.sequence == sequence
                news = first > sequence or goes_on
                return ReportOutcome.APPLIED if news else ReportOutcome.DUPLICATE
            if _sorts_before(self.epoch, epoch):
                return ReportOutcome.STALE
        return ReportOutcome.APPLIED if self.snapshot else ReportOutcome.NEEDS_SNAPSHOT

    def apply(self, agents: Sequence[AgentReport], last: bool, notice_ms: int) -> None:
        """Record what the report says; in a snapshot's last part, everyone unnamed is gone."""
        site = self.tx.site
        feed = {"ep": self.epoch, "sq": self.sequence, "at": self.tx.now, "op": int(not last)}
        site.feeds[self.source] = records.without_zeros(feed)
        for report in agents:
            record = site.agents.get(report.agent)
            if record is None:
                self.unknown.append(report.agent)
            elif self._is_ours(record):
                self._apply_one(report, self.mark, notice_ms)
        if self.snapshot and last:
            for agent in self._missing():
                self._apply_one(AgentReport(agent, AgentState.OFFLINE), "", notice_ms)

    def _missing(self) -> list[str]:
        return [
            agent
            for agent, record in self.tx.site.agents.items()
            if record.get("src") == self.source
            and record.get("sn") != self.mark
            and record["st"] != AgentState.OFFLINE
        ]

    def _is_ours(self, record: Record) -> bool:
        source = record.get("src", "")
        if source in ("", self.source) or (self.snapshot and record["st"] == AgentState.OFFLINE):
            return True
        feed = self.tx.site.feeds.get(source)
        return feed is None or self.tx.now - feed.get("at", 0) > SILENT_AFTER_MS

    def _apply_one(self, report: AgentReport, mark: str, notice_ms: int) -> None:
        record = self.tx.touch_agent(report.agent)
        # A mark that another source's snapshot left means nothing here.
        kept = record.get("sn", "") if record.get("src") == self.source else ""
        record.update(src=self.source, rsn=report.reason, lv=report.leave_ms, sn=mark or kept)
        if record["st"] != report.state:
            self._enter(report.agent, record, report.state, self._since(report), notice_ms)

    def _since(self, report: AgentReport) -> int:
        now = self.tx.now
        return max(now - LONGEST_MS, min(now, report.since_ms)) if report.since_ms > 0 else now

    def _enter(self, agent: str, record: Record, state: AgentState, since_ms: int, notice_ms: int) -> None:
        if record["st"] == AgentState.OFFLINE:
            record["li"] = self.tx.now
            record.pop("bz", None)
        record["st"] = str(state)
        record["sm"] = since_ms
        if state is AgentState.AVAILABLE and not record.get("on"):
            record["is"] = since_ms
        if record.get("gr"):
            self.groups.add(record["gr"])
        if record.get("ss"):
            self.tx.tell_agent_worker(record.get("wk", ""), agent)
        self._interrupt(record, state, notice_ms)
        if state is AgentState.RESERVED and not record.get("on"):
            # Taken out of the call distribution for a task that has gone meanwhile: put back at once.
            holding.release_agent(self.tx, agent, record, "", 0)
        if state is AgentState.OFFLINE:
            self.tx.site.commands.pop(agent, None)

    def _interrupt(self, record: Record, state: AgentState, notice_ms: int) -> None:
        """An offer ends with the availability; a call asks for interruptible work back."""
        if not record.get("on"):
            return
        tx, grouped = self.tx, bool(record.get("gr"))
        unavailable = state in CALL_STATES or (grouped and state not in OFFERABLE_STATES)
        called = state in CALL_STATES or (grouped and state is AgentState.OFFLINE)
        actor, reason = f"acd:{self.source}", _reason_for(state)
        for task in record["on"].split():
            held = tx.site.tasks[task]
            if held["s"] == TaskState.OFFERED and unavailable:
                holding.requeue(tx, task, "rescind", actor, reason, hint="rescind")
                self.touched.append(task)
            elif held["s"] == TaskState.ACTIVE and held.get("iv") and called:
                holding.call_back(tx, task, notice_ms, reason, actor)
                self.touched.append(task)


def report(
    tx: Transition,
    source: str,
    epoch: str,
    sequence: int,
    agents: Sequence[AgentReport],
    *,
    snapshot: bool,
    last: bool,
    first: int,
    call_queues: Mapping[str, str],
    notice_ms: int,
) -> ReportResult:
    """Apply a report if it is news."""
    one = Report(tx, source, epoch, sequence, snapshot)
    outcome = one.outcome(first)
    if outcome is not ReportOutcome.APPLIED:
        return ReportResult(outcome, tx.site.feeds.get(source, {}).get("sq", 0))
    one.apply(agents, last, notice_ms)
    if snapshot and last:
        ours = [name for name, known in tx.site.callqueues.items() if known["src"] == source]
        for name in set(ours) - call_queues.keys():
            del tx.site.callqueues[name]
    for name, body in call_queues.items():
        figures = {"src": source, "at": tx.now, "b": body}
        tx.site.callqueues[name] = records.without_zeros(figures)
    for group in sorted(one.groups) or ([""] if call_queues else []):
        tx.tell_late("report", group=group, source=source)
    tx.commit()
    touched = tuple(tx.site.task_value(task) for task in one.touched)
    return ReportResult(outcome, sequence, touched, tuple(one.unknown))


def _reason_for(state: AgentState) -> str:
    if state in CALL_STATES:
        return "CALL_ARRIVED"
    return "AGENT_OFFLINE" if state is AgentState.OFFLINE else "NOT_AVAILABLE"


def _sorts_before(one: str, other: str) -> bool:
    """Epochs of digits are compared as numbers; others have no order."""
    if not all(text.isascii() and text.isdigit() for text in (one, other)):
        return False
    return int(one) < int(other)


# -- commands ------------------------------------------------------------------------------------------------
def put_command(tx: Transition, command: AcdCommand) -> None:
    """Let a command stand for its agent in place of an older one."""
    tx.site.agent_record_of(command.agent)
    tx.stand(command.agent, records.command_record(command))
    tx.commit()


def command_result(tx: Transition, command: str, agent: str, ok: bool, error: str) -> Task | None:
    """RESERVE done shows the hidden offer, RESERVE failed takes it back."""
    standing = tx.site.commands.get(agent)
    if standing is None or standing["id"] != command:
        return None
    del tx.site.commands[agent]
    task = standing.get("task", "")
    if standing["kind"] != CommandKind.RESERVE or task not in tx.site.tasks:
        return None
    record = tx.site.tasks[task]
    fences_match = record.get("f", 0) == standing.get("f", 0) and record.get("ag") == agent
    if record["s"] == TaskState.OFFERED and fences_match:
        _settle_offer(tx, task, ok, error, f"acd:{standing.get('src', '')}")
    return tx.task(task)


def _settle_offer(tx: Transition, task: str, ok: bool, error: str, actor: str) -> None:
    if not ok:
        reason = f"RESERVE_FAILED: {error}" if error else "RESERVE_FAILED"
        holding.requeue(tx, task, "rescind", actor, reason, hint="rescind")
    elif tx.site.tasks[task].get("hid"):
        holding.reveal(tx, task)
