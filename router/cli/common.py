"""What all commands share: how to reach the router and as whom, and how an error is told."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from clients.channel import DEFAULT_ADDRESS, Connection, Tls
from clients.errors import ApiError, UnauthenticatedError, UnavailableError
from router.cli.failing import fail

AGENT, ACD, SUBMITTER, SUPERVISOR = "agent", "acd", "submitter", "supervisor"

_TAKES_VALUE = ("--address", "--site", "--as", "--token", "--tls-ca", "--tls-cert", "--tls-key")
_FLAGS = ("--tls", "--plaintext")
# These have options of their own for where to listen and what to trust.
_OWN_OPTIONS = ("serve", "demo")


class UserError(Exception):
    """What the user asked for cannot be done; the text says what is wrong and how to mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """The options that every command understands."""

    address: str = DEFAULT_ADDRESS
    site: str = "default"
    caller: str = ""
    token: str = ""
    tls: Tls | None = None
    plaintext: bool = False

    def connection(self, role: str, default_id: str = "cli") -> Connection:
        """Return a connection in a role: by the token given, else by a development token."""
        token = self.token or f"dev:{self.site}:{role}:{self.caller or default_id}"
        try:
            return Connection(
                self.address, site=self.site, token=token, tls=self.tls, plaintext_token=self.plaintext
            )
        except ValueError as error:
            raise UserError(f"{error} (options --tls, --plaintext)") from None


_common: ContextVar[Common] = ContextVar("common")


def common() -> Common:
    """Return the common options of the running command."""
    return _common.get(Common())


def set_common(options: Common) -> None:
    """Remember the common options for the running command."""
    _common.set(options)


def read_tls(use: bool, ca: Path | None, cert: Path | None, key: Path | None) -> Tls | None:
    """Return what the TLS options say; any of them switches TLS on. Raises UserError."""
    if not (use or ca or cert or key):
        return None
    if (cert is None) != (key is None):
        raise UserError("certificate and key belong together: give both --tls-cert and --tls-key")
    return Tls(root_certificates=_read(ca), certificate_chain=_read(cert), private_key=_read(key))


def _read(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


class CommonOptionsAnywhere(TyperGroup):
    """Takes the common options after the command too: `workrouter tasks list --site x`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Move the common options to the front, where they are declared."""
        return super().parse_args(ctx, hoist(args))


def hoist(args: Sequence[str]) -> list[str]:
    """Return the arguments with the common options first; what follows `--` stays."""
    front: list[str] = []
    rest: list[str] = []
    waiting = list(args)
    while waiting:
        arg = waiting.pop(0)
        if arg == "--" or (not rest and arg in _OWN_OPTIONS):
            return [*front, *rest, arg, *waiting]
        name = arg.partition("=")[0]
        if name not in _TAKES_VALUE and name not in _FLAGS:
            rest.append(arg)
            continue
        front.append(arg)
        if name in _TAKES_VALUE and "=" not in arg and waiting:
            front.append(waiting.pop(0))
    return [*front, *rest]


def run(role: str, work: Callable[[Connection], Awaitable[None]], default_id: str = "cli") -> None:
    """Do the work of a command over a connection in a role; errors end the program with one line and code 1."""

    async def body() -> None:
        async with common().connection(role, default_id) as connection:
            await work(connection)

    guarded(lambda: asyncio.run(body()))


def guarded(work: Callable[[], None]) -> None:
    """Run a command's work and tell its errors."""
    try:
        work()
    except ApiError as error:
        fail(describe(error))
    except UserError as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:
        # The reader of our output has had enough (`workrouter tasks list | head`): no reason to complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def describe(error: ApiError) -> str:
    """Return an error as one line: what is wrong, where, and how to mend it."""
    text = " ".join(str(error).split())
    if isinstance(error, UnavailableError) and not error.reason:
        why = "" if "failed to connect" in text else f" ({text})"
        fix = "start one with `workrouter serve`, or name one with --address"
        return f"cannot reach a router at {common().address}{why}: {fix}"
    if isinstance(error, UnauthenticatedError):
        return f"{text}: give a token with --token or WORKROUTER_TOKEN"
    return text
