"""Losses of representations of several sites: group coordinates, matched pairs, and an adversary."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


def pairwise_covariate_loss(tau: Float[Tensor, "B K"], covariate: Float[Tensor, " B *K"]) -> Float[Tensor, ""]:
    r"""Mean over all pairs of rows of :math:`|(\tau_i - \tau_j) - (c_i - c_j)|^2`, in the squared unit of c.

    It is twice the variance of :math:`\tau - c`, which is what is computed: 0 exactly if tau is the covariate up to a
    constant. (To stop the gradient at one row of a pair, as the released code does, is to halve the gradient.)

    Args:
        tau: group coordinates.
        covariate: (B, K), or (B,) for K = 1.
    Raises: ValueError for fewer than two rows, which have no difference, or another shape.
    Source: Lokhande et al., CVPR 2022, with the sign by which tau grows with the covariate.
    """
    c = covariate.reshape(len(covariate), -1)
    if tau.shape != c.shape or len(tau) < 2:
        raise ValueError(
            "differences need at least two rows, with as many group coordinates as covariates, got tau "
            f"{tuple(tau.shape)} and covariate {tuple(covariate.shape)}: is the batch a single row?"
        )
    return 2 * (tau - c).var(dim=0, correction=0).sum()


def matched_distance(
    z: Float[Tensor, "B n"], cell: Int[Tensor, " B"], site: Int[Tensor, " B"], rng: torch.Generator
) -> Float[Tensor, ""]:
    r"""Mean of :math:`|z_i - z_j|^2` over random pairs of rows in one cell, of different sites; 0 without a pair.

    The rows of each cell are shuffled, and each is paired with the next one.

    Args:
        z, cell, site: of each row; a cell is e.g. a bin of a covariate and a label.
        rng: a CPU generator.
    Source: random matching, as in Mahajan, Tople, Sharma, "Domain Generalization using Causal Matching", ICML 2021.
    """
    shuffled = torch.randperm(len(z), generator=rng).to(z.device)
    order = shuffled[cell[shuffled].argsort(stable=True)]
    one, other = order[:-1], order[1:]
    is_pair = (cell[one] == cell[other]) & (site[one] != site[other])
    distance = (z[one] - z[other]).square().sum(dim=1)
    return (distance * is_pair).sum() / is_pair.sum().clamp(min=1)


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        return -ctx.weight * gradients[0], None


def reversed_gradient(x: Tensor, weight: float) -> Tensor:
    """The tensor itself, whose gradient is multiplied by minus the weight on the way back.

    Source: Ganin and Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", ICML 2015.
    """
    found: Tensor = _Reversed.apply(x, weight)
    return found
