"""What a desktop is told: everything once, and after a reconnect the differences."""

from __future__ import annotations

from clients.holdings import (
    MISSED,
    STANDING,
    Changed,
    Holdings,
    Leased,
    Offered,
    Recalled,
    Rescinded,
    Revoked,
)
from router.v1 import agents_pb2, common_pb2
from tests.clients.fake_router import SITE, lease, offer, recall

Request = agents_pb2.SessionRequest
Response = agents_pb2.SessionResponse
NAME = f"{SITE}/tasks/t1"


def told(**snapshot: object) -> Response.Snapshot:
    return Response.Snapshot(**snapshot)  # type: ignore[arg-type]


def test_a_snapshot_tells_what_stands_and_the_next_one_nothing() -> None:
    desk = Holdings()
    snapshot = told(offers=[offer("t1")], leases=[lease("t2")], recalls=[recall("t2")])
    assert [type(e) for e in desk.replace(snapshot)] == [Offered, Leased, Recalled]
    assert desk.replace(snapshot) == []


def test_a_snapshot_tells_what_went() -> None:
    desk = Holdings()
    desk.replace(told(offers=[offer("t1", 4)], leases=[lease("t2", 5)]))
    assert desk.replace(told()) == [
        Rescinded(NAME, 4, MISSED),
        Revoked(f"{SITE}/tasks/t2", 5, MISSED),
    ]
    assert not desk.offers
    assert not desk.leases


def test_an_accept_whose_answer_was_lost_is_no_withdrawn_offer() -> None:
    desk = Holdings()
    desk.replace(told(offers=[offer("t1", 4)]))
    assert desk.replace(told(leases=[lease("t1", 4)])) == [Leased(desk.leases[NAME], STANDING)]


def test_tasks_with_a_request_under_way_are_left_to_its_answer() -> None:
    desk = Holdings()
    desk.replace(told(offers=[offer("t1", 4)], leases=[lease("t2")]))
    asked = {NAME, f"{SITE}/tasks/t2"}
    assert desk.replace(told(leases=[lease("t1", 4)]), asked) == []


def test_messages_are_told_once() -> None:
    desk = Holdings()
    made = Response(offer_made=Response.OfferMade(offer=offer("t1", 2)))
    assert desk.hear(made) == [Offered(made.offer_made.offer)]
    assert desk.hear(made) == []
    gone = Response(offer_rescinded=Response.OfferRescinded(task=NAME, fence=2, reason="CALL"))
    assert desk.hear(gone) == [Rescinded(NAME, 2, "CALL")]
    assert desk.hear(gone) == []


def test_a_new_fence_is_a_new_offer() -> None:
    desk = Holdings()
    desk.hear(Response(offer_made=Response.OfferMade(offer=offer("t1", 2))))
    assert desk.hear(Response(offer_made=Response.OfferMade(offer=offer("t1", 3))))
    late = Response(offer_rescinded=Response.OfferRescinded(task=NAME, fence=2))
    assert desk.hear(late) == []
    assert NAME in desk.offers


def test_a_forced_lease_takes_the_offers_place() -> None:
    desk = Holdings()
    desk.hear(Response(offer_made=Response.OfferMade(offer=offer("t1"))))
    forced = Response(task_forced=Response.TaskForced(lease=lease("t1", 1), reason="AUTO_ACCEPT"))
    assert desk.hear(forced) == [Leased(forced.task_forced.lease, "AUTO_ACCEPT")]
    assert desk.hear(forced) == []
    assert not desk.offers
    asked = Response(recall_requested=Response.RecallRequested(recall=recall("t1")))
    assert desk.hear(asked) == [Recalled(asked.recall_requested.recall)]
    assert desk.hear(asked) == []


def test_a_revoke_of_an_older_lease_says_nothing_of_the_newer() -> None:
    desk = Holdings()
    desk.replace(told(leases=[lease("t1", 9)]))
    assert desk.hear(Response(task_revoked=Response.TaskRevoked(task=NAME, fence=8))) == []
    gone = Response(task_revoked=Response.TaskRevoked(task=NAME, fence=9, reason="NOTICE_OVER"))
    assert desk.hear(gone) == [Revoked(NAME, 9, "NOTICE_OVER")]


def test_answers_move_tasks() -> None:
    desk = Holdings()
    desk.replace(told(offers=[offer("t1")]))
    desk.settled(Request(accept=Request.Accept(task=NAME)), Response.Result(lease=with_payload(lease("t1"))))
    assert list(desk.leases) == [NAME]
    saved = lease("t1", checkpoint=common_pb2.Checkpoint(data=b"half"))
    desk.settled(Request(checkpoint=Request.SaveCheckpoint(task=NAME)), Response.Result(lease=saved))
    assert desk.leases[NAME].task.payload == b"all of it"
    assert desk.leases[NAME].checkpoint.data == b"half"
    desk.settled(Request(park=Request.Park(task=NAME)), Response.Result(task=lease("t1").task))
    assert desk.parked[NAME].task.payload == b"all of it"
    desk.settled(Request(resume=Request.Resume(task=NAME)), Response.Result(lease=lease("t1", 2)))
    assert (list(desk.leases), list(desk.parked)) == ([NAME], [])
    desk.settled(Request(complete=Request.Complete(task=NAME)), Response.Result(task=lease("t1").task))
    assert not desk.leases


def test_an_answer_that_comes_too_late_is_news() -> None:
    desk = Holdings()
    result = Response.Result(lease=lease("t1"))
    assert desk.settled_late(result) == [Leased(result.lease, STANDING)]
    assert desk.settled_late(result) == []
    assert desk.settled_late(Response.Result(task=lease("t1").task)) == []
    assert not desk.leases


def test_a_refusal_ends_the_hand_over_it_was_about_only() -> None:
    desk = Holdings()
    desk.replace(told(offers=[offer("t1", 3)], leases=[lease("t2", 3)]))
    desk.refused(NAME, 2)
    desk.refused(f"{SITE}/tasks/t2", 2)
    assert (len(desk.offers), len(desk.leases)) == (1, 1)
    desk.refused(NAME, 3)
    desk.refused(f"{SITE}/tasks/t2", 3)
    assert (len(desk.offers), len(desk.leases)) == (0, 0)


def test_status_changes_are_passed_on() -> None:
    desk = Holdings()
    agent = common_pb2.Agent(name=f"{SITE}/agents/alice", state=common_pb2.AGENT_STATE_ON_CALL)
    change = Response(agent_changed=Response.AgentChanged(agent=agent, why_idle="you are in a call"))
    assert desk.hear(change) == [Changed(agent, "you are in a call")]
    assert desk.why_idle == "you are in a call"


def with_payload(held: common_pb2.Lease) -> common_pb2.Lease:
    held.task.payload = b"all of it"
    return held
