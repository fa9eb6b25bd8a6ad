"""Running the command line and the examples as a user does: in processes of their own.

Each process is forked from one that has imported everything already, because importing takes longer than most
commands do.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import runpy
import sys
import tempfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND_LINE = "router.cli.main"
_PRELOADED = [COMMAND_LINE, "clients.examples.arguments", "grpc.aio"]

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(_PRELOADED)


@dataclass(frozen=True)
class Ran:
    """How a program ended, and what it printed."""

    code: int
    out: str
    err: str


async def python(*arguments: str, text: str = "", address: str = "", timeout_s: float = 20.0) -> Ran:
    """Run `python -m ...` with `text` on its standard input."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("in", "out", "err")]
        files[0].write_text(text, encoding="utf-8")
        process = _processes.Process(target=_run, args=(arguments, address, *map(str, files)), daemon=True)
        process.start()
        try:
            await asyncio.to_thread(process.join, timeout_s)
            assert process.exitcode is not None, f"{arguments} has not ended within {timeout_s:g} s"
        finally:
            process.kill()
        return Ran(process.exitcode, files[1].read_text("utf-8"), files[2].read_text("utf-8"))


async def workrouter(*arguments: str, text: str = "", address: str = "", timeout_s: float = 20.0) -> Ran:
    """Run `workrouter ...`."""
    return await python(COMMAND_LINE, *arguments, text=text, address=address, timeout_s=timeout_s)


def _run(arguments: tuple[str, ...], address: str, stdin: str, stdout: str, stderr: str) -> None:
    """Be the program: files in place of the standard streams, then what `python -m` does."""
    for descriptor, name in enumerate((stdin, stdout, stderr)):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT
        os.dup2(os.open(name, flags, 0o600), descriptor)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
    os.chdir(ROOT)
    for name in [name for name in os.environ if name.startswith("WORKROUTER_")]:
        del os.environ[name]
    if address:
        os.environ["WORKROUTER_ADDRESS"] = address
    sys.argv = list(arguments)
    if arguments[0] == COMMAND_LINE:
        import_module(COMMAND_LINE).main()
    else:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
