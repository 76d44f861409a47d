"""The command line: help that is quick, errors that name what was meant, and the whole way from study to report."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from rapidash import cli
from rapidash._cli_options import changed_design, study_parser
from rapidash._cli_study import plan_text
from rapidash.study import Store, StudyDesign, get_design, load_plugins

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy plugin, an empty working directory, and warnings as they were."""
    monkeypatch.syspath_prepend(str(HERE / "study"))
    monkeypatch.setenv("RAPIDASH_PLUGINS", "toy_plugin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)


def toy_design() -> StudyDesign:
    load_plugins()
    return get_design("toy")


def run(*words: str) -> int:
    try:
        return cli.main(words)
    except SystemExit as stop:
        return int(stop.code or 0)


def test_help_is_quick_and_imports_no_torch() -> None:
    code = (
        "import sys; from rapidash.cli import main; main(['--help']); "
        "print(sorted({'torch', 'numpy', 'jsonargparse'} & set(sys.modules)))"
    )
    env = os.environ | {"RAPIDASH_CHECK_SHAPES": ""}  # the checks import numpy
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.endswith("[]\n")
    for name in cli.COMMANDS:
        assert f"\n  {name} " in done.stdout


def test_version(capsys) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("rapidash ")


def test_an_unknown_command_is_named_with_the_nearest(capsys) -> None:
    assert run("studdy") == 2
    assert "unknown command 'studdy'" in (shown := capsys.readouterr().err)
    assert "did you mean 'study'" in shown


@pytest.mark.parametrize("command", ["study", "train"])
def test_help_of_a_command_shows_defaults_of_the_task_and_an_example(capsys, command: str) -> None:
    assert run(command, "toy", "--help") == 0
    shown = capsys.readouterr().out
    assert "optimizer steps (default: 8)" in shown
    assert "examples:\n  rapidash" in shown
    assert "equivariant" in shown
    assert "<function" not in shown
    assert "``" not in shown


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["--train.stepz", "5"], ["--train.stepz", "did you mean '--train.steps'"]),
        (["--seedz=5"], ["--seedz", "did you mean '--seeds'"]),
        (["--train.steps", "many"], ["train.steps", "whole number", "'many'"]),
        (["--train.steps", "0"], ["--train", "steps must be a whole number of at least 1, got 0"]),
        (["--train.threads", "x"], ["train.threads", "whole number or null", "'x'"]),
        (["--train.optimizer", "adamv"], ["train.optimizer", "'adamv'", "did you mean 'adamw'"]),
        (["--seeds", "a,b"], ["--seeds", "a number of seeds", "'a,b'"]),
        (["--seeds", "0"], ["--seeds", "at least one seed"]),
        (["--fractions", "0,1"], [r"(0, 1], got 0"]),
        (["--fractions", "x"], ["--fractions", "shares in (0, 1]"]),
        (["--variants", "equivarient"], ["unknown variant 'equivarient'", "did you mean 'equivariant'"]),
        (["--launcher", "rai"], ["--launcher", "'ray'"]),
        (["--config", "absent.yaml"], ["config: File does not exist", "absent.yaml"]),
    ],
    ids=str,
)
def test_wrong_options_are_one_line_that_names_them(capsys, words: list[str], messages: list[str]) -> None:
    assert run("study", "toy", *words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert shown.err.startswith("rapidash study: error: ")
    for message in messages:
        assert message in shown.err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("train:\n  stepz: 5\n", ["train.stepz", "did you mean 'train.steps'"]),
        ("trin:\n  steps: 5\n", ["trin.steps", "did you mean 'train.steps'"]),
        ("train:\n  steps: a\n", ["train.steps", "whole number", "'a'"]),
        ("train: [", ["config"]),
    ],
)
def test_wrong_config_files_are_one_line_that_names_the_key(capsys, text: str, messages: list[str]) -> None:
    Path("study.yaml").write_text(text)
    assert run("study", "toy", "--config", "study.yaml") == 2
    shown = capsys.readouterr().err
    assert len(shown.splitlines()) == 1
    for message in messages:
        assert message in shown


