"""What the cases share: their extent, a furnished site, and tasks pushed at a rate to desktops that do them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from clients import Supervisor
from loadtests.bench.figures import Found, quantile
from loadtests.bench.pacing import LATE_S
from loadtests.bench.stage import SITE, Bare, Generator, Router, Stage
from router.v1 import common_pb2, tasks_pb2

DESKTOPS = 64
WORK = "push"
_AT_ONCE = 50
_DONE_S = 20.0
_DRAIN_S = 30.0
_SOON_S = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured; ``found`` are the cases of this run that came before."""

    rounds: int = 3
    seconds: float = 4.0
    """Length of a load at a rate."""
    calls: int = 1000
    """Calls of a load back to back."""
    quick: bool = False
    found: Mapping[str, Found] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """A question, and the function that answers it within a time (s)."""

    name: str
    run: Callable[[Stage, Plan], Awaitable[Found]]
    limit_s: float
    quick: bool = False
    """Part of `--quick`."""


def names(prefix: str, count: int) -> list[str]:
    """Ids of agents."""
    return [f"{prefix}{i}" for i in range(count)]


async def furnish(
    boss: Supervisor, agents: Sequence[str], skills: Sequence[str] = (WORK,), group: str = ""
) -> None:
    """Work types that need one skill each, and agents that have all of them."""
    for skill in skills:
        needs = [common_pb2.SkillRequirement(skill=skill, min_level=2)]
        await boss.work_types.apply(skill, tasks_pb2.WorkType(required_skills=needs))
    profile = common_pb2.Agent(
        skills=[common_pb2.AgentSkill(skill=skill, level=3) for skill in skills], blending_group=group
    )
    await in_parts([lambda agent=agent: boss.create_agent(agent, profile) for agent in agents])  # type: ignore[misc]


async def in_parts(calls: Sequence[Callable[[], Awaitable[object]]]) -> None:
    """Make calls, some at once."""
    for first in range(0, len(calls), _AT_ONCE):
        await asyncio.gather(*(call() for call in calls[first : first + _AT_ONCE]))


@dataclass(frozen=True, slots=True)
class Run:
    """A load at a rate: latencies submit → seen (s), CPU per task (µs) by part, lateness (s), share not done."""

    latencies: list[float]
    cpu: dict[str, float]
    late_s: float
    undone: float

    def ms(self, share: float) -> float:
        """A quantile of the latency in ms."""
        return 1000 * quantile(self.latencies, share)

    @property
    def late(self) -> bool:
        """Whether the load was not what it was said to be."""
        return self.late_s > LATE_S


def lateness(load: str, runs: Sequence[Run]) -> list[str]:
    """What must be said about a load whose generator did not keep its schedule."""
    late = [run.late_s for run in runs if run.late]
    if not late:
        return []
    rounds = f"{len(late)} of {len(runs)} rounds"
    return [f"{load}: generator behind its schedule in {rounds}, slowest hundredth {1000 * max(late):.0f} ms"]


@dataclass(slots=True)
class Crew:
    """A server, who submits to it, and who does the work."""

    stage: Stage
    server: Router | Bare
    submits: Generator
    desks: Generator
    sites: Sequence[str] = (SITE,)

    @property
    def bare(self) -> bool:
        """Whether the server is the reference."""
        return isinstance(self.server, Bare)

    async def push(self, rate: float, seconds: float, *, on_streams: int = 0, strict: bool = True) -> Run:
        """Submit at a rate and let the desktops do it.

        ``strict``: an error, or a task that is not done soon, fails the case. CPU counts until the last task is done.
        """
        count = max(1, round(rate * seconds))
        before = self.stage.parts(self.server)
        sent = await self.submits.ask(
            "submit", address=self.server.address, rate=rate, count=count, sites=list(self.sites),
            work_type=WORK, on_streams=on_streams, bare=self.bare,
        )  # fmt: skip
        seen = await self.desks.ask("collect", count=count, within_s=_DONE_S if strict else _SOON_S)
        left = count - seen["done"]
        if strict and (left or seen["errors"]):
            raise RuntimeError(f"{left} of {count} tasks were not done; {seen['errors'][:1]}")
        late = await self.desks.ask("collect", count=left, within_s=_DRAIN_S)
        cpu = self.stage.parts(self.server).since(before, seen["done"] + late["done"])
        latencies = [at - due for due, at in seen["offers"] + late["offers"] if due]
        return Run(latencies, cpu, sent["late_s"], left / count)

    async def chat(self, rate: float, seconds: float) -> Run:
        """Echo messages on streams at a rate: only at the bare server."""
        count = max(1, round(rate * seconds))
        before = self.stage.parts(self.server)
        answer = await self.submits.ask(
            "chat", address=self.server.address, rate=rate, count=count, streams=DESKTOPS
        )
        cpu = self.stage.parts(self.server).since(before, count)
        return Run(answer["latencies"], cpu, answer["late_s"], 0.0)


async def crew(
    stage: Stage, *options: str, desktops: int = DESKTOPS, sites: Sequence[str] = (SITE,), url: str = "",
    connections: int = 1, server: Router | None = None,
) -> Crew:  # fmt: skip
    """A router with desktops that are ready for work."""
    router = server or await stage.router(*options, url=url)
    agents = names("desk", desktops)
    for site in sites:
        async with stage.supervisor(router, site) as boss:
            await furnish(boss, agents)
    submits, desks = await generators(stage)
    await desks.ask(
        "sit_down", address=router.address, sites=list(sites), agents=agents, connections=connections
    )
    return Crew(stage, router, submits, desks, sites)


async def bare_crew(stage: Stage, desktops: int = DESKTOPS) -> Crew:
    """The bare server with as many listeners."""
    bare = await stage.bare()
    submits, desks = await generators(stage)
    await desks.ask("listen", address=bare.address, count=desktops)
    return Crew(stage, bare, submits, desks)


async def generators(stage: Stage) -> tuple[Generator, Generator]:
    """One process that submits and one with the desktops, the same for all servers of a stage."""
    while len(stage.generators) < 2:
        await stage.generator(("submits", "desktops")[len(stage.generators)])
    return stage.generators[0], stage.generators[1]
