"""From the offer to the end of a holding: accept, decline, checkpoint, complete, park, recall, force, cancel."""

from __future__ import annotations

from collections.abc import Iterable

from router.domain.errors import EtagMismatch, NotHolder, Superseded, WrongState
from router.domain.model import HELD_STATES, AcdCommand, AgentState, CommandKind, TaskState
from router.domain.ports import Change
from router.state import records
from router.state.memory import placing
from router.state.memory.transition import Transition
from router.state.records import Record

S = TaskState


# -- checks ------------------------------------------------------------------------------------------------
def live(tx: Transition, task: str, fence: int) -> Record:
    """The task's record, if ``fence`` is that of its latest hand-over."""
    record = tx.site.record_of(task)
    if record.get("f", 0) != fence:
        raise Superseded(
            f"task {task} was handed over again since (fence {fence} is not the live one)",
            state=record["s"],
            holder=record.get("ag", ""),
            current_fence=str(record.get("f", 0)),
        )
    return record


def already_ended(tx: Transition, task: str, agent: str, fence: int, name: str) -> bool:
    """Whether this very act ended the holding under this fence: a repeat is answered, not refused."""
    record = tx.site.record_of(task)
    return record.get("f", 0) == fence and record.get("le") == f"{name} {agent}"


def in_state(task: str, record: Record, states: Iterable[TaskState]) -> Record:
    """The record again, if the task is in one of these states."""
    if record["s"] not in states:
        raise WrongState(f"task {task} is {record['s']}")
    return record


def held_by(tx: Transition, task: str, agent: str, fence: int, states: Iterable[TaskState]) -> Record:
    """The record of a task that this agent holds under this fence in one of these states."""
    record = live(tx, task, fence)
    if record.get("ag") and record["ag"] != agent:
        raise NotHolder(f"task {task} is not held by agent {agent}")
    return in_state(task, record, states)


# -- the moves that several transitions share ----------------------------------------------------------------
def take_up(tx: Transition, task: str, agent: str) -> None:
    """Note at the agent that it holds the task."""
    record = tx.touch_agent(agent)
    record["on"] = " ".join([*record.get("on", "").split(), task])


def end_holding(tx: Transition, task: str) -> str:
    """Take the task off its agent's list; an ACD that keeps the agent for us is asked to release it."""
    record = tx.touch(task)
    agent = record["ag"]
    holder = tx.touch_agent(agent)
    left = [name for name in holder["on"].split() if name != task]
    holder["on"] = " ".join(left)
    if not left:
        holder["is"] = tx.now
        release_agent(tx, agent, holder, task, record.get("f", 0))
    return str(agent)


def release_agent(tx: Transition, agent: str, holder: Record, task: str, fence: int) -> None:
    """Ask the ACD to put an agent back into the call distribution, if it was taken out for us."""
    gate = tx.site.gates.get(holder.get("gr", ""), {})
    standing = tx.site.commands.get(agent, {}).get("kind") == CommandKind.RESERVE
    if gate.get("ac") and (standing or holder["st"] == AgentState.RESERVED):
        tx.command = command(tx, CommandKind.RELEASE, agent, task, fence)
        tx.stand(agent, records.command_record(tx.command))


def command(tx: Transition, kind: CommandKind, agent: str, task: str, fence: int) -> AcdCommand:
    """A new command to the ACD that reports this agent."""
    source = tx.site.agents[agent].get("src", "")
    return AcdCommand(f"c{tx.next_number('command')}", kind, agent, source, task, fence, tx.now)


def unpark_from(tx: Transition, task: str) -> str:
    """Take a parked task off its owner's list."""
    agent = tx.touch(task)["ag"]
    owner = tx.touch_agent(agent)
    owner["pk"] = " ".join(name for name in owner.get("pk", "").split() if name != task)
    return str(agent)


def hint_for(record: Record) -> str:
    """How the holder of a task that goes is told: an offer is withdrawn, a lease or parked task revoked."""
    return "rescind" if record["s"] == S.OFFERED else "revoke"


