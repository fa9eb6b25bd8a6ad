"""An ACD: report two agents and a call queue, obey commands, let a call come in.

python -m clients.examples.acd --token dev:default:acd:pbx1 --seconds 3
"""

from __future__ import annotations

import argparse
import asyncio

from clients import CommandRefusedError, Connection, TelephonyReporter
from clients.examples.arguments import run
from clients.values import duration
from router.v1 import common_pb2, telephony_pb2


class Switch:
    """The state that a telephone system has anyway."""

    def __init__(self) -> None:
        """Begin with two idle agents."""
        self.states = dict.fromkeys(("alice", "bob"), common_pb2.AGENT_STATE_AVAILABLE)
        self.waiting = 0

    def snapshot(self) -> telephony_pb2.ReportRequest.Snapshot:
        """Return all that this feed knows; asked for at each connect."""
        agents = [telephony_pb2.AgentStateReport(agent=a, state=s) for a, s in self.states.items()]
        return telephony_pb2.ReportRequest.Snapshot(agents=agents, call_queues=[self.queue()])

    def queue(self) -> telephony_pb2.CallQueueReport:
        """Return the figures of the call queue."""
        oldest = duration(5.0) if self.waiting else None
        return telephony_pb2.CallQueueReport(
            call_queue="cards", blending_group="main", calls_waiting=self.waiting, oldest_wait=oldest
        )


async def main(connection: Connection, arguments: argparse.Namespace) -> None:
    """Report for a few seconds."""
    switch = Switch()

    async def obey(command: telephony_pb2.AcdCommand) -> None:
        reserve = command.action == telephony_pb2.ACD_ACTION_RESERVE
        if reserve and switch.states.get(command.agent) != common_pb2.AGENT_STATE_AVAILABLE:
            raise CommandRefusedError(f"{command.agent} is not available")
        state = common_pb2.AGENT_STATE_RESERVED if reserve else common_pb2.AGENT_STATE_AVAILABLE
        switch.states[command.agent] = state
        reporter.agent(command.agent, state)
        print(f"{command.agent} is {common_pb2.AgentState.Name(state)} at the router's request")

    reporter = TelephonyReporter(connection, arguments.source, snapshot=switch.snapshot, on_command=obey)
    async with reporter:
        print(f"feed {arguments.source} is up, epoch {reporter.epoch}")
        for state in (common_pb2.AGENT_STATE_ON_CALL, common_pb2.AGENT_STATE_AVAILABLE):
            await asyncio.sleep(arguments.seconds / 2)
            switch.states["bob"] = state
            switch.waiting = int(state == common_pb2.AGENT_STATE_ON_CALL)
            reporter.agent("bob", state)
            reporter.call_queue(switch.queue())
            await reporter.flush(5.0)
            print(f"bob is {common_pb2.AgentState.Name(state)}, {switch.waiting} calls wait: acknowledged")


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=4, help="how long (%(default)s)")
    parser.add_argument(
        "--source", default="pbx1", help="id of the feed, the same as in the token (%(default)s)"
    )


if __name__ == "__main__":
    run(main, __doc__, "dev:default:acd:pbx1", _more)
