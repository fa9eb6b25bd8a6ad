"""A router with one faulty line of Lua, to show that the checks of a load test would notice.

    python -m loadtests.faulty stale-fence --listen 127.0.0.1:50051 --data-dir there

Everything after the name of the fault goes to `workrouter serve`.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import NamedTuple

from router.cli.main import main as workrouter
from tests.support.faulty import changed_library


class Fault(NamedTuple):
    """One line of a Lua file and what it becomes."""

    file: str
    old: str
    new: str


FAULTS: Mapping[str, Fault] = {
    # A completion under the fence of an earlier hand-over is obeyed.
    "stale-fence": Fault("complete", "A.agent, A.fence,", "A.agent, (get_task(id) or {}).f or 0,"),
    # A task that is handed out again keeps its fence.
    "same-fence": Fault("lib", "agent_id, next_fence()", "agent_id, t.f or next_fence()"),
    # A skill that is one level too low will do.
    "wrong-skill": Fault(
        "lib",
        "if (skills[queue.needs[i][1]] or 0) < queue.needs[i][2] then",
        "if (skills[queue.needs[i][1]] or 0) + 1 < queue.needs[i][2] then",
    ),
    # Who pulls is given a task in the middle of a call.
    "beside-a-call": Fault("lib", "if a.gr and (a.st ~= 'AVAILABLE' or", "if a.gr and (false or"),
}


def main() -> None:
    """Serve with the fault that the first argument names."""
    reader = ArgumentParser(prog="python -m loadtests.faulty")
    reader.add_argument("fault", choices=sorted(FAULTS))
    options, for_serve = reader.parse_known_args()
    sys.argv = ["workrouter", "serve", *for_serve]
    with changed_library(*FAULTS[options.fault]):
        workrouter()


if __name__ == "__main__":
    main()
