"""The variance and covariance terms of VICReg, which keep features from collapsing."""

import torch
from jaxtyping import Float
from torch import Tensor

_EPSILON = 1e-4


def vicreg_variance(z: Float[Tensor, "B F"]) -> Float[Tensor, ""]:
    r"""Half the mean over the features of how far their standard deviation is below 1,

    .. math:: \frac1{2F} \sum_j \max(0, 1 - \sqrt{\mathrm{Var}(z_j) + 10^{-4}}),

    with the variance over the batch divided by B - 1: 0.495 for features that do not vary.

    Raises: ValueError for fewer than two samples, which have no variance.
    Source: Bardes, Ponce, LeCun, "VICReg", ICLR 2022.
    """
    _check_rows("vicreg_variance", z)
    deviation = (z.var(dim=0) + _EPSILON).sqrt()
    return torch.relu(1 - deviation).mean() / 2


def vicreg_covariance(z: Float[Tensor, "B F"]) -> Float[Tensor, ""]:
    r"""The squared covariances of different features, summed over ordered pairs and divided by F,

    .. math:: \frac1F \sum_{i \ne j} \mathrm{Cov}(z_i, z_j)^2,

    with covariances divided by B - 1, where B is the number of samples that are there.

    Raises: ValueError for fewer than two samples.
    Source: Bardes, Ponce, LeCun, "VICReg", ICLR 2022.
    """
    _check_rows("vicreg_covariance", z)
    centered = z - z.mean(dim=0)
    covariance = centered.T @ centered / (len(z) - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / z.shape[1]


def _check_rows(name: str, z: Tensor) -> None:
    if z.dim() != 2 or len(z) < 2 or z.shape[1] < 1:
        raise ValueError(
            f"{name} needs features (B, F) of at least 2 samples, got shape {tuple(z.shape)}: a batch of one has no "
            "variance, take a larger batch_size"
        )
