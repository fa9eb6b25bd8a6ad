"""`workrouter acd`: a telephone system by hand, to try the router without one."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from clients.channel import Connection
from clients.errors import ApiError
from clients.reporter import CommandRefusedError, TelephonyReporter
from clients.streams import settle
from clients.values import duration, seconds, timestamp
from router.cli.common import ACD, UserError, common, describe, run
from router.cli.failing import fail
from router.cli.inputs import span_s
from router.cli.lines import Lines
from router.cli.output import say
from router.v1 import common_pb2, telephony_pb2

app = typer.Typer(
    no_args_is_help=True, help="Be the telephone system by hand, to try the router without one."
)

STATES = tuple(name.removeprefix("AGENT_STATE_") for name, number in common_pb2.AgentState.items() if number)
_COUNTS = ("waiting", "offered", "answered", "in_target", "abandoned", "short_abandoned")
_FIELD_OF = {"waiting": "calls_waiting", "in_target": "answered_in_target"}

HELP = f"""lines:
  alice AVAILABLE [REASON]       state of an agent: {" ".join(STATES)}
  queue main waiting=3 oldest=25s    figures of a call queue; what is not named stays as it was. Also:
      group=GROUP offered= answered= in_target= abandoned= short_abandoned= aht=240s
      calls=120 staff=12             expected calls an hour and planned staff, for the next 8 hours
  show                           what was reported
  sleep 5s                       wait (for scripts)
  help, quit"""

SourceOption = Annotated[
    str, typer.Option("--source", help="Id of the feed; left out, that of --as, else `manual`.")
]


def _source(source: str) -> str:
    return source or common().caller or "manual"


@app.command()
def report(
    pairs: Annotated[
        list[str], typer.Argument(metavar="AGENT STATE ...", help=f"States: {', '.join(STATES)}.")
    ],
    source: SourceOption = "",
    hold: Annotated[str, typer.Option("--for", help="Keep the feed alive so long, such as 60s.")] = "0s",
) -> None:
    """Report agent states once: workrouter acd report alice AVAILABLE bob ON_CALL

    A report from here is a whole picture of its feed: its agents that are not named count as OFFLINE. After it the
    feed is silent, and the router closes the gates that depend on it. To keep it alive, use `--for`, or
    `workrouter acd link`.
    """
    if len(pairs) % 2:
        fail("write pairs of agent and state: alice AVAILABLE bob ON_CALL")

    async def work(connection: Connection) -> None:
        states = [(agent, agent_state(word)) for agent, word in zip(pairs[::2], pairs[1::2], strict=True)]
        link = TelephonyReporter(
            connection,
            _source(source),
            on_problem=lambda problem: say(f"note: {problem}"),
            connect_timeout_s=5.0,
        )
        for agent, state in states:
            link.agent(agent, state)
        async with link:
            await link.flush(10.0)
            say(f"{len(states)} reported as feed {link.source}")
            await asyncio.sleep(span_s(hold))

    run(ACD, work, _source(source))


@app.command()
def link(
    source: SourceOption = "",
    group: Annotated[str, typer.Option(help="Blending group of the call queues.")] = "main",
    refuse: Annotated[
        bool, typer.Option("--refuse", help="Refuse the router's commands, to see what it does.")
    ] = False,
) -> None:
    """Keep a feed alive and type what happens at the telephone.

    \b
        alice AVAILABLE
        queue main waiting=3 oldest=25s
        alice ON_CALL

    Type `help` for all lines. The router's commands (take an agent off the call distribution, put it back) are
    printed and obeyed: RESERVE makes an available agent RESERVED, RELEASE makes it AVAILABLE again. Lines can come
    from a pipe too; the feed ends with them.
    """

    async def work(connection: Connection) -> None:
        logging.getLogger("clients").setLevel(logging.ERROR)
        await Telephone(connection, _source(source), group, refuse).run()

    run(ACD, work, _source(source))


class Telephone:
    """A feed that says what the lines say."""

    def __init__(self, connection: Connection, source: str, group: str, refuse: bool) -> None:
        """Report as `source`; call queues belong to `group` unless a line says otherwise."""
        self._group = group
        self._refuse = refuse
        self._lines = Lines(f"{source}> ")
        self._show = self._lines.show
        self._states: dict[str, int] = {}
        self._queues: dict[str, telephony_pb2.CallQueueReport] = {}
        self._reporter = TelephonyReporter(
            connection,
            source,
            on_command=self._command,
            on_problem=lambda problem: self._show(f"note: {problem}"),
            connect_timeout_s=5.0,
        )
        self._words: dict[str, Callable[[list[str]], Awaitable[None] | None]] = {
            "queue": self._queue,
            "show": lambda _: self._show_all(),
            "sleep": lambda words: asyncio.sleep(span_s(" ".join(words))),
            "help": lambda _: self._show(HELP),
        }

    async def run(self) -> None:
        """Go on until `quit` or the end of the input, or until the router ends the feed. Raises ApiError."""
        async with self._reporter:
            self._show(f"feed {self._reporter.source} is up; type `alice AVAILABLE`, or help")
            typing = asyncio.create_task(self._type())
            ending = asyncio.create_task(self._reporter.wait_closed())
            try:
                await asyncio.wait({typing, ending}, return_when=asyncio.FIRST_COMPLETED)
                for task in (typing, ending):
                    if task.done():
                        task.result()
            finally:
                await settle(typing, ending)

    async def _type(self) -> None:
        async for line in self._lines.read():
            if line in ("quit", "exit"):
                return
            try:
                await self._say(line.split())
            except UserError as error:
                self._show(f"not done: {error}")
            except TimeoutError:
                self._show("no answer from the router yet; the report goes out as soon as it can be reached")
            except ApiError as error:
                self._show(f"not done: {describe(error)}")

    async def _say(self, words: list[str]) -> None:
        special = self._words.get(words[0])
        if special is None:
            await self._agent(words)
            return
        doing = special(words[1:])
        if inspect.isawaitable(doing):
            await doing

    async def _agent(self, words: list[str]) -> None:
        if len(words) < 2:
            raise UserError(f"what about {words[0]}? write: {words[0]} AVAILABLE")
        state = agent_state(words[1])
        self._set(words[0], state, " ".join(words[2:]))
        await self._reporter.flush(5.0)
        self._show(f"{words[0]} {words[1].upper()}")

    def _set(self, agent: str, state: common_pb2.AgentState.ValueType, reason: str = "") -> None:
        self._states[agent] = state
        self._reporter.agent(agent, state, reason=reason)

    async def _queue(self, words: list[str]) -> None:
        if not words or "=" in words[0]:
            raise UserError("which queue? write: queue main waiting=3 oldest=25s")
        name = words[0]
        report = telephony_pb2.CallQueueReport()
        report.CopyFrom(self._queues.get(name) or self._new_queue(name))
        for word in words[1:]:
            key, equals, value = word.partition("=")
            if not equals:
                raise UserError(f"{word!r}: write name=value, such as waiting=3")
            _set_figure(report, key, value)
        _set_ages(report)
        report.figures_time.CopyFrom(timestamp(datetime.now(UTC)))
        self._queues[name] = report
        self._reporter.call_queue(report)
        await self._reporter.flush(5.0)
        self._show(_queue_line(report))

    def _new_queue(self, name: str) -> telephony_pb2.CallQueueReport:
        start = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        return telephony_pb2.CallQueueReport(
            call_queue=name,
            blending_group=self._group,
            window_start_time=timestamp(start),
            window_end_time=timestamp(start + timedelta(days=1)),
        )

    def _show_all(self) -> None:
        for agent, state in sorted(self._states.items()):
            self._show(f"{agent} {_word(state)}")
        for report in self._queues.values():
            self._show(_queue_line(report))
        if not self._states and not self._queues:
            self._show("nothing yet")

    async def _command(self, command: telephony_pb2.AcdCommand) -> None:
        action = telephony_pb2.AcdAction.Name(command.action).removeprefix("ACD_ACTION_")
        try:
            self._carry_out(command)
        except CommandRefusedError as refusal:
            self._show(f"router: {action} {command.agent}; refused: {refusal}")
            raise
        self._show(
            f"router: {action} {command.agent}; done, {command.agent} is {_word(self._states[command.agent])}"
        )

    def _carry_out(self, command: telephony_pb2.AcdCommand) -> None:
        before, after = common_pb2.AGENT_STATE_AVAILABLE, common_pb2.AGENT_STATE_RESERVED
        if command.action == telephony_pb2.ACD_ACTION_RELEASE:
            before, after = after, before
        state = self._states.get(command.agent)
        if self._refuse:
            raise CommandRefusedError("told to refuse")
        if state not in (before, after):
            raise CommandRefusedError(f"{command.agent} is {_word(state) if state else 'not known'}")
        if state == before:
            self._set(command.agent, after)


def agent_state(word: str) -> common_pb2.AgentState.ValueType:
    """Return the state that a word names, in any case, with - or _. Raises UserError."""
    name = word.upper().replace("-", "_")
    if name not in STATES:
        raise UserError(f"{word!r} is no state: write one of {', '.join(STATES)}")
    return common_pb2.AgentState.Value(f"AGENT_STATE_{name}")


def _word(state: int) -> str:
    return common_pb2.AgentState.Name(common_pb2.AgentState.ValueType(state)).removeprefix("AGENT_STATE_")


def _set_figure(report: telephony_pb2.CallQueueReport, key: str, value: str) -> None:
    if key == "group":
        report.blending_group = value
    elif key == "oldest":
        report.oldest_wait.CopyFrom(duration(span_s(value)))
    elif key == "aht":
        report.average_handling_time.CopyFrom(duration(span_s(value)))
    elif key in ("calls", "staff"):
        _forecast(report, key, _number(key, value))
    elif key in _COUNTS:
        setattr(report, _FIELD_OF.get(key, key), int(_number(key, value)))
    else:
        raise UserError(
            f"{key!r}: there is waiting, oldest, group, aht, calls, staff, {', '.join(_COUNTS[1:])}"
        )


def _set_ages(report: telephony_pb2.CallQueueReport) -> None:
    """Let the waiting calls have come in evenly since the oldest one."""
    del report.waiting_ages[:]
    if not report.calls_waiting:
        report.ClearField("oldest_wait")
        return
    oldest, waiting = seconds(report.oldest_wait), min(report.calls_waiting, 100)
    report.waiting_ages.extend(duration(oldest * (waiting - place) / waiting) for place in range(waiting))


def _forecast(report: telephony_pb2.CallQueueReport, key: str, value: float) -> None:
    """Set an even forecast for 8 hours, in half hours."""
    if not report.forecast:
        start = datetime.now(UTC)
        for half_hour in range(16):
            begins = timestamp(start + timedelta(minutes=30 * half_hour))
            report.forecast.add(start_time=begins)
    for interval in report.forecast:
        if key == "calls":
            interval.calls = value / 2
        else:
            interval.staff = value


def _number(key: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if number < 0:
        raise UserError(f"{key}: {value!r} is no number")
    return number


def _queue_line(report: telephony_pb2.CallQueueReport) -> str:
    values: list[tuple[str, Any]] = [
        ("waiting", report.calls_waiting),
        ("oldest", f"{seconds(report.oldest_wait):g}s" if report.calls_waiting else ""),
        ("offered", report.offered),
        ("answered", report.answered),
        ("in_target", report.answered_in_target),
        ("abandoned", report.abandoned),
        ("group", report.blending_group),
    ]
    shown = " ".join(f"{name}={value}" for name, value in values if value or name == "waiting")
    return f"queue {report.call_queue} {shown}"