def test_the_printed_config_is_a_config(capsys) -> None:
    assert run("study", "toy", "--seeds", "1,4", "--train.steps", "6", "--print_config") == 0
    text = capsys.readouterr().out
    assert yaml.safe_load(text)["seeds"] == [1, 4]
    Path("study.yaml").write_text(text)
    assert run("study", "toy", "--config", "study.yaml", "--train.batch_size", "4", "--print_config") == 0
    again = yaml.safe_load(capsys.readouterr().out)
    assert (again["seeds"], again["train"]["steps"], again["train"]["batch_size"]) == ([1, 4], 6, 4)


def test_factors_stand_in_place_of_what_the_design_says_but_not_of_what_the_user_says(capsys) -> None:
    words = ("study", "toy", "--workers", "1", "--train.steps", "4", "--quiet", "--variants", "components")
    assert run(*words, "--factors", "{seed: [3], train.batch_size: [4]}", "--out", "one") == 0
    plain = json.loads(Path("one/study.json").read_text())
    assert (plain["seeds"], plain["factors"], plain["setting"]) == (
        [3],
        {"train.batch_size": [4]},
        "quick, changed: steps",
    )
    assert len(list(Path("one/records").iterdir())) == 1
    capsys.readouterr()
    assert run(*words, "--factors", "{seed: [3]}", "--seeds", "5,6", "--out", "two") == 2
    assert "factor 'seed' has the values [3], but seeds is (5, 6): give one of them" in capsys.readouterr().err


def test_an_error_of_the_user_is_one_line_and_debug_shows_where(capsys) -> None:
    assert run("report", "nowhere") == 1
    assert capsys.readouterr().err.startswith("rapidash: error: nowhere is not a study directory")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        run("report", "nowhere", "--debug")
    assert run("measure", "nowhere.safetensors") == 1
    assert "no saved model at nowhere.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["study", "train"])
def test_an_unknown_task_is_named_with_the_nearest(capsys, command: str) -> None:
    assert run(command, "tooy") == 2
    shown = capsys.readouterr().err
    assert "unknown task 'tooy'" in shown
    assert "did you mean 'toy'" in shown
    assert len(shown.splitlines()) == 1


def test_our_own_errors_are_not_hidden(monkeypatch) -> None:
    def broken(words: list[str]) -> int:
        raise KeyError("a bug")

    monkeypatch.setitem(cli.COMMANDS, "report", cli.Command("", broken))
    with pytest.raises(KeyError):
        cli.main(["report"])


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_interruption_ends_with_what_is_left(capsys, monkeypatch, command: str) -> None:
    def interrupted(words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.COMMANDS, command, cli.COMMANDS[command]._replace(run=interrupted))
    assert run(command) == 130
    is_kept = command in ("advise", "study", "train")
    expected = "continues where it stopped" if is_kept else "begins anew; files are written at"
    assert f"interrupted; the same command {expected}" in capsys.readouterr().err


def trained_variant(capsys, *words: str) -> str:
    assert run("train", *words, "--quiet", "--train.steps", "2") == 0
    return capsys.readouterr().out.split(" · ")[0]


def test_of_several_settings_the_last_one_counts(capsys) -> None:
    Path("first.yaml").write_text("variant: equivariant\n")
    Path("second.yaml").write_text("variant: components\n")
    both = ("--config", "first.yaml", "--config", "second.yaml")
    assert trained_variant(capsys, "toy", "--variant", "equivariant", "--variant", "components") == "components"
    assert trained_variant(capsys, "toy", *both) == "components"
    assert trained_variant(capsys, "toy", *both, "--variant=equivariant") == "equivariant"
    assert trained_variant(capsys, "toy", "--variant", "equivariant", "--config=second.yaml") == "components"
    assert trained_variant(capsys, "toy", "--config", "{variant: components}") == "components"


