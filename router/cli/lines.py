"""Reading lines while other things are printed, from a terminal or a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

from router.cli.output import say

_readline: ModuleType | None
try:
    import readline as _readline
except ImportError:
    _readline = None


class Lines:
    """Lines of standard input, and a way to print that leaves a half-typed line as it was."""

    def __init__(self, prompt: str) -> None:
        """Show `prompt` on a terminal only."""
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self._prompt = prompt
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()

    def show(self, text: str) -> None:
        """Print one line."""
        if not self.interactive:
            say(text)
            sys.stdout.flush()
            return
        typed = _readline.get_line_buffer() if _readline else ""
        sys.stdout.write(f"\r\x1b[K{text}\n{self._prompt}{typed}")
        sys.stdout.flush()

    async def read(self) -> AsyncIterator[str]:
        """Yield the lines, stripped and without comments, until the input ends."""
        loop = asyncio.get_running_loop()
        # A thread that is a daemon, because a blocked read of a terminal cannot be ended from outside.
        threading.Thread(target=self._pump, args=(loop,), daemon=True).start()
        with self._terminal_restored():
            while (line := await self._lines.get()) is not None:
                if text := line.partition("#")[0].strip():
                    yield text

    def _pump(self, loop: asyncio.AbstractEventLoop) -> None:
        line: str | None = ""
        while line is not None:
            line = self._next()
            try:
                loop.call_soon_threadsafe(self._lines.put_nowait, line)
            except RuntimeError:
                return

    def _next(self) -> str | None:
        try:
            if self.interactive:
                return input(self._prompt)
            return sys.stdin.readline() or None
        except (EOFError, ValueError, OSError):
            return None

    @contextlib.contextmanager
    def _terminal_restored(self) -> Iterator[None]:
        """Give the terminal back as it was: the reading thread may still hold it in its own mode."""
        if not self.interactive:
            yield
            return
        import termios

        before: list[Any] = termios.tcgetattr(sys.stdin)
        try:
            yield
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
