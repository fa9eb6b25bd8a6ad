"""What the benchmark starts ends with it, with all that it started itself."""

import os
import subprocess
import sys
import time

import pytest

from loadtests.bench.children import Child, ChildFailedError, cpu_s, memory_b, tree
from tests.support.wait import wait_until

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def gone(pid):
    """Whether no process has this id, or one that only waits to be reaped."""
    return cpu_s(pid) == 0.0 and memory_b(pid) == 0


async def test_a_child_ends_with_the_block_and_its_own_children_too(tmp_path):
    with Child("parent", [sys.executable, "-c", PARENT], tmp_path, talks=True) as child:
        inner = int(child.process.stdout.readline())
        assert tree(child.pid) == [child.pid, inner]
        assert child.memory_b() > memory_b(inner) > 0
    await wait_until(lambda: gone(child.pid) and gone(inner), "both are gone")


def start_and_kill(code):
    """Start a program that prints a process id, kill it, and tell the id."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        told = int(program.stdout.readline())
        program.kill()
    return told


async def test_a_child_ends_when_the_benchmark_is_killed(tmp_path):
    if sys.platform != "linux":
        pytest.skip("the kernel's request exists on Linux only")
    code = (
        "import sys, time; from pathlib import Path; from loadtests.bench.children import Child\n"
        f"with Child('c', [sys.executable, '-c', 'import time; time.sleep(600)'], Path({str(tmp_path)!r})) as c:\n"
        "    print(c.pid, flush=True); time.sleep(600)"
    )
    inner = start_and_kill(code)
    await wait_until(lambda: gone(inner), "the child is gone")


def test_a_child_that_ends_by_itself_is_told_with_its_last_words(tmp_path):
    with Child("short", [sys.executable, "-c", "import sys; sys.exit('last words')"], tmp_path) as child:
        child.process.wait(20)
        with pytest.raises(ChildFailedError, match=r"(?s)short ended with exit code 1.*last words"):
            child.check()


def test_the_cpu_of_a_process_grows_as_it_works():
    before, until = cpu_s(os.getpid()), time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert cpu_s(os.getpid()) - before >= 0.05
