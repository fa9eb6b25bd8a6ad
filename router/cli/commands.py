"""The command line `workrouter`: serve, submit, be an agent or a telephone system, supervise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clients.channel import DEFAULT_ADDRESS
from router.cli import (
    acd,
    agents,
    desktop,
    explain,
    policy,
    serve,
    simulate,
    submit,
    supervise,
    tasks,
    watch,
    work_types,
)
from router.cli.common import Common, CommonOptionsAnywhere, UserError, read_tls, set_common
from router.cli.failing import fail

app = typer.Typer(
    cls=CommonOptionsAnywhere,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    address: Annotated[
        str, typer.Option(envvar="WORKROUTER_ADDRESS", help="Where the router listens.")
    ] = DEFAULT_ADDRESS,
    site: Annotated[str, typer.Option(envvar="WORKROUTER_SITE", help="The site to work in.")] = "default",
    caller: Annotated[str, typer.Option("--as", metavar="ID", help="Who you are, without a token.")] = "",
    token: Annotated[
        str,
        typer.Option(
            envvar="WORKROUTER_TOKEN",
            show_envvar=True,
            help="Bearer token. Left out: a development token dev:SITE:ROLE:ID of the role that the command needs,"
            " which a router takes on its own machine when it has no other credentials.",
        ),
    ] = "",
    tls: Annotated[bool, typer.Option("--tls", help="Use TLS; any of the next three implies it.")] = False,
    tls_ca: Annotated[
        Path | None, typer.Option(help="PEM authorities to trust; left out: the system's.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate that shows who you are.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM key of that certificate.")] = None,
    plaintext: Annotated[
        bool, typer.Option("--plaintext", help="Send the token unencrypted to another machine all the same.")
    ] = False,
) -> None:
    """Route back-office tasks to contact-center agents in the dips of the call volume, and take them back in time.

    Try it by hand, each in a terminal of its own:

    \b
        workrouter serve
        workrouter work-types apply claims
        workrouter agents apply alice
        workrouter desktop alice
        workrouter submit --work-type claims --payload "claim 4711"

    The options below are understood after a command as well: workrouter tasks list --site north
    """
    try:
        trust = read_tls(tls, tls_ca, tls_cert, tls_key)
    except UserError as error:
        fail(str(error))
    set_common(Common(address=address, site=site, caller=caller, token=token, tls=trust, plaintext=plaintext))


app.command()(serve.serve)
app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)(serve.demo)
app.command()(simulate.simulate)
app.command()(submit.submit)
app.add_typer(tasks.app, name="tasks")
app.add_typer(work_types.app, name="work-types")
app.add_typer(agents.app, name="agents")
app.command()(desktop.desktop)
app.add_typer(acd.app, name="acd")
app.command()(watch.watch)
app.command()(supervise.status)
app.add_typer(explain.app, name="explain")
app.add_typer(policy.app, name="policy")
app.add_typer(supervise.gate, name="gate")
app.add_typer(supervise.queues, name="queues")
app.command()(supervise.recall)
app.command()(supervise.pause)
app.command()(supervise.resume)
app.command()(supervise.reassign)
