"""The models that come along with the package: their size, their cards, and that they predict by their names."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash import cli
from rapidash._hub import packaged_models
from rapidash.data import CloudDataset
from rapidash.datasets import NBODY_HORIZON, nbody_dataset, qm9_dataset
from rapidash.groups import SE
from rapidash.predict import TrainedModel
from tests.test_changelog import load

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
# as calculated for QM9 (B3LYP): ammonia 1.6256, water 1.8511, methane 0, hydrogen cyanide 2.8937 debye
MOLECULES = {
    "4\n\nN -0.04 1.0241 0.0626\nH 0.0173 0.0125 -0.0274\nH 0.9158 1.3587 -0.0288\nH -0.52 1.3435 -0.7755\n": 1.6256,
    "3\n\nO -0.0344 0.9775 0.0076\nH 0.0648 0.0206 0.0015\nH 0.8718 1.3008 0.0007\n": 1.8511,
    "3\n\nC -0.0133 1.1325 0.0083\nN 0.0023 -0.0192 0.0019\nH -0.0278 2.1991 0.0142\n": 2.8937,
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def head(folder: Path) -> dict:
    text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)[1]
    return {name: json.loads(value) for name, value in (line.split(": ", 1) for line in text.splitlines())}


def test_they_are_small_and_have_a_card_with_license_and_metric() -> None:
    models = packaged_models()
    assert list(models) == ["dipole", "nbody"]
    for name, folder in models.items():
        assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
        assert sum(path.stat().st_size for path in folder.iterdir()) < 1 << 20
        found, results = head(folder), TrainedModel.from_pretrained(name).results
        assert found["license"] == "mit"
        [metric] = found["model-index"][0]["results"][0]["metrics"]
        assert metric["value"] == results["test_error"]
        assert "## Data" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_dipole_of_a_molecule_by_one_command(here: Path, capsys: pytest.CaptureFixture) -> None:
    Path("molecules.xyz").write_text("".join(MOLECULES))
    assert cli.main(["predict", "dipole", "molecules.xyz", "--quiet", "--out", "made.npz"]) == 0
    assert "mu (D) of 3 clouds" in capsys.readouterr().out
    with np.load("made.npz") as made:
        assert made["mu"].reshape(-1) == pytest.approx(
            list(MOLECULES.values()), abs=0.5
        )  # smaller than nearly all that it was trained on


def test_molecules_that_it_does_not_know_are_refused(here: Path, capsys: pytest.CaptureFixture) -> None:
    Path("silane.xyz").write_text("2\n\nSi 0 0 0\nH 0 0 1.48\n")
    assert cli.main(["predict", "dipole", "silane.xyz", "--quiet"]) == 1
    assert "Si" in capsys.readouterr().err


def test_a_folder_of_the_user_comes_first(here: Path) -> None:
    assert TrainedModel.from_pretrained("dipole").task_name == "qm9"
    TrainedModel.from_pretrained("nbody").save_pretrained("dipole")
    assert TrainedModel.from_pretrained("dipole").task_name == "nbody"


def test_the_dipole_model_is_as_good_as_its_card_says() -> None:
    """On some of its test molecules, whose targets come from another copy of the data; turned, it says the same."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no shared data at {SHARED_DATA}")
    trained = TrainedModel.from_pretrained("dipole")
    data = qm9_dataset("test", source="b3lyp", data_dir=SHARED_DATA, verify=False).subset(torch.arange(400))
    made = trained.predict(data).outputs["mu"].values
    error = (made - data.tensors["mu"]).abs().mean().item()
    assert trained.results["unit"] == "D"
    assert error == pytest.approx(trained.results["test_error"], rel=0.25)
    moved = data.batch(torch.arange(400)).to(dtype=torch.float64).transform(SE(3).sample(400))
    again = trained.predict(CloudDataset(moved.tensors, data.fields, data.num_points)).outputs["mu"].values
    torch.testing.assert_close(again, made, atol=2e-3, rtol=0)


def test_the_particles_are_where_the_simulation_has_them() -> None:
    trained = TrainedModel.from_pretrained("nbody")
    data = nbody_dataset("test", size=60)
    made = trained.predict(data).outputs["positions"].values
    square = (made - data.tensors["target"]).square().mean().item()
    straight_on = data.tensors["pos"] + NBODY_HORIZON * data.tensors["vel"]
    assert square < 0.4 * (straight_on - data.tensors["target"]).square().mean().item()
    assert square == pytest.approx(trained.results["test_error"], rel=0.6)


@pytest.mark.slow
def test_the_command_that_makes_them_gives_the_same_weights_twice(here: Path) -> None:
    """A few steps of the particles; with one thread, bit for bit."""
    tool = load("train_packaged")
    assert packaged_models()["nbody"].parent == tool.PACKAGED
    states = [tool.fit("nbody", here / name, steps=3).model.state_dict() for name in ("first", "second")]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    for name, folder in packaged_models().items():
        trained, made = TrainedModel.from_pretrained(folder), tool.MODELS[name]
        assert trained.variant == made.variant
        assert (trained.task_name, dict(trained.task_options)) == (made.task, made.options)
        assert trained.training["steps"] == made.train.steps