def give_back(tx: Transition, task: str, reason: str, hint: str = "") -> str:
    """Take a held or parked task from its agent (told by ``hint``); it has no place then. The agent."""
    record = tx.touch(task)
    agent = record["ag"]
    if hint:
        tx.tell_worker(hint, agent, task, reason)
    if record["s"] == S.PARKED:
        unpark_from(tx, task)
    else:
        end_holding(tx, task)
    for name in ("ag", "hid", "oa", "aa"):
        record.pop(name, None)
    tx.site.set_deadline(task, record, 0)
    return str(agent)


def requeue(
    tx: Transition,
    task: str,
    name: str,
    actor: str,
    reason: str,
    *,
    hint: str = "",
    front: bool = True,
    resume: bool = False,
) -> None:
    """Back into a queue: the front, the plan's place, or first for the same agent."""
    agent = give_back(tx, task, reason, hint)
    placing.place(tx, task, front=front, resume_agent=agent if resume else "")
    tx.arrow(task, name, S.QUEUED, actor, reason, agent)


def exclude(tx: Transition, task: str, agent: str) -> None:
    """Do not hand the task to this agent for its work type's stated time."""
    record = tx.touch(task)
    if not record.get("dx"):
        return
    until = records.decode_until(record.get("dec", ""))
    until = {name: at for name, at in until.items() if at > tx.now and name != agent}
    until[agent] = tx.now + record["dx"]
    record["dec"] = records.encode_until(dict(list(until.items())[-records.DECLINES_KEPT :]))


def save_checkpoint(tx: Transition, task: str, data: bytes) -> None:
    """Keep the progress under the next sequence number."""
    record = tx.touch(task)
    record["cs"] = record.get("cs", 0) + 1
    tx.site.checkpoints[task] = (record["cs"], tx.now, data)


def note_interruption(tx: Transition, task: str) -> None:
    """Count a recall at the task and at the agent, whose interruption budget reads the last hour."""
    record = tx.touch(task)
    record["nr"] = record.get("nr", 0) + 1
    holder = tx.touch_agent(record["ag"])
    recent = [at for at in holder.get("rc", "").split() if int(at) > tx.now - records.RECALL_WINDOW_MS]
    holder["rc"] = " ".join([*recent, str(tx.now)][-records.RECALL_TIMES_KEPT :])


def activate(tx: Transition, task: str) -> None:
    """OFFERED -> ACTIVE: the lease begins."""
    record = tx.touch(task)
    agent = record["ag"]
    record.pop("hid", None)
    record["aa"] = tx.now
    tx.site.set_deadline(task, record, tx.now + record.get("ls", 0))
    tx.arrow(task, "accept", S.ACTIVE, f"agent:{agent}", "", agent)


# -- the agent's own -----------------------------------------------------------------------------------------
def accept(tx: Transition, task: str, agent: str, fence: int) -> Change:
    """OFFERED -> ACTIVE."""
    record = held_by(tx, task, agent, fence, (S.OFFERED, S.ACTIVE))
    if record["s"] == S.ACTIVE:
        return tx.change(task)
    if record.get("hid"):
        raise WrongState(f"the offer of task {task} waits for the telephony", "NOT_SHOWN")
    if record["dl"] <= tx.now:
        raise WrongState(f"the offer of task {task} is over", "OFFER_EXPIRED")
    activate(tx, task)
    return tx.change(task)


def decline(tx: Transition, task: str, agent: str, fence: int, reason: str) -> Change:
    """OFFERED -> QUEUED (front), without this agent for a while."""
    if already_ended(tx, task, agent, fence, "decline"):
        return tx.change(task)
    record = held_by(tx, task, agent, fence, (S.OFFERED,))
    record["le"] = f"decline {agent}"
    record["nd"] = record.get("nd", 0) + 1
    exclude(tx, task, agent)
    requeue(tx, task, "decline", f"agent:{agent}", reason)
    return tx.change(task)


