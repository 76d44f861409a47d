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
