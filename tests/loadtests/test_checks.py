"""The referee finds each broken promise, and nothing where all is well, in whatever order the facts come."""

from __future__ import annotations

import random
from math import inf

import pytest

from loadtests.checks import (
    BESIDE_A_CALL,
    CAUSE,
    DONE_IS_DONE,
    DONE_ONCE,
    FENCES_GROW,
    MESSAGE_S,
    OLD_FENCE,
    ONE_FENCE,
    ONE_HOLDER,
    Referee,
)
from loadtests.facts import Fact, Kind

T = "task"


def shown(fence: int, agent: str, at: float, begun: float | None = None, word: str = "offer") -> Fact:
    """A hand-over reaches its agent."""
    return Fact(Kind.SHOWN, at, agent, T, fence, word, at - 0.01 if begun is None else begun)


def word(
    fence: int,
    agent: str,
    word: str,
    sent: float,
    *,
    ok: bool = True,
    late: bool = False,
    at: float | None = None,
) -> Fact:
    """The answer to a word."""
    return Fact(Kind.WORD, sent + 0.01 if at is None else at, agent, T, fence, word, sent, ok, late)


def told(fence: int, agent: str, at: float) -> Fact:
    """The router takes a hand-over back."""
    return Fact(Kind.TOLD, at, agent, T, fence)


def found(*facts: Fact, until: float = inf) -> set[str]:
    """The checks that fail."""
    referee = Referee()
    violations = [*referee.take(facts), *referee.settle(until)]
    return {violation.check for violation in violations}


SOUND = (
    shown(1, "alice", 1.0),
    word(1, "alice", "accept", 1.2),
    word(1, "alice", "release", 3.0),
    shown(2, "alice", 4.0),
    word(2, "alice", "complete", 4.1, ok=False, late=True),
    told(2, "alice", 5.0),
    word(2, "alice", "accept", 4.9, ok=False),
    shown(5, "bob", 6.0),
    word(5, "bob", "accept", 6.2),
    word(5, "bob", "complete", 7.0),
)


def test_a_sound_life_of_a_task_passes_in_any_order() -> None:
    rng = random.Random(1)
    for _ in range(200):
        assert found(*rng.sample(SOUND, len(SOUND))) == set()


def test_facts_that_come_one_by_one_prove_the_same_as_all_at_once() -> None:
    facts = [*SOUND, shown(9, "carol", 9.0)]
    rng = random.Random(2)
    for _ in range(200):
        referee = Referee()
        one_by_one = rng.sample(facts, len(facts))
        violations = [violation for fact in one_by_one for violation in referee.take([fact])]
        assert {violation.check for violation in violations} == {DONE_IS_DONE}


def test_one_fence_for_two_agents() -> None:
    assert found(shown(1, "alice", 1.0), shown(1, "bob", 2.0)) == {ONE_FENCE}


def test_one_fence_for_two_offers_to_the_same_agent() -> None:
    assert found(shown(1, "alice", 1.0), told(1, "alice", 2.0), shown(1, "alice", 3.0)) == {ONE_FENCE}


def test_an_offer_that_a_new_session_shows_again_is_the_same() -> None:
    assert found(shown(1, "alice", 1.0, begun=0.9), shown(1, "alice", 3.0, begun=0.9)) == set()


def test_a_younger_fence_for_an_older_hand_over() -> None:
    facts = (shown(2, "alice", 1.0), told(2, "alice", 1.5), shown(1, "alice", 3.0), told(1, "alice", 3.5))
    assert found(*facts) == {FENCES_GROW}


def test_a_word_under_an_old_fence_is_obeyed() -> None:
    facts = (shown(1, "alice", 1.0), told(1, "alice", 1.5), shown(2, "bob", 2.0))
    assert found(*facts, word(1, "alice", "checkpoint", 2.5)) == {OLD_FENCE}


def test_a_late_word_is_obeyed() -> None:
    facts = (shown(1, "alice", 1.0), word(1, "alice", "release", 1.5), shown(2, "alice", 2.0))
    assert OLD_FENCE in found(*facts, word(1, "alice", "complete", 2.5, late=True))


