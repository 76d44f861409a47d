"""Questions of every forward pass about a batch of clouds, on the CPU: each takes one pass over the numbers."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# numba gives the types of what it compiles

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True, error_model="numpy")
def is_valid_cloud(pos, batch):
    """Whether positions (N, D) are finite, and clouds (N,) numbered 0, 0, ..., 1, ... without a gap."""
    if batch.size == 0 or batch[0] != 0:
        return False
    for i in range(1, batch.size):
        step = batch[i] - batch[i - 1]
        if step != 0 and step != 1:
            return False
    return np.isfinite(pos).all()


@nb.njit(cache=True, nogil=True, error_model="numpy")
def complete_edges(batch):
    """All pairs of points of one cloud, (2, E), sorted by target and then by source; the clouds are valid."""
    num_edges = start = 0
    for i in range(1, batch.size + 1):
        if i == batch.size or batch[i] != batch[start]:
            num_edges += (i - start) ** 2
            start = i
    edges = np.empty((2, num_edges), np.int64)
    at = start = 0
    for i in range(1, batch.size + 1):
        if i == batch.size or batch[i] != batch[start]:
            for target in range(start, i):
                for source in range(start, i):
                    edges[0, at], edges[1, at] = source, target
                    at += 1
            start = i
    return edges


@nb.njit(cache=True, nogil=True, error_model="numpy")
def sorted_row_ptr(source, target, row_ptr):
    """Whether edges are sorted by target and then by source; if so, sets the first edge of every target, and E.

    False for targets that are not in [0, T), where row_ptr is (T + 1,).
    """
    at = 0
    for e in range(target.size):
        if not 0 <= target[e] < row_ptr.size - 1:
            return False
        if e > 0 and (target[e] < target[e - 1] or (target[e] == target[e - 1] and source[e] < source[e - 1])):
            return False
        while at <= target[e]:
            row_ptr[at] = e
            at += 1
    row_ptr[at:] = target.size
    return True
