"""What one desktop holds, and what is new about it: pure bookkeeping over the messages of a session.

Each offer, lease and recall is told once: a message or snapshot that repeats what is known gives no event. A
snapshot after a reconnect tells the differences: what came, and what went, meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from clients.errors import ApiError
from router.v1 import agents_pb2, common_pb2

Request = agents_pb2.SessionRequest
Response = agents_pb2.SessionResponse


@dataclass(frozen=True, slots=True)
class Connected:
    """The session stands; `snapshot` is all that the router knows of the agent. After each reconnect too."""

    snapshot: Response.Snapshot


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The session broke and will be opened again after `retry_in_s`. What is held stays held meanwhile."""

    error: ApiError
    retry_in_s: float


@dataclass(frozen=True, slots=True)
class Offered:
    """A task is offered."""

    offer: common_pb2.Offer


@dataclass(frozen=True, slots=True)
class Rescinded:
    """An offer is withdrawn: a word and a sentence. `MISSED`: it went while the session was down."""

    task: str
    fence: int
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Leased:
    """A lease that no call of this desktop has returned: auto-accepted, assigned by a supervisor, or `STANDING`."""

    lease: common_pb2.Lease
    reason: str


@dataclass(frozen=True, slots=True)
class Recalled:
    """A task is to be handed back before the notice ends: save, then release (or complete)."""

    recall: common_pb2.Recall


@dataclass(frozen=True, slots=True)
class Revoked:
    """A lease or parked task is gone: a word and a sentence. `MISSED`: it went while the session was down."""

    task: str
    fence: int
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """The agent's profile or status changed; `why_idle` is a sentence for the screen, or empty."""

    agent: common_pb2.Agent
    why_idle: str


Event = Connected | Disconnected | Offered | Rescinded | Leased | Recalled | Revoked | Changed


class _Fenced(Protocol):
    @property
    def fence(self) -> int: ...


_Handover = TypeVar("_Handover", bound=_Fenced)

MISSED = "MISSED"
STANDING = "STANDING"


