"""Running the command line as a user does: in a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    """How a program ended, and what it printed."""

    code: int
    out: str
    err: str


async def python(*arguments: str, text: str = "", address: str = "", timeout_s: float = 20.0) -> Ran:
    """Run `python -m ...` with `text` on its standard input."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WORKROUTER_")}
    environment |= {"WORKROUTER_ADDRESS": address} if address else {}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(text.encode()), timeout_s)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ran(process.returncode or 0, out.decode(), err.decode())


async def workrouter(*arguments: str, text: str = "", address: str = "", timeout_s: float = 20.0) -> Ran:
    """Run `workrouter ...`."""
    return await python("router.cli.main", *arguments, text=text, address=address, timeout_s=timeout_s)
