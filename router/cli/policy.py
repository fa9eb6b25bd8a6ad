"""`workrouter policy`: the versioned documents by which blending groups are run."""

from __future__ import annotations

import difflib
from typing import Annotated

import typer

from clients.channel import Connection
from clients.supervisor import Supervisor
from clients.values import seconds
from router.cli import policy_runs
from router.cli.common import SUPERVISOR, run
from router.cli.failing import fail
from router.cli.inputs import open_text
from router.cli.output import clock, note, pairs, print_json, say, table
from router.v1 import supervision_pb2

app = typer.Typer(
    no_args_is_help=True,
    help="Keep the policies of blending groups: validate, put, try, activate, roll back.",
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
        table(
            ("VERSION", "", "STORED", "BY", "TRIED", "COMMENT"), map(_row, found), "there are no versions yet"
        )

    run(SUPERVISOR, work)


def _row(policy: supervision_pb2.Policy) -> tuple[str, ...]:
    active = "active" if policy.version == policy.active_version else ""
    if policy.HasField("shadow_version") and policy.version == policy.shadow_version:
        active = "shadow"
    stored, tried = clock(policy.create_time), clock(policy.try_time)
    return (str(policy.version), active, stored, policy.author, tried, policy.comment or "-")


@app.command()
def validate(
    group: GroupId,
    file: File,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no router: check by the laws installed here.")
    ] = False,
) -> None:
    """Check a document without storing it. The exit code is 1 if it is not valid."""
    document = _read(file)
    if offline:
        _validate_here(document)
        return

    async def work(connection: Connection) -> None:
        answer = await Supervisor(connection).validate_policy(group, document)
        for problem in answer.problems:
            note(_problem(problem))
        if not answer.valid:
            raise typer.Exit(1)
        say(f"valid: {_summary(answer.metadata)}")

    run(SUPERVISOR, work)


def _validate_here(text: str) -> None:
    from router.policies.blending import PolicyDocument, PolicyError

    try:
        document = PolicyDocument.parse(text)
    except PolicyError as error:
        for problem in error.problems:
            note(f"error: {problem}")
        raise typer.Exit(1) from None
    say(f"valid: {document.law}, {document.target_share:.0%} in {document.target_s:g} s")


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
            _warn(await supervisor.activate_policy(group, version))
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
    """Make a version the one that decides, from the next decision on, and print what changes."""

    async def work(connection: Connection) -> None:
        supervisor = Supervisor(connection)
        before = await supervisor.get_policy(group)
        after = await supervisor.get_policy(group, version)
        active = await supervisor.activate_policy(group, version)
        for line in changes(before, after):
            say(line)
        _warn(active)
        say(f"version {version} of {group} is active")

    run(SUPERVISOR, work)


def _warn(policy: supervision_pb2.Policy) -> None:
    for warning in policy.warnings:
        note(f"warning: {warning}")


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


@app.command()
def shadow(
    group: GroupId,
    version: Annotated[
        int | None, typer.Argument(min=0, metavar="[VERSION]", help="The version; 0 is the built-in default.")
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Let no version decide beside the active one.")] = False,
) -> None:
    """Let a version decide beside the active one, on live data and without any effect."""
    if (version is None) is not off:
        fail("give a version, or --off")

    async def work(connection: Connection) -> None:
        await Supervisor(connection).shadow_policy(group, version)
        if version is None:
            say(f"no version decides beside the active one of {group} any more")
        else:
            say(f"version {version} of {group} decides beside the active one")
            note(f"`workrouter policy compare {group}` tells how")

    run(SUPERVISOR, work)


@app.command()
def compare(
    group: GroupId,
    last: Annotated[int, typer.Option(min=0, max=20, help="Decisions to print side by side.")] = 5,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print how the shadow's decisions compare with those of the active version."""

    async def work(connection: Connection) -> None:
        found = await Supervisor(connection).compare_policy(group)
        if json:
            print_json(found)
        else:
            policy_runs.print_comparison(found, last)

    run(SUPERVISOR, work)


Hours = Annotated[
    float | None,
    typer.Option(min=0.02, max=744, help="How much of the recording. Left out: all that is kept."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def replay(group: GroupId, hours: Hours = None, json: Json = False) -> None:
    """Decide what was recorded again: every answer must come out bit by bit. The exit code is 1 if one does not."""

    async def work(connection: Connection) -> None:
        answers = Supervisor(connection).replay_policy(group, span_s=_span_s(hours))
        result = await policy_runs.watched(answers, supervision_pb2.ReplayResult)
        if json:
            print_json(result)
        else:
            policy_runs.print_replay(result)
        if result.HasField("first_difference") or not result.decisions:
            raise typer.Exit(1)

    run(SUPERVISOR, work)


@app.command()
def simulate(
    group: GroupId,
    candidate: Annotated[
        str,
        typer.Argument(metavar="FILE|VERSION", help="A document, - for standard input, or a stored version."),
    ],
    hours: Hours = None,
    json: Json = False,
) -> None:
    """Play what was recorded under another policy, and print what it would have made of the calls and tasks.

    The policy in force is played on the same day with the same random numbers, and compared with what really happened.
    """
    tried: int | str = int(candidate) if candidate.isdigit() else _read(candidate)

    async def work(connection: Connection) -> None:
        answers = Supervisor(connection).simulate_policy(group, tried, span_s=_span_s(hours))
        result = await policy_runs.watched(answers, supervision_pb2.SimulationResult)
        if json:
            print_json(result)
        else:
            policy_runs.print_simulation(result, candidate)

    run(SUPERVISOR, work)


def _span_s(hours: float | None) -> float | None:
    return None if hours is None else hours * 3600


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
