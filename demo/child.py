"""The router as a child process of the demo, with its embedded store, on a free loopback port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped, unused-ignore]

_START_S = 30.0
_STOP_S = 15.0
_POLL_S = 0.05
_LOG_TAIL_LINES = 15
_SERVE = ("-m", "router.cli.main", "serve")

# Arguments: the demo's process id, then the router's command line. On Linux the kernel ends the router when the demo
# is killed, however that happens; the request outlives the exec.
_LAUNCHER = """
import os, signal, sys
if sys.platform == "linux":
    import ctypes
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the demo is gone")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class RouterFailedError(RuntimeError):
    """The router did not come up, or ended by itself. The message holds the end of its log."""


class RouterProcess:
    """`async with RouterProcess(out) as router`: serves at `router.address` until the block is left.

    The process is ended by its own id: asked first, killed when it does not obey; its store ends with it.
    """

    def __init__(self, out: Path, data_dir: Path | None = None, program: Sequence[str] | None = None) -> None:
        """Keep the settings: the log goes to `out`, and so do the data unless `data_dir` names another place.

        `program` is what Python runs instead of `workrouter serve`; it takes the same options.
        """
        self.log_path = out / "router.log"
        self.address = ""
        self.start_s = 0.0
        self._out = out
        self._data_dir = data_dir
        self._program = program or _SERVE
        self._own_data: Path | None = None
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the process id. Raises RouterFailedError before the start."""
        if self._process is None:
            raise RouterFailedError("the router was not started")
        return self._process.pid

    async def __aenter__(self) -> Self:
        """Start the router and wait until it is healthy. Raises RouterFailedError."""
        try:
            self._start()
            await self._healthy()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the router and remove its temporary data."""
        await self._end()

    def check(self) -> None:
        """Raise RouterFailedError if the router has ended by itself."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise RouterFailedError(f"the router ended with exit code {code}:\n{self._log_tail()}")

    async def wait(self) -> None:
        """Return never: raise RouterFailedError as soon as the router has ended by itself."""
        while True:
            self.check()
            await asyncio.sleep(0.25)

    def _start(self) -> None:
        self._out.mkdir(parents=True, exist_ok=True)
        if self._data_dir is None:
            self._own_data = Path(tempfile.mkdtemp(prefix="router-data-", dir=self._out))
        self.address = f"127.0.0.1:{_free_port()}"
        self._log = self.log_path.open("wb")
        # A session of its own: Ctrl-C at the terminal ends the demo, and the demo ends the router.
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", _LAUNCHER, str(os.getpid())),
                *self._program,
                *("--dev", "--listen", self.address, "--data-dir", str(self._data_dir or self._own_data)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=_environment(),
        )

    async def _healthy(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with grpc.aio.insecure_channel(self.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            while not await _serves(health):
                self.check()
                if loop.time() - began > _START_S:
                    raise RouterFailedError(f"no health after {_START_S:g} s:\n{self._log_tail()}")
                await asyncio.sleep(_POLL_S)
        self.start_s = loop.time() - began

    async def _end(self) -> None:
        try:
            if self._process is not None and self._process.poll() is None:
                await _end_process(self._process)
        finally:
            if self._log is not None:
                self._log.close()
            if self._own_data is not None:
                shutil.rmtree(self._own_data, ignore_errors=True)

    def _log_tail(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines() if self.log_path.exists() else []
        return "\n".join(lines[-_LOG_TAIL_LINES:]) or "(the log is empty)"


async def _serves(health: health_pb2_grpc.HealthStub) -> bool:
    request = health_pb2.HealthCheckRequest()
    with contextlib.suppress(grpc.aio.AioRpcError):
        answer = await health.Check(request, timeout=1.0)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
    return False


async def _end_process(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, and kill it when it has not done so in time; a cancellation waits until then."""
    process.terminate()
    waiting = asyncio.create_task(asyncio.to_thread(_wait_or_kill, process))
    cancelled = False
    while not waiting.done():
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


def _wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment() -> dict[str, str]:
    """Let the child find the same packages as this process, wherever it was started."""
    root = str(Path(__file__).resolve().parent.parent)
    known = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, known)))}
