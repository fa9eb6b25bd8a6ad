"""Which of several idle agents is asked first."""

import pytest

from router.domain.model import Agent, AgentProfile
from router.policies.agent_choice import occupancy, rank_of

NOW = 1_790_000_000_000


def agent(id: str, idle_s: int = 60, busy_s: int = 0, **skills: int) -> Agent:
    return Agent(
        AgentProfile(id, skills=skills),
        1,
        idle_since_ms=NOW - idle_s * 1000,
        busy_ms=busy_s * 1000,
        login_ms=NOW - 3_600_000,
    )


AGENTS = [
    agent("ann", idle_s=10, busy_s=100, claims=5, german=5),
    agent("bob", idle_s=90, busy_s=2000, claims=3, german=3),
    agent("cat", idle_s=30, busy_s=50, claims=3),
]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("longest_idle", ["bob", "cat", "ann"]),
        ("least_occupied", ["cat", "ann", "bob"]),
        ("best_fit", ["cat", "bob", "ann"]),
    ],
)
def test_orders(choice: str, expected: list[str]) -> None:
    ranked = sorted(AGENTS, key=lambda each: rank_of(each, NOW, choice))
    assert [each.profile.id for each in ranked] == expected


def test_occupancy_is_a_share_of_the_time_since_login() -> None:
    assert occupancy(agent("x", busy_s=900), NOW) == 0.25
    assert occupancy(Agent(AgentProfile("y"), 1), NOW) == 0.0
