"""Are the committed stubs what today's protos generate, and do the declared bounds fit them?

``--write`` generates them instead (``make proto``). Leaves with 1 and names what differs.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path("router/v1")
PROTOBUF_STAMP = re.compile(r"ValidateProtobufRuntimeVersion\(\s*[\w.]+,\s*(\d+),\s*(\d+),\s*(\d+)")
GRPC_STAMP = re.compile(r"GRPC_GENERATED_VERSION = '([\d.]+)'")
Stubs = dict[str, str]


def run_protoc(out: Path) -> None:
    """Write the stubs of every proto below ``out``. Raises CalledProcessError when protoc refuses one."""
    protos = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "protos" / PACKAGE).glob("*.proto"))
    targets = [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    # protoc looks for the mypy plug-ins on the path, where an environment that is not activated is not.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I", "protos", *targets, *protos],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        check=True,
        capture_output=True,
        text=True,
    )


def read_stubs(root: Path) -> Stubs:
    """The generated files of the package below ``root``: name to text."""
    return {path.name: path.read_text() for path in sorted((root / PACKAGE).glob("*_pb2*.py*"))}


def generate() -> Stubs:
    """What today's protos generate. Raises CalledProcessError when protoc refuses one."""
    with tempfile.TemporaryDirectory() as out:
        run_protoc(Path(out))
        return read_stubs(Path(out))


def differences(committed: Stubs, fresh: Stubs) -> list[str]:
    """One line for each file that is missing, out of date, or has lost its proto."""
    lines = [f"{PACKAGE / name}: missing" for name in fresh.keys() - committed.keys()]
    lines += [f"{PACKAGE / name}: its proto is gone" for name in committed.keys() - fresh.keys()]
    both = committed.keys() & fresh.keys()
    lines += [f"{PACKAGE / name}: out of date" for name in both if committed[name] != fresh[name]]
    return sorted(lines)


def stamped_bounds(stubs: Stubs) -> dict[str, str]:
    """The oldest runtime libraries that accept these stubs, as the generator stamped them."""
    text = "\n".join(stubs.values())
    bounds = {}
    if found := PROTOBUF_STAMP.search(text):
        bounds["protobuf"] = ".".join(found.groups())
    if found := GRPC_STAMP.search(text):
        bounds["grpcio"] = found.group(1)
    return bounds


def wrong_bounds(stamps: dict[str, str], dependencies: list[str]) -> list[str]:
    """Declared lower bounds that are not the stamped ones: a user would learn it from a failing import."""
    declared = {re.split(r"[^\w-]", line, maxsplit=1)[0]: line for line in dependencies}
    return [
        f"pyproject.toml: the stubs need {name}>={stamp}, declared is {declared.get(name, 'nothing')}"
        for name, stamp in stamps.items()
        if f"{name}>={stamp}," not in declared.get(name, "") + ","
    ]


def wrong_tools(extras: dict[str, list[str]]) -> list[str]:
    """Generators that are installed in another version than the pinned one."""
    pins = [line.split("==") for line in extras["proto"]]
    return [f"{name} is {version(name)}, pinned is {pin}" for name, pin in pins if version(name) != pin]


def write(fresh: Stubs) -> None:
    """Replace the committed stubs by the fresh ones."""
    (ROOT / PACKAGE).mkdir(parents=True, exist_ok=True)
    for name in read_stubs(ROOT):
        (ROOT / PACKAGE / name).unlink()
    for name, text in fresh.items():
        (ROOT / PACKAGE / name).write_text(text)


def check(fresh: Stubs) -> list[str]:
    """What is wrong with the committed stubs and the declared bounds, one line each."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [
        *wrong_tools(project["optional-dependencies"]),
        *differences(read_stubs(ROOT), fresh),
        *wrong_bounds(stamped_bounds(fresh), project["dependencies"]),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="generate the stubs instead of comparing them")
    wanted = parser.parse_args()
    try:
        fresh = generate()
    except subprocess.CalledProcessError as failure:
        sys.exit(failure.stderr.strip())
    if wanted.write:
        write(fresh)
        return 0
    if problems := check(fresh):
        print(*problems, "run `make proto` after a change of protos/", sep="\n", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
