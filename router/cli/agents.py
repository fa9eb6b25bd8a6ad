"""`workrouter agents`: the profiles of agents, and who does what."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from clients.channel import Connection
from clients.names import short
from clients.supervisor import Supervisor
from router.cli.common import SUPERVISOR, UserError, run
from router.cli.inputs import documents, message
from router.cli.output import agent_line, agent_state, ago, clock, levels, pairs, print_json, say, table
from router.v1 import common_pb2

app = typer.Typer(no_args_is_help=True, help="Keep the agents' profiles, and see who does what.")

AgentId = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's id.")]


@app.command("list")
def list_agents(
    filter: Annotated[
        str, typer.Option(help='Conditions such as: state = AVAILABLE AND skill = "german"')
    ] = "",
    group: Annotated[str, typer.Option(help="Only of this blending group.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the agents."""
    conditions = ([filter] if filter else []) + ([f'blending_group = "{group}"'] if group else [])

    async def work(connection: Connection) -> None:
        found = [agent async for agent in Supervisor(connection).agents(" AND ".join(conditions))]
        if json:
            print_json(found)
            return
        columns = ("AGENT", "TELEPHONE", "DESKTOP", "GROUP", "SKILLS", "TASKS")
        table(columns, map(agent_line, found), "no agents match: make one with `workrouter agents apply ID`")

    run(SUPERVISOR, work)


@app.command()
def get(agent: AgentId, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show one agent."""

    async def work(connection: Connection) -> None:
        found = await Supervisor(connection).get_agent(agent)
        if json:
            print_json(found)
        else:
            _print_agent(found)

    run(SUPERVISOR, work)


def _draining(agent: common_pb2.Agent) -> str:
    why = f": {agent.drain_reason}" if agent.drain_reason else ""
    return f"yes{why}" if agent.draining else ""


def _print_agent(agent: common_pb2.Agent) -> None:
    since = f" for {ago(agent.state_time)}" if agent.HasField("state_time") else ""
    source = f" (told by {agent.source})" if agent.source else ""
    pairs(
        (
            ("agent", short(agent.name)),
            ("name", agent.display_name),
            ("telephone", agent_state(agent.state) + since + source),
            ("desktop", "connected" if agent.connected else "not connected"),
            ("ready", "yes" if agent.ready else "no"),
            ("draining", _draining(agent)),
            ("group", short(agent.blending_group) or "none: takes tasks only"),
            ("skills", levels(agent.skills)),
            ("teams", " ".join(agent.teams)),
            ("capacity", str(agent.capacity or 1)),
            ("auto-accept", "yes" if agent.auto_accept else "no"),
            ("leaves at", clock(agent.leave_time)),
            ("tasks", " ".join(map(short, agent.held_tasks))),
        )
    )


@app.command()
def apply(
    agent: Annotated[
        str, typer.Argument(metavar="[AGENT]", help="The agent's id, when not from a file.")
    ] = "",
    file: Annotated[str, typer.Option("--file", "-f", help="YAML or JSON file; - for standard input.")] = "",
    skill: Annotated[
        list[str] | None, typer.Option(help="Skill with level such as german:3; repeatable.")
    ] = None,
    team: Annotated[list[str] | None, typer.Option(help="Team; repeatable.")] = None,
    group: Annotated[str, typer.Option(help="Blending group; none for an agent who takes no calls.")] = "",
    capacity: Annotated[int, typer.Option(min=1, help="Most tasks at once.")] = 1,
    auto_accept: Annotated[bool, typer.Option(help="Offers become leases without asking.")] = False,
    name: Annotated[str, typer.Option(help="Name for screens.")] = "",
) -> None:
    """Create agents, or make those that exist equal to what is given here.

    By hand:  workrouter agents apply alice --skill german:4 --skill claims --group cards

    From a file:  workrouter agents apply -f agents.yaml

    A file holds fields of an agent and its id, several separated by `---`:

    \b
        id: alice
        skills: [german:4, claims:2]
        blending_group: cards
        teams: [north]
    """
    by_hand: dict[str, Any] = {
        "display_name": name,
        "skills": list(skill or ()),
        "teams": list(team or ()),
        "blending_group": group,
        "capacity": capacity,
        "auto_accept": auto_accept,
    }

    async def work(connection: Connection) -> None:
        for agent_id, profile in _wanted(agent, file, by_hand):
            done = await Supervisor(connection).apply_agent(agent_id, profile)
            say(f"{short(done.name)} applied")

    run(SUPERVISOR, work)


def _wanted(agent: str, file: str, by_hand: dict[str, Any]) -> list[tuple[str, common_pb2.Agent]]:
    """Return all that is to be applied, checked as a whole before the first call."""
    if bool(agent) == bool(file):
        raise UserError("name an agent, or a file with --file")
    things = list(documents(file)) if file else [(agent, by_hand)]
    return [(name, message(common_pb2.Agent, values, name)) for name, values in things]


@app.command()
def delete(agent: AgentId) -> None:
    """Remove the profile of an agent who holds nothing."""

    async def work(connection: Connection) -> None:
        await Supervisor(connection).delete_agent(agent)
        say(f"{agent} deleted")

    run(SUPERVISOR, work)


@app.command()
def drain(
    agent: AgentId,
    recall: Annotated[bool, typer.Option("--recall", help="Take back the interruptible tasks too.")] = False,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """Give an agent no more tasks."""

    async def work(connection: Connection) -> None:
        await Supervisor(connection).drain(agent, reason, recall=recall)
        say(f"{agent} gets no more tasks until `workrouter agents undrain {agent}`")

    run(SUPERVISOR, work)


@app.command()
def undrain(agent: AgentId) -> None:
    """End a drain."""

    async def work(connection: Connection) -> None:
        await Supervisor(connection).undrain(agent)
        say(f"{agent} gets tasks again")

    run(SUPERVISOR, work)
