"""`workrouter watch`: the live figures of a site."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from clients.channel import Connection
from clients.names import short
from clients.supervisor import Supervisor
from clients.values import seconds
from router.cli.common import SUPERVISOR, run
from router.cli.inputs import span_s
from router.cli.output import agent_state, clock, duration, gate_mode, print_json, say, task_state
from router.v1 import common_pb2, supervision_pb2


def watch(
    group: Annotated[
        list[str] | None, typer.Argument(metavar="[GROUP]...", help="Only these blending groups.")
    ] = None,
    interval: Annotated[str, typer.Option(help="Time between two looks, 200ms to 60s.")] = "1s",
    count: Annotated[int, typer.Option(min=0, help="End after so many looks; 0: never.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one line for each look.")] = False,
) -> None:
    """Watch the site: calls, service level, gates, agents, tasks. Ctrl-C ends it.

    Without a terminal (in a pipe or a log) it prints one line for each look.
    """

    async def work(connection: Connection) -> None:
        figures = Supervisor(connection).watch_figures(group or (), interval_s=span_s(interval))
        seen = 0
        with _screen(live=sys.stdout.isatty() and not json) as live:
            async for now in figures:
                if live is not None:
                    live.update(render(now), refresh=True)
                elif json:
                    print_json([now])
                else:
                    say(one_line(now))
                    sys.stdout.flush()
                seen += 1
                if seen == count:
                    return

    run(SUPERVISOR, work)


def _screen(*, live: bool) -> contextlib.AbstractContextManager[Live | None]:
    return Live(console=Console(highlight=False), auto_refresh=False) if live else contextlib.nullcontext()


def one_line(figures: supervision_pb2.Figures) -> str:
    """Return the figures as one line of text."""
    parts = [clock(figures.read_time), *map(_group_line, figures.blending_groups)]
    counts = task_counts(figures)
    parts.append("tasks: " + (", ".join(f"{word.lower()} {n}" for word, n in counts.items()) or "none"))
    parts.append(f"recalls {figures.counters.recalls}, completed {figures.counters.completed}")
    return " | ".join(parts)


def _group_line(group: supervision_pb2.BlendingGroupFigures) -> str:
    return (
        f"{short(group.name)}: gate {gate_words(group.gate)}, {_calls(group)},"
        f" SL {_share(group.service_level, 'so_far')}, idle {group.agents_idle}, on tasks {group.agents_on_tasks}"
    )


def render(figures: supervision_pb2.Figures) -> RenderableType:
    """Return the figures as a screen."""
    boxes: list[RenderableType] = [_group_box(group) for group in figures.blending_groups]
    if figures.dedicated_agents:
        words = _agents(figures.dedicated_agents)
        boxes.append(Panel(Text(words), title="agents who take tasks only", title_align="left"))
    counters = figures.counters
    foot = (
        f"{clock(figures.read_time)}   submitted {counters.submitted}   offers {counters.offers}"
        f"   accepted {counters.accepted}   declined {counters.declined}   rescinded {counters.offers_rescinded}"
        f"   completed {counters.completed}   recalls {counters.recalls}   forced {counters.forced}"
        f"   dead letters {counters.dead_letters}"
    )
    return Group(*boxes, _tasks_box(figures), Text(foot))


def _group_box(group: supervision_pb2.BlendingGroupFigures) -> Panel:
    level = group.service_level
    lines = [
        f"gate      {gate_words(group.gate)}: {group.gate.reason}",
        f"calls     {_calls(group)}, {group.call_rate:.0f} calls/h expected",
        f"service   now {_share(level, 'now')}, so far {_share(level, 'so_far')}, to go {_share(level, 'to_go')},"
        f" wanted {level.target_share:.0%} in {duration(level.target_time)}",
        f"agents    {_agents(group.agents)}; idle {group.agents_idle}, on tasks {group.agents_on_tasks}",
    ]
    if group.recall_reaction.count:
        reaction = group.recall_reaction
        lines.append(
            f"recalls   obeyed in {duration(reaction.p50)} (half), {duration(reaction.p99)} (99 in 100)"
        )
    if group.stale:
        lines.append("DATA STALE: the telephony feed is silent, nothing is pushed")
    return Panel(Text("\n".join(lines)), title=short(group.name), title_align="left")


def _tasks_box(figures: supervision_pb2.Figures) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    states = list(task_counts(figures))
    for column in ("WORK TYPE", *states, "OLDEST", ""):
        table.add_column(column)
    for kind in figures.work_types:
        counts = {task_state(entry.state): entry.tasks for entry in kind.states}
        oldest = duration(kind.oldest_age) if kind.HasField("oldest_age") else "-"
        cells = [str(counts.get(state, 0)) for state in states]
        table.add_row(short(kind.work_type), *cells, oldest, "paused" if kind.paused else "")
    by_priority = "  ".join(f"{entry.priority}: {entry.tasks}" for entry in figures.priorities[:12])
    return Panel(
        Group(table, Text(f"queued by priority   {by_priority or 'none'}")), title="tasks", title_align="left"
    )


def gate_words(gate: supervision_pb2.Gate) -> str:
    """Return a gate's state as words."""
    by_hand = "" if gate.mode == supervision_pb2.GATE_MODE_AUTO else f" by hand ({gate_mode(gate.mode)})"
    if not gate.open:
        return f"closed{by_hand}"
    armed = ", recall armed" if gate.armed else ""
    return f"open{by_hand}, allowance {gate.allowance}, reserve {gate.reserve}/{gate.reserve_firm}{armed}"


def task_counts(figures: supervision_pb2.Figures) -> dict[str, int]:
    """Return how many tasks there are in each state, over all work types."""
    counts: dict[str, int] = {}
    for kind in figures.work_types:
        for entry in kind.states:
            word = task_state(entry.state)
            counts[word] = counts.get(word, 0) + entry.tasks
    return {word: counts[word] for word in map(task_state, common_pb2.TaskState.values()) if counts.get(word)}


def _calls(group: supervision_pb2.BlendingGroupFigures) -> str:
    waiting = sum(queue.calls_waiting for queue in group.call_queues)
    oldest = max((seconds(queue.oldest_wait) for queue in group.call_queues), default=0.0)
    return f"{waiting} waiting" + (f" (oldest {oldest:.0f} s)" if waiting else "")


def _share(level: supervision_pb2.ServiceLevel, name: str) -> str:
    values = {"so_far": level.so_far, "to_go": level.to_go}
    present = {field.name for field, _ in level.ListFields()}
    return f"{values[name]:.1%}" if name in present else "-"


def _agents(states: Iterable[supervision_pb2.AgentStateFigures]) -> str:
    return ", ".join(f"{agent_state(s.state)} {s.agents}" for s in states if s.agents) or "none"
