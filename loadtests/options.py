"""The options of a load test, for Locust's command line and the launcher's."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from demo.options import time_of_day
from loadtests.scenarios import SCENARIOS, Size


def add_options(parser: ArgumentParser) -> None:
    """Add what the scenarios want to know."""
    group = parser.add_argument_group("scenario")
    group.add_argument("--scenario", choices=sorted(SCENARIOS), default="steady", help="what is played")
    group.add_argument("--desktops", type=int, help="agents with a session")
    group.add_argument("--pullers", type=int, help="agents who pull")
    group.add_argument("--submits-per-s", type=float, help="tasks submitted in a second, all ways together")
    group.add_argument("--seconds", type=float, help="how long there is load")
    group.add_argument("--backlog", type=int, help="tasks that wait before the load begins")
    group.add_argument("--speed", type=float, default=60.0, help="of the recorded day, for mixed-day")
    group.add_argument("--since", type=time_of_day, default="10:00", help="where mixed-day begins")


def size_of(options: Namespace) -> Size:
    """What was chosen."""
    return Size(
        desktops=options.desktops,
        pullers=options.pullers,
        submits_per_s=options.submits_per_s,
        seconds=options.seconds,
        backlog=options.backlog,
        speed=options.speed,
        since=options.since,
    )
