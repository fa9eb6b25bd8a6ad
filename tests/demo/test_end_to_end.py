"""The demo against a real router: a short window of the day, from the start of the router to the picture."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from demo.main import perform, run
from demo.options import Options, parse, time_of_day

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, Path]:
    """The exit code, what was printed, and where the files are."""
    out = tmp_path_factory.mktemp("demo") / "out"
    text = io.StringIO()
    options = Options(
        speed=200.0, since=time_of_day("17:00"), until=time_of_day("17:25"), tasks=60, out=out, plain=True
    )
    code = perform(options, Console(file=text, width=110))
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


def test_router_and_store_have_ended(played: tuple[int, str, Path]) -> None:
    _, _, out = played
    assert not list(out.glob("router-data-*"))
    assert not [pid for pid in _processes() if str(out) in _command_line(pid)]


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


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
