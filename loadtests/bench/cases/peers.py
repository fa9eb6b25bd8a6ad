"""Submit → offer beside what job queues call submit → start, in turn on one store; their enqueue and drain rates."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from loadtests.bench.cases.capacity import SUSTAINED
from loadtests.bench.cases.common import Crew, Plan, Run, crew, lateness
from loadtests.bench.children import Child, ChildFailedError
from loadtests.bench.figures import Found, Row, Series, Target
from loadtests.bench.peers.known import PEERS, Peer, PeerMissingError
from loadtests.bench.stage import Generator, Stage
from loadtests.bench.valkey import Valkey

PLOT_PEERS = "peers"
_HOME = Path(__file__).resolve().parents[3] / ".bench-peers"
_RATES = (100.0, 500.0)
_ROUNDS = 2
_SECONDS = 3.0
_ENQUEUED = 2_000
_DRAIN_S = 20.0
_KEPT_S = 10.0
_POLL_S = 0.05
_DATABASE = 1
_PEER_S = 180.0
_MADE = ".made"
_WORDS = 300
"""Letters of an error that are told."""


async def peers(stage: Stage, plan: Plan) -> Found:
    """Each peer in turn with the router at the same rates; one that cannot be had is told and left out."""
    own = await crew(stage)
    await own.push(_RATES[-1], 1.0, on_streams=1)
    found = Found()
    for peer in PEERS:
        try:
            async with asyncio.timeout(_PEER_S):
                await _installed(peer, stage.folder)
                with ExitStack() as stack:
                    await _beside(own, Opened(peer, stage, await stage.store(), stack), plan, found)
        except TimeoutError:
            found.notes.append(f"{peer.name} was left out: it took longer than {_PEER_S:g} s")
        except (PeerMissingError, ChildFailedError, RuntimeError) as error:
            found.notes.append(f"{peer.name} was left out: {' '.join(str(error).split())[:_WORDS]}")
    return found


async def _installed(peer: Peer, folder: Path) -> None:
    """Install a peer, once. Raises PeerMissingError."""
    home = _HOME / peer.name
    if (home / _MADE).exists():
        return
    home.mkdir(parents=True, exist_ok=True)
    for command in peer.installation(home):
        with Child(f"{peer.name}-install", command, folder) as child:
            while child.process.poll() is None:  # noqa: ASYNC110 - another process has no event
                await asyncio.sleep(_POLL_S)
            if child.process.returncode:
                raise PeerMissingError(f"it cannot be installed: {child.log_tail()}")
    (home / _MADE).touch()


async def _beside(own: Crew, peer: Opened, plan: Plan, found: Found) -> None:
    """One peer's rows."""
    name, rounds = peer.peer.name, min(plan.rounds, _ROUNDS)
    enqueue_rate, drain_rate = await peer.enqueue_and_drain()
    pairs = {
        rate: [(await own.push(rate, _SECONDS, on_streams=1), await peer.push(rate)) for _ in range(rounds)]
        for rate in _RATES
    }
    for rate, runs in pairs.items():
        for share in (0.5, 0.99):
            found.rows.append(_row(name, rate, share, runs, peer.peer.python))
        found.notes += lateness(f"{name}, {rate:g}/s", [other for _, other in runs])
        found.notes += lateness(f"beside {name}, {rate:g}/s", [own for own, _ in runs])
    if not found.series:
        found.series.append(_line("this router", {rate: runs[0][0] for rate, runs in pairs.items()}))
    found.series.append(_line(name, {rate: runs[0][1] for rate, runs in pairs.items()}))
    found.rows.append(_drain_row(name, enqueue_rate, drain_rate, plan))


def _row(name: str, rate: float, share: float, runs: list[tuple[Run, Run]], judged: bool) -> Row:
    target = Target(ratio_at_most=1.0) if judged and share == 0.5 else Target()
    left = max(run.undone for _, run in runs)
    return Row(
        f"submit on a stream → offer, {rate:g}/s, p{100 * share:g}",
        "ms",
        [own.ms(share) for own, _ in runs],
        target,
        name,
        [other.ms(share) for _, other in runs],
        f"{name} had {left:.0%} of the tasks not begun after {_KEPT_S:g} s" if left else "",
        part="peers",
    )


