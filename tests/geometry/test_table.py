"""Grids of tables: nodes, coordinates, refinement."""

from math import asinh, sqrt

import pytest
import torch
from torch.autograd import forward_ad

from rapidash.geometry import node_attributes, node_coordinates, refinement_matrix
from rapidash.ops.table_conv.reference import RANGE_TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("signed", [(False,), (True, False), (True, True)], ids=str)
def test_the_coordinates_of_the_nodes_are_their_indices(signed: tuple[bool, ...], dtype: torch.dtype) -> None:
    sizes, reach = (9, 6)[: len(signed)], torch.tensor(3.7, dtype=dtype)
    attributes = reach * node_attributes(sizes, signed).to(dtype).reshape(-1, 1, len(signed))
    indices = torch.cartesian_prod(*(torch.arange(size, dtype=dtype) for size in sizes)).reshape(attributes.shape)
    found = node_coordinates(attributes, reach, sizes, signed)
    torch.testing.assert_close(found, indices, rtol=0, atol=20 * torch.finfo(dtype).eps)
    assert bool((found <= indices.amax(dim=0) + RANGE_TOLERANCE).all())


def test_nodes_are_in_units_of_the_range_and_denser_near_zero() -> None:
    nodes = node_attributes((9,), (True,)).flatten()
    assert nodes[[0, 4, 8]].tolist() == pytest.approx([-1, 0, 1])
    torch.testing.assert_close(nodes, -nodes.flip(0))
    steps = nodes.diff()[4:]
    assert bool((steps.diff() > 0).all())
    assert float(steps[-1] / steps[0]) > 5


def test_refinement_reproduces_cubic_polynomials() -> None:
    coarse, fine = torch.linspace(0, 1, 5).double(), torch.linspace(0, 1, 17).double()
    torch.testing.assert_close(refinement_matrix(5, 17) @ coarse**3, fine**3)
    with pytest.raises(ValueError, match="4 <= coarse <= fine"):
        refinement_matrix(3, 17)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_coordinates_are_the_same_with_and_without_derivatives(dtype: torch.dtype) -> None:
    """The two ways to an inverse hyperbolic sine agree at small, large and negative arguments, and at zero."""
    values = torch.logspace(-12, 12, 49, dtype=dtype)
    attributes = torch.cat([-values, torch.zeros(1, dtype=dtype), values]).view(-1, 1, 1)
    reach = torch.ones((), dtype=dtype)
    plain = node_coordinates(attributes, reach, (9,), (True,))
    tracked = node_coordinates(attributes.clone().requires_grad_(), reach, (9,), (True,)).detach()
    torch.testing.assert_close(plain, tracked, rtol=4 * torch.finfo(dtype).eps, atol=8 * torch.finfo(dtype).eps)
    assert plain[49].item() == 4.0
    rounded = node_coordinates(torch.tensor([[[1e25]]]), torch.ones(()), (9,), (True,))
    assert 30 < rounded.item() < 200


@pytest.mark.parametrize("value", [0.0, -0.0, 0.75, -0.75])
def test_forward_mode_derivatives_by_hand(value: float) -> None:
    """With k a / R = 4 a for a range of 2.5, and 4 nodes in one range: 4 * 4 / (asinh(10) sqrt(1 + (4 a)^2))."""
    with forward_ad.dual_level():
        attributes = forward_ad.make_dual(torch.full((1, 1, 1), value), torch.ones(1, 1, 1))
        found = forward_ad.unpack_dual(node_coordinates(attributes, torch.tensor(2.5), (9,), (True,))).tangent
    assert found is not None
    assert found.item() == pytest.approx(16 / (asinh(10) * sqrt(1 + 16 * value**2)), rel=1e-6)
