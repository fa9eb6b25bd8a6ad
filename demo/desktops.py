"""The agents' desktops: each a session with the router, driven by how the demo's agents behave."""

from __future__ import annotations

import asyncio
import json
import random

from callcenter.center import AgentState
from callcenter.desk import Action, ActionKind, Desk, DeskState, Habits
from callcenter.distributions import Uniform
from clients import AgentHandlers, AgentSession, ApiError, Connection, Outcome, short
from clients.values import moment
from demo.acd import Acd
from demo.book import Book
from demo.scale import SimClock
from demo.work import mean_work_s
from router.v1 import common_pb2

HABITS = Habits(checkpoint_s=Uniform(40.0, 60.0))
# One in so many tasks that were handed back is completed once more under its old fence, which must be refused.
_LATE_EVERY = 10
_LONG_NAP_S = 5.0


class Desktop(AgentHandlers):
    """One agent's desktop. What the router says changes the desk at once; what the agent does goes out in order."""

    def __init__(
        self, agent: str, connection: Connection, clock: SimClock, book: Book, acd: Acd, seed: int
    ) -> None:
        """Set the desk up; `run` connects it."""
        self.agent = agent
        self.desk = Desk(agent, random.Random(f"{seed}/desk/{agent}"), HABITS)
        self.session = AgentSession(connection, self, client_info="demo desktop")
        self._clock = clock
        self._book = book
        self._acd = acd
        self._wake = asyncio.Event()
        self._offer: common_pb2.Offer | None = None
        self._lease: common_pb2.Lease | None = None
        self._saved_s = 0.0
        self._hands_back = False

    def __str__(self) -> str:
        """Return who sits here and what is on the desk."""
        task = self.desk.task or (self._lease.task.name if self._lease else "")
        return f"{self.agent}, desk {self.desk.state.lower()} {short(task)}".rstrip()

    @property
    def busy(self) -> bool:
        """Say whether something is on the desk."""
        return self.desk.state is not DeskState.FREE or self._lease is not None

    async def run(self) -> None:
        """Work until cancelled."""
        async with self.session:
            while True:
                self._wake.clear()
                now = self._clock.now()
                if (due := self.desk.due_at()) is not None and due <= now:
                    self._book.lag(now - due)
                    for action in self.desk.step(now):
                        await self._do(action)
                    continue
                nap_s = _LONG_NAP_S if due is None else self._clock.wall_until(due)
                try:
                    async with asyncio.timeout(nap_s):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    def hand_back(self) -> None:
        """The day is over: stop working and give back what is on the desk, interruptible or not."""
        if self.desk.task is not None and self.desk.recall(self._clock.now(), self.desk.task):
            self._hands_back = True
            self._wake.set()

    # What the router says.

    async def on_offer(self, session: AgentSession, offer: common_pb2.Offer) -> None:
        """An offer is shown."""
        self._check_offer(offer)
        work_s, done_s = _work_of(offer.task), _progress(offer.task.checkpoint)
        if not self.desk.offer(self._clock.now(), offer.task.name, work_s, done_s):
            self._book.problems["an offer came to a desk that was taken"] += 1
            await self._decline(offer)
            return
        self._offer, self._lease, self._saved_s = offer, None, done_s
        self._wake.set()

    async def on_rescind(self, session: AgentSession, task: str, fence: int, reason: str) -> None:
        """An offer is gone."""
        self._book.rescinded += 1
        self._book.unreserved.pop(fence, None)
        self._book.beside_a_call.pop((self.agent, task), None)
        self.desk.rescind(task)
        self._wake.set()

    async def on_lease(self, session: AgentSession, lease: common_pb2.Lease, reason: str) -> None:
        """A lease stands that the desk did not ask for, as after a reconnect."""
        if self.desk.task == lease.task.name:
            self._lease = lease
            return
        self._saved_s = _progress(lease.checkpoint)
        if self.desk.start(self._clock.now(), lease.task.name, _work_of(lease.task), self._saved_s):
            self._lease = lease
            self._wake.set()

    async def on_recall(self, session: AgentSession, recall: common_pb2.Recall) -> None:
        """The router wants the agent back."""
        self._book.recalled(self.agent, self._clock.sim_of(moment(recall.recall_time)))
        self.desk.recall(self._clock.now(), recall.task)
        self._wake.set()

    async def on_revoke(self, session: AgentSession, task: str, fence: int, reason: str) -> None:
        """The task is gone."""
        self._book.revoked[reason] += 1
        self._book.beside_a_call.pop((self.agent, task), None)
        lease = self._lease
        self.desk.take_away(self._clock.now(), task)
        self._wake.set()
        if lease is not None and lease.task.name == task and lease.fence == fence:
            self._lease = None
            await self._try_late(lease)

    async def on_disconnected(self, session: AgentSession, error: ApiError, retry_in_s: float) -> None:
        """The session broke; it comes back by itself."""
        self._book.problems[f"session: {error}"] += 1

    def called(self) -> None:
        """A call reaches this agent's telephone."""
        if self.desk.state in (DeskState.WORKING, DeskState.WRAPPING_UP) and self.desk.task is not None:
            # Unless the task is withdrawn and the message is under way: then it is taken off the list again.
            self._book.beside_a_call[self.agent, self.desk.task] = self._clock.now()

    def _check_offer(self, offer: common_pb2.Offer) -> None:
        self._book.offers += 1
        state = self._acd.center.state_of(self.agent)
        if state is not AgentState.RESERVED:
            # Unless the withdrawal is on its way already: then it is taken off the list again.
            self._book.unreserved[offer.fence] = f"{self.agent} was {state}"
        closed_at = self._book.gate_closed_at
        if closed_at is not None and self._clock.sim_of(moment(offer.offer_time)) > closed_at:
            self._book.late_offers += 1

    # What the agent does.

    async def _do(self, action: Action) -> None:
        saved_s = self._saved_s
        try:
            taken = await self._say(action)
        except ApiError as error:
            self._refused(action, error)
            taken = False
        if not taken and action.kind in (ActionKind.COMPLETE, ActionKind.RETURN):
            self.desk.not_kept(action.done_s - saved_s)

    async def _say(self, action: Action) -> bool:
        """Tell the router; False when there is nothing to tell, because the task was taken away."""
        offer, lease = self._offer, self._lease
        if action.kind is ActionKind.ACCEPT and offer is not None and offer.task.name == action.task:
            self._lease = await self.session.accept(offer)
            self._offer = None
            self._book.accepted += 1
        elif lease is None or lease.task.name != action.task:
            return False
        elif action.kind is ActionKind.CHECKPOINT:
            await self.session.checkpoint(lease, _progress_data(action.done_s))
            self._saved_s = action.done_s
        elif action.kind is ActionKind.COMPLETE:
            await self._complete(lease, action)
        elif action.kind is ActionKind.RETURN:
            await self._return(lease, action)
        return True

    async def _complete(self, lease: common_pb2.Lease, action: Action) -> None:
        await self.session.complete(lease, b"{}", "done")
        self._book.completions.append((short(action.task), action.at))
        self._lease = None

    async def _return(self, lease: common_pb2.Lease, action: Action) -> None:
        reason = "end of the day" if self._hands_back else "recalled"
        await self.session.release(lease, _progress_data(action.done_s), reason)
        self._book.returned += 1
        self._lease = None
        if self._book.returned % _LATE_EVERY == 0:
            await self._try_late(lease)

    def _refused(self, action: Action, error: ApiError) -> None:
        """The task has gone elsewhere, or the answer never came."""
        self._book.beside_a_call.pop((self.agent, action.task), None)
        self._book.refused[f"{action.kind.lower()}: {error.reason or error.code.name}"] += 1
        if error.outcome is Outcome.UNKNOWN and action.kind is ActionKind.COMPLETE:
            self._book.unsure.append(short(action.task))
        if self.desk.task == action.task:
            self.desk.take_away(self._clock.now(), action.task)
        if self._offer is not None and self._offer.task.name == action.task:
            self._offer = None
        if self._lease is not None and self._lease.task.name == action.task:
            self._lease = None

    async def _try_late(self, lease: common_pb2.Lease) -> None:
        """Complete a task that is no longer held: the router must refuse and change nothing."""
        self._book.tried_late += 1
        try:
            await self.session.complete(lease, b"{}", "late")
        except ApiError:
            return
        self._book.late_effects += 1

    async def _decline(self, offer: common_pb2.Offer) -> None:
        try:
            await self.session.decline(offer, "the desk is taken")
        except ApiError as error:
            self._book.refused[f"decline: {error.reason or error.code.name}"] += 1


def _work_of(task: common_pb2.Task) -> float:
    """Return the seconds of work in a task, as its payload tells the simulated agent."""
    try:
        return float(json.loads(task.payload)["work_s"])
    except (ValueError, KeyError, TypeError):
        return mean_work_s()


def _progress_data(done_s: float) -> bytes:
    return json.dumps({"done_s": round(done_s, 3)}).encode()


def _progress(checkpoint: common_pb2.Checkpoint) -> float:
    return float(json.loads(checkpoint.data)["done_s"]) if checkpoint.data else 0.0
