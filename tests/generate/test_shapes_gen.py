"""Shapes that are generated: files, normalizations, figures against test shapes, and samples that diverge."""

from pathlib import Path

import numpy as np
import pytest
import torch
from generate_checks import tiny

from rapidash._seed import seeded
from rapidash.data import CloudDataset
from rapidash.datasets import modelnet10_dataset
from rapidash.generate import FLOOR, SAMPLES, Denoising, HeunSampler, sample_clouds
from rapidash.generate.metrics import DEVIATIONS
from rapidash.methods import Measurement, Scene, Subject, Variant, build_model
from rapidash.models import RapidashConfig
from rapidash.registry import MEASURES
from rapidash.study import get_design
from rapidash.tasks.shapes_gen import ShapesGenTask
from rapidash.testing import check_task

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SCALES = RapidashConfig(
    grid="platonic", num_orientations=6, edges=("knn-4", "fc"), ratios=0.25, channels=(8, 8), num_layers=(1, 1),
    basis_dim=8, basis_hidden_dim=8, symmetry="T(3)", space="R3",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file of 60 posts, 3 times as high as wide, and 20 plates: 40 points on ellipsoids, off the origin."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(80, 40, 3))
    points /= np.linalg.norm(points, axis=2, keepdims=True)
    label = np.repeat([0, 1], [60, 20]).astype(np.int8)
    axes = np.where(label[:, None] == 0, [1.0, 3.0, 1.0], [2.0, 0.3, 2.0]) * rng.uniform(0.8, 1.2, (80, 3))
    points = points * axes[:, None] + 5
    fold = (np.arange(80) % 5).astype(np.int8)
    rest = {"normals": np.zeros((80, 40, 3), dtype=np.int8), "shape_id": np.array([f"m{k}" for k in range(80)])}
    np.savez(
        tmp_path / "shapes69.npz", points=points, label=label, fold=fold, class_name=np.array(["post", "plate"]), **rest
    )
    return tmp_path


def shapes(folder: Path, **options: object) -> ShapesGenTask:
    sizes = {"num_val": 4, "num_test": 4, "num_samples": 12, "sampling_steps": 4, "num_points": 32}
    few = {"source": "shapes69", "classes": "post", "num_points_earth_mover": 16}
    return ShapesGenTask(data_dir=str(folder), verify=False, **{**sizes, **few, **options})


def model_of(task: ShapesGenTask, model: RapidashConfig = SCALES) -> torch.nn.Module:
    """Calibrated, with random weights that are too small for samples to diverge."""
    made = build_model(task, Variant("v", model, objective=Denoising()))
    made.calibrate(task.dataset("train").batch(torch.arange(16)))
    with torch.no_grad():
        for parameter in made.backbone.readout.parameters():
            parameter.mul_(0.1)
    return made.eval()


def figures_of(task: ShapesGenTask, clouds: CloudDataset) -> dict[str, float | None]:
    return {figure.name: figure.value for figure in task.figures(clouds)}


def test_shapes_gen_keeps_the_promises_of_tasks(folder: Path) -> None:
    models = (tiny("E(3)", "R3xS2", 6), tiny("SO2(y)", "R3"), tiny("E(3)", "R3"), SCALES)
    check_task(shapes(folder), [Variant(f"variant {place}", model) for place, model in enumerate(models)])


def test_clouds_are_centered_and_normalized_by_name(folder: Path) -> None:
    for scale in ("global", "box", "unit sphere"):
        data = shapes(folder, scale=scale).clouds("train")
        pos = data.tensors["pos"].view(36, 32, 3)
        assert float(pos.mean(1).abs().max()) < 1e-6
        extent = (pos.amax(1) - pos.amin(1)).amax(1)
        radius = pos.norm(dim=2).amax(1)
        if scale == "global":
            assert 4 < float(extent.min()) < float(extent.max()) < 8  # lengths of the file
        else:
            torch.testing.assert_close(extent if scale == "box" else radius / 0.5, torch.full((36,), 2.0))
    assert len(shapes(folder, classes="plate, post").clouds("train")) == 48
    assert len(shapes(folder, num_train=7).clouds("train")) == 7


def test_up_is_y_in_the_file_with_z_up() -> None:
    if not (SHARED_DATA / "modelnet10.npz").is_file():
        pytest.skip(f"no ModelNet10 at {SHARED_DATA}")
    task = ShapesGenTask(data_dir=str(SHARED_DATA), num_points=64, num_points_earth_mover=8)
    pos = task.clouds("test").tensors["pos"].view(100, 64, 3)
    raw = modelnet10_dataset("test", num_points=64, data_dir=SHARED_DATA)
    chair = raw.info["class_names"].index("chair")
    first = torch.nonzero(raw.tensors["label"].flatten() == chair)[0]
    own = raw.subset(first).tensors["pos"]
    torch.testing.assert_close(pos[0], own @ torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), rtol=0, atol=1e-5)
    assert float(torch.linalg.det(torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]))) == 1  # a turn, no mirror


