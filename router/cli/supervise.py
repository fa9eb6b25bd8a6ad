"""Commands by which a supervisor steers: gates, recalls, pauses, reassignment, and the state of it all."""

from __future__ import annotations

from typing import Annotated

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped, unused-ignore]

from clients.channel import Connection
from clients.errors import from_rpc_error
from clients.names import short
from clients.supervisor import Supervisor
from router.cli.common import SUPERVISOR, UserError, common, run
from router.cli.inputs import span_s, when
from router.cli.output import ago, ahead, clock, duration, say, skills, table, task_state
from router.cli.watch import gate_words
from router.v1 import supervision_pb2, telephony_pb2

gate = typer.Typer(no_args_is_help=True, help="See the gates, and hold one open or closed by hand.")
queues = typer.Typer(no_args_is_help=True, help="See the queues of tasks.")

GroupId = Annotated[str, typer.Argument(metavar="GROUP", help="The blending group's id.")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; it is kept.")]
Until = Annotated[
    str, typer.Option("--for", help="How long, such as 30m, or until when; left out: for good.")
]


@gate.command("status")
def gate_status(group: Annotated[str, typer.Argument(metavar="[GROUP]", help="Left out: all.")] = "") -> None:
    """Show the gates and why they are so."""

    async def work(connection: Connection) -> None:
        found = [g async for g in Supervisor(connection).groups() if group in ("", short(g.name))]
        if group and not found:
            raise UserError(f"there is no blending group {group}: `workrouter gate status` lists them")
        table(("GROUP", "GATE", "UNTIL", "WHY"), map(_gate_row, found), _NO_GROUPS)

    run(SUPERVISOR, work)


_NO_GROUPS = "there are no blending groups: `workrouter policy put GROUP FILE --activate` makes one"


def _gate_row(group: supervision_pb2.BlendingGroup) -> tuple[str, ...]:
    found = group.gate
    return (short(group.name), gate_words(found), ahead(found.mode_expire_time) or "-", found.reason or "-")


@gate.command("auto")
def gate_auto(group: GroupId) -> None:
    """Hand a gate back to the policy."""
    _set_gate(group, supervision_pb2.GATE_MODE_AUTO, "", "")


@gate.command("open")
def gate_open(group: GroupId, reason: Reason = "by hand", until: Until = "") -> None:
    """Hold a gate open. It still closes when the telephony data are stale."""
    _set_gate(group, supervision_pb2.GATE_MODE_OPEN, reason, until)


@gate.command("close")
def gate_close(group: GroupId, reason: Reason = "by hand", until: Until = "") -> None:
    """Hold a gate closed."""
    _set_gate(group, supervision_pb2.GATE_MODE_CLOSED, reason, until)


def _set_gate(group: str, mode: supervision_pb2.GateMode.ValueType, reason: str, until: str) -> None:
    async def work(connection: Connection) -> None:
        end = when(until) if until else None
        done = await Supervisor(connection).set_gate(group, mode, reason, until=end)
        say(f"{group}: {gate_words(done)}")
        if done.reason:
            say(f"  {done.reason}")

    run(SUPERVISOR, work)


def recall(
    group: GroupId,
    agent: Annotated[list[str] | None, typer.Argument(metavar="[AGENT]...", help="These agents.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="So many, least cost first.")] = 1,
    notice: Annotated[
        str, typer.Option(help="Time to save, such as 10s; left out: as the policy says.")
    ] = "",
    reason: Annotated[
        str, typer.Option("--reason", "-m", help="Why, in words fit for the agents' screens.")
    ] = "",
) -> None:
    """Recall agents of a group from interruptible tasks: those named, or so many."""

    async def work(connection: Connection) -> None:
        notice_s = span_s(notice) if notice else None
        answer = await Supervisor(connection).recall(
            group, count=None if agent else count, agents=agent or (), notice_s=notice_s, reason=reason
        )
        for done in answer.recalled:
            left = ahead(done.recall.notice_deadline)
            what = f"recalled, the notice ends {left}" if left else "offer withdrawn"
            say(f"{short(done.agent)}: {what} ({short(done.recall.task)})")
        for undone in answer.not_recalled:
            why = undone.detail.rstrip(".") or undone.reason.lower().replace("_", " ")
            say(f"{short(undone.agent) or 'nobody else'}: not recalled, {why}")

    run(SUPERVISOR, work)


Target = Annotated[
    str, typer.Argument(metavar="NAME", help="A work type's id, or a queue's name sites/SITE/queues/QUEUE.")
]


def pause(name: Target, reason: Reason = "") -> None:
    """Stop routing from a work type or queue. What agents hold stays."""

    async def work(connection: Connection) -> None:
        found = await Supervisor(connection).pause(name, reason)
        say(f"{short(name)} paused; {sum(q.tasks for q in found)} tasks wait in it")

    run(SUPERVISOR, work)


def resume(name: Target) -> None:
    """End a pause."""

    async def work(connection: Connection) -> None:
        found = await Supervisor(connection).resume(name)
        say(f"{short(name)} is routed again; {sum(q.tasks for q in found)} tasks wait in it")

    run(SUPERVISOR, work)


def reassign(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The task's id.")],
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Who shall have it.")],
    force: Annotated[bool, typer.Option("--force", help="Take it from an agent who works on it.")] = False,
    reason: Reason = "",
) -> None:
    """Give a task to an agent."""

    async def work(connection: Connection) -> None:
        done = await Supervisor(connection).reassign(task, agent, reason=reason, force=force)
        where = f"with {short(done.agent)}" if done.agent else f"kept for {agent}"
        say(f"{short(done.name)}: {task_state(done.state)}, {where}")

    run(SUPERVISOR, work)


@queues.command("list")
def list_queues(
    filter: Annotated[
        str, typer.Option(help='Conditions such as: work_type = "claims" AND paused = true')
    ] = "",
) -> None:
    """List the queues that hold tasks."""

    async def work(connection: Connection) -> None:
        found = [queue async for queue in Supervisor(connection).queues(filter)]
        table(
            ("QUEUE", "WORK TYPE", "SKILLS", "KEPT FOR", "TASKS", "OLDEST", ""),
            map(_queue_row, found),
            "no tasks wait",
        )

    run(SUPERVISOR, work)


def _queue_row(queue: supervision_pb2.Queue) -> tuple[str, ...]:
    flags = (["front"] if queue.front else []) + ([f"paused: {queue.pause_reason}"] if queue.paused else [])
    return (
        short(queue.name),
        short(queue.work_type),
        skills(queue.required_skills) or "-",
        short(queue.agent) or queue.team or "-",
        str(queue.tasks),
        duration(queue.oldest_age) if queue.HasField("oldest_age") else "-",
        " ".join(flags),
    )


def status() -> None:
    """Show whether the router serves, which feeds report, and the gates. The exit code is 1 if it does not serve."""

    async def work(connection: Connection) -> None:
        serving = await _health(connection)
        say(f"router at {common().address}: {serving}")
        supervisor = Supervisor(connection)
        feeds = [feed async for feed in supervisor.feeds()]
        groups = [group async for group in supervisor.groups()]
        say()
        table(
            ("FEED", "STATE", "LAST REPORT", "EPOCH", "CALL QUEUES"),
            map(_feed_row, feeds),
            "no feed has reported",
        )
        say()
        table(
            ("GROUP", "AGENTS", "CALL QUEUES", "POLICY", "GATE", "WHY"), map(_group_row, groups), _NO_GROUPS
        )
        if serving != "SERVING":
            raise typer.Exit(1)

    run(SUPERVISOR, work)


async def _health(connection: Connection) -> str:
    stub = health_pb2_grpc.HealthStub(connection.channel)
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=connection.timeout_s)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
    word: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return word


def _feed_row(feed: telephony_pb2.FeedStatus) -> tuple[str, ...]:
    seen = f"{clock(feed.last_report_time)} ({ago(feed.last_report_time)} ago)"
    state = "SILENT: gates closed" if feed.stale else "alive"
    return (short(feed.name), state, seen, feed.epoch, " ".join(map(short, feed.call_queues)) or "-")


def _group_row(group: supervision_pb2.BlendingGroup) -> tuple[str, ...]:
    return (
        short(group.name),
        str(group.agents),
        " ".join(map(short, group.call_queues)) or "-",
        f"version {group.policy_version}",
        gate_words(group.gate),
        group.gate.reason or "-",
    )
