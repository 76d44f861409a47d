"""Exponentials of motions in closed form: by hand, against the matrix exponential, and derivatives at rest."""

import math

import pytest
import torch

from rapidash._seed import seeded
from rapidash.groups import SE, SO, SO2, Group, T


def test_a_quarter_turn_with_a_shift_by_hand() -> None:
    """A screw of the plane: turned by pi / 2, the shift v becomes (2 / pi) (v_x - v_y, v_x + v_y)."""
    found = SE(2).exponential(torch.tensor([math.pi / 2, 1.0, 0.5], dtype=torch.float64))
    shift = 2 / math.pi * torch.tensor([0.5, 1.5])
    expected = torch.tensor([[0.0, -1.0, shift[0]], [1.0, 0.0, shift[1]], [0.0, 0.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=0)
    about_x = SO(3).exponential(torch.tensor([math.pi, 0.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(about_x.diagonal(), torch.tensor([1.0, -1.0, -1.0, 1.0]).double(), atol=1e-15, rtol=0)


@pytest.mark.parametrize("group", [SO(2), SE(2), SO(3), SE(3), SO2("x"), T(3)], ids=str)
@pytest.mark.parametrize("size", [1e-9, 1e-3, 0.05, 0.14, 0.15, 1.0, 6.0])
def test_it_is_the_matrix_exponential(group: Group, size: float) -> None:
    number = len(group.generators())
    coordinates = size * torch.randn(20, number, generator=seeded("exponential", size), dtype=torch.float64)
    algebra = torch.einsum("bd,dij->bij", coordinates, group.generators())
    expected = torch.linalg.matrix_exp(algebra)
    torch.testing.assert_close(group.exponential(coordinates), expected, atol=5e-14 * max(1.0, size), rtol=0)


@pytest.mark.parametrize("group", [SE(2), SE(3)], ids=str)
@pytest.mark.parametrize("size", [0.0, 0.1, 2.0])
def test_derivatives_hold_at_rest_and_on_the_way(group: Group, size: float) -> None:
    number = len(group.generators())
    coordinates = size * torch.randn(2, number, generator=seeded("derivatives"), dtype=torch.float64)
    coordinates.requires_grad_()
    assert torch.autograd.gradcheck(group.exponential, coordinates)
    assert torch.autograd.gradgradcheck(group.exponential, coordinates)
