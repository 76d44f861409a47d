"""Rotations with weights whose weighted mean is the mean over all, for functions up to a degree in the rotation."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

# degrees of the rules of Lebedev with positive weights
LEBEDEV_DEGREES = (*(3, 5, 7, 9, 11, 15, 17, 19, 21, 23, 29, 31), *range(35, 132, 6))


def rotation_rule(dim: int, degree: int) -> tuple[Float[Tensor, "K D D"], Float[Tensor, " K"]]:
    r"""Rotations with weights that add up to 1, exact for every polynomial in the rotation up to a degree, float64.

    In space a rotation is a point n on the sphere, to which it takes the z axis, and an angle about it,
    :math:`R_n R_z(\gamma)`: the rule of Lebedev of at least this degree for n, and degree + 1 equal angles. In the
    plane degree + 1 equal angles.

    Args:
        dim: D, 2 or 3.
        degree: 0 to 131.
    Raises: ValueError for another dimension or degree.
    Source: Lebedev and Laikov, "A quadrature formula for the sphere of the 131st algebraic order of accuracy", 1999, as
        in scipy.
    """
    if dim not in (2, 3) or degree != int(degree) or not 0 <= degree <= LEBEDEV_DEGREES[-1]:
        raise ValueError(
            f"dim must be 2 or 3, and degree a whole number from 0 to {LEBEDEV_DEGREES[-1]}, got {dim} and {degree}"
        )
    angles = 2 * math.pi * torch.arange(degree + 1, dtype=torch.float64) / (degree + 1)
    cos, sin, zero, one = angles.cos(), angles.sin(), torch.zeros_like(angles), torch.ones_like(angles)
    if dim == 2:
        turns = torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))
        return turns, one / len(angles)
    turns = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=-1).unflatten(-1, (3, 3))
    nodes, weights = _lebedev(degree)
    rotations = _to(nodes)[:, None] @ turns
    return rotations.flatten(0, 1), (weights[:, None] / len(angles)).expand(-1, len(angles)).flatten()


def _lebedev(degree: int) -> tuple[Float[Tensor, "P 3"], Float[Tensor, " P"]]:
    from scipy.integrate import lebedev_rule  # slow to import, rarely needed

    nodes, weights = lebedev_rule(next(known for known in LEBEDEV_DEGREES if known >= degree))
    return torch.from_numpy(nodes.T.copy()), torch.from_numpy(weights / weights.sum())


def _to(n: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3 3"]:
    """A rotation for each direction that takes the z axis to it."""
    spare = torch.nn.functional.one_hot(n.abs().argmin(dim=1), 3).to(n)
    x = torch.nn.functional.normalize(spare - (spare * n).sum(dim=1, keepdim=True) * n, dim=1)
    return torch.stack([x, torch.linalg.cross(n, x, dim=1), n], dim=-1)
