"""The telephony side: reports, recalls of everybody at once, and a gate that opens on many idle agents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from clients import Supervisor
from loadtests.bench.cases.common import WORK, Plan, furnish, generators, names
from loadtests.bench.figures import Found, Row, Target, quantile
from loadtests.bench.stage import SITE, Generator, Router, Stage
from router.v1 import supervision_pb2

GROUP = "main"
_FED = 500
_RECALLED = 200
_WAITING = 500
_CALL_QUEUES = 4
_OVERDUE_S = 30.0
_WITHIN_S = 20.0
_REST_S = 60.0
# The law is the simplest one: what is measured is the way of a decision, not the decision. No heartbeat of the feed is
# sent, so that nothing else wakes the router.
_POLICY = """
law: static_reserve
static_reserve: 0
call_queues: [{queues}]
min_idle_s: 0
minimum_dwell_s: 0
notice_s: 5
prior_task_s: 600
interruptions_per_agent_hour: 3600
max_recalls_per_second: 100000
stale_after_s: 600
"""


async def telephony(stage: Stage, plan: Plan) -> Found:
    """Reports of one changed agent each on one stream, as fast as they are acknowledged."""
    router = await stage.router()
    submits, _ = await generators(stage)
    agents = names("agent", _FED)
    async with stage.supervisor(router) as boss:
        await furnish(boss, agents, group=GROUP)
    await submits.ask("feed", address=router.address, site=SITE, agents=agents)
    await submits.ask("reports", seconds=1.0)
    rates, spent = [], []
    for _ in range(plan.rounds):
        before = stage.parts(router)
        done = await submits.ask("reports", seconds=plan.seconds)
        rates.append(done["count"] / done["seconds"])
        spent.append(stage.parts(router).since(before, done["count"]))
    found = Found(rows=[Row("telephony reports on a stream", "reports/s", rates, Target(at_least=8_000))])
    found.cpu["telephony report"] = sorted(spent, key=lambda one: one["router"])[len(spent) // 2]
    return found


async def recall(stage: Stage, plan: Plan) -> Found:
    """Calls wait too long in the group's queues: the time from that report to each recall on 200 desktops."""
    floor = await Floor.open(stage, _RECALLED, holds=True)
    rounds: list[list[float]] = []
    for _ in range(plan.rounds + 1):
        await floor.submit(_RECALLED)
        await floor.see("accepted", _RECALLED)
        await floor.settled()
        at = await floor.calls_wait(_RECALLED // _CALL_QUEUES, _OVERDUE_S)
        seen = await floor.see("recalls", _RECALLED)
        rounds.append([recalled - at for recalled in seen["recalls"]])
        await floor.calls_wait(0, 0.0)
    return _shown(f"breach report → recall shown on {_RECALLED} desktops", rounds[1:], 100)


async def gate(stage: Stage, plan: Plan) -> Found:
    """A gate closed by hand opens on 500 idle agents, who read offers for two seconds: the time to each offer shown."""
    floor = await Floor.open(stage, _WAITING, reads_s=2.0)
    rounds: list[list[float]] = []
    async with stage.supervisor(floor.router) as boss:
        for _ in range(plan.rounds + 1):
            await boss.set_gate(GROUP, supervision_pb2.GATE_MODE_CLOSED, "benchmark")
            await floor.submit(_WAITING)
            await floor.settled()
            at = time.perf_counter()
            await boss.set_gate(GROUP, supervision_pb2.GATE_MODE_OPEN, "benchmark")
            seen = await floor.see("done", _WAITING)
            rounds.append([shown - at for _, shown in seen["offers"]])
    return _shown(f"gate opens on {_WAITING} idle agents → all offers shown", rounds[1:], 300)


def _shown(title: str, rounds: Sequence[Sequence[float]], p99_ms: float) -> Found:
    return Found(
        rows=[
            Row(f"{title}, p{100 * share:g}", "ms", [1000 * quantile(one, share) for one in rounds], target)
            for share, target in ((0.5, Target()), (0.99, Target(at_most=p99_ms)))
        ]
    )


class Floor:
    """A blending group whose agents all sit at their desktops, with a telephony feed."""

    def __init__(self, stage: Stage, router: Router, generators: tuple[Generator, Generator]) -> None:
        self.router = router
        self._stage = stage
        self._submits, self._desks = generators
        self._queues = names("calls", _CALL_QUEUES)

    @classmethod
    async def open(cls, stage: Stage, agents: int, **desks: Any) -> Floor:
        """Everybody is there, available and idle."""
        floor = cls(stage, await stage.router(), await generators(stage))
        ids = names("desk", agents)
        async with stage.supervisor(floor.router) as boss:
            await floor._set_policy(boss)
            await furnish(boss, ids, group=GROUP)
        address = floor.router.address
        await floor._desks.ask("sit_down", address=address, sites=[SITE], agents=ids, **desks)
        await floor._submits.ask(
            "feed", address=address, site=SITE, agents=ids, call_queues=floor._queues, group=GROUP
        )
        return floor

    async def _set_policy(self, boss: Supervisor) -> None:
        document = _POLICY.format(queues=", ".join(self._queues))
        policy = await boss.put_policy(GROUP, document)
        await boss.activate_policy(GROUP, policy.version)

    async def submit(self, count: int) -> None:
        """Work for so many agents."""
        await self._submits.ask(
            "batch", address=self.router.address, site=SITE, work_types=[WORK], count=count, size=100
        )

    async def see(self, what: str, count: int) -> dict[str, Any]:
        """What the desktops saw, when it was so much."""
        seen: dict[str, Any] = await self._desks.ask("collect", count=count, of=what, within_s=_WITHIN_S)
        number = seen[what] if isinstance(seen[what], int) else len(seen[what])
        if number != count:
            raise RuntimeError(f"{number} of {count} {what} within {_WITHIN_S:g} s; {seen['errors'][:1]}")
        return seen

    async def calls_wait(self, in_each: int, oldest_s: float) -> float:
        """Report that so many calls wait in each queue; when (s, perf_counter)."""
        told = await self._submits.ask(
            "queues", call_queues=self._queues, group=GROUP, waiting=in_each, oldest_s=oldest_s
        )
        return float(told["at"])

    async def settled(self) -> None:
        """Wait until the router has nothing more to do: its CPU time stands nearly still."""
        limit = time.monotonic() + _REST_S
        before = self.router.child.cpu_s()
        while time.monotonic() < limit:
            await asyncio.sleep(0.5)
            spent, before = self.router.child.cpu_s() - before, self.router.child.cpu_s()
            if spent < 0.1:
                return
        raise RuntimeError(f"the router was still busy after {_REST_S:g} s")
