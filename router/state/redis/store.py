"""The Store port on Redis or Valkey: each method that changes something calls one function of the library."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from redis.exceptions import ResponseError

from router.domain.errors import InvalidInput, RouterError
from router.domain.model import (
    AcdCommand,
    Agent,
    AgentProfile,
    AgentReport,
    AgentState,
    ClaimMode,
    Document,
    Gate,
    GateMode,
    NoTask,
    ReportOutcome,
    Task,
)
from router.domain.ports import (
    SLICE,
    Audit,
    Change,
    Claim,
    HintListener,
    NewTask,
    ReportResult,
    Submitted,
    TaskUpdate,
)
from router.state import records
from router.state.redis.client import Connections
from router.state.redis.dump import KINDS, decode_dump
from router.state.redis.hints import HintReceiver
from router.state.redis.keys import SITES
from router.state.redis.library import load_library
from router.state.redis.looks import Looks, task_of
from router.state.redis.outcomes import checked, error_of
from router.state.redis.wire import packed

Reply = dict[str, Any]

MOST_PER_CALL = 100
"""Tasks of a submit or a purge."""
SILENT_MS, FORGET_MS = 15_000, 600_000
"""A worker silent for so long is told of, and forgotten."""


class RedisStore(Looks):
    """See :class:`router.domain.ports.Store`. Open it with :meth:`open`."""

    def __init__(self, connections: Connections, max_tasks: int) -> None:
        super().__init__(connections)
        self._library = load_library()
        self._max_tasks = max_tasks
        self._hints = HintReceiver(connections)
        connections.on_lost(self._hints.answers_lost)
        connections.on_unclaimed(self._hear)
        self._known_sites: set[str] = set()
        self._loading = asyncio.Lock()

    @classmethod
    async def open(
        cls, url: str, *, timeout_s: float = 5.0, max_tasks: int = 2_000_000, replicated: bool = False
    ) -> Self:
        """Connect and load the function library. StoreUnavailable if the store does not answer.

        ``max_tasks``: how many tasks a site may hold before a submit is answered RESOURCE_EXHAUSTED.
        ``replicated``: a change is answered when a replica has it; StoreUnavailable when none has it in time.
        """
        connections = Connections(url, timeout_s=timeout_s, replicated=replicated)
        store = cls(connections, max_tasks)
        try:
            await connections.load(store._library)
        except BaseException:
            await connections.close()
            raise
        return store

    @property
    def connections(self) -> Connections:
        """The connections, for the guard that checks what kind of store this is."""
        return self._connections

    # -- life of a task ------------------------------------------------------------------------------------
    async def submit(
        self, site: str, tasks: Sequence[NewTask], now_ms: int | None = None
    ) -> list[Submitted | Exception]:
        """Store up to 100 tasks, QUEUED or SCHEDULED; per task the answer or its error."""
        if len(tasks) > MOST_PER_CALL:
            raise InvalidInput([("tasks", f"at most {MOST_PER_CALL} tasks can be submitted in one call")])
        slices = [tasks[i : i + SLICE] for i in range(0, len(tasks), SLICE)]
        return [answer for part in slices for answer in await self._submit(site, part, now_ms)]

    async def _submit(
        self, site: str, tasks: Sequence[NewTask], now_ms: int | None
    ) -> list[Submitted | RouterError]:
        defs = {qid: d for new in tasks for qid, d in records.plan_queues(new.plan).items()}
        reply = await self._call(
            "submit",
            site,
            now_ms,
            tasks=[_new_task(new) for new in tasks],
            defs=_packed(defs),
            max=self._max_tasks,
        )
        return [_submitted(new, row) for new, row in zip(tasks, reply["rows"], strict=True)]

    async def claim(
        self,
        site: str,
        agent: str,
        mode: ClaimMode,
        *,
        task: str = "",
        cursor: str = "",
        actor: str = "",
        why: str = "",
        once: bool = False,
        now_ms: int | None = None,
    ) -> Claim:
        """Give the agent its next-best task (or the named one) if every invariant allows it."""
        reply = await self._call(
            "claim",
            site,
            now_ms,
            agent=agent,
            mode=str(mode),
            task=task or None,
            cursor=cursor,
            actor=actor,
            why=why or None,
            once=once or None,
        )
        checked(reply, f"task {task}")
        if reply["o"] == "NONE":
            return Claim(None, NoTask(reply["r"]), reply.get("cursor", ""), queued=reply.get("qd"))
        return Claim(_task(reply), anchor=reply.get("an", ""), queued=reply.get("qd"))

    async def accept(self, site: str, task: str, agent: str, fence: int, now_ms: int | None = None) -> Change:
        """OFFERED -> ACTIVE. A repeated accept with the live fence answers the same."""
        return await self._change("accept", site, now_ms, task=task, agent=agent, fence=fence)

    async def decline(
        self, site: str, task: str, agent: str, fence: int, reason: str, now_ms: int | None = None
    ) -> Change:
        """OFFERED -> QUEUED (front); the agent is excluded for the work type's stated time."""
        return await self._change("decline", site, now_ms, task=task, agent=agent, fence=fence, reason=reason)

    async def rescind(
        self,
        site: str,
        task: str,
        fence: int,
        reason: str,
        actor: str,
        now_ms: int | None = None,
        *,
        why: str = "",
        policy_version: int = 0,
    ) -> Change:
        """OFFERED -> QUEUED (front), by the router. The history keeps ``why`` with the version that decided it."""
        return await self._change(
            "rescind",
            site,
            now_ms,
            task=task,
            fence=fence,
            reason=reason,
            actor=actor,
            why=why or None,
            pv=policy_version,
        )

    async def show(self, site: str, task: str, fence: int, now_ms: int | None = None) -> Change:
        """The ACD has confirmed: the hidden offer may be shown; its deadline starts again."""
        return await self._change("show", site, now_ms, task=task, fence=fence)

    async def checkpoint(
        self, site: str, task: str, agent: str, fence: int, data: bytes, now_ms: int | None = None
    ) -> Change:
        """Save progress; also renews the lease of an ACTIVE task."""
        return await self._change("checkpoint", site, now_ms, task=task, agent=agent, fence=fence, data=data)

    async def extend(
        self, site: str, task: str, agent: str, fence: int, lease_ms: int, now_ms: int | None = None
    ) -> Change:
        """Renew the lease for ``lease_ms`` from now (0: the task's own lease duration)."""
        return await self._change("extend", site, now_ms, task=task, agent=agent, fence=fence, lease=lease_ms)

    async def complete(
        self,
        site: str,
        task: str,
        agent: str,
        fence: int,
        result: bytes,
        outcome: str,
        now_ms: int | None = None,
    ) -> Change:
        """ACTIVE or RECALLING -> COMPLETED. A repeated completion with the same fence answers the same."""
        return await self._change(
            "complete", site, now_ms, task=task, agent=agent, fence=fence, result=result, outcome=outcome
        )

    async def release(
        self,
        site: str,
        task: str,
        agent: str,
        fence: int,
        reason: str,
        data: bytes | None,
        now_ms: int | None = None,
    ) -> Change:
        """Hand a task back, with a last checkpoint: RECALLING obeys a recall; ACTIVE gives up."""
        return await self._change(
            "release", site, now_ms, task=task, agent=agent, fence=fence, reason=reason, data=data
        )

    async def park(
        self, site: str, task: str, agent: str, fence: int, until_ms: int, now_ms: int | None = None
    ) -> Change:
        """ACTIVE or RECALLING -> PARKED for this agent; at ``until_ms`` it goes back to the front of its queue."""
        return await self._change(
            "park", site, now_ms, task=task, agent=agent, fence=fence, until_ms=until_ms
        )

    async def resume(self, site: str, task: str, agent: str, fence: int, now_ms: int | None = None) -> Change:
        """PARKED -> ACTIVE with a new fence, under the same conditions as a pull."""
        return await self._change(
            "resume", site, now_ms, task=task, agent=agent, fence=fence, actor=f"agent:{agent}"
        )

    async def recall(
        self,
        site: str,
        task: str,
        fence: int,
        notice_ms: int,
        reason: str,
        actor: str,
        now_ms: int | None = None,
        *,
        why: str = "",
        policy_version: int = 0,
    ) -> Change:
        """ACTIVE -> RECALLING with a notice (0: force at once); OFFERED is rescinded. ``why`` as in rescind."""
        return await self._change(
            "recall",
            site,
            now_ms,
            task=task,
            fence=fence,
            notice=notice_ms,
            reason=reason,
            actor=actor,
            why=why or None,
            pv=policy_version,
        )

    async def force(
        self, site: str, task: str, fence: int, reason: str, actor: str, now_ms: int | None = None
    ) -> Change:
        """ACTIVE or RECALLING -> QUEUED with its last checkpoint, whatever the desktop says."""
        return await self._change("force", site, now_ms, task=task, fence=fence, reason=reason, actor=actor)

    async def cancel(
        self,
        site: str,
        task: str,
        reason: str,
        actor: str,
        revision: int | None = None,
        now_ms: int | None = None,
    ) -> Change:
        """Any state but a terminal one -> CANCELED. A repeated cancel answers the same."""
        return await self._change("cancel", site, now_ms, task=task, reason=reason, actor=actor, rev=revision)

    async def update(
        self, site: str, task: str, change: TaskUpdate, actor: str, now_ms: int | None = None
    ) -> Change:
        """Change what the submitter said; EtagMismatch when ``change.revision`` is not the live one."""
        spec, plan = change.spec, change.plan
        return await self._change(
            "update",
            site,
            now_ms,
            task=task,
            actor=actor,
            rev=change.revision,
            sp=records.pack_spec(spec) if spec else None,
            set=records.spec_fields(spec) if spec else None,
            plan=records.plan_fields(plan) if plan else None,
            defs=_packed(records.plan_queues(plan)) if plan else {},
            take_back=change.take_back,
            reason=change.reason or None,
        )

    async def revive(
        self,
        site: str,
        task: str,
        actor: str,
        reason: str = "",
        revision: int | None = None,
        now_ms: int | None = None,
    ) -> Change:
        """DEAD_LETTER -> QUEUED with its attempts forgiven."""
        return await self._change("revive", site, now_ms, task=task, actor=actor, reason=reason, rev=revision)

    async def due(self, site: str, limit: int, now_ms: int | None = None) -> list[str]:
        """Tasks whose next event's time has come, earliest first."""
        return list((await self._call("due", site, now_ms, limit=limit))["ids"])

    async def advance(self, site: str, task: str, now_ms: int | None = None) -> Task | None:
        """Do what is due for the task; None when nothing is due (any more)."""
        reply = await self._call("advance", site, now_ms, task=task)
        return None if reply["o"] == "NONE" else _task(reply)

    # -- agents --------------------------------------------------------------------------------------------
    async def put_profile(
        self, site: str, profile: AgentProfile, etag: int | None, now_ms: int | None = None
    ) -> Agent:
        """Create (etag 0), replace (etag of the profile read) or overwrite (None) an agent's profile."""
        return await self._agent_change(
            "put_profile",
            site,
            now_ms,
            agent=profile.id,
            set=records.profile_fields(profile),
            blob=records.pack_profile(profile),
            etag=etag,
        )

    async def delete_profile(
        self, site: str, agent: str, etag: int | None = None, now_ms: int | None = None
    ) -> None:
        """Forget an agent that is disconnected and holds nothing; WrongState otherwise, EtagMismatch if it changed."""
        checked(await self._call("delete_profile", site, now_ms, agent=agent, etag=etag), f"agent {agent}")

    async def connect(
        self, site: str, agent: str, worker: str, session: str, ready: bool, now_ms: int | None = None
    ) -> Agent:
        """A desktop session opens; it replaces an older one (which is told so by an ``agent`` hint)."""
        return await self._agent_change(
            "connect", site, now_ms, agent=agent, worker=worker, session=session, ready=ready
        )

    async def disconnect(self, site: str, agent: str, session: str, now_ms: int | None = None) -> None:
        """The session is gone. Another session's end changes nothing."""
        await self._call("disconnect", site, now_ms, agent=agent, session=session)

    async def set_ready(
        self, site: str, agent: str, session: str, ready: bool, now_ms: int | None = None
    ) -> Agent:
        """The desktop says whether its agent wants tasks."""
        return await self._agent_change("set_ready", site, now_ms, agent=agent, session=session, ready=ready)

    async def set_draining(
        self, site: str, agent: str, draining: bool, reason: str = "", now_ms: int | None = None
    ) -> Agent:
        """A supervisor lets an agent finish and receive nothing more; the reason is kept as long."""
        return await self._agent_change(
            "set_draining", site, now_ms, agent=agent, draining=draining, reason=reason
        )

    # -- telephony -----------------------------------------------------------------------------------------
    async def report(
        self,
        site: str,
        source: str,
        epoch: str,
        sequence: int,
        agents: Sequence[AgentReport],
        *,
        snapshot: bool,
        last: bool = True,
        first: int = 0,
        call_queues: Mapping[str, str] | None = None,
        recall_notice_ms: int = 10_000,
        now_ms: int | None = None,
    ) -> ReportResult:
        """Apply agent states from an ACD; an empty list is a heartbeat. Longer reports go in slices."""
        gone = await self._unnamed(site, source, agents) if snapshot and last else []
        slices = _slices(agents, gone)
        result = None
        for number, (rows, missing) in enumerate(slices):
            ends = (
                number == len(slices) - 1
            )  # a snapshot's end forgets the call queues that came with no slice
            reply = await self._call(
                "report",
                site,
                now_ms,
                src=source,
                ep=epoch,
                sq=sequence,
                first=first or sequence,
                snap=snapshot,
                last=last and ends,
                notice=recall_notice_ms,
                agents=rows,
                gone=missing,
                more=number > 0,
                cq=dict(call_queues or {}) if ends else {},
            )
            touched = tuple(_task(row) for row in reply["rows"])
            unknown = tuple(reply.get("unk", ()))
            if result is None:
                result = ReportResult(ReportOutcome(reply["ro"]), reply["sq"], touched, unknown)
            else:
                touched, unknown = result.touched + touched, result.unknown + unknown
                result = ReportResult(result.outcome, result.sequence, touched, unknown)
            if reply["ro"] != ReportOutcome.APPLIED:
                break
        assert result is not None
        return result

    async def put_command(self, site: str, command: AcdCommand, now_ms: int | None = None) -> None:
        """Let a command stand for its agent until its result; it replaces an older one."""
        record = records.command_record(command)
        reply = await self._call("put_command", site, now_ms, agent=command.agent, command=record)
        checked(reply, f"agent {command.agent}")

    async def command_result(
        self, site: str, command: str, agent: str, ok: bool, error: str, now_ms: int | None = None
    ) -> Task | None:
        """The ACD has answered. RESERVE ok shows the hidden offer, RESERVE failed rescinds it."""
        reply = await self._call(
            "command_result", site, now_ms, command=command, agent=agent, ok=ok, error=error
        )
        return None if reply["o"] == "NONE" else _task(reply)

    # -- gates and leaders ---------------------------------------------------------------------------------
    async def lead(self, site: str, group: str, worker: str, ttl_ms: int, now_ms: int | None = None) -> int:
        """Become or stay the group's leader for ``ttl_ms``; the term, or 0 if another leads."""
        reply = await self._call("lead", site, now_ms, group=group, worker=worker, ttl=ttl_ms)
        return int(reply["term"])

    async def set_gate(self, site: str, gate: Gate, now_ms: int | None = None) -> Gate:
        """Write the gate; Superseded when ``gate.term`` is not the live leader's."""
        reply = await self._call("set_gate", site, now_ms, group=gate.group, gate=records.gate_record(gate))
        return records.gate_from(gate.group, checked(reply, f"the gate of {gate.group}")["g"])

    async def set_gate_mode(
        self,
        site: str,
        group: str,
        mode: GateMode,
        until_ms: int,
        reason: str,
        actor: str,
        now_ms: int | None = None,
    ) -> Gate:
        """A supervisor opens or closes a gate by hand until ``until_ms`` (0: until changed)."""
        reply = await self._call(
            "set_gate_mode",
            site,
            now_ms,
            group=group,
            mode=str(mode),
            until_ms=until_ms,
            reason=reason,
            fresh=records.gate_record(Gate(group=group)),
        )
        return records.gate_from(group, reply["g"])

    async def pause(
        self,
        site: str,
        target: str,
        paused: bool,
        reason: str,
        actor: str,
        now_ms: int | None = None,
    ) -> None:
        """Stop or start handing out a work type (``wt:<id>``) or one queue (``q:<id>``)."""
        await self._call("pause", site, now_ms, target=target, paused=paused, reason=reason)

    # -- documents, upkeep ---------------------------------------------------------------------------------
    async def put_document(
        self, site: str, kind: str, id: str, body: str, etag: int | None, now_ms: int | None = None
    ) -> Document:
        """Create (etag 0), replace (EtagMismatch if changed) or overwrite (None)."""
        reply = await self._call("put_document", site, now_ms, doc=f"{kind}/{id}", body=body, etag=etag)
        return Document(kind, id, checked(reply, f"{kind} {id}")["e"], body)

    async def delete_document(self, site: str, kind: str, id: str, etag: int | None) -> None:
        """Remove a document; EtagMismatch if it changed since."""
        checked(
            await self._call("delete_document", site, None, doc=f"{kind}/{id}", etag=etag), f"{kind} {id}"
        )

    async def purge(self, site: str, before_ms: int, limit: int, now_ms: int | None = None) -> int:
        """Forget up to ``limit`` (<= 100) tasks that ended before ``before_ms``."""
        reply = await self._call("purge", site, now_ms, before=before_ms, limit=min(limit, MOST_PER_CALL))
        return int(reply["n"])

    async def beat(self, site: str, worker: str, now_ms: int | None = None) -> list[str]:
        """Say that the worker lives; the workers of the site silent for 15 s or more (to be reaped)."""
        reply = await self._call("beat", site, now_ms, worker=worker, silent=SILENT_MS, forget=FORGET_MS)
        return list(reply["silent"])

    async def record(
        self, site: str, chunk: bytes, keep_ms: int, keep_chunks: int, now_ms: int | None = None
    ) -> str:
        """Append a chunk to the site's recording; its id. Too old and too many ones go."""
        reply = await self._call("record", site, now_ms, chunk=chunk, keep=keep_ms, most=keep_chunks)
        return str(reply["id"])

    async def audit(self, site: str, now_ms: int | None = None) -> Audit:
        """Check every invariant by a full scan (a test, a doctor; not for the hot path)."""
        from router.state.audit import audit

        found = await self.dump(site)
        return audit(found, now_ms if now_ms is not None else await self.now())

    async def dump(self, site: str) -> dict[str, Any]:
        """All that a site holds, decoded (see :mod:`router.state.redis.dump`)."""
        return decode_dump((await self._call("dump", site, None, **KINDS))["found"])

    async def now(self) -> int:
        """The store's clock."""
        seconds, micros = await self._connections.send("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def listen(self, worker: str, listener: HintListener) -> Callable[[], None]:
        """Receive the hints for ``worker`` and the site-wide ones; the returned call stops it."""
        return self._hints.listen(worker, listener)

    async def listening(self) -> None:
        """Wait until the store knows what :meth:`listen` asked for."""
        await self._hints.ready()

    async def ping(self) -> None:
        """StoreUnavailable if the store does not answer."""
        await self._connections.send("EXISTS", SITES)

    async def close(self) -> None:
        """Let go of every connection."""
        await self._hints.close()
        await self._connections.close()

    # -- calling a transition ------------------------------------------------------------------------------
    async def _call(self, name: str, site: str, now_ms: int | None, **arguments: Any) -> Reply:
        transition = self._library.transitions[name]
        changes = not transition.read_only
        if changes and site not in self._known_sites:
            await self._connections.send_packed(packed(("SADD", SITES, site)), SITES, changes=True)
            self._known_sites.add(site)
        now = b"" if now_ms is None else b"%d" % now_ms
        call = transition.call(site, now, records.pack({**arguments, "si": site, "me": self._hints.here}))
        try:
            answer = await self._connections.send_packed(*call, changes=changes)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            await self._load_again()
            answer = await self._connections.send_packed(*call, changes=changes)
        reply: Reply = records.unpack(answer)
        self._pass_on(reply)
        return reply

    def _pass_on(self, reply: Reply) -> None:
        """Hand on the hints that came with an answer."""
        if "h" in reply:
            self._hints.came_with(reply["h"], _task(reply) if "t" in reply else None)

    def _hear(self, answer: Any) -> None:
        """The hints of an answer that nobody waits for; it may be that of a look, which has none."""
        if not isinstance(answer, bytes):
            return
        try:
            reply = records.unpack(answer)
        except ValueError:
            return
        if isinstance(reply, dict) and "o" in reply:
            self._pass_on(reply)

    async def _load_again(self) -> None:
        """After a restart without persistence or a failover the library is gone; it had not run anything."""
        async with self._loading:
            self._known_sites.clear()
            await self._connections.load(self._library)

    async def _change(self, name: str, site: str, now_ms: int | None, **arguments: Any) -> Change:
        reply = checked(await self._call(name, site, now_ms, **arguments), f"task {arguments['task']}")
        released = reply.get("cmd")
        command = records.command_from(reply["cmd_agent"], released) if released else None
        return Change(_task(reply), command)

    async def _agent_change(self, name: str, site: str, now_ms: int | None, **arguments: Any) -> Agent:
        agent = arguments["agent"]
        reply = checked(await self._call(name, site, now_ms, **arguments), f"agent {agent}")
        return records.agent_from(agent, reply["a"], _blob(reply.get("pf")) or b"")

    async def _unnamed(self, site: str, source: str, agents: Sequence[AgentReport]) -> list[str]:
        """Agents of the source that this part of a snapshot does not name; the transition looks again."""
        named = {report.agent for report in agents}
        found = await self._scan(site, "agents", records.unpack)
        return sorted(
            id
            for id, record in found.items()
            if record.get("src") == source and record["st"] != AgentState.OFFLINE and id not in named
        )


def _slices(
    agents: Sequence[AgentReport], gone: Sequence[str]
) -> list[tuple[list[dict[str, Any]], list[str]]]:
    """What goes into each call of the report function: at most a slice of agents, the unnamed ones last."""
    rows = [
        {
            "id": report.agent,
            "st": str(report.state),
            "rsn": report.reason,
            "lv": report.leave_ms,
            "sm": report.since_ms,
        }
        for report in agents
    ]
    work: list[tuple[dict[str, Any] | None, str]] = [(row, "") for row in rows] + [(None, id) for id in gone]
    parts = [work[i : i + SLICE] for i in range(0, len(work), SLICE)] or [[]]
    return [([row for row, _ in part if row], [id for row, id in part if row is None]) for part in parts]


def _new_task(new: NewTask) -> dict[str, Any]:
    return {
        "id": new.id,
        "t": records.new_task_record(new),
        "sp": records.pack_spec(new.spec),
    }


def _submitted(new: NewTask, row: Reply) -> Submitted | RouterError:
    error = error_of(row, f"task {new.id}")
    if error:
        return error
    if row.get("new"):
        return Submitted(records.task_from(row["id"], row["t"], new.spec), True)
    return Submitted(_task(row), False)


def _packed(definitions: Mapping[str, records.Record]) -> dict[str, bytes]:
    return {qid: records.pack(definition) for qid, definition in definitions.items()}


def _blob(value: str | None) -> bytes | None:
    return None if value is None else records.as_bytes(value)


def _task(reply: Reply) -> Task:
    """The answer's task, made once."""
    made: Task | None = reply.get("task")
    if made is None:
        parts = [_blob(reply.get(part)) for part in ("sp", "cp", "rs")]
        made = reply["task"] = task_of(reply["id"], reply["t"], parts)
    return made
