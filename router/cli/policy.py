"""`workrouter policy`: the versioned documents by which blending groups are run."""

from __future__ import annotations

import difflib
from typing import Annotated

import typer

from clients.channel import Connection
from clients.supervisor import Supervisor
from clients.values import seconds
from router.cli.common import SUPERVISOR, run
from router.cli.inputs import open_text
from router.cli.output import clock, note, pairs, print_json, say, table
from router.v1 import supervision_pb2

app = typer.Typer(
    no_args_is_help=True,
    help="Keep the policies of blending groups: validate, put, activate, roll back.",
)

GroupId = Annotated[str, typer.Argument(metavar="GROUP", help="The blending group's id.")]
File = Annotated[
    str, typer.Argument(metavar="FILE", help="The document in YAML or JSON; - for standard input.")
]
Comment = Annotated[str, typer.Option("--comment", "-m", help="What was changed and why.")]


@app.command()
def get(
    group: GroupId,
    version: Annotated[int | None, typer.Option(help="The version; left out, the active one.")] = None,
    settings: Annotated[bool, typer.Option("--settings", help="Print each setting as understood.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print a policy's document, ready to be edited and put again."""

    async def work(connection: Connection) -> None:
        found = await Supervisor(connection).get_policy(group, version)
        if json:
            print_json(found)
        elif settings:
            pairs(sorted(found.metadata.settings.items()))
        else:
            note(f"version {found.version}, active {found.active_version}, latest {found.latest_version}")
            say(found.document.rstrip())

    run(SUPERVISOR, work)


@app.command()
def versions(group: GroupId) -> None:
    """List the versions of a policy, newest first."""

    async def work(connection: Connection) -> None:
        found = [policy async for policy in Supervisor(connection).policy_versions(group)]
        table(("VERSION", "", "STORED", "BY", "COMMENT"), map(_row, found), "there are no versions yet")

    run(SUPERVISOR, work)


def _row(policy: supervision_pb2.Policy) -> tuple[str, ...]:
    active = "active" if policy.version == policy.active_version else ""
    return (str(policy.version), active, clock(policy.create_time), policy.author, policy.comment or "-")


@app.command()
def validate(group: GroupId, file: File) -> None:
    """Check a document without storing it. The exit code is 1 if it is not valid."""
    document = _read(file)

    async def work(connection: Connection) -> None:
        answer = await Supervisor(connection).validate_policy(group, document)
        for problem in answer.problems:
            note(_problem(problem))
        if not answer.valid:
            raise typer.Exit(1)
        say(f"valid: {_summary(answer.metadata)}")

    run(SUPERVISOR, work)


@app.command()
def put(
    group: GroupId,
    file: File,
    comment: Comment = "",
    activate: Annotated[bool, typer.Option("--activate", help="Make it the one that decides, too.")] = False,
) -> None:
    """Store a document as a new version. The first one makes the blending group."""
    document = _read(file)

    async def work(connection: Connection) -> None:
        supervisor = Supervisor(connection)
        stored = await supervisor.put_policy(group, document, comment=comment)
        version = stored.version
        if activate:
            await supervisor.activate_policy(group, version)
            say(f"version {version} of {group} is active")
        else:
            say(
                f"version {version} of {group} stored; `workrouter policy activate {group} {version}` makes it decide"
            )

    run(SUPERVISOR, work)


@app.command()
def activate(
    group: GroupId,
    version: Annotated[int, typer.Argument(min=0, help="The version; 0 is the built-in default.")],
) -> None:
    """Make a version the one that decides, from the next decision on."""

    async def work(connection: Connection) -> None:
        await Supervisor(connection).activate_policy(group, version)
        say(f"version {version} of {group} is active")

    run(SUPERVISOR, work)


@app.command()
def rollback(group: GroupId) -> None:
    """Make the version active that was before the present one."""

    async def work(connection: Connection) -> None:
        done = await Supervisor(connection).rollback_policy(group)
        say(f"version {done.active_version} of {group} is active again")

    run(SUPERVISOR, work)


@app.command()
def diff(
    group: GroupId,
    before: Annotated[
        int | None, typer.Argument(metavar="[FROM]", help="Left out: the active version.")
    ] = None,
    after: Annotated[int | None, typer.Argument(metavar="[TO]", help="Left out: the latest version.")] = None,
) -> None:
    """Print the settings that differ between two versions, as they were understood."""

    async def work(connection: Connection) -> None:
        supervisor = Supervisor(connection)
        old = await supervisor.get_policy(group, before)
        new = await supervisor.get_policy(group, old.latest_version if after is None else after)
        for line in changes(old, new):
            say(line)

    run(SUPERVISOR, work)


def changes(old: supervision_pb2.Policy, new: supervision_pb2.Policy) -> list[str]:
    """Return the settings that differ, or the lines of the documents when no settings are told."""
    before, after = dict(old.metadata.settings), dict(new.metadata.settings)
    if before and after:
        differing = [key for key in sorted(before | after) if before.get(key) != after.get(key)]
        lines = [f"{key}: {before.get(key, '-')} -> {after.get(key, '-')}" for key in differing]
    else:
        names = (f"version {old.version}", f"version {new.version}")
        parts = (old.document.splitlines(), new.document.splitlines())
        lines = list(difflib.unified_diff(*parts, *names, lineterm="", n=0))
    return lines or [f"versions {old.version} and {new.version} decide alike"]


def _read(file: str) -> str:
    from router.cli.common import guarded

    document = ""

    def read() -> None:
        nonlocal document
        with open_text(file) as stream:
            document = stream.read()

    guarded(read)
    return document


def _problem(problem: supervision_pb2.PolicyProblem) -> str:
    return f"error: {problem.path or 'document'}: {problem.message}"


def _summary(metadata: supervision_pb2.PolicyMetadata) -> str:
    law = metadata.law or "default law"
    return f"{law}, {metadata.target_share:.0%} in {seconds(metadata.target_time):g} s"
