"""How a command ends that cannot do what it was asked for."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer


def fail(text: str) -> NoReturn:
    """Print one line on standard error and end with code 1."""
    typer.secho(f"error: {text}", err=True, fg=typer.colors.RED if sys.stderr.isatty() else None)
    raise typer.Exit(1)
