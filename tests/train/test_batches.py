"""The data order and the augmentation."""

import pytest
import torch

from rapidash.methods import Supervised
from rapidash.train._batches import TrainingBatches
from rapidash.train._controls import Controls


def batches(toy, size: int = 24, batch_size: int = 5, *, seed: int = 0, turned: bool = False, dtype=torch.float64):
    methods = toy.turned if turned else []
    controls = Controls(toy.Network(), Supervised(), methods, total_steps=20, seed=seed)
    return TrainingBatches(
        toy.task.dataset("train", size=size),
        batch_size,
        seed=seed,
        device=torch.device("cpu"),
        dtype=dtype,
        controls=controls,
    )


def test_an_epoch_visits_every_cloud_of_its_full_batches_once(toy) -> None:
    data = batches(toy, size=20)
    first, second = (torch.cat([data[4 * epoch + i].pos for i in range(4)]) for epoch in range(2))
    everything = toy.task.dataset("train", size=20).tensors["pos"]
    for epoch in (first, second):
        assert torch.equal(epoch[:, 0].sort().values, everything[:, 0].sort().values)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("size", "steps", "width"), [(24, 4, 5), (25, 5, 5), (3, 1, 3), (5, 1, 5), (1, 1, 1)])
def test_only_an_incomplete_batch_beside_a_full_one_is_dropped(toy, size: int, steps: int, width: int) -> None:
    data = batches(toy, size=size)
    assert data.steps_per_epoch == steps
    assert {data[step].num_clouds for step in range(2 * steps)} == {width}


def test_a_batch_depends_on_seed_and_step_only(toy) -> None:
    data, other = batches(toy, turned=True), batches(toy, turned=True)
    late = data[9].pos
    assert torch.equal([other[step] for step in (3, 9, 1)][1].pos, late)
    assert not torch.equal(batches(toy, turned=True, seed=1)[9].pos, late)


def test_every_sample_is_moved_by_its_own_rotation_inputs_and_target_alike(toy) -> None:
    plain, moved = batches(toy)[2], batches(toy, turned=True)[2]
    rotations = []
    for cloud in range(plain.num_clouds):
        rows = plain.batch == cloud
        before = torch.cat([plain[name][rows] for name in ("pos", "vel", "target")])
        after = torch.cat([moved[name][rows] for name in ("pos", "vel", "target")])
        rotation = torch.linalg.lstsq(before, after).solution.T
        torch.testing.assert_close(before @ rotation.T, after, atol=1e-10, rtol=0)
        torch.testing.assert_close(rotation @ rotation.T, torch.eye(3).double(), atol=1e-10, rtol=0)
        rotations.append(rotation)
    distances = torch.cdist(torch.stack(rotations).flatten(1), torch.stack(rotations).flatten(1))
    assert float((distances + 9 * torch.eye(5)).min()) > 0.1


def test_batches_have_the_dtype_asked_for(toy) -> None:
    assert batches(toy, dtype=torch.float32)[0].pos.dtype == torch.float32