def checkpoint(tx: Transition, task: str, agent: str, fence: int, data: bytes) -> Change:
    """Save progress; a recall's notice goes on, a lease starts again."""
    record = held_by(tx, task, agent, fence, (S.ACTIVE, S.RECALLING))
    save_checkpoint(tx, task, data)
    if record["s"] == S.ACTIVE:
        tx.site.set_deadline(task, record, tx.now + record.get("ls", 0))
    tx.arrow(task, "checkpoint", TaskState(record["s"]), f"agent:{agent}", "", agent)
    return tx.change(task)


def extend(tx: Transition, task: str, agent: str, fence: int, lease_ms: int) -> Change:
    """Renew a lease; of this, only the deadline tells."""
    record = held_by(tx, task, agent, fence, (S.ACTIVE,))
    tx.touch(task)
    tx.site.set_deadline(task, record, tx.now + (lease_ms or record.get("ls", 0)))
    tx.total("extended")
    return tx.change(task)


def complete(tx: Transition, task: str, agent: str, fence: int, result: bytes, outcome: str) -> Change:
    """ACTIVE or RECALLING -> COMPLETED, once."""
    record = held_by(tx, task, agent, fence, (S.ACTIVE, S.RECALLING, S.COMPLETED))
    if record["s"] == S.COMPLETED:
        return tx.change(task)
    tx.touch(task)
    end_holding(tx, task)
    kept = records.without_zeros({"r": result, "oc": outcome})
    if kept:
        tx.site.results[task] = kept
    placing.end(tx, task, "complete", S.COMPLETED, f"agent:{agent}", outcome, agent)
    return tx.change(task)


def release(tx: Transition, task: str, agent: str, fence: int, reason: str, data: bytes | None) -> Change:
    """Hand back: obeying a recall, or giving up (then without this agent for a while)."""
    if already_ended(tx, task, agent, fence, "release"):
        return tx.change(task)
    record = held_by(tx, task, agent, fence, (S.ACTIVE, S.RECALLING))
    record["le"] = f"release {agent}"
    recalled = record["s"] == S.RECALLING
    if data is not None:
        save_checkpoint(tx, task, data)
    if not recalled:
        exclude(tx, task, agent)
    requeue(tx, task, "release", f"agent:{agent}", reason, resume=recalled)
    return tx.change(task)


def park(tx: Transition, task: str, agent: str, fence: int, until_ms: int) -> Change:
    """ACTIVE or RECALLING -> PARKED for this agent."""
    if already_ended(tx, task, agent, fence, "park"):
        return tx.change(task)
    record = held_by(tx, task, agent, fence, (S.ACTIVE, S.RECALLING))
    record["le"] = f"park {agent}"
    end_holding(tx, task)
    owner = tx.touch_agent(agent)
    owner["pk"] = " ".join([*owner.get("pk", "").split(), task])
    due = placing.earliest(max(until_ms, tx.now), record.get("xp", 0))
    tx.site.set_deadline(task, record, due)
    tx.arrow(task, "park", S.PARKED, f"agent:{agent}", "", agent)
    return tx.change(task)


# -- the router's and the supervisor's -------------------------------------------------------------------------
def decided(tx: Transition, why: str, policy_version: int) -> Transition:
    """The transition again, with the decision behind it."""
    tx.why, tx.version = why, policy_version
    return tx


def rescind(tx: Transition, task: str, fence: int, reason: str, actor: str) -> Change:
    """OFFERED -> QUEUED (front)."""
    in_state(task, live(tx, task, fence), (S.OFFERED,))
    requeue(tx, task, "rescind", actor, reason, hint="rescind")
    return tx.change(task)


def show(tx: Transition, task: str, fence: int) -> Change:
    """The hidden offer may be seen; its deadline starts again."""
    record = in_state(task, live(tx, task, fence), (S.OFFERED, S.ACTIVE))
    if record.get("hid"):
        reveal(tx, task)
    return tx.change(task)


