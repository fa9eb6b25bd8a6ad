"""Would the protos of this tree break a client of the last release? (buf breaking)

Compared is the last tag that carries protos; before the first release, main's previous commit.
With neither, it says so and succeeds.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def git(*words: str) -> str | None:
    """The answer of a git command, or None when git is missing or refuses it."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def candidates() -> list[str]:
    """Commits to compare with, the best first."""
    tag = git("describe", "--tags", "--abbrev=0")
    head = git("rev-parse", "HEAD")
    main = git("merge-base", "HEAD", "main")
    # On a branch the state it left main from; on main the commit before.
    previous = main if main and main != head else git("rev-parse", "--verify", "--quiet", "HEAD~1")
    return [commit for commit in (tag, previous) if commit]


def has_protos(commit: str) -> bool:
    """Whether the commit carries the API at all."""
    return bool(git("ls-tree", "-r", "--name-only", commit, "--", "protos"))


def compare(buf: str, commit: str) -> int:
    """Run buf against the commit's protos; its exit code."""
    with tempfile.TemporaryDirectory() as directory:
        # An archive works in shallow clones and worktrees too, where buf's own git reader does not.
        archive = f"{directory}/base.tar"
        subprocess.run(["git", "archive", "--output", archive, commit, "protos"], cwd=ROOT, check=True)
        against = ["--against", archive, "--against-config", "buf.yaml"]
        return subprocess.run([buf, "breaking", *against], cwd=ROOT, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--buf", default="buf", help="the buf program")
    buf = shutil.which(parser.parse_args().buf)
    if buf is None:
        parser.error("there is no such buf program")
    base = next((commit for commit in candidates() if has_protos(commit)), None)
    if base is None:
        print("buf breaking: skipped, no earlier commit carries protos")
        return 0
    print(f"buf breaking: against {base[:12]}")
    return compare(str(Path(buf).absolute()), base)


if __name__ == "__main__":
    sys.exit(main())
