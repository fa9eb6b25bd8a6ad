"""An agent desktop: accept offers, save checkpoints, obey recalls, complete.

python -m clients.examples.desktop --token dev:default:agent:alice --tasks 1
"""

from __future__ import annotations

import argparse
import asyncio

from clients import AgentHandlers, AgentSession, ApiError, Connection, short
from clients.examples.arguments import run
from router.v1 import common_pb2

STEPS = 3


class Desk(AgentHandlers):
    """Works on each task in a few steps and saves after each one."""

    def __init__(self, step_s: float) -> None:
        """Take `step_s` seconds for each step."""
        self.finished: asyncio.Queue[str] = asyncio.Queue()
        self._step_s = step_s
        self._work: dict[str, asyncio.Task[None]] = {}

    async def on_offer(self, session: AgentSession, offer: common_pb2.Offer) -> None:
        """Accept it and begin."""
        print(f"offered {short(offer.task.name)}: {offer.why}")
        await self.on_lease(session, await session.accept(offer), "accepted")

    async def on_lease(self, session: AgentSession, lease: common_pb2.Lease, reason: str) -> None:
        """Begin, or go on where the last checkpoint left off."""
        print(f"works on {short(lease.task.name)} ({reason})")
        self._work[lease.task.name] = asyncio.create_task(self._steps(session, lease))

    async def on_recall(self, session: AgentSession, recall: common_pb2.Recall) -> None:
        """Stop and hand the task back; its last checkpoint stays with it."""
        print(f"recalled from {short(recall.task)}: {recall.reason}")
        self._stop(recall.task)
        await session.release(recall)
        self.finished.put_nowait("recalled")

    async def on_revoke(self, session: AgentSession, task: str, fence: int, reason: str) -> None:
        """Stop: the task is somebody else's now."""
        self._stop(task)
        self.finished.put_nowait(reason)

    async def _steps(self, session: AgentSession, lease: common_pb2.Lease) -> None:
        done = int(lease.checkpoint.data or b"0")
        try:
            for step in range(done, STEPS):
                await asyncio.sleep(self._step_s)
                await session.checkpoint(lease, str(step + 1).encode())
            task = await session.complete(lease, b"approved", outcome="approved")
            print(f"completed {short(task.name)}")
            self.finished.put_nowait("completed")
        except ApiError as error:
            self.finished.put_nowait(str(error))

    def _stop(self, task: str) -> None:
        work = self._work.pop(task, None)
        if work is not None:
            work.cancel()


async def main(connection: Connection, arguments: argparse.Namespace) -> None:
    """Work until so many tasks are finished, or none has come for a while."""
    desk = Desk(arguments.step)
    async with AgentSession(connection, desk, client_info="desktop example") as session:
        print(f"connected as {short(session.agent.name)}")
        for _ in range(arguments.tasks):
            try:
                print(await asyncio.wait_for(desk.finished.get(), arguments.idle))
            except TimeoutError:
                print(f"no task for {arguments.idle:g} s. {session.why_idle}".rstrip())
                return


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", type=int, default=1, help="end after so many (%(default)s)")
    parser.add_argument(
        "--idle", type=float, default=10, help="end after so many seconds without (%(default)s)"
    )
    parser.add_argument("--step", type=float, default=1, help="seconds for each step of a task (%(default)s)")


if __name__ == "__main__":
    run(main, __doc__, "dev:default:agent:alice", _more)
