"""What the users of a load test see, in a form that travels between its processes."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What was seen."""

    SHOWN = "shown"
    """A hand-over reached its agent: an offer, or a lease that was pulled. ``sent`` is when the store made it."""
    WORD = "word"
    """The answer to an agent's word under a fence. ``sent`` is when the word went out."""
    TOLD = "told"
    """The router told the agent that the hand-over is over."""
    LEFT = "left"
    """The agent's desktop is closed, or its stream broke: it is told nothing meanwhile."""
    AWAY = "away"
    """The router acknowledged that the agent is not available; ``fence`` counts the agent's absences."""
    BACK = "back"
    """The report that ends this absence goes out."""


ENDING = frozenset({"complete", "release", "decline"})
"""Words that end a hand-over."""


class Fact(NamedTuple):
    """One observation. Times are s on the machine's monotonic clock, which its processes share."""

    kind: str
    at: float
    agent: str
    task: str = ""
    fence: int = 0
    word: str = ""
    sent: float = 0.0
    ok: bool = True
    """The router did what the word asked."""
    late: bool = False
    """The word was sent on purpose under a fence that is over: it must be refused."""
