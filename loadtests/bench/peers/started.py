"""Where the peers' workers note that a task began: a file, one line each."""

from __future__ import annotations

import os
import time

URL = os.environ.get("BENCH_REDIS", "")
PAYLOAD = "x" * 200
_PATH = os.environ.get("BENCH_STARTED", "")


def started(due: float) -> None:
    """Note when the task was due and that it begins now (perf_counter, s)."""
    # Opened each time: workers fork. One write of a short line to a file opened for appending is whole.
    fd = os.open(_PATH, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(fd, f"{due!r} {time.perf_counter()!r}\n".encode())
    finally:
        os.close(fd)
