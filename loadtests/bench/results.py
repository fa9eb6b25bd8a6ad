"""Results as they are kept between runs: a file of JSON, one entry for each case, the last one counts."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import grpc

from loadtests.bench.figures import Found

_ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True)
class Made:
    """How a result was made."""

    time: str
    commit: str
    machine: str
    rounds: int
    quick: bool
    load: float
    """Load average of the machine when the case began."""
    took_s: float

    @property
    def words(self) -> str:
        """In one line, without the machine."""
        form = "quick, " if self.quick else ""
        rounds = "1 round" if self.rounds == 1 else f"{self.rounds} rounds"
        return f"{self.time}, commit {self.commit}, {form}{rounds}, load {self.load:.1f} before, {self.took_s:.0f} s"


@dataclass(frozen=True, slots=True)
class Result:
    """What a case found, or why it failed."""

    made: Made
    found: Found
    failure: str = ""

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {"made": asdict(self.made), "found": self.found.as_json(), "failure": self.failure}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """As it was stored."""
        return cls(Made(**stored["made"]), Found.from_json(stored["found"]), stored["failure"])


class Results:
    """The results by case, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.by_case: dict[str, Result] = {}
        if path.exists():
            stored = json.loads(path.read_text())
            self.by_case = {name: Result.from_json(one) for name, one in stored.items()}

    def put(self, case: str, result: Result) -> None:
        """Keep a result. A failure keeps what an earlier run found, and says so."""
        earlier = self.by_case.get(case)
        if result.failure and earlier:
            result = Result(earlier.made, earlier.found, result.failure)
        self.by_case[case] = result
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({name: one.as_json() for name, one in self.by_case.items()}, indent=1)
        self._path.write_text(text)


def made(rounds: int, quick: bool, load: float, took_s: float) -> Made:
    """How a result of now was made."""
    now = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    return Made(f"{now} UTC", commit(), machine(), rounds, quick, load, took_s)


def machine() -> str:
    """The machine and the versions that matter."""
    system = f"{platform.system()}, {os.cpu_count()} cores"
    return f"{system}, Python {platform.python_version()}, grpcio {grpc.__version__}"


def commit() -> str:
    """The commit that was measured; with a plus if what was measured differs from it."""
    if not (head := _git("rev-parse", "--short=9", "HEAD")):
        return "unknown"
    return head + ("+" if _git("status", "--porcelain", "--", "router", "clients", "loadtests") else "")


def _git(*words: str) -> str:
    try:
        return subprocess.run(["git", *words], cwd=_ROOT, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""
