"""`workrouter work-types`: the templates of tasks."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from clients.channel import Connection
from clients.names import short
from clients.work_types import WorkTypes
from router.cli.common import SUPERVISOR, UserError, run
from router.cli.inputs import documents, message
from router.cli.output import as_dict, duration, print_json, say, skills, table
from router.v1 import tasks_pb2

app = typer.Typer(no_args_is_help=True, help="Keep the work types, the templates of tasks.")

WorkTypeId = Annotated[str, typer.Argument(metavar="WORK_TYPE", help="Its id.")]


@app.command("list")
def list_work_types(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the work types."""

    async def work(connection: Connection) -> None:
        found = [kind async for kind in WorkTypes(connection).list()]
        if json:
            print_json(found)
            return
        columns = ("WORK TYPE", "NAME", "SKILLS", "URGENCY", "GOAL", "HANDLING", "INTERRUPTIBLE", "")
        table(
            columns,
            map(_row, found),
            "there are no work types: make one with `workrouter work-types apply ID`",
        )

    run(SUPERVISOR, work)


def _row(kind: tasks_pb2.WorkType) -> tuple[str, ...]:
    return (
        short(kind.name),
        kind.display_name or "-",
        skills(kind.required_skills) or "-",
        (kind.urgency.WhichOneof("rule") or "strict_priority").replace("_", " "),
        duration(kind.service_goal) if kind.HasField("service_goal") else "-",
        duration(kind.expected_handling_time) if kind.HasField("expected_handling_time") else "-",
        "no" if kind.HasField("interruptible") and not kind.interruptible else "yes",
        "paused" if kind.paused else "",
    )


@app.command()
def get(work_type: WorkTypeId) -> None:
    """Show one work type as JSON."""

    async def work(connection: Connection) -> None:
        print_json(await WorkTypes(connection).get(work_type))

    run(SUPERVISOR, work)


@app.command()
def apply(
    work_type: Annotated[
        str, typer.Argument(metavar="[WORK_TYPE]", help="Its id, when not from a file.")
    ] = "",
    file: Annotated[str, typer.Option("--file", "-f", help="YAML or JSON file; - for standard input.")] = "",
    skill: Annotated[
        list[str] | None, typer.Option(help="Needed skill such as german:3; repeatable.")
    ] = None,
    goal: Annotated[str, typer.Option(help="Time in which a task should be done, such as 4h.")] = "",
    handling: Annotated[str, typer.Option(help="Time that an agent needs, such as 5m.")] = "",
    offer_timeout: Annotated[str, typer.Option(help="Time to answer an offer, such as 20s.")] = "",
    interruptible: Annotated[bool, typer.Option(help="Whether its tasks may be recalled.")] = True,
    name: Annotated[str, typer.Option(help="Name for screens.")] = "",
) -> None:
    """Create work types, or make those that exist equal to what is given here.

    By hand:  workrouter work-types apply claims --skill german:2 --goal 4h --handling 5m

    From a file:  workrouter work-types apply -f work-types.yaml

    A file holds fields of a work type and its id, several separated by `---`:

    \b
        id: claims
        required_skills: [german:2]
        service_goal: 4h
        urgency:
          linear_aging: {initial: 10, rate_per_minute: 0.5}
          max_wait: 8h
        relaxation:
          - {after: 10m, lower_by: 1}
    """
    by_hand: dict[str, Any] = {
        "display_name": name,
        "required_skills": list(skill or ()),
        "service_goal": goal,
        "expected_handling_time": handling,
        "offer_timeout": offer_timeout,
        "interruptible": interruptible,
    }

    async def work(connection: Connection) -> None:
        for work_type_id, kind in _wanted(work_type, file, by_hand):
            done = await WorkTypes(connection).apply(work_type_id, kind)
            say(f"{short(done.name)} applied")

    run(SUPERVISOR, work)


def _wanted(work_type: str, file: str, by_hand: dict[str, Any]) -> list[tuple[str, tasks_pb2.WorkType]]:
    """Return all that is to be applied, checked as a whole before the first call."""
    if bool(work_type) == bool(file):
        raise UserError("name a work type, or a file with --file")
    if file:
        things = list(documents(file))
    else:
        things = [(work_type, {name: value for name, value in by_hand.items() if value not in ("", [])})]
    return [(name, message(tasks_pb2.WorkType, values, name)) for name, values in things]


@app.command()
def delete(work_type: WorkTypeId) -> None:
    """Remove a work type that has no unfinished tasks."""

    async def work(connection: Connection) -> None:
        await WorkTypes(connection).delete(work_type)
        say(f"{work_type} deleted")

    run(SUPERVISOR, work)


@app.command()
def export() -> None:
    """Print all work types as a file for `apply`."""
    import yaml

    async def work(connection: Connection) -> None:
        async for kind in WorkTypes(connection).list():
            values = as_dict(kind)
            kept = {key: value for key, value in values.items() if key not in ("name", "etag", "paused")}
            say("---")
            say(
                yaml.safe_dump({"id": short(kind.name), **kept}, sort_keys=False, allow_unicode=True).rstrip()
            )

    run(SUPERVISOR, work)
