"""A first figure for the routing loop: GetNextTask, and submit -> offer on the desktop, beside bare references.

A real router (a process of its own with its embedded Valkey), a bare gRPC server in another process, and this
process as the client of both, all on one machine; the cases take turns for several rounds. Takes about 90 seconds.

    python -m loadtests.first_figures [--rounds 3] [--seconds 4] [--calls 400]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import uvloop

from clients import Connection, Submission, Submitter, Supervisor
from demo.child import RouterProcess
from loadtests.bare import SERVICE
from loadtests.measuring import Case, at_a_rate, cpu_s, cpu_table, one_after_the_other, table
from router.v1 import agents_pb2, agents_pb2_grpc, common_pb2, tasks_pb2, tasks_pb2_grpc

RATE = 100.0
AGENTS = 64
SITE = "default"
PAYLOAD = b"x" * 200
LIMIT_S = 120.0

Request = agents_pb2.SessionRequest
_OWN = [("grpc.use_local_subchannel_pool", 1)]


def bearer(role: str, id: str) -> tuple[tuple[str, str], ...]:
    """What identifies a caller."""
    return (("authorization", f"Bearer dev:{SITE}:{role}:{id}"),)


# -- the router ------------------------------------------------------------------------------------------
class Pulls:
    """Agents without sessions, in turn: each pulls a task, and completes it off the clock."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = agents_pb2_grpc.AgentServiceStub(channel)
        self._turns = itertools.count()

    async def call(self, i: int, due: float) -> float:
        """One GetNextTask."""
        metadata = bearer("agent", f"puller{next(self._turns) % AGENTS}")
        answer = await self._stub.GetNextTask(agents_pb2.GetNextTaskRequest(), metadata=metadata)
        latency = time.perf_counter() - due
        if not answer.HasField("lease"):
            raise RuntimeError(f"GetNextTask gave no task: {answer.detail}")
        lease = answer.lease
        done = agents_pb2.CompleteTaskRequest(name=lease.task.name, fence=lease.fence)
        await self._stub.CompleteTask(done, metadata=metadata)
        return latency


