"""Parts of shapes from files of users: the category is asked for, and every point of the file has a label."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import save_ply, write_box, write_shapenet_part
from task_checks import untrained
from torch import nn

from rapidash.datasets import SHAPENET_CATEGORIES, SHAPENET_PARTS, DataError
from rapidash.predict import TrainedModel
from rapidash.tasks import FileTask

NUM_POINTS = 130  # 8 are left on the coarsest of three scales
CHAIR = SHAPENET_CATEGORIES.index("Chair")


class Quadrants(nn.Module):
    """Votes for part 0, 1, 2 or 3 of each category by the signs of x and y, and keeps the sizes of what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, batch) -> torch.Tensor:
        self.sizes += torch.bincount(batch.batch).tolist()
        quadrant = (batch.pos[:, 0] > 0) + 2 * (batch.pos[:, 1] > 0)
        first = torch.tensor([SHAPENET_PARTS[name][0] for name in SHAPENET_CATEGORIES])[batch["label"]]
        logits = torch.zeros(len(batch.pos), 50)
        logits[torch.arange(len(logits)), first[batch.batch] + quadrant] = 1.0
        return logits


def varied(name: str, **options: object) -> TrainedModel:
    """A network that is not trained, and whose labels differ between the points of the first shape."""
    found = untrained(name, **options)
    with torch.no_grad():
        logits = found.model(found.task.dataset("test").batch(torch.tensor([0])))
        found.model.backbone.readout.linear.bias -= logits.mean(dim=0)
    return found


@pytest.fixture
def parts(tmp_path: Path) -> TrainedModel:
    """A network for parts of shapes with 130 points."""
    (tmp_path / "data").mkdir()
    write_shapenet_part(tmp_path / "data", num_points=NUM_POINTS)
    return varied("shapenet-part", data_dir=str(tmp_path / "data"))


@pytest.fixture
def quadrants(parts: TrainedModel) -> TrainedModel:
    return replace(parts, model=Quadrants())


def save_npz(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)
    return path


