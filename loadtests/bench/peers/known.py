"""The peers: how each is installed and its worker is started."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_INSTALL_S = 180
_HERE = Path(__file__).resolve().parent
_MODULE = "loadtests.bench.peers"


class PeerMissingError(RuntimeError):
    """A peer cannot be installed; the message says why."""


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

    def install(self, home: Path) -> None:
        """Make its environment, once. Raises PeerMissingError."""
        if (home / ".made").exists():
            return
        _run([sys.executable, "-m", "venv", "--clear", str(home)])
        _run([str(home / "bin" / "python"), "-m", "pip", "install", "-qq", *self.packages])
        (home / ".made").touch()

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

    def install(self, home: Path) -> None:
        """Install it into a folder. Raises PeerMissingError."""
        if (home / ".made").exists():
            return
        if not (shutil.which("npm") and shutil.which("node")):
            raise PeerMissingError("npm and node are needed")
        home.mkdir(parents=True, exist_ok=True)
        quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        _run(["npm", "install", "--prefix", str(home), *quiet, *self.packages])
        (home / ".made").touch()

    def driver_command(self, home: Path) -> list[str]:
        """What submits."""
        return [_node(), str(_HERE / "bullmq.cjs"), "driver"]

    def worker_command(self, home: Path) -> list[str]:
        """What works."""
        return [_node(), str(_HERE / "bullmq.cjs"), "worker"]


def _node() -> str:
    if not (found := shutil.which("node")):
        raise PeerMissingError("node is needed")
    return found


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissingError(str(error)) from error
    if done.returncode:
        raise PeerMissingError((done.stderr or done.stdout).strip().splitlines()[-1])


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
