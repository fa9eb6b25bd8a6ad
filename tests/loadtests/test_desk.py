"""A desktop of the load test: what it sends when, what it times from where, and what it notices by itself."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field, replace

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from loadtests.account import COMPLETIONS_ACKNOWLEDGED, COMPLETIONS_SENT
from loadtests.checks import CAPACITY, REVISIONS, SKILLS
from loadtests.desk import DUE_LABEL, Desk, Habits, Request, Response
from loadtests.facts import Fact, Kind
from loadtests.people import skills_of
from router.v1 import common_pb2

HABITS = Habits(think_s=0.5, work_s=10.0, save_s=0.25, heartbeat_s=60.0, ends_at=1000.0)


def stamp(moment: float) -> Timestamp:
    """A moment of this machine's clock as the store would write it."""
    made = Timestamp()
    made.FromNanoseconds(round((moment + time.time() - time.monotonic()) * 1e9))
    return made


@dataclass
class Seen:
    """Takes down what a desk brings."""

    rows: list[tuple[str, float, str]] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def timed(self, kind: str, name: str, due: float, at: float, problem: str = "") -> None:
        self.rows.append((name, round(at - due, 6), problem))

    def fact(self, fact: Fact) -> None:
        self.facts.append(fact)

    def violation(self, check: str, text: str) -> None:
        self.violations.append(check)

    def count(self, what: str, by: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + by


@dataclass
class Bench:
    """A desk, what it sent, and a router that says what the test wants."""

    habits: Habits = HABITS
    seen: Seen = field(default_factory=Seen)
    sent: list[Request] = field(default_factory=list)
    revision: int = 0

    def __post_init__(self) -> None:
        self.desk = Desk("agent0", skills_of(0), self.habits, self.seen, self.sent.append, random.Random(1))
        self.desk.open(0.0)
        self.sent.clear()

    def says(self, at: float, revision: int | None = None, **message: object) -> None:
        """The router sends a message."""
        self.revision += 1
        self.desk.on(Response(revision=revision or self.revision, **message), at)

    def offers(self, at: float, fence: int = 1, task: str = "t", **fields: object) -> None:
        """An offer, made a little earlier."""
        offered = common_pb2.Task(name=task, work_type="sites/s/workTypes/kind0", **fields)
        offer = common_pb2.Offer(task=offered, fence=fence, offer_time=stamp(at - 0.01))
        self.says(at, offer_made=Response.OfferMade(offer=offer))

    def answers(self, at: float, reason: str = "") -> None:
        """The answer to the last word."""
        status = common_pb2.Status(code=10, reason=reason) if reason else None
        self.says(at, result=Response.Result(correlation_id=self.sent[-1].correlation_id, status=status))

    def acts(self, at: float) -> list[str]:
        """What the desk sends by a time."""
        self.sent.clear()
        self.desk.act(at)
        return [request.WhichOneof("message") or "" for request in self.sent]

    def takes(self, at: float, fence: int = 1, task: str = "t") -> None:
        """The desk is offered a task and has it half a second later."""
        self.offers(at, fence, task)
        assert self.acts(at + 0.5) == ["accept"]
        self.answers(at + 0.5)


def test_an_offer_is_accepted_saved_and_completed() -> None:
    bench = Bench()
    bench.offers(1.0)
    assert bench.acts(1.4) == []
    assert bench.acts(1.5) == ["accept"]
    bench.answers(1.6)
    # Between five and fifteen seconds of work, saved halfway.
    assert bench.acts(4.0) == []
    assert bench.acts(7.0) == ["checkpoint"]
    bench.answers(9.7)
    assert bench.acts(20.0) == ["complete"]
    bench.answers(20.1)
    assert [name for name, _, _ in bench.seen.rows] == ["accept", "checkpoint", "complete"]
    assert bench.seen.counts == {COMPLETIONS_SENT: 1, COMPLETIONS_ACKNOWLEDGED: 1}
    assert [f.kind for f in bench.seen.facts] == [Kind.SHOWN, *[Kind.WORD] * 3]
    assert bench.seen.violations == []


def test_an_answer_is_timed_from_when_its_word_was_due() -> None:
    bench = Bench()
    bench.offers(1.0)
    bench.acts(3.0)
    bench.answers(3.25)
    # Due at 1.5, sent late at 3.0: the lag is part of it.
    assert bench.seen.rows == [("accept", 1.75, "")]


def test_a_recalled_task_is_handed_back() -> None:
    bench = Bench(replace(HABITS, breaches=(2.0, 50.0)))
    bench.takes(1.0)
    recall = common_pb2.Recall(task="t", fence=1, recall_time=stamp(2.02))
    bench.says(2.05, recall_requested=Response.RecallRequested(recall=recall))
    assert ("report -> recall shown", 0.05, "") in bench.seen.rows
    assert bench.acts(2.3) == ["release"]
    bench.answers(2.4)
    assert bench.acts(40.0) == []


def test_a_recall_before_the_report_is_not_timed_from_it() -> None:
    bench = Bench(replace(HABITS, breaches=(2.0,)))
    bench.takes(1.0)
    recall = common_pb2.Recall(task="t", fence=1, recall_time=stamp(1.9))
    bench.says(2.05, recall_requested=Response.RecallRequested(recall=recall))
    assert "report -> recall shown" not in {name for name, _, _ in bench.seen.rows}


def test_who_has_a_task_again_says_what_must_be_refused() -> None:
    bench = Bench()
    bench.takes(1.0)
    bench.says(2.0, task_revoked=Response.TaskRevoked(task="t", fence=1, reason="NOTICE_OVER"))
    bench.offers(3.0, fence=2)
    bench.acts(3.5)
    bench.answers(3.6)
    late = bench.sent[-1].complete
    assert (late.task, late.fence) == ("t", 1)
    bench.answers(3.7, "SUPERSEDED")
    assert bench.seen.facts[-1].late
    assert not bench.seen.facts[-1].ok
    assert bench.seen.rows[-1] == ("complete (late)", 0.1, "")


def test_a_refusal_that_is_no_answer_is_a_failure() -> None:
    bench = Bench()
    bench.offers(1.0)
    bench.acts(1.5)
    bench.answers(1.6, "STORE_UNAVAILABLE")
    assert bench.seen.rows[-1][2].startswith("STORE_UNAVAILABLE")
    assert len(bench.seen.facts) == 1


def test_an_offer_that_was_withdrawn_is_not_accepted() -> None:
    bench = Bench()
    bench.offers(1.0)
    bench.says(1.2, offer_rescinded=Response.OfferRescinded(task="t", fence=1, reason="CALL"))
    assert bench.acts(2.0) == []
    assert bench.seen.facts[-1].kind == Kind.TOLD


def test_after_the_load_no_offer_is_answered_but_what_is_held_is_done() -> None:
    bench = Bench(replace(HABITS, ends_at=5.0))
    bench.takes(1.0)
    assert bench.acts(30.0) == ["checkpoint", "complete"]
    bench.offers(31.0, fence=2, task="u")
    assert bench.acts(40.0) == []


def test_long_work_is_done_soon_after_the_load() -> None:
    bench = Bench(replace(HABITS, work_s=300.0, ends_at=5.0))
    bench.takes(1.0)
    assert bench.acts(4.9) == []
    assert bench.acts(6.5) == ["complete"]


def test_submit_and_gate_are_timed_at_the_first_offer() -> None:
    bench = Bench(replace(HABITS, openings=(2.0,)))
    bench.offers(2.5, labels={DUE_LABEL: "2.25"})
    bench.offers(3.0, fence=2, task="u", labels={DUE_LABEL: "2.25"}, recalls=1)
    assert bench.seen.rows == [("submit -> offer shown", 0.25, ""), ("gate opens -> offer shown", 0.5, "")]


def test_a_gap_in_the_stream() -> None:
    bench = Bench()
    bench.says(1.0, revision=2, heartbeat=Response.Heartbeat())
    assert bench.seen.violations == [REVISIONS]


def test_a_second_task_beside_the_first() -> None:
    bench = Bench()
    bench.takes(1.0)
    bench.offers(2.0, fence=2, task="u")
    assert bench.seen.violations == [CAPACITY]


def test_a_next_task_after_the_last_word_is_none_beside_it() -> None:
    bench = Bench()
    bench.takes(1.0)
    assert bench.acts(30.0) == ["checkpoint", "complete"]
    bench.offers(30.1, fence=2, task="u")
    assert bench.seen.violations == []


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(
            {"required_skills": [common_pb2.SkillRequirement(skill="kind2", min_level=2)]}, id="level"
        ),
        pytest.param(
            {"required_skills": [common_pb2.SkillRequirement(skill="kind4", min_level=1)]}, id="skill"
        ),
    ],
)
def test_a_task_for_others(fields: dict[str, object]) -> None:
    bench = Bench()
    bench.offers(1.0, **fields)
    assert bench.seen.violations == [SKILLS]


def test_a_new_stream_forgets_what_the_old_one_held() -> None:
    bench = Bench()
    bench.takes(1.0)
    bench.desk.open(5.0)
    bench.revision = 0
    lease = common_pb2.Lease(task=common_pb2.Task(name="t"), fence=1)
    bench.says(5.1, snapshot=Response.Snapshot(leases=[lease]))
    assert bench.acts(5.1) == ["release"]
    assert bench.seen.violations == []
