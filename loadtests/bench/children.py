"""Processes that the benchmark starts: each ends with it, however it ends, and its CPU time and memory can be read."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_B = os.sysconf("SC_PAGE_SIZE")
_STOP_S = 5.0
_TAIL_LINES = 12
_ROOT = Path(__file__).resolve().parent.parent.parent

# Arguments: the benchmark's process id, then the program's command line. On Linux the kernel ends the program when the
# benchmark is killed; the request outlives the exec.
_LAUNCHER = """
import os, signal, sys
if sys.platform == "linux":
    import ctypes
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the benchmark is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


class ChildFailedError(RuntimeError):
    """A program that the benchmark needs did not start or ended by itself; the message has the end of its log."""


class Child:
    """A program as long as a ``with`` lasts, in a session of its own: Ctrl-C reaches the benchmark alone."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        *,
        talks: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        self._command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]
        self._talks = talks
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._log = self.log_path.open("ab")
        pipe = subprocess.PIPE if self._talks else None
        self._process = subprocess.Popen(
            self._command,
            stdin=pipe or subprocess.DEVNULL,
            stdout=pipe or self._log,
            stderr=self._log,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(_ROOT), **(self._env or {})},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self.process
        try:
            process.terminate()
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # What it started itself shares its session.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            # Only now: a thread that still reads from it would hold the stream.
            for stream in (process.stdin, process.stdout, self._log):
                if stream:
                    stream.close()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process; raises before the start."""
        if self._process is None:
            raise ChildFailedError(f"{self.name} was not started")
        return self._process

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def check(self) -> None:
        """Raise ChildFailedError if the program has ended by itself."""
        if (code := self.process.poll()) is not None:
            raise ChildFailedError(f"{self.name} ended with exit code {code}:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The last lines that it wrote."""
        lines = self.log_path.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join(lines) or "(its log is empty)"

    def cpu_s(self) -> float:
        """CPU time (s) of the program and of the processes it started."""
        return sum(cpu_s(pid) for pid in tree(self.pid))

    def memory_b(self) -> int:
        """Resident memory (bytes) of the same."""
        return sum(memory_b(pid) for pid in tree(self.pid))


def cpu_s(pid: int) -> float:
    """CPU time that a process has used, in seconds; 0 when it is gone."""
    words = _stat(pid)
    return (int(words[11]) + int(words[12])) / _TICKS_PER_S if words else 0.0


def memory_b(pid: int) -> int:
    """Resident memory of a process in bytes; 0 when it is gone."""
    words = _stat(pid)
    return int(words[21]) * _PAGE_B if words else 0


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    parents = dict(_parents())
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for name in os.listdir("/proc"):
        if name.isdigit() and (words := _stat(int(name))):
            yield int(name), int(words[1])


def _stat(pid: int) -> list[str]:
    """The words of /proc/<pid>/stat after the program's name, which may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
