"""Saved models of tasks: what is wrong with a folder is said with file and entry."""

import json
import resource
from pathlib import Path

import pytest
import torch
from torch import nn

from rapidash.methods import Augment, Average, Variant
from rapidash.models import Rapidash, RapidashConfig
from rapidash.predict import TrainedModel
from rapidash.registry import TASKS
from rapidash.tasks import FileTask, get_task

SIZES = {"num_train": 4, "num_val": 2, "num_test": 3}
TINY = RapidashConfig(symmetry="T(3)", space="R3", channels=4, num_layers=1, basis_dim=4, basis_hidden_dim=4)
VARIANT = Variant("tiny", TINY, methods=(Augment("SO(3)"), Average("SO(3)", 2)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = get_task("nbody", **SIZES).build(VARIANT).eval()
    return TrainedModel("nbody", SIZES, VARIANT, model).save_pretrained(tmp_path / "run" / "model")


def change(folder: Path, **entries: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.update(entries)
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value != "absent"}))


def test_it_is_found_from_its_folder_its_files_and_its_run(folder: Path) -> None:
    before = torch.get_rng_state()
    for path in (folder, folder.parent, folder / "config.json", str(folder / "model.safetensors")):
        found = TrainedModel.from_pretrained(path)
        assert (found.task_name, found.task_options, found.variant) == ("nbody", SIZES, VARIANT)
    assert torch.equal(before, torch.get_rng_state())


def test_what_is_known_of_the_folder_above_does_not_matter(folder: Path) -> None:
    moved = folder.rename(folder.parents[1] / "elsewhere")
    assert TrainedModel.from_pretrained(moved).task.name == "nbody"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"task": "nbodi"}, r"config\.json does not describe a model of a task: unknown task 'nbodi', .*'nbody'"),
        ({"task": "absent"}, "the entry 'task' is missing"),
        ({"task_options": {"num_tests": 3}}, "unknown option of task 'nbody': 'num_tests'"),
        ({"task": ["nbody"]}, r"config\.json: 'task' must be of type str, got \['nbody'\]"),
        ({"task_options": 3}, r"config\.json: 'task_options' must be of type dict, got 3"),
        ({"task": "qm9", "task_options": {"target": 3}}, "option 'target' of task 'qm9': expected text, got 3"),
        ({"variant": "absent"}, "the entry 'variant' is missing"),
        ({"variant": {"name": "x", "modell": {}}}, "unknown Variant field 'modell'.*did you mean 'model'"),
        ({"variant": {"name": "x"}}, "does not describe a model of a task: Variant lacks .*'model'"),
        ({"variant": 7}, r"config\.json: 'variant' must be of type dict, got 7"),
        ({"reference": "absent"}, "the entry 'reference' is missing"),
        ({"reference": None}, r"config\.json: 'reference' must be of type dict, got None"),
        ({"reference": [1]}, r"config\.json: 'reference' must be of type dict, got \[1\]"),
        ({"training": None}, r"config\.json: 'training' must be of type dict, got None"),
        ({"results": 0.5}, r"config\.json: 'results' must be of type dict, got 0\.5"),
        ({"dtype": "float33"}, "'dtype' must be the name of a floating-point dtype, one of float32, .*, got 'float33'"),
        ({"kind": "network"}, r"'kind' is 'network', expected 'task': .*Rapidash\.from_pretrained"),
        ({"kind": "mesh"}, r"'kind' is 'mesh', expected 'task': it was saved by another version"),
    ],
)
def test_a_wrong_entry_is_named(folder: Path, entries: dict, message: str) -> None:
    change(folder, **entries)
    with pytest.raises(ValueError, match=message):
        TrainedModel.from_pretrained(folder)


def test_a_setting_that_is_missing_is_not_taken_from_the_defaults(folder: Path) -> None:
    variant = json.loads((folder / "config.json").read_text())["variant"]
    for name in ("ratios", "symmetry", "kernel"):
        model = {key: value for key, value in variant["model"].items() if key != name}
        change(folder, variant={**variant, "model": model})
        with pytest.raises(ValueError, match=rf"RapidashConfig lacks '{name}'"):
            TrainedModel.from_pretrained(folder)


MOLECULES = {"elements": [1, 6, 7, 8], "mean": -10}
PARTS = {"class_names": ["Airplane", "Bag"], "num_points": [130, 140]}


def saved_with(folder: Path, name: str, reference: dict) -> TrainedModel:
    options = {"target": "homo"} if name == "qm9" else {}
    model = get_task(name, **options).build(VARIANT).eval()
    TrainedModel(name, options, VARIANT, model, reference).save_pretrained(folder)
    return TrainedModel.from_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "reference", "message"),
    [
        ("qm9", {**MOLECULES, "elements": None}, r"'elements' in 'reference' must be of type list\[int\], got None"),
        ("qm9", {**MOLECULES, "elements": [1, "C"]}, r"'elements' in 'reference' must be of type list\[int\]"),
        ("qm9", {**MOLECULES, "mean": True}, "'mean' in 'reference' must be of type float, got True"),
        ("shapenet-part", {**PARTS, "class_names": "Bag"}, r"'class_names' in 'reference' must be .* list\[str\]"),
        (
            "shapenet-part",
            {**PARTS, "num_points": [130, 10**9]},
            r"'num_points' .* 1 to 100000, got \[130, 1000000000\]",
        ),
        ("shapenet-part", {**PARTS, "num_points": [0, 130]}, r"'num_points' .* 1 to 100000, got \[0, 130\]"),
        ("meshseg", {**PARTS, "num_points": [130, 120]}, r"'num_points' .* 1 to 100000, got \[130, 120\]"),
        ("shapenet-part", {**PARTS, "num_points": [130]}, r"'num_points' in 'reference' must be .* tuple\[int, int\]"),
    ],
)
def test_a_wrong_entry_of_the_reference_is_named(tmp_path: Path, name: str, reference: dict, message: str) -> None:
    with pytest.raises(ValueError, match=rf"config\.json .*{message}"):
        saved_with(tmp_path, name, reference)


