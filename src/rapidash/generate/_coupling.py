"""Couplings of noise and data: which noise is drawn for which cloud."""

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from rapidash.generate._pose import canonical_rotations

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
    turns: Float[Tensor, "K D D"] | None = None,
) -> Float[Tensor, "n W"]:
    """The cloud x turned and with points swapped towards its noise: both in turn, as often as ``rounds`` says.

    Where both are allowed, the search begins twice: with the cloud as it is, and turned so that its own pose (see
    `canonical_rotations`) is that of the noise, which finds a turned copy with points in another order; with
    reflections a third time, from a mirror image of the cloud in that pose. The data move, never the noise: so the
    noise stays normal, and samples start from what training saw. Turning changes the pose of the data, which a density
    that does not depend on the pose does not have.

    Args:
        x: state of a cloud, the first ``dim`` columns positions with zero mean.
        noise: of the cloud.
        dim: D.
        kinds: of the points; those of one kind swap. None: all may.
        rotation, reflections, permutation: the moves that are allowed.
        rounds: at least 1.
        turns: those of `turns_to_noise` for this cloud, where they are known; None: they are computed.
    Returns: the moved cloud that is nearest to the noise of all that occurred, x itself included.
    """
    starts = [x]
    if rotation and permutation:
        if turns is None:
            one = torch.zeros(len(x), dtype=torch.long, device=x.device)
            turns = turns_to_noise(x[:, :dim], noise[:, :dim], one, 1, reflections=reflections)[0]
        starts += [_turned(x, turn, dim) for turn in turns]
    found = [x]
    for state in starts:
        for _ in range(rounds):
            if permutation:
                state = state[closest_order(state, noise, kinds).to(x.device)]
            if rotation:
                turn = closest_rotation(state[:, :dim], noise[:, :dim], reflections=reflections)
                state = _turned(state, turn, dim)
            found.append(state)
    return min(found, key=lambda state: float((state - noise).square().sum()))


def turns_to_noise(
    x: Float[Tensor, "N D"],
    noise: Float[Tensor, "N D"],
    batch: Int[Tensor, " N"],
    num_clouds: int,
    *,
    reflections: bool,
) -> Float[Tensor, "B K D D"]:
    """For every cloud the rotation from its own pose to that of its noise, and with reflections that of its image."""
    own, wanted = (canonical_rotations(pos, batch, num_clouds) for pos in (x, noise))
    signs = torch.ones(1 + reflections, x.shape[1], dtype=x.dtype, device=x.device)
    signs[1:, -1] = -1  # mirror images have the same pose but for its last axis
    return torch.einsum("bij,ki,bil->bkjl", wanted, signs, own)


def _turned(x: Tensor, turn: Tensor, dim: int) -> Tensor:
    return torch.cat([x[:, :dim] @ turn.T, x[:, dim:]], dim=1)
