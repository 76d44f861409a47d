"""Equal distances between which the order of the points decides: where exact symmetry ends."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.geometry._brute_force import squared_distance
from rapidash.geometry._edges import KNN, EdgeRule
from rapidash.geometry._hierarchy import Hierarchy
from rapidash.geometry._transforms import on_values

PAIRS_LOOKED_AT = 1 << 20
LEAST_SHARE = 0.01  # of the points: fewer are near ties by chance


def tie_exception(rules: Sequence[EdgeRule]) -> str:
    """The clouds without exact symmetry, in words; empty for edges that no tie can change.

    Args:
        rules: edge rule of each scale.
    """
    counts = sorted({rule.k for rule in rules if isinstance(rule, KNN)})
    ties = [f"the {_ordinal(k)} neighbor and the next" for k in counts]
    if len(rules) > 1:
        ties.append("sampled points")
    if not ties:
        return ""
    return f"clouds where {' or '.join(ties)} are equally far, as on a grid: there order or rounding decides"


@on_values
def find_tie(pos: Float[Tensor, "N D"], hierarchy: Hierarchy, rules: Sequence[EdgeRule]) -> str:
    """A tie of distances in the first cloud of a batch, in words; empty if there is none.

    Distances count as equal to a few units in the last place of the dtype of the positions: a rotation may change
    their order. At most ``PAIRS_LOOKED_AT`` pairs are compared at each scale.
    """
    for points, candidates, k, what in _comparisons(pos.detach(), hierarchy, rules):
        if k >= len(candidates):
            continue
        queries = points[: max(1, PAIRS_LOOKED_AT // len(candidates))]
        distance = squared_distance(queries.double()[:, None], candidates.double())
        nearest = distance.topk(k + 1, dim=1, largest=False).values
        last, following = nearest[:, k - 1], nearest[:, k]
        share = float((following - last <= 16 * torch.finfo(pos.dtype).eps * following).double().mean())
        if share >= LEAST_SHARE:
            return f"{what} {100 * share:.0f} % of the points"
    return ""


def _comparisons(
    pos: Tensor, hierarchy: Hierarchy, rules: Sequence[EdgeRule]
) -> Iterator[tuple[Tensor, Tensor, int, str]]:
    """Points of the first cloud, those that they choose from, how many they choose, and what a tie is of."""
    positions = hierarchy.positions(pos)
    clouds = [points[batch == 0] for points, batch in zip(positions, hierarchy.batch, strict=True)]
    for scale, rule in enumerate(rules):
        if isinstance(rule, KNN):
            what = f"{rule}: the {_ordinal(rule.k)} neighbor and the next are equally far from"
            yield clouds[scale], clouds[scale], rule.k, what
        if scale + 1 < len(clouds):
            yield clouds[scale], clouds[scale + 1], 1, "sampling: the nearest two sampled points are equally far from"


def _ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, ..."""
    endings = {1: "st", 2: "nd", 3: "rd"}
    ending = "th" if 10 < number % 100 < 14 else endings.get(number % 10, "th")
    return f"{number}{ending}"
