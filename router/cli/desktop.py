"""`workrouter desktop`: an agent desktop in the terminal."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from clients.agent import (
    AgentSession,
    Changed,
    Connected,
    Disconnected,
    Event,
    Leased,
    NoTask,
    Offered,
    PullingAgent,
    Recalled,
    Rescinded,
    Revoked,
)
from clients.channel import Connection
from clients.errors import ApiError
from clients.names import short
from clients.streams import settle
from router.cli.common import AGENT, UserError, common, describe, run
from router.cli.inputs import span_s
from router.cli.lines import Lines
from router.cli.output import agent_state, skills, span, text_of
from router.v1 import common_pb2

HELP = """commands:
  accept [TASK]        take the offer        decline [REASON]     refuse it
  save TEXT            save progress         complete [TEXT]      end the task as done, with a result
  release [TEXT]       hand the task back, with a last checkpoint; this is how a recall is obeyed
  park 10m             set it aside          resume [TASK]        take a parked task up again
  extend 5m            keep it longer        next [WAIT]          ask for the next task, waiting up to WAIT
  ready, notready      ask for tasks or not  status               what this desktop holds
  wait offer|lease|recall|idle [SPAN]        wait for it (for scripts)
  sleep SPAN                                 wait (for scripts)
  help, quit"""


def desktop(
    agent: Annotated[str, typer.Argument(metavar="[AGENT]", help="Who you are; the same as --as.")] = "",
    notready: Annotated[bool, typer.Option("--notready", help="Connect without asking for tasks.")] = False,
    patience: Annotated[
        str, typer.Option(help="How long a command from a pipe waits for the offer or task that it needs.")
    ] = "60s",
) -> None:
    """Be an agent: see offers and recalls, accept, save, complete.

    workrouter desktop alice

    Type `help` for the commands. They can come from a pipe too; then a command waits for what it needs:

    printf 'accept\\nsave half done\\ncomplete approved\\n' | workrouter desktop alice

    At the end of the input the desktop disconnects; a task that it still holds goes back when its lease ends.
    """
    who = agent or common().caller
    patience_s = span_s(patience)

    async def work(connection: Connection) -> None:
        if not who and not common().token:
            raise UserError("say who you are: workrouter desktop alice")
        lines = Lines(f"{who}> ")
        session = AgentSession(
            connection, ready=not notready, client_info="workrouter desktop", connect_timeout_s=5.0
        )
        async with session:
            await Desktop(session, lines, patience_s).run()

    run(AGENT, work, who or "agent")


class Desktop:
    """Shows what the router says and does what the lines say."""

    def __init__(self, session: AgentSession, lines: Lines, patience_s: float) -> None:
        """Let a command from a pipe wait up to `patience_s` for what it needs."""
        self._session = session
        self._holdings = session.holdings
        self._pulling = PullingAgent(session.connection)
        self._lines = lines
        self._show = lines.show
        self._patience_s = 0.0 if lines.interactive else patience_s
        self._changed = asyncio.Event()
        self._countdowns: dict[str, asyncio.Task[None]] = {}
        self._commands: dict[str, Callable[[str], Awaitable[None] | None]] = {
            "accept": self._accept,
            "decline": self._decline,
            "save": self._save,
            "complete": self._complete,
            "release": self._release,
            "park": self._park,
            "resume": self._resume,
            "extend": self._extend,
            "next": self._next,
            "ready": lambda _: self._ready(True),
            "notready": lambda _: self._ready(False),
            "status": lambda _: self._status(),
            "wait": self._wait,
            "sleep": lambda text: asyncio.sleep(span_s(text)),
            "help": lambda _: self._show(HELP),
        }

    async def run(self) -> None:
        """Go on until `quit`, the end of the input, or the router ends the session. Raises ApiError."""
        watching = asyncio.create_task(self._watch())
        typing = asyncio.create_task(self._type())
        try:
            await asyncio.wait({watching, typing}, return_when=asyncio.FIRST_COMPLETED)
            for task in (watching, typing):
                if task.done():
                    task.result()
        finally:
            await settle(watching, typing, *self._countdowns.values())

    async def _watch(self) -> None:
        async for event in self._session:
            self._tell(event)
            self._changed.set()

    async def _type(self) -> None:
        async for line in self._lines.read():
            word, _, rest = line.partition(" ")
            if word in ("quit", "exit"):
                break
            await self._obey(word, rest.strip())
        if self._holdings.leases:
            self._show(f"left: {_names(self._holdings.leases)} goes back when the lease ends")

    async def _obey(self, word: str, rest: str) -> None:
        command = self._commands.get(word)
        if command is None:
            self._show(f"no such command: {word}; type help")
            return
        try:
            doing = command(rest)
            if inspect.isawaitable(doing):
                await doing
        except ApiError as error:
            self._show(f"not done: {describe(error)}")
        except UserError as error:
            self._show(f"not done: {error}")

    # What the router says.

    def _tell(self, event: Event) -> None:
        match event:
            case Connected(snapshot):
                self._show(f"connected as {short(snapshot.agent.name)}. {_idle(snapshot.why_idle)}".rstrip())
            case Disconnected(error, retry_in_s):
                self._show(
                    f"connection lost ({describe(error)}); again in {retry_in_s:.1f} s. What you hold stays yours"
                )
            case Offered(offer):
                self._tell_offer(offer)
            case Rescinded(task, _, reason, detail):
                self._show(f"offer withdrawn: {short(task)} ({_why(reason, detail)})")
            case Leased(lease, reason):
                self._show(f"yours ({reason.lower()}): {_about(lease.task)}")
                self._show_checkpoint(lease)
            case Recalled(recall):
                self._tell_recall(recall)
            case Revoked(task, _, reason, detail):
                self._show(f"taken back: {short(task)} ({_why(reason, detail)})")
            case Changed(agent, why_idle):
                telephone = f"telephone {agent_state(agent.state)}. " if agent.blending_group else ""
                self._show(f"{telephone}{_idle(why_idle)}" or "status changed")

    def _tell_offer(self, offer: common_pb2.Offer) -> None:
        left = span(max(0.0, self._session.remaining_s(offer.deadline)))
        self._show(f"OFFER {_about(offer.task)}")
        if offer.why:
            self._show(f"  why: {offer.why}")
        self._show(f"  `accept` or `decline REASON` within {left}")

    def _tell_recall(self, recall: common_pb2.Recall) -> None:
        self._show(f"*** RECALL *** {short(recall.task)}: {recall.reason or 'calls need you'}")
        self._show("  `release TEXT` saves your progress and hands it back")
        old = self._countdowns.pop(recall.task, None)
        if old is not None:
            old.cancel()
        self._countdowns[recall.task] = asyncio.create_task(self._count_down(recall))

    async def _count_down(self, recall: common_pb2.Recall) -> None:
        while recall.task in self._holdings.recalls:
            left = self._session.remaining_s(recall.notice_deadline)
            if left <= 0:
                return
            self._show(f"*** RECALL *** {short(recall.task)}: {left:.0f} s left")
            # By tens while there is time, by seconds at the end.
            await asyncio.sleep(left % 10 + 0.01 if left > 10 else min(1.0, left))

    def _show_checkpoint(self, lease: common_pb2.Lease) -> None:
        if lease.checkpoint.data:
            self._show(f"  go on from: {text_of(lease.checkpoint.data)}")

    # What the agent does.

    async def _accept(self, task: str) -> None:
        offer = await self._pick(lambda: self._holdings.offers, task, "offer")
        lease = await self._session.accept(offer)
        self._show(f"accepted: {short(lease.task.name)}; the lease is kept while this desktop is connected")
        self._show_checkpoint(lease)

    async def _decline(self, reason: str) -> None:
        offer = await self._pick(lambda: self._holdings.offers, "", "offer")
        await self._session.decline(offer, reason)
        self._show(f"declined: {short(offer.task.name)}")

    async def _save(self, text: str) -> None:
        lease = await self._lease()
        await self._session.checkpoint(lease, text.encode())
        self._show(f"saved: {short(lease.task.name)}")

    async def _complete(self, text: str) -> None:
        lease = await self._lease()
        await self._session.complete(lease, text.encode())
        self._show(f"completed: {short(lease.task.name)}")

    async def _release(self, text: str) -> None:
        lease = await self._lease()
        await self._session.release(lease, text.encode() if text else None)
        self._show(f"handed back: {short(lease.task.name)}")

    async def _park(self, text: str) -> None:
        until = datetime.now(UTC) + timedelta(seconds=span_s(text or "10m"))
        lease = await self._lease()
        await self._session.park(lease, until)
        self._show(f"parked: {short(lease.task.name)} for {text or '10m'}; `resume` takes it up again")

    async def _resume(self, task: str) -> None:
        parked = await self._pick(lambda: self._holdings.parked, task, "parked task")
        lease = await self._session.resume(parked)
        self._show(f"yours again: {short(lease.task.name)}")
        self._show_checkpoint(lease)

    async def _extend(self, text: str) -> None:
        lease = await self._lease()
        done = await self._session.extend(lease, span_s(text) if text else None)
        left = span(max(0.0, self._session.remaining_s(done.deadline)))
        self._show(f"extended: {short(lease.task.name)}, {left} from now")

    async def _next(self, text: str) -> None:
        found = await self._pulling.get_next(span_s(text) if text else 0.0)
        if isinstance(found, NoTask):
            self._show(f"no task: {found.detail or found.reason.lower().replace('_', ' ')} ({found.reason})")
            return
        name = found.task.name
        if name not in self._holdings.leases:
            self._holdings.leases[name] = found
            self._show(f"yours (pulled): {_about(found.task)}")
            self._show_checkpoint(found)

    async def _ready(self, ready: bool) -> None:
        await self._session.set_ready(ready)
        self._show("ready for tasks" if ready else "no new tasks; what you hold stays yours")

    def _status(self) -> None:
        held = self._holdings
        agent = self._session.agent
        telephone = f"telephone {agent_state(agent.state)}, " if agent.blending_group else ""
        self._show(
            f"{short(agent.name)}: {telephone}{'ready' if self._session.ready else 'not ready'}."
            f" Offers: {_names(held.offers)}. Tasks: {_names(held.leases)}. Parked: {_names(held.parked)}."
            f" {_idle(held.why_idle)}".rstrip()
        )

    async def _wait(self, text: str) -> None:
        word, _, limit = text.partition(" ")
        held = self._holdings
        goals: dict[str, Callable[[], bool]] = {
            "offer": lambda: bool(held.offers),
            "lease": lambda: bool(held.leases),
            "recall": lambda: bool(held.recalls),
            "idle": lambda: not held.offers and not held.leases,
        }
        if word not in goals:
            raise UserError("wait for what? write: wait offer, wait lease, wait recall or wait idle")
        if not await self._until(goals[word], span_s(limit) if limit else 60.0):
            raise UserError(f"waited in vain for {word}")

    async def _lease(self) -> common_pb2.Lease:
        lease: common_pb2.Lease = await self._pick(lambda: self._holdings.leases, "", "task")
        return lease

    async def _pick(self, held: Callable[[], dict[str, Any]], task: str, what: str) -> Any:
        """Return the thing named, or the oldest one, waiting for it where the lines come from a pipe."""

        def match() -> Any:
            return next((x for name, x in held().items() if task in ("", name, short(name))), None)

        await self._until(lambda: match() is not None, self._patience_s)
        found = match()
        if found is None:
            raise UserError(f"there is no {what} {task}".rstrip())
        return found

    async def _until(self, holds: Callable[[], bool], limit_s: float) -> bool:
        try:
            async with asyncio.timeout(limit_s):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return holds()
        return True


def _why(reason: str, detail: str) -> str:
    return detail.rstrip(".") or reason.lower().replace("_", " ")


def _idle(why: str) -> str:
    return why if not why or why.endswith(".") else f"{why}."


def _names(tasks: Iterable[str]) -> str:
    return " ".join(map(short, tasks)) or "none"


def _about(task: common_pb2.Task) -> str:
    parts = [f"{short(task.name)}: {short(task.work_type)}, priority {task.priority}"]
    if task.required_skills:
        parts.append(f"needs {skills(task.required_skills)}")
    if task.customer_reference:
        parts.append(f"customer {task.customer_reference}")
    if task.payload:
        parts.append(f'"{text_of(task.payload)}"')
    return ", ".join(parts)
