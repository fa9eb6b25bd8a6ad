"""Who calls: made from credentials by the edge, never from a message."""

from __future__ import annotations

from dataclasses import dataclass

AGENT, ACD, SUBMITTER, SUPERVISOR = "agent", "acd", "submitter", "supervisor"
ROLES = (AGENT, ACD, SUBMITTER, SUPERVISOR)


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller of one site in one role."""

    site: str
    role: str
    id: str

    @property
    def actor(self) -> str:
        """How the caller is named in histories."""
        return f"{self.role}:{self.id}"