def _drain_row(name: str, enqueue_rate: float, drain_rate: float, plan: Plan) -> Row:
    """The drain rate, and where the router's own sustained rate is known, that beside it."""
    note = f"{name} enqueues {enqueue_rate:,.0f}/s one after the other"
    rows = plan.found["sustainable"].rows if "sustainable" in plan.found else ()
    best = next((row.value for row in rows if row.title == SUSTAINED), None)
    if best is None:
        return Row(f"drain rate of {name}", "tasks/s", [drain_rate], note=note, part="peers")
    target = Target(ratio_at_least=1.0) if name == "bullmq" else Target()
    return Row(SUSTAINED, "tasks/s", [best], target, f"drain rate of {name}", [drain_rate], note, "peers")


def _line(name: str, runs: dict[float, Run]) -> Series:
    return Series(PLOT_PEERS, name, list(runs), [run.ms(0.5) for run in runs.values()])


@dataclass(slots=True)
class Opened:
    """A peer with its client and, once it has something to do, its worker."""

    peer: Peer
    stage: Stage
    store: Valkey
    stack: ExitStack
    driver: Generator | None = None
    submitted: int = 0

    @property
    def _home(self) -> Path:
        return _HOME / self.peer.name

    @property
    def _log(self) -> Path:
        return self.stage.folder / f"{self.peer.name}.started"

    def _child(self, name: str, command: list[str], talks: bool) -> Child:
        url = f"redis://127.0.0.1:{self.store.port}/{_DATABASE}"
        env = {
            "BENCH_REDIS": url, "BENCH_STARTED": str(self._log), "BENCH_MODULES": str(self._home), "RQ_REDIS_URL": url,
        }  # fmt: skip
        child = Child(f"{self.peer.name}-{name}", command, self.stage.folder, talks=talks, env=env)
        return self.stack.enter_context(child)

    async def enqueue_and_drain(self) -> tuple[float, float]:
        """Rates (1/s): submits one after the other without a worker, and then one worker's starts."""
        self.driver = Generator(self._child("driver", self.peer.driver_command(self._home), True))
        began = time.perf_counter()
        enqueued = await self.driver.ask("enqueue", count=_ENQUEUED)
        worker = self._child("worker", self.peer.worker_command(self._home), False)
        starts = await self._started(_ENQUEUED, _DRAIN_S, worker, began)
        if len(starts) < 2:
            raise ChildFailedError(f"its worker began nothing: {worker.log_tail()}")
        times = sorted(at for _, at in starts)
        # What it has not begun by now would be counted as late later on.
        if len(times) < _ENQUEUED:
            raise ChildFailedError(f"it began {len(times)} of {_ENQUEUED} tasks within {_DRAIN_S:g} s")
        return _ENQUEUED / enqueued["seconds"], (len(times) - 1) / (times[-1] - times[0])

    async def push(self, rate: float) -> Run:
        """Submit at a rate; the latency until each task begins."""
        assert self.driver is not None
        count, began = round(rate * _SECONDS), time.perf_counter()
        sent = await self.driver.ask("submit", rate=rate, count=count)
        starts = await self._started(count, _KEPT_S, self.driver.child, began)
        if not starts:
            raise ChildFailedError(f"nothing of {count} tasks began within {_KEPT_S:g} s")
        return Run([at - due for due, at in starts], {}, sent["late_s"], 1 - len(starts) / count)

    async def _started(
        self, count: int, within_s: float, child: Child, began: float
    ) -> list[tuple[float, float]]:
        """(due, begun) of the tasks due since ``began``, when all submitted have begun or the time is over."""
        self.submitted += count
        limit = time.monotonic() + within_s
        while self._noted().count("\n") < self.submitted and time.monotonic() < limit:
            child.check()
            await asyncio.sleep(_POLL_S)
        pairs = [(float(due), float(at)) for due, at in (line.split() for line in self._noted().splitlines())]
        return [(due, at) for due, at in pairs if due >= began]

    def _noted(self) -> str:
        return self._log.read_text() if self._log.exists() else ""