@pytest.mark.parametrize("command", ["study", "train"])
def test_a_config_file_names_its_task(capsys, command: str) -> None:
    assert run(command, "toy", "--train.steps", "6", "--print_config") == 0
    text = capsys.readouterr().out
    assert yaml.safe_load(text)["task"] == "toy"
    Path("run.yaml").write_text(text)
    assert run(command, "--config", "run.yaml", "--print_config") == 0
    assert yaml.safe_load(capsys.readouterr().out) == yaml.safe_load(text)
    assert run(command, "nbody", "--config", "run.yaml") == 2
    assert "the task is 'nbody' on the command line and 'toy' in the settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--varian", "components"], "did you mean '--variant'"),
        (["--train.ste", "3"], "did you mean '--train.steps'"),
        (["--config", "number.yaml"], "--config: variant must be text, got 3"),
        (["--config", "setting.yaml"], "--config: full must be true or false, got 'yes, please'"),
        (["--model.level", "node"], "--model.level is set by the task"),
        (["--model.in_scalars", "7"], "--model.in_scalars is set by the task"),
        (["--average", "SO(9)"], "--average: unknown symmetry 'SO(9)'"),
        (["--average", "SE(3)", "--elements", "0"], "--elements must be at least 1, got 0"),
        (["--elements", "4"], "--elements 4 needs --average GROUP"),
    ],
    ids=str,
)
def test_no_setting_is_guessed_or_ignored(capsys, words: list[str], message: str) -> None:
    Path("number.yaml").write_text("variant: 3\n")
    Path("setting.yaml").write_text("full: yes, please\n")
    assert run("train", "toy", *words) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.splitlines()) == 1


def test_an_interrupted_training_goes_on_with_other_checkpoints(capsys, monkeypatch) -> None:
    """How often a checkpoint is written does not make another run of it, nor another study."""
    words = ("train", "toy", "--quiet", "--train.steps", "8", "--train.threads", "1")
    assert run(*words, "--train.checkpoint_every", "2") == 0
    first = capsys.readouterr().out
    monkeypatch.setattr("rapidash.train._training.Training._step", lambda *_: pytest.fail("it trains again"))
    assert run(*words, "--train.checkpoint_every", "4", "--train.log_tensorboard", "true") == 0
    assert capsys.readouterr().out == first
    assert len(list(Path("runs/train-toy/records").iterdir())) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_benchmark_without_its_device_is_told(capsys) -> None:
    assert run("bench", "qm9-8", "--device", "cuda") == 1
    assert "torch sees 0 CUDA devices" in capsys.readouterr().err


def test_train_then_measure(capsys) -> None:
    threads = torch.get_num_threads()
    words = ("train", "toy", "--variant", "equivariant", "--seed", "3", "--quiet", "--train.threads", "1")
    assert run(*words) == 0
    shown = capsys.readouterr().out
    assert "equivariant · seed 3: effective symmetry E(3)" in shown
    assert "test_error " in shown
    model = next(line.split()[-1] for line in shown.splitlines() if line.startswith("  model "))
    assert run("measure", model, "--groups", "SO(3)", "E(3)") == 0
    measured = capsys.readouterr().out
    assert "\nUnder SO(3) the predictions move by " in measured
    assert "\nIt does not matter: the model has this symmetry, to rounding.\nNothing is to be done.\n" in measured
    rows = [line.split() for line in measured.partition("what broken symmetry costs")[0].splitlines()]
    errors = {row[1]: float(row[5]) for row in rows if row[1:2] in (["SO(3)"], ["E(3)"])}
    assert set(errors) == {"SO(3)", "E(3)"}
    assert max(errors.values()) < 1e-10
    assert "Turn the cloud" in (Path(model).parent / "measure.html").read_text(encoding="utf-8")
    assert run("train", "toy", "--variant", "equivarient") == 2
    assert "did you mean 'equivariant'" in capsys.readouterr().err
    assert torch.get_num_threads() == threads


