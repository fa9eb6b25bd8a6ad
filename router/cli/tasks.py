"""`workrouter tasks`: look at tasks and change them."""

from __future__ import annotations

from typing import Annotated

import typer

from clients.channel import Connection
from clients.names import short
from clients.submitter import Submitter
from clients.supervisor import Supervisor
from clients.values import timestamp
from router.cli.common import SUPERVISOR, UserError, run
from router.cli.inputs import label as label_of
from router.cli.inputs import level, when
from router.cli.output import (
    ago,
    ahead,
    clock,
    duration,
    pairs,
    print_json,
    say,
    skills,
    table,
    task_state,
    text_of,
)
from router.v1 import common_pb2

app = typer.Typer(no_args_is_help=True, help="Look at tasks and change them.")

TaskId = Annotated[str, typer.Argument(metavar="TASK", help="The task's id, or its full name.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with the field names of the API.")]


@app.command("list")
def list_tasks(
    state: Annotated[str, typer.Option(help="Such as QUEUED or ACTIVE.")] = "",
    work_type: Annotated[str, typer.Option(help="Only of this work type.")] = "",
    agent: Annotated[str, typer.Option(help="Only those that this agent has.")] = "",
    filter: Annotated[
        str, typer.Option(help='Conditions such as: priority >= 50 AND labels.region = "north"')
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most tasks to print.")] = 100,
    json: Json = False,
) -> None:
    """List tasks: those that wait by their place in line, those in hand by their deadline, then those that ended."""
    conditions = [filter] if filter else []
    conditions += [f"state = {state.upper()}"] if state else []
    conditions += [f'work_type = "{work_type}"'] if work_type else []
    conditions += [f'agent = "{agent}"'] if agent else []

    async def work(connection: Connection) -> None:
        found: list[common_pb2.Task] = []
        view = common_pb2.TASK_VIEW_BASIC if json else common_pb2.TASK_VIEW_SUMMARY
        tasks = Submitter(connection).list_tasks(
            " AND ".join(conditions), page_size=min(limit, 1000), view=view
        )
        async for task in tasks:
            found.append(task)
            if len(found) >= limit:
                break
        print_json(found) if json else _print_tasks(found)

    run(SUPERVISOR, work)


def _print_tasks(tasks: list[common_pb2.Task]) -> None:
    columns = ("TASK", "STATE", "WORK TYPE", "PRIORITY", "AGE", "DUE", "AGENT", "SKILLS", "REFERENCE")
    table(columns, map(_row, tasks), "no tasks match")


def _row(task: common_pb2.Task) -> tuple[str, ...]:
    return (
        short(task.name),
        task_state(task.state),
        short(task.work_type),
        str(task.priority),
        ago(task.create_time),
        ahead(task.due_time),
        short(task.agent) or "-",
        skills(task.required_skills) or "-",
        task.reference or "-",
    )


@app.command()
def get(task: TaskId, json: Json = False) -> None:
    """Show one task with all that is known of it."""

    async def work(connection: Connection) -> None:
        found = await Submitter(connection).get(task, common_pb2.TASK_VIEW_FULL)
        if json:
            print_json(found)
        else:
            _print_task(found)

    run(SUPERVISOR, work)


def _print_task(task: common_pb2.Task) -> None:
    since = f", for {ago(task.state_time)}" if task.HasField("state_time") else ""
    until = f", until {clock(task.deadline)}" if task.HasField("deadline") else ""
    pairs(
        (
            ("task", short(task.name)),
            ("state", task_state(task.state) + since + until),
            ("work type", short(task.work_type)),
            ("priority", str(task.priority)),
            ("agent", short(task.agent)),
            ("created", f"{clock(task.create_time)} by {task.submitter or 'somebody'}"),
            ("due", f"{clock(task.due_time)} ({ahead(task.due_time)})" if task.HasField("due_time") else ""),
            ("scheduled", clock(task.schedule_time)),
            ("expires", clock(task.expire_time)),
            ("skills", skills(task.required_skills)),
            ("preferred", short(task.preferred_agent) or task.preferred_team),
            ("excluded", " ".join(map(short, task.excluded_agents))),
            (
                "handling",
                duration(task.expected_handling_time) if task.HasField("expected_handling_time") else "",
            ),
            ("interruptible", "yes" if task.interruptible else "no"),
            ("reference", task.reference),
            ("customer", task.customer_reference),
            ("labels", " ".join(f"{key}={value}" for key, value in sorted(task.labels.items()))),
            (
                "attempts",
                f"{task.attempts}, recalls {task.recalls}, declines {task.declines}, fence {task.fence}",
            ),
            ("checkpoint", _saved(task.checkpoint)),
            ("payload", text_of(task.payload)),
            ("result", text_of(task.result)),
            ("outcome", task.outcome),
            ("ended", f"{clock(task.end_time)} {task.end_reason}".strip()),
        )
    )


def _saved(checkpoint: common_pb2.Checkpoint) -> str:
    return f"{text_of(checkpoint.data)} (saved {clock(checkpoint.save_time)})" if checkpoint.data else ""


@app.command()
def history(task: TaskId) -> None:
    """Show the latest transitions of a task: when, what, by whom and why."""

    async def work(connection: Connection) -> None:
        found = await Submitter(connection).get(task, common_pb2.TASK_VIEW_FULL)
        columns = ("TIME", "WHAT", "STATE", "BY", "AGENT", "FENCE", "WHY")
        table(columns, map(_step, found.history), "nothing has happened to it")

    run(SUPERVISOR, work)


def _step(step: common_pb2.TaskTransition) -> tuple[str, ...]:
    return (
        clock(step.time),
        step.operation,
        task_state(step.to_state),
        step.actor,
        short(step.agent) or "-",
        str(step.fence),
        step.reason or "-",
    )


@app.command()
def cancel(task: TaskId, reason: Annotated[str, typer.Option(help="Why; kept with the task.")] = "") -> None:
    """Withdraw a task, from its agent too."""

    async def work(connection: Connection) -> None:
        done = await Submitter(connection).cancel(task, reason)
        say(f"{short(done.name)} {task_state(done.state)}")

    run(SUPERVISOR, work)


@app.command()
def revive(task: TaskId, reason: Annotated[str, typer.Option(help="Why; kept with the task.")] = "") -> None:
    """Put a dead letter back into its queue."""

    async def work(connection: Connection) -> None:
        done = await Submitter(connection).revive(task, reason)
        say(f"{short(done.name)} {task_state(done.state)}")

    run(SUPERVISOR, work)


@app.command()
def update(
    task: TaskId,
    priority: Annotated[int | None, typer.Option(help="0 to 100.")] = None,
    due: Annotated[str, typer.Option(help="RFC 3339, or a span from now such as 4h.")] = "",
    skill: Annotated[
        list[str] | None, typer.Option(help="Needed skills such as german:3; repeatable.")
    ] = None,
    payload: Annotated[str | None, typer.Option(help="New payload, as text.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="All labels as key=value; repeatable.")] = None,
) -> None:
    """Change a task that has not ended. It keeps its age."""
    changed = common_pb2.Task(priority=priority)
    if due:
        changed.due_time.CopyFrom(timestamp(when(due)))
    for name, number in (level(text, 1) for text in skill or ()):
        changed.required_skills.add(skill=name, min_level=number)
    changed.payload = (payload or "").encode()
    changed.labels.update(map(label_of, label or ()))
    given = {
        "priority": priority,
        "due_time": due,
        "required_skills": skill,
        "payload": payload,
        "labels": label,
    }
    mask = [name for name, value in given.items() if value not in (None, "", [])]

    async def work(connection: Connection) -> None:
        if not mask:
            raise UserError("say what to change: --priority, --due, --skill, --payload or --label")
        changed.name = connection.names.task(task)
        done = await Submitter(connection).update(changed, mask)
        say(f"{short(done.name)}: {', '.join(mask)} changed")

    run(SUPERVISOR, work)


@app.command()
def watch(
    task: Annotated[list[str] | None, typer.Argument(metavar="[TASK]...", help="Only these tasks.")] = None,
    count: Annotated[int, typer.Option(min=0, help="End after so many changes; 0: never.")] = 0,
) -> None:
    """Print each transition as it happens, until Ctrl-C."""

    async def work(connection: Connection) -> None:
        seen = 0
        async for change in Submitter(connection).watch(task or ()):
            step = change.event.transition
            words = _step(step)
            say(f"{words[0]}  {short(change.event.task)}  {'  '.join(words[1:])}")
            seen += 1
            if seen == count:
                return

    run(SUPERVISOR, work)


@app.command()
def prioritize(
    task: TaskId,
    priority: Annotated[int, typer.Argument(help="0 to 100.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the task.")] = "",
) -> None:
    """Change a task's priority as a supervisor, with a reason."""

    async def work(connection: Connection) -> None:
        done = await Supervisor(connection).reprioritize(task, priority, reason=reason)
        say(f"{short(done.name)}: priority {done.priority}")

    run(SUPERVISOR, work)
