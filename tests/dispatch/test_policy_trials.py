"""Trials of policies are remembered by document, on every store."""

from __future__ import annotations

import asyncio

import pytest

from router.dispatch import policy_trials
from router.dispatch.caller import SUPERVISOR, Caller
from router.dispatch.policy_book import PolicyBook
from router.dispatch.policy_trials import PolicyTrials, Trial, Way
from router.domain.ports import Store
from tests.support.stores import FixedClock, fresh_site

GROUP = "cards"
TEXT = "target_share: 0.9\n"


async def test_the_latest_trial_of_a_document_counts(store: Store) -> None:
    clock, site = FixedClock(), fresh_site()
    trials = PolicyTrials(store, clock)
    assert (await trials.get(site, GROUP)).of(TEXT) is None
    await trials.note(site, GROUP, TEXT, Way.SHADOWED)
    await clock.sleep(60)
    await trials.note(site, GROUP, TEXT, Way.SIMULATED)
    found = await trials.get(site, GROUP)
    assert found.of(TEXT) == Trial(Way.SIMULATED, clock.now_ms())
    assert found.of("target_share: 0.8\n") is None
    assert (await trials.get(site, "loans")).of(TEXT) is None


async def test_trials_noted_at_once_are_all_kept(store: Store) -> None:
    trials, site = PolicyTrials(store, FixedClock()), fresh_site()
    texts = [f"notice_s: {n}\n" for n in range(8)]
    await asyncio.gather(*(trials.note(site, GROUP, text, Way.SIMULATED) for text in texts))
    found = await trials.get(site, GROUP)
    assert all(found.of(text) for text in texts)


async def test_the_oldest_trials_are_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_trials, "MOST_KEPT", 2)
    trials, site = PolicyTrials(store, FixedClock()), fresh_site()
    for text in ("a", "b", "a", "c"):
        await trials.note(site, GROUP, text, Way.REPLAYED)
    found = await trials.get(site, GROUP)
    assert [text for text in "abc" if found.of(text)] == ["a", "c"]


async def test_a_trial_leaves_the_etag_and_the_groups_alone(store: Store) -> None:
    book, boss = PolicyBook(store, FixedClock()), Caller(fresh_site(), SUPERVISOR, "sue")
    await book.trials.note(boss.site, GROUP, TEXT, Way.SIMULATED)
    assert await book.groups(boss.site) == ()
    stored = await book.put(boss, GROUP, TEXT, None)
    await book.tried(boss.site, GROUP, 1, Way.REPLAYED)
    assert (await book.get(boss.site, GROUP)).etag == stored.etag
    trial = (await book.trials.get(boss.site, GROUP)).of(TEXT)
    assert trial is not None
    assert trial.way is Way.REPLAYED


async def test_a_version_that_is_kept_no_more_is_left_out(store: Store) -> None:
    book, site = PolicyBook(store, FixedClock()), fresh_site()
    await book.tried(site, GROUP, 7, Way.REPLAYED)
    assert (await book.trials.get(site, GROUP)).by_digest == {}
