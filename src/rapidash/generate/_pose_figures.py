"""The symmetry that samples have: whether they lie along one direction, and whether left and right are as frequent."""

import math
from collections.abc import Iterator

import torch

from rapidash.data import CloudDataset
from rapidash.generate._pose import canonical_rotations, handedness, random_turns
from rapidash.generate._sampling import is_finite
from rapidash.generate.metrics import energy_test, wilson_interval
from rapidash.methods import Measurement

ORDER, TURNED, RIGHT = "order of poses", "p-value of turned copies", "share of right-handed ones"
_NORMAL = 1.96
_TESTED = 500


def pose_figures(clouds: CloudDataset, *, seed: int = 0) -> Iterator[Measurement]:
    """How the poses of clouds are spread, by their longest axis a; of the finite ones, since the others have none.

    - "order of poses": the size of the mean of D (a . e_k)^2 - 1 for the coordinate axis k for which it is largest: 0
      for random poses, D - 1 if all clouds lie along one of the axes. The interval is that of the mean for this k.
    - "p-value of turned copies": an energy test of the poses a a^T of at most 500 clouds against those of the same
      clouds, each turned at random. A small one says that poses are not random.
    - "share of right-handed ones" in space, of those with a hand, see `handedness`: 50 % where mirror images are alike.
    """
    finite, dim = torch.nonzero(is_finite(clouds)).flatten(), clouds.tensors["pos"].shape[1]
    if len(finite) < 2:
        units = {ORDER: "1", TURNED: "1"} | ({RIGHT: "%"} if dim == 3 else {})
        yield from (Measurement(name, None, unit) for name, unit in units.items())
        return
    kept, num = clouds.subset(finite), len(finite)
    pos, batch = kept.tensors["pos"].double(), torch.repeat_interleave(torch.arange(num), kept.num_points)
    axis = canonical_rotations(pos, batch, num)[:, 0]
    along = dim * axis.square() - 1
    means = along.mean(0)
    furthest = int(means.abs().argmax())
    value, error = float(means[furthest].abs()), float(along[:, furthest].std()) / math.sqrt(num)
    low, high = max(0.0, value - _NORMAL * error), min(dim - 1.0, value + _NORMAL * error)
    yield Measurement(ORDER, value, "1", low=low, high=high)
    few = axis[:_TESTED]
    turned = torch.einsum("bij,bj->bi", random_turns(dim, range(len(few)), seed), few)
    poses = [(one[:, :, None] * one[:, None, :]).flatten(1) for one in (few, turned)]
    yield Measurement(TURNED, energy_test(*poses, num_permutations=199, seed=seed).p_value)
    if dim == 3:
        hands = handedness(pos, batch, num)
        right, total = int((hands == 1).sum()), int((hands != 0).sum())
        if total:
            low, high = (100 * end for end in wilson_interval(right, total))
            yield Measurement(RIGHT, 100 * right / total, "%", low=low, high=high)
        else:
            yield Measurement(RIGHT, None, "%")
