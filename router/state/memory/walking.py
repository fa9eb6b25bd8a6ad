"""The search for an agent's next-best task: over the heads on the agent's own shelves, most urgent first.

The walk looks at 64 heads and tasks at most, so that a claim's cost does not grow with the site; then it says where
to go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

from router.domain.model import NoTask
from router.domain.routing import order_key
from router.state import records
from router.state.memory.eligibility import is_excluded, is_paused, suits
from router.state.memory.site import QueueInfo, Site

MOST_LOOKS = 64
TASKS_PER_VISIT = 16
_SKIPPED = "r"
_FIRST = (-(1 << 62), "")
"""Before every (origin, name)."""
Place = tuple[int, str]


class Walk:
    """One claim's search. :meth:`find` gives a task id or '' and then ``reason`` (and ``cursor``) say why."""

    def __init__(self, site: Site, now: int, agent: str, firm_held_back: bool, cursor: str) -> None:
        self.site = site
        self.now = now
        self.agent = agent
        self.traits = site.traits[agent]
        self.firm_held_back = firm_held_back
        self.looks = 0
        self.reason = NoTask.NO_TASK
        self._skipped = False
        self._taken: dict[str, Place] = {}
        """Shelf (``anchor|family``) -> the last head taken from it."""
        self._deferred: list[tuple[str, Place]] = []
        """Queues whose tasks were not all looked at, and the last one that was."""
        self._read_cursor(cursor)

    def find(self) -> str:
        """The task to hand over, or ''."""
        try:
            found = self._over_shelves() or self._over_deferred()
        except _LooksUsedUpError:
            self.reason = NoTask.MORE
            return ""
        if not found and self._skipped:
            self.reason = NoTask.RESERVE_HELD
        return found

    # -- shelves -------------------------------------------------------------------------------------------
    def _over_shelves(self) -> str:
        heap: list[tuple[float, int, str, str, Iterator[Place]]] = []
        for shelf, heads in self._shelves():
            self._push(heap, shelf, heads)
        while heap:
            self._look()
            _, origin, qid, shelf, heads = heappop(heap)
            self._taken[shelf] = (origin, qid)
            self._push(heap, shelf, heads)
            if self._eligible(self.site.queue_info(qid)):
                found = self._visit(qid, _FIRST)
                if found:
                    return found
        return ""

    def _shelves(self) -> Iterator[tuple[str, Iterator[Place]]]:
        for anchor in self.traits.anchors:
            families = self.site.shelves.get(anchor)
            if families is None:
                continue
            for family, heads in families.items():
                shelf = f"{anchor}|{family}"
                after = self._taken.get(shelf)
                yield shelf, iter(heads) if after is None else heads.irange(after, None, (False, True))

    def _push(
        self,
        heap: list[tuple[float, int, str, str, Iterator[Place]]],
        shelf: str,
        heads: Iterator[Place],
    ) -> None:
        head = next(heads, None)
        if head is not None:
            origin, qid = head
            urgency = self.site.queue_info(qid).urgency(self.now - origin)
            heappush(heap, (-urgency, origin, qid, shelf, heads))

    def _eligible(self, info: QueueInfo) -> bool:
        if not suits(info, self.agent, self.traits) or is_paused(self.site, info):
            return False
        if self.firm_held_back and not info.interruptible:
            self._skipped = True
            return False
        return True

    # -- the tasks of a queue ------------------------------------------------------------------------------
    def _visit(self, qid: str, after: Place) -> str:
        """Look at the queue's next tasks; what is left of it waits until the shelves are done."""
        line = self.site.lines.get(qid)
        if line is None:
            return ""
        places = iter(line) if after == _FIRST else line.irange(after, None, (False, True))
        last = after
        for seen, place in enumerate(places, 1):
            if self.looks == MOST_LOOKS:
                self._deferred.append((qid, last))
                raise _LooksUsedUpError
            self.looks += 1
            last = place
            if not is_excluded(self.site.tasks[place[1]], self.agent, self.now):
                return str(place[1])
            if seen == TASKS_PER_VISIT:
                self._deferred.append((qid, last))
                break
        return ""

    def _over_deferred(self) -> str:
        while self._deferred:
            if self.looks == MOST_LOOKS:
                raise _LooksUsedUpError
            qid, after = self._deferred.pop(0)
            if self._is_defined(qid) and self._eligible(self.site.queue_info(qid)):
                found = self._visit(qid, after)
                if found:
                    return found
        return ""

    def _is_defined(self, qid: str) -> bool:
        return qid.startswith(records.RESUME_PREFIX) or records.base_queue(qid) in self.site.queues

    def _look(self) -> None:
        if self.looks == MOST_LOOKS:
            raise _LooksUsedUpError
        self.looks += 1

    # -- the cursor ----------------------------------------------------------------------------------------
    @property
    def cursor(self) -> str:
        """Where the next walk goes on."""
        words = [_SKIPPED] if self._skipped else []
        words += sorted(f"h{shelf}|{order_key(origin)}|{qid}" for shelf, (origin, qid) in self._taken.items())
        for qid, (origin, task) in self._deferred:
            words.append(f"q{qid}|" if not task else f"q{qid}|{order_key(origin)}|{task}")
        return " ".join(words)

    def _read_cursor(self, text: str) -> None:
        for word in text.split():
            kind, *parts = word[0], *word[1:].split("|")
            if word == _SKIPPED:
                self._skipped = True
            elif kind == "h" and len(parts) == 4:
                self._taken[f"{parts[0]}|{parts[1]}"] = (_origin(parts[2]), parts[3])
            elif kind == "q" and len(parts) == 3:
                self._deferred.append((parts[0], (_origin(parts[1]), parts[2])))
            elif kind == "q" and len(parts) == 2:
                self._deferred.append((parts[0], _FIRST))


class _LooksUsedUpError(Exception):
    """The walk has looked at all it may."""


def _origin(key: str) -> int:
    return int(key) - int(order_key(0))
