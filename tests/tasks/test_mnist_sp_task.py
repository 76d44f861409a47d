import math
from dataclasses import replace

import pytest
import torch
from data_files import write_mnist
from task_checks import calibrated, check_gradients, check_ledger, few_steps, first_clouds, movement, small

from rapidash.groups import SE, E, T, motion
from rapidash.study.designs.mnist_sp import make_design
from rapidash.tasks.mnist_sp import MnistSpTask

VARIANTS = {variant.name: small(variant) for variant in make_design(full=False).variants}


@pytest.fixture
def task(tmp_path, monkeypatch) -> MnistSpTask:
    write_mnist(tmp_path)
    monkeypatch.setenv("RAPIDASH_CACHE", str(tmp_path / "cache"))
    return MnistSpTask(num_superpixels=36, data_dir=str(tmp_path), verify=False)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_as_symmetric_as_their_ledger(task, name: str) -> None:
    batch = first_clouds(task, 2)
    check_ledger(task, VARIANTS[name], batch)
    check_gradients(task, VARIANTS[name], batch)
    broken = name.startswith("T(2)") or name.endswith("frame")
    assert task.ledger(VARIANTS[name]).effective == (T(2) if broken else SE(2) if name.startswith("SE") else E(2))


def test_a_mirrored_digit_is_another_one_for_se2_and_the_same_for_e2(task) -> None:
    mirror = motion(torch.diag(torch.tensor([-1.0, 1.0], dtype=torch.float64)), torch.zeros(2, dtype=torch.float64))
    batch = first_clouds(task, 2)
    changes = {
        name: movement(calibrated(task, VARIANTS[name], batch), task, batch, mirror)
        for name in ("E(2) on R2xS1", "SE(2) on R2xS1")
    }
    assert changes["E(2) on R2xS1"] < 1e-9
    assert changes["SE(2) on R2xS1"] > 1e-4


def test_intensity_and_area_enter(task) -> None:
    batch = first_clouds(task, 2)
    model = calibrated(task, VARIANTS["E(2) on R2"], batch)
    before = model(batch)
    for name in ("intensity", "area"):
        assert (model(batch.with_tensor(name, 2 * batch[name] + 1)) - before).abs().max() > 1e-6


def test_digits_are_turned_each_by_its_own_angle(task) -> None:
    turned = replace(task, pose="rotated").dataset("train")
    still = task.dataset("train")
    assert torch.equal(still.tensors["label"], turned.tensors["label"])
    angles = []
    for index in range(3):
        before, after = (data.batch(torch.tensor([index])).pos.double() for data in (still, turned))
        rotation = torch.linalg.lstsq(before, after).solution.T
        torch.testing.assert_close(before @ rotation.T, after, atol=1e-4, rtol=0)
        angles.append(math.atan2(rotation[1, 0], rotation[0, 0]))
    assert len({round(angle, 3) for angle in angles}) == 3
    again = replace(task, pose="rotated").dataset("train")
    assert torch.equal(turned.tensors["pos"], again.tensors["pos"])


def test_a_few_steps_of_training_lower_the_loss(task, tmp_path) -> None:
    rows = few_steps(task, VARIANTS["E(2) on R2"], tmp_path, steps=8, num_clouds=5)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


def test_wrong_options_teach(tmp_path) -> None:
    for options, message in (
        ({"pose": "lying"}, "pose must be one of"),
        ({"num_superpixels": 3}, "num_superpixels must be at least 4, got 3"),
        ({"num_test": 0}, "num_train, num_val and num_test must be at least 1, got {'num_test': 0}"),
    ):
        with pytest.raises(ValueError, match=message):
            MnistSpTask(**options)
    with pytest.raises(FileNotFoundError, match="MNIST"):
        MnistSpTask(data_dir=str(tmp_path)).dataset("train")
