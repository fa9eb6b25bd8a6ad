"""Pulls beside an echo, pushes beside a bare push, and the CPU of a full task beside the same messages bare."""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.bench.cases.common import (
    Crew,
    Plan,
    Run,
    bare_crew,
    crew,
    furnish,
    generators,
    lateness,
    names,
)
from loadtests.bench.figures import Found, Row, Target, quantile
from loadtests.bench.stage import SITE, Bare, Router, Stage

_PULLERS = 64
_RATE = 100.0
_CPU_RATES = (100.0, 500.0, 1000.0)


async def pull(stage: Stage, plan: Plan) -> Found:
    """GetNextTask beside E, back to back and at 100/s."""
    router, bare = await stage.router(), await stage.bare()
    submits, _ = await generators(stage)
    agents, at_rate = names("puller", _PULLERS), round(_RATE * plan.seconds)
    async with stage.supervisor(router) as boss:
        await furnish(boss, agents, ["pull"])
    waiting = plan.calls // 4 + plan.rounds * (plan.calls + at_rate)
    await submits.ask("batch", address=router.address, site=SITE, work_types=["pull"], count=waiting)

    async def ask(server: Router | Bare, count: int, rate: float = 0.0) -> Run:
        before = stage.parts(server)
        method = "GetNextTask" if isinstance(server, Router) else "Echo"
        answer = await submits.ask(
            "calls", address=server.address, method=method, count=count, rate=rate, site=SITE, agents=agents
        )
        cpu = stage.parts(server).since(before, count)
        return Run(answer["latencies"], cpu, answer["late_s"], 0.0)

    for server in (bare, router):
        await ask(server, plan.calls // 4)  # the first calls of anything are slower
    rounds = [
        [await ask(server, *load) for load in ((plan.calls,), (at_rate, _RATE)) for server in (bare, router)]
        for _ in range(plan.rounds)
    ]
    found = Found()
    for i, words in ((0, "back to back"), (2, "100/s")):
        own, echo = [one[i + 1] for one in rounds], [one[i] for one in rounds]
        found.rows += _beside(f"`GetNextTask`, {words}", own, "E", echo, {0.5: 1.3, 0.99: 1.6})
        found.cpu[f"GetNextTask and CompleteTask, {words}"] = middle_cpu(own)
        found.cpu[f"E, {words}"] = middle_cpu(echo)
        found.notes += lateness(f"GetNextTask, {words}", own) + lateness(f"E, {words}", echo)
    return found


async def push(stage: Stage, plan: Plan) -> Found:
    """Submit → offer in single calls beside S, at 100/s and 500/s."""
    return await _pushes(stage, plan, 0, "submit → offer", "S")


async def stream(stage: Stage, plan: Plan) -> Found:
    """The same with the submits on a stream, beside S with its submits on a stream."""
    return await _pushes(stage, plan, 1, "submit on a stream → offer", "S on a stream")


async def _pushes(stage: Stage, plan: Plan, on_streams: int, title: str, reference: str) -> Found:
    own, bare = await crew(stage), await bare_crew(stage)
    found = Found()
    for rate in (100.0, 500.0):
        for one in (bare, own):
            await one.push(rate, 1.0, on_streams=on_streams)
        pairs = [
            (
                await bare.push(rate, plan.seconds, on_streams=on_streams),
                await own.push(rate, plan.seconds, on_streams=on_streams),
            )
            for _ in range(plan.rounds)
        ]
        theirs, ours = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        found.rows += _beside(f"{title}, {rate:g}/s", ours, reference, theirs, {0.5: 1.2}, p99_ms=5.0)
        if not on_streams:  # the case `cpu` has the others
            found.cpu[f"full task with a single submit, {rate:g}/s"] = middle_cpu(ours)
            found.cpu[f"{reference}, {rate:g}/s"] = middle_cpu(theirs)
        found.notes += lateness(f"{title}, {rate:g}/s", ours) + lateness(f"{reference}, {rate:g}/s", theirs)
    return found


async def cpu(stage: Stage, plan: Plan) -> Found:
    """Router CPU of a full task over streams, beside what S and two messages of B cost at the same rate."""
    own, bare = await crew(stage), await bare_crew(stage)
    found = Found()
    for rate in _CPU_RATES:
        await _full_task(own, bare, rate, 0.5)
        rounds = [await _full_task(own, bare, rate, plan.seconds) for _ in range(plan.rounds)]
        ours = [one[0].cpu["router"] for one in rounds]
        same = [one[1].cpu["router"] + 2 * one[2].cpu["router"] for one in rounds]
        found.rows.append(
            Row(
                f"router CPU of a full task over streams, {rate:g}/s",
                "µs",
                ours,
                Target(at_most=400, ratio_at_most=1.4) if rate > _CPU_RATES[0] else Target(),
                "S + 2 B",
                same,
                "submit, offer, accept and complete, each answered",
            )
        )
        for i, name in enumerate(("full task over streams", "S on a stream", "B")):
            runs = [one[i] for one in rounds]
            found.cpu[f"{name}, {rate:g}/s"] = middle_cpu(runs)
            found.notes += lateness(f"{name}, {rate:g}/s", runs)
    return found


async def _full_task(own: Crew, bare: Crew, rate: float, seconds: float) -> tuple[Run, Run, Run]:
    # Two messages of a task are echoes: an accept and a complete, each with its result.
    return (
        await own.push(rate, seconds, on_streams=1, strict=False),
        await bare.push(rate, seconds, on_streams=1),
        await bare.chat(2 * rate, seconds),
    )


def _beside(
    title: str,
    own: Sequence[Run],
    name: str,
    reference: Sequence[Run],
    times: dict[float, float],
    p99_ms: float | None = None,
) -> list[Row]:
    """Rows of p50 and p99 with the same of a reference; ``times`` are the ratios to reach, by quantile."""
    return [
        Row(
            f"{title}, p{100 * share:g}",
            "ms",
            [run.ms(share) for run in own],
            Target(ratio_at_most=times.get(share), at_most=p99_ms if share == 0.99 else None),
            name,
            [run.ms(share) for run in reference],
        )
        for share in (0.5, 0.99)
    ]


def middle_cpu(runs: Sequence[Run]) -> dict[str, float]:
    """CPU per call (µs) by part, median of the rounds."""
    return {part: quantile([run.cpu[part] for run in runs], 0.5) for part in runs[0].cpu}
