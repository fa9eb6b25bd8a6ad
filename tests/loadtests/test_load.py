"""The generators' own reckoning: batches, what desktops saw, and requests that cannot be answered."""

import json
import math

from loadtests.bench.load.__main__ import answered
from loadtests.bench.load.desktops import Seen
from loadtests.bench.load.submits import _batches


def test_batches_hold_all_tasks_and_end_when_the_time_is_over():
    assert list(_batches(1200, 500, math.inf)) == [(0, 500), (500, 500), (1000, 200)]
    assert list(_batches(1200, 500, 0.0)) == []


def test_what_was_seen_is_told_once_but_errors_stay():
    seen = Seen()
    seen.offer("1500000000")
    seen.offer("")
    seen.errors.append("refused")
    first, second = seen.taken(), seen.taken()
    assert [due for due, _ in first["offers"]] == [1.5, 0.0]
    assert second["offers"] == []
    assert first["errors"] == second["errors"] == ["refused"]


async def test_a_failing_action_is_answered_with_what_went_wrong():
    async def fails(count):
        raise RuntimeError(f"none of {count}")

    line = json.dumps({"action": "fail", "arguments": {"count": 3}}).encode()
    assert await answered({"fail": fails}, line) == {"error": "RuntimeError: none of 3"}
