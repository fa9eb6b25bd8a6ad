"""`workrouter explain`: why this agent got this task, and why this task has not been routed."""

from __future__ import annotations

from typing import Annotated

import typer

from clients.channel import Connection
from clients.names import short
from clients.supervisor import Supervisor
from router.cli.common import SUPERVISOR, run
from router.cli.output import clock, duration, no_task_reason, print_json, say, task_state, verdict
from router.v1 import supervision_pb2

app = typer.Typer(
    no_args_is_help=True, help="Say why: why this agent got this task, why that task still waits."
)

_STEPS = frozenset({"pushed", "recalled", "withdrawn"})
"""Conditions that tell what was decided about a task, in order."""
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def task(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The task's id.")],
    candidates: Annotated[int, typer.Option(min=1, max=50, help="Most agents to look at.")] = 5,
    json: Json = False,
) -> None:
    """Why a task is where it is: why its agent got it, or what keeps it waiting."""

    async def work(connection: Connection) -> None:
        found = await Supervisor(connection).explain_task(task, max_candidates=candidates)
        if json:
            print_json(found)
            return
        say(
            f"{short(found.task.name)} is {task_state(found.task.state)}: {verdict(found.explanation.verdict)}"
        )
        _tell(found.explanation)
        _tell_candidates(found)

    run(SUPERVISOR, work)


@app.command()
def agent(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="The agent's id.")],
    task: Annotated[str, typer.Option(help="For this task; left out, for whichever would be next.")] = "",
    json: Json = False,
) -> None:
    """Why an agent got a task, or gets none."""

    async def work(connection: Connection) -> None:
        found = await Supervisor(connection).explain_agent(agent, task)
        if json:
            print_json(found)
            return
        about = f" and {short(found.task)}" if found.task else ""
        say(f"{short(found.agent.name)}{about}: {verdict(found.explanation.verdict)}")
        _tell(found.explanation)
        if found.no_task_reason:
            say(f"asking for a task now would answer {no_task_reason(found.no_task_reason)}")

    run(SUPERVISOR, work)


def _tell(explanation: supervision_pb2.Explanation) -> None:
    say(explanation.summary)
    for condition in explanation.conditions:
        if condition.name in _STEPS:
            say(f"  then {condition.detail}")
        else:
            say(f"  yes  {_met(condition)}" if condition.holds else f"  NO   {_condition(condition)}")
    if explanation.HasField("nearest"):
        say(f"nearest to being met: {_condition(explanation.nearest)}")
    if explanation.HasField("decision"):
        say(_decision(explanation.decision))


def _met(condition: supervision_pb2.Condition) -> str:
    sides = [f"needed {condition.needed}"] if condition.needed else []
    sides += [f"there is {condition.actual}"] if condition.actual else []
    return f"{condition.name} ({', '.join(sides)})" if sides else condition.name


def _condition(condition: supervision_pb2.Condition) -> str:
    return f"{condition.name}: {condition.detail}" if condition.detail else _met(condition)


def _tell_candidates(found: supervision_pb2.ExplainTaskResponse) -> None:
    if found.candidates:
        say("nearest agents:")
    for candidate in found.candidates:
        failing = "; ".join(map(_condition, candidate.failing)) or "nothing is in the way"
        say(f"  {short(candidate.agent)}: {verdict(candidate.verdict)}: {failing}")


def _decision(record: supervision_pb2.DecisionRecord) -> str:
    parts = []
    if record.policy:
        parts.append(f"policy {short(record.policy)} version {record.policy_version}")
        parts.append(f"idle {record.agents_idle}, on tasks {record.agents_on_tasks}")
    if record.HasField("decision_time"):
        parts.append(f"at {clock(record.decision_time)}")
    if record.agent_choice:
        parts.append(f"chosen by {record.agent_choice.replace('_', ' ')}")
    if record.HasField("urgency"):
        parts.append(f"urgency {record.urgency:g}")
    if record.HasField("tasks_ahead"):
        parts.append(f"{record.tasks_ahead} tasks ahead")
    if record.HasField("data_age"):
        parts.append(f"telephony data {duration(record.data_age)} old")
    return "decision: " + ", ".join(parts)
