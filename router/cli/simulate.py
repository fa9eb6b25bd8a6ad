"""`workrouter simulate`: play days of real call volumes under policies, without a server."""

from __future__ import annotations

import csv
import json as jsonlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from router.cli.common import UserError, guarded
from router.cli.inputs import open_text
from router.cli.output import note, say, table

if TYPE_CHECKING:
    from callcenter.distributions import Distribution
    from router.policies.blending import PolicyDocument
    from router.simulation.days import DayPlan
    from router.simulation.result import DayResult, Figures
    from router.simulation.runner import Job

T = TypeVar("T")

NONE = "none"
_PICTURES = (".png", ".svg", ".pdf")


def simulate(
    policies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[POLICY]...",
            help="Documents in YAML or JSON, compared side by side; a name such as greedy is that law with its"
            " defaults. Left out: the default policy.",
        ),
    ] = None,
    volumes: Annotated[
        Path | None,
        typer.Option(
            help="A CSV file: calls per five minutes (datetime, calls, perhaps queue), or one line a call (arrival, …;"
            " see docs/callcenter.md). [the seven days that come along]"
        ),
    ] = None,
    days: Annotated[
        list[str] | None,
        typer.Option(
            "--day",
            metavar="DATE",
            help="A day such as 2003-07-24, several times; it needs six earlier ones of"
            " its weekday. [the last day]",
        ),
    ] = None,
    last: Annotated[int, typer.Option("--last", min=1, help="The last N days that can be played.")] = 1,
    keep: Annotated[
        float, typer.Option(help="Share of the calls that reach this center: 0.125 makes 41 agents.")
    ] = 0.125,
    seed: Annotated[int, typer.Option(help="Another seed, another day of the same volumes.")] = 7,
    aht: Annotated[
        str, typer.Option(help="Talk and after-call work: seconds, or a distribution.")
    ] = "lognormal(mean=240, cv=1.1)",
    believed_aht: Annotated[
        float,
        typer.Option(
            "--believed-aht", metavar="S", help="What staffing and ACD believe in the morning. [the true one]"
        ),
    ] = 0.0,
    patience: Annotated[str, typer.Option(help="How long callers wait.")] = "exponential(mean=500)",
    task: Annotated[str, typer.Option(help="Work in a task.")] = "lognormal(mean=300, cv=0.75)",
    firm: Annotated[bool, typer.Option("--firm", help="Tasks may not be interrupted.")] = False,
    tasks_per_hour: Annotated[
        float, typer.Option(help="Tasks that come in an hour; 0: there is always work.", min=0)
    ] = 0.0,
    goal: Annotated[
        float, typer.Option("--goal", metavar="H", help="Hours in which a task is due.", min=0.01)
    ] = 24.0,
    target: Annotated[
        float, typer.Option(help="Share of calls to answer in target: staffing and figures.")
    ] = 0.8,
    target_s: Annotated[float, typer.Option(metavar="S", help="The answer target in seconds.")] = 20.0,
    recall_s: Annotated[
        float, typer.Option(metavar="S", help="Seconds from a recall until the agent can take a call.", min=0)
    ] = 10.0,
    work_lost_s: Annotated[
        float, typer.Option(metavar="S", help="Seconds of work that a recall costs.", min=0)
    ] = 30.0,
    forecast_error: Annotated[
        float,
        typer.Option(metavar="PERCENT", help="How far the router's forecast is off: 20, -20.", min=-100),
    ] = 0.0,
    acd_lag_s: Annotated[
        float, typer.Option(metavar="S", help="How long a report is under way.", min=0)
    ] = 0.0,
    acd_loss: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of reports that get lost.", min=0, max=1)
    ] = 0.0,
    cores: Annotated[int | None, typer.Option(help="Processes at once. [all cores]", min=1)] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print every figure as JSON, one line for each day and policy.")
    ] = False,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every minute to a CSV file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the last policy's last day, as PNG, SVG or PDF.")
    ] = None,
) -> None:
    """Play days of real call volumes under policies, on virtual time and without a server, and compare.

    The calls are those of the volumes, the agents are staffed by Erlang C for the forecast of each day (the mean of six
    earlier ones), and each policy meets the same calls, tasks and agents.
    """

    def work() -> None:
        _check_files(trace, plot)
        from router.simulation.days import DayPlan
        from router.simulation.runner import JobError, run_jobs
        from router.simulation.scenario import AcdLink, Desktops, Work

        backlog = Work(
            "tasks",
            _time("--task", task),
            interruptible=not firm,
            goal_s=goal * 3600,
            per_hour=tasks_per_hour,
            endless=tasks_per_hour == 0,
        )
        plan = _checked(
            lambda: DayPlan(
                volumes=str(volumes or ""),
                keep=keep,
                seed=seed,
                handling=_time("--aht", aht),
                believed_aht_s=believed_aht,
                patience=_time("--patience", patience),
                target=target,
                target_s=target_s,
                forecast_factor=1 + forecast_error / 100,
                work=(backlog,),
                desktops=Desktops(back_s=recall_s, lost_s=work_lost_s),
                link=AcdLink(lag_s=acd_lag_s, loss=acd_loss, snapshot_s=30.0 if acd_loss else 0.0),
            )
        )
        plans = [replace(plan, date=day) for day in _days(plan, days or [], last)]
        jobs = _jobs(plans, policies or [], bool(trace or plot))
        try:
            results = run_jobs(jobs, cores)
        except JobError as error:
            raise UserError(str(error)) from None
        _show(jobs, results, json)
        if trace:
            _write_trace(trace, jobs, results)
        if plot:
            _draw(plot, jobs[-1], results[-1])

    guarded(work)