@dataclass(slots=True)
class Holdings:
    """Offers, leases, recalls and parked tasks of one agent, each by the task's name."""

    agent: common_pb2.Agent = field(default_factory=common_pb2.Agent)
    why_idle: str = ""
    offers: dict[str, common_pb2.Offer] = field(default_factory=dict)
    leases: dict[str, common_pb2.Lease] = field(default_factory=dict)
    recalls: dict[str, common_pb2.Recall] = field(default_factory=dict)
    parked: dict[str, common_pb2.ParkedTask] = field(default_factory=dict)

    def replace(self, snapshot: Response.Snapshot, asked: Collection[str] = ()) -> list[Event]:
        """Take over a snapshot; return what is new, and what has gone.

        Tasks in `asked` have a request under way whose answer will tell what became of them.
        """
        offers, leases, recalls, parked = self.offers, self.leases, self.recalls, self.parked
        self.agent, self.why_idle = snapshot.agent, snapshot.why_idle
        self.offers = {offer.task.name: offer for offer in snapshot.offers}
        self.leases = {lease.task.name: lease for lease in snapshot.leases}
        self.recalls = {recall.task: recall for recall in snapshot.recalls}
        self.parked = {kept.task.name: kept for kept in snapshot.parked}
        gone: list[Event] = [*self._gone_offers(offers, asked), *self._gone_work(leases, parked, asked)]
        came: list[Event] = [Offered(o) for o in _fresh(self.offers, offers)]
        came += [Leased(x, STANDING) for x in _fresh(self.leases, leases) if x.task.name not in asked]
        came += [Recalled(r) for r in _fresh(self.recalls, recalls)]
        return [*gone, *came]

    def hear(self, message: Response) -> list[Event]:
        """Take over one change; return what is new."""
        hearer = _HEARERS.get(message.WhichOneof("message") or "")
        return hearer(self, message) if hearer else []

    def settled(self, request: Request, result: Response.Result) -> None:
        """Take over the good answer to a request of this desktop."""
        kind = request.WhichOneof("message") or ""
        if kind in ("accept", "resume"):
            self._lease(result.lease)
        elif kind in ("checkpoint", "extend"):
            self._renew(result.lease, request.checkpoint.checkpoint.data)
        elif kind == "decline":
            self.offers.pop(request.decline.task, None)
        elif kind == "park":
            self._park(result.task)
        elif kind in ("complete", "release"):
            self._drop(result.task.name)

    def settled_late(self, result: Response.Result) -> list[Event]:
        """Take over a good answer for which nobody waits any more; a lease that it brings is news."""
        if result.HasField("lease"):
            known = result.lease.task.name in self.leases
            (self._renew if known else self._lease)(result.lease)
            return [] if known else [Leased(result.lease, STANDING)]
        if result.HasField("task"):
            self._drop(result.task.name)
        return []

    def refused(self, task: str, fence: int) -> None:
        """Learn that this hand-over is over: the router refused a request under its fence."""
        offer, lease = self.offers.get(task), self.leases.get(task)
        if offer is not None and offer.fence == fence:
            del self.offers[task]
        if lease is not None and lease.fence == fence:
            self._drop(task)

    def forget(self, task: str) -> None:
        """Learn that an offer was not answered after all: if it still stands, the next snapshot tells it anew."""
        self.offers.pop(task, None)

    def _gone_offers(
        self, before: dict[str, common_pb2.Offer], asked: Collection[str]
    ) -> Iterable[Rescinded]:
        for task, offer in before.items():
            if task in asked or task in self.leases or _stands(task, offer.fence, self.offers):
                continue
            yield Rescinded(task, offer.fence, MISSED)

    def _gone_work(
        self,
        leases: dict[str, common_pb2.Lease],
        parked: dict[str, common_pb2.ParkedTask],
        asked: Collection[str],
    ) -> Iterable[Revoked]:
        fences = {task: lease.fence for task, lease in leases.items()}
        fences |= {task: kept.fence for task, kept in parked.items()}
        for task, fence in fences.items():
            if task not in asked and task not in self.leases and task not in self.parked:
                yield Revoked(task, fence, MISSED)

    def _offer_made(self, message: Response) -> list[Event]:
        offer = message.offer_made.offer
        known = _stands(offer.task.name, offer.fence, self.offers)
        self.offers[offer.task.name] = offer
        return [] if known else [Offered(offer)]

    def _offer_rescinded(self, message: Response) -> list[Event]:
        gone = message.offer_rescinded
        offer = self.offers.get(gone.task)
        if offer is None or offer.fence != gone.fence:
            return []
        del self.offers[gone.task]
        return [Rescinded(gone.task, gone.fence, gone.reason, gone.detail)]

    def _recall_requested(self, message: Response) -> list[Event]:
        recall = message.recall_requested.recall
        known = _stands(recall.task, recall.fence, self.recalls)
        self.recalls[recall.task] = recall
        return [] if known else [Recalled(recall)]

    def _task_forced(self, message: Response) -> list[Event]:
        lease = message.task_forced.lease
        known = _stands(lease.task.name, lease.fence, self.leases)
        self._lease(lease)
        return [] if known else [Leased(lease, message.task_forced.reason)]

    def _task_revoked(self, message: Response) -> list[Event]:
        gone = message.task_revoked
        held: _Fenced | None = self.leases.get(gone.task) or self.parked.get(gone.task)
        # A newer hand-over to the same agent is not what this message is about.
        if held is None or held.fence > gone.fence:
            return []
        self._drop(gone.task)
        return [Revoked(gone.task, gone.fence, gone.reason, gone.detail)]

    def _agent_changed(self, message: Response) -> list[Event]:
        self.agent, self.why_idle = message.agent_changed.agent, message.agent_changed.why_idle
        return [Changed(self.agent, self.why_idle)]

    def _lease(self, lease: common_pb2.Lease) -> None:
        task = lease.task.name
        self.offers.pop(task, None)
        self.parked.pop(task, None)
        self.leases[task] = lease

    def _renew(self, lease: common_pb2.Lease, saved: bytes = b"") -> None:
        """Move a lease on; what is large and known on this side is left out of the router's answer."""
        known = self.leases.get(lease.task.name)
        if known is None:
            return
        lease.task.payload = lease.task.payload or known.task.payload
        if progress := lease.checkpoint.data or saved or known.checkpoint.data:
            lease.checkpoint.data = progress
        self.leases[lease.task.name] = lease

    def _park(self, task: common_pb2.Task) -> None:
        lease = self.leases.get(task.name)
        self._drop(task.name)
        kept = common_pb2.ParkedTask(task=task, fence=task.fence, until_time=task.deadline)
        if lease is not None:
            kept.task.payload = lease.task.payload
        self.parked[task.name] = kept

    def _drop(self, task: str) -> None:
        for held in (self.leases, self.recalls, self.parked):
            held.pop(task, None)


def _stands(task: str, fence: int, known: Mapping[str, _Fenced]) -> bool:
    found = known.get(task)
    return found is not None and found.fence == fence


def _fresh(now: Mapping[str, _Handover], before: Mapping[str, _Handover]) -> list[_Handover]:
    return [handover for task, handover in now.items() if not _stands(task, handover.fence, before)]


_HEARERS: dict[str, Callable[[Holdings, Response], list[Event]]] = {
    "offer_made": Holdings._offer_made,
    "offer_rescinded": Holdings._offer_rescinded,
    "recall_requested": Holdings._recall_requested,
    "task_forced": Holdings._task_forced,
    "task_revoked": Holdings._task_revoked,
    "agent_changed": Holdings._agent_changed,
}