@pytest.mark.parametrize(("name", "whole"), [("qm9", MOLECULES), ("shapenet-part", PARTS)])
def test_predictions_without_an_entry_of_the_reference_say_so(tmp_path: Path, name: str, whole: dict) -> None:
    """The model itself can be used."""
    for missing in whole:
        reference = {key: value for key, value in whole.items() if key != missing}
        found = saved_with(tmp_path, name, reference)
        with pytest.raises(ValueError, match=f"the saved model of {name} has no '{missing}' in 'reference'"):
            found.predict_files(["some.xyz"])


def test_weights_of_another_width_are_named(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["variant"]["model"]["channels"] = 8
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"model\.safetensors do not fit .* has shape \(4, .*\), expected \(8, .*\)"):
        TrainedModel.from_pretrained(folder)


def test_a_network_alone_is_not_a_model_of_a_task(folder: Path, tmp_path: Path) -> None:
    network = Rapidash(in_scalars=1, space="R3", channels=4, num_layers=1)
    with pytest.raises(ValueError, match=r"'kind' is 'network', expected 'task'"):
        TrainedModel.from_pretrained(network.save_pretrained(tmp_path / "network"))
    with pytest.raises(ValueError, match=r"'kind' is 'task', expected 'network'"):
        Rapidash.from_pretrained(folder)


def test_infinite_results_cannot_be_saved(folder: Path, tmp_path: Path) -> None:
    found = TrainedModel.from_pretrained(folder)
    broken = TrainedModel("nbody", SIZES, VARIANT, found.model, results={"test_error": float("inf")})
    with pytest.raises(ValueError, match="finite numbers only"):
        broken.save_pretrained(tmp_path / "broken")
    assert not (tmp_path / "broken").exists()


def test_a_task_without_predictions_for_files_says_so(toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "toy", lambda: toy.task)
    assert not isinstance(toy.task, FileTask)
    found = TrainedModel("toy", {}, VARIANT, toy.Network())
    again = TrainedModel.from_pretrained(found.save_pretrained(tmp_path))
    assert torch.equal(again.model.head.weight, found.model.head.weight)
    with pytest.raises(ValueError, match=r"task 'toy' does not say how .* see rapidash\.tasks\.FileTask"):
        again.predict_files(["some.xyz"])
    with pytest.raises(ValueError, match="does not say how"):
        again.predict(toy.task.dataset("test"))


def test_outputs_are_asked_for_by_name(folder: Path) -> None:
    found = TrainedModel.from_pretrained(folder)
    made = found.predict(found.task.dataset("test"))
    with pytest.raises(KeyError, match=r"unknown output 'position', expected one of 'positions'"):
        made["position"]
    assert isinstance(found.model, nn.Module)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": 1_000_000_000}, "num_layers is 1000000000, model.safetensors has tensors for at most"),
        ({"num_layers": [1] * 100_000, "channels": 4}, "num_layers is 100000, "),
        ({"channels": 1_000_000_000}, "channels is 1000000000, model.safetensors has tensors for at most 4096"),
        ({"basis_hidden_dim": 10**12}, "basis_hidden_dim is 1000000000000, "),
        ({"num_orientations": 100_000, "grid": "repulsion"}, "num_orientations is 100000, .* at most 256"),
        ({"max_degree": 40}, "max_degree is 40, "),
        ({"channels": 4096, "basis_dim": 4096, "widening": 4096}, "it makes a network of more than .* parameters"),
    ],
)
def test_a_configuration_of_another_size_is_refused_before_it_is_built(
    folder: Path, changes: dict, message: str
) -> None:
    variant = json.loads((folder / "config.json").read_text())["variant"]
    change(folder, variant={**variant, "model": {**variant["model"], **changes}})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=rf"config\.json does not describe a model of a task: {message}"):
        TrainedModel.from_pretrained(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


def test_hostile_configurations_are_named(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    for changed, message in (
        ("[" * 100_000, r"config\.json is nested too deeply"),
        (
            text.replace('"num_orientations": 12', '"num_orientations": ' + "9" * 5000),
            r"config\.json is not a whole JSON file",
        ),
        (
            text.replace("float32", "float8_e4m3fn"),
            "'dtype' must be the name of a floating-point dtype, one of float32,",
        ),
        (text.replace("float32", "float64"), r"has the type torch\.float32, expected torch\.float64"),
        (text + " " * (1 << 24), "bytes, expected at most 16,777,216: it is no configuration"),
    ):
        (folder / "config.json").write_text(changed)
        with pytest.raises(ValueError, match=message) as found:
            TrainedModel.from_pretrained(folder)
        assert len(str(found.value)) < 1000