def corners(num: int) -> tuple[np.ndarray, np.ndarray]:
    """Points near the corners of a square far from the origin, in mixed order, and the quadrant of each."""
    rng = np.random.default_rng(0)
    quadrant = rng.permutation(np.arange(num) % 4)
    pos = np.stack([quadrant % 2, quadrant // 2, np.zeros(num)], axis=1) + rng.uniform(-0.1, 0.1, (num, 3))
    return 7.0 * pos + 100, quadrant


def test_a_sample_of_the_data_from_a_file_is_predicted_alike(tmp_path: Path, parts: TrainedModel, monkeypatch) -> None:
    assert isinstance(parts.task, FileTask)
    data = parts.task.dataset("test")
    expected = parts.predict(data)
    monkeypatch.setattr(type(parts.task), "read", None)
    again = TrainedModel.from_pretrained(parts.save_pretrained(tmp_path / "model"))
    path = save_npz(
        tmp_path / "own.npz",
        pos=5 + 3 * data.tensors["pos"].unflatten(0, (-1, NUM_POINTS)),
        label=data.tensors["label"],
    )
    found = again.predict_files([path])
    torch.testing.assert_close(found["probability"], expected["probability"], rtol=1e-4, atol=1e-4)
    assert (found["part"] == expected["part"]).double().mean() > 0.99  # shifted and scaled in float32
    assert len(found["part"].unique()) > 2
    assert found.clouds.num_points.tolist() == [NUM_POINTS] * len(data)


def test_segments_of_the_shared_file_itself(tmp_path: Path, shared_data) -> None:
    """It has the names of arrays that we know; its category is a number per shape."""
    model = varied("meshseg", num_points=NUM_POINTS, num_segments=5)
    with np.load(shared_data / "princeton_meshseg.npz") as file:
        chosen = np.flatnonzero(file["is_test"])[:3]
        arrays = {name: file[name][chosen] for name in ("points", "category", "segmentation")}
        first = {"points": arrays["points"][:, :NUM_POINTS], "category": file["category_name"][arrays["category"]]}
    expected = model.predict(model.task.dataset("test").subset(torch.arange(3)))
    own = model.predict_files([save_npz(tmp_path / "first.npz", **first)])
    assert torch.equal(own["segment"], expected["segment"])
    torch.testing.assert_close(own["probability"], expected["probability"])
    assert own.outputs["segment"].labels == ()
    assert len(own["segment"].unique()) > 2
    whole = model.predict_files([save_npz(tmp_path / "whole.npz", **arrays)])
    assert whole["segment"].shape == whole["probability"].shape == (3 * 2048,)
    assert 0 <= int(whole["segment"].min()) <= int(whole["segment"].max()) < 5


def test_every_point_of_a_large_cloud_has_the_part_of_its_place(tmp_path: Path, quadrants: TrainedModel) -> None:
    (many, where), (few, there) = corners(1000), corners(NUM_POINTS)
    files = [save_ply(tmp_path / "many.ply", many), save_ply(tmp_path / "few.ply", few)]
    found = quadrants.predict_files(files, category="Chair")
    assert quadrants.model.sizes == [NUM_POINTS, NUM_POINTS]
    assert found.clouds.num_points.tolist() == [1000, NUM_POINTS]
    assert found["part"].tolist() == [SHAPENET_PARTS["Chair"][quadrant] for quadrant in (*where, *there)]
    np.testing.assert_array_equal(found.clouds.tensors["pos"].numpy(), np.concatenate([many, few]))


def test_vertices_of_a_mesh_have_parts(tmp_path: Path, quadrants: TrainedModel) -> None:
    """Its corners are (x, y, z) in lexical order, the network sees points on its faces."""
    found = quadrants.predict_files([write_box(tmp_path)], category="Airplane")
    assert quadrants.model.sizes == [NUM_POINTS]
    assert found["part"].tolist() == [0, 0, 2, 2, 1, 1, 3, 3]


def test_parts_are_those_of_the_category_and_have_names(tmp_path: Path, parts: TrainedModel) -> None:
    cloud = np.random.default_rng(0).normal(size=(NUM_POINTS, 3))
    path = save_npz(tmp_path / "two.npz", pos=np.stack([cloud, cloud]), label=["Laptop", "Chair"])
    found = parts.predict_files([path])
    laptop, chair = found["part"].unflatten(0, (2, NUM_POINTS))
    assert set(laptop.tolist()) <= set(SHAPENET_PARTS["Laptop"])
    assert set(chair.tolist()) <= set(SHAPENET_PARTS["Chair"])
    assert (found["probability"] > 1 / 4 - 1e-6).all()  # of at most four parts
    names = found.outputs["part"].labels
    assert (len(names), names[0], names[12], names[49]) == (50, "Airplane 0", "Chair 12", "Table 49")
    assert found.default_suffix == ".npz"
    with np.load(found.write(tmp_path / "out.npz")) as file:
        assert file["part"].tolist() == found["part"].tolist()
        assert file["num_points"].tolist() == [NUM_POINTS] * 2
        assert file["part_labels"][file["part"][-1]].startswith("Chair ")


def test_the_category_comes_from_the_file_or_is_given(tmp_path: Path, quadrants: TrainedModel) -> None:
    cloud, where = corners(NUM_POINTS)
    plain = save_npz(tmp_path / "plain.npz", pos=cloud)
    for category in ("Chair", CHAIR, str(CHAIR)):
        assert quadrants.predict_files([plain], category=category)["part"].tolist() == (12 + where).tolist()
    labeled = save_npz(tmp_path / "labeled.npz", pos=cloud, label=0)
    both = quadrants.predict_files([plain, labeled], category="Chair")["part"].unflatten(0, (2, NUM_POINTS))
    assert both.tolist() == [(12 + where).tolist(), where.tolist()]
    with pytest.raises(
        DataError, match=r"plain\.npz: it has no category: .*'label' .*option category.*Airplane, Bag.* 0 to 15"
    ):
        quadrants.predict_files([labeled, plain])
    found = quadrants.predict_files([labeled, plain], skip_bad=True)
    assert (len(found.names), len(found.skipped)) == (1, 1)


def test_categories_that_are_not_one_for_every_cloud_are_told(tmp_path: Path, quadrants: TrainedModel) -> None:
    path = save_npz(tmp_path / "three.npz", pos=corners(NUM_POINTS)[0], category=[1, 2, 3])
    with pytest.raises(
        DataError, match=r"it has no category \('label' has 3 values, expected 1: one for every cloud\)"
    ):
        quadrants.predict_files([path])


@pytest.mark.parametrize("category", ["Chairs", "16", -1, 4.0, True])
def test_an_unknown_category_is_refused_before_any_file_is_read(quadrants: TrainedModel, category) -> None:
    with pytest.raises(ValueError, match=rf"unknown category '{category}', expected one of 'Airplane', .*0 to 15"):
        quadrants.predict_files(["absent.ply"], category=category, skip_bad=True)


GOOD = np.random.default_rng(0).normal(size=(2, NUM_POINTS, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": ["Chair", "Chiar"]}, "unknown category 'Chiar', .*did you mean 'Chair'"),
        ({"label": [4, 99]}, "unknown category '99', expected one of 'Airplane'"),
        ({"num_points": [NUM_POINTS, 7]}, "it has 7 points without faces, the model was trained on clouds of 130"),
        ({"pos": GOOD * [[[1]], [[np.nan]]]}, "'pos' has values that are not finite"),
        ({"pos": GOOD * [[[1]], [[0]]]}, "all its points coincide"),
    ],
    ids=["name", "number", "few", "nan", "point"],
)
def test_a_bad_shape_is_named_or_skipped_and_counted(tmp_path: Path, quadrants, change: dict, message: str) -> None:
    path = save_npz(tmp_path / "some.npz", **{"pos": GOOD, "label": ["Chair", "Chair"], **change})
    with pytest.raises(DataError, match=rf"some\.npz, cloud 1: {message}.*skip_bad=True"):
        quadrants.predict_files([path])
    found = quadrants.predict_files([path], skip_bad=True)
    assert (found.names, len(found.skipped)) == ((f"{path}, cloud 0",), 1)


def test_sizes_of_the_training_data_count_where_they_differ(tmp_path: Path, quadrants: TrainedModel) -> None:
    model = replace(quadrants, reference={**quadrants.reference, "num_points": [50, 90]})
    files = [save_ply(tmp_path / f"{size}.ply", corners(size)[0]) for size in (50, 70, 300)]
    model.predict_files(files, category="Chair")
    assert model.model.sizes == [50, 70, 90]
    with pytest.raises(DataError, match=r"it has 49 points without faces, .* clouds of 50 to 90"):
        model.predict_files([save_ply(tmp_path / "49.ply", corners(49)[0])], category="Chair")


def test_normals_come_from_the_file_or_the_surface(tmp_path: Path, parts: TrainedModel) -> None:
    options = {**parts.task_options, "uses_normals": True}
    model = varied("shapenet-part", **options)
    data = model.task.dataset("test")
    arrays = {name: data.tensors[name].unflatten(0, (-1, NUM_POINTS)).numpy() for name in ("pos", "normal")}
    path = save_npz(tmp_path / "own.npz", pos=arrays["pos"], normals=9 * arrays["normal"], label=data.tensors["label"])
    found = model.predict_files([path])
    torch.testing.assert_close(found["probability"], model.predict(data)["probability"], rtol=1e-4, atol=1e-4)
    turned = save_npz(
        tmp_path / "turned.npz", **{**arrays, "normal": arrays["normal"][:, ::-1]}, label=data.tensors["label"]
    )
    assert not torch.allclose(model.predict_files([turned])["probability"], found["probability"], atol=1e-4)
    assert model.predict_files([write_box(tmp_path)], category=0)["part"].shape == (8,)
    cloud = save_ply(tmp_path / "own.ply", arrays["pos"][0], normal=9 * arrays["normal"][0])
    of_cloud = model.predict_files([cloud], category=int(data.tensors["label"][0]))["probability"]
    torch.testing.assert_close(of_cloud, found["probability"][:NUM_POINTS], rtol=1e-4, atol=1e-4)
    with pytest.raises(DataError, match=r"it has no 'normal': the task needs pos .*, normal"):
        model.predict_files([save_ply(tmp_path / "bare.ply", arrays["pos"][0])], category=0)


def test_a_ply_of_predictions_has_points_colors_and_labels(tmp_path: Path, quadrants: TrainedModel) -> None:
    trimesh = pytest.importorskip("trimesh")
    cloud, where = corners(200)
    path = save_ply(tmp_path / "cloud.ply", cloud)
    found = quadrants.predict_files([path], category="Chair")
    loaded = trimesh.load(found.write(tmp_path / "parts.ply"))
    raw = loaded.metadata["_ply_raw"]["vertex"]["data"]
    np.testing.assert_array_equal(loaded.vertices, cloud)
    assert raw["part"].tolist() == (12 + where).tolist()
    np.testing.assert_array_equal(raw["probability"], found["probability"].numpy())
    colors = {(part, *color[:3].tolist()) for part, color in zip(where.tolist(), loaded.colors)}
    assert len(colors) == len({color[1:] for color in colors}) == 4  # one for each part
    again = quadrants.predict_files([tmp_path / "parts.ply"], category="Chair")  # as a cloud of a user
    assert torch.equal(again["part"], found["part"])
    with pytest.raises(ValueError, match=r"ply holds one cloud, these are 2: write \.npz"):
        quadrants.predict_files([path, path], category="Chair").write(tmp_path / "two.ply")
    with pytest.raises(ValueError, match="csv has a row per cloud, 'part' is a value of every point"):
        found.write(tmp_path / "parts.csv")


def test_a_model_without_names_of_categories_says_so(quadrants: TrainedModel) -> None:
    with pytest.raises(ValueError, match="the saved model of shapenet-part has no 'class_names' in 'reference'"):
        replace(quadrants, reference={}).predict_files(["some.ply"], category="Chair")


def test_the_card_says_how_the_category_is_given(tmp_path: Path, parts: TrainedModel) -> None:
    card = (parts.save_pretrained(tmp_path / "model") / "README.md").read_text()
    assert "rapidash predict DIR FILE.ply --category NAME" in card
    assert "label (category, its name or number)" in card
    assert parts.reference == {"class_names": list(SHAPENET_CATEGORIES), "num_points": [NUM_POINTS, NUM_POINTS]}
