"""Pixels of a square under quarter turns and mirrors, exactly: each goes to the place of another."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.groups._finite import finite_table
from rapidash.groups._matrix_group import MatrixGroup


def pixel_action(elements: Float[Tensor, "G 3 3"], size: int) -> Int[Tensor, "G P"]:
    """The place to which each element takes each of the size x size pixels, row-major, about the center of the square.

    Coordinates are those of `rapidash.groups.Image`: x to the right, y downward.

    Raises: ValueError for elements that are no quarter turns or mirrors of the plane: those need interpolation, which
        is not exact.
    """
    if elements.shape[-2:] != (3, 3):
        raise ValueError(f"pixels are turned by groups of the plane, got matrices {tuple(elements.shape[1:])}")
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    moved = torch.stack([x.flatten(), y.flatten()], dim=1) @ elements[:, :2, :2].double().transpose(1, 2)
    place = moved + (size - 1) / 2
    whole = place.round().clamp(0, size - 1)
    if float((place - whole).abs().max()) > 1e-9 or bool(elements[:, :2, 2].any()):
        raise ValueError(
            "an element takes pixels between pixels: only quarter turns and mirrors along the axes and diagonals, such "
            "as cyclic(4) and dihedral(4), turn images exactly. Use kernel_size=1 for another group"
        )
    return (whole[..., 1] * size + whole[..., 0]).long()


def moved_back(group: MatrixGroup, size: int) -> Int[Tensor, "G P"]:
    """For every element g of a finite group and each of the size x size pixels q the place of g^-1 q.

    Of a single pixel every finite group is allowed.

    Raises: as `pixel_action`; ValueError for an infinite group.
    """
    table = finite_table(group)
    if size == 1:
        return torch.zeros(len(table), 1, dtype=torch.long)
    return pixel_action(table.elements, size)[table.inverses]
