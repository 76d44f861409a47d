"""The commands under every published table still ask for its rows, seeds, sizes and grids. Nothing is trained."""

import ast
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rapidash.study import RunConfig, StudyDesign
from rapidash.study._level import row_name
from tests._commands import run

ROOT = Path(__file__).resolve().parents[1]
TABLES = sorted((ROOT / "docs" / "results").glob("*_table.rst"))
Designs = Callable[[str], list[StudyDesign]]


@pytest.fixture
def designs_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Designs:
    """The studies that the commands of a table would run, from the root of the repository, without any data."""
    found: list[StudyDesign] = []

    def stop(design: StudyDesign, *_: Any, **__: Any) -> None:
        found.append(design)
        raise KeyboardInterrupt

    monkeypatch.setattr("rapidash._cli_study.run_study", stop)
    (tmp_path / "studies").symlink_to(ROOT / "studies")
    monkeypatch.chdir(tmp_path)

    def designs(table: str) -> list[StudyDesign]:
        found.clear()
        (line,) = re.findall(r"^:Command: (.+)$", table, re.MULTILINE)
        commands = re.findall("``rapidash (.+?)``", line)
        ended = [run(*shlex.split(command.replace("--data DIR", "--data ."))) for command in commands]
        assert set(ended) == {128 + signal.SIGINT}, line
        return list(found)

    return designs


def faults(table: str, designs: list[StudyDesign]) -> Iterator[str]:
    """In what a published table and the studies of its commands differ.

    A row of the studies may be missing where the table says so ("Without finished runs"). A factor of a single value
    may be what was once a default: the names of the rows need not tell it.
    """
    table = re.sub(r"\\(.)", r"\1", table)
    entry = dict(re.findall(r"^:(\w+): (.+)$", table, re.MULTILINE))
    runs = [(design, run) for design in designs for run in design.runs()]
    drawn = re.findall(r"^   \* - [A-Z]+ (.+?)(?: \[\w+\])?(?: \(oracle\))?$", table.split(".. list-table::")[1], re.M)
    note = re.search(r"^Without finished runs.*?: (.+)\.$", table, re.MULTILINE)
    noted = {name.partition(" ")[2] for name in note[1].split("; ")} if note else set()
    planned = [(row_name(one.variant.name, one.level), _short_name(design, one)) for design, one in runs]
    surplus = {full for full, short in planned if not {full, short} & {*drawn, *noted}}
    if wrong := surplus | set(drawn).difference(*planned):
        yield f"rows {sorted(wrong)}"
    done, without = re.match(r"(\d+) runs?,.*?(?:; (\d+) runs? without a result)?$", entry["Cost"]).groups()  # type: ignore[union-attr]
    num_runs, is_part = int(done) + int(without or 0), bool(noted) or "no finished run at" in table
    if num_runs > len(runs) or (num_runs < len(runs) and not is_part):
        yield f"{len(runs)} runs, not {num_runs}"
    if (seeds := _numbers(entry["Seeds"])) != {one.seed for _, one in runs}:
        yield f"seeds {sorted(seeds)}"
    steps, batches = entry["Training"].split(" steps of ")
    if all(design.equal == "steps" for design in designs) and _numbers(steps) != {one.train.steps for _, one in runs}:
        yield f"steps {steps}"
    if _numbers(batches) != {one.train.batch_size for _, one in runs}:
        yield f"batches {batches}"
    sizes, options = entry["Data"].split("; options ")
    is_split = any(knob.startswith("task.") for design in designs for knob in design.factors)  # data of many sizes
    if not is_split and len(_numbers(sizes)) != len({one.fraction for _, one in runs}):
        yield f"sizes {sizes}"
    if any((ast.literal_eval(options) if options != "none" else {}) != design.task_options for design in designs):
        yield f"options {options}"
    grids: dict[str, set[int]] = {}
    for _, one in runs:
        if re.fullmatch(r"R\dxS\d", space := getattr(one.variant.model, "space", "")):
            grids.setdefault(space, set()).add(one.variant.model.num_orientations)  # type: ignore[attr-defined]
    told = {space: _numbers(sizes) for space, sizes in re.findall(r"(R\dxS\d): [^;]*a grid of ([\d or]+) on", table)}
    if told != grids:
        yield f"grids {told}"


def _short_name(design: StudyDesign, one: RunConfig) -> str:
    """The name of a row without the factors of a single value."""
    return row_name(one.variant.name, {knob: one.level[knob] for knob in one.level if len(design.factors[knob]) > 1})


def _numbers(text: str) -> set[int]:
    return set(map(int, re.findall(r"\d+", text)))


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_command_asks_for_its_table(path: Path, designs_of: Designs) -> None:
    table = path.read_text(encoding="utf-8")
    assert list(faults(table, designs_of(table))) == []


def test_a_command_of_another_table_is_noticed(designs_of: Designs) -> None:
    """The dipole with six orientations, five seeds and seven networks: what it said when designs had six."""
    table = (ROOT / "docs" / "results" / "qm9_dipole_six_table.rst").read_text(encoding="utf-8")
    stale = re.sub(r"(?m)^:Command: .+$", ":Command: ``rapidash study qm9 --full --seeds 5``", table)
    assert list(faults(stale, designs_of(stale))) == ["grids {'R3xS2': {6}}"]
    quick = stale.replace("qm9 --full --seeds 5", 'qm9 --fractions 0.5,1 --variants EGNN "E(3) on R3xS2"')
    assert list(faults(quick, designs_of(quick))) == [
        "rows ['DGCNN', 'E(3) on R3', 'E(3) on R3xS2 + global frame', 'T(3) on R3', 'T(3) on R3 + rotations']",
        "12 runs, not 35",
        "seeds [0, 1, 2, 3, 4]",
        "steps 2000",
        "sizes 8000 training clouds",
        "options none",
        "grids {'R3xS2': {6}}",
    ]
    other = stale.replace("--seeds 5", "--seeds 5 --train.batch_size 8 --task_options.num_test 3")
    assert list(faults(other, designs_of(other)))[:2] == ["batches 16 clouds", "options none"]
