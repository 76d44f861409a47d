"""Predictions of clouds far from the origin, and of numbers that a model cannot take."""

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash.data import CloudDataset
from rapidash.datasets import DataError
from rapidash.groups import parse_group
from rapidash.methods import Variant
from rapidash.models import RapidashConfig
from rapidash.predict import Predictions, TrainedModel
from rapidash.predict._trained import BadCloudError
from rapidash.symmetry import symmetry_ledger
from rapidash.tasks import get_task

SMALL = {"channels": 8, "num_layers": 1, "basis_dim": 8, "basis_hidden_dim": 8}
WATER = np.array([[0, 0, 0.1173], [0, 0.7572, -0.4692], [0, -0.7572, -0.4692]])
Z = np.array([8, 1, 1])
POS = np.random.default_rng(0).normal(size=(5, 3))


def molecules() -> TrainedModel:
    """A dipole of qm9, untrained."""
    variant = Variant("any", RapidashConfig(**SMALL))
    torch.manual_seed(0)
    options = {"target": "dipole"}
    model = get_task("qm9", **options).build(variant).eval()
    return TrainedModel("qm9", options, variant, model, {"elements": [1, 8]})


def particles() -> TrainedModel:
    variant = Variant("any", RapidashConfig(**SMALL))
    torch.manual_seed(0)
    return TrainedModel("nbody", {}, variant, get_task("nbody").build(variant).eval())


def npz(path: Path, pos: np.ndarray, **arrays: np.ndarray) -> Path:
    np.savez(path, pos=pos, **arrays)
    return path


@pytest.mark.parametrize("offset", [1e3, 1e4, 1e6, 1e8])
def test_a_molecule_far_away_has_the_same_dipole(tmp_path: Path, offset: float) -> None:
    model = molecules()
    near, far = (model.predict_files(npz(tmp_path / "a.npz", WATER + by, z=Z))["dipole"] for by in (0, offset))
    assert near.norm() > 1e-3
    torch.testing.assert_close(far, near, rtol=2e-5, atol=4e-16 * offset / 1e-2)


def test_particles_far_away_are_predicted_there(tmp_path: Path) -> None:
    model = particles()
    rest = {"vel": np.ones((5, 3)), "charge": np.ones(5)}
    near = model.predict_files(npz(tmp_path / "a.npz", POS, **rest))["positions"]
    far = model.predict_files(npz(tmp_path / "a.npz", POS + 1e6, **rest))["positions"]
    assert far.dtype == torch.float64
    torch.testing.assert_close(far - 1e6, near.double(), rtol=0, atol=1e-5)


def test_near_clouds_stay_where_they_are(tmp_path: Path) -> None:
    model = particles()
    seen: list[torch.Tensor] = []
    model.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].pos))
    model.predict_files(npz(tmp_path / "a.npz", POS + 20, vel=np.ones((5, 3)), charge=np.ones(5)))
    assert torch.equal(seen[0], torch.from_numpy(POS + 20).float())


