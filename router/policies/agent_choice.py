"""Agent choice: which of several idle agents gets a task. Pure rankings, best first."""

from __future__ import annotations

from collections.abc import Callable

from router.domain.model import Agent

Ranking = Callable[[Agent, int], tuple[float, ...]]
"""(agent, now in ms) -> a key; the smallest is the best choice."""


def longest_idle(agent: Agent, now_ms: int) -> tuple[float, ...]:
    """Who has been idle longest: fair, and the default of most ACDs."""
    return (agent.idle_since_ms,)


def occupancy(agent: Agent, now_ms: int) -> float:
    """The share of the time since login that the agent was on calls or tasks, 0 to 1."""
    logged_in = now_ms - agent.login_ms
    return min(1.0, agent.busy_ms / logged_in) if agent.login_ms and logged_in > 0 else 0.0


def least_occupied(agent: Agent, now_ms: int) -> tuple[float, ...]:
    """Who had the least work since login."""
    return (occupancy(agent, now_ms), agent.idle_since_ms)


def best_fit(agent: Agent, now_ms: int) -> tuple[float, ...]:
    """Who has the least skill in all, so that scarce skills stay free for the work that needs them."""
    return (sum(agent.profile.skills.values()), agent.idle_since_ms)


RANKINGS: dict[str, Ranking] = {
    "longest_idle": longest_idle,
    "least_occupied": least_occupied,
    "best_fit": best_fit,
}


def rank_of(agent: Agent, now_ms: int, choice: str) -> tuple[float, ...]:
    """An agent's place in the order; the smallest is the best choice."""
    return RANKINGS[choice](agent, now_ms)
