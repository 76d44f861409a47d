"""How near test clouds are to training clouds, beside how near training clouds of other parts of the files are."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import CloudDataset
from rapidash.methods import Measurement, Subject, Task

ACROSS: Final = "distance from a test cloud to the nearest training cloud"
WITHIN: Final = "distance from a training cloud to the nearest one elsewhere in the files"
COPIES: Final = "share of test clouds with a copy in the training set"
NUM_TEST: Final = "test clouds compared with the training set"
FIGURES: Final = (ACROSS, WITHIN, COPIES, NUM_TEST)
_MOST: Final = 1500  # clouds of each part that are compared
_POINTS: Final = 64  # of each cloud
_QUANTILES: Final = 32
_SAME: Final = 1e-5  # of the distance within the training set


class SplitDistance(NamedTuple):
    """Medians of distances, of test clouds to training clouds and within the training set, and the share of copies."""

    across: float | None
    within: float | None
    copies: float | None
    num_test: int


def split_distance(subject: Subject) -> Iterator[Measurement]:
    """The distances of the data of a task that says where in its files a cloud stands; of the data alone, once.

    Raises: ValueError for a task that does not say it.
    """
    if subject.moment != "before":
        return
    found = split_distances(subject.task)
    values = {ACROSS: found.across, WITHIN: found.within, COPIES: found.copies, NUM_TEST: float(found.num_test)}
    units = {ACROSS: "length", WITHIN: "length"}
    for name, value in values.items():
        yield Measurement(name, value, units.get(name, "1"), "", subject.moment, subject.view, "")


def split_distances(task: Task) -> SplitDistance:
    """The distances between the clouds of the parts of a task, at most 1,500 of each.

    Raises: ValueError for a task that does not say where in its files a cloud stands.
    """
    stretches = getattr(task, "stretches", None)
    if stretches is None:
        raise ValueError(f"the task {task.name!r} does not say where in its files its clouds stand")
    parts = []
    for split in ("train", "test"):
        data = task.dataset(split)
        assert isinstance(data, CloudDataset)
        chosen = torch.linspace(0, len(data) - 1, min(_MOST, len(data))).long()
        parts.append((descriptors(data.subset(chosen)), *(each[chosen] for each in stretches(split))))
    return distances(*parts)


def distances(train: tuple[Tensor, Tensor, Tensor], test: tuple[Tensor, Tensor, Tensor]) -> SplitDistance:
    """Medians of the distances to the nearest cloud of the same class.

    Of a test cloud any training cloud counts; of a training cloud those that stand neither in the same stretch of the
    files nor in one beside it. Where clouds stand in the order of a trajectory, the first are much nearer than the
    second if test clouds were drawn from between the training clouds; where the order says nothing, both are alike.

    Args:
        train, test: descriptors (B, F), stretches (B,) and classes (B,) of the clouds.
    """
    across = _nearest(test[0], train[0], test[2][:, None] == train[2])
    apart = (train[1][:, None] - train[1]).abs() > 1
    within = _nearest(train[0], train[0], apart & (train[2][:, None] == train[2]))
    outer, inner = _median(across), _median(within)
    copies = None if inner is None or not len(across) else float((across <= _SAME * inner).double().mean())
    return SplitDistance(outer, inner, copies, len(test[0]))


def descriptors(data: CloudDataset) -> Float[Tensor, "B F"]:
    """32 quantiles of the distances between points of each cloud, at most 64; across the cell, if it has one."""
    found = []
    for index in range(len(data)):
        cloud = data.batch(torch.tensor([index]))
        pos = cloud.pos.double()
        pos = pos[torch.linspace(0, len(pos) - 1, min(_POINTS, len(pos))).long()]
        first, second = torch.triu_indices(len(pos), len(pos), 1)
        offset = pos[first] - pos[second]
        if "cell" in cloud.tensors:
            offset = _shortest(offset, cloud["cell"][0].double(), cloud["periodic"][0].bool())
        length = offset.norm(dim=1) if len(offset) else pos.new_zeros(1)
        found.append(torch.quantile(length, torch.linspace(0, 1, _QUANTILES, dtype=torch.float64)))
    return torch.stack(found) / _QUANTILES**0.5


def _shortest(offset: Tensor, cell: Tensor, periodic: Tensor) -> Tensor:
    """Offsets less whole cells, as short as rounding their coordinates along the cell makes them."""
    if not bool(periodic.all()):
        return offset
    fraction = offset @ torch.linalg.inv(cell)
    return (fraction - fraction.round()) @ cell


def _nearest(of: Tensor, among: Tensor, allowed: Tensor) -> Tensor:
    """Distances to the nearest allowed one; those without any are left out."""
    distance = torch.cdist(of, among, compute_mode="donot_use_mm_for_euclid_dist").masked_fill(~allowed, torch.inf)
    nearest = distance.min(dim=1).values
    return nearest[nearest.isfinite()]


def _median(values: Tensor) -> float | None:
    return float(values.median()) if len(values) else None
