"""Weighted frames of pairs of points: they change continuously where principal axes jump."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.groups import MatrixGroup
from rapidash.symmetrize._points import rotations_of

MAX_ELEMENTS = 20_000  # of one sample: matrices of 72 bytes, and as many copies for the network


class WeightedFrames(NamedTuple):
    """Elements with weights that add up to 1, or are all 0 for a sample that has no frame."""

    g: Float[Tensor, "B F D D"]
    weights: Float[Tensor, "B F"]


def pair_frames(offset: Float[Tensor, "N D"], index: Int[Tensor, " N"], num: int, group: MatrixGroup) -> WeightedFrames:
    r"""Frames from the points themselves, weighted so that an undetermined one counts nothing.

    In the plane :math:`(u, J u)` of every point x, with u = x / \|x\|, J the quarter turn and weight \|x\|^2; in space
    :math:`(u, v, u \times v)` of every ordered pair x, y, with u = x / \|x\|, v along the part of y orthogonal to u and
    weight \|x \times y\|^2. With reflections each also with its last column negated, at half the weight. A sample with
    fewer points than another has further elements of weight 0.

    Symmetry: the weighted set of a moved cloud is the moved set. It is continuous in the points unless all weights
    vanish: in the plane where all points lie at 0, in space where they lie on a line through 0.

    Args:
        offset: vectors of all samples, centered where they are positions.
        index: the sample of each.
        num: B.
        group: O(D), SO(D), or one of these with translations.
    Raises: ValueError for another group, or more than 20,000 elements for a sample.
    Source: Dym, Lawrence and Siegel, "Equivariant Frames and the Impossibility of Continuous Canonicalization", ICML
        2024: weighted frames of tuples of points.
    """
    dim, reflections = rotations_of(group)
    count = torch.bincount(index, minlength=num)
    largest = int(count.max()) if num else 0
    size = largest * (largest - 1 if dim == 3 else 1) * (2 if reflections else 1)
    if size > MAX_ELEMENTS:
        raise ValueError(
            f"weighted frames of {largest} points have {size} elements for each sample, at most {MAX_ELEMENTS} are "
            "made: use plain frames, or Haar"
        )
    points = _padded(offset, index, count, largest)
    frames, weights = _of_points(points) if dim == 2 else _of_pairs(points)
    if reflections:
        mirrored = torch.cat([frames[..., :-1], -frames[..., -1:]], dim=-1)
        frames, weights = torch.cat([frames, mirrored], dim=1), torch.cat([weights, weights], dim=1)
    total = weights.sum(dim=1, keepdim=True)
    return WeightedFrames(frames, torch.where(total > 0, weights / _not_zero(total), 0.0))


def _padded(offset: Tensor, index: Tensor, count: Tensor, largest: int) -> Float[Tensor, "B P D"]:
    """The vectors of each sample, filled up with zeros."""
    order = torch.argsort(index, stable=True)
    first = torch.cumsum(count, 0) - count
    place = torch.arange(len(index), device=index.device) - first[index[order]]
    padded = offset.new_zeros(len(count), largest, offset.shape[1])
    return padded.index_put((index[order], place), offset[order])


def _of_points(x: Float[Tensor, "B P 2"]) -> tuple[Tensor, Tensor]:
    u = _unit(x, x.new_tensor([1.0, 0.0]))
    turned = torch.stack([-u[..., 1], u[..., 0]], dim=-1)
    return torch.stack([u, turned], dim=-1), x.square().sum(dim=-1)


def _of_pairs(x: Float[Tensor, "B P 3"]) -> tuple[Tensor, Tensor]:
    i, j = torch.meshgrid(*[torch.arange(x.shape[1], device=x.device)] * 2, indexing="ij")
    i, j = i[i != j], j[i != j]
    u = _unit(x, x.new_tensor([1.0, 0.0, 0.0]))[:, i]
    area = torch.linalg.cross(x[:, i], x[:, j], dim=-1)
    # the normal by way of an axis that is orthogonal to u, where the pair has none
    spare = torch.nn.functional.one_hot(u.abs().argmin(dim=-1), 3).to(u)
    normal = _unit(area, torch.nn.functional.normalize(torch.linalg.cross(u, spare, dim=-1), dim=-1))
    return torch.stack([u, torch.linalg.cross(normal, u, dim=-1), normal], dim=-1), area.square().sum(dim=-1)


def _unit(x: Float[Tensor, "... D"], instead: Tensor) -> Float[Tensor, "... D"]:
    """Vectors of length 1, with finite gradients; another one where x is 0."""
    square = x.square().sum(dim=-1, keepdim=True)
    return torch.where(square > 0, x / _not_zero(square).sqrt(), instead)


def _not_zero(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 1.0)
