"""The contrastive loss of two views."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


def info_nce(z_a: Float[Tensor, "B F"], z_b: Float[Tensor, "B F"], *, temperature: float = 0.2) -> Float[Tensor, ""]:
    r"""How well the other view of a sample is told from those of the others, in nats; log B by chance.

    .. math:: -\frac{1}{2B} \sum_i \Big( \log \frac{e^{c_{ii} / T}}{\sum_j e^{c_{ij} / T}}
        + \log \frac{e^{c_{ii} / T}}{\sum_j e^{c_{ji} / T}} \Big),
        \qquad c_{ij} = \cos(z^a_i, z^b_j).

    Args:
        z_a, z_b: projected features of two views, row by row of the same samples.
        temperature: T, above 0.
    Raises: ValueError for different shapes, fewer than two samples (there is no other to tell from), or a temperature
        that is not positive.
    Source: van den Oord, Li, Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018; in both
        directions and with the temperature of Chen et al., "Improved Baselines with Momentum Contrastive Learning",
        2020, but with the negatives of the batch.
    """
    if z_a.dim() != 2 or z_a.shape != z_b.shape:
        raise ValueError(f"z_a and z_b must be (B, F) of the same samples, got {tuple(z_a.shape)}, {tuple(z_b.shape)}")
    if len(z_a) < 2:
        raise ValueError("a contrastive loss needs at least 2 samples in a batch, got 1: raise batch_size")
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be positive, got {temperature}")
    cosine = normalize(z_a, dim=1) @ normalize(z_b, dim=1).T / temperature
    target = torch.arange(len(cosine), device=cosine.device)
    return (cross_entropy(cosine, target) + cross_entropy(cosine.T, target)) / 2
