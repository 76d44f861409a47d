"""The distance of a latent from one that moves by a representation."""

import torch
from jaxtyping import Float
from torch import Tensor

_LEAST = 1e-12  # variance, below which it is not divided by


def latent_variance(*latents: Tensor) -> Float[Tensor, ""]:
    """The variance over the rows of all latents together, mean over the entries."""
    rows = torch.cat([z.flatten(1) for z in latents])
    return rows.var(dim=0, correction=0).mean()


def latent_error(expected: Tensor, found: Tensor, *, normalize: bool = True) -> Float[Tensor, ""]:
    """The mean square of R(g) E(x) - E(g x), divided by the variance of both: 0 equivariant, about 2 unrelated.

    The variance has gradients too: without it a latent that shrinks would seem to be equivariant. A constant latent has
    error 0.

    Args:
        expected, found: R(g) E(x) and E(g x), a row each per sample or point.
        normalize: divide by the variance.
    """
    expected, found = (z if z.dtype == torch.float64 else z.float() for z in (expected, found))
    square = (expected - found).square().mean()
    return square / (latent_variance(expected, found) + _LEAST) if normalize else square
