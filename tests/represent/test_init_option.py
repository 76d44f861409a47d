"""``--init FOLDER`` of ``rapidash train`` and ``rapidash study``, from the pre-training to the report."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rapidash import cli
from rapidash.models import OrderedMLPConfig
from rapidash.represent import weights_digest
from rapidash.study import SavedWeights, compared_with_saved, get_design

SIZES = [f"--task_options.{name}={size}" for name, size in {
    "num_train": 60, "num_val": 24, "num_test": 24, "num_templates": 3
}.items()]  # fmt: skip
STEPS = ["--train.steps=4", "--train.eval_every=2", "--train.checkpoint_every=4", "--train.batch_size=16", "--quiet"]


def run(*words: str) -> int:
    try:
        return cli.main(words)
    except SystemExit as stop:
        return int(stop.code or 0)


def record_in(out: str) -> dict[str, Any]:
    (path,) = Path(out, "records").glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training by the command line."""
    folder = tmp_path_factory.mktemp("init") / "sie-one"
    assert run("train", "sie", "--variant", "SIE", *SIZES, *STEPS, "--out", str(folder)) == 0
    return folder


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = folder.glob("work/*/model/model.safetensors")
    return load_file(path)


def test_a_training_begins_with_the_saved_weights(pretrained: Path, capsys) -> None:
    """With a learning rate of 0 they are those that it ends with, too; but for what was fresh."""
    still = ["--train.learning_rate=1e-30", "--train.weight_decay=0", "--train.ema_decay=0"]
    words = ("train", "sie-labels", "--variant", "fresh", "--fraction", "0.5", *SIZES, *STEPS, *still, "--out", "tuned")
    assert run(*words, "--init", str(pretrained)) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "fresh backbone.head.weight, backbone.head.bias model tuned/work/" in shown
    record = record_in("tuned")
    assert record["start"]["weights_sha256"] == weights_digest(pretrained)
    assert record["start"]["trained"] == {"task": "template-clouds", "variant": "SIE", "objective": "sie", "seed": 0}
    before, after = weights(pretrained), weights(Path("tuned"))
    same = [name for name, value in after.items() if torch.equal(before.get(f"encoder.{name}", torch.empty(0)), value)]
    assert set(after) - set(same) == {"backbone.head.weight", "backbone.head.bias"}
    assert set(record["start"]["fresh"]) == {"backbone.head.weight", "backbone.head.bias"}
    assert run(*words, "--init", str(pretrained)) == 0  # it is finished
    shutil.move(pretrained, "elsewhere")  # known by content, wherever it lies
    assert run(*words, "--init", "elsewhere") == 0
    shutil.move("elsewhere", pretrained)
    assert len(list(Path("tuned/records").glob("*.json"))) == 1


def test_a_study_compares_with_and_without(pretrained: Path, capsys) -> None:
    words = ("study", "sie-labels", "--variants", "fresh", "--seeds", "1", "--fractions", "0.3,1", "--workers", "1")
    assert run(*words, *SIZES, *STEPS, "--init", str(pretrained), "--out", "both") == 0
    shown = capsys.readouterr().out
    assert "fresh, pre-trained" in shown
    records = [json.loads(path.read_text()) for path in Path("both/records").glob("*.json")]
    assert len(records) == 4
    begun = [one for one in records if one["config"]["variant"]["name"] == "fresh, pre-trained"]
    assert {one["start"]["weights_sha256"] for one in begun} == {weights_digest(pretrained)}
    assert len(begun) == 2
    assert all("start" not in one for one in records if one not in begun)
    assert "begins with saved weights" in Path("both/report.html").read_text()
    assert run(*words, *SIZES, *STEPS, "--init", str(pretrained), "--out", "both") == 0  # nothing is trained again
    assert len(list(Path("both/records").glob("*.json"))) == 4


