"""Prepares the router for a scenario: kinds of work, agents, the policy, and a backlog. And closes the account."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from clients.names import Names
from clients.values import duration, new_request_id
from loadtests import wire
from loadtests.account import account
from loadtests.checks import Violation
from loadtests.people import GROUP, KINDS, kind, needs_of, skills_of
from loadtests.scenarios import Scenario
from router.v1 import (
    agents_pb2,
    agents_pb2_grpc,
    common_pb2,
    supervision_pb2,
    supervision_pb2_grpc,
    tasks_pb2,
    tasks_pb2_grpc,
)

BATCH = 1000
NAMES = Names(wire.SITE)
GROUP_NAME = NAMES.group(GROUP)
_SIDE_BY_SIDE = 8
_SETTLED_S = 2.0
_SLOW_S = 60.0
"""A batch of a thousand on a busy machine."""
_LEAST_WORK_S = 1.0
"""The router takes no shorter expectation."""
_OFFER_S, _LEASE_S, _RESUME_S = 20.0, 120.0, 60.0


class Furnisher:
    """A supervisor before and after the load."""

    def __init__(self, channel: grpc.Channel, scenario: Scenario) -> None:
        self._scenario = scenario
        self._agents = agents_pb2_grpc.AgentServiceStub(channel)
        self._tasks = tasks_pb2_grpc.TaskServiceStub(channel)
        self._supervision = supervision_pb2_grpc.SupervisionServiceStub(channel)
        self._metadata = wire.bearer("supervisor", "furnisher")

    def prepare(self) -> supervision_pb2.Counters:
        """Everything that the scenario needs is there; the router's totals before the load."""
        for number in range(KINDS):
            self._work_type(number)
        self._policy()
        profiles = dict.fromkeys((*self._scenario.agents, *self._scenario.floor().states()))
        self._each(self._agent, enumerate(profiles))
        full, rest = divmod(self._scenario.backlog, BATCH)
        self._each(self._batch, [*[BATCH] * full, *([rest] if rest else [])])
        return self.totals()

    def totals(self) -> supervision_pb2.Counters:
        """The router's totals."""
        return self._figures().counters

    def account(self, before: supervision_pb2.Counters, counted: Mapping[str, int]) -> list[Violation]:
        """What does not add up; a router that is still at its last work has two seconds."""
        deadline = time.monotonic() + _SETTLED_S
        while (found := list(account(self._figures(), before, counted))) and time.monotonic() < deadline:
            time.sleep(0.5)
        return found

    # One thing each.

    def _work_type(self, number: int) -> None:
        template = tasks_pb2.WorkType(
            required_skills=[
                common_pb2.SkillRequirement(skill=skill, min_level=level)
                for skill, level in needs_of(kind(number)).items()
            ],
            expected_handling_time=duration(max(_LEAST_WORK_S, self._scenario.work_s)),
            offer_timeout=duration(_OFFER_S),
            lease_duration=duration(_LEASE_S),
            resume_window=duration(_RESUME_S),
        )
        request = tasks_pb2.CreateWorkTypeRequest(work_type_id=kind(number), work_type=template)
        self._unless_there(self._tasks.CreateWorkType, request)

    def _agent(self, numbered: tuple[int, str]) -> None:
        number, name = numbered
        skills = [common_pb2.AgentSkill(skill=s, level=level) for s, level in skills_of(number).items()]
        profile = common_pb2.Agent(skills=skills, blending_group=GROUP_NAME)
        request = agents_pb2.CreateAgentRequest(agent_id=name, agent=profile)
        self._unless_there(self._agents.CreateAgent, request)

    def _policy(self) -> None:
        policy = supervision_pb2.Policy(name=NAMES.policy(GROUP), document=self._scenario.policy)
        stored = self._call(
            self._supervision.UpdatePolicy, supervision_pb2.UpdatePolicyRequest(policy=policy)
        )
        activate = supervision_pb2.ActivatePolicyRequest(name=stored.name, version=stored.version)
        self._call(self._supervision.ActivatePolicy, activate)
        closed = self._scenario.gate_opens_at is not None
        gate = supervision_pb2.SetGateRequest(
            blending_group=GROUP_NAME,
            mode=supervision_pb2.GATE_MODE_CLOSED if closed else supervision_pb2.GATE_MODE_AUTO,
            reason="until everybody is there" if closed else "",
        )
        self._call(self._supervision.SetGate, gate)

    def _batch(self, size: int) -> None:
        requests = [
            tasks_pb2.SubmitTaskRequest(task=self._task(number), request_id=new_request_id())
            for number in range(size)
        ]
        answer = self._call(
            self._tasks.BatchSubmitTasks, tasks_pb2.BatchSubmitTasksRequest(requests=requests)
        )
        if refused := [result.status for result in answer.results if result.status.code]:
            raise RuntimeError(f"the backlog was not taken: {refused[0].message}")

    def _task(self, number: int) -> common_pb2.Task:
        priorities = self._scenario.priorities
        priority = priorities[number % len(priorities)]
        return common_pb2.Task(work_type=kind(number), priority=priority, payload=b"x" * 200)

    # How.

    def _figures(self) -> supervision_pb2.Figures:
        figures: supervision_pb2.Figures = self._call(
            self._supervision.GetFigures, supervision_pb2.GetFiguresRequest()
        )
        return figures

    def _each(self, do: Callable[[Any], None], items: Any) -> None:
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            for _ in pool.map(do, items):
                pass

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        return method(request, metadata=self._metadata, timeout=_SLOW_S)

    def _unless_there(self, method: Callable[..., Any], request: Any) -> None:
        try:
            self._call(method, request)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                raise
