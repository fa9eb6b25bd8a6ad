"""One agent's desktop on a Session stream: what it answers, and when. No I/O: a driver carries the messages.

Every word has its intended moment. An answer is timed from there, so a desktop or router that lags shows in all that
it delays.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from loadtests.account import COMPLETIONS_ACKNOWLEDGED, COMPLETIONS_SENT
from loadtests.checks import CAPACITY, CLOCK_STEP_S, REVISIONS, SKILLS
from loadtests.facts import ENDING, Fact, Kind
from loadtests.moments import from_store, since
from loadtests.people import lacking
from router.v1 import agents_pb2, common_pb2

Request = agents_pb2.SessionRequest
Response = agents_pb2.SessionResponse
DUE_LABEL = "due"
"""Label of a task that carries the moment for which its submit was meant, in s."""
_HURRY_S = 1.5
REFUSALS = frozenset({"SUPERSEDED", "NOT_HOLDER", "WRONG_STATE", "OFFER_EXPIRED", "NOT_SHOWN"})
"""Refusals that are an answer: the hand-over is over. The referee asks for the cause."""


class Outlet(Protocol):
    """Where what a user sees goes."""

    def timed(self, kind: str, name: str, due: float, at: float, problem: str = "") -> None:
        """Something that was due at a moment is there; with a problem it failed."""

    def fact(self, fact: Fact) -> None:
        """For the referee."""

    def violation(self, check: str, text: str) -> None:
        """A promise was broken before this user's own eyes."""

    def count(self, what: str, by: int = 1) -> None:
        """For the final account."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How an agent works; times in s, moments on the machine's clock."""

    think_s: float
    work_s: float
    save_s: float
    heartbeat_s: float
    ends_at: float
    """From then on no offer is answered; what is held is brought to its end."""
    breaches: tuple[float, ...] = ()
    """When reports are due that endanger the service level."""
    openings: tuple[float, ...] = ()
    """When what stops the offers to everybody is due to end."""


@dataclass(slots=True)
class Holding:
    """A task offered to or leased by this agent."""

    fence: int
    leased: bool = False
    ending: bool = False
    """The agent has sent its last word."""


@dataclass(slots=True)
class _Asked:
    word: str
    task: str
    fence: int
    due: float
    sent: float
    late: bool


