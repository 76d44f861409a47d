"""Frames of principal axes, with all their signs."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.geometry import centroids
from rapidash.groups import MatrixGroup, O
from rapidash.symmetrize._points import rotations_of

_SMOOTHING = 1e-6  # of inverse differences of eigenvalues, in units of the largest one


class PCAFrames(NamedTuple):
    """The frames of each cloud, and how near their axes are to being undetermined."""

    g: Float[Tensor, "B F D D"]
    gap: Float[Tensor, " B"]
    """The smallest difference of neighboring eigenvalues in units of the largest one; 0 where axes are arbitrary."""


def pca_frames(
    pos: Float[Tensor, "N D"],
    batch: Int[Tensor, " N"],
    group: MatrixGroup | None = None,
    *,
    num_clouds: int | None = None,
    detach: bool = True,
) -> PCAFrames:
    r"""Eigenvectors of the centered covariance, by falling eigenvalue, as columns, with all their signs.

    Symmetry: the set of frames of a moved cloud is the moved set, :math:`F(R x + t) = R F(x)`, while eigenvalues
    differ. Where two are equal no finite set is, and rounding chooses.

    Args:
        pos: points, in any unit.
        batch: the cloud of each point.
        group: O(D), SO(D) or one of these with translations; None: O(D). With reflections there are 2^D frames,
            without them the 2^(D-1) of determinant 1: four in space, two in the plane.
        num_clouds: B; None: up to the largest number in ``batch``.
        detach: whether frames are constants. Otherwise gradients reach the points, with inverse differences of
            eigenvalues d / (d^2 + e^2), e = 1e-6 of the largest: finite at repeated eigenvalues. They are right to
            first order only.
    Raises: ValueError for another group, or positions that are not finite or of another dimension.
    Source: Puny et al., "Frame Averaging for Invariant and Equivariant Network Design", ICLR 2022.
    """
    group = O(pos.shape[1]) if group is None else group
    size = int(batch.max()) + 1 if num_clouds is None and len(batch) else num_clouds or 0
    dim, _ = rotations_of(group)
    if pos.dim() != 2 or pos.shape[1] != dim:
        raise ValueError(f"pos needs the shape (N, {dim}) for {group.name}, got {tuple(pos.shape)}")
    if not bool(torch.isfinite(pos).all()):
        raise ValueError("pos has values that are not finite: no frame can be made of them")
    wide = pos.double()
    offset = wide - centroids(wide, batch, size)[batch]
    return principal_frames(offset, batch, size, group, detach=detach)


def principal_frames(
    offset: Float[Tensor, "N D"], index: Int[Tensor, " N"], num: int, group: MatrixGroup, *, detach: bool
) -> PCAFrames:
    """`pca_frames` of vectors that are centered where they should be."""
    _, reflections = rotations_of(group)
    values, axes = principal_axes(offset.detach() if detach else offset, index, num)
    signs = _signs(axes.shape[-1], reflections).to(axes)
    if not reflections:
        orientation = torch.linalg.det(axes.detach()).sign()[:, None, None]
        axes = torch.cat([orientation * axes[..., :1], axes[..., 1:]], dim=-1)
    return PCAFrames(axes[:, None] * signs[:, None], relative_gap(values))


def principal_axes(
    offset: Float[Tensor, "N D"], index: Int[Tensor, " N"], num: int
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D D"]]:
    """Eigenvalues of the second moments, falling, without a gradient, and eigenvectors as columns."""
    outer = (offset[:, :, None] * offset[:, None]).flatten(1)
    count = torch.bincount(index, minlength=num).clamp(min=1).to(offset)
    moments = offset.new_zeros(num, outer.shape[1]).index_add(0, index, outer) / count[:, None]
    moments = moments.unflatten(1, (offset.shape[1], -1))
    values, axes = torch.linalg.eigh(moments.detach())
    values, axes = values.flip(-1), axes.flip(-1)
    if not moments.requires_grad:
        return values, axes
    # perturbation theory: the value of `change` is 0, its derivative is that of the axes in their own basis
    change = axes.mT @ (moments - moments.detach()) @ axes
    difference = values[:, None, :] - values[:, :, None]
    smooth = difference.square() + (_SMOOTHING * values[:, :1, None]).square()
    weight = torch.where(smooth > 0, difference / smooth.clamp_min(torch.finfo(smooth.dtype).tiny), 0.0)
    return values, axes + axes @ (weight * change)


def relative_gap(values: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
    """The smallest difference of neighboring eigenvalues, given falling, in units of the largest; 0 if all are 0."""
    largest = values[:, 0]
    gap = (values[:, :-1] - values[:, 1:]).amin(dim=-1)
    return torch.where(largest > 0, gap / largest.clamp_min(torch.finfo(values.dtype).tiny), 0.0)


def _signs(dim: int, reflections: bool) -> Float[Tensor, "F D"]:
    signs = torch.cartesian_prod(*[torch.tensor([1.0, -1.0], dtype=torch.float64)] * dim)
    return signs if reflections else signs[signs.prod(dim=1) > 0]
