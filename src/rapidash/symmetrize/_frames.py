"""Frame averaging: a law that gives a finite set of elements which moves with the sample."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import Batch
from rapidash.groups import MatrixGroup
from rapidash.symmetrize._degenerate import Degenerate, check_degenerate, tell_degenerate
from rapidash.symmetrize._pair_frames import pair_frames
from rapidash.symmetrize._pca import principal_axes, principal_frames, relative_gap
from rapidash.symmetrize._points import Points, points_of, rotations_of, with_center
from rapidash.symmetry import GroupSamples


@dataclass(frozen=True)
class Frames:
    r"""Principal axes with all their signs: the average is exactly equivariant where eigenvalues differ.

    The elements are `pca_frames`, for a group with translations about the mean of the points. They are made of a
    cloud's positions, or of the positions or vectors that a row declares (vectors are not centered).

    Plain frames jump where two eigenvalues cross, so that an average of a smooth network does too. Weighted ones are

    .. math:: p(g | x) = \omega\, \mathrm{uniform}(F_{axes}) + (1 - \omega) \sum_{ij} w_{ij}\, \delta_{g_{ij}}, \quad
       \omega = s^2 (3 - 2 s), \quad s = \min(1, \gamma / \gamma_0)

    with the relative gap :math:`\gamma` of `frame_gap`, :math:`\gamma_0` = ``blend`` and the frames of pairs of points
    :math:`g_{ij}` with their weights, see `rapidash.symmetrize.pair_frames`. They are the plain frames from
    :math:`\gamma_0` upward, and continuous unless the points lie on a line (in the plane: at one place).

    Args:
        group: O(n), SO(n), E(n) or SE(n).
        weighted: whether frames of pairs take over near equal eigenvalues: up to N (N - 1) elements more.
        field: of what; None: "pos" of a cloud, the only position, or else the only vector, of a row.
        detach: whether frames are constants to gradients (the mean of the points never is). Forces of an average are
            equivariant either way; only with ``detach=False`` are they the gradient of the energy, see `pca_frames`.
        degenerate: ``"warn"``, ``"error"`` or ``"ignore"`` where the gap is at most the tolerance. For weighted frames
            the gap is that of `frame_gap` with ``weighted=True``.
        tolerance: at least 0.
        blend: the relative gap below which frames of pairs take over, positive.
    Raises: ValueError for another group, or values outside the above.
    Source: Puny et al., "Frame Averaging for Invariant and Equivariant Network Design", ICLR 2022; weights: Dym et al.,
        "Equivariant Frames and the Impossibility of Continuous Canonicalization", ICML 2024, of which the blend with
        principal axes is ours.
    """

    gives_all: ClassVar[bool] = True
    group: MatrixGroup
    weighted: bool = False
    field: str | None = None
    detach: bool = True
    degenerate: Degenerate = "warn"
    tolerance: float = 1e-3
    blend: float = 0.1

    def __post_init__(self) -> None:
        rotations_of(self.group)
        check_degenerate(self.degenerate, self.tolerance)
        if not 0 < self.blend < math.inf:
            raise ValueError(f"blend must be finite and positive, got {self.blend}")

    def sample(self, batch: Batch, num_samples: int, generator: torch.Generator | None) -> GroupSamples:
        """All frames of every sample; ``num_samples`` and ``generator`` are not used."""
        dim, _ = rotations_of(self.group)
        points = points_of(batch, self.field, dim)
        offset = points.offset.detach() if self.detach else points.offset
        plain = principal_frames(offset, points.owner, points.num_samples, self.group, detach=self.detach)
        gap = plain.gap if not self.weighted else _gap(points, weighted=True)
        tell_degenerate(gap, self.tolerance, self.degenerate, *_WORDS[self.weighted])
        linear, weights = plain.g, None
        if self.weighted and bool((plain.gap < self.blend).any()):
            pairs = pair_frames(offset, points.owner, points.num_samples, self.group)
            share = (_differentiable_gap(offset, points) / self.blend).clamp(max=1.0)[:, None]
            share = share.square() * (3 - 2 * share)
            share = torch.where(pairs.weights.sum(dim=1, keepdim=True) > 0, share, 1.0)
            linear = torch.cat([plain.g, pairs.g], dim=1)
            uniform = (share / plain.g.shape[1]).expand(-1, plain.g.shape[1])
            weights = torch.cat([uniform, (1 - share) * pairs.weights], dim=1)
        g = with_center(self.group, linear, points.center)
        return GroupSamples(g, g.new_zeros(()), weights)


def frame_gap(batch: Batch, field: str | None = None, *, dim: int = 3, weighted: bool = False) -> Float[Tensor, " B"]:
    """How far the frame of each sample is from being undetermined, a number in [0, 1].

    The smallest difference of neighboring eigenvalues of the second moments, in units of the largest. For weighted
    frames, which know no such trouble, the second largest eigenvalue in these units (0 where all points lie on a line);
    in the plane 1, or 0 where all lie at one place.

    Args:
        batch: clouds, or rows with positions or vectors.
        field: as for `Frames`.
        dim: D of space.
        weighted: which frames.
    """
    return _gap(points_of(batch, field, dim), weighted)


_WORDS = {
    False: (
        "relative gap of eigenvalues",
        "Weighted frames (weighted=True) stay continuous there; Haar and Quadrature need no frame.",
    ),
    True: ("second largest eigenvalue, relative to the largest,", "Haar and Quadrature need no frame."),
}


def _gap(points: Points, weighted: bool) -> Float[Tensor, " B"]:
    values, _ = principal_axes(points.offset.detach(), points.owner, points.num_samples)
    if not weighted:
        return relative_gap(values)
    second = values[:, 0] if values.shape[1] == 2 else values[:, 1]
    return torch.where(values[:, 0] > 0, second / values[:, 0].clamp_min(torch.finfo(values.dtype).tiny), 0.0)


def _differentiable_gap(offset: Float[Tensor, "N D"], points: Points) -> Float[Tensor, " B"]:
    """The relative gap with its gradient: eigenvalues are the moments along the axes, which are constants here."""
    _, axes = principal_axes(offset.detach(), points.owner, points.num_samples)
    along = torch.einsum("nd,ndk->nk", offset, axes[points.owner]).square()
    count = torch.bincount(points.owner, minlength=points.num_samples).clamp(min=1).to(along)
    values = along.new_zeros(points.num_samples, along.shape[1]).index_add(0, points.owner, along) / count[:, None]
    return relative_gap(values).clamp_min(0.0)