def reveal(tx: Transition, task: str) -> None:
    """Show a hidden offer; an agent who accepts by itself has it at once."""
    record = tx.touch(task)
    agent = record["ag"]
    record.pop("hid")
    if tx.site.agents[agent].get("aa"):
        activate(tx, task)
    else:
        tx.site.set_deadline(task, record, tx.now + record.get("of", 0))
    tx.tell_worker("offer", agent, task)


def recall(tx: Transition, task: str, fence: int, notice_ms: int, reason: str, actor: str) -> Change:
    """ACTIVE -> RECALLING; an offer is rescinded."""
    record = in_state(task, live(tx, task, fence), (S.OFFERED, S.ACTIVE))
    if record["s"] == S.ACTIVE and not record.get("iv"):
        raise WrongState(f"task {task} may not be interrupted", "NOT_INTERRUPTIBLE")
    if record["s"] == S.OFFERED:
        requeue(tx, task, "rescind", actor, reason, hint="rescind")
    else:
        call_back(tx, task, notice_ms, reason, actor)
    return tx.change(task)


def call_back(tx: Transition, task: str, notice_ms: int, reason: str, actor: str) -> None:
    """Give the agent notice to save and hand back an ACTIVE task; none: it goes at once."""
    if notice_ms <= 0:
        take_away(tx, task, reason, actor)
        return
    record = tx.touch(task)
    agent = record["ag"]
    note_interruption(tx, task)
    tx.site.set_deadline(task, record, tx.now + notice_ms)
    tx.arrow(task, "recall", S.RECALLING, actor, reason, agent)
    tx.tell_worker("recall", agent, task, reason, notice_ms)


def take_away(tx: Transition, task: str, reason: str, actor: str) -> None:
    """ACTIVE or RECALLING -> QUEUED, first for the same agent."""
    if tx.touch(task)["s"] == S.ACTIVE:
        note_interruption(tx, task)
    requeue(tx, task, "force", actor, reason, hint="revoke", resume=True)


def force(tx: Transition, task: str, fence: int, reason: str, actor: str) -> Change:
    """ACTIVE or RECALLING -> QUEUED, whatever the desktop says."""
    in_state(task, live(tx, task, fence), (S.ACTIVE, S.RECALLING))
    take_away(tx, task, reason, actor)
    return tx.change(task)


def cancel(tx: Transition, task: str, reason: str, actor: str, revision: int | None) -> Change:
    """Any state but a terminal one -> CANCELED."""
    record = tx.site.record_of(task)
    state = TaskState(record["s"])
    if state is S.CANCELED:
        return tx.change(task)
    if state in (S.COMPLETED, S.EXPIRED):
        raise WrongState(f"task {task} is {state}")
    if revision is not None and revision != record["rev"]:
        raise EtagMismatch(f"task {task} is at revision {record['rev']}, not {revision}")
    agent = record.get("ag", "")
    take_out(tx, task, "CANCELED")
    placing.end(tx, task, "cancel", S.CANCELED, actor, reason, agent)
    return tx.change(task)


def take_out(tx: Transition, task: str, reason: str) -> None:
    """Take a task that ends out of wherever it is."""
    record = tx.touch(task)
    if record["s"] == S.QUEUED:
        placing.leave_queue(tx, task)
    elif record["s"] in HELD_STATES or record["s"] == S.PARKED:
        give_back(tx, task, reason, hint=hint_for(record))


def revive(tx: Transition, task: str, actor: str, reason: str, revision: int | None) -> Change:
    """DEAD_LETTER -> QUEUED with its attempts forgiven."""
    record = in_state(task, tx.site.record_of(task), (S.DEAD_LETTER,))
    if revision is not None and revision != record["rev"]:
        raise EtagMismatch(f"task {task} is at revision {record['rev']}, not {revision}")
    tx.site.ended.remove((record.get("ee", 0), task))
    for name in ("at", "ee", "er"):
        record.pop(name, None)
    placing.place(tx, task)
    tx.arrow(task, "revive", S.QUEUED, actor, reason)
    return tx.change(task)
