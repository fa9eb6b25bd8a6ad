"""Replays and simulations of what was recorded, each in a process of its own, so that the routing loop never waits.

One runs at a time in each router process. The process gets the recording and answers JSON lines (see
:mod:`router.simulation.worker`); it is ended when nobody reads them any more.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from router.dispatch.figures import every_agent
from router.dispatch.policy_book import PolicyBook, problems
from router.dispatch.policy_trials import Way
from router.dispatch.work_types import WorkTypes
from router.domain.errors import InvalidInput, ResourceExhausted, StoreUnavailable, WrongState
from router.domain.model import TaskState
from router.domain.ports import Clock, Store
from router.simulation.played import Counterfactual, counterfactual_from
from router.simulation.replay import ReplayResult, result_from

_CHUNKS = 500
_LINE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is (share), and what it is doing."""

    share: float
    stage: str


class Runs:
    """The replays and simulations of one router process."""

    def __init__(self, store: Store, clock: Clock, book: PolicyBook, work_types: WorkTypes) -> None:
        self._store = store
        self._clock = clock
        self._book = book
        self._work_types = work_types
        self._busy = False

    async def replay(
        self, site: str, group: str, span_ms: int | None
    ) -> AsyncGenerator[Progress | ReplayResult, None]:
        """Decide what was recorded again; the result comes last. WrongState where nothing is recorded."""
        async with aclosing(self._run(site, span_ms, {"run": "replay", "group": group})) as answers:
            async for answer in answers:
                if "result" not in answer:
                    yield _progress(answer)
                    continue
                result = result_from(answer["result"])
                for version in result.versions:
                    await self._book.tried(site, group, version, Way.REPLAYED)
                yield result

    async def simulate(
        self, site: str, group: str, candidate: int | str, span_ms: int | None
    ) -> AsyncGenerator[Progress | Counterfactual, None]:
        """Play what was recorded under a candidate, a stored version or the text of a document.

        Raises InvalidInput for a document that is not valid, NotFound for a version that is not there, WrongState
        where too little is recorded.
        """
        document = await self._document(site, group, candidate)
        agents = {
            agent.profile.id: dict(agent.profile.skills)
            async for agent in every_agent(self._store, site)
            if agent.profile.blending_group == group
        }
        counts = (await self._store.backlog(site)).by_work_type
        queued = {work_type: n for (work_type, state), n in counts.items() if state is TaskState.QUEUED and n}
        job = {"run": "simulate", "group": group, "candidate": document, "agents": agents, "backlog": queued}
        job["requirements"] = {
            work_type.id: dict(work_type.required_skills) for work_type in await self._work_types.every(site)
        }
        async with aclosing(self._run(site, span_ms, job)) as answers:
            async for answer in answers:
                if "result" not in answer:
                    yield _progress(answer)
                    continue
                await self._book.trials.note(site, group, document, Way.SIMULATED)
                yield counterfactual_from(answer["result"])

    async def _document(self, site: str, group: str, candidate: int | str) -> str:
        if isinstance(candidate, int):
            return (await self._book.get(site, group)).text_of(candidate)
        if found := problems(candidate):
            raise InvalidInput(
                [("document" if name == "(document)" else f"document.{name}", t) for name, t in found]
            )
        return candidate

    async def _run(
        self, site: str, span_ms: int | None, job: Mapping[str, Any]
    ) -> AsyncGenerator[dict[str, Any], None]:
        if self._busy:
            raise ResourceExhausted(
                "a replay or simulation is running in this router; wait until it is done",
                "SIMULATION_RUNNING",
            )
        self._busy = True
        try:
            chunks = await self._recorded(site, span_ms)
            async with aclosing(_answers({**job, "chunks": chunks})) as answers:
                async for answer in answers:
                    if "error" in answer:
                        raise WrongState(answer["error"], answer["reason"])
                    yield answer
        finally:
            self._busy = False

    async def _recorded(self, site: str, span_ms: int | None) -> list[str]:
        after = f"{self._clock.now_ms() - span_ms}-0" if span_ms else ""
        found: list[str] = []
        while chunks := await self._store.recording(site, after, _CHUNKS):
            found += [base64.b64encode(chunk.body).decode() for chunk in chunks]
            after = chunks[-1].id
        return found


async def _answers(job: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    """What the process says, line by line; it is ended with this generator."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "router.simulation.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
        limit=_LINE_BYTES,
    )
    assert process.stdin
    assert process.stdout
    try:
        with suppress(ConnectionError):
            process.stdin.write(json.dumps(job).encode())
            await process.stdin.drain()
        process.stdin.close()
        ended = False
        while line := await process.stdout.readline():
            answer = json.loads(line)
            ended = "result" in answer or "error" in answer
            yield answer
        if not ended:
            raise StoreUnavailable(
                "the process of the run ended without a result; its log tells why, try again"
            )
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())


def _progress(answer: Mapping[str, Any]) -> Progress:
    return Progress(float(answer["share"]), str(answer["stage"]))
