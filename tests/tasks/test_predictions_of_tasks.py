"""Trained models of every task on clouds from files: absolute values in the user's units, and clear refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from task_checks import calibrated, small
from torch import nn

from rapidash.datasets import ELEMENT_SYMBOLS, DataError, md_dataset, qm9_dataset
from rapidash.groups import E
from rapidash.predict import TrainedModel
from rapidash.study import get_design
from rapidash.tasks import FileTask, get_task

MOLECULES = [("qm9", {"target": "energy_mp2"}), ("qm9", {"target": "homo"}), ("qm9", {"target": "dipole"}), ("md", {})]
OTHERS = [("nbody", {"num_train": 8, "num_val": 2, "num_test": 4}), ("cmu", {})]


def trained(name: str, options: dict, kind: str = "E(3) on R3xS2") -> TrainedModel:
    """A calibrated network with random weights, as training would leave it."""
    variants = {variant.name: variant for variant in get_design(name).variants}
    task, variant = get_task(name, **options), small(variants[kind])
    assert isinstance(task, FileTask)
    train = task.dataset("train")
    model = calibrated(task, variant, train.batch(torch.arange(4)).to(dtype=torch.float32), torch.float32)
    found = {"reference": task.reference(), "training": {"seed": 0}, "results": {"test_error": 0.25}}
    return TrainedModel(name, options, variant, model.eval(), **found)


class Zero(nn.Module):
    """Predicts nothing beyond what training took off."""

    def __init__(self, width: int, *, per_point: bool) -> None:
        super().__init__()
        self.width, self.per_point = width, per_point

    def forward(self, batch) -> torch.Tensor:
        return torch.zeros(len(batch.pos) if self.per_point else batch.num_clouds, self.width)


def with_zero(name: str, options: dict) -> TrainedModel:
    task = get_task(name, **options)
    width = {"md": 4, "qm9": 3 if options.get("target") == "dipole" else 1}[name]
    model = Zero(width, per_point=name == "md")
    return TrainedModel(name, options, get_design(name).variants[0], model, task.reference())


@pytest.mark.parametrize(("name", "options"), MOLECULES + OTHERS, ids=str)
def test_a_saved_model_is_the_same_bit_for_bit_and_needs_no_data(
    shared_data, tmp_path: Path, monkeypatch, name: str, options: dict
) -> None:
    first = trained(name, options)
    data = first.task.dataset("test").subset(torch.arange(4))
    monkeypatch.delenv("RAPIDASH_DATA")
    second = TrainedModel.from_pretrained(first.save_pretrained(tmp_path / "model"))
    assert (second.variant, second.reference, second.results) == (first.variant, first.reference, first.results)
    assert not second.model.training
    state = second.model.state_dict()
    for key, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, state[key]), key
    before, after = first.predict(data), second.predict(data, batch_size=1)
    assert before.outputs.keys() == after.outputs.keys()
    for key in before.outputs:
        torch.testing.assert_close(before[key], after[key], rtol=1e-3, atol=1e-3)  # float32, other batches
        assert torch.equal(before[key], second.predict(data)[key])
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"rapidash predict DIR FILE.{'xyz' if (name, options) in MOLECULES else 'npz'}" in card
    assert f"{first.task.metric} on test data: 0.25 {first.task.unit}" in card
    assert "Effective symmetry: E(3)" in card


@pytest.mark.parametrize("kind", ["EGNN", "DGCNN"])
def test_baselines_are_saved_the_same_way(shared_data, tmp_path: Path, kind: str) -> None:
    first = trained("qm9", {"target": "homo"}, kind)
    second = TrainedModel.from_pretrained(first.save_pretrained(tmp_path / "model"))
    assert second.variant == first.variant
    assert second.variant.model.kind == kind
    data = first.task.dataset("test").subset(torch.arange(4))
    assert torch.equal(first.predict(data)["homo"], second.predict(data)["homo"])


@pytest.mark.parametrize("target", ["energy_mp2", "homo", "dipole"])
def test_numbers_of_molecules_are_absolute(shared_data, target: str) -> None:
    """The prediction plus the error of training gives the value of the data again."""
    model = with_zero("qm9", {"target": target})
    relative = model.task.dataset("test").tensors["target"]
    absolute = qm9_dataset("test", source="mp2").tensors[target]
    predicted = model.predict(model.task.dataset("test"))
    torch.testing.assert_close(predicted[target] + relative, absolute, rtol=1e-10, atol=1e-8)
    assert predicted.outputs[target].field.unit == ("D" if target == "dipole" else "eV")


def test_energies_of_configurations_are_absolute(shared_data) -> None:
    model = with_zero("md", {})
    raw = md_dataset("ethanol_test_MD").tensors["energy"][:, 0]
    relative = model.task.dataset("test").tensors["energy"][:, 0]
    predicted = model.predict(model.task.dataset("test"))
    torch.testing.assert_close(predicted["energy"] + relative, raw, rtol=0, atol=1e-9)
    assert (predicted.outputs["energy"].field.unit, predicted.outputs["forces"].field.unit) == ("eV", "eV/angstrom")
    assert float(predicted["energy"][0]) < -4000
    assert not predicted["forces"].any()


def test_forces_are_the_slope_of_the_predicted_energy(shared_data) -> None:
    model = trained("md", {})
    model.model.double()
    data = model.task.dataset("test").subset(torch.tensor([0]))
    energies, step = [], 1e-4
    for sign in (1, -1):
        moved = model.task.dataset("test").subset(torch.tensor([0]))
        moved.tensors["pos"] = moved.tensors["pos"].double()
        moved.tensors["pos"][3, 1] += sign * step
        energies.append(float(model.predict(moved)["energy"][0]))
    slope = (energies[0] - energies[1]) / (2 * step)
    assert float(model.predict(data)["forces"][3, 1]) == pytest.approx(-slope, rel=1e-4, abs=1e-7)


def write_xyz(path: Path, data, indices: list[int], factor: float = 1.0) -> Path:
    lines = []
    for index in indices:
        batch = data.batch(torch.tensor([index]))
        lines += [str(len(batch.pos)), "from the test set"]
        for z, pos in zip(batch["z"].tolist(), (factor * batch.pos).tolist()):
            lines.append(" ".join([ELEMENT_SYMBOLS[z - 1], *map(repr, pos)]))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_molecules_of_an_xyz_file(shared_data, tmp_path: Path) -> None:
    model = trained("qm9", {"target": "homo"})
    data = model.task.dataset("test")
    path = write_xyz(tmp_path / "some.xyz", data, [5, 2])
    found = model.predict_files([path, path])
    assert found.names == tuple(f"{path}, frame {frame}" for frame in (0, 1, 0, 1))
    torch.testing.assert_close(found["homo"][:2], model.predict(data.subset(torch.tensor([5, 2])))["homo"])
    assert torch.equal(found["homo"][:2], found["homo"][2:])
    assert found.skipped == ()


def test_averaging_over_rotations_makes_a_broken_symmetry_whole(shared_data, tmp_path: Path) -> None:
    """More elements, less change when the molecule is turned; the same seed gives the same average for any batches."""
    design = {variant.name: small(variant) for variant in get_design("qm9").variants}
    task = get_task("qm9", target="homo")
    data = task.dataset("test").subset(torch.arange(6))
    model = calibrated(task, design["T(3) on R3"], data.batch(torch.arange(6)).to(dtype=torch.float32), torch.float32)
    plain = TrainedModel("qm9", {"target": "homo"}, design["T(3) on R3"], model, task.reference())
    turned = data.batch(torch.arange(6)).transform(E(3).sample(6, generator=torch.Generator().manual_seed(3)))
    moved = type(data)(
        {"pos": turned.pos, "z": turned["z"]}, {k: data.fields[k] for k in ("pos", "z")}, data.num_points
    )
    change = [
        float((plain.predict(moved, **over)["homo"] - plain.predict(data, **over)["homo"]).abs().mean())
        for over in ({}, {"average": "SO(3)", "num_elements": 32})
    ]
    assert change[1] < change[0] / 2
    three = {"average": "SO(3)", "num_elements": 3}
    first, second = (plain.predict(data, **three, batch_size=size)["homo"] for size in (2, 6))
    torch.testing.assert_close(first, second)
    assert not torch.equal(first, plain.predict(data)["homo"])
    assert not torch.equal(first, plain.predict(data, **three, seed=1)["homo"])


BAD = {
    "element": ("1\n\nFe 0 0 0\n", r"frame 1: element Fe was not in the training data: H, C, N, O"),
    "text": ("2\n\nC 0 0 0\nC 0 0 one\n", r"frame 1: .* is not an element with three coordinates"),
    "far": (
        "3\n\nC 0 0 0\nO 0 0 3.0\nO 0 0 -3.0\n",
        r"frame 1: its nearest atoms are 3 apart, expected 0\.5 to 1\.75 angstrom",
    ),
    "nan": ("2\n\nC 0 0 0\nO 0 0 nan\n", r"frame 1: 'pos' has values that are not finite"),
}


@pytest.mark.parametrize("kind", list(BAD))
def test_a_bad_molecule_is_named_or_skipped_and_counted(shared_data, tmp_path: Path, kind: str) -> None:
    model = with_zero("qm9", {"target": "homo"})
    path = write_xyz(tmp_path / "some.xyz", model.task.dataset("test"), [0])
    text, message = BAD[kind]
    path.write_text(path.read_text() + text + path.read_text())
    with pytest.raises(DataError, match=rf"some\.xyz, {message}.*skip_bad=True"):
        model.predict_files([path])
    found = model.predict_files([path], skip_bad=True)
    assert found.names == (f"{path}, frame 0", f"{path}, frame 2")
    assert len(found.skipped) == 1
    path.write_text(text)
    with pytest.raises(DataError, match=r"no cloud to predict in .*some\.xyz: 1 are bad; the first: .*frame 0"):
        model.predict_files([path], skip_bad=True)


def test_bohr_are_noticed(shared_data, tmp_path: Path) -> None:
    model = with_zero("qm9", {"target": "homo"})
    path = write_xyz(tmp_path / "bohr.xyz", model.task.dataset("test"), [0], factor=1 / 0.529177)
    with pytest.raises(DataError, match="are the positions in another unit"):
        model.predict_files([path])


def test_another_molecule_has_no_energy(shared_data, tmp_path: Path) -> None:
    model = with_zero("md", {})
    path = tmp_path / "hydroxyl.xyz"
    path.write_text("2\n\nO 0 0 0\nH 0.97 0 0\n")
    message = "its atoms are 1 H, 1 O, the model was trained on 6 H, 2 C, 1 O: energies of another molecule"
    with pytest.raises(DataError, match=message):
        model.predict_files([path])
    other = md_dataset("acac_test_H_transfer")
    with pytest.raises(ValueError, match="energies of another molecule have no common zero"):
        model.predict(other)


def save_npz(path: Path, **arrays: torch.Tensor) -> Path:
    np.savez(path, **{name: tensor.numpy() for name, tensor in arrays.items()})
    return path


def test_particles_and_poses_of_npz_files(shared_data, tmp_path: Path) -> None:
    for name, options in OTHERS:
        model = trained(name, options)
        data = model.task.dataset("test").subset(torch.arange(3))
        size = int(data.num_points[0])
        given = {key: data.tensors[key].unflatten(0, (3, size)) for key in model.task.needs}
        given |= {"charge": given["charge"][..., 0]} if name == "nbody" else {"joint": given["joint"][0]}
        found = model.predict_files([save_npz(tmp_path / f"{name}.npz", **given)])
        torch.testing.assert_close(found["positions"], model.predict(data)["positions"])
        if name == "cmu":  # in the usual order the joints need no numbers
            del given["joint"]
            unnamed = model.predict_files([save_npz(tmp_path / "unnamed.npz", **given)])
            assert torch.equal(unnamed["positions"], found["positions"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vel": None}, r"it has no 'vel': the task needs pos \(skeleton unit\), vel \(skeleton unit/frame\)"),
        ({"vel": torch.zeros(31, 2)}, r"'vel' has shape \(31, 2\) of float32, expected numbers \(31, 3\)"),
        ({"joint": torch.full((31,), 31)}, "'joint' is out of range, expected 0 to 30"),
        ({"joint": torch.full((31,), 0.5)}, "'joint' has values that are not whole numbers"),
        ({"vel": None, "joint": None}, r"it has no 'vel': .*; the file has pos. Mend or remove it, or"),
        ({"vel": torch.zeros(2, 3)}, "'vel' has 2 rows, expected 31: one for every point"),
        ({"joint": torch.arange(30)}, "'joint' has 30 rows, expected 31: one for every point"),
        ({"joint": None, "pos": torch.zeros(5, 3), "vel": torch.zeros(5, 3)}, "it has 5 points and no 'joint'"),
        ({"pos": torch.full((31, 3), torch.inf)}, "'pos' has values that are not finite"),
        ({"pos": torch.zeros(0, 3)}, "it has no points"),
    ],
)
def test_a_wrong_pose_is_refused(shared_data, tmp_path: Path, change: dict, message: str) -> None:
    whole = {"pos": torch.zeros(31, 3), "vel": torch.zeros(31, 3), "joint": torch.arange(31)}
    given = {name: tensor for name, tensor in {**whole, **change}.items() if tensor is not None}
    model = TrainedModel("cmu", {}, get_design("cmu").variants[0], nn.Linear(1, 1))
    with pytest.raises(DataError, match=message):
        model.predict_files([save_npz(tmp_path / "pose.npz", **given)])


def test_clouds_without_what_the_task_needs_are_refused(shared_data) -> None:
    model = with_zero("qm9", {"target": "homo"})
    poses = get_task("cmu").dataset("test")
    with pytest.raises(ValueError, match="the clouds have no 'z': qm9 needs pos, z"):
        model.predict(poses)
    with pytest.raises(ValueError, match="the number of elements must be at least 1, got -1"):
        model.predict(model.task.dataset("test"), average="SO(3)", num_elements=-1)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        model.predict(model.task.dataset("test"), batch_size=0)
