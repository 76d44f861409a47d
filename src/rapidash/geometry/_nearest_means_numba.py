"""Mean distance to the nearest point, between all clouds of two sets, on the CPU: all pairs of points, compiled.

Both directions come from one pass over the differences, which need no trees and no luck with the shapes.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# numba gives the types of what it compiles

import numba as nb
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def nearest_means_numba(
    a: Float[Tensor, "A N D"], b: Float[Tensor, "B M D"], squared: bool, is_one_set: bool
) -> tuple[Float[Tensor, "A B"], Float[Tensor, "A B"]]:
    """Same result as `nearest_means_reference` up to rounding, for D at most 3."""
    first, second = _columns(a), _columns(b)
    there, back = np.zeros((2, len(first), len(second)))
    _fill(first, second, squared, is_one_set, there, back)
    if is_one_set:
        there, back = there + back.T, back + there.T
    return torch.from_numpy(there), torch.from_numpy(back)


def _columns(clouds: Tensor) -> np.ndarray:
    """(B, 3, N): coordinates apart, those that are missing 0."""
    columns = np.zeros((len(clouds), 3, clouds.shape[1]))
    columns[:, : clouds.shape[2]] = clouds.numpy().transpose(0, 2, 1)
    return columns


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _fill(a, b, squared, is_one_set, there, back):
    """Of one set, only the clouds above the diagonal: a cloud is at distance 0 from itself."""
    row, column = np.empty(a.shape[2]), np.empty(b.shape[2])
    for i in range(len(a)):
        for j in range(i + 1 if is_one_set else 0, len(b)):
            _least(a[i], b[j], row, column)
            if not squared:
                row, column = np.sqrt(row), np.sqrt(column)
            there[i, j], back[i, j] = row.mean(), column.mean()


@nb.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc", "contract"})
def _least(a, b, row, column):
    """Least squared distance of every point of a to b, and of b to a; the clouds are finite."""
    x, y, z = b[0], b[1], b[2]
    column[:] = np.inf
    for i in range(a.shape[1]):
        u, v, w, least = a[0, i], a[1, i], a[2, i], np.inf
        for j in range(len(x)):
            distance = (x[j] - u) ** 2 + (y[j] - v) ** 2 + (z[j] - w) ** 2
            least = min(least, distance)
            column[j] = min(column[j], distance)
        row[i] = least