def _check_files(trace: Path | None, plot: Path | None) -> None:
    """Before minutes are spent on what cannot be written then."""
    for option, path in (("--trace", trace), ("--plot", plot)):
        if path and not path.absolute().parent.is_dir():
            raise UserError(f"{option}: cannot write {path}: there is no folder {path.parent}")
    if plot and plot.suffix.lower() not in _PICTURES:
        raise UserError(f"--plot: cannot write {plot}: let its name end in {', '.join(_PICTURES)}")


# -- what is to be played ------------------------------------------------------------------------------------
def _days(plan: DayPlan, wanted: Sequence[str], last: int) -> list[date]:
    from router.simulation.days import playable_days

    try:
        playable = playable_days(plan.volumes)
    except OSError as error:
        raise UserError(f"--volumes: cannot read {plan.volumes}: {error.strerror}") from None
    except (ValueError, KeyError) as error:
        raise UserError(
            f"--volumes: {plan.volumes}: {error}; write lines such as 2003-07-24 07:05,107"
        ) from None
    if not playable:
        raise UserError("--volumes: no day has six earlier ones of its weekday; give more days")
    return [_day(text, playable) for text in wanted] or playable[-last:]


def _day(text: str, playable: Sequence[date]) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise UserError(f"--day: {text!r} is no day; write it as {playable[-1]}") from None
    if day not in playable:
        raise UserError(
            f"--day: {day} cannot be played: the volumes need it and six earlier ones of its weekday; there are"
            f" {len(playable)} such days, {playable[0]} to {playable[-1]}"
        )
    return day


def _time(option: str, text: str) -> Distribution:
    from callcenter.distributions import parse

    try:
        return parse(text, option)
    except ValueError as error:
        raise UserError(str(error)) from None


def _checked(make: Callable[[], T]) -> T:
    """What an option's value makes; the error names the option."""
    try:
        return make()
    except ValueError as error:
        raise UserError("--" + str(error).replace("_", "-", 1)) from None


def _jobs(plans: Sequence[DayPlan], policies: Sequence[str], trace: bool) -> list[Job]:
    """Day by day, without blending first."""
    from router.simulation.runner import Job

    documents = [_policy(policy) for policy in policies or [""]]
    return [
        Job(plan, document, name, trace and document is not None)
        for plan in plans
        for name, document in [(NONE, None), *documents]
    ]


