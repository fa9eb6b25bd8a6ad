"""How agents behave at the desktop."""

from __future__ import annotations

import random

import pytest

from callcenter.desk import STANDARD, ActionKind, Desk, DeskState, Habits, task_work_s
from callcenter.distributions import Deterministic


def desk() -> Desk:
    return Desk("a", random.Random(5))


def test_a_task_is_accepted_checkpointed_and_completed() -> None:
    one = desk()
    assert one.offer(100.0, "t", total_s=90.0)
    assert not one.offer(100.0, "other", total_s=90.0)
    actions = one.step(1000.0)
    assert [a.kind for a in actions][:1] == [ActionKind.ACCEPT]
    assert 101.0 <= actions[0].at <= 103.0
    saves = [a for a in actions if a.kind is ActionKind.CHECKPOINT]
    gaps = [b.at - a.at for a, b in zip(actions, saves, strict=False)]
    assert len(saves) >= 2
    assert all(20.0 <= gap <= 30.0 for gap in gaps)
    assert saves[0].done_s == pytest.approx(saves[0].at - actions[0].at)
    assert actions[-1].kind is ActionKind.COMPLETE
    assert actions[-1].at == pytest.approx(actions[0].at + 90.0)
    assert one.state is DeskState.FREE
    assert one.ledger.lost_s == pytest.approx(0.0)


def test_a_recall_is_obeyed_with_a_last_checkpoint() -> None:
    one = desk()
    one.start(0.0, "t", total_s=600.0)
    one.step(50.0)
    assert one.recall(50.0, "t")
    assert not one.recall(51.0, "t")
    (returned,) = one.step(60.0)
    assert returned.kind is ActionKind.RETURN
    assert returned.done_s == pytest.approx(50.0)
    assert returned.reaction_s is not None
    assert 2.0 <= returned.reaction_s <= 6.0
    assert one.ledger.lost_s == pytest.approx(returned.reaction_s)


def test_a_resumed_task_goes_on_from_its_checkpoint() -> None:
    one = desk()
    one.start(0.0, "t", total_s=100.0, done_s=60.0)
    done = one.step(500.0)[-1]
    assert done.kind is ActionKind.COMPLETE
    assert 45.0 <= done.at <= 55.0
    assert one.ledger.kept_s == pytest.approx(40.0)
    assert one.ledger.lost_s == pytest.approx(done.at - 40.0)


def test_a_task_taken_away_loses_what_was_not_saved() -> None:
    one = desk()
    one.start(0.0, "t", total_s=600.0)
    saved = one.step(50.0)[-1]
    assert one.take_away(50.0, "t")
    assert one.ledger.kept_s == pytest.approx(saved.done_s)
    assert one.ledger.spent_s == pytest.approx(50.0)
    assert one.due_at() is None
    assert not one.take_away(51.0, "t")


def test_a_task_that_is_all_but_done_is_completed_on_recall() -> None:
    one = desk()
    one.start(0.0, "t", total_s=50.0)
    one.step(49.0)
    one.recall(49.0, "t")
    (ended,) = one.step(60.0)
    assert ended.kind is ActionKind.COMPLETE


def test_a_recall_in_the_standard_model_costs_30_s_and_takes_10_s() -> None:
    one = Desk("a", random.Random(5), STANDARD)
    assert one.offer(0.0, "t", total_s=600.0, done_s=100.0)
    (accepted,) = one.step(0.0)
    assert (accepted.kind, accepted.at) == (ActionKind.ACCEPT, 0.0)
    assert one.step(49.0) == []
    one.recall(50.0, "t")
    (returned,) = one.step(100.0)
    assert (returned.kind, returned.at, returned.reaction_s) == (ActionKind.RETURN, 60.0, 10.0)
    assert returned.done_s == 120.0
    assert (one.ledger.kept_s, one.ledger.lost_s) == (20.0, 40.0)


@pytest.mark.parametrize(("checkpoint_s", "kept_s"), [(1000.0, 100.0), (15.0, 115.0), (12.0, 112.0)])
def test_work_lost_on_recall_never_reaches_behind_the_begin_or_a_checkpoint(
    checkpoint_s: float, kept_s: float
) -> None:
    habits = Habits(
        checkpoint_s=Deterministic(checkpoint_s), settle_s=Deterministic(0.0), lost_on_recall_s=30.0
    )
    one = Desk("a", random.Random(5), habits)
    one.start(0.0, "t", total_s=600.0, done_s=100.0)
    one.step(20.0)
    one.recall(20.0, "t")
    assert one.step(60.0)[-1].done_s == kept_s


def test_an_offer_can_be_rescinded_until_it_is_accepted() -> None:
    one = desk()
    one.offer(0.0, "t", total_s=50.0)
    assert not one.rescind("other")
    assert one.rescind("t")
    assert one.step(100.0) == []
    one.start(100.0, "t", total_s=50.0)
    assert not one.rescind("t")


def test_the_work_in_a_task_belongs_to_the_task() -> None:
    assert task_work_s("t1", seed=1) == task_work_s("t1", seed=1)
    assert task_work_s("t1", seed=1) != task_work_s("t1", seed=2)
    works = [task_work_s(f"t{i}", seed=1) for i in range(4000)]
    assert sum(works) / len(works) == pytest.approx(300.0, rel=0.05)
