"""Builds the sdist and the wheel of a commit in a clean place, checks them, and puts them into a folder."""

import argparse
import ast
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from email import message_from_bytes
from pathlib import Path

from rapidash._files import atomic_write

ROOT = Path(__file__).resolve().parents[1]
METADATA = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")


class BuildError(Exception):
    """What is wrong with the packages, or why they could not be built."""


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> bytes:
    """Output of a command that does not see this environment's packages. Raises: BuildError with what it said."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment | variables, capture_output=True, check=False)
    if done.returncode != 0:
        said = (done.stderr + done.stdout).decode(errors="replace").strip()
        raise BuildError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{said}")
    return done.stdout


def builder(folder: Path) -> Path:
    """The Python of a new environment with the build backend and twine, in the versions of constraints.txt."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", "hatchling", "twine")
    return python


def export(commit: str, folder: Path) -> Path:
    """The files of a commit and nothing else."""
    with tarfile.open(fileobj=io.BytesIO(run("git", "archive", "--format=tar", commit))) as archive:
        archive.extractall(folder, filter="data")
    return folder


def build(python: Path, source: Path, seconds: str) -> dict[str, bytes]:
    """The sdist and the wheel of a source tree, by file name; all times in them are those of the commit."""
    with tempfile.TemporaryDirectory() as out:
        run(python, "-m", "hatchling", "build", "-d", out, cwd=source, SOURCE_DATE_EPOCH=seconds)
        return {path.name: path.read_bytes() for path in sorted(Path(out).iterdir())}


def build_twice(python: Path, commit: str) -> dict[str, bytes]:
    """The packages of a commit, built from it twice, and the wheel once more from the sdist.

    Raises: BuildError for a difference: a build depends on time or place, or the sdist lacks something.
    """
    commit = run("git", "rev-parse", "--verify", f"{commit}^{{commit}}").decode().strip()
    seconds = run("git", "show", "-s", "--format=%ct", commit).decode().strip()
    with tempfile.TemporaryDirectory() as place:
        built = build(python, export(commit, Path(place, "first")), seconds)
        if built != build(python, export(commit, Path(place, "second")), seconds):
            raise BuildError("built twice, the packages differ")
        for name in [name for name in built if name.endswith(".tar.gz")]:
            with tarfile.open(fileobj=io.BytesIO(built[name])) as archive:
                archive.extractall(place, filter="data")
            again = build(python, Path(place, name.removesuffix(".tar.gz")), seconds)
            if different := [wheel for wheel in built if wheel != name and built[wheel] != again.get(wheel)]:
                raise BuildError(f"built from the sdist, {' and '.join(different)} differs")
    return built


def check(built: dict[str, bytes], commit: str) -> str:
    """What the packages hold must be what the commit holds.

    Returns: the version.
    Raises: BuildError naming the files that are missing or too many, or a version that is another one.
    """
    tracked = run("git", "ls-tree", "-r", "--name-only", commit).decode().splitlines()
    code = run("git", "show", f"{commit}:src/rapidash/_version.py").decode()
    [version] = [ast.literal_eval(node.value) for node in ast.parse(code).body if isinstance(node, ast.Assign)]
    wheel, sdist = f"rapidash-{version}-py3-none-any.whl", f"rapidash-{version}.tar.gz"
    if set(built) != {wheel, sdist}:
        raise BuildError(f"expected {wheel} and {sdist}, got {sorted(built)}")
    with zipfile.ZipFile(io.BytesIO(built[wheel])) as archive:
        info = f"rapidash-{version}.dist-info"
        expected = {path.removeprefix("src/") for path in tracked if path.startswith("src/rapidash/")}
        _compare(wheel, set(archive.namelist()), expected | {f"{info}/{name}" for name in METADATA})
        said = message_from_bytes(archive.read(f"{info}/METADATA"))["Version"]
    if said != version:
        raise BuildError(f"{wheel} says version {said}, the commit {version}")
    with tarfile.open(fileobj=io.BytesIO(built[sdist])) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    _compare(sdist, found, {*tracked, "PKG-INFO"})
    return str(version)


def _compare(name: str, found: set[str], expected: set[str]) -> None:
    if found != expected:
        missing, surplus = sorted(expected - found)[:5], sorted(found - expected)[:5]
        raise BuildError(f"{name}: missing {missing}, not expected {surplus}")


def make(commit: str, out: Path) -> list[Path]:
    """Build, check, and write the packages of a commit into a folder, each file whole or not at all."""
    with tempfile.TemporaryDirectory() as place:
        python = builder(Path(place) / "venv")
        built = build_twice(python, commit)
        check(built, commit)
        files = [Path(place) / name for name in built]
        for path in files:
            path.write_bytes(built[path.name])
        run(python, "-m", "twine", "check", "--strict", *files)
    for name, data in built.items():
        atomic_write(out / name, data)
    return [out / name for name in built]


def main(words: Sequence[str] | None = None) -> int:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commit", default="HEAD", help="what to build (default: HEAD)")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder of the packages (default: dist)")
    options = parser.parse_args(words)
    try:
        if options.commit == "HEAD" and run("git", "status", "--porcelain"):
            print("release: warning: what is not committed is not in the packages", file=sys.stderr)
        for path in make(options.commit, options.out):
            data = path.read_bytes()
            print(f"{hashlib.sha256(data).hexdigest()}  {path}  ({len(data):,} bytes)")
    except BuildError as error:
        print(f"release: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