class Pushes:
    """Dedicated agents with desktops, who accept and complete at once; and a submitter."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._tasks = tasks_pb2_grpc.TaskServiceStub(channel)
        self._agents = agents_pb2_grpc.AgentServiceStub(channel)
        self._offered: dict[str, asyncio.Future[float]] = {}
        self._numbers = itertools.count()

    async def sit_down(self, stack: AsyncExitStack) -> None:
        """Open every desktop."""
        for i in range(AGENTS):
            call = self._agents.Session(metadata=bearer("agent", f"desk{i}"))
            await call.write(Request(hello=Request.Hello(session_id=f"desk{i}", ready=True)))
            await call.read()
            stack.push_async_callback(_end, asyncio.create_task(self._work(call)), call)

    async def _work(self, call: Any) -> None:
        # gRPC takes one write at a time.
        writing = asyncio.Lock()
        beating = asyncio.create_task(_beat(call, writing))
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                if message.HasField("offer_made"):
                    self._seen(message.offer_made.offer.task.reference)
                    async with writing:
                        await self._do(call, message.offer_made.offer)
        except Exception as error:
            for waiting in self._offered.values():
                waiting.set_exception(error)
        finally:
            beating.cancel()

    def _seen(self, reference: str) -> None:
        waiting = self._offered.get(reference)
        if waiting and not waiting.done():
            waiting.set_result(time.perf_counter())

    async def _do(self, call: Any, offer: common_pb2.Offer) -> None:
        task, fence = offer.task.name, offer.fence
        await call.write(Request(accept=Request.Accept(task=task, fence=fence)))
        await call.write(Request(complete=Request.Complete(task=task, fence=fence)))

    async def call(self, i: int, due: float) -> float:
        """One submit; the time until a desktop has the offer."""
        reference = f"push{next(self._numbers)}"
        offered: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._offered[reference] = offered
        task = common_pb2.Task(work_type="push", reference=reference, payload=PAYLOAD)
        request = tasks_pb2.SubmitTaskRequest(task=task)
        submitted = await self._tasks.SubmitTask(request, metadata=bearer("submitter", "erp"))
        try:
            async with asyncio.timeout(20):
                return await offered - due
        except TimeoutError:
            raise RuntimeError(f"nobody was offered {submitted.name} within 20 s") from None
        finally:
            del self._offered[reference]


async def _beat(call: Any, writing: asyncio.Lock) -> None:
    while True:
        await asyncio.sleep(5)
        async with writing:
            await call.write(Request(heartbeat=Request.Heartbeat()))


async def _end(task: asyncio.Task[None], call: Any) -> None:
    call.cancel()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def furnish(address: str, pulls: int) -> None:
    """Two kinds of work, agents for each, and a backlog to pull from."""
    async with Connection(address, token=f"dev:{SITE}:supervisor:sue", timeout_s=60) as connection:
        boss, erp = Supervisor(connection), Submitter(connection)
        for kind, name in (("pull", "puller"), ("push", "desk")):
            needs = [common_pb2.SkillRequirement(skill=kind, min_level=2)]
            await boss.work_types.create(kind, tasks_pb2.WorkType(required_skills=needs))
            profile = common_pb2.Agent(skills=[common_pb2.AgentSkill(skill=kind, level=3)])
            await asyncio.gather(*(boss.create_agent(f"{name}{i}", profile) for i in range(AGENTS)))
        waiting = (Submission(common_pb2.Task(work_type="pull", payload=PAYLOAD)) for _ in range(pulls))
        async for answer in erp.submit_many(waiting):
            if answer.error:
                raise answer.error


# -- the references --------------------------------------------------------------------------------------
class Bare:
    """The client of the bare server."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._codecs = (common_pb2.Task.SerializeToString, common_pb2.Task.FromString)
        self._pushed: dict[str, asyncio.Future[float]] = {}
        self._numbers = itertools.count()

    def unary(self, method: str) -> Callable[[int, float], Awaitable[float]]:
        """A call of a method that answers with what it was given."""
        call_method = self._channel.unary_unary(f"/{SERVICE}/{method}", *self._codecs)
        metadata = bearer("agent", "puller0")

        async def call(i: int, due: float) -> float:
            await call_method(common_pb2.Task(work_type="pull", payload=PAYLOAD), metadata=metadata)
            return time.perf_counter() - due

        return call

    async def listen(self, stack: AsyncExitStack) -> None:
        """Open as many streams as there are desktops."""
        for _ in range(AGENTS):
            call = self._channel.stream_stream(f"/{SERVICE}/Listen", *self._codecs)()
            await call.read()
            stack.push_async_callback(_end, asyncio.create_task(self._hear(call)), call)

    async def _hear(self, call: Any) -> None:
        while (task := await call.read()) is not grpc.aio.EOF:
            if waiting := self._pushed.pop(task.reference, None):
                waiting.set_result(time.perf_counter())

    async def push(self, i: int, due: float) -> float:
        """One call; the time until a listener has the message."""
        reference = f"bare{next(self._numbers)}"
        heard = asyncio.get_running_loop().create_future()
        self._pushed[reference] = heard
        method = self._channel.unary_unary(f"/{SERVICE}/Push", *self._codecs)
        await method(common_pb2.Task(work_type="push", reference=reference, payload=PAYLOAD))
        seen: float = await heard
        return seen - due


