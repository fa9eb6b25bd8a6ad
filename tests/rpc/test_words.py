"""The words that clients are told: reasons and counters are those that the stores really write."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from google.protobuf import duration_pb2, timestamp_pb2

from router.policies.blending import RecallReason
from router.rpc.convert import supervision as convert
from router.rpc.convert.reasons import REASONS, told
from router.state.records import TOTALS
from router.v1 import agents_pb2, common_pb2, supervision_pb2, tasks_pb2
from tests.rpc.test_agents import Q, opened, until

ROOT = Path(__file__).resolve().parents[2]
LUA = {path.stem: path.read_text() for path in (ROOT / "router/state/redis/lua").glob("*.lua")}
# Reasons in histories that no desktop is told of: nobody holds the task.
_UNTOLD = {"SCHEDULED", "RELAXED", "RESUME_OVER"}


def words_in_comment(message: str, field: str) -> set[str]:
    """The words that the proto's comment on a field lists."""
    text = (ROOT / "protos/router/v1/agents.proto").read_text()
    body = text[text.index(f"message {message} {{") :]
    comment = body[: body.index(f" {field} = ")].rpartition("// Why: ")[2]
    return set(re.findall(r"`([A-Z_]+)`", comment))


# -- reasons -----------------------------------------------------------------------------------------------
def test_every_word_that_a_store_or_policy_gives_has_its_own_for_desktops() -> None:
    lua = "\n".join(LUA[name] for name in ("advance", "cancel", "update", "report", "command_result"))
    in_lua = set(re.findall(r"'([A-Z]+_[A-Z_]+|CANCELED|EXPIRED|SCHEDULED|RELAXED)'", lua))
    reasons = in_lua & (set(REASONS) | _UNTOLD)
    others = in_lua - reasons
    # What remains are refusals and outcomes, not reasons.
    assert others <= {
        "NOT_FOUND", "WRONG_STATE", "ETAG_MISMATCH", "NEEDS_SNAPSHOT", "DEAD_LETTER", "ON_CALL", "AFTER_CALL",
        "RESUME_OVER", "NOT_HOLDER",
    }, others  # fmt: skip
    memory = "\n".join(p.read_text() for p in (ROOT / "router/state/memory").glob("*.py"))
    for word in set(REASONS) - {reason.value for reason in RecallReason} - {"SUPERVISOR", "DRAINING"}:
        assert f'"{word}' in memory, word
        assert f"'{word}" in lua, word
    assert {reason.value for reason in RecallReason} <= set(REASONS)


def test_the_words_are_those_that_the_proto_lists() -> None:
    offers = words_in_comment("OfferRescinded", "reason")
    leases = words_in_comment("TaskRevoked", "reason")
    assert offers | leases == {told.word for told in REASONS.values()}


def test_what_a_supervisor_wrote_is_told_as_it_is() -> None:
    assert told("please come to the meeting") == ("RECALLED", "please come to the meeting")
    assert told("RESERVE_FAILED: agent is in a call").word == "RESERVE_FAILED"
    assert all(told.sentence.endswith(".") for told in REASONS.values())


async def test_a_desktop_is_told_why_in_a_word_and_a_sentence(world) -> None:
    await world.furnish()
    stream, _ = await opened(world)
    task = await world.submit()
    await until(stream, "offer_made")
    await world.tasks("CancelTask", tasks_pb2.CancelTaskRequest(name=task.name, reason="paid already"))
    gone = await until(stream, "offer_rescinded")
    assert (gone.task, gone.reason, gone.detail) == (task.name, "CANCELED", REASONS["CANCELED"].sentence)

    task = await world.submit()
    offer = (await until(stream, "offer_made")).offer
    await stream.write(Q(correlation_id="1", accept=Q.Accept(task=task.name, fence=offer.fence)))
    await until(stream, "result")
    name = "sites/default/agents/alice"
    await world.boss("DrainAgent", supervision_pb2.DrainAgentRequest(name=name, recall=True))
    assert (await until(stream, "recall_requested")).recall.reason == REASONS["DRAINING"].sentence
    stream.cancel()


async def test_a_snapshot_and_a_heartbeat_tell_why_a_task_is_recalled(world) -> None:
    await world.furnish()
    task = await world.submit()
    await world.agents("GetNextTask", agents_pb2.GetNextTaskRequest())
    drain = supervision_pb2.DrainAgentRequest(
        name="sites/default/agents/alice", recall=True, reason="fire drill"
    )
    await world.boss("DrainAgent", drain)
    beat = await world.agents("Heartbeat", agents_pb2.HeartbeatRequest())
    assert [(r.task, r.reason) for r in beat.recalls] == [(task.name, "fire drill")]
    stream, snapshot = await opened(world)
    assert [(r.task, r.reason) for r in snapshot.recalls] == [(task.name, "fire drill")]
    assert snapshot.agent.drain_reason == "fire drill (supervisor:bob)"
    stream.cancel()


