"""Layers beside an equivariant block that see more than it may: they break rotations, not translations or order."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from rapidash.nn import EdgeKernel


class FiberMLP(nn.Module):
    r"""x_i -> W_2 GELU(W_1 x_i + b_1) + b_2 on the features of a point, orientations and channels side by side.

    It numbers the orientations, so it breaks rotations; every point has the same map, so translations and the order of
    the points play no part.

    Args:
        num_orientations, channels: O and C of the features.
        hidden: width in between.
        is_bounded: divide both matrices by their largest singular value, which bounds the branch.
    Shape: x (N, O, C) -> (N, O, C).
    """

    def __init__(self, num_orientations: int, channels: int, *, hidden: int, is_bounded: bool = True) -> None:
        super().__init__()
        size = num_orientations * channels
        self.linear_1, self.linear_2 = _maps(size, hidden, size, is_bounded)

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
        is_bounded: divide both matrices by their largest singular value, which bounds the branch.
    Shape: x (N, 1, C) -> (N, 1, C).
    """

    def __init__(self, channels: int, dim: int, *, basis_dim: int, hidden: int, is_bounded: bool = True) -> None:
        super().__init__()
        self.kernel = nn.Linear(basis_dim, channels, bias=False)
        self.norm = nn.LayerNorm(dim * channels)
        self.linear_1, self.linear_2 = _maps(dim * channels, hidden, channels, is_bounded)

    def forward(self, x: Float[Tensor, "N 1 C"], edges: EdgeKernel) -> Float[Tensor, "N 1 C"]:
        """See the class."""
        moments = edges.vector_conv(x, self.kernel.weight).squeeze(2)  # (D, N, C)
        normed = self.norm(torch.cat(moments.unbind(0), dim=1))
        return self.linear_2(nn.functional.gelu(self.linear_1(normed))).unsqueeze(1)


def _maps(inputs: int, hidden: int, outputs: int, is_bounded: bool) -> tuple[nn.Module, nn.Module]:
    first, second = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
    return (spectral_norm(first), spectral_norm(second)) if is_bounded else (first, second)
