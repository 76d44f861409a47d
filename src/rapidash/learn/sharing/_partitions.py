"""Partitions of a finite set: all of them, their number, and the distance of two."""

import torch
from jaxtyping import Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

MAX_SIZE = 10  # 115,975 partitions; of 11 there are 678,570


def bell_number(size: int) -> int:
    """The number of partitions of a set of so many elements: 1, 1, 2, 5, 15, 52, 203, ...

    Raises: ValueError for a negative size.
    """
    if size < 0:
        raise ValueError(f"size must be at least 0, got {size}")
    row = [1]  # of the Bell triangle: each row begins with the last number of the one before
    for _ in range(size):
        following = [row[-1]]
        for number in row:
            following.append(following[-1] + number)
        row = following
    return row[0]


def set_partitions(size: int) -> Int[Tensor, "B K"]:
    """All partitions of K elements as canonical assignments, the single cluster first and K clusters last.

    Args:
        size: K, from 1 to 10.
    Returns: B = `bell_number` rows; row b says which cluster each element is in, numbered by first occurrence.
    Raises: ValueError for another size, with the number of partitions.
    """
    if not 1 <= size <= MAX_SIZE:
        number = f", of {size} elements there are {bell_number(size):,} partitions" if size > MAX_SIZE else ""
        raise ValueError(f"size must be from 1 to {MAX_SIZE}, got {size}{number}: use RelaxedSearch for more")
    rows = torch.zeros(1, 1, dtype=torch.long)
    for _ in range(size - 1):
        choices = rows.amax(dim=1) + 2  # any cluster so far, or a new one
        before = rows.repeat_interleave(choices, dim=0)
        starts = (choices.cumsum(0) - choices).repeat_interleave(choices)
        rows = torch.cat([before, (torch.arange(len(before)) - starts)[:, None]], dim=1)
    return rows


def canonical_assignment(assignment: Int[Tensor, "*S"]) -> Int[Tensor, "*S"]:
    """The same partition with its clusters numbered by first occurrence, 0, 1, 2, ..."""
    numbers: dict[int, int] = {}
    renamed = [numbers.setdefault(cluster, len(numbers)) for cluster in assignment.flatten().tolist()]
    return torch.tensor(renamed, dtype=torch.long, device=assignment.device).reshape(assignment.shape)


def partition_distance(a: Int[Tensor, "*S"], b: Int[Tensor, "*S"]) -> int:
    """The least number of elements to take away so that two partitions agree on the rest, whatever clusters are called.

    It is K less the largest total overlap of clusters matched one to one; a metric on partitions.

    Args:
        a, b: the cluster of each of K elements, in any shape.
    Raises: ValueError for two shapes, or no element.
    Source: Gusfield, "Partition-distance: a problem and class of perfect graphs arising in clustering", 2002.
    """
    if a.shape != b.shape or a.numel() == 0:
        raise ValueError(
            "partition_distance compares assignments of one shape with at least one element, "
            f"got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    first, second = canonical_assignment(a).flatten(), canonical_assignment(b).flatten()
    overlaps = torch.zeros(int(first.max()) + 1, int(second.max()) + 1, dtype=torch.long)
    overlaps.index_put_((first, second), torch.ones_like(first), accumulate=True)
    rows, columns = linear_sum_assignment(overlaps.numpy(), maximize=True)
    return int(a.numel() - overlaps[rows, columns].sum())