def test_a_network_of_absolute_positions_is_not_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its predictions depend on where the cloud is."""
    model = particles()
    ledger = symmetry_ledger(parse_group("SO(3)", 3))
    monkeypatch.setattr(type(model.task), "ledger", lambda task, variant: ledger)
    seen: list[torch.Tensor] = []
    model.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].pos))
    model.predict_files(npz(tmp_path / "a.npz", POS + 1e4, vel=np.ones((5, 3)), charge=np.ones(5)))
    assert torch.equal(seen[0], torch.from_numpy(POS + 1e4).float())


def three_clouds(model: TrainedModel, folder: Path, bad: tuple[int, ...] = ()) -> Predictions:
    """Predictions of three times the same cloud, of which some are made infinite."""

    def spoil(_: object, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.isin(inputs[0].batch, torch.tensor(bad)).reshape(-1, 1), torch.inf, output)

    hook = model.model.register_forward_hook(spoil)
    rest = {"vel": np.ones((3, 5, 3)), "charge": np.ones((3, 5))}
    try:
        return model.predict_files(npz(folder / "a.npz", np.stack([POS] * 3), **rest))
    finally:
        hook.remove()


@pytest.mark.parametrize("bad", [0, 1])
def test_predictions_that_are_not_finite_are_marked(tmp_path: Path, bad: int) -> None:
    expected = [index != bad for index in range(3)]
    message = rf"predictions for 1 of 3 clouds are not finite, the first: .*a\.npz, cloud {bad}\. They are marked"
    with pytest.warns(RuntimeWarning, match=message):
        made = three_clouds(particles(), tmp_path, (bad,))
    assert made.is_finite is not None
    assert made.is_finite.tolist() == expected
    assert np.load(made.write(tmp_path / "out.npz"))["is_finite"].tolist() == expected
    plain = three_clouds(particles(), tmp_path)
    assert plain.is_finite is None
    assert "is_finite" not in np.load(plain.write(tmp_path / "plain.npz"))


def test_marks_in_xyz_and_csv(tmp_path: Path) -> None:
    model = molecules()
    pos = np.stack([WATER, WATER])
    made = model.predict_files(npz(tmp_path / "a.npz", pos, z=np.stack([Z, Z])))
    made = Predictions(made.outputs, made.clouds, made.names, is_finite=torch.tensor([True, False]))
    lines = made.write(tmp_path / "out.xyz").read_text().splitlines()
    assert [" is_finite=T " in lines[1], " is_finite=F " in lines[6]] == [True, True]
    with made.write(tmp_path / "out.csv").open(newline="") as file:
        assert [row["is_finite"] for row in csv.DictReader(file)] == ["True", "False"]


def test_where_none_is_finite_that_is_an_error(tmp_path: Path) -> None:
    model = particles()
    with pytest.raises(ValueError, match=r"for 3 of 3 clouds are not finite, the first: .*torch\.float32"):
        three_clouds(model, tmp_path, (0, 1, 2))
    with torch.no_grad():
        next(model.model.parameters()).fill_(torch.nan)
    with pytest.raises(
        ValueError, match=r"3 of 3 clouds .*\. The weights of the model are not finite \(.*\): its train"
    ):
        three_clouds(model, tmp_path)


def test_weights_that_are_not_finite_are_named_also_where_a_layer_refuses_what_they_make(tmp_path: Path) -> None:
    """A tabulated kernel cannot look up NaN, and says so of positions."""
    variant = Variant("any", RapidashConfig(**SMALL, kernel="tabulated"))
    model = TrainedModel("nbody", {}, variant, get_task("nbody").build(variant).eval())
    assert three_clouds(model, tmp_path).is_finite is None
    with torch.no_grad():
        for tensor in model.model.state_dict().values():
            tensor.mul_(torch.nan) if tensor.is_floating_point() else None
    with pytest.raises(ValueError, match=r"The weights of the model are not finite \(.*\): its training diverged"):
        three_clouds(model, tmp_path)


def test_numbers_beyond_the_range_of_the_model_are_a_bad_entry(tmp_path: Path) -> None:
    rest = {"vel": np.ones((2, 5, 3)), "charge": np.ones((2, 5))}
    path = npz(tmp_path / "a.npz", np.stack([1e30 * POS, POS]), **rest)
    message = r"a\.npz, cloud 0: 'pos' has values as large as .*e\+30, .* beyond the range of torch\.float32"
    with pytest.raises(DataError, match=message):
        particles().predict_files(path)
    made = particles().predict_files(path, skip_bad=True)
    assert (made.names, len(made.skipped)) == ((f"{path}, cloud 1",), 1)
    torch.testing.assert_close(made["positions"], three_clouds(particles(), tmp_path)["positions"][:5])


def test_classes_of_nan_are_not_the_first_class() -> None:
    """The largest of NaN is the first, and a label is always finite: the numbers behind it count."""
    variant = Variant("any", RapidashConfig(**SMALL))
    torch.manual_seed(0)
    task = get_task("shapes")
    names = [f"class {number}" for number in range(task.build(variant).backbone.io.out_scalars)]
    model = TrainedModel("shapes", {}, variant, task.build(variant).eval(), {"class_names": names})
    with torch.no_grad():
        for parameter in model.model.parameters():
            parameter.fill_(torch.nan)
    tensors = {name: torch.ones(4, spec.width or 1) for name, spec in task.inputs.items()}
    fields = {name: spec.field for name, spec in task.inputs.items()}
    with pytest.raises(ValueError, match="1 of 1 clouds are not finite"):
        model.predict(CloudDataset(tensors, fields, torch.tensor([4])))


def test_inputs_that_are_not_finite_are_named() -> None:
    model = particles()
    fields = {name: spec.field for name, spec in model.task.inputs.items()}
    tensors = {"pos": torch.randn(10, 3), "vel": torch.ones(10, 3), "charge": torch.ones(10, 1)}
    tensors["vel"][7, 1] = torch.inf
    with pytest.raises(ValueError, match="cloud 1: 'vel' has values that are not finite"):
        model.predict(CloudDataset(tensors, fields, torch.tensor([5, 5])))


def test_whatever_a_reader_raises_is_a_bad_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An npz with a text beside its arrays is read; an error inside a task or a reader costs one entry only."""
    model = molecules()
    good = npz(tmp_path / "good.npz", WATER, z=Z)
    (tmp_path / "bad.xyz").write_text("1\nProperties=species:S:1:pos:R:3\nO 0 0 0\n")

    def read(found, reference):
        if "bad" in found.name:
            raise IndexError("out of range")
        return whole(found, reference)

    whole = model.task.read_cloud
    monkeypatch.setattr(type(model.task), "read_cloud", staticmethod(read))
    made = model.predict_files([good, tmp_path / "bad.xyz"], skip_bad=True)
    assert made.names == (str(good),)
    assert made.skipped == (f"{tmp_path / 'bad.xyz'}, frame 0: it cannot be read (IndexError: out of range)",)
    with pytest.raises(DataError, match=r"IndexError: out of range\)\. Mend or remove it, .* with skip_bad=True\.$"):
        model.predict_files([good, tmp_path / "bad.xyz"])


def test_sentences_end_once() -> None:
    assert str(BadCloudError("a", "It is damaged. Get it again.")).startswith("a: It is damaged. Get it again. Mend or")
    assert "unit? Mend" in str(BadCloudError("a", "another unit?"))
    assert str(BadCloudError("a", "cut short", "--skip-bad")) == (
        "a: cut short. Mend or remove it, or leave bad entries out with --skip-bad."
    )


def test_a_doubtful_unit_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("2\n\nH 0 0 0\nH 0 0 2.5\n")
    with pytest.warns(RuntimeWarning, match="in another unit"):
        assert len(molecules().predict_files(tmp_path / "a.xyz").names) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="in another unit"):
            molecules().predict_files(tmp_path / "a.xyz", skip_bad=True)
