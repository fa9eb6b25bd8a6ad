"""Whether a claim costs the same on a full site, and the longest script there."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from clients import Supervisor
from loadtests.bench.cases.common import Plan, generators, in_parts, names
from loadtests.bench.figures import Found, Row, Series, Target
from loadtests.bench.stage import Generator, Router, Stage
from loadtests.bench.valkey import Valkey
from router.v1 import common_pb2, tasks_pb2, tasks_pb2_grpc

PLOT_CLAIM = "claim cost"
_SKILLS = 20
_SKILLS_OF_AN_AGENT = 3
_FILL_S = 240.0
_SLOW_US = 1000
_LONGEST_MS = 5.0
_PULLS = 500
_LARGE = (1_000_000, 500, 5_000)
_LARGE_QUICK = (50_000, 500, 500)
_SMALL = (1_000, 5, 50)
_PULLERS = 50


@dataclass(frozen=True, slots=True)
class Extent:
    """A site with so much in it: tasks that wait, queues that they wait in, agents."""

    site: str
    tasks: int
    queues: int
    agents: int

    def needs(self, queue: int) -> list[common_pb2.SkillRequirement]:
        """What the work of a queue needs: one of a few skills, so that each agent can take from many queues."""
        return [common_pb2.SkillRequirement(skill=f"s{queue % self.skills}", min_level=1 + queue % 3)]

    @property
    def skills(self) -> int:
        """Skills in use."""
        return min(_SKILLS, self.queues)

    def has(self, agent: int) -> list[common_pb2.AgentSkill]:
        """An agent's skills, at the highest level."""
        some = {(agent + k) % self.skills for k in range(_SKILLS_OF_AN_AGENT)}
        return [common_pb2.AgentSkill(skill=f"s{k}", level=5) for k in sorted(some)]


@dataclass(slots=True)
class Claims:
    """Measures claims on sites of one router."""

    stage: Stage
    router: Router
    store: Valkey
    submits: Generator

    async def fill(self, extent: Extent) -> int:
        """Make a site; how many tasks it got within the time."""
        async with self.stage.supervisor(self.router, extent.site) as boss:
            await _furnish(boss, extent)
        return await self.add(extent, extent.tasks)

    async def add(self, extent: Extent, tasks: int) -> int:
        """Submit to a site."""
        kinds = names("q", extent.queues)
        sent = await self.submits.ask(
            "batch", timeout_s=_FILL_S + 60, address=self.router.address, site=extent.site, work_types=kinds,
            count=tasks, limit_s=_FILL_S,
        )  # fmt: skip
        return int(sent["count"])

    async def pull(self, extent: Extent) -> float:
        """Store time (µs of scripts) of one pull with its completion."""
        before = await self.store.scripts()
        agents = names("a", min(extent.agents, _PULLERS))
        await self.submits.ask(
            "calls",
            address=self.router.address,
            method="GetNextTask",
            count=_PULLS,
            site=extent.site,
            agents=agents,
        )
        return 1e6 * ((await self.store.scripts()).spent_s - before.spent_s) / _PULLS


async def _furnish(boss: Supervisor, extent: Extent) -> None:
    kinds = [
        lambda i=i: boss.work_types.create(f"q{i}", tasks_pb2.WorkType(required_skills=extent.needs(i)))
        for i in range(extent.queues)
    ]
    agents = [
        lambda i=i: boss.create_agent(f"a{i}", common_pb2.Agent(skills=extent.has(i)))
        for i in range(extent.agents)
    ]
    await in_parts([*kinds, *agents])


