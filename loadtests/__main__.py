"""One load test with a router of its own: `python -m loadtests --scenario call-storm`.

Starts a router with its store on a free loopback port, runs Locust against it without its web page, and ends both.
The exit code is Locust's: 1 when a request or a check failed. Options that are not listed go to Locust, such as
`--processes 2`. Figures, report and the router's log are in `load-out/<scenario>`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from demo.child import RouterProcess
from loadtests.faulty import FAULTS
from loadtests.options import add_options, size_of
from loadtests.scenarios import QUIET_S, scenario

ROOT = Path(__file__).resolve().parent.parent
_END_S = 20.0
_LOADED_PER_S = 200.0
"""A backlog is loaded faster than this on any machine that we know."""
_SPARE_S = 120.0


def parser() -> ArgumentParser:
    """The launcher's own options and those of the scenarios."""
    made = ArgumentParser(
        prog="python -m loadtests",
        description=__doc__,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--address", help="a running router with development tokens, instead of one of our own")
    made.add_argument("--fault", choices=sorted(FAULTS), help="a fault in our router, for the checks to find")
    made.add_argument("--out", type=Path, default=ROOT / "load-out", help="where the results go")
    add_options(made)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one load test; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    reader = parser()
    options, for_locust = reader.parse_known_args(words)
    if options.fault and options.address:
        reader.error("--fault needs a router of our own: leave --address out")
    try:
        chosen = scenario(options.scenario, size_of(options))
    except ValueError as error:
        reader.error(str(error))
    limit_s = chosen.seconds + chosen.ramp_s + QUIET_S + chosen.backlog / _LOADED_PER_S + _SPARE_S
    out = options.out / options.scenario
    out.mkdir(parents=True, exist_ok=True)
    locust = [*_locust(out), *_scenario_words(options), *for_locust]
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_run(options, out, locust, limit_s))
    return 130


async def _run(options: Namespace, out: Path, locust: list[str], limit_s: float) -> int:
    if options.address:
        return await _play(locust, options.address, limit_s)
    program = ("-m", "loadtests.faulty", options.fault) if options.fault else None
    async with RouterProcess(out, program=program) as router:
        code = await _play(locust, router.address, limit_s)
        router.check()
        return code


def _locust(out: Path) -> list[str]:
    file = Path(__file__).with_name("locustfile.py")
    results = ["--csv", str(out / "figures"), "--html", str(out / "report.html")]
    return [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--only-summary", *results]


def _scenario_words(options: Namespace) -> list[str]:
    given = {name: value for name, value in vars(options).items() if value is not None}
    names = ("scenario", "desktops", "pullers", "submits_per_s", "seconds", "backlog", "speed")
    words = [word for name in names if name in given for word in (f"--{name.replace('_', '-')}", given[name])]
    return [*map(str, words), "--since", _as_time(options.since)]


def _as_time(seconds: float) -> str:
    return f"{int(seconds) // 3600:02d}:{int(seconds) % 3600 // 60:02d}"


async def _play(locust: list[str], address: str, limit_s: float) -> int:
    process = await asyncio.create_subprocess_exec(*locust, "--host", address, cwd=ROOT)
    try:
        async with asyncio.timeout(limit_s):
            return await process.wait()
    except TimeoutError:
        sys.stderr.write(f"the load test did not end within {limit_s:.0f} s\n")
        return 1
    finally:
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_S):
                    await process.wait()
        if process.returncode is None:
            process.kill()


if __name__ == "__main__":
    sys.exit(main())
