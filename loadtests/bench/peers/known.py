"""The peers: how each is installed and its worker is started."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_MODULE = "loadtests.bench.peers"


class PeerMissingError(RuntimeError):
    """A peer cannot be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A Python package in a virtual environment of its own; ``worker`` is its command there."""

    name: str
    packages: Sequence[str]
    worker: Sequence[str]

    @property
    def python(self) -> bool:
        """Whether it is made in Python."""
        return True

    def installation(self, home: Path) -> list[list[str]]:
        """The commands that make its environment."""
        pip = [
            str(home / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--retries",
            "1",
            "--timeout",
            "15",
            "-qq",
        ]
        return [[sys.executable, "-m", "venv", "--clear", str(home)], [*pip, *self.packages]]

    def driver_command(self, home: Path) -> list[str]:
        """What submits."""
        return [str(home / "bin" / "python"), "-m", f"{_MODULE}.driver", self.name]

    def worker_command(self, home: Path) -> list[str]:
        """What works."""
        program, *arguments = self.worker
        return [str(home / "bin" / "python"), str(home / "bin" / program), *arguments]


class BullMq(Peer):
    """The one from npm."""

    @property
    def python(self) -> bool:
        """It is not."""
        return False

    def installation(self, home: Path) -> list[list[str]]:
        """The command that installs it into a folder. Raises PeerMissingError."""
        quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        return [[_program("npm"), "install", "--prefix", str(home), *quiet, *self.packages]]

    def driver_command(self, home: Path) -> list[str]:
        """What submits."""
        return [_program("node"), str(_HERE / "bullmq.cjs"), "driver"]

    def worker_command(self, home: Path) -> list[str]:
        """What works."""
        return [_program("node"), str(_HERE / "bullmq.cjs"), "worker"]


def _program(name: str) -> str:
    if not (found := shutil.which(name)):
        raise PeerMissingError(f"the program {name} is needed")
    return found


PEERS = (
    Peer("taskiq", ["taskiq>=0.11,<1", "taskiq-redis>=1,<2"],
         ["taskiq", "worker", "--workers", "1", "--log-level", "ERROR", f"{_MODULE}.taskiq_app:broker"]),
    Peer("arq", ["arq>=0.26,<1"], ["arq", f"{_MODULE}.arq_app.WorkerSettings"]),
    Peer("rq", ["rq>=2,<3"], ["rq", "worker", "--quiet", "--worker-class", "rq.worker.SimpleWorker"]),
    Peer("celery", ["celery[redis]>=5.4,<6"],
         ["celery", "-A", f"{_MODULE}.celery_app", "worker", "--concurrency", "1", "--loglevel", "ERROR"]),
    Peer("dramatiq", ["dramatiq[redis]>=1.17,<3"],
         ["dramatiq", f"{_MODULE}.dramatiq_app", "--processes", "1", "--threads", "8"]),
    Peer("huey", ["huey>=2.5,<4", "redis>=5"],
         ["huey_consumer", f"{_MODULE}.huey_app.huey", "--workers", "4", "--no-periodic", "--quiet"]),
    BullMq("bullmq", ["bullmq@5"], []),
)  # fmt: skip
"""All of them."""
