"""The command line as a user runs it, against a fake router."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import grpc
import pytest

from router.v1 import agents_pb2, common_pb2, supervision_pb2, telephony_pb2
from tests.clients.cli import Ran, workrouter
from tests.clients.fake_router import SITE, FakeRouter, offer, recall, rich
from tests.support.wait import wait_until

Response = agents_pb2.SessionResponse


async def run(fake: FakeRouter, *arguments: str, text: str = "") -> Ran:
    return await workrouter(*arguments, text=text, address=fake.address)


async def ok(fake: FakeRouter, *arguments: str, text: str = "") -> str:
    ran = await run(fake, *arguments, text=text)
    assert ran.code == 0, ran
    return ran.out


async def test_one_task(fake: FakeRouter) -> None:
    out = await ok(
        fake, "submit", "--work-type", "claims", "--priority", "70", "--payload", "claim 4711", "--id", "c1"
    )
    assert out == "c1\n"
    task = fake.tasks.stored[f"{SITE}/tasks/c1"]
    assert (task.priority, task.payload) == (70, b"claim 4711")
    assert fake.authorizations == ["Bearer dev:default:submitter:cli"]
    shown = await ok(fake, "tasks", "get", "c1", "--as", "sam")
    assert "state" in shown
    assert "QUEUED" in shown
    assert "claim 4711" in shown
    assert fake.authorizations[-1] == "Bearer dev:default:supervisor:sam"


async def test_a_file_with_faults(fake: FakeRouter, tmp_path: Path) -> None:
    fake.tasks.refuse = lambda request: (
        common_pb2.Status(code=5, message="there is no work type nope", field="task.work_type")
        if request.task.work_type == "nope"
        else None
    )
    file = tmp_path / "claims.csv"
    file.write_text(
        "work_type,priority,skills,payload,label.region\n"
        "claims,70,german:3,first,north\n"
        "nope,10,,second,\n"
        "claims,high,,third,\n"
        "claims,20,,fourth,south\n"
        "claims,20\n",
        encoding="utf-8",
    )
    ran = await run(fake, "submit", str(file))
    assert (ran.code, ran.out) == (1, "2 submitted, 3 failed\n")
    lines = ran.err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["line 3", "line 4", "line 6"]
    assert "task.work_type: there is no work type nope" in lines[0]
    assert "priority" in lines[1]
    assert "columns" in lines[2]
    assert [t.labels["region"] for t in fake.tasks.stored.values()] == ["north", "south"]


async def test_json_lines_from_a_pipe(fake: FakeRouter) -> None:
    lines = "\n".join(json.dumps({"priority": n, "payload": {"n": n}}) for n in range(30))
    out = await ok(fake, "submit", "-", "--work-type", "claims", "--batch", "10", text=lines + "\n\n")
    assert out == "30 submitted, 0 failed\n"
    listed = await ok(fake, "tasks", "list", "--json", "--limit", "7")
    assert len([json.loads(line) for line in listed.splitlines()]) == 7
    table = await ok(fake, "tasks", "list")
    assert table.startswith("TASK")
    assert table.count("QUEUED") == 30


async def test_faults_are_told_in_one_line(fake: FakeRouter) -> None:
    missing = await run(fake, "tasks", "get", "nope")
    assert missing.code == 1
    assert missing.err == "error: there is no sites/default/tasks/nope (NOT_FOUND)\n"
    fake.failures["ListTasks"] = [rich(grpc.StatusCode.INVALID_ARGUMENT, "no field colour", "BAD", "filter")]
    bad = await run(fake, "tasks", "list", "--filter", "colour = red")
    assert bad.err == "error: filter: no field colour (BAD)\n"
    usage = await run(fake, "tasks", "frobnicate")
    assert usage.code == 2
    nothing = await run(fake, "submit")
    assert nothing.code == 1
    assert "name a file, or a task" in nothing.err


async def test_no_router() -> None:
    ran = await workrouter("watch", "--address", "127.0.0.1:9")
    assert ran.code == 1
    assert ran.err.startswith(
        "error: cannot reach a router at 127.0.0.1:9: start one with `workrouter serve`"
    )
    assert len(ran.err.splitlines()) == 1
    far = await workrouter("tasks", "list", "--address", "router.example:50051")
    assert far.code == 1
    assert "--plaintext" in far.err


async def test_tasks_are_changed(fake: FakeRouter) -> None:
    await ok(fake, "submit", "--work-type", "claims", "--id", "c1")
    assert await ok(fake, "tasks", "update", "c1", "--priority", "90", "--skill", "german:2") == (
        "c1: priority, required_skills changed\n"
    )
    assert (await run(fake, "tasks", "update", "c1")).code == 1
    watching = asyncio.create_task(ok(fake, "tasks", "watch", "c1", "--count", "2"))
    await wait_until(lambda: "WatchTasks" in fake.calls, "the watch", 15)
    assert await ok(fake, "tasks", "cancel", "c1", "--reason", "twice") == "c1 CANCELED\n"
    assert "cancel" in (await watching).splitlines()[1]


async def test_work_types_and_agents(fake: FakeRouter) -> None:
    yaml = "id: claims\nrequired_skills: [german:2]\nservice_goal: 4h\n"
    assert await ok(fake, "work-types", "apply", "-f", "-", text=yaml) == "claims applied\n"
    assert "german:2" in await ok(fake, "work-types", "list")
    assert "service_goal: 14400s" in await ok(fake, "work-types", "export")
    assert await ok(fake, "work-types", "delete", "claims") == "claims deleted\n"
    given = ("--skill", "german:4", "--skill", "claims:2", "--group", "main")
    assert await ok(fake, "agents", "apply", "alice", *given) == "alice applied\n"
    assert fake.agents.profiles[f"{SITE}/agents/alice"].blending_group == f"{SITE}/blendingGroups/main"
    assert "german:4 claims:2" in await ok(fake, "agents", "list")
    assert "takes tasks only" not in await ok(fake, "agents", "get", "alice")
    assert "no more tasks" in await ok(fake, "agents", "drain", "alice")
    wrong = await run(fake, "agents", "apply", "-f", "-", text="id: bob\nskils: [x]\n")
    assert wrong.err == "error: bob.skils: there is no such field; did you mean skills?\n"


async def test_a_desktop_in_a_pipe(fake: FakeRouter) -> None:
    lines = "accept\nsave half done\nwait recall\nrelease nearly done\nstatus\nnext\nnonsense\nquit\n"
    running = asyncio.create_task(run(fake, "desktop", "alice", text=lines))
    await wait_until(
        lambda: fake.agents.sessions and "hello" in fake.agents.session.kinds(), "the session", 15
    )
    # A line waits for what it needs: the offer comes only now.
    fake.agents.session.say(offer_made=Response.OfferMade(offer=offer("c1", 3)))
    await wait_until(lambda: "checkpoint" in fake.agents.session.kinds(), "the save", 15)
    call = recall("c1", 3)
    call.notice_deadline.GetCurrentTime()
    call.notice_deadline.seconds += 5
    fake.agents.session.say(recall_requested=Response.RecallRequested(recall=call))
    ran = await running
    assert ran.code == 0, ran
    said = ran.out
    assert "OFFER c1: claims" in said
    assert "why: you know german" in said
    assert "*** RECALL *** c1: calls wait" in said
    assert "*** RECALL *** c1: 5 s left" in said
    assert "handed back: c1" in said
    assert "no task: the gate of main is closed (GATE_CLOSED)" in said
    assert "no such command: nonsense" in said
    assert fake.agents.session.kinds() == ["hello", "accept", "checkpoint", "release"]
    assert fake.agents.session.heard[-1].release.checkpoint.data == b"nearly done"
    assert fake.authorizations[0] == "Bearer dev:default:agent:alice"


async def test_a_desktop_that_nobody_owns(fake: FakeRouter) -> None:
    ran = await run(fake, "desktop")
    assert (ran.code, ran.err) == (1, "error: say who you are: workrouter desktop alice\n")


async def test_a_hand_telephone(fake: FakeRouter) -> None:
    lines = (
        "alice AVAILABLE\n"
        "queue main waiting=3 oldest=25s aht=240s calls=120 staff=12  # three wait\n"
        "alice DANCING\n"
        "show\n"
        "sleep 2s\n"
        "quit\n"
    )
    running = asyncio.create_task(run(fake, "acd", "link", "--as", "pbx1", "--group", "cards", text=lines))
    await wait_until(lambda: len(fake.telephony.kinds()) > 2, "the reports", 15)
    reserve = telephony_pb2.AcdCommand(command_id="1", agent="alice", action=telephony_pb2.ACD_ACTION_RESERVE)
    fake.telephony.commands.put_nowait(reserve)
    ran = await running
    assert ran.code == 0, ran
    assert "alice AVAILABLE" in ran.out
    assert "queue main waiting=3 oldest=25s group=cards" in ran.out
    assert "not done: 'DANCING' is no state: write one of AVAILABLE" in ran.out
    assert "router: RESERVE alice; done, alice is RESERVED" in ran.out
    reports = [r for r in fake.telephony.heard if r.HasField("changes")]
    queue = next(q for r in reports for q in r.changes.call_queues)
    assert [age.seconds for age in queue.waiting_ages] == [25, 16, 8]
    assert (queue.blending_group, queue.forecast[0].calls, queue.forecast[0].staff) == ("cards", 60, 12)
    assert reports[-1].changes.agents[0].state == common_pb2.AGENT_STATE_RESERVED
    assert {r.source for r in fake.telephony.heard} == {"pbx1"}


async def test_one_report(fake: FakeRouter) -> None:
    out = await ok(fake, "acd", "report", "alice", "available", "bob", "on-call")
    assert out == "2 reported as feed manual\n"
    assert fake.telephony.kinds() == ["snapshot"]
    assert (await run(fake, "acd", "report", "alice")).code == 1


async def test_watching(fake: FakeRouter) -> None:
    lines = (await ok(fake, "watch", "--count", "2", "--interval", "200ms")).splitlines()
    assert len(lines) == 2
    assert "main: gate open, allowance 3, reserve 1/2, 2 waiting (oldest 12 s), SL 91.0%, idle 4" in lines[0]
    assert "tasks: queued 7 | recalls 5, completed 9" in lines[0]
    told = json.loads((await ok(fake, "watch", "--count", "1", "--json")).splitlines()[0])
    assert told["counters"]["recalls"] == "5"


def test_the_live_view_holds_what_the_line_holds() -> None:
    from rich.console import Console

    from router.cli.watch import render
    from tests.clients.fake_router import FakeSupervision

    console = Console(width=120)
    with console.capture() as captured:
        console.print(render(FakeSupervision(FakeRouter()).figures()))
    text = captured.get()
    for part in (
        "main",
        "gate      open, allowance 3",
        "2 waiting",
        "91.0%",
        "AVAILABLE 4",
        "claims",
        "50: 7",
    ):
        assert part in text


async def test_explaining(fake: FakeRouter) -> None:
    skill = supervision_pb2.Condition(
        name="skill:german", detail="nobody knows enough german", needed="level 3", actual="level 2"
    )
    fake.supervision.explanation.CopyFrom(
        supervision_pb2.Explanation(
            verdict=supervision_pb2.VERDICT_NO_SKILLED_AGENT,
            summary="No agent has german at level 3.",
            conditions=[supervision_pb2.Condition(name="not_paused", holds=True), skill],
            nearest=skill,
        )
    )
    said = await ok(fake, "explain", "task", "c1")
    assert said.splitlines()[:2] == [
        "c1 is QUEUED: no skilled agent",
        "No agent has german at level 3.",
    ]
    assert "  NO   skill:german: nobody knows enough german" in said
    assert "  alice: no skilled agent: skill:german" in said
    said = await ok(fake, "explain", "agent", "alice", "--task", "c1")
    assert "asking for a task now would answer NOT_QUALIFIED" in said


async def test_policies(fake: FakeRouter) -> None:
    good, better = "target_s: 20\nnotice_s: 5\n", "target_s: 30\nnotice_s: 5\n"
    assert "stored" in await ok(fake, "policy", "put", "main", "-", "-m", "first", text=good)
    assert (
        await ok(fake, "policy", "put", "main", "-", "--activate", text=better)
        == "version 2 of main is active\n"
    )
    shown = await ok(fake, "policy", "activate", "main", "1")
    assert shown == "target_s: 30 -> 20\nversion 1 of main is active\n"
    await ok(fake, "policy", "activate", "main", "2")
    assert await ok(fake, "policy", "get", "main") == better
    assert await ok(fake, "policy", "diff", "main", "1", "2") == "target_s: 20 -> 30\n"
    assert "first" in await ok(fake, "policy", "versions", "main")
    assert await ok(fake, "policy", "rollback", "main") == "version 1 of main is active again\n"
    none = await run(fake, "policy", "rollback", "main")
    assert none.err == "error: there is no earlier version (NO_EARLIER_VERSION)\n"
    broken = await run(fake, "policy", "validate", "main", "-", text="target_s: broken")
    assert (broken.code, broken.err) == (1, "error: target_s: write a number\n")
    missing = await run(fake, "policy", "validate", "main", "/nowhere.yaml")
    assert missing.err == "error: cannot read /nowhere.yaml: No such file or directory\n"


async def test_activating_what_was_never_tried_is_done_with_a_warning(fake: FakeRouter) -> None:
    fake.supervision.untried = {1, 2}
    put = await run(fake, "policy", "put", "main", "-", "--activate", text="target_s: 30\n")
    activated = await run(fake, "policy", "activate", "main", "1")
    for done in (put, activated):
        assert (done.code, done.err) == (0, "warning: it was never tried\n")
        assert "version 1 of main is active\n" in done.out
    assert fake.supervision.active == 1


async def test_versions_tell_when_each_was_tried(fake: FakeRouter) -> None:
    await ok(fake, "policy", "put", "main", "-", text="target_s: 20\n")
    fake.supervision.versions[0].try_time.FromJsonString("2026-03-02T10:14:07Z")
    assert "2026-03-02" in await ok(fake, "policy", "versions", "main")


async def test_a_policy_is_checked_without_a_router(fake: FakeRouter) -> None:
    good = await ok(fake, "policy", "validate", "main", "-", "--offline", text="target_s: 30\n")
    assert good.endswith("80% in 30 s\n")
    bad = await run(fake, "policy", "validate", "main", "-", "--offline", text="target_s: -1\ncolour: red\n")
    assert bad.code == 1
    assert "error: target_s: " in bad.err
    assert "error: colour: " in bad.err
    assert fake.supervision.heard == []


async def test_a_shadow_is_set_and_compared(fake: FakeRouter) -> None:
    assert "decides beside the active one" in await ok(fake, "policy", "shadow", "main", "2")
    assert fake.supervision.heard[-1].version == 2
    assert "any more" in await ok(fake, "policy", "shadow", "main", "--off")
    assert not fake.supervision.heard[-1].HasField("version")
    for wrong in (("policy", "shadow", "main"), ("policy", "shadow", "main", "2", "--off")):
        assert (await run(fake, *wrong)).err == "error: give a version, or --off\n"
    said = await ok(fake, "policy", "compare", "main")
    assert "40 decisions" in said
    assert "75.0% of them alike" in said
    assert "mean allowance     12.50" in said
    assert "the shadow failed 2 times, last with: ValueError: no" in said
    assert "open, allowance 12, reserve 2/3, armed  closed, allowance 0, reserve 0/0" in said
    assert '"equal_share": 0.75' in await ok(fake, "policy", "compare", "main", "--json")


async def test_a_replay_tells_whether_everything_came_out_again(fake: FakeRouter) -> None:
    said = await ok(fake, "policy", "replay", "main", "--hours", "2")
    assert "9 of 9 decisions came out again bit by bit\n2 of 2 recall plans" in said
    assert fake.supervision.heard[-1].span.seconds == 7200
    first = supervision_pb2.ReplayDifference(what="decision", policy_version=3)
    first.fields.add(field="reserve", recorded="2", replayed="3")
    fake.supervision.replayed.decisions_identical = 8
    fake.supervision.replayed.first_difference.CopyFrom(first)
    differs = await run(fake, "policy", "replay", "main")
    assert differs.code == 1
    assert "  reserve: recorded 2, replayed 3" in differs.out
    fake.supervision.replayed.Clear()
    assert (await run(fake, "policy", "replay", "main")).code == 1


async def test_a_simulation_prints_the_difference_and_how_far_to_trust_it(fake: FakeRouter) -> None:
    said = await ok(fake, "policy", "simulate", "main", "-", text="law: greedy\n")
    assert fake.supervision.heard[-1].document == "law: greedy\n"
    lines = {line.split("  ")[0]: line.split() for line in said.splitlines()}
    assert lines["service level"][2:] == ["81.0", "%", "82.0", "%", "80.0", "%", "-2.0", "points"]
    assert lines["tasks done"][2:] == ["800", "810", "900", "+90"]
    assert lines["recalls"][1:] == ["500", "510", "400", "-110"]
    assert lines["hours recovered"][2:] == ["0.0", "10.0", "11.0", "+1.0"]
    assert lines["share of spare time"][4:] == ["-", "75.0", "%", "80.0", "%", "+5.0", "points"]
    assert "to be trusted" in said
    await ok(fake, "policy", "simulate", "main", "2", "--json", "--hours", "24")
    asked = fake.supervision.heard[-1]
    assert (asked.version, asked.span.seconds) == (2, 86_400)
    refused = await run(fake, "policy", "simulate", "main", "9")
    assert refused.code == 1
    assert "--recording-hours" in refused.err


async def test_steering(fake: FakeRouter) -> None:
    assert "open, allowance 3" in await ok(fake, "gate", "status")
    assert (await ok(fake, "gate", "close", "main", "--reason", "storm", "--for", "30m")).splitlines() == [
        "main: closed by hand (CLOSED)",
        "  storm",
    ]
    assert fake.supervision.heard[-1].HasField("expire_time")
    recalled = await ok(fake, "recall", "main", "--count", "2", "-m", "calls")
    assert recalled == "alice: offer withdrawn (t1)\nnobody else: not recalled, nobody left\n"
    assert fake.supervision.heard[-1].count == 2
    await ok(fake, "recall", "main", "alice", "bob")
    assert len(fake.supervision.heard[-1].agents.names) == 2
    assert await ok(fake, "pause", "claims") == "claims paused; 3 tasks wait in it\n"
    assert await ok(fake, "resume", "claims") == "claims is routed again; 3 tasks wait in it\n"
    assert await ok(fake, "reassign", "c1", "bob", "--force") == "c1: OFFERED, with bob\n"
    assert "front" in await ok(fake, "queues", "list")
    state = await ok(fake, "status")
    assert state.startswith(f"router at {fake.address}: SERVING\n")
    assert "pbx1" in state
    assert "main" in state


@pytest.mark.parametrize("name", ["submit", "desktop", "acd", "supervise"])
async def test_the_examples_run_and_end(fake: FakeRouter, name: str) -> None:
    from tests.clients.cli import python

    more = {"desktop": ("--idle", "0.2"), "acd": ("--seconds", "0.2"), "supervise": ("--looks", "2")}
    ran = await python(f"clients.examples.{name}", "--address", fake.address, *more.get(name, ()))
    assert ran.code == 0, ran
    assert ran.out
