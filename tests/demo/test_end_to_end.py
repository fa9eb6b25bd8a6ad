"""The demo against a real router: a short window of the day, from the start of the router to the picture."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from demo.main import perform, run
from demo.options import Options, parse, time_of_day
from router.cli.prediction import predict

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, Path]:
    """The exit code, what was printed, and where the files are."""
    out = tmp_path_factory.mktemp("demo") / "out"
    text = io.StringIO()
    options = Options(
        speed=200.0, since=time_of_day("08:00"), until=time_of_day("08:25"), tasks=60, out=out, plain=True
    )
    code = perform(options, Console(file=text, width=110), predict)
    return code, text.getvalue(), out


def test_every_promise_is_kept(played: tuple[int, str, Path]) -> None:
    code, text, _ = played
    assert code == 0, text
    assert "BROKEN" not in text
    assert text.count("kept ") >= 8


def test_tasks_are_done_between_the_calls(played: tuple[int, str, Path]) -> None:
    _, text, _ = played
    done = next(line for line in text.splitlines() if "tasks done" in line)
    assert int("".join(filter(str.isdigit, done))) > 0


def test_picture_and_summary_are_written(played: tuple[int, str, Path]) -> None:
    _, _, out = played
    assert (out / "day.png").stat().st_size > 10_000
    assert (out / "day.svg").read_text().startswith("<?xml")
    assert "service level with tasks" in (out / "summary.txt").read_text()


def test_the_summary_compares_with_the_prediction(played: tuple[int, str, Path]) -> None:
    _, text, _ = played
    *_, done = (line for line in text.splitlines() if "tasks done" in line)
    reached, predicted, difference = (int(cell) for cell in done.strip("│ ").split("│")[1:])
    assert difference == reached - predicted
    assert predicted > 0


def test_router_and_store_have_ended(played: tuple[int, str, Path]) -> None:
    _, _, out = played
    assert not list(out.glob("router-data-*"))
    assert not _with(str(out))
    assert not any("spawn_main" in command for command in _descendants(os.getpid()).values())


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_ended_takes_its_router_and_store_along(tmp_path: Path, how: signal.Signals) -> None:
    out = tmp_path / "out"
    code = "import sys; from router.cli.main import main; sys.argv[0] = 'workrouter'; main()"
    command = [sys.executable, "-c", code, "demo", "--plain", "--from", "17:00", "--out", str(out)]
    demo = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    assert _soon(lambda: any("spawn_main" in text for text in _descendants(demo.pid).values()), 40.0)
    started = _descendants(demo.pid)
    demo.send_signal(how)
    assert demo.wait(30.0) == (130 if how is signal.SIGTERM else -signal.SIGKILL)
    assert any("router.cli.main" in command for command in started.values())
    assert any("valkey-server" in command for command in started.values())
    assert _soon(lambda: not any(_command_line(pid) == command for pid, command in started.items()), 20.0)


def test_a_router_that_cannot_start_ends_the_demo(tmp_path: Path) -> None:
    blocked = tmp_path / "data"
    blocked.write_text("a file where the directory should be")
    text = io.StringIO()
    options = Options(since=time_of_day("17:00"), until=time_of_day("17:05"), out=tmp_path, data_dir=blocked)
    assert perform(options, Console(file=text, width=110)) == 1
    assert "the demo failed" in text.getvalue()


def test_a_router_that_is_not_there_ends_the_demo(tmp_path: Path) -> None:
    text = io.StringIO()
    options = Options(
        since=time_of_day("17:00"), until=time_of_day("17:05"), out=tmp_path, address="127.0.0.1:1"
    )
    assert perform(options, Console(file=text, width=110)) == 1
    assert "the demo failed" in text.getvalue()


def test_the_command_line_is_read() -> None:
    options = parse(["--from", "10:30", "--to", "11", "--speed", "60", "--plain", "--day", "2003-07-24"])
    assert (options.since, options.until, options.speed, options.plain) == (37_800.0, 39_600.0, 60.0, True)
    for wrong in (
        ["--from", "25:00"],
        ["--from", "11:00", "--to", "10:00"],
        ["--speed", "0"],
        ["--day", "today"],
    ):
        with pytest.raises(SystemExit) as ended:
            parse(wrong)
        assert ended.value.code == 2
    with pytest.raises(SystemExit) as ended:
        run(["--help"])
    assert ended.value.code == 0


def _with(text: str) -> list[int]:
    """The processes in whose command line a text occurs."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and text in _command_line(int(name))]


def _descendants(parent: int) -> dict[int, str]:
    """The command lines of all processes that a process has started, and that these have started."""
    parents = {int(name): _parent(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    family = {parent}
    while more := {pid for pid, of in parents.items() if of in family} - family:
        family |= more
    return {pid: _command_line(pid) for pid in family - {parent}}


def _parent(pid: int) -> int:
    try:
        # The name may hold spaces and brackets; what follows its last bracket does not.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _soon(holds: Callable[[], bool], within_s: float) -> bool:
    until = time.monotonic() + within_s
    while not holds() and time.monotonic() < until:
        time.sleep(0.1)
    return holds()


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
