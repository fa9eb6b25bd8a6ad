"""What the simulator expects of the demo's day: its own calls, agents, tasks and habits around the real dispatch.

Not simulated: the priorities and the four urgency rules of the tasks (all kinds are served by age), relaxation, and
hold-ups of real processes beyond the mean time that a message takes.
"""

from __future__ import annotations

from dataclasses import replace

from callcenter.distributions import Lognormal
from demo.acd import CALL_QUEUE, GROUP
from demo.day import Day
from demo.desktops import HABITS
from demo.figures import arrived_between, service_level
from demo.policy import policy_as_played
from demo.prediction import Predicted, Question
from demo.work import KINDS, Kind, Planned, agent_profile
from router.simulation import scenario
from router.simulation.day import Play
from router.simulation.days import forecast_steps
from router.simulation.result import CallFigures

_REPORT_REAL_S = 0.001
"""From a change at the ACD to the router that knows it, as measured between the demo and its router."""
_COMMAND_REAL_S = 0.005
"""From the return of a task to the agent back at the ACD: three messages and a step of the router, measured alike."""
_TASK_CV = 0.75


def predict(question: Question) -> Predicted:
    """Play the day on virtual time."""
    options = question.day.options
    play = Play(simulated(question), policy_as_played(CALL_QUEUE, options.target, question.scale))
    work = play.run(baseline={GROUP: CallFigures()}).total.work
    calls = arrived_between(play.acds[GROUP].center, question.since, question.until)
    level = service_level(calls, options.tau_s) or 0.0
    return Predicted(level, work.done, work.kept_s / 3600, work.recalls + work.interruptions)


def simulated(question: Question) -> scenario.Day:
    """The demo's day for the simulator: the same calls and shifts, tasks from ``since``, an end at ``until``."""
    day, scale = question.day, question.scale
    link = scenario.AcdLink(
        lag_s=scale.sim_s(_REPORT_REAL_S),
        command_s=scale.sim_s(_COMMAND_REAL_S),
    )
    desktops = scenario.Desktops(
        accept_s=HABITS.react_s,
        hand_back_s=HABITS.wrap_up_s,
        back_s=0.0,
        lost_s=HABITS.lost_on_recall_s,
        settle_s=HABITS.settle_s,
    )
    return scenario.Day(
        day.options.day,
        day.options.seed,
        day.opens_at,
        day.closes_at,
        (_group(day),),
        tuple(_work(kind, question.tasks) for kind in KINDS),
        desktops,
        link,
        stops_s=question.until,
    )


def _group(day: Day) -> scenario.Group:
    options = day.options
    queue = scenario.CallQueue(
        CALL_QUEUE,
        tuple(replace(call, queue=CALL_QUEUE) for call in day.calls),
        forecast_steps(day.forecast, day.shifts, day.opens_at),
        options.tau_s,
        options.target,
        options.handling.aht_s,
    )
    agents = tuple(scenario.PlannedAgent(shift, _skills(shift.agent, options.seed)) for shift in day.shifts)
    return scenario.Group(GROUP, (queue,), agents, options.handling.ring_s)


def _skills(agent: str, seed: int) -> dict[str, int]:
    return {skill.skill: skill.level for skill in agent_profile(agent, GROUP, seed).skills}


def _work(kind: Kind, tasks: tuple[Planned, ...]) -> scenario.Work:
    mine = [task for task in tasks if task.kind.name == kind.name]
    return scenario.Work(
        kind.name,
        Lognormal(kind.mean_s, _TASK_CV),
        kind.interruptible,
        skills=kind.skills,
        goal_s=kind.goal_s,
        arrivals_s=tuple(task.at for task in mine),
        times_s=tuple(task.work_s for task in mine),
    )