def test_figures_tell_shapes_from_others(folder: Path) -> None:
    """Training posts are like test posts; plates are not; and each of the figures is of as many test shapes."""
    task = shapes(folder)
    like = figures_of(task, task.clouds("train"))
    other = figures_of(task, shapes(folder, classes="plate").clouds("train"))
    assert (like["clouds of each set"], other["clouds of each set"]) == (12, 12)
    for distance, points in (("chamfer", 32), ("earth mover", 16), ("pair distances", 32)):
        rule = f"({distance}, unit sphere, {points} points)"
        assert other[f"1-NNA {rule}"] > 85
        assert like[f"1-NNA {rule}"] < 80
        assert like[f"MMD {rule}"] < other[f"MMD {rule}"]
        halves = (like[f"1-NNA of samples {rule}"], like[f"1-NNA of references {rule}"])
        assert like[f"1-NNA {rule}"] == pytest.approx(sum(halves) / 2)
    copies = figures_of(task, task.clouds("test"))
    assert copies["1-NNA (chamfer, unit sphere, 32 points)"] < 20
    assert copies[f"{DEVIATIONS} (chamfer, unit sphere, 32 points)"] < -2.5


def test_figures_are_of_evenly_spaced_shapes(folder: Path) -> None:
    """Of 36 samples and 12 test shapes, 12 samples: 0, 3, 6 and so on, up to rounding down."""
    task = shapes(folder)
    many = task.clouds("train")
    few = many.subset(torch.tensor([0, 3, 6, 9, 12, 15, 19, 22, 25, 28, 31, 35]))
    assert figures_of(task, many) == figures_of(task, few)


def test_shapes_that_diverge_make_every_figure_worse(folder: Path) -> None:
    """A sampler that diverges must not raise its score by dropping shapes."""
    task = shapes(folder)
    good = task.clouds("train").subset(torch.arange(12))
    pos = good.tensors["pos"].clone()
    pos[: 6 * 32] = torch.nan
    half = CloudDataset({"pos": pos}, good.fields, good.num_points)
    nothing = CloudDataset({"pos": torch.full_like(pos, torch.inf)}, good.fields, good.num_points)
    found = [figures_of(task, clouds) for clouds in (good, half, nothing)]
    assert [one["finite"] for one in found] == [100, 50, 0]
    assert [one["clouds of each set"] for one in found] == [12, 12, 12]
    rule = "(chamfer, unit sphere, 32 points)"
    samples = [one[f"1-NNA of samples {rule}"] for one in found]
    assert samples[0] < samples[1] < samples[2] == 100
    assert found[1][f"MMD {rule}"] >= found[0][f"MMD {rule}"]
    assert found[1][f"COV {rule}"] <= found[0][f"COV {rule}"]
    assert (found[2][f"MMD {rule}"], found[2][f"COV {rule}"]) == (None, 0)


