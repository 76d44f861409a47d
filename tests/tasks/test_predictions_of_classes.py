"""Classes of shapes and digits from files of users: sampled and scaled as the training data, told by name."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import save_ply, write_box, write_mnist, write_modelnet40
from task_checks import untrained

from rapidash.datasets import MODELNET40_CLASSES, DataError
from rapidash.predict import TrainedModel

POINTS = 40
ASPECT = np.array([3.0, 2.0, 1.0])


@pytest.fixture
def shapes(tmp_path: Path) -> TrainedModel:
    """A network for 40 classes of shapes with 40 points."""
    write_modelnet40(tmp_path)
    return untrained("modelnet40", num_points=POINTS, data_dir=str(tmp_path))


def test_a_mesh_is_sampled_and_scaled(tmp_path: Path, shapes: TrainedModel) -> None:
    made = shapes.predict_files([write_box(tmp_path)])
    pos = made.clouds.tensors["pos"].numpy()
    assert pos.shape == (POINTS, 3)
    np.testing.assert_allclose(pos.mean(axis=0), 0, atol=1e-12)
    assert np.linalg.norm(pos, axis=1).max() == pytest.approx(1)
    spread = np.ptp(pos, axis=0)
    np.testing.assert_allclose(spread / spread[2], ASPECT, rtol=0.1)  # of a box, still
    again = shapes.predict_files([write_box(tmp_path)])
    assert torch.equal(made["probabilities"], again["probabilities"])


def test_a_cloud_of_more_points_is_thinned_and_one_of_as_many_is_kept(tmp_path: Path, shapes: TrainedModel) -> None:
    pos = np.random.default_rng(0).normal(size=(3 * POINTS, 3))
    made = shapes.predict_files([save_ply(tmp_path / "many.ply", pos), save_ply(tmp_path / "few.ply", pos[:POINTS])])
    assert made.clouds.num_points.tolist() == [POINTS, POINTS]
    kept = made.clouds.batch(torch.tensor([1])).pos.numpy()
    centered = pos[:POINTS] - pos[:POINTS].mean(axis=0)
    whole = centered / np.linalg.norm(centered, axis=1).max()
    np.testing.assert_allclose(np.sort(kept, axis=0), np.sort(whole, axis=0), atol=1e-9)


def test_classes_have_names(tmp_path: Path, shapes: TrainedModel) -> None:
    made = shapes.predict_files([write_box(tmp_path)])
    assert made.default_suffix == ".csv"
    with made.write(tmp_path / "classes.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    best = int(made["probabilities"][0].argmax())
    assert row["entry"] == str(tmp_path / "box.off")
    assert row["class"] == MODELNET40_CLASSES[best]
    assert float(row["probability"]) == pytest.approx(float(row[f"probabilities[{MODELNET40_CLASSES[best]}]"]))
    assert sum(float(row[f"probabilities[{name}]"]) for name in MODELNET40_CLASSES) == pytest.approx(1, abs=1e-5)
    with np.load(made.write(tmp_path / "classes.npz")) as file:
        assert file["class"].tolist() == [best]
        assert tuple(file["class_labels"]) == tuple(MODELNET40_CLASSES)
        assert file["probabilities"].shape == (1, 40)
    with pytest.raises(ValueError, match="xyz is for molecules, these clouds have no elements"):
        made.write(tmp_path / "classes.xyz")


@pytest.mark.parametrize(
    ("pos", "message"),
    [
        (np.eye(3), r"it has 3 points without faces, the model was trained on clouds of 40"),
        (np.ones((POINTS, 3)), "all its points coincide"),
        (np.full((POINTS, 3), np.nan), "'pos' has values that are not finite"),
    ],
)
def test_a_shape_that_cannot_be_taken_is_named(tmp_path: Path, shapes: TrainedModel, pos, message: str) -> None:
    bad = save_ply(tmp_path / "bad.ply", pos)
    with pytest.raises(DataError, match=rf"bad\.ply: {message}"):
        shapes.predict_files([bad])
    made = shapes.predict_files([bad, write_box(tmp_path), tmp_path / "box.off"], skip_bad=True)
    assert (len(made.names), len(made.skipped)) == (2, 1)


def test_a_mesh_without_faces_or_area_is_named(tmp_path: Path, shapes: TrainedModel) -> None:
    path = tmp_path / "flat.off"
    path.write_text("OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n")
    with pytest.raises(DataError, match=r"flat\.off: it has 3 points without faces"):
        shapes.predict_files([path])
    path.write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n")
    with pytest.raises(DataError, match=r"flat\.off: its faces have no area"):
        shapes.predict_files([path])


def test_a_saved_classifier_knows_its_names_without_data(tmp_path: Path, shapes: TrainedModel) -> None:
    again = TrainedModel.from_pretrained(shapes.save_pretrained(tmp_path / "model"))
    assert again.reference == {"class_names": list(MODELNET40_CLASSES)}
    first, second = shapes.predict_files([write_box(tmp_path)]), again.predict_files([tmp_path / "box.off"])
    assert torch.equal(first["probabilities"], second["probabilities"])
    assert "rapidash predict DIR FILE.ply" in (tmp_path / "model" / "README.md").read_text()


def test_digits_of_an_npz_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPIDASH_CACHE", str(tmp_path / "cache"))
    write_mnist(tmp_path)
    model = untrained("mnist-sp", num_val=3, num_superpixels=64, data_dir=str(tmp_path), verify=False)
    data = model.task.dataset("val")
    arrays = {name: data.tensors[name].numpy() for name in model.task.needs}
    np.savez(tmp_path / "digits.npz", num_points=data.num_points.numpy(), **arrays)
    made = model.predict_files([tmp_path / "digits.npz"])
    torch.testing.assert_close(made["probabilities"], model.predict(data)["probabilities"])
    assert made.outputs["class"].labels == tuple("0123456789")
    for changes, message in (
        (
            {"intensity": 255 * arrays["intensity"]},
            "'intensity' goes from .*, expected 0 to 1: divide gray levels by 255",
        ),
        ({"area": 0 * arrays["area"]}, "'area' has the value 0, expected numbers of pixels, above 0"),
    ):
        np.savez(tmp_path / "digits.npz", num_points=data.num_points.numpy(), **(arrays | changes))
        with pytest.raises(DataError, match=rf"digits\.npz, cloud 0: {message}"):
            model.predict_files([tmp_path / "digits.npz"])
