"""Is the view that a prediction means nearer to it than the other views of the same object?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Retrieval:
    """Ranks of the right views, 1 for the nearest.

    Args:
        mrr: mean reciprocal rank.
        hits: by k the share of predictions whose view is among the k nearest.
        chance_mrr: of ranks that are uniform.
        num_views: V, of which one is right.
    """

    mrr: float
    hits: Mapping[int, float]
    chance_mrr: float
    num_views: int


def retrieval(
    predicted: Float[Tensor, "M d"],
    bank: Float[Tensor, "M V d"],
    target: Int[Tensor, " M"],
    *,
    at: Sequence[int] = (1, 5),
) -> Retrieval:
    """Rank by cosine, among V views of the same object, the view that each prediction is of.

    The view that a prediction was made from does not belong into the bank: it would be found without knowing anything.
    Views that are equally near share the mean of their ranks, so that features that never differ score as chance.

    Args:
        predicted: a row for each query.
        bank: the views of its object.
        target: which of them is right.
        at: the numbers k of nearest views, each at least 1.
    Raises: ValueError for shapes that do not belong together, no query, a single view, or a target that is no view.
    """
    shape = tuple(bank.shape)
    if len(shape) != 3 or predicted.shape != (shape[0], shape[2]) or target.shape != shape[:1] or 0 in shape:
        raise ValueError(
            f"retrieval needs predicted (M, d), bank (M, V, d) and target (M,), got {tuple(predicted.shape)}, {shape} "
            f"and {tuple(target.shape)}"
        )
    if shape[1] < 2 or int(target.min()) < 0 or int(target.max()) >= shape[1]:
        raise ValueError(
            f"targets must be among at least 2 views, 0 to {shape[1] - 1}, got {int(target.min())} to "
            f"{int(target.max())}"
        )
    if wrong := [k for k in at if k < 1]:
        raise ValueError(f"hits are counted at k >= 1, got {wrong[0]}")
    unit = torch.nn.functional.normalize
    similarity = torch.einsum("md,mvd->mv", unit(predicted.double(), dim=1), unit(bank.double(), dim=2))
    right = similarity.gather(1, target[:, None])
    nearer = (similarity > right + 1e-12).sum(dim=1)
    ties = ((similarity - right).abs() <= 1e-12).sum(dim=1) - 1
    rank = 1 + nearer + ties.double() / 2
    every = torch.arange(1, shape[1] + 1, dtype=torch.float64)
    hits = {k: float((rank <= k).double().mean()) for k in at}
    return Retrieval(float((1 / rank).mean()), hits, float((1 / every).mean()), shape[1])
