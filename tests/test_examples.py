"""The examples and the code of the README run as they stand, without a warning."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SLOW = {"breaking_symmetry", "forces", "orientations"}  # more than a few seconds on one core
EXAMPLES = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else [])
    for path in sorted((ROOT / "examples").glob("*.py"))
]


def run(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process, in an empty directory, where every warning is an error."""
    environment = {**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=directory, env=environment)


@pytest.mark.parametrize("path", EXAMPLES)
def test_example_runs(path: Path, tmp_path: Path) -> None:
    ended = run(path.read_text(encoding="utf-8"), tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout
    assert not list(tmp_path.iterdir()), "an example leaves no files behind"


def test_a_wrong_example_is_noticed(tmp_path: Path) -> None:
    assert run("import warnings; warnings.warn('old')", tmp_path).returncode == 1
    assert run("assert 1 == 2", tmp_path).returncode == 1


def test_examples_are_gallery_pages() -> None:
    """Each begins with a docstring whose first lines are an underlined title."""
    for path in (ROOT / "examples").glob("*.py"):
        assert re.match(r'r?"""\n(.+)\n=+\n', path.read_text(encoding="utf-8")), path.name


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_of_the_readme_runs_and_prints_what_it_says(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", readme(), re.DOTALL)
    assert len(blocks) == 2
    ended = run("\n".join(blocks), tmp_path)
    assert ended.returncode == 0, ended.stderr
    first, *measured = ended.stdout.splitlines()
    assert re.findall(r"# (SE\(3\) torch.*)", blocks[0]) == [first]
    numbers = [[float(number) for number in re.findall(r"\d\S*(?= \()", line)] for line in measured]
    assert [line.partition(":")[0] for line in measured] == [
        f"relative error with {number} orientations" for number in (6, 12, 20)
    ]
    exact, rotations = zip(*numbers, strict=True)
    assert 0 < max(exact) < 3e-14
    [promised] = re.findall(r"here from (\S+) over (\S+) to (\S+) ", readme())
    assert rotations == pytest.approx([float(number) for number in promised], rel=0.2)
    assert rotations[0] > rotations[1] > 3 * rotations[2]


def test_the_table_of_symmetries_shows_what_is_exact(tmp_path: Path) -> None:
    """A number of the example `symmetries` is rounding where its text says exact, and large where it says broken."""
    ended = run((ROOT / "examples" / "symmetries.py").read_text(encoding="utf-8"), tmp_path)
    lines = [line.split() for line in ended.stdout.splitlines()[1:7]]
    errors = {(symmetry, space): [float(value) for value in values] for symmetry, space, *values in lines}
    kept = {  # rotations, about z, shifts, rotations of the cube
        ("E(3)", "R3"): (True, True, True, True),
        ("T(3)", "R3"): (False, False, True, False),
        ("E(3)", "R3xS2"): (False, False, True, True),
        ("SE(3)", "R3xS2"): (False, False, True, True),
        ("SO2(z)", "R3xS2"): (False, False, True, False),
        ("T(3)", "R3xS2"): (False, False, True, False),
    }
    assert errors.keys() == kept.keys()
    for row, values in errors.items():
        assert [value < 1e-13 for value in values] == list(kept[row]), row
        assert all(value > 0.1 for value, exact in zip(values, kept[row], strict=True) if not exact), row
    assert "E(3) of which exact: 48 motions of the grid with T(3)" in ended.stdout


def test_five_lines_suffice() -> None:
    first = re.findall(r"```python\n(.*?)```", readme(), re.DOTALL)[0]
    assert len([line for line in first.splitlines() if line]) == 5


def links(text: str) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "RELEASING.md"])
def test_files_that_are_linked_exist(name: str) -> None:
    missing = [link for link in links((ROOT / name).read_text(encoding="utf-8")) if not (ROOT / link).exists()]
    assert not missing
    assert links("see [a](b.md) and [c](https://d)") == ["b.md"]


def test_commands_of_the_readme_exist() -> None:
    from rapidash.cli import COMMANDS

    shell = "\n".join(re.findall(r"```console\n(.*?)```", readme(), re.DOTALL))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"study", "test"} <= set(re.findall(r"^make (\w+)", shell, re.MULTILINE)) <= targets
    assert set(re.findall(r"^rapidash (\w+)", shell, re.MULTILINE)) <= set(COMMANDS)
    assert all((ROOT / path).is_file() for path in re.findall(r"--config (\S+)", shell))
