"""A supervisor: keep agents, watch the figures, ask why a task still waits.

python -m clients.examples.supervise --looks 3
"""

from __future__ import annotations

import argparse
from contextlib import aclosing

from clients import Connection, Submitter, Supervisor, short
from clients.examples.arguments import run
from router.v1 import common_pb2, supervision_pb2


async def main(connection: Connection, arguments: argparse.Namespace) -> None:
    """Look a few times, then explain the first task that waits."""
    supervisor = Supervisor(connection)
    alice = common_pb2.Agent(display_name="Alice", skills=[common_pb2.AgentSkill(skill="german", level=4)])
    await supervisor.apply_agent("alice", alice)
    async for agent in supervisor.agents():
        print(f"agent {short(agent.name)}: {common_pb2.AgentState.Name(agent.state)}")

    looks = 0
    async with aclosing(supervisor.watch_figures(interval_s=0.2)) as figures:
        async for now in figures:
            print(f"queued {queued(now)}, completed {now.counters.completed}, recalls {now.counters.recalls}")
            looks += 1
            if looks >= arguments.looks:
                break

    async with aclosing(Submitter(connection).list_tasks("state = QUEUED", page_size=1)) as waiting:
        async for task in waiting:
            answer = await supervisor.explain_task(task.name)
            print(f"{short(task.name)} waits: {answer.explanation.summary}")
            break


def queued(figures: supervision_pb2.Figures) -> int:
    """Return how many tasks wait."""
    states = [entry for kind in figures.work_types for entry in kind.states]
    return sum(entry.tasks for entry in states if entry.state == common_pb2.TASK_STATE_QUEUED)


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--looks", type=int, default=3, help="how many looks at the figures (%(default)s)")


if __name__ == "__main__":
    run(main, __doc__, "dev:default:supervisor:sam", _more)