@contextmanager
def bare_server(socket: Path) -> Iterator[subprocess.Popen[str]]:
    """The bare server in a process of its own; it ends with its standard input."""
    process = subprocess.Popen(
        [sys.executable, "-m", "loadtests.bare", str(socket)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# -- the run ---------------------------------------------------------------------------------------------
async def measure(rounds: int, seconds: float, calls: int) -> str:
    """Start everything, let the cases take turns, and tell."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="figures-")))
        data = folder / "data"
        router = await stack.enter_async_context(RouterProcess(folder, data))
        bare = stack.enter_context(bare_server(data / "valkey.sock"))
        assert bare.stdout is not None
        bare_address = f"127.0.0.1:{bare.stdout.readline().strip()}"
        await furnish(router.address, pulls=(rounds + 1) * (calls + round(RATE * seconds)))
        pids = {"router": router.pid, "store": int((data / "valkey.pid").read_text())}
        bare_pids = {"bare": bare.pid, "store": pids["store"]}
        own, other = await _clients(stack, router.address, bare_address)
        cases = list(_cases(own, other, pids, bare_pids, seconds, calls))
        for case in cases:
            await case.run()  # the first of everything is slower
            case.rounds.clear()
        gc.collect()
        gc.freeze()
        for _ in range(rounds):
            for case in cases:
                await case.measure()
        idle_s = await _idle(pids)
        return _report(cases, idle_s, rounds, seconds, calls, router.start_s)


async def _clients(stack: AsyncExitStack, router: str, bare: str) -> tuple[tuple[Pulls, Pushes], Bare]:
    channels = [
        await stack.enter_async_context(grpc.aio.insecure_channel(address, _OWN))
        for address in (router, router, bare)
    ]
    pulls, pushes, other = Pulls(channels[0]), Pushes(channels[1]), Bare(channels[2])
    await pushes.sit_down(stack)
    await other.listen(stack)
    return (pulls, pushes), other


def _cases(
    own: tuple[Pulls, Pushes],
    bare: Bare,
    pids: dict[str, int],
    bare_pids: dict[str, int],
    seconds: float,
    calls: int,
) -> Sequence[Case]:
    pulls, pushes = own
    echo, script = bare.unary("Echo"), bare.unary("Script")
    many = round(RATE * seconds)
    e_back, e_rate, s_rate = "E echo, back to back", "E echo, 100/s", "S bare push, 100/s"

    def back(call: Any) -> Callable[[], Awaitable[Sequence[float]]]:
        return lambda: one_after_the_other(calls, call)

    def rate(call: Any) -> Callable[[], Awaitable[Sequence[float]]]:
        return lambda: at_a_rate(RATE, many, call)

    return [
        Case(e_back, e_back, back(echo), bare_pids),
        Case("echo with one script, back to back", e_back, back(script), bare_pids),
        Case("GetNextTask, back to back", e_back, back(pulls.call), pids),
        Case(e_rate, e_rate, rate(echo), bare_pids),
        Case("echo with one script, 100/s", e_rate, rate(script), bare_pids),
        Case("GetNextTask, 100/s", e_rate, rate(pulls.call), pids),
        Case(s_rate, s_rate, rate(bare.push), bare_pids),
        Case("submit -> offer on the desktop, 100/s", s_rate, rate(pushes.call), pids),
    ]


async def _idle(pids: dict[str, int], for_s: float = 2.0) -> dict[str, float]:
    """CPU share (%) of each process while nobody asks for anything."""
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    await asyncio.sleep(for_s)
    return {name: 100 * (cpu_s(pid) - before[name]) / for_s for name, pid in pids.items()}


def _report(
    cases: Sequence[Case], idle: dict[str, float], rounds: int, seconds: float, calls: int, start_s: float
) -> str:
    load = os.getloadavg()[0]
    resting = ", ".join(f"{name} {share:.1f} %" for name, share in idle.items())
    return "\n".join(
        [
            f"Python {platform.python_version()}, grpcio {grpc.__version__}, {os.cpu_count()} cores, load {load:.1f}",
            f"{rounds} rounds in turn of {calls} calls back to back and {seconds:g} s at {RATE:g}/s, {AGENTS} agents",
            "median of the rounds (lowest-highest); ratios within a round, to E, for pushes to S",
            "",
            table(cases),
            "",
            "CPU per call in µs (GetNextTask with its CompleteTask; a push with accept and complete on the stream)",
            cpu_table(cases),
            f"idle with {AGENTS} desktops connected: {resting}; start of the router until healthy: {start_s:.1f} s",
        ]
    )


def main() -> None:
    """Read the options and print the figures."""
    about = (__doc__ or "").splitlines()[0]
    options = argparse.ArgumentParser(prog="python -m loadtests.first_figures", description=about)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=4.0, help="length of a case at a rate")
    options.add_argument("--calls", type=int, default=400, help="calls of a case back to back")
    given = options.parse_args()

    async def bounded() -> str:
        async with asyncio.timeout(LIMIT_S):
            return await measure(given.rounds, given.seconds, given.calls)

    with contextlib.suppress(KeyboardInterrupt):
        sys.stdout.write(uvloop.run(bounded()) + "\n")


if __name__ == "__main__":
    main()
