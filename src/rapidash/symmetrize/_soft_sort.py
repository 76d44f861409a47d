"""Permutations that sort scores: hard ones, and soft ones that pass a gradient to the scores."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

TIE_NOISE = 1e-6  # scores of length 1 get uniform noise up to it


class SoftSort(NamedTuple):
    """Matrices P with a row for each entry and a column for each place, float64."""

    soft: Float[Tensor, "*B N N"]
    """Nearly doubly stochastic: columns add up to 1, rows nearly."""
    hard: Float[Tensor, "*B N N"]
    """Permutation matrices: P[i, j] = 1 where entry i is the j-th smallest, so that P^T s is sorted."""


def soft_sort(
    scores: Float[Tensor, "*B N"],
    temperature: float,
    num_sinkhorn: int = 20,
    *,
    generator: torch.Generator | None = None,
) -> SoftSort:
    r"""The permutation that sorts scores, and a soft one of which it is the limit at temperature 0.

    .. math:: \log P_{ij} = -|s_i - \mathrm{sort}(s)_j| / \tau

    of scores s of length 1, then rows and columns are normalized in turn (Sinkhorn), in logarithms.

    Symmetry: a permutation of the scores permutes the rows of both matrices, exactly, where no two scores tie. Scores
    that tie are ordered at random by noise U(0, 1e-6), which the scores of length 1 get; in law the permutation then
    moves with them. Scores that differ only by rounding count as different without noise, and read the order of the
    input: pass a generator wherever ties can occur.

    Args:
        scores: s, finite.
        temperature: tau, positive; at 0.01 both matrices are near, at 1 they are not.
        num_sinkhorn: rounds, at least 0.
        generator: of the noise; None: no noise.
    Raises: ValueError for values outside the above, scores that are not finite, or ties without a generator.
    Source: Prillo and Eisenschlos, "SoftSort", ICML 2020; noise and rounds as in Kim et al., "Learning Probabilistic
        Symmetrization for Architecture Agnostic Equivariance", NeurIPS 2023.
    """
    if not temperature > 0 or num_sinkhorn < 0:
        raise ValueError(
            f"temperature must be positive and num_sinkhorn at least 0, got {temperature} and {num_sinkhorn}"
        )
    if scores.dim() == 0 or not scores.shape[-1] or not bool(torch.isfinite(scores).all()):
        raise ValueError(f"scores must be finite numbers (..., N), N at least 1, got shape {tuple(scores.shape)}")
    wide = _of_length_one(scores.double())
    if generator is not None:
        noise = torch.rand(wide.shape, generator=generator, dtype=torch.float64)
        wide = wide + TIE_NOISE * noise.to(wide)
    elif num_tied := int((gap := score_gap(scores)).eq(0).sum()):
        raise ValueError(
            f"scores tie in {num_tied} of {gap.numel()} samples, and only noise can order them without reading the "
            "order of the input: pass a torch.Generator"
        )
    order = wide.detach().argsort(dim=-1)
    hard = torch.nn.functional.one_hot(order, order.shape[-1]).transpose(-1, -2).to(wide)
    log_soft = -(wide[..., :, None] - wide.gather(-1, order)[..., None, :]).abs() / temperature
    for _ in range(num_sinkhorn):
        log_soft = log_soft - log_soft.logsumexp(dim=-1, keepdim=True)
        log_soft = log_soft - log_soft.logsumexp(dim=-2, keepdim=True)
    return SoftSort(log_soft.exp(), hard)


def score_gap(scores: Float[Tensor, "*B N"]) -> Float[Tensor, " *B"]:
    """The smallest distance of two of the scores, which are scaled to length 1: 0 for a tie, 1 for a single score."""
    wide = _of_length_one(scores.detach().double())
    if wide.shape[-1] == 1:
        return torch.ones_like(wide[..., 0])
    return wide.sort(dim=-1).values.diff(dim=-1).amin(dim=-1)


def _of_length_one(scores: Float[Tensor, "*B N"]) -> Float[Tensor, "*B N"]:
    """Zeros stay zeros."""
    largest = scores.detach().abs().amax(dim=-1, keepdim=True)
    scaled = scores / torch.where(largest > 0, largest, 1.0)  # squares of very small or large numbers have no room
    length = scaled.norm(dim=-1, keepdim=True)
    return scaled / torch.where(length > 0, length, 1.0)


def permutation_entropy(soft: Float[Tensor, "*B N N"]) -> Float[Tensor, ""]:
    """The mean entropy of the rows plus that of the columns, in nats: 0 for a permutation, 2 log N for a uniform one.

    As a penalty it keeps soft permutations near hard ones, and so the gradient of `straight_through` near the truth.
    """
    terms = -torch.special.xlogy(soft, soft.clamp_min(torch.finfo(soft.dtype).tiny))
    return terms.sum(dim=-1).mean() + terms.sum(dim=-2).mean()
