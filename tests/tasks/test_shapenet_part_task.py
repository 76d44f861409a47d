import math

import pytest
import torch
from data_files import write_shapenet_part
from task_checks import check_gradients, check_ledger, few_steps, first_clouds, small

from rapidash.datasets import SHAPENET_CATEGORIES, SHAPENET_PARTS, DataError
from rapidash.groups import E, T
from rapidash.methods import evaluate
from rapidash.study.designs.shapenet_part import make_design
from rapidash.tasks.shapenet_part import NUM_PARTS, ShapeNetPartTask

VARIANTS = {variant.name: small(variant) for variant in make_design(full=False).variants}
NUM_POINTS = 130  # 8 are left on the coarsest of three scales


@pytest.fixture
def task(tmp_path) -> ShapeNetPartTask:
    write_shapenet_part(tmp_path, num_points=NUM_POINTS)
    return ShapeNetPartTask(data_dir=str(tmp_path))


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_as_symmetric_as_their_ledger(task, name: str) -> None:
    batch = first_clouds(task, 2)
    check_ledger(task, VARIANTS[name], batch)
    check_gradients(task, VARIANTS[name], batch)
    broken = name.startswith("T(3)") or name.endswith("frame")
    assert task.ledger(VARIANTS[name]).effective == (T(3) if broken else E(3))


@pytest.mark.parametrize("name", ["E(3) on R3xS2", "E(3) on R3", "T(3) on R3"])
def test_normals_enter_as_vectors(tmp_path, name: str) -> None:
    write_shapenet_part(tmp_path, num_points=NUM_POINTS)
    task = ShapeNetPartTask(uses_normals=True, data_dir=str(tmp_path))
    batch = first_clouds(task, 2)
    check_ledger(task, VARIANTS[name], batch)
    model = task.build(VARIANTS[name]).double()
    other = batch.with_tensor("normal", batch["normal"].roll(1, 0))
    assert (model(batch) - model(other)).abs().max() > 1e-6


def test_the_h5_layout_has_no_normals(tmp_path) -> None:
    write_shapenet_part(tmp_path, has_normals=False)
    assert len(ShapeNetPartTask(data_dir=str(tmp_path)).dataset("train")) == 8
    with pytest.raises(DataError, match="has no normals"):
        ShapeNetPartTask(uses_normals=True, data_dir=str(tmp_path)).dataset("train")


def test_a_bad_shape_is_named_or_skipped_and_counted(tmp_path) -> None:
    write_shapenet_part(tmp_path)
    (tmp_path / "03001627" / "shape3.txt").write_text("0 0 0\n")
    with pytest.raises(DataError, match=r"shape3\.txt has 3 columns, expected 4"):
        ShapeNetPartTask(data_dir=str(tmp_path)).dataset("train")
    with pytest.warns(RuntimeWarning, match="skipped 1 of 8 samples"):
        assert len(ShapeNetPartTask(data_dir=str(tmp_path), on_error="skip").dataset("train")) == 7
    with pytest.raises(ValueError, match="on_error must be 'raise' or 'skip', got 'ignore'"):
        ShapeNetPartTask(data_dir=str(tmp_path), on_error="ignore").dataset("train")


def logits_of(part: torch.Tensor) -> torch.Tensor:
    """Logits that say these parts, with a part of another category above them."""
    logits = torch.zeros(len(part), NUM_PARTS, dtype=torch.float64)
    logits[torch.arange(len(part)), part] = 1.0
    logits[:, 49] = 2.0  # a table top
    return logits


def test_metric_by_hand(task) -> None:
    """Parts of other categories cannot be predicted, absent parts count 1."""
    batch = first_clouds(task, 3)  # airplane, chair, airplane
    part = batch["part"].clone()
    assert task.errors(logits_of(part), batch).tolist() == [0, 0, 0]
    first = batch.batch == 0
    one_label = torch.where(first, torch.zeros_like(part), part)  # the first airplane: all body
    share = float((part[first] == 0).double().mean())
    assert task.errors(logits_of(one_label), batch)[0] == pytest.approx(100 - 100 * share / 4)
    absent = batch.with_tensor("part", one_label)  # a plane of body only, and predicted so: three absent parts
    assert task.errors(logits_of(one_label), absent)[0] == pytest.approx(0)


def test_instance_miou_averages_shapes_and_class_miou_categories(task) -> None:
    data = task.dataset("test").subset(torch.tensor([0, 2, 4, 1]))  # three airplanes and a chair

    class Perfect(torch.nn.Module):
        """Right on airplanes, and one label on chairs."""

        def forward(self, batch):
            chair = batch["label"][batch.batch] == SHAPENET_CATEGORIES.index("Chair")
            return logits_of(torch.where(chair, SHAPENET_PARTS["Chair"][0], batch["part"]))

    result = evaluate(Perfect(), task, data, batch_size=3)
    part = data.tensors["part"][3 * NUM_POINTS :]
    chair = 100 * float((part == part.min()).double().mean()) / 4
    assert result.details["instance mIoU (%)"] == pytest.approx((300 + chair) / 4)
    assert result.mean == pytest.approx(100 - (300 + chair) / 4)
    assert result.details["class mIoU (%)"] == pytest.approx((100 + chair) / 2)


def test_loss_is_over_the_parts_of_the_category(task) -> None:
    batch = first_clouds(task, 2)
    logits = torch.zeros(2 * NUM_POINTS, NUM_PARTS, dtype=torch.float64)
    logits[:, 49] = 50.0
    assert float(task.loss(logits, batch)) == pytest.approx(math.log(4))


def test_a_few_steps_of_training_lower_the_loss_and_log_both_mious(task, tmp_path) -> None:
    rows = few_steps(task, VARIANTS["T(3) on R3"], tmp_path, steps=6, num_clouds=4)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert rows[-1]["val/instance mIoU (%)"] == pytest.approx(100 - rows[-1]["val_error"])
    assert 0 < rows[-1]["val/class mIoU (%)"] < 100


def test_wrong_options_teach(tmp_path) -> None:
    with pytest.raises(ValueError, match="num_points must be at least 1"):
        ShapeNetPartTask(num_points=0)
    with pytest.raises(ValueError, match="pose must be one of"):
        ShapeNetPartTask(pose="upright")
    with pytest.raises(FileNotFoundError, match="ShapeNet part"):
        ShapeNetPartTask(data_dir=str(tmp_path)).dataset("train")