async def claim(stage: Stage, plan: Plan) -> Found:
    """A claim on a full site beside one on a small site, in one store; and the longest script on the full one."""
    router, store = await stage.router(), await stage.store()
    submits, _ = await generators(stage)
    claims = Claims(stage, router, store, submits)
    tasks, queues, agents = _LARGE_QUICK if plan.quick else _LARGE
    large, small = Extent("large", 0, queues, agents), Extent("small", *_SMALL)
    found = Found()
    await claims.fill(small)
    await claims.fill(large)
    filled = await _grow(claims, large, tasks, found)
    await store.watch_slow(_SLOW_US)
    watched = (await store.scripts()).calls
    pairs = [await _pair(claims, small, large) for _ in range(plan.rounds)]
    words = f"{filled:,} tasks, {queues} queues, {agents:,} agents against 1,000 / 5 / 50"
    found.rows.append(
        Row(
            "store time of a claim and its completion on a full site",
            "µs",
            [pair[1] for pair in pairs],
            Target(ratio_at_most=1.3),
            "the same on a small site",
            [pair[0] for pair in pairs],
            words if filled == tasks else f"{words}; the time for filling was over",
        )
    )
    await _longest(claims, large, filled, watched, found)
    await _by_queues_and_agents(claims, plan, found)
    return found


async def _pair(claims: Claims, small: Extent, large: Extent) -> tuple[float, float]:
    await claims.add(small, _PULLS)  # the backlog stays as it was
    return await claims.pull(small), await claims.pull(large)


async def _grow(claims: Claims, large: Extent, tasks: int, found: Found) -> int:
    """Fill the site in steps of ten, a point of the plot at each."""
    points: list[tuple[float, float]] = []
    filled, step = 0, 1_000
    while filled < tasks:
        wanted = min(step, tasks) - filled
        added = await claims.add(large, wanted)
        filled += added
        points.append((filled, await claims.pull(large)))
        if added < wanted:
            break
        step *= 10
    found.series.append(_series(f"tasks, with {large.queues} queues, {large.agents:,} agents", points))
    return filled


def _series(name: str, points: Sequence[tuple[float, float]]) -> Series:
    return Series(PLOT_CLAIM, name, [x for x, _ in points], [y for _, y in points])


async def _longest(claims: Claims, large: Extent, filled: int, before: int, found: Found) -> None:
    """What the slow log holds after claims, submits, figures and lists of the full site."""
    async with claims.stage.supervisor(claims.router, large.site) as boss:
        await boss.figures()
        stub = tasks_pb2_grpc.TaskServiceStub(boss.connection.channel)
        request = tasks_pb2.ListTasksRequest(page_size=1000)
        await boss.connection.call(stub.ListTasks, request, repeatable=True)
    await claims.add(large, 5_000)
    slow, calls = await claims.store.slow_scripts(), (await claims.store.scripts()).calls - before
    ms, name = slow[0] if slow else (_SLOW_US / 1000, "none")
    over = sum(1 for took, _ in slow if took > _LONGEST_MS)
    note = (
        f"`{name}`, by the store's slow log, of {calls:,} scripts: claims, completions, batches of 500, figures, "
        f"a list of 1,000; {over} took longer than {_LONGEST_MS:g} ms; {filled:,} tasks"
    )
    target = Target(at_most=_LONGEST_MS)
    found.rows.append(Row("longest script on the full site", "ms", [ms], target, note=note, part="size"))


async def _by_queues_and_agents(claims: Claims, plan: Plan, found: Found) -> None:
    sizes = (5, 50) if plan.quick else (5, 50, 500)
    by_queues = [Extent(f"queues{n}", 5_000, n, 50) for n in sizes]
    by_agents = [Extent(f"agents{n}", 5_000, 50, n) for n in (50, 500, *(() if plan.quick else (5_000,)))]
    for words, extents, of in (
        ("queues, with 5,000 tasks, 50 agents", by_queues, "queues"),
        ("agents, with 5,000 tasks, 50 queues", by_agents, "agents"),
    ):
        points = []
        for extent in extents:
            await claims.fill(extent)
            points.append(
                (getattr(extent, of), statistics.median([await claims.pull(extent) for _ in range(3)]))
            )
        found.series.append(_series(words, points))
