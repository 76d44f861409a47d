"""Layers beside an equivariant block that see more than it may: directions, or also where the points are."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import register_parametrization

from rapidash.nn import EdgeKernel

Normalization = Literal["spectral", "norm"] | None
NORMALIZATIONS: tuple[Normalization, ...] = (*get_args(Literal["spectral", "norm"]), None)


class FiberMLP(nn.Module):
    r"""x_i -> W_2 GELU(W_1 x_i + b_1) + b_2 on the features of a point, orientations and channels side by side.

    It numbers the orientations, so it breaks rotations; every point has the same map, so translations and the order of
    the points play no part.

    Args:
        num_orientations, channels: O and C of the features.
        hidden: width in between.
        normalize: of both matrices: ``"spectral"`` divides each by its largest singular value, which bounds the branch,
            ``"norm"`` keeps its Frobenius norm at the initial one, None leaves it free.
    Shape: x (N, O, C) -> (N, O, C).
    Raises: ValueError for another normalization.
    """

    def __init__(
        self, num_orientations: int, channels: int, *, hidden: int, normalize: Normalization = "spectral"
    ) -> None:
        super().__init__()
        size = num_orientations * channels
        self.linear_1, self.linear_2 = _maps(size, hidden, size, normalize)

    def forward(self, x: Float[Tensor, "N O C"], edges: EdgeKernel) -> Float[Tensor, "N O C"]:
        """See the class; the edges are not used."""
        out = self.linear_2(nn.functional.gelu(self.linear_1(x.flatten(1))))
        return out.view_as(x)


class OffsetMLP(nn.Module):
    r"""An MLP on the normalized components of :math:`m_i = \sum_j d_{ij}\,(K \phi(a_{ij})) * f_j`, for scalar features.

    The components of the offsets d change under rotations, which it breaks; translations and the order of the points
    play no part.

    Args:
        channels: C of the features.
        dim: D.
        basis_dim: number of kernel basis functions of the network.
        hidden: width in between.
        normalize: of both matrices, as in `FiberMLP`.
    Shape: x (N, 1, C) -> (N, 1, C).
    Raises: ValueError for another normalization.
    """

    def __init__(
        self, channels: int, dim: int, *, basis_dim: int, hidden: int, normalize: Normalization = "spectral"
    ) -> None:
        super().__init__()
        self.kernel = nn.Linear(basis_dim, channels, bias=False)
        self.norm = nn.LayerNorm(dim * channels)
        self.linear_1, self.linear_2 = _maps(dim * channels, hidden, channels, normalize)

    def forward(self, x: Float[Tensor, "N 1 C"], edges: EdgeKernel) -> Float[Tensor, "N 1 C"]:
        """See the class."""
        moments = edges.vector_conv(x, self.kernel.weight).squeeze(2)  # (D, N, C)
        normed = self.norm(torch.cat(moments.unbind(0), dim=1))
        return self.linear_2(nn.functional.gelu(self.linear_1(normed))).unsqueeze(1)


class PositionMLP(nn.Module):
    r"""x_i -> W_2 GELU(W_1 (x_i, p_i) + b_1) + b_2 with the position p_i of the point as it is.

    It breaks translations, and rotations, on R^D as well as with orientations; the order of the points plays no part.
    Positions should be of order 1.

    Args:
        num_orientations: O of the features, 1 on R^D.
        channels: C of the features.
        dim: D.
        hidden: width in between.
        normalize: of both matrices, as in `FiberMLP`.
    Shape: x (N, O, C) -> (N, O, C).
    Raises: ValueError for another normalization (constructor), or edges that do not know positions (forward).
    """

    def __init__(
        self, num_orientations: int, channels: int, dim: int, *, hidden: int, normalize: Normalization = "spectral"
    ) -> None:
        super().__init__()
        size = num_orientations * channels
        self.linear_1, self.linear_2 = _maps(size + dim, hidden, size, normalize)

    def forward(self, x: Float[Tensor, "N O C"], edges: EdgeKernel) -> Float[Tensor, "N O C"]:
        """See the class; of the edges only the positions of their targets are used."""
        if edges.pos is None:
            raise ValueError("PositionMLP needs edges that know the positions of their targets, EdgeKernel(pos=...)")
        joined = torch.cat([x.flatten(1), edges.pos.to(x)], dim=1)
        return self.linear_2(nn.functional.gelu(self.linear_1(joined))).view_as(x)


class FixedNorm(nn.Module):
    """A parametrization that keeps the Frobenius norm of a matrix at the one that it has now: W -> c W / |W|."""

    norm: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("norm", torch.linalg.matrix_norm(weight.detach()))

    def forward(self, weight: Float[Tensor, "Out In"]) -> Float[Tensor, "Out In"]:
        """See the class; zero stays zero, with a finite gradient."""
        found = torch.linalg.matrix_norm(weight)
        return weight * (self.norm / torch.where(found > 0, found, 1.0))


def _maps(inputs: int, hidden: int, outputs: int, normalize: Normalization) -> tuple[nn.Linear, nn.Linear]:
    if normalize not in NORMALIZATIONS:
        raise ValueError(f"normalize must be one of {', '.join(map(repr, NORMALIZATIONS))}, got {normalize!r}")
    maps = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
    for linear in maps:
        if normalize == "spectral":
            spectral_norm(linear)
        elif normalize == "norm":
            register_parametrization(linear, "weight", FixedNorm(linear.weight))
    return maps
