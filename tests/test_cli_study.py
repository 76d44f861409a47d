"""`rapidash study` and `rapidash report`: the whole way to a page, what is refused, and corruptions."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rapidash._cli_options import changed_design, study_parser
from rapidash._cli_study import plan_text
from rapidash.study import Store, StudyDesign, get_design, load_plugins
from tests._commands import run

HERE = Path(__file__).parent
pytestmark = pytest.mark.usefixtures("toy_folder")


def toy_design() -> StudyDesign:
    load_plugins()
    return get_design("toy")


def test_a_changed_setting_is_not_the_benchmarks(capsys) -> None:
    assert run("study", "toy", "--full", "--seeds", "1", "--workers", "1", "--train.steps", "4", "--quiet") == 0
    assert "(setting: full, changed: steps)" in capsys.readouterr().err
    design = json.loads(Path("runs/toy-full/study.json").read_text())
    assert design["setting"] == "full, changed: steps"


def test_a_study_ends_with_a_table_and_a_report(capsys) -> None:
    env = {**os.environ, "PYTHONPATH": str(HERE / "study"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "rapidash.cli", "study", "toy", "--workers", "1", "--train.steps", "4"]
    command += ["--task_options.size", "10"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "equivariant" in done.stdout
    assert "equivariance error" in done.stdout
    assert "report: runs/toy/report.html" in done.stdout
    assert "[4/4]" in done.stderr
    assert Path("runs/toy/report.html").stat().st_size > 1000
    assert Path("runs/toy/table.md").exists()
    Path("runs/toy/report.html").unlink()
    assert run("report", "runs/toy") == 0
    assert Path("runs/toy/report.html").exists()
    capsys.readouterr()
    # the same command has nothing to do; another setting needs another directory
    assert run("study", "toy", "--workers", "1", "--train.steps", "4", "--task_options.size", "10") == 0
    assert "[" not in capsys.readouterr().err
    assert run("study", "toy", "--train.steps", "5") == 1
    assert "runs/toy holds another study: task_options.size is 10 there, None here" in capsys.readouterr().err


def test_a_study_that_was_stopped_before_its_first_record_has_a_report(capsys) -> None:
    Store("out").open_study(toy_design())
    assert run("report", "out") == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("No record yet: no run of this study has ended.\n")
    assert shown.out.endswith("report: out/report.html\n")
    assert shown.err == ""
    assert "No record yet: no run of this study has ended" in Path("out/report.html").read_text()


SMALL_STUDY = ("study", "toy", "--out", "out", "--train.steps", "4", "--task_options.size", "10")
NETWORKS = ("--factors", "{model.channels: [8]}")


@pytest.mark.parametrize(
    ("before", "words", "message"),
    [
        ((), ("--train.steps", "5"), "out holds another study: train.steps is 4 there, 5 here. Choose another output"),
        ((), ("--seeds", "[0]", "--task_options.size", "9"), "out holds another study: task_options.size is 10 there"),
        ((), ("--equal", "time"), "out holds another study: equal is 'steps' there, 'time' here. Choose another"),
        (NETWORKS, (), "out holds another study: its factors are ['model.channels'] there, [] here. Choose another"),
        (("--equal", "time"), ("--equal", "time"), "out/budget.json is no budget"),
    ],
)
def test_a_refused_study_prints_its_error_only_and_changes_nothing(
    capsys, before: tuple[str, ...], words: tuple[str, ...], message: str
) -> None:
    design = toy_design()
    parser = study_parser(design, "toy")
    options = parser.parse_args([*SMALL_STUDY[2:], *before])
    Store("out").open_study(changed_design(design, options, parser))
    Path("out/records").mkdir()
    Path("out/report.html").write_text("as it was")
    if "budget" in message:
        Path("out/budget.json").write_text('{"rows": ')
    files = {path: path.read_bytes() for path in Path("out").rglob("*.*")}
    assert run(*SMALL_STUDY, *words) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"rapidash: error: {message}")
    assert len(shown.err.splitlines()) == 1
    assert {path: path.read_bytes() for path in Path("out").rglob("*.*")} == files


def test_a_study_that_is_refused_for_its_networks_says_nothing_else(capsys) -> None:
    assert run("study", "nbody", "--factors", "{model.channels: [-8, 16]}", "--out", "out") == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("rapidash: error: factors {'model.channels': -8} of variant 'E(3) on R3xS2': channels")
    assert (shown.out, len(shown.err.splitlines()), Path("out").exists()) == ("", 1, False)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "2 variants x 2 seeds x 1 data fraction = 4 runs of 8 steps"),
        ({"seeds": (0,), "fractions": (0.5, 1.0)}, "2 variants x 1 seed x 2 data fractions = 4 runs of 8 steps"),
        (
            {"seeds": (0,), "factors": {"train.steps": (10, 20), "task.size": (9,)}},
            "2 variants x 1 seed x 1 data fraction x 2 values of train.steps x 1 value of task.size = 4 runs of 10 or "
            "20 steps",
        ),
        (
            {"factors": {"task.size": (9, 12)}, "equal": "time"},
            "2 variants x 2 seeds x 1 data fraction x 2 values of task.size = 8 runs of equal time at each level",
        ),
        (
            {"seeds": (0,), "equal": "flops"},
            "2 variants x 1 seed x 1 data fraction = 2 runs of equal flops",
        ),
    ],
)
def test_a_study_says_what_it_will_run(changed: dict[str, Any], said: str) -> None:
    design = replace(toy_design(), **changed)
    assert plan_text(design, Path("out")) == f"toy (setting: quick): {said}, in out"


def test_a_report_is_written_elsewhere_and_leaves_its_study_alone(capsys, monkeypatch) -> None:
    assert run("study", "toy", "--seeds", "1", "--workers", "1", "--train.steps", "4", "--quiet") == 0
    study = Path("runs/toy")
    for name in ("report.html", "table.md"):
        (study / name).unlink()
    (study / "records" / "bad.json").write_text('{"schema": 1, "config": {"variant": "text"}}')
    before = sorted(path.relative_to(study) for path in study.rglob("*"))
    capsys.readouterr()
    assert run("report", "runs/toy", "--out", "elsewhere/page") == 0
    shown = capsys.readouterr()
    assert "report: elsewhere/page/report.html" in shown.out
    assert "runs/toy/records/bad.json is left out: config.variant: expected an object, found 'text'" in shown.err
    assert sorted(path.relative_to(study) for path in study.rglob("*")) == before
    assert sorted(path.name for path in Path("elsewhere/page").iterdir()) == ["report.html", "table.md"]

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    assert run("report", "runs/toy") == 1
    assert "could not write runs/toy/table.md: Permission denied: give a folder of yours with --out FOLDER" in (
        capsys.readouterr().err
    )


def test_a_study_tests_its_models_under_corruptions(capsys) -> None:
    words = ("study", "toy", "--workers", "1", "--seeds", "1", "--train.steps", "4", "--quiet")
    assert run(*words, "--corruptions", "--reference", "components") == 0
    shown = capsys.readouterr()
    assert "divided by that of components" in " ".join(shown.out.split())
    assert "Left out: scale, because it deforms or rescales space" in shown.out
    assert "rotate: run 2 of 2" in shown.err
    page = Path("runs/toy/report.html").read_text()
    assert 'id="chart-robustness"' in page
    assert run(*words, "--corruptions", "jitter") == 0
    assert "run 1" not in capsys.readouterr().err
    assert run("report", "runs/toy", "--reference", "equivariant") == 0
    assert "divided by that of equivariant" in " ".join(capsys.readouterr().out.split())
    assert run("report", "runs/toy", "--reference", "component") == 1
    assert "did you mean 'components'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--corruptions", "jiter"), "did you mean 'jitter'"),
        (("--corruptions", "scale"), "'scale' makes no sense here"),
        (("--corruptions", "--reference", "component"), "unknown reference variant 'component'"),
        (("--reference", "components"), "--reference needs --corruptions"),
    ],
)
def test_wrong_corruptions_are_told_before_anything_is_trained(words, message: str, capsys) -> None:
    assert run("study", "toy", *words) == 2
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()
