"""Resource names: `sites/{site}/tasks/{task}` and the like."""

from __future__ import annotations

from dataclasses import dataclass


def short(name: str) -> str:
    """Return the last part of a resource name."""
    return name.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class Names:
    """Makes the names of one site. A name that is complete already passes unchanged, an empty one stays empty."""

    site: str = "default"

    @property
    def parent(self) -> str:
        """Return the name of the site."""
        return f"sites/{self.site}"

    def task(self, task: str) -> str:
        """Return the name of a task."""
        return self._full("tasks", task)

    def agent(self, agent: str) -> str:
        """Return the name of an agent."""
        return self._full("agents", agent)

    def work_type(self, work_type: str) -> str:
        """Return the name of a work type."""
        return self._full("workTypes", work_type)

    def group(self, group: str) -> str:
        """Return the name of a blending group."""
        return self._full("blendingGroups", group)

    def policy(self, group: str) -> str:
        """Return the name of a blending group's policy."""
        return self._full("policies", group)

    def queue(self, queue: str) -> str:
        """Return the name of a task queue."""
        return self._full("queues", queue)

    def feed(self, source: str) -> str:
        """Return the name of a telephony feed."""
        return self._full("feeds", source)

    def _full(self, collection: str, part: str) -> str:
        return part if not part or part.startswith("sites/") else f"{self.parent}/{collection}/{part}"
