"""Two labelings of the points of each cloud, compared: intersection over union, and the Rand index."""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def contingency(
    first: Int[Tensor, " N"], second: Int[Tensor, " N"], batch: Int[Tensor, " N"], shape: tuple[int, int, int]
) -> Float[Tensor, "B A K"]:
    """How many points of each cloud have label a in the first labeling and k in the second; ``shape`` is (B, A, K)."""
    _, num_first, num_second = shape
    index = (batch * num_first + first) * num_second + second
    return torch.bincount(index, minlength=shape[0] * num_first * num_second).view(shape).double()


def label_ious(table: Float[Tensor, "B K K"]) -> Float[Tensor, "B K"]:
    """Intersection over union of every label, whose number means the same in both; 1 where neither has it."""
    both = table.diagonal(dim1=1, dim2=2)
    union = table.sum(1) + table.sum(2) - both
    return torch.where(union > 0, both / union.clamp(min=1), 1.0)


def matched_ious(table: Float[Tensor, "B A K"]) -> Float[Tensor, " B"]:
    """Mean intersection over union of the first labeling's segments, for segments whose numbers mean nothing.

    The segments of the two labelings are matched one to one such that the sum is largest; a segment of the first that
    has no partner counts 0.
    """
    sizes = table.sum(2)
    union = sizes[:, :, None] + table.sum(1)[:, None] - table
    iou = torch.where(union > 0, table / union.clamp(min=1), 0.0)
    best = torch.stack([cloud[match].sum() for cloud, match in zip(iou, map(best_match, iou))])
    return best / (sizes > 0).sum(1)


def best_match(values: Float[Tensor, "A K"]) -> tuple[Int[Tensor, " M"], Int[Tensor, " M"]]:
    """Rows and columns, each at most once, with the largest sum of values; as many as the shorter side has."""
    rows, columns = linear_sum_assignment(values.detach().cpu().numpy().astype(np.float64), maximize=True)
    return torch.from_numpy(rows).to(values.device), torch.from_numpy(columns).to(values.device)


def rand_errors(table: Float[Tensor, "B A K"]) -> Float[Tensor, " B"]:
    """1 - Rand index: the share of pairs of points that one labeling puts together and the other apart.

    With n points, n_a, n_k and n_ak of them in a segment of the first, of the second and of both, it is
    (sum_a n_a^2 + sum_k n_k^2 - 2 sum_ak n_ak^2) / (n (n - 1)); 0 for a single point.
    Source: Rand, J. Am. Stat. Assoc. 66, 846 (1971).
    """
    num_points = table.sum((1, 2))
    apart = table.sum(2).square().sum(1) + table.sum(1).square().sum(1) - 2 * table.square().sum((1, 2))
    return apart / (num_points * (num_points - 1)).clamp(min=1)