def test_the_design_has_a_variant_beside_each_that_fits(pretrained: Path) -> None:
    design = get_design("sie-labels", full=False).select(["fresh", "from SIE"])
    found = compared_with_saved(design, SavedWeights.of(pretrained))
    assert [variant.name for variant in found.variants] == ["fresh", "fresh, pre-trained", "from SIE"]
    assert set(found.inits) == {"fresh, pre-trained", "from SIE"}
    assert found.variants[1].neighbor == "fresh"
    (one, *_) = (run for run in found.runs() if run.variant.name == "fresh, pre-trained")
    assert one.init == SavedWeights.of(pretrained)
    only = design.select(["from SIE"])
    with pytest.raises(ValueError, match="has a beginning of its own"):
        compared_with_saved(only, SavedWeights.of(pretrained))


@pytest.mark.parametrize("command", ["train", "study"])
def test_folders_without_fitting_weights_are_usage_errors_before_anything_is_trained(
    command: str, pretrained: Path, capsys
) -> None:
    words = [command, "sie-labels", *SIZES, *STEPS, "--out", "out"]
    words += ["--variant", "fresh"] if command == "train" else ["--variants", "fresh", "--seeds", "1"]
    Path("empty").mkdir()
    Path("note.txt").write_text("x")
    damaged = Path(shutil.copytree(pretrained, "damaged"))
    (file,) = damaged.glob("work/*/model/model.safetensors")
    file.write_bytes(file.read_bytes()[:-8])
    several = Path(shutil.copytree(pretrained, "several"))
    (one,) = several.glob("work/*")
    shutil.copytree(one, several / "work" / "another")
    assert run("train", "toy-of-no-name", "--init", "empty") == 2
    capsys.readouterr()
    for folder, message in {
        "nowhere": "no saved model at nowhere: expected a folder with config.json and model.safetensors",
        "empty": "and it has neither",
        "note.txt": "is a file of another name",
        "damaged": "model.safetensors",
        "several": "has the models of 2 runs: give the folder of one of them",
        "": "--init",
    }.items():
        assert run(*words, "--init", folder) == 2
        shown = capsys.readouterr().err
        assert "--init: " in shown
        assert message in shown
        assert "Traceback" not in shown
    other = ["--model.hidden_dim=24"] if command == "train" else []
    if other:
        assert run(*words, *other, "--init", str(pretrained)) == 2
        assert "Start from a network of the same kind and width" in capsys.readouterr().err
    assert not Path("out", "records").exists()


def test_weights_of_another_architecture_fit_no_variant(tmp_path: Path, capsys) -> None:
    words = ("train", "sie", "--variant", "split by construction", *SIZES, *STEPS, "--out", "vectors")
    assert run(*words, "--model.channels=4") == 0
    capsys.readouterr()
    words = ("study", "sie-labels", "--variants", "fresh", "--seeds", "1", *SIZES, *STEPS, "--init", "vectors")
    assert run(*words, "--out", "out") == 2
    shown = capsys.readouterr().err
    assert "--init: fresh: no weight of" in shown
    assert "fits the model" in shown
    assert isinstance(get_design("sie-labels", full=False).variants[0].model, OrderedMLPConfig)
    assert not Path("out").exists()


def test_a_training_is_the_run_of_the_study_with_its_seed() -> None:
    """Its data too, where every seed of a study has data of its own."""
    words = ("train", "sie", "--variant", "untrained", "--seed", "1", *SIZES, *STEPS, "--out", "one")
    assert run(*words) == 0
    options = record_in("one")["config"]["task_options"]
    assert options["data_seed"] == 1
    assert options == dict(get_design("sie", full=False).runs()[6].task_options) | {
        "num_train": 60, "num_val": 24, "num_test": 24, "num_templates": 3
    }  # fmt: skip


def test_a_training_begins_with_a_model_that_comes_along(capsys) -> None:
    words = ["train", "nbody", "--variant", "E(3) on R3xS2", "--init", "nbody", "--out", "out", "--quiet"]
    options = {"num_train": 8, "num_val": 4, "num_test": 4}
    words += [word for name, value in options.items() for word in (f"--task_options.{name}", str(value))]
    words += ["--train.steps", "2", "--train.warmup_steps", "0", "--train.eval_every", "2", "--train.threads", "1"]
    assert run(*words) == 0
    shown = capsys.readouterr().out
    assert "pretrained/nbody: " in next(line for line in shown.splitlines() if "weights begin with" in line)
    assert run(*words[:5], "dipol") == 2
    assert "such as dipole; rapidash predict and --init take these" in capsys.readouterr().err
