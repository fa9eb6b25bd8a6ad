"""The demo: a real day of calls, a simulated contact center, and a real router between calls and tasks."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from rich.console import Console

from clients import ApiError
from demo.child import RouterFailedError, RouterProcess
from demo.day import Day, DayOptions, make_day
from demo.figures import Baseline, activities, arrived_between, per_half_hour, running
from demo.options import Options, parse
from demo.outturn import reconcile
from demo.performance import Performance
from demo.picture import Blended, DayPicture, clock, draw
from demo.prediction import Predict, Prediction, Question
from demo.scale import Scale
from demo.summary import show
from demo.view import Screen
from demo.watcher import Running
from demo.work import total_for

# What may pass beside the day itself before the demo gives up, in real seconds.
_SPARE_S = 90.0
# How long the summary waits for the prediction of a day that went by faster than it was computed.
_PATIENCE_S = 20.0
FAILED = 1
INTERRUPTED = 130
_KNOWN = (ApiError, RouterFailedError, TimeoutError, OSError, ValueError)


def run(arguments: Sequence[str] = (), predict: Predict | None = None) -> int:
    """Play the demo with the arguments of `workrouter demo` and return its exit code."""
    return perform(parse(arguments), predict=predict)


def perform(
    options: Options | None = None, console: Console | None = None, predict: Predict | None = None
) -> int:
    """Play the demo and print its summary; 0 when every promise was kept, 1 when not, 130 when interrupted.

    It ends by itself, and so do the router that it started and the router's store. With `predict` the summary
    compares the day with what that expected of it.
    """
    out = console or Console()
    try:
        with asyncio.Runner(loop_factory=_event_loop()) as runner:
            return runner.run(_demo(options or Options(), out, predict))
    except (KeyboardInterrupt, asyncio.CancelledError):
        out.print("interrupted; the demo's router has ended")
        return INTERRUPTED
    except Exception as error:
        causes = list(_causes(error))
        if not all(isinstance(cause, _KNOWN) for cause in causes):
            raise
        for cause in dict.fromkeys(f"{type(cause).__name__}: {cause}" for cause in causes):
            out.print(f"the demo failed: {cause}", style="bold red", highlight=False, markup=False)
        return FAILED


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the day that is played, and the day without tasks to compare it with."""

    day: Day
    since: float
    until: float
    without: Baseline
    without_running: Running
    """Over the window, for the picture."""
    without_so_far: Running
    """Since the opening, as the telephony counts, for the live view."""


def _event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the faster event loop where there is one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _demo(options: Options, console: Console, predict: Predict | None) -> int:
    began = time.monotonic()
    _cancel_on_sigterm()
    window = _window(options)
    scale = Scale(options.speed)
    options.out.mkdir(parents=True, exist_ok=True)
    _announce(options, window, console)
    wall_s = scale.wall_s(window.until - window.since)
    async with AsyncExitStack() as stack, asyncio.timeout(wall_s + _SPARE_S):
        address, router = await _router(options, stack, console)
        total = options.tasks or total_for(window.without.spare_hours)
        so_far = window.without_so_far
        played = Performance(window.day, scale, window.since, window.until, total, address, so_far)
        stack.push_async_callback(played.close)
        await played.prepare()
        prediction = _predicted(predict, window, played, stack)
        console.print(f"{len(played.desktops)} agents, {total} tasks; the day begins", highlight=False)
        screen = Screen(console, plain=options.plain)
        await _beside(played, screen, router)
        predicted = await prediction.answer(_PATIENCE_S) if prediction else ""
        outturn = await reconcile(played, window.without, predicted)
        if router is None:
            await played.tidy()
    code = show(outturn, console)
    _draw(options, window, played)
    with (options.out / "summary.txt").open("w") as file:
        show(outturn, Console(file=file, width=110))
    console.print(
        f"picture: {options.out / 'day.png'} and .svg; {time.monotonic() - began:.0f} s in all",
        highlight=False,
        soft_wrap=True,
    )
    return code


def _predicted(
    predict: Predict | None, window: Window, played: Performance, stack: AsyncExitStack
) -> Prediction | None:
    """Begin to predict the day, if that is wanted."""
    if predict is None:
        return None
    tasks = tuple(played.backlog.by_id.values())
    prediction = Prediction(predict, Question(window.day, window.since, window.until, tasks, played.scale))
    stack.callback(prediction.close)
    return prediction


def _cancel_on_sigterm() -> None:
    """Let SIGTERM end the demo as Ctrl-C does, so that the router is ended too."""
    me = asyncio.current_task()
    # Not in another thread than the main one, and not everywhere.
    with suppress(NotImplementedError, RuntimeError, ValueError):
        if me is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)


async def _beside(played: Performance, screen: Screen, router: RouterProcess | None) -> None:
    """Play the day, unless the router ends by itself meanwhile."""
    playing = asyncio.create_task(_on_screen(played, screen))
    parts = {playing} if router is None else {playing, asyncio.create_task(router.wait())}
    try:
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for part in sorted(done, key=lambda part: part is playing):
            part.result()
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)


async def _on_screen(played: Performance, screen: Screen) -> None:
    with screen:
        await played.play(screen)


def _window(options: Options) -> Window:
    day = make_day(DayOptions(day=options.day, keep=options.keep, seed=options.seed))
    since = max(day.opens_at, options.since if options.since is not None else day.opens_at)
    until = min(day.closes_at, options.until if options.until is not None else day.closes_at)
    if since >= until:
        raise ValueError(f"the center is open from {clock(day.opens_at)} to {clock(day.closes_at)}")
    center, without = day.baseline(since, until)
    tau_s = day.options.tau_s
    inside = running(arrived_between(center, since, until), tau_s)
    return Window(day, since, until, without, inside, running(center.outcomes, tau_s))


async def _router(
    options: Options, stack: AsyncExitStack, console: Console
) -> tuple[str, RouterProcess | None]:
    if options.address:
        console.print(f"using the router at {options.address}", highlight=False)
        return options.address, None
    router = await stack.enter_async_context(RouterProcess(options.out, options.data_dir))
    console.print(f"router at {router.address}, healthy after {router.start_s:.1f} s", highlight=False)
    return router.address, router


def _announce(options: Options, window: Window, console: Console) -> None:
    span = f"{clock(window.since)} to {clock(window.until)}"
    seconds = (window.until - window.since) / options.speed
    console.print(
        f"{options.day:%A, %d %B %Y}, {span}: {window.without.offered} calls,"
        f" played {options.speed:g} times faster than the clock ({seconds:.0f} s)",
        highlight=False,
        soft_wrap=True,
    )


def _draw(options: Options, window: Window, played: Performance) -> None:
    day, book = window.day, played.book
    calls = arrived_between(played.acd.center, window.since, window.until)
    draw(
        DayPicture(
            title=f"{options.day:%A, %d %B %Y}: calls first, tasks in between",
            opens_at=day.opens_at,
            start=window.since,
            end=window.until,
            counts=day.counts,
            forecast=day.forecast,
            activities=activities(played.acd.center.history, window.since, window.until),
            half_hours=window.without.per_half_hour,
            running=window.without_running,
            target=day.options.target,
            tau_s=day.options.tau_s,
            blended=Blended(
                half_hours=per_half_hour(calls, day.options.tau_s),
                running=running(calls, day.options.tau_s),
                gate=book.gate,
                reserve=book.reserve,
                firm=book.firm,
                recalls=book.recalls,
                done=[at for _, at in book.completions],
            ),
        ),
        options.out / "day",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the single errors in a group, however deep."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _causes(inner)
    else:
        yield error
