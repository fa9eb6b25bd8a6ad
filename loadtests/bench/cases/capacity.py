"""How much one router process can do: sustained tasks, batches, and what a task waiting in the store costs."""

from __future__ import annotations

from loadtests.bench import saturation
from loadtests.bench.cases.common import Crew, Plan, Run, crew, furnish, generators, lateness
from loadtests.bench.figures import Found, Row, Series, Target
from loadtests.bench.saturation import Probe
from loadtests.bench.stage import SITE, Stage

_DESKTOPS = 200
_STREAMS = 4
_START_RATE = 200.0
_SHARES = (0.1, 0.25, 0.5, 0.7, 0.85, 1.0, 1.1)
_BATCH_TASKS = 40_000
PLOT_LOAD = "latency over load"
SUSTAINED = "full tasks sustained by one router process"


async def sustainable(stage: Stage, plan: Plan) -> Found:
    """The highest rate of full tasks over streams, the latency at half of it, and over load up to saturation."""
    own = await crew(stage, desktops=_DESKTOPS)
    runs: dict[float, Run] = {}

    async def probe(rate: float) -> Probe:
        run = await own.push(rate, plan.seconds, on_streams=_STREAMS, strict=False)
        runs[rate] = run
        return _probe(rate, run)

    await probe(_START_RATE / 2)
    probes = await saturation.find(probe, _START_RATE)
    best = saturation.highest(probes)
    found = Found()
    if not best:
        found.notes.append(f"no rate was sustained: {saturation.limit(probes)}")
        return found
    note = f"limit: {saturation.limit(probes)}; {_parts(best, runs[best])}"
    found.rows.append(Row(SUSTAINED, "tasks/s", [best], Target(at_least=2000), note=note))
    found.cpu[f"full task over streams at the sustained {best:,.0f}/s"] = runs[best].cpu
    await _half(own, plan, best, found)
    await _over_load(own, plan, best, found)
    return found


def _probe(rate: float, run: Run) -> Probe:
    return Probe(rate, run.ms(0.5) / 1000, run.ms(0.99) / 1000, run.undone, not run.late)


def _parts(rate: float, run: Run) -> str:
    """How much of a core each part used."""
    return ", ".join(f"{part} {rate * us / 1e4:.0f} %" for part, us in run.cpu.items()) + " of a core"


async def _half(own: Crew, plan: Plan, best: float, found: Found) -> None:
    runs = [await own.push(best / 2, plan.seconds, on_streams=_STREAMS) for _ in range(plan.rounds)]
    for share, target in ((0.5, Target()), (0.99, Target(at_most=10))):
        title = f"submit → offer at half of the sustained rate, p{100 * share:g}"
        found.rows.append(Row(title, "ms", [run.ms(share) for run in runs], target))
    found.notes += lateness(f"half of the sustained rate, {best / 2:,.0f}/s", runs)


async def _over_load(own: Crew, plan: Plan, best: float, found: Found) -> None:
    probes = []
    for share in _SHARES:
        run = await own.push(share * best, plan.seconds / 2, on_streams=_STREAMS, strict=False)
        probes.append(_probe(share * best, run))
    rates = [probe.rate for probe in probes]
    found.series.append(Series(PLOT_LOAD, "p50", rates, [1000 * probe.p50_s for probe in probes]))
    found.series.append(Series(PLOT_LOAD, "p99", rates, [1000 * probe.p99_s for probe in probes]))


async def batch(stage: Stage, plan: Plan) -> Found:
    """Batches of 500 submits with request ids, and the store's memory for each task that waits."""
    router, store = await stage.router(), await stage.store()
    submits, _ = await generators(stage)
    async with stage.supervisor(router) as boss:
        await furnish(boss, [], ["batch"])
    count = _BATCH_TASKS // (4 if plan.quick else 1)

    async def send(many: int) -> dict[str, float]:
        before, held = stage.parts(router), await store.memory_b()
        sent = await submits.ask(
            "batch", address=router.address, site=SITE, work_types=["batch"], count=many, limit_s=60
        )
        cpu = stage.parts(router).since(before, sent["count"])
        memory = (await store.memory_b() - held) / sent["count"]
        return {**cpu, "rate": sent["count"] / sent["seconds"], "memory": memory}

    await send(1000)
    rounds = [await send(count) for _ in range(plan.rounds)]
    found = Found()
    found.rows += [
        Row(
            "batch submit, 500 in a call", "tasks/s", [one["rate"] for one in rounds], Target(at_least=20_000)
        ),
        Row(
            "store memory of a queued task with 200 B payload",
            "B",
            [one["memory"] for one in rounds],
            Target(at_most=700),
            note=f"request id included; mean of {count:,}",
            part="size",
        ),
    ]
    found.cpu["submit in a batch, per task"] = {
        part: sorted(one[part] for one in rounds)[len(rounds) // 2] for part in ("router", "store", "client")
    }
    return found
