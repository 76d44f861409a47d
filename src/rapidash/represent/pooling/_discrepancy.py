"""Kernel discrepancy of groups of rows, also within bins of a covariate."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from rapidash._names import unknown_name

Kernel = Literal["laplacian", "gaussian"]


def maximum_mean_discrepancy(
    z: Float[Tensor, "B n"],
    groups: Int[Tensor, " B"],
    kernel: Kernel = "laplacian",
    within: Int[Tensor, " B"] | None = None,
    *,
    bandwidth: float = 1.0,
) -> Float[Tensor, ""]:
    r"""Squared maximum mean discrepancy, summed over pairs of groups (biased estimate), dimensionless.

    .. math:: \sum_{g < h} \bar k_{gg} + \bar k_{hh} - 2 \bar k_{gh}
        = (K - 1) \sum_g \bar k_{gg} - \sum_{g \neq h} \bar k_{gh},

    with :math:`\bar k_{gh}` the mean of the kernel over all rows of g and of h. ``within`` makes it conditional: it is
    taken among the rows of each bin alone and averaged over bins by their number of rows. Fewer than two groups (in a
    bin) add 0.

    Args:
        z: rows; their distance is Euclidean.
        groups: of each row, e.g. its site.
        kernel: ``"laplacian"``, :math:`e^{-|a - b| / p}`, or ``"gaussian"``, :math:`e^{-|a - b|^2 / 2 p^2}`.
        within: the bin of each row, see `covariate_bins`; None: all rows are one.
        bandwidth: p, positive, in the unit of z.
    Raises: ValueError for another kernel, no rows, other numbers of groups or bins, or a bandwidth that is not
        positive.
    Source: Gretton et al., "A Kernel Two-Sample Test", JMLR 2012.
    """
    if kernel not in get_args(Kernel):
        raise ValueError(unknown_name("kernel", str(kernel), get_args(Kernel)))
    if not bandwidth > 0:
        raise ValueError(f"bandwidth must be positive, got {bandwidth}")
    bins = torch.zeros_like(groups) if within is None else within
    if z.dim() != 2 or not len(z) == len(groups) == len(bins) > 0:
        raise ValueError(
            f"z (B, n) needs a group and a bin for each of its rows, at least one, got shapes {tuple(z.shape)}, "
            f"{tuple(groups.shape)} and {tuple(bins.shape)}"
        )
    distance = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist") / bandwidth
    similarity = (-distance).exp() if kernel == "laplacian" else (-distance.square() / 2).exp()
    cells, place = torch.stack([bins, groups], dim=1).unique(dim=0, return_inverse=True)
    members = one_hot(place).to(z)
    shares = members / members.sum(dim=0)
    means = shares.T @ similarity @ shares  # of every two cells, a group in a bin each
    is_one_bin = (cells[:, None, 0] == cells[None, :, 0]).to(z)
    weight = is_one_bin @ members.sum(dim=0) / len(z)  # of the bin of each cell
    of_cell = is_one_bin.sum(dim=1) * means.diagonal() - (is_one_bin * means).sum(dim=1)
    return (weight * of_cell).sum()


def covariate_bins(covariate: Float[Tensor, " B *K"], count: int) -> Int[Tensor, " B"]:
    """The bin of each row: as many rows in each, up to ties, by the order of the covariate among these rows.

    Of several covariates every combination of their bins is one.

    Args:
        covariate: one number of each row, or K.
        count: bins of each covariate, at least 1.
    Raises: ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    columns = covariate.reshape(len(covariate), -1)
    found = torch.zeros(len(columns), dtype=torch.long, device=columns.device)
    inner = torch.linspace(0, 1, count + 1, dtype=columns.dtype, device=columns.device)[1:-1]
    for column in columns.T:
        found = found * count + torch.bucketize(column.contiguous(), column.quantile(inner), right=True)
    return found