# -- counters ----------------------------------------------------------------------------------------------
def test_each_counter_is_a_total_of_both_stores() -> None:
    wanted = {total for totals in convert.COUNTERS.values() for total in totals}
    assert wanted <= set(TOTALS.values()) | {"dead"}
    for step, total in TOTALS.items():
        assert total not in wanted or f"'{step}'" in "".join(LUA.values()), step
    fields = [field.name for field in supervision_pb2.Counters.DESCRIPTOR.fields]
    assert fields == list(convert.COUNTERS)


async def counted(world) -> dict[str, int]:
    figures = await world.boss("GetFigures", supervision_pb2.GetFiguresRequest())
    return {field.name: value for field, value in figures.counters.ListFields()}


@pytest.fixture
async def quick(world):
    """A work type whose offers and leases end soon, and an agent who may hold several."""
    short = duration_pb2.Duration(nanos=500_000_000)
    for name, attempts in (("claims", 5), ("once", 1)):
        work_type = tasks_pb2.WorkType(offer_timeout=short, lease_duration=duration_pb2.Duration(seconds=1))
        work_type.max_attempts = attempts
        work_type.decline_exclusion.CopyFrom(duration_pb2.Duration())
        request = tasks_pb2.CreateWorkTypeRequest(work_type_id=name, work_type=work_type)
        await world.tasks("CreateWorkType", request)
    agent = agents_pb2.CreateAgentRequest(agent_id="alice", agent=common_pb2.Agent(capacity=9))
    await world.agents("CreateAgent", agent, role="supervisor", id="bob")
    return world


async def test_the_counters_count_what_happens(quick) -> None:
    """One real run through everything that is counted, each field told by its own difference."""
    world, seen = quick, {}

    async def grown() -> dict[str, int]:
        nonlocal seen
        before, seen = seen, await counted(world)
        return {name: n - before.get(name, 0) for name, n in seen.items() if n != before.get(name, 0)}

    async def after(seconds: float, **wanted: int) -> None:
        async with asyncio.timeout(5):
            await asyncio.sleep(seconds)
            found = await grown()
            while found != wanted:
                await asyncio.sleep(0.1)
                for name, n in (await grown()).items():
                    found[name] = found.get(name, 0) + n

    stream, _ = await opened(world)
    boss, agent = world.boss, "sites/default/agents/alice"
    task = await world.submit()
    held = (await until(stream, "offer_made")).offer
    assert await grown() == {"submitted": 1, "offers": 1}
    await world.agents("DeclineOffer", agents_pb2.DeclineOfferRequest(name=task.name, fence=held.fence))
    held = (await until(stream, "offer_made")).offer
    assert await grown() == {"declined": 1, "offers": 1}
    await world.agents("AcceptOffer", agents_pb2.AcceptOfferRequest(name=task.name, fence=held.fence))
    await world.agents("ReleaseTask", agents_pb2.ReleaseTaskRequest(name=task.name, fence=held.fence))
    held = (await until(stream, "offer_made")).offer
    assert await grown() == {"accepted": 1, "released": 1, "offers": 1}
    await boss("DrainAgent", supervision_pb2.DrainAgentRequest(name=agent))
    assert await grown() == {"offers_rescinded": 1}
    await boss("UndrainAgent", supervision_pb2.UndrainAgentRequest(name=agent))
    held = (await until(stream, "offer_made")).offer
    assert await grown() == {"offers": 1}
    await stream.write(Q(correlation_id="n", ready=Q.Ready(ready=False)))
    await until(stream, "result")
    await after(0.6, offers_expired=1)
    lease = (await world.agents("GetNextTask", agents_pb2.GetNextTaskRequest())).lease
    assert await grown() == {"pulled": 1}
    await world.agents("CompleteTask", agents_pb2.CompleteTaskRequest(name=task.name, fence=lease.fence))
    assert await grown() == {"completed": 1}

    once = await world.submit(work_type="once")
    await world.agents("GetNextTask", agents_pb2.GetNextTaskRequest())
    await after(1.1, submitted=1, pulled=1, leases_expired=1, dead_letters=1)
    await world.tasks("CancelTask", tasks_pb2.CancelTaskRequest(name=once.name))
    assert await grown() == {"canceled": 1}
    soon = timestamp_pb2.Timestamp()
    soon.GetCurrentTime()
    soon.FromMilliseconds(soon.ToMilliseconds() + 300)
    await world.submit(expire_time=soon)
    await after(0.4, submitted=1, expired=1)
    task = await world.submit()
    lease = (await world.agents("GetNextTask", agents_pb2.GetNextTaskRequest())).lease
    id = task.name.rpartition("/")[2]
    await world.app.store.recall("default", id, lease.fence, 100, "CALL_WAITING", "router")
    await after(0.1, submitted=1, pulled=1, recalls=1, forced=1)
    assert set(seen) == set(convert.COUNTERS)
    stream.cancel()
