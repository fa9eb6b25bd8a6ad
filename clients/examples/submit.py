"""A back-office system: make a work type, submit tasks, see where they are.

python -m clients.examples.submit --tasks 3 --wait 60
"""

from __future__ import annotations

import argparse
import json
import uuid
from contextlib import aclosing

from clients import Connection, Submission, Submitter, short
from clients.examples.arguments import run
from clients.values import duration
from router.v1 import common_pb2, tasks_pb2


async def main(connection: Connection, arguments: argparse.Namespace) -> None:
    """Submit, list, and wait until all is done if told to."""
    submitter = Submitter(connection)
    claims = tasks_pb2.WorkType(display_name="Claims", service_goal=duration(4 * 3600))
    await submitter.work_types.apply("claims", claims)

    names = []
    async with aclosing(submitter.submit_many(claim(number) for number in range(arguments.tasks))) as answers:
        async for answer in answers:
            if answer.error is not None:
                raise answer.error
            names.append(answer.name)
            print(f"submitted {short(answer.name)}")

    for name in names:
        task = await submitter.get(name)
        print(f"{short(name)} is {common_pb2.TaskState.Name(task.state)}")
    for name in names if arguments.wait else []:
        done = await submitter.wait_until_done(name, timeout_s=arguments.wait)
        print(f"{short(name)} ended {common_pb2.TaskState.Name(done.state)}: {done.result.decode()}")


def claim(number: int) -> Submission:
    """Return a claim. Its reference makes it safe to submit again, even by another process."""
    reference = f"claim-{uuid.uuid4().hex[:12]}"
    payload = json.dumps({"claim": number}).encode()
    task = common_pb2.Task(
        work_type="claims", priority=50, reference=reference, payload=payload, payload_type="application/json"
    )
    return Submission(task)


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", type=int, default=3, help="how many (%(default)s)")
    parser.add_argument("--wait", type=float, default=0, help="seconds to wait until each is done (0: not)")


if __name__ == "__main__":
    run(main, __doc__, "dev:default:submitter:erp", _more)