@dataclass(slots=True)
class Desk:
    """Takes messages by `on`, and sends what is due by `act`."""

    agent: str
    skills: Mapping[str, int]
    habits: Habits
    out: Outlet
    send: Callable[[Request], None]
    rng: random.Random
    _held: dict[str, Holding] = field(default_factory=dict)
    _former: dict[str, int] = field(default_factory=dict)
    """The last fence of each task that this agent had before."""
    _asked: dict[str, _Asked] = field(default_factory=dict)
    _agenda: list[tuple[float, int, Callable[[float, float], None]]] = field(default_factory=list)
    _openings_seen: set[float] = field(default_factory=set)
    _numbers: int = 0
    _revision: int = 0

    def open(self, now: float) -> None:
        """Sit down, at first or after the stream broke."""
        self._held.clear()
        self._agenda.clear()
        self._revision = 0
        self.send(Request(hello=Request.Hello(session_id=self.agent, ready=True, client_info="load test")))
        self._at(now + self.habits.heartbeat_s, self._beat)

    def due(self) -> float | None:
        """When something is to be sent next."""
        return self._agenda[0][0] if self._agenda else None

    def act(self, now: float) -> None:
        """Send all that is due."""
        while self._agenda and self._agenda[0][0] <= now:
            due, _, action = heapq.heappop(self._agenda)
            action(due, now)

    def leave(self, now: float) -> None:
        """The desktop closes."""
        self.out.fact(Fact(Kind.LEFT, now, self.agent))

    def on(self, message: Response, now: float) -> None:
        """Take one message."""
        self._revision += 1
        if message.revision != self._revision:
            text = f"{self.agent}: revision {message.revision} came as number {self._revision}"
            self.out.violation(REVISIONS, text)
        kind = message.WhichOneof("message") or ""
        handle = getattr(self, f"_on_{kind}", None)
        if handle is not None:
            handle(getattr(message, kind), now)

    # What the router says.

    def _on_snapshot(self, snapshot: Response.Snapshot, now: float) -> None:
        for offer in snapshot.offers:
            self._shown(offer, now)
        # A lease that an earlier session left behind is handed back.
        for lease in snapshot.leases:
            self._held[lease.task.name] = Holding(lease.fence, leased=True)
            self._at(now, partial(self._release, lease.task.name, lease.fence))

    def _on_offer_made(self, message: Response.OfferMade, now: float) -> None:
        offer = message.offer
        self._time_offer(offer, now)
        self._shown(offer, now)

    def _on_offer_rescinded(self, message: Response.OfferRescinded, now: float) -> None:
        self._taken(message.task, message.fence, now)

    def _on_task_revoked(self, message: Response.TaskRevoked, now: float) -> None:
        self._taken(message.task, message.fence, now)

    def _on_recall_requested(self, message: Response.RecallRequested, now: float) -> None:
        recall = message.recall
        breach = since(self.habits.breaches, now)
        if breach is not None and from_store(recall.recall_time) >= breach - CLOCK_STEP_S:
            self.out.timed("event", "report -> recall shown", breach, now)
        self._at(now + self.habits.save_s, partial(self._release, recall.task, recall.fence))

    def _on_result(self, result: Response.Result, now: float) -> None:
        asked = self._asked.pop(result.correlation_id, None)
        if asked is None:
            return
        ok = not result.HasField("status") or result.status.code == 0
        known = ok or result.status.reason in REFUSALS
        name = f"{asked.word}{' (late)' if asked.late else '' if ok else ' (refused)'}"
        problem = "" if known else f"{result.status.reason}: {result.status.message}"
        self.out.timed("session", name, asked.due, now, problem)
        if known:
            self._answered(asked, ok, now)

    def _answered(self, asked: _Asked, ok: bool, now: float) -> None:
        word = Fact(
            Kind.WORD, now, self.agent, asked.task, asked.fence, asked.word, asked.sent, ok, asked.late
        )
        self.out.fact(word)
        if asked.late:
            return
        if asked.word == "complete" and ok:
            self.out.count(COMPLETIONS_ACKNOWLEDGED)
        if not ok or asked.word in ENDING:
            self._let_go(asked.task, asked.fence)
        elif asked.word == "accept":
            self._begin(asked.task, asked.fence, now)

    # What the agent does.

    def _shown(self, offer: common_pb2.Offer, now: float) -> None:
        task, fence = offer.task.name, offer.fence
        self.out.fact(Fact(Kind.SHOWN, now, self.agent, task, fence, "offer", from_store(offer.offer_time)))
        if lack := lacking(self.skills, offer.task):
            self.out.violation(SKILLS, f"{self.agent} lacks {lack}")
        if others := [name for name, held in self._held.items() if name != task and not held.ending]:
            self.out.violation(CAPACITY, f"{self.agent} is offered {task} beside {others[0]}")
        self._held[task] = Holding(fence)
        self._at(now + self.habits.think_s, partial(self._accept, task, fence))

    def _time_offer(self, offer: common_pb2.Offer, now: float) -> None:
        task = offer.task
        fresh = not (task.recalls or task.declines or task.attempts)
        if fresh and DUE_LABEL in task.labels:
            self.out.timed("event", "submit -> offer shown", float(task.labels[DUE_LABEL]), now)
        opening = since(self.habits.openings, now)
        if opening is not None and opening not in self._openings_seen:
            self._openings_seen.add(opening)
            self.out.timed("event", "gate opens -> offer shown", opening, now)

    def _accept(self, task: str, fence: int, due: float, now: float) -> None:
        if now < self.habits.ends_at and self._holds(task, fence):
            self._ask("accept", Request(accept=Request.Accept(task=task, fence=fence)), task, fence, due, now)

    def _begin(self, task: str, fence: int, now: float) -> None:
        if (held := self._held.get(task)) is None or held.fence != fence:
            return
        held.leased = True
        work_s = self.rng.uniform(0.5, 1.5) * self.habits.work_s
        # The account is closed soon after the load: whoever has more work than that hurries, not all at once.
        done_at = min(now + work_s, max(now, self.habits.ends_at + self.rng.uniform(0.0, _HURRY_S)))
        self._at(now + work_s / 2, partial(self._save, task, fence))
        self._at(done_at, partial(self._complete, task, fence))
        if (former := self._former.get(task)) is not None and former < fence:
            self._complete_late(task, former, now)

    def _complete_late(self, task: str, former: int, now: float) -> None:
        """Say what must be refused: a completion under the fence of an earlier hand-over to this same agent."""
        word = Request(complete=Request.Complete(task=task, fence=former, outcome="late"))
        self._ask("complete", word, task, former, now, now, late=True)

    def _save(self, task: str, fence: int, due: float, now: float) -> None:
        if self._holds(task, fence):
            saved = common_pb2.Checkpoint(data=b"half of it")
            word = Request(checkpoint=Request.SaveCheckpoint(task=task, fence=fence, checkpoint=saved))
            self._ask("checkpoint", word, task, fence, due, now)

    def _complete(self, task: str, fence: int, due: float, now: float) -> None:
        if self._holds(task, fence):
            self._held[task].ending = True
            self.out.count(COMPLETIONS_SENT)
            word = Request(complete=Request.Complete(task=task, fence=fence, outcome="done"))
            self._ask("complete", word, task, fence, due, now)

    def _release(self, task: str, fence: int, due: float, now: float) -> None:
        if self._holds(task, fence):
            self._held[task].ending = True
            saved = common_pb2.Checkpoint(data=b"as far as I got")
            word = Request(release=Request.Release(task=task, fence=fence, checkpoint=saved))
            self._ask("release", word, task, fence, due, now)

    def _beat(self, due: float, now: float) -> None:
        self.send(Request(heartbeat=Request.Heartbeat()))
        self._at(due + self.habits.heartbeat_s, self._beat)

    # Bookkeeping.

    def _holds(self, task: str, fence: int) -> bool:
        held = self._held.get(task)
        return held is not None and held.fence == fence and not held.ending

    def _taken(self, task: str, fence: int, now: float) -> None:
        self.out.fact(Fact(Kind.TOLD, now, self.agent, task, fence))
        self._let_go(task, fence)

    def _let_go(self, task: str, fence: int) -> None:
        held = self._held.get(task)
        if held is not None and held.fence == fence:
            del self._held[task]
            if held.leased:
                self._former[task] = fence

    def _ask(
        self,
        word: str,
        request: Request,
        task: str,
        fence: int,
        due: float,
        now: float,
        *,
        late: bool = False,
    ) -> None:
        self._numbers += 1
        request.correlation_id = str(self._numbers)
        self._asked[request.correlation_id] = _Asked(word, task, fence, due, now, late)
        self.send(request)

    def _at(self, due: float, action: Callable[[float, float], None]) -> None:
        self._numbers += 1
        heapq.heappush(self._agenda, (due, self._numbers, action))
