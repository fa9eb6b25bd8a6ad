"""The clients, their examples and the command line against the router itself, on the store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing

import pytest

from clients import (
    AgentSession,
    Backoff,
    Connection,
    NoTask,
    PullingAgent,
    Submission,
    Submitter,
    Supervisor,
    TelephonyReporter,
)
from clients.agent import Connected, Event, Offered, Recalled, Rescinded, Revoked
from clients.errors import ConflictError, InvalidArgumentError, NotFoundError, SupersededError
from clients.values import duration
from router.app import App, build
from router.config import Settings
from router.domain.ports import Store
from router.v1 import common_pb2, supervision_pb2, tasks_pb2, telephony_pb2
from tests.clients.cli import python, workrouter
from tests.support.stores import opened
from tests.support.wait import wait_until

pytestmark = pytest.mark.e2e

AVAILABLE, ON_CALL = common_pb2.AGENT_STATE_AVAILABLE, common_pb2.AGENT_STATE_ON_CALL


class World:
    """A router that can be restarted, and everybody who calls it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connections = AsyncExitStack()
        self._running = AsyncExitStack()
        self.address = "127.0.0.1:0"

    async def start(self) -> None:
        settings = Settings(listen=self.address, redis_url="memory://", heartbeat_s=1.0, drain_s=0.2)
        app: App = await self._running.enter_async_context(build(settings, self._store))
        self.address = f"127.0.0.1:{app.port}"

    async def stop(self) -> None:
        await self._running.aclose()

    async def close(self) -> None:
        await self._connections.aclose()
        await self.stop()

    async def caller(self, role: str, id: str) -> Connection:
        connection = Connection(
            self.address,
            token=f"dev:default:{role}:{id}",
            backoff=Backoff(first_s=0.02, most_s=0.2),
            options=[("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)],
        )
        return await self._connections.enter_async_context(connection)

    async def furnish(self, *agents: str, group: str = "") -> None:
        """A work type `claims` that needs some german, and agents who know it."""
        supervisor = await self.supervisor()
        skills = [common_pb2.SkillRequirement(skill="german", min_level=2)]
        await supervisor.work_types.apply("claims", tasks_pb2.WorkType(required_skills=skills))
        for agent in agents:
            known = [common_pb2.AgentSkill(skill="german", level=3)]
            await supervisor.apply_agent(agent, common_pb2.Agent(skills=known, blending_group=group))

    async def submitter(self) -> Submitter:
        return Submitter(await self.caller("submitter", "erp"))

    async def supervisor(self) -> Supervisor:
        return Supervisor(await self.caller("supervisor", "sam"))

    async def session(self, agent: str) -> tuple[AgentSession, list[Event]]:
        """An open session of an agent, and the list into which its events go."""
        session = AgentSession(await self.caller("agent", agent))
        await self._connections.enter_async_context(session)
        events: list[Event] = []
        note = events.append

        async def collect() -> None:
            async for event in session:
                note(event)

        task = asyncio.create_task(collect())
        self._connections.callback(task.cancel)
        return session, events


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with opened(None) as store:
        made = World(store)
        await made.start()
        yield made
        await made.close()


def last(events: list[Event], kind: type[Event]) -> Callable[[], bool]:
    return lambda: bool(events) and isinstance(events[-1], kind)


def claim(**fields: object) -> common_pb2.Task:
    return common_pb2.Task(**{"work_type": "claims", **fields})  # type: ignore[arg-type]


async def test_a_task_from_submit_to_done(world: World) -> None:
    await world.furnish("alice")
    session, events = await world.session("alice")
    submitter = await world.submitter()
    task = await submitter.submit(claim(payload=b"claim 4711"))
    waiting = asyncio.create_task(submitter.wait_until_done(task.name, timeout_s=10))
    await wait_until(last(events, Offered), "the offer")
    offer = session.holdings.offers[task.name]
    assert offer.task.payload == b"claim 4711"
    lease = await session.accept(offer)
    saved = await session.checkpoint(lease, b"half")
    assert saved.checkpoint.data == b"half"
    assert session.holdings.leases[task.name].task.payload == b"claim 4711"
    await session.complete(lease, b"fine", "approved")
    done = await waiting
    assert (done.state, done.result, done.outcome) == (common_pb2.TASK_STATE_COMPLETED, b"fine", "approved")


async def test_many_over_both_ways_and_a_repeat(world: World) -> None:
    await world.furnish()
    submitter = await world.submitter()
    items = [Submission(claim(reference=f"r{n}")) for n in range(120)]
    first = [a async for a in submitter.submit_many(items[:60], batch_size=25)]
    second = [a async for a in submitter.submit_stream(items[60:], window=16)]
    again = [a async for a in submitter.submit_stream(items)]
    assert not [a.error for a in first + second + again if a.error]
    assert {a.name for a in again} == {a.name for a in first + second}
    assert all(a.existing for a in again)
    assert len([t async for t in submitter.list_tasks("state = QUEUED", page_size=50)]) == 120


async def test_faults_name_the_field(world: World) -> None:
    submitter = await world.submitter()
    with pytest.raises(NotFoundError):
        await submitter.get("nope")
    with pytest.raises(InvalidArgumentError) as caught:
        await submitter.submit(claim(priority=1000))
    assert caught.value.violations[0].field == "task.priority"


async def test_one_task_two_agents(world: World) -> None:
    await world.furnish("alice", "bob")
    task = await (await world.submitter()).submit(claim())
    agents = [PullingAgent(await world.caller("agent", name)) for name in ("alice", "bob")]
    for name in ("alice", "bob"):
        await world.session(name)
    supervisor = await world.supervisor()
    # The sessions may have been offered it already: then nobody can pull it, which is as good a race.
    answers = await asyncio.gather(*(agent.get_next() for agent in agents))
    pulled = [answer for answer in answers if not isinstance(answer, NoTask)]
    assert len(pulled) <= 1
    found = await supervisor.explain_task(task.name)
    assert found.explanation.verdict == supervision_pb2.VERDICT_ASSIGNED


async def test_the_loser_learns_who_has_it(world: World) -> None:
    await world.furnish("alice", "bob")
    session, events = await world.session("alice")
    task = await (await world.submitter()).submit(claim())
    await wait_until(last(events, Offered), "the offer")
    lease = await session.accept(session.holdings.offers[task.name])
    await world.session("bob")
    await (await world.supervisor()).reassign(task.name, "bob", force=True, reason="urgent")
    await wait_until(lambda: any(isinstance(e, Revoked) for e in events), "alice is told")
    with pytest.raises(SupersededError, match="is not the live one"):
        await session.complete(lease)
    assert task.name not in session.holdings.leases


async def test_sessions_and_leases_outlive_the_router(world: World) -> None:
    await world.furnish("alice")
    session, events = await world.session("alice")
    task = await (await world.submitter()).submit(claim())
    await wait_until(last(events, Offered), "the offer")
    lease = await session.accept(session.holdings.offers[task.name])
    await world.stop()
    saving = asyncio.create_task(session.checkpoint(lease, b"typed while it was down", timeout_s=15))
    await wait_until(lambda: not session.connected, "the end is noticed")
    await world.start()
    assert (await saving).checkpoint.data == b"typed while it was down"
    assert (await session.complete(lease)).state == common_pb2.TASK_STATE_COMPLETED
    assert [type(e) for e in events].count(Offered) == 1
    assert [type(e) for e in events].count(Connected) == 2


async def test_a_second_desktop_takes_over(world: World) -> None:
    await world.furnish("alice")
    first, _ = await world.session("alice")
    await world.session("alice")
    with pytest.raises(ConflictError) as caught:
        await asyncio.wait_for(first.wait_closed(), 5)
    assert caught.value.reason == "SESSION_REPLACED"


async def blended(world: World, *agents: str) -> TelephonyReporter:
    """A blending group `main` whose gate is held open, and its feed."""
    supervisor = await world.supervisor()
    document = "min_idle_s: 0\nnotice_s: 5\nminimum_dwell_s: 0\nupdate_interval_s: 0.5\n"
    stored = await supervisor.put_policy("main", document)
    await supervisor.activate_policy("main", stored.version)
    await world.furnish(*agents, group="main")
    reporter = TelephonyReporter(await world.caller("acd", "pbx1"), "pbx1", heartbeat_s=0.5)
    for agent in agents:
        reporter.agent(agent, AVAILABLE)
    reporter.call_queue(telephony_pb2.CallQueueReport(call_queue="calls", blending_group="main"))
    await world._connections.enter_async_context(reporter)
    await supervisor.set_gate("main", supervision_pb2.GATE_MODE_OPEN, "test")
    return reporter


async def test_a_call_that_comes_first_takes_the_offer_back(world: World) -> None:
    reporter = await blended(world, "alice")
    _, events = await world.session("alice")
    await (await world.submitter()).submit(claim())
    await wait_until(last(events, Offered), "the offer", 10)
    reporter.agent("alice", ON_CALL)
    await wait_until(lambda: any(isinstance(e, Rescinded) for e in events), "it is withdrawn")


async def test_a_waiting_call_recalls_and_the_checkpoint_stays(world: World) -> None:
    reporter = await blended(world, "alice")
    session, events = await world.session("alice")
    task = await (await world.submitter()).submit(claim())
    await wait_until(last(events, Offered), "the offer", 10)
    await session.accept(session.holdings.offers[task.name])
    waiting = telephony_pb2.CallQueueReport(
        call_queue="calls",
        blending_group="main",
        calls_waiting=2,
        oldest_wait=duration(18),
        waiting_ages=[duration(18), duration(17)],
    )
    reporter.call_queue(waiting)
    await reporter.flush(5)
    supervisor = await world.supervisor()
    await supervisor.recall("main", agents=["alice"], reason="calls wait")
    await wait_until(lambda: any(isinstance(e, Recalled) for e in events), "the recall")
    recall = next(e.recall for e in events if isinstance(e, Recalled))
    assert 0 < session.remaining_s(recall.notice_deadline) <= 10
    await session.release(recall, b"so far")
    after = await (await world.submitter()).get(task.name)
    assert after.checkpoint.data == b"so far"


async def test_a_newer_feed_of_the_same_source_takes_over(world: World) -> None:
    first = await blended(world, "alice")
    second = TelephonyReporter(await world.caller("acd", "pbx1"), "pbx1")
    async with second:
        second.agent("alice", AVAILABLE)
        await second.flush(5)
        with pytest.raises(ConflictError) as caught:
            await asyncio.wait_for(first.wait_closed(), 5)
        assert caught.value.reason == "FEED_REPLACED"


async def test_a_supervisor_sees_and_steers(world: World) -> None:
    await world.furnish("alice")
    supervisor = await world.supervisor()
    task = await (await world.submitter()).submit(claim(priority=10))
    assert (await supervisor.reprioritize(task.name, 90, reason="angry customer")).priority == 90
    await supervisor.pause("claims", "training")
    assert (await supervisor.explain_task(task.name)).explanation.verdict == supervision_pb2.VERDICT_PAUSED
    await supervisor.resume("claims")
    explained = await supervisor.explain_task(task.name)
    assert explained.explanation.verdict == supervision_pb2.VERDICT_NOT_CONNECTED
    async with aclosing(supervisor.watch_figures(interval_s=0.2)) as figures:
        async for now in figures:
            assert now.counters.submitted == 1
            break
    assert [agent.name async for agent in supervisor.agents()] == ["sites/default/agents/alice"]
    assert [queue.tasks async for queue in supervisor.queues()] == [1]


async def test_the_examples_run_and_end(world: World) -> None:
    at = ("--address", world.address)
    supervised = await python("clients.examples.supervise", *at, "--looks", "1")
    submitting = asyncio.create_task(
        python("clients.examples.submit", *at, "--tasks", "2", "--wait", "20", timeout_s=40)
    )
    worked = await python("clients.examples.desktop", *at, "--tasks", "2", "--step", "0.05", timeout_s=40)
    submitted = await submitting
    called = await python("clients.examples.acd", *at, "--seconds", "0.4")
    for ran in (supervised, submitted, worked, called):
        assert ran.code == 0, ran
    assert submitted.out.count("ended TASK_STATE_COMPLETED: approved") == 2
    assert worked.out.count("completed ") == 2
    assert "acknowledged" in called.out


async def test_a_newcomer_by_hand(world: World) -> None:
    async def ok(*arguments: str, text: str = "") -> str:
        ran = await workrouter(*arguments, text=text, address=world.address, timeout_s=40)
        assert ran.code == 0, ran
        return ran.out

    await ok("work-types", "apply", "claims", "--skill", "german:2")
    await ok("agents", "apply", "alice", "--skill", "german:4")
    assert await ok("submit", "--work-type", "claims", "--payload", "claim 4711", "--id", "c1") == "c1\n"
    assert "no desktop session" in await ok("explain", "task", "c1")
    desk = await ok("desktop", "alice", text="accept\nsave half done\ncomplete approved\nwait idle\n")
    assert "completed: c1" in desk
    history = await ok("tasks", "history", "c1")
    steps = ["submit", "offer", "accept", "checkpoint", "complete"]
    assert [step for line in history.splitlines() for step in steps if f" {step} " in line] == steps
    assert "SERVING" in await ok("status")