def test_a_changed_model_has_another_name_and_record(capsys) -> None:
    assert run("train", "toy", "--quiet", "--train.steps", "4", "--model.channels", "8") == 0
    assert "equivariant [channels=8] · seed 0" in capsys.readouterr().out
    assert run("train", "toy", "--quiet", "--train.steps", "4") == 0
    assert len(list(Path("runs/train-toy/records").iterdir())) == 2
    assert run("train", "toy", "--model.chanels", "8") == 2
    assert "did you mean '--model.channels'" in capsys.readouterr().err


def test_a_baseline_is_trained_like_any_variant_and_has_its_own_settings(capsys, monkeypatch) -> None:
    assert run("train", "cmu", "--variant", "EGNN", "--model.channels", "8", "--print_config") == 0
    model = yaml.safe_load(capsys.readouterr().out)["model"]
    assert (model["symmetry"], model["channels"]) == ("E(3)", 8)
    assert run("train", "cmu", "--variant", "EGNN", "--model.num_orientations", "8") == 2
    assert "num_orientations" in capsys.readouterr().err
    assert run("train", "cmu", "--variant", "EGNN", "--model.norm", "batch") == 2
    assert "--model.norm" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "egnn_pytorch", None)
    assert run("train", "cmu", "--variant", "EGNN", "--out", "out") == 1
    assert 'the baseline EGNN needs egnn-pytorch: pip install "rapidash[study]"' in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_failed_training_is_an_error(capsys, monkeypatch) -> None:
    import toy_plugin

    monkeypatch.setitem(toy_plugin.MODELS, "equivariant", toy_plugin.Failing)
    assert run("train", "toy", "--quiet") == 1
    shown = capsys.readouterr().err
    assert "this model always fails" in shown
    assert "rapidash: error: equivariant · seed 0 failed" in shown


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["cmu", "--task_options.num_train", "abc"], 2, "option 'num_train' of task 'cmu': expected a whole number"),
        (["cmu", "--task_options.mirror", "maybe"], 2, "'mirror' of task 'cmu': expected true or false, got 'maybe'"),
        (["nbody", "--model.symmetry", "SO(5)"], 2, "--model: "),
        (["toy", "--tta_group", "SO(3)"], 2, "--tta_group SO(3) needs --tta N"),
        (["toy", "--out", "taken/runs"], 2, "--out: expected a folder, taken is a file"),
        pytest.param(
            ["toy", "--train.device", "cuda"], 1, "device='cuda', but torch sees 0 CUDA devices",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_run_is_told_in_one_line_before_it_starts(capsys, words: list[str], code: int, message) -> None:
    Path("taken").touch()
    assert run("train", *words) == code
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.splitlines()) == 1
    assert not Path("runs").exists()


def test_a_model_that_was_removed_is_said(capsys) -> None:
    words = ("train", "toy", "--quiet", "--train.steps", "4")
    run(*words)
    (folder,) = Path("runs/train-toy/work").glob("*/model")
    assert "was removed" not in capsys.readouterr().out
    shutil.rmtree(folder)
    assert run(*words) == 0
    assert f"{folder}  (was removed" in capsys.readouterr().out


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


@pytest.mark.parametrize(
    ("words", "warmup"),
    [
        ("--train.steps 70", 50),  # it fits
        ("--train.steps 28", 2),  # 50 of the design's 700 steps: 1 of 14
        ("--train.steps 5", 0),
        ("--train.steps 28 --train.warmup_steps 7", 7),
    ],
)
def test_a_short_training_has_the_share_of_the_warmup(words: str, warmup: int) -> None:
    design = get_design("nbody")
    parser = study_parser(design, "nbody")
    changed = changed_design(design, parser.parse_args(words.split()), parser)
    assert changed.train.warmup_steps == warmup
    assert ("warmup_steps" in changed.setting) is (warmup != 50)


def test_a_warmup_that_is_given_and_too_long_is_an_error(capsys) -> None:
    with pytest.raises(SystemExit):
        cli.main(["train", "nbody", "--train.steps", "5", "--train.warmup_steps", "6"])
    assert "warmup_steps must be at most steps=5, got 6" in " ".join(capsys.readouterr().err.split())
