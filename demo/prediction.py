"""What a simulator expects of the day that the demo plays, computed beside it in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection

from demo.day import Day
from demo.scale import Scale
from demo.work import Planned

_NICE = 10


@dataclass(frozen=True, slots=True)
class Question:
    """A day as it is about to be played: the part that is played, its tasks, and how fast."""

    day: Day
    since: float
    until: float
    tasks: tuple[Planned, ...]
    scale: Scale


@dataclass(frozen=True, slots=True)
class Predicted:
    """What is expected: the share of calls in target, tasks done, hours of work that remain, agents called back."""

    service_level: float
    done: int
    recovered_hours: float
    recalls: int


Predict = Callable[[Question], Predicted]
"""A simulator. It is a function of a module, because it runs in another process."""


class Prediction:
    """One answer under way; `close` ends its process, which also ends when this one does."""

    def __init__(self, predict: Predict, question: Question) -> None:
        """Begin to compute."""
        # Spawned: a fork would copy the threads of a gRPC client half-way through whatever they do.
        context = get_context("spawn")
        self._answers, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_answer, args=(theirs, predict, question), daemon=True)
        self._process.start()
        theirs.close()

    async def answer(self, within_s: float) -> Predicted | str:
        """Return what is predicted, or why that is not known after so many seconds more."""
        try:
            if await asyncio.to_thread(self._answers.poll, within_s):
                answer: Predicted | str = self._answers.recv()
                return answer
        except (EOFError, OSError):
            return "its process ended without an answer"
        return f"it was not ready {within_s:g} s after the end of the day"

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._answers.close()


def _answer(answers: Connection, predict: Predict, question: Question) -> None:
    """Compute, behind everything else that the machine has to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(OSError, AttributeError):
        os.nice(_NICE)
    try:
        answers.send(predict(question))
    except Exception as error:
        answers.send(f"{type(error).__name__}: {error}")


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