def _policy(text: str) -> tuple[str, PolicyDocument]:
    """A document from its file, or a law with its defaults and an ACD that takes commands."""
    from router.policies.blending import PolicyDocument, PolicyError, law_names

    if not text:
        document = PolicyDocument(acd_control=True)
        return document.law, document
    if text in law_names() and not Path(text).exists():
        return text, PolicyDocument(law=text, acd_control=True)
    with open_text(text) as stream:
        body = stream.read()
    try:
        return Path(text).stem, PolicyDocument.parse(body)
    except PolicyError as error:
        raise UserError(f"{text}: {error}") from None


# -- what came of it -----------------------------------------------------------------------------------------
def _show(jobs: Sequence[Job], results: Sequence[DayResult], json: bool) -> None:
    if json:
        _print_json(jobs, results)
        return
    names = list(dict.fromkeys(job.name for job in jobs))
    by_name = {
        name: [r.total for j, r in zip(jobs, results, strict=True) if j.name == name] for name in names
    }
    days = [job.day.date for job in jobs if job.name == NONE]
    first = by_name[NONE]
    hours = sum(figures.spare_hours for figures in first)
    when = f"{days[0]}" if len(days) == 1 else f"{len(days)} days, {days[0]} to {days[-1]}"
    say(f"{when}: {sum(f.calls.offered for f in first):,} calls, {hours:,.0f} spare hours of agents")
    columns = ["POLICY", "SERVICE LEVEL", "RECOVERED", "OF SPARE TIME", "TASKS DONE", "LATE", "RECALLS"]
    columns += ["PER PAID HOUR", "HALF HOURS < 50 %"] + (["DAYS KEPT", "WORST DAY"] if len(days) > 1 else [])
    table(columns, (_row(name, figures) for name, figures in by_name.items()), "nothing was played")


def _row(name: str, days: Sequence[Figures]) -> list[str]:
    """One policy over its days: totals; for the service level all calls together."""
    resolved = sum(f.calls.resolved for f in days)
    level = sum(f.calls.in_target for f in days) / max(1, resolved)
    recovered, spare = sum(f.recovered_hours for f in days), sum(f.spare_hours for f in days)
    recalls, paid = sum(f.work.recalls for f in days), sum(f.paid_hours for f in days)
    bad, half_hours = sum(f.calls.bad_half_hours for f in days), sum(f.calls.half_hours for f in days)
    row = [
        name,
        f"{level:.1%}",
        f"{recovered:.1f} h",
        f"{recovered / max(spare, 1e-9):.0%}",
        f"{sum(f.work.done for f in days):,}",
        f"{sum(f.work.late for f in days):,}",
        f"{recalls:,}",
        f"{recalls / max(paid, 1e-9):.2f}",
        f"{bad} of {half_hours}",
    ]
    if len(days) > 1:
        feasible = [f for f in days if f.feasible]
        row += [
            f"{sum(f.kept for f in feasible)} of {len(feasible)}",
            f"{min(f.service_level for f in days):.1%}",
        ]
    return row


def _print_json(jobs: Sequence[Job], results: Sequence[DayResult]) -> None:
    from router.simulation.result import mapping_of

    for job, result in zip(jobs, results, strict=True):
        told = {"day": str(job.day.date), "policy": job.name, **mapping_of(result.total)}
        told |= {"queued": result.queued, "least_urgent_wait_s": result.least_urgent_wait_s}
        say(jsonlib.dumps(told))


def _write_trace(path: Path, jobs: Sequence[Job], results: Sequence[DayResult]) -> None:
    rows = [
        {"day": str(job.day.date), "policy": job.name, **asdict(minute)}
        for job, result in zip(jobs, results, strict=True)
        for minute in result.trace
    ]
    try:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise UserError(f"--trace: cannot write {path}: {error.strerror}") from None
    note(f"{len(rows):,} minutes written to {path}")


def _draw(path: Path, job: Job, result: DayResult) -> None:
    from router.simulation.picture import draw

    try:
        draw(result.trace, path, f"{job.name}, {job.day.date}", result.total.target)
    except OSError as error:
        raise UserError(f"--plot: cannot write {path}: {error.strerror}") from None
    note(f"the day of {job.name} drawn in {path}")
