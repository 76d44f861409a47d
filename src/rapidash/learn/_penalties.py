"""Penalties on the generators of a learned group: their mixed products, and their commutators."""

import torch
from jaxtyping import Float
from torch import Tensor


def hessian_penalty(generators: Float[Tensor, "L n n"]) -> Float[Tensor, ""]:
    r"""Mean of :math:`\|A_i A_j\|_F^2` over the ordered pairs i != j; 0 for a single generator.

    Where it is 0, the generators commute, exp(sum_i t_i A_i) = I + sum_i (exp(t_i A_i) - I), and all mixed second
    derivatives of the group element vanish: every coordinate moves a part of its own. The squares A_i^2 are free.

    Args:
        generators: A, of any scale.
    Raises: ValueError for a tensor that is no stack of square matrices.
    Source: Zhu, Xu, Tao, "Commutative Lie Group VAE for Disentanglement Learning", ICML 2021; there the mean has the
        zeros of the diagonal in it, (L - 1) / L times this one.
    """
    return _mean_over_pairs(_products(generators))


def commutator_penalty(generators: Float[Tensor, "L n n"]) -> Float[Tensor, ""]:
    r"""Mean of :math:`\|A_i A_j - A_j A_i\|_F^2` over the ordered pairs i != j: 0 exactly where all commute.

    Args:
        generators: A, of any scale.
    Raises: ValueError for a tensor that is no stack of square matrices.
    Source: Zhu, Xu, Tao, ICML 2021. Their code transposes each product, ||A_i A_j - (A_i A_j)^T||, which is not 0 for
        all generators that commute; the indices are what has to be exchanged.
    """
    products = _products(generators)
    return _mean_over_pairs(products - products.transpose(0, 1))


def _products(generators: Tensor) -> Tensor:
    """(L, L, n, n) A_i A_j."""
    if generators.dim() != 3 or generators.shape[-1] != generators.shape[-2] or not generators.numel():
        raise ValueError(f"generators must be matrices (L, n, n), got shape {tuple(generators.shape)}")
    return torch.einsum("iab,jbc->ijac", generators, generators)


def _mean_over_pairs(matrices: Tensor) -> Tensor:
    """The mean square norm of the matrices (L, L, n, n) off the diagonal of the first two axes."""
    squares = matrices.square().sum(dim=(-2, -1))
    num = len(squares)
    return (squares.sum() - squares.diagonal().sum()) / max(1, num * (num - 1))
