import math
from dataclasses import replace

import pytest
import torch
from task_checks import calibrated, check_gradients, check_ledger, few_steps, first_clouds, small

from rapidash.groups import SE, E, T
from rapidash.methods import evaluate
from rapidash.study import plan_corruptions
from rapidash.study._corruption_runs import _corrupted, _unturned
from rapidash.study.designs.shapes import make_design
from rapidash.tasks.shapes import ShapesTask

NUM_CLASSES = ShapesTask.num_classes
VARIANTS = {variant.name: small(variant) for variant in make_design(full=False).variants}
SIZES = {"num_points": 48, "num_train": 40, "num_val": 20, "num_test": 12}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_as_symmetric_as_their_ledger(shared_data, name: str) -> None:
    task = ShapesTask(**SIZES)
    batch = first_clouds(task, 2)
    check_ledger(task, VARIANTS[name], batch)
    check_gradients(task, VARIANTS[name], batch)
    broken = name.startswith(("T(3)", "DGCNN")) or name.endswith("frame")
    layers = T(3) if broken else SE(3) if name.startswith("SE") else E(3)
    assert task.ledger(VARIANTS[name]).effective == layers


def test_splits_and_parts(shared_data) -> None:
    splits = ("train", "val", "test")
    whole = {split: ShapesTask(num_points=16).dataset(split) for split in splits}
    assert sum(map(len, whole.values())) == 2470
    for data in whole.values():
        labels = data.tensors["label"]
        assert (int(labels.min()), int(labels.max())) == (0, NUM_CLASSES - 1)
    part = ShapesTask(**SIZES).dataset("train")
    assert len(part) == 40
    assert len(part.tensors["label"].unique()) > 20  # a random part, not the first classes
    assert torch.equal(part.tensors["pos"], ShapesTask(**SIZES).dataset("train").tensors["pos"])


def test_rotated_shapes_are_the_aligned_ones_turned_each_in_its_own_way(shared_data) -> None:
    still, turned = (ShapesTask(pose=pose, **SIZES).dataset("val") for pose in ("aligned", "rotated"))
    assert torch.equal(still.tensors["label"], turned.tensors["label"])
    rotations = []
    for index in range(3):
        before, after = (data.batch(torch.tensor([index])).pos.double() for data in (still, turned))
        rotation = torch.linalg.lstsq(before, after).solution.T
        torch.testing.assert_close(before @ rotation.T, after, atol=1e-5, rtol=0)
        torch.testing.assert_close(rotation @ rotation.T, torch.eye(3, dtype=torch.float64), atol=1e-4, rtol=0)
        assert float(torch.linalg.det(rotation)) == pytest.approx(1, abs=1e-4)
        rotations.append(rotation)
    assert (rotations[0] - rotations[1]).norm() > 0.1
    again = ShapesTask(pose="rotated", **SIZES).dataset("val")
    assert torch.equal(again.tensors["pos"], turned.tensors["pos"])


def test_a_corruption_acts_on_the_test_shapes_only(shared_data) -> None:
    sizes = {**SIZES, "num_points": 128}  # the quick design must be able to run on what the hardest one leaves
    clean, dropped = ShapesTask(**sizes), ShapesTask(corruption="dropout_global", severity=5, **sizes)
    assert torch.equal(clean.dataset("val").tensors["pos"], dropped.dataset("val").tensors["pos"])
    assert dropped.dataset("test").num_points.unique().tolist() == [32]
    sheared = ShapesTask(corruption="shear", severity=1, **sizes).dataset("test")  # made for another size of shapes
    radii = [float(data.tensors["pos"].norm(dim=1).max()) for data in (clean.dataset("test"), sheared)]
    assert radii[1] == pytest.approx(radii[0], rel=0.1)
    model = calibrated(clean, VARIANTS["E(3) on R3"], first_clouds(clean, 2))
    assert 0 <= evaluate(model, clean, dropped.dataset("test"), batch_size=5).mean <= 100


@pytest.mark.parametrize("pose", ["aligned", "rotated"])
def test_corruptions_after_a_study_are_those_of_the_option(shared_data, pose: str) -> None:
    """Shapes are corrupted as the files have them, and turned then: a stretched axis is one of the shape."""
    task = ShapesTask(pose=pose, **SIZES)
    option = replace(task, corruption="scale", severity=5)
    after = _corrupted(_unturned(task).dataset("test"), "scale", 5, task)
    assert torch.equal(after.tensors["pos"], option.dataset("test").tensors["pos"])
    with pytest.raises(ValueError, match="test data of shapes are corrupted already, by its option corruption='scale'"):
        plan_corruptions(option)


def test_metric_and_loss_by_hand(shared_data) -> None:
    task = ShapesTask(**SIZES)
    batch = first_clouds(task, 3)
    logits = torch.zeros(3, NUM_CLASSES, dtype=torch.float64)
    assert float(task.loss(logits, batch)) == pytest.approx(math.log(NUM_CLASSES))
    logits[torch.arange(3), batch["label"]] = 1.0
    logits[2] = 0.0
    logits[2, (int(batch["label"][2]) + 1) % NUM_CLASSES] = 1.0
    assert task.errors(logits, batch).tolist() == [0, 0, 100]


def test_a_few_steps_of_training_lower_the_loss(shared_data, tmp_path) -> None:
    rows = few_steps(ShapesTask(**SIZES), VARIANTS["E(3) on R3"], tmp_path, steps=8)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


def test_wrong_options_teach(tmp_path) -> None:
    for options, message in (
        ({"pose": "lying"}, "pose must be one of"),
        ({"num_points": 2000}, "num_points must be in 1 to 1024, got 2000"),
        ({"num_val": 0}, "must be at least 1"),
        ({"corruption": "jiter"}, "did you mean 'jitter'"),
        ({"severity": 6}, "severity must be in 1 to 5"),
    ):
        with pytest.raises(ValueError, match=message):
            ShapesTask(**options)
    with pytest.raises(FileNotFoundError, match="shapes69"):
        ShapesTask(data_dir=str(tmp_path)).dataset("train")
