"""Do two sets come from one distribution? Energy distance of invariants, with a permutation test."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import CloudDataset
from rapidash.generate.metrics._atoms import Floats
from rapidash.generate.metrics._pair_distances import pair_distance_quantiles, sorted_pair_distances

_MOST_PAIRS = 512  # distances between the points of a cloud that are compared one by one
_LABELS_AT_ONCE = 256


@dataclass(frozen=True)
class EnergyTest:
    """An energy distance and its permutation test.

    Args:
        distance: in the unit of the features, at least 0.
        p_value: share of relabellings, the given one among them, with at least this distance.
        threshold: the 95 % quantile of the distance over relabellings: what equal distributions give.
        num: rows of both sets.
    """

    distance: float
    p_value: float
    threshold: float
    num: int


def energy_test(
    x: Float[Tensor, "n K"], y: Float[Tensor, "m K"], *, num_permutations: int = 999, seed: int = 0
) -> EnergyTest:
    """Energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| of two sets of features, and whether it could be chance.

    Means are over all pairs, a row with itself among them, so the distance is at least 0 and 0 only for equal sets.

    Args:
        x, y: features with Euclidean distance, of one unit.
        num_permutations: random relabellings; the smallest p-value is 1 / (num_permutations + 1).
        seed: of the relabellings.
    Raises: ValueError for fewer than 2 rows, other numbers of features, no relabelling, or features that are not
        finite: such samples have no distance, count them first.
    Source: Szekely, Rizzo, "Energy statistics: a class of statistics based on distances", JSPI 143 (2013).
    """
    from scipy.spatial.distance import cdist

    if x.dim() != 2 or y.dim() != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(
            f"two sets (n, K), (m, K) of at least 2 rows are needed, got {tuple(x.shape)}, {tuple(y.shape)}"
        )
    if num_permutations < 1:
        raise ValueError(f"num_permutations must be at least 1, got {num_permutations}")
    for name, features in (("x", x), ("y", y)):
        if bad := int((~torch.isfinite(features).all(dim=1)).sum()):
            raise ValueError(
                f"{bad} of {len(features)} rows of {name} are not finite: report their share, test the others"
            )
    union = torch.cat([x, y]).detach().cpu().double().numpy()
    distance, rng = cdist(union, union), np.random.default_rng(seed)
    label = np.concatenate([np.full(len(x), 1 / len(x)), np.full(len(y), -1 / len(y))])
    observed = _energies(distance, label[None])[0]
    drawn: list[Floats] = []
    for begin in range(0, num_permutations, _LABELS_AT_ONCE):
        count = min(_LABELS_AT_ONCE, num_permutations - begin)
        drawn.append(_energies(distance, rng.permuted(np.tile(label, (count, 1)), axis=1)))
    null = np.concatenate([*drawn, [observed]])
    slack = 1e-12 * distance.max()  # the same labels in another order of summation
    p_value = float((null >= observed - slack).mean())
    return EnergyTest(max(0.0, float(observed)), p_value, float(np.quantile(null, 0.95)), len(union))


def _energies(distance: Floats, labels: Floats) -> Floats:
    """- sum_ij w_i w_j |i - j| for every row w of labels, 1/n on one set and -1/m on the other."""
    return -((labels @ distance) * labels).sum(axis=1)


def two_sample_test(
    samples: CloudDataset, reference: CloudDataset, *, num_permutations: int = 999, seed: int = 0
) -> EnergyTest:
    """Energy test of two sets of clouds by the distances between their points, which no rotation or mirror changes.

    Clouds of one size, with at most 512 pairs, are compared by their sorted distances, divided by the root of their
    number, others by 64 quantiles of their distances, divided by 8; so the unit is that of the positions. What else
    the clouds have, such as elements, does not enter: compare molecules of one formula.

    Args:
        samples, reference: clouds of at least 2 points.
        num_permutations, seed: as in `energy_test`.
    Raises: ValueError for fewer than 2 clouds, a cloud of one point, or samples that are not finite.
    """
    sizes = torch.cat([samples.num_points, reference.num_points])
    if not len(samples) or not len(reference):
        raise ValueError(f"both sets need at least 2 clouds, got {len(samples)} and {len(reference)}")
    size = int(sizes[0])
    if bool((sizes == size).all()) and size * (size - 1) // 2 <= _MOST_PAIRS:
        x, y = (sorted_pair_distances(data.tensors["pos"].unflatten(0, (-1, size))) for data in (samples, reference))
    else:
        x, y = (pair_distance_quantiles(data) for data in (samples, reference))
    root = x.shape[1] ** 0.5
    return energy_test(x / root, y / root, num_permutations=num_permutations, seed=seed)
