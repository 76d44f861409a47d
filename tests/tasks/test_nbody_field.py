"""Charged particles in a uniform field: the law knows the vertical, and test data are turned about it only."""

import pytest
import torch

from rapidash.groups import SO
from rapidash.tasks import get_task


def test_a_field_leaves_the_turns_about_the_vertical() -> None:
    plain = get_task("nbody", num_train=2, num_val=2, num_test=2)
    pulled = get_task("nbody", num_train=2, num_val=2, num_test=2, uniform_field=0.3)
    assert plain.moves == SO(3)
    about_z = torch.tensor([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.float64)
    about_x = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=torch.float64)
    assert pulled.moves.contains(about_z)
    assert not pulled.moves.contains(about_x)
    fallen = pulled.dataset("test").tensors["target"] - plain.dataset("test").tensors["target"]
    torch.testing.assert_close(fallen, torch.tensor([0, 0, -0.15015]).expand_as(fallen), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="uniform_field must be finite, got inf"):
        get_task("nbody", uniform_field=float("inf"))


def test_the_error_of_constant_velocity_is_reported_where_it_is_asked_for() -> None:
    """Two clouds whose particles go on straight, but for one that ends 3 lengths off in one coordinate of 15."""
    task = get_task("nbody", num_train=2, num_val=2, num_test=2, reports_inertia=True)
    batch = task.dataset("test").batch(torch.arange(2))
    straight_on = batch.pos + batch["vel"]
    off = straight_on.clone()
    off[7, 1] += 3
    found = task.details(batch.pos, batch.with_tensor("target", off))
    assert list(found) == ["MSE of constant velocity (length^2)"]
    torch.testing.assert_close(found["MSE of constant velocity (length^2)"], torch.tensor([0.0, 9 / 15]))
    assert get_task("nbody").details(batch.pos, batch) == {}