def test_a_word_that_crossed_its_end_on_the_way_is_no_old_one() -> None:
    # Sent before the next agent had it.
    facts = (shown(1, "alice", 1.0), word(1, "alice", "release", 1.9, at=2.6), shown(2, "bob", 2.0))
    assert found(*facts) == set()


def test_two_holders() -> None:
    assert found(shown(1, "alice", 1.0), shown(2, "bob", 2.0)) == {ONE_HOLDER}


def test_a_holder_whose_desktop_is_closed_is_none() -> None:
    assert found(shown(1, "alice", 1.0), Fact(Kind.LEFT, 1.5, "alice"), shown(2, "bob", 2.0)) == set()


def test_two_holders_are_told_of_only_when_every_message_has_had_its_time() -> None:
    referee = Referee()
    assert referee.take([shown(1, "alice", 1.0), shown(2, "bob", 2.0)]) == []
    assert referee.settle(2.0 + MESSAGE_S - 0.1) == []
    assert [v.check for v in referee.settle(2.0 + MESSAGE_S + 0.1)] == [ONE_HOLDER]
    assert referee.settle() == []


def test_what_is_still_held_is_judged_later() -> None:
    referee = Referee()
    referee.take([shown(1, "alice", 1.0)])
    assert referee.settle(1000.0) == []
    referee.take([shown(2, "bob", 2000.0)])
    assert [v.check for v in referee.settle()] == [ONE_HOLDER]


def test_done_twice() -> None:
    facts = (shown(1, "alice", 1.0), word(1, "alice", "complete", 1.5), shown(2, "bob", 2.0))
    assert found(*facts, word(2, "bob", "complete", 2.5)) == {DONE_ONCE, DONE_IS_DONE}


def test_handed_out_when_it_was_done() -> None:
    assert found(shown(1, "alice", 1.0), word(1, "alice", "complete", 1.5), shown(2, "bob", 2.0)) == {
        DONE_IS_DONE
    }


@pytest.mark.parametrize(
    ("begun", "broken"),
    [
        pytest.param(1.9, set(), id="before the call was acknowledged"),
        pytest.param(2.5, {BESIDE_A_CALL}, id="in the call"),
        pytest.param(3.1, set(), id="after it"),
    ],
)
def test_handed_out_in_a_call(begun: float, broken: set[str]) -> None:
    call = (Fact(Kind.AWAY, 2.0, "alice", fence=1), Fact(Kind.BACK, 3.0, "alice", fence=1))
    assert found(*call, shown(1, "alice", 4.0, begun)) == broken
    assert found(shown(1, "alice", 4.0, begun), *reversed(call)) == broken


def test_a_call_that_has_not_ended() -> None:
    assert found(Fact(Kind.AWAY, 2.0, "alice", fence=1), shown(1, "alice", 4.0)) == {BESIDE_A_CALL}


def test_a_call_that_was_over_before_its_acknowledgement_came() -> None:
    call = (Fact(Kind.BACK, 3.0, "alice", fence=1), Fact(Kind.AWAY, 3.5, "alice", fence=1))
    assert found(*call, shown(1, "alice", 4.0, 3.2)) == set()


def test_refused_without_a_cause() -> None:
    assert found(shown(1, "alice", 1.0), word(1, "alice", "accept", 1.2, ok=False)) == {CAUSE}


def test_a_puller_is_told_of_nothing_so_a_refusal_needs_no_cause() -> None:
    facts = (shown(1, "alice", 1.0, word="pull"), word(1, "alice", "complete", 1.2, ok=False))
    assert found(*facts) == set()


def test_each_violation_is_told_once() -> None:
    referee = Referee()
    first = referee.take([shown(1, "alice", 1.0), shown(1, "bob", 2.0)])
    assert [violation.check for violation in first] == [ONE_FENCE]
    assert T in first[0].text
    assert referee.take([shown(1, "bob", 2.0)]) == []
