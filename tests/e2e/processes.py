"""Routers as real processes, each started and ended by its own id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import grpc

ROOT = Path(__file__).resolve().parents[2]
START_S, STOP_S = 40.0, 25.0
_POLL_S = 0.02
_READY = "workrouter ready on "
_FAULTS = (" ERROR ", " CRITICAL ", "Traceback (most recent call last)")


class RouterProcess:
    """`python -m router.cli.main serve`; `start` may be called again after it has ended, on the same port and data."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.log_path = folder / "router.log"
        self.data_dir = folder / "data"
        self.address = "127.0.0.1:0"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def store_url(self) -> str:
        """Where the router's own store listens."""
        return f"unix://{self.data_dir / 'valkey.sock'}"

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.address.rpartition(":")[2])

    # -- life ------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Start it and wait for its ready line."""
        said_before = len(self.log())
        self._process = launched(
            self.folder,
            *("--listen", self.address, "--data-dir", str(self.data_dir), *self._options),
        )
        limit = time.monotonic() + START_S
        while _READY not in (said := self.log()[said_before:]):
            assert self._process.poll() is None, f"the router ended at its start:\n{said}"
            assert time.monotonic() < limit, f"the router is not ready after {START_S:g} s:\n{said}"
            time.sleep(_POLL_S)
        self.address = said.partition(_READY)[2].split()[0]

    def kill(self) -> None:
        """SIGKILL: no farewell, nothing written out."""
        self._send(signal.SIGKILL)
        self.wait()

    def terminate(self) -> None:
        """SIGTERM; does not wait."""
        self._send(signal.SIGTERM)

    def wait(self, timeout_s: float = STOP_S) -> int:
        """The exit code, as soon as it has ended."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def stop(self) -> None:
        """End it and all that it started, whatever state they are in."""
        if self._process is None:
            return
        pids = descendants(self.pid)
        end(self._process)
        limit = time.monotonic() + STOP_S
        while left := [pid for pid in pids if alive(pid)]:
            if time.monotonic() > limit:
                for pid in left:
                    os.kill(pid, signal.SIGKILL)
                raise AssertionError(f"processes {left} outlived their router and were killed")
            time.sleep(_POLL_S)

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    # -- what it says ----------------------------------------------------------------------------------
    def log(self) -> str:
        """All that it has said."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def faults(self) -> list[str]:
        """Lines of the log that tell of something that should not happen."""
        return [line for line in self.log().splitlines() if any(word in line for word in _FAULTS)]

    def workers(self) -> set[int]:
        """The ids of its worker processes."""
        return {pid for pid in descendants(self.pid) if "spawn_main" in command_of(pid)}

    def store_pid(self) -> int:
        """The id of its own store."""
        return int((self.data_dir / "valkey.pid").read_text())


@contextlib.contextmanager
def running(folder: Path, *options: str, quiet: bool = True) -> Iterator[RouterProcess]:
    """A router for the time of the block. With ``quiet`` it must not have logged any error by its end."""
    folder.mkdir(parents=True, exist_ok=True)
    router = RouterProcess(folder, *options)
    try:
        router.start()
        yield router
    finally:
        router.stop()
    assert not (quiet and router.faults()), router.log()


def launched(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """`serve` with these options; it says everything into ``router.log``."""
    with (folder / "router.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "router.cli.main", "serve", *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM, and SIGKILL when that was not enough."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def refusal(folder: Path, *options: str) -> tuple[int, str]:
    """Exit code and words of a router that must not start; it is ended if it does."""
    folder.mkdir(parents=True, exist_ok=True)
    process = launched(folder, *options)
    try:
        code = process.wait(START_S)
    except subprocess.TimeoutExpired:
        code = 0
    finally:
        end(process)
    return code, (folder / "router.log").read_text(errors="replace")


# -- other processes -------------------------------------------------------------------------------------
def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be collected does not."""
    try:
        return _stat(pid)[0] != "Z"
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """All processes that this one, or one of those, has started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        born = children.get(waiting.pop(), [])
        found += born
        waiting += born
    return found


def command_of(pid: int) -> str:
    """The command line of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    """State, parent and so on: what follows the name in parentheses."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


# -- waiting ---------------------------------------------------------------------------------------------
async def eventually(
    holds: Callable[[], Awaitable[bool] | bool], message: str, timeout_s: float = 20.0
) -> None:
    """Return as soon as it holds. A router that cannot be reached right now does not end the wait."""
    limit = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError):
            answer = holds()
            if answer if isinstance(answer, bool) else await answer:
                return
        assert time.monotonic() < limit, f"waited {timeout_s:g} s in vain: {message}"
        await asyncio.sleep(_POLL_S)


@contextlib.asynccontextmanager
async def in_background(work: Awaitable[None]) -> AsyncIterator[asyncio.Task[None]]:
    """Something that goes on during the block; what it raises before the end of the block fails the test."""

    async def run() -> None:
        await work

    task = asyncio.create_task(run())
    try:
        yield task
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