def test_samples_and_their_floor_are_measured(folder: Path) -> None:
    task = shapes(folder)
    subject = Subject(model_of(task), task, task.dataset("val"), task.ledger(Variant("v", SCALES)), "after", "full", 0)
    made = list(MEASURES.get("samples")(subject))
    found = {one.name: one.value for one in made if isinstance(one, Measurement)}
    rule = "(earth mover, unit sphere, 16 points)"
    assert found[f"{FLOOR}1-NNA {rule}"] < found[f"{SAMPLES}1-NNA {rule}"]
    assert {name.removeprefix(FLOOR) for name in found if name.startswith(FLOOR)} == {
        name.removeprefix(SAMPLES) for name in found if name.startswith(SAMPLES)
    }
    scenes = [one for one in made if isinstance(one, Scene)]
    assert [len(cloud.points) for scene in scenes for cloud in scene.clouds] == [32] * 12


def test_samples_do_not_depend_on_how_many_are_drawn(folder: Path) -> None:
    task = shapes(folder)
    model = model_of(task)
    many, few = (sample_clouds(model, task, num, sampler=HeunSampler(6)).tensors["pos"] for num in (70, 3))
    assert bool(many.isfinite().all())
    assert torch.equal(many[: 3 * 32], few)
    asked = sample_clouds(model, task, 2, sampler=HeunSampler(6), num_points=torch.tensor([20, 50]))
    assert asked.num_points.tolist() == [20, 50]


def test_neighbors_are_those_of_the_noisy_cloud(folder: Path) -> None:
    """Two clouds with the same points in other places have other neighbors: they are searched for at every call."""
    task = shapes(folder)
    model = model_of(task)
    batch = task.dataset("val").batch(torch.arange(2))
    other = batch.with_tensor("pos", batch.pos[torch.randperm(64, generator=seeded(0))], batch.fields["pos"])
    found = [{*map(tuple, model.backbone.connect(one.pos, one.batch).graphs[0].edge_index.T.tolist())}
             for one in (batch, other)]  # fmt: skip
    assert found[0] != found[1]


def test_bad_options_are_told(folder: Path) -> None:
    for option, value, said in (
        ("source", "shapenet55", "source must be one of"),
        ("scale", "none", "scale must be one of"),
        ("solver", "euler", "solver must be one of"),
        ("classes", " , ", "classes must name at least one"),
        ("num_points", 1025, "num_points must be from 2 to 1024"),
        ("num_points_earth_mover", 33, "num_points_earth_mover from 2 to num_points"),
        ("num_samples", 1, "num_samples must be at least 2"),
        ("sampling_steps", 1, "steps must be at least 2"),
        ("num_val", 0, "num_val"),
    ):
        with pytest.raises(ValueError, match=said):
            shapes(folder, **{option: value})
    with pytest.raises(ValueError, match="unknown class of shapes69: 'pots', expected one of 'post', 'plate'"):
        shapes(folder, classes="pots").clouds("train")
    with pytest.raises(FileNotFoundError, match="no class 'chair' of ShapeNet"):
        shapes(folder, source="shapenet", classes="chair").clouds("train")
    assert shapes(folder, solver="heun-without-noise").sampler.churn == 0


def test_folders_of_shapenet_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        place = tmp_path / "02691156" / split
        place.mkdir(parents=True)
        for index in range(1 if split == "val" else 2):
            np.save(place / f"{index}.npy", rng.normal(size=(60, 3)) * [1, 2, 3] + 4)
    task = shapes(tmp_path, source="shapenet", classes="airplane", scale="global")
    data = task.clouds("train")
    assert data.num_points.tolist() == [32, 32]
    spread = data.tensors["pos"].std(0)
    assert bool((spread.diff() > 0.3).all())  # y is y
    assert len(task.dataset("val")) == 4
    (tmp_path / "02691156" / "test" / "1.npy").unlink()
    with pytest.raises(ValueError, match="a single test shape of 02691156"):
        shapes(tmp_path, source="shapenet", classes="02691156", scale="box").clouds("test")


def test_the_study_has_the_variants_of_a_vertical() -> None:
    names = [variant.name for variant in get_design("shapes-gen").variants]
    assert names == [
        "E(3) on R3xS2",
        "E(3) on R3xS2 + global frame",
        "E(3) on R3",
        "SO2(y) on R3",
        "T(3) on R3",
        "T(3) on R3 + turns",
        "T(3) on R3 + rotations",
    ]
