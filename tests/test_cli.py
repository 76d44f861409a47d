"""The command line: help that is quick, errors that name what was meant, and one training. Studies: test_cli_study."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from rapidash import cli
from rapidash._cli_options import changed_design, study_parser
from rapidash._names import with_unit
from rapidash.study import get_design
from tests._commands import run
from tests.report._studies import make_study

pytestmark = pytest.mark.usefixtures("toy_folder")


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


@pytest.mark.parametrize(("before", "after"), [({}, "1"), ({"THP_MEM_ALLOC_ENABLE": "0"}, "0")], ids=str)
def test_a_process_of_its_own_asks_for_large_pages(monkeypatch, before: dict[str, str], after: str) -> None:
    monkeypatch.setattr(os, "environ", dict(before))
    monkeypatch.setattr(sys, "argv", ["rapidash", "--version"])
    assert cli.main(["--version"]) == 0
    assert os.environ == before  # those of a program that calls this one are left alone
    assert cli.main() == 0
    assert os.environ == {"THP_MEM_ALLOC_ENABLE": after}


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


@pytest.mark.parametrize("words", [["--version"], ["report", "study"]])
def test_a_reader_that_has_left_is_told_nothing(tmp_path: Path, words: list[str]) -> None:
    """`rapidash report study | head`, whether the end of the text comes within the command or when it is over."""
    (tmp_path / "study" / "records").mkdir(parents=True)
    for record in make_study()[0]:
        (tmp_path / "study" / "records" / f"{record['key']}.json").write_text(json.dumps(record))
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "rapidash.cli", *words]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


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


def test_a_number_without_a_unit_stands_alone() -> None:
    assert [with_unit("0.5", unit) for unit in ("1", "", None, "m/s")] == ["0.5", "0.5", "0.5", "0.5 m/s"]
