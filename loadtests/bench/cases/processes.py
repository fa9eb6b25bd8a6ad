"""One router process against two, telemetry on against off, sessions in memory, a start, and a cluster."""

from __future__ import annotations

import time
from collections.abc import Sequence

from loadtests.bench.cases.common import WORK, Crew, Plan, Run, crew, furnish, generators, lateness, names
from loadtests.bench.cases.latency import middle_cpu
from loadtests.bench.children import Child
from loadtests.bench.figures import Found, Row, Target
from loadtests.bench.stage import SITE, Stage, healthy, serve_command, supervisor
from loadtests.bench.valkey import cluster, free_port

_RATE = 400.0
_CONNECTIONS = 16
_SESSIONS = 5_000
_SESSIONS_QUICK = 500
_STARTS = 3
_SITES = tuple(f"site{i}" for i in range(6))
_SITE_DESKTOPS = 16
_FIRST_S = 20.0


async def workers(stage: Stage, plan: Plan) -> Found:
    """Router CPU per task with two worker processes beside one."""
    one = await crew(stage, connections=_CONNECTIONS)
    url = (await stage.another_store()).url
    two = await crew(stage, "--workers", "2", connections=_CONNECTIONS, url=url)
    return await _pairs("2 workers", "1 worker", two, one, plan, Target(ratio_at_most=1.1))


async def telemetry(stage: Stage, plan: Plan) -> Found:
    """Router CPU per task with telemetry beside without."""
    off = await crew(stage)
    url = (await stage.another_store()).url
    on = await crew(stage, "--metrics-port", str(free_port()), url=url)
    return await _pairs("metrics on", "metrics off", on, off, plan, Target(ratio_at_most=1.1))


async def _pairs(title: str, reference: str, own: Crew, other: Crew, plan: Plan, target: Target) -> Found:
    """Two routers in turn at one rate."""
    for one in (other, own):
        await one.push(_RATE, 1.0, on_streams=1)
    rounds = [
        (
            await other.push(_RATE, plan.seconds, on_streams=1),
            await own.push(_RATE, plan.seconds, on_streams=1),
        )
        for _ in range(plan.rounds)
    ]
    theirs, ours = [one[0] for one in rounds], [one[1] for one in rounds]
    found = Found(rows=[_cpu_row(title, reference, ours, theirs, target)])
    found.notes += lateness(title, ours) + lateness(reference, theirs)
    found.cpu[f"full task, {title}"] = middle_cpu(ours)
    found.cpu[f"full task, {reference}"] = middle_cpu(theirs)
    return found


def _cpu_row(title: str, reference: str, own: Sequence[Run], other: Sequence[Run], target: Target) -> Row:
    return Row(
        f"router CPU of a full task at {_RATE:g}/s, {title}",
        "µs",
        [run.cpu["router"] for run in own],
        target,
        reference,
        [run.cpu["router"] for run in other],
    )


async def sessions(stage: Stage, plan: Plan) -> Found:
    """Router memory for each connected agent, every desktop on a connection of its own."""
    count = _SESSIONS_QUICK if plan.quick else _SESSIONS
    router = await stage.router()
    _, desks = await generators(stage)
    agents = names("desk", count)
    async with stage.supervisor(router) as boss:
        await furnish(boss, agents)
    # The first ones bring what is needed once.
    await desks.ask("sit_down", address=router.address, sites=[SITE], agents=agents[:100], connections=100)
    before = router.child.memory_b()
    await desks.ask(
        "sit_down", address=router.address, sites=[SITE], agents=agents[100:], connections=count - 100
    )
    each = (router.child.memory_b() - before) / 1000 / (count - 100)
    note = f"{count:,} sessions at once, each on a connection of its own"
    return Found(
        rows=[
            Row(
                "router memory of a connected agent", "kB", [each], Target(at_most=50), note=note, part="size"
            )
        ]
    )


async def start(stage: Stage, plan: Plan) -> Found:
    """From the start of the program, with its own store and nothing in it, until the first offer is shown."""
    await generators(stage)
    times = [await _first_offer(stage, i) for i in range(_STARTS)]
    title = "start of the router with its own store until the first offer"
    return Found(rows=[Row(title, "s", times, Target(at_most=2), part="size")])


async def _first_offer(stage: Stage, number: int) -> float:
    submits, desks = await generators(stage)
    address, name = f"127.0.0.1:{free_port()}", f"fresh{number}"
    began = time.perf_counter()
    with Child(name, serve_command(stage.folder / f"{name}-data", address, ""), stage.folder) as child:
        await healthy(address, child)
        async with supervisor(address, SITE) as boss:
            await furnish(boss, ["desk0"])
        await desks.ask("sit_down", address=address, sites=[SITE], agents=["desk0"])
        await submits.ask("submit", address=address, rate=100, count=1, sites=[SITE], work_type=WORK)
        seen = await desks.ask("collect", count=1, within_s=_FIRST_S)
        await desks.ask("stand_up")
    return float(seen["offers"][0][1]) - began


async def spread(stage: Stage, plan: Plan) -> Found:
    """Six sites over three primaries: full tasks on each, no cross-slot error, and the CPU beside one store."""
    single = await crew(stage, sites=_SITES, desktops=_SITE_DESKTOPS)
    servers = await stage.stack.enter_async_context(cluster(stage.folder))
    stage.stores += servers
    url = f"cluster://127.0.0.1:{servers[0].port}"
    over = await crew(stage, sites=_SITES, desktops=_SITE_DESKTOPS, url=url)
    found = await _pairs(
        f"{len(_SITES)} sites over three primaries", "one store", over, single, plan, Target()
    )
    errors = [await server.errors() for server in servers]
    crossed = sum(count for one in errors for kind, count in one.items() if kind.startswith("CROSSSLOT"))
    keys = [await server.client.dbsize() for server in servers]
    if not all(keys):
        raise RuntimeError(f"the sites did not spread: keys by primary {keys}")
    note = f"keys by primary: {', '.join(map(str, keys))}"
    found.rows.append(
        Row("cross-slot errors of the same", "", [float(crossed)], Target(at_most=0), note=note)
    )
    return found
