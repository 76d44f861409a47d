"""Grids on which kernels are tabulated: the domain of the attributes, and refinement from few nodes to many."""

from functools import lru_cache
from math import asinh

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from torch import Tensor
from torch.autograd import forward_ad

from rapidash.geometry._transforms import is_differentiated, is_watched


@lru_cache(maxsize=32)
def _refinement(num_coarse: int, num_fine: int) -> np.ndarray:
    coarse, fine = np.linspace(0, 1, num_coarse), np.linspace(0, 1, num_fine)
    return np.asarray(CubicSpline(coarse, np.eye(num_coarse), bc_type="not-a-knot")(fine))


def refinement_matrix(num_coarse: int, num_fine: int) -> Float[Tensor, "fine coarse"]:
    """Matrix from values at equidistant nodes to the values of their cubic spline at more nodes of the same interval.

    The spline is the interpolating one with not-a-knot ends: error of fourth order in the coarse spacing.
    Raises: ValueError for fewer than 4 coarse nodes, or fewer fine nodes than coarse ones.
    """
    if num_coarse < 4 or num_fine < num_coarse:
        raise ValueError(f"a refinement needs 4 <= coarse <= fine nodes, got {num_coarse} and {num_fine}")
    return torch.from_numpy(_refinement(num_coarse, num_fine).copy())


STRETCH = 10.0
"""Range of a table over the attribute up to which its nodes are nearly equidistant: see `node_attributes`."""


def node_attributes(num_nodes: tuple[int, ...], signed: tuple[bool, ...]) -> Float[Tensor, "*nodes axes"]:
    r"""Attributes at the nodes in units of the range R: in [-1, 1] where signed, in [0, 1] otherwise.

    The nodes are equidistant in asinh(k a / R), with k = `STRETCH`: nearly so in the attribute a below R / k, where
    kernels vary most, and in its logarithm above, so that few large distances in the data do not take the resolution
    from all others.
    """
    axes = [
        torch.linspace(-1.0 if both else 0.0, 1.0, num, dtype=torch.float64) for num, both in zip(num_nodes, signed)
    ]
    nodes = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return torch.sinh(nodes * asinh(STRETCH)) / STRETCH


def _ends(like: Tensor, num_nodes: tuple[int, ...], signed: tuple[bool, ...]) -> tuple[Tensor, Tensor]:
    """Of each axis the lower end in units of the range, and the nodes in one range."""
    lower = like.new_tensor([-1.0 if both else 0.0 for both in signed])
    return lower, like.new_tensor([(num - 1) / (2.0 if both else 1.0) for num, both in zip(num_nodes, signed)])


@lru_cache(maxsize=64)
def _kept_ends(
    dtype: torch.dtype, device: torch.device, num_nodes: tuple[int, ...], signed: tuple[bool, ...]
) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):  # a tensor made in inference mode could not be kept for a later gradient
        return _ends(torch.empty(0, dtype=dtype, device=device), num_nodes, signed)


def node_coordinates(
    attributes: Float[Tensor, "E O axes"],
    reach: Float[Tensor, ""],
    num_nodes: tuple[int, ...],
    signed: tuple[bool, ...],
) -> Float[Tensor, "E O axes"]:
    """Attributes in units of nodes: 0 at the first node of each axis, num_nodes - 1 at the last, smooth between."""
    if is_watched(attributes):
        lower, span = _ends(attributes, num_nodes, signed)
    else:
        lower, span = _kept_ends(attributes.dtype, attributes.device, num_nodes, signed)
    return (_asinh(attributes * (STRETCH / reach)) / asinh(STRETCH) - lower) * span


def _asinh(x: Tensor) -> Tensor:
    """As torch's, to the last digit; without derivatives by parts that run on vectors, in an eighth of the time.

    Of values above 1e19 in float32, whose square overflows, it is log(1 + x): as far outside of any table. The parts
    have no derivative at 0, which attributes are where an offset is orthogonal to an orientation.
    """
    if is_differentiated(x) or forward_ad._current_level >= 0:
        return torch.asinh(x)
    size = x.abs()
    root = (size * size + 1).sqrt_()
    return torch.copysign(root.add_(1).reciprocal_().mul_(size).mul_(size).add_(size).log1p_(), x)
