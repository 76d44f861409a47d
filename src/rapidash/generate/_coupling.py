"""Couplings of noise and data: which noise is drawn for which cloud."""

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

_FORBIDDEN = 1e6  # cost of pairing points of different kinds, beside squared distances of order 1


def closest_rotation(
    moved: Float[Tensor, "n D"], fixed: Float[Tensor, "n D"], *, reflections: bool = False
) -> Float[Tensor, "D D"]:
    """The rotation R with the least sum_i |R moved_i - fixed_i|^2 (Kabsch); a proper one unless reflections may be.

    On planar and collinear clouds, where a reflection does the same, it is proper too.
    """
    left, _, right = torch.linalg.svd(fixed.T @ moved)
    signs = torch.ones(moved.shape[1], dtype=moved.dtype, device=moved.device)
    if not reflections:
        signs[-1] = torch.linalg.det(left) * torch.linalg.det(right)
        signs = signs.sign()
    return (left * signs) @ right


def closest_order(
    moved: Float[Tensor, "n W"], fixed: Float[Tensor, "n W"], kinds: Int[Tensor, " n"] | None = None
) -> Int[Tensor, " n"]:
    """The order of the points with the least sum_i |moved[order_i] - fixed_i|^2; only points of one kind swap."""
    cost = (fixed[:, None] - moved[None]).square().sum(-1)
    if kinds is not None:
        cost = cost + _FORBIDDEN * (kinds[:, None] != kinds[None])
    return torch.from_numpy(linear_sum_assignment(cost.double().cpu().numpy())[1])


def aligned(
    x: Float[Tensor, "n W"],
    noise: Float[Tensor, "n W"],
    dim: int,
    *,
    kinds: Int[Tensor, " n"] | None = None,
    rotation: bool = True,
    reflections: bool = False,
    permutation: bool = True,
    rounds: int = 2,
) -> Float[Tensor, "n W"]:
    """The cloud x turned and with points swapped towards its noise: both in turn, as often as ``rounds`` says.

    The data move, never the noise: so the noise stays normal, and samples start from what training saw. Turning changes
    the pose of the data, which a density that does not depend on the pose does not have.

    Args:
        x: state of a cloud, the first ``dim`` columns positions with zero mean.
        noise: of the cloud.
        dim: D.
        kinds: of the points; those of one kind swap. None: all may.
        rotation, reflections, permutation: the moves that are allowed.
        rounds: at least 1.
    Returns: the moved cloud that is nearest to the noise of all that occurred, x itself included.
    """
    best, least = x, float((x - noise).square().sum())
    for _ in range(rounds):
        if permutation:
            x = x[closest_order(x, noise, kinds).to(x.device)]
        if rotation:
            turn = closest_rotation(x[:, :dim], noise[:, :dim], reflections=reflections)
            x = torch.cat([x[:, :dim] @ turn.T, x[:, dim:]], dim=1)
        cost = float((x - noise).square().sum())
        if cost < least:
            best, least = x, cost
    return best
